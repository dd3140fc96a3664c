import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.pipeline import imports, syntax
from strategy_engine.pipeline.model import Level

FINE = "class S:\n    def generate_signal(self, market_data):\n        return 'HOLD'\n"


def errors(code, *allowed):
    return [each.message for each in syntax.check(code, *allowed) if each.level is Level.ERROR]


def test_the_plain_contract_is_fine():
    assert syntax.check(FINE) == []


def test_a_syntax_error_shows_its_line_its_column_and_its_text():
    (found,) = syntax.check("class S:\n    def generate_signal(self, market_data)\n        pass\n")
    assert found.level is Level.ERROR
    assert found.message.startswith("line 2, column 43: expected ':'")
    assert "def generate_signal(self, market_data)" in found.message
    assert found.where == "line 2: def generate_signal(self, market_data)"


@pytest.mark.parametrize("code", ["x = '\x00'", "(" * 5_000, "1" + "+1" * 60_000])
def test_a_source_that_no_parser_takes_is_one_error_and_no_exception(code):
    (found,) = syntax.check(code)
    assert found.level is Level.ERROR
    assert len(found.message) < 500


@pytest.mark.parametrize("name", [each for each in imports.ALLOWED if "." not in each])
def test_every_allowed_module_may_be_imported(name):
    head = f"from {name} import annotations\n" if name == "__future__" else f"import {name}\n"
    assert syntax.check(head + FINE) == []


@pytest.mark.parametrize(
    "line",
    [
        "import os",
        "import socket as s",
        "from time import time",
        "import numpy.ctypeslib",
        "from numpy import testing",
        "from . import secret",
        "from ..x import y",
        "import strategy_engine",
        "from strategy_engine import core",
        "from strategy_engine.sandbox import child",
        "import pandas.io.sql",
        "from pandas import io",
        "import nautilus_trader.live.node",
        "from nautilus_trader import persistence",
        "from nautilus_trader.adapters.binance import BINANCE",
        "import subprocess",
    ],
)
def test_another_import_is_refused_with_its_line_and_what_is_allowed(line):
    (found,) = errors(f"{FINE}\n{line}\n")
    assert found.startswith("line 5: imports ")
    assert "allowed are __future__, abc, " in found


def test_an_import_inside_a_method_counts():
    code = FINE.replace("return 'HOLD'", "import os\n        return 'HOLD'")
    assert errors(code)[0].startswith("line 3: imports os")


@pytest.mark.parametrize(
    "line",
    [
        "from strategy_engine.signals import Signal, calculate_rsi",
        "from strategy_engine import signals",
        "import strategy_engine.signals",
        "from collections.abc import Mapping",
        "import numpy as np, math",
    ],
)
def test_what_works_at_home_and_here_may_be_imported(line):
    assert errors(f"{line}\n{FINE}") == []


def test_a_list_of_one_s_own_replaces_the_allowed_modules():
    listed = ("math", "numpy.testing", "zoneinfo", "not_installed_here")
    assert errors(f"from numpy import testing\nimport zoneinfo\n{FINE}", listed) == []
    (found,) = errors(f"import numpy\n{FINE}", listed)
    assert found.startswith("line 1: imports numpy, which a strategy may not; allowed are math, ")


def test_a_module_that_is_allowed_and_not_there_is_named_with_its_line():
    (found,) = errors(f"\nfrom not_installed_here.part import it\n{FINE}", ("not_installed_here",))
    assert found.startswith(
        "line 2: imports not_installed_here, which is allowed, but not installed"
    )


@pytest.mark.parametrize("text", ["math, os.path ,math", "math,os.path"])
def test_a_list_of_modules_is_read(text):
    assert imports.parsed(text) == ("math", "os.path")


@pytest.mark.parametrize("text", ["", " , ", "math;os", "a..b", "1st"])
def test_what_is_no_list_of_modules_is_refused(text):
    with pytest.raises(ValueError, match="is no list of modules"):
        imports.parsed(text)


@given(
    st.sampled_from([*imports.ALLOWED, *imports.REFUSED]),
    st.from_regex(r"[a-z]{1,5}", fullmatch=True),
)
def test_a_part_is_allowed_as_what_it_is_a_part_of(module, part):
    whole = imports.refusal(module, [], imports.ALLOWED)
    nested = imports.refusal(f"{module}.{part}", [], imports.ALLOWED)
    assert bool(whole) == bool(nested)


@pytest.mark.parametrize(
    ("head", "use", "word"),
    [
        ("import datetime", "datetime.datetime.now()", "wall clock"),
        ("from datetime import datetime as when", "when.utcnow()", "wall clock"),
        ("from datetime import date", "date.today()", "wall clock"),
        ("import numpy as np", "np.datetime64('now')", "wall clock"),
        ("import random", "random.random()", "unseeded"),
        ("from random import choice", "choice([1])", "unseeded"),
        ("import random as r", "r.Random()", "without a seed"),
        ("import random", "random.Random(None)", "without a seed"),
        ("import random", "random.SystemRandom(3)", "without a seed"),
        ("import random", "random.seed()", "without a seed"),
        ("import numpy as np", "np.random.rand()", "unseeded"),
        ("from numpy.random import default_rng", "default_rng()", "without a seed"),
        ("import numpy as np", "np.random.default_rng", "without a seed"),
        ("import numpy as np", "np.loadtxt('x')", "files"),
        ("import math", "eval('1')", "runs text as code"),
        ("import math", "exec('1')", "runs text as code"),
        ("import math", "open('x')", "opens files"),
        ("import math", "__import__('os')", "past the allow-list"),
        ("import math", "[compile][0]", "makes code"),
    ],
)
def test_clock_chance_files_and_code_are_refused_with_their_line(head, use, word):
    code = f"{head}\n{FINE}".replace("return 'HOLD'", f"x = {use}\n        return 'HOLD'")
    found = errors(code)
    assert len(found) == 1
    assert found[0].startswith("line 4: ")
    assert word in found[0]


