import json
import subprocess
import sys

import pytest

from strategy_engine.sandbox.protocol import messages

# Another pytest runs inside, so each of these runs in a process of its own, as in the product.
RUNNER = """
import sys
sys.modules['pandas'] = sys.modules['polars'] = None  # as in a zygote: TA-Lib would import them
from strategy_engine.kernel.child import Conversation
from strategy_engine.sandbox.protocol import messages
message = messages.decode_for_child(sys.stdin.buffer.read())
sys.stdout.buffer.write(messages.encode(Conversation().answer(message)))
"""

WATCHED = """
import json, os, sys
sys.modules['pandas'] = sys.modules['polars'] = None
import strategy_engine.kernel.tests_runner
from strategy_engine.kernel.child import Conversation
from strategy_engine.sandbox.protocol import messages

opened = []
def watch(event, arguments):
    if event == 'open' and isinstance(arguments[2], int):
        if arguments[2] & (os.O_WRONLY | os.O_RDWR):
            opened.append(str(arguments[0]))

sys.addaudithook(watch)
Conversation().answer(messages.decode_for_child(sys.stdin.buffer.read()))
print(json.dumps(opened))
"""

CODE = """
LEVEL = 5
def helper():
    return LEVEL
def test_me_not():
    assert False
class S:
    def __init__(self, period=3):
        self.period = period
    def generate_signal(self, market_data):
        return 'BUY' if calculate_sma(market_data['prices'], self.period) > LEVEL else 'HOLD'
"""


def run(code: str = CODE, **tests: str) -> messages.FromChild:
    message = messages.RunTests(
        code=code, tests={f"{name}.py": source for name, source in tests.items()}
    )
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUNNER],
        input=messages.encode(message),
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert found.stderr == b""
    return messages.decode_from_child(found.stdout)


def outcomes(**tests: str) -> dict[str, messages.TestOutcome]:
    answer = run(**tests)
    assert isinstance(answer, messages.Tested), answer
    return {each.name: each for each in answer.outcomes}


def test_the_strategys_names_are_there_and_it_can_be_imported() -> None:
    found = outcomes(
        test_a="""
import strategy
from strategy import helper as imported
def test_names():
    assert S(2).generate_signal({'prices': [6, 8]}) == 'BUY'
    assert helper() == imported() == strategy.LEVEL
    assert Signal('BUY').action == 'BUY'
"""
    )
    assert [each.passed for each in found.values()] == [True]
    assert list(found) == ["test_a.py::test_names"]


def test_a_failing_assertion_says_both_sides_and_its_line() -> None:
    found = outcomes(test_a="def test_level():\n    level = helper()\n    assert level == 6\n")
    assert found["test_a.py::test_level"].message == "assert 5 == 6 (test_a.py, line 3)"
    assert not found["test_a.py::test_level"].passed


def test_what_pytest_offers_works_without_files() -> None:
    found = outcomes(
        test_a="""
import pytest
@pytest.fixture
def period():
    return 4
@pytest.mark.parametrize('n', [1, 2])
def test_each(n, period):
    assert S(n).period + 2 < period + n
class TestGroup:
    def test_printing(self, capsys, monkeypatch):
        print('hello')
        assert capsys.readouterr().out == 'hello\\n'
def test_raising():
    with pytest.raises(ZeroDivisionError):
        1 / 0
@pytest.mark.skip(reason='later')
def test_later():
    pass
@pytest.mark.xfail(reason='known')
def test_known():
    assert False
"""
    )
    told = {name.partition("::")[2]: (each.passed, each.skipped) for name, each in found.items()}
    assert told == {
        "test_each[1]": (True, False),
        "test_each[2]": (True, False),
        "TestGroup::test_printing": (True, False),
        "test_raising": (True, False),
        "test_later": (False, True),
        "test_known": (False, True),
    }


@pytest.mark.parametrize("fixture", ["tmp_path", "tmp_path_factory"])
def test_asking_for_a_folder_says_why_there_is_none(fixture: str) -> None:
    (found,) = outcomes(test_a=f"def test_file({fixture}):\n    pass\n").values()
    assert not found.passed
    assert "no file can be written" in found.message


def test_a_failing_set_up_or_tear_down_fails_its_test_once() -> None:
    found = outcomes(
        test_a="""
import pytest
@pytest.fixture
def early():
    raise ValueError('early')
@pytest.fixture
def late():
    yield
    raise ValueError('late')
def test_early(early):
    pass
def test_late(late):
    pass
def test_exit():
    raise SystemExit(3)
"""
    )
    assert {name: each.passed for name, each in found.items()} == dict.fromkeys(
        ("test_a.py::test_early", "test_a.py::test_late", "test_a.py::test_exit"), False
    )
    assert found["test_a.py::test_late"].message == "ValueError: late (test_a.py, line 9)"


def test_a_file_that_does_not_load_is_one_failure_and_the_others_run() -> None:
    found = outcomes(
        test_a="def test_x(:\n", test_b="import nowhere\n", test_c="def test_y():\n    pass\n"
    )
    assert {name: each.passed for name, each in found.items()} == {
        "test_a.py": False,
        "test_b.py": False,
        "test_c.py::test_y": True,
    }
    assert "SyntaxError" in found["test_a.py"].message
    assert found["test_b.py"].message == (
        "test_b.py: ModuleNotFoundError: No module named 'nowhere'"
    )


@pytest.mark.parametrize("ending", ["pytest.exit('enough')", "raise KeyboardInterrupt"])
def test_a_test_that_ends_the_run_is_a_failure_of_all(ending: str) -> None:
    failed = run(
        test_a=f"import pytest\ndef test_it():\n    {ending}\ndef test_more():\n    pass\n"
    )
    assert isinstance(failed, messages.Failed)
    assert failed.phase == "tests"
    assert failed.message.startswith("the tests ended before all had run")


def test_no_tests_are_no_outcomes() -> None:
    assert run() == messages.Tested(outcomes=[])


def test_code_that_does_not_compile_fails_before_any_test() -> None:
    failed = run(code="class S\n", test_a="def test_it():\n    pass\n")
    assert isinstance(failed, messages.Failed)
    assert (failed.phase, failed.where) == ("compile", "line 1: class S")


def test_running_tests_touches_no_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("empty")
    message = messages.RunTests(code=CODE, tests={"test_a.py": "def test_it():\n    assert True\n"})
    found = subprocess.run(
        [sys.executable, "-B", "-c", WATCHED],
        input=messages.encode(message),
        capture_output=True,
        check=True,
        timeout=60,
        cwd=folder,
    )
    assert json.loads(found.stdout) == []
    assert list(folder.iterdir()) == []