@pytest.mark.parametrize(
    ("head", "use"),
    [
        ("import random", "random.Random(42).random()"),
        ("import random\nrandom.seed(1)", "random.random()"),
        ("import numpy as np", "np.random.default_rng(7).normal()"),
        ("import numpy as np", "np.random.default_rng(seed=7)"),
        ("import numpy as np\nnp.random.seed(3)", "np.random.rand()"),
        ("import numpy as np", "np.random.Generator(np.random.PCG64(1))"),
        ("import numpy as np", "np.datetime64('2017-01-01')"),
        ("import datetime", "datetime.datetime(2017, 1, 1)"),
        ("def open(): return 1", "open()"),
    ],
)
def test_what_is_seeded_or_of_one_s_own_is_fine(head, use):
    code = f"{head}\n{FINE}".replace("return 'HOLD'", f"x = {use}\n        return 'HOLD'")
    assert errors(code) == []


@pytest.mark.parametrize(
    ("head", "use", "door"),
    [
        ("import dataclasses", "dataclasses.sys.modules['os'].getpid()", "sys"),
        ("import dataclasses as d", "d.sys", "sys"),
        ("import random", "random._os.getpid()", "_os"),
        ("import numpy as np", "np.array([1]).ctypes.data", "ctypes"),
        ("import math", "getattr(math, '__loader__')", "__loader__"),
        ("import collections", "getattr(collections, '_sys')", "_sys"),
        ("from dataclasses import sys", "1", "sys"),
        ("import math", "().__class__.__base__.__subclasses__()", "__subclasses__"),
        ("import math", "math.__loader__", "__loader__"),
        ("import functools", "functools.wraps.__globals__", "__globals__"),
        ("import math", "KeyError().__traceback__.tb_frame", "tb_frame"),
    ],
)
def test_a_door_into_the_interpreter_is_an_error_with_its_line(head, use, door):
    code = f"{head}\n{FINE}".replace("return 'HOLD'", f"x = {use}\n        return 'HOLD'")
    found = errors(code)
    line = 1 if use == "1" else 4
    assert f"line {line}: reaches into the interpreter by {door}, which a strategy may not" in found


@pytest.mark.parametrize(
    "use", ["self.modules", "self.os", "self.__dict__", "type(self).__name__", "getattr(self, 'x')"]
)
def test_an_attribute_of_one_s_own_may_be_called_what_it_likes(use):
    code = FINE.replace("return 'HOLD'", f"x = {use}\n        return 'HOLD'")
    assert syntax.check(code) == []


def test_the_parser_s_own_warnings_are_told():
    (found,) = syntax.check(FINE.replace("'HOLD'", "'\\d'"))
    assert found.level is Level.WARNING
    assert "invalid escape sequence" in found.message


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("x = 1\n", "classes defined here: none"),
        ("class A: pass\nclass B: pass\n", "classes defined here: A, B"),
        (FINE + FINE.replace("class S", "class T"), "2 classes have generate_signal (S, T)"),
        (FINE + "class T(S): pass\n", "2 classes have generate_signal (S, T)"),
        (FINE.replace("(self, market_data)", "(self)"), "takes (self)"),
        (FINE.replace("(self, market_data)", "(self, a, b)"), "takes (self, a, b)"),
        (FINE.replace("(self, market_data)", "(self, a, *, k)"), "needs k by keyword"),
        (FINE.replace("    def", "    async def"), "is async"),
        (FINE.replace("return", "yield"), "is a generator"),
        (FINE.replace("    def", "    @staticmethod\n    def"), "is a staticmethod"),
    ],
)
def test_exactly_one_class_keeps_the_contract(code, word):
    assert any(word in each for each in errors(code))


@pytest.mark.parametrize(
    "signature", ["(self, data)", "(self, data, k=1)", "(self, *all)", "(self, data, /, *, k=2)"]
)
def test_a_signature_that_takes_the_market_data_is_fine(signature):
    assert errors(FINE.replace("(self, market_data)", signature)) == []


def test_a_class_behind_a_condition_counts():
    code = "if True:\n" + "".join(f"    {line}\n" for line in FINE.splitlines())
    assert errors(code) == []


def test_a_constructor_s_arguments_are_named():
    code = FINE.replace("class S:", "class S:\n    def __init__(self, a, b=1, *, c=2): pass")
    assert syntax.class_arguments(code, "S") == ["a", "b", "c"]
    assert syntax.class_arguments(FINE, "S") == []
    assert syntax.class_arguments(FINE, "Other") == []
