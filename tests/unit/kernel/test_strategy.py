import sys

import pytest

from strategy_engine.kernel import strategy
from strategy_engine.kernel.failures import StrategyFailedError
from strategy_engine.sandbox.protocol.messages import Failed

SIGNAL = "    def generate_signal(self, market_data):\n        return 'HOLD'\n"


def failure(code: str, **parameters: object) -> Failed:
    with pytest.raises(StrategyFailedError) as caught:
        strategy.blueprint(code, parameters).construct()
    return caught.value.failed


def arguments(constructor: str, **parameters: object) -> dict[str, object]:
    code = f"class S:\n    def __init__(self, {constructor}):\n        pass\n{SIGNAL}"
    return strategy.blueprint(code, parameters).arguments


def test_the_one_class_with_generate_signal_is_found() -> None:
    plan = strategy.blueprint(f"class Helper:\n    pass\nclass S:\n{SIGNAL}Alias = S\n", {})
    assert plan.kind.__name__ == "S"
    assert plan.line == 4
    assert plan.lookback == 512


def test_an_imported_class_does_not_count() -> None:
    code = f"from strategy_engine.signals import Signal\nimport fractions\nclass S:\n{SIGNAL}"
    assert strategy.blueprint(code, {}).kind.__name__ == "S"


def test_no_strategy_class_is_an_error_that_names_what_is_there() -> None:
    failed = failure("class A:\n    pass\nclass B:\n    generate_signal = 5\n")
    assert failed.phase == "compile"
    assert failed.message.endswith("classes defined here: A, B")
    assert failure("x = 1").message.endswith("classes defined here: none")


def test_two_strategy_classes_are_an_error_that_names_both() -> None:
    failed = failure(f"class A:\n{SIGNAL}class B:\n{SIGNAL}")
    assert failed.message == "2 classes have generate_signal (A, B); keep exactly one"


def test_a_syntax_error_names_its_line() -> None:
    failed = failure("class S:\n    def generate_signal(self, market_data)\n        return 1\n")
    assert (failed.phase, failed.error) == ("compile", "SyntaxError")
    assert failed.where == "line 2: def generate_signal(self, market_data)"


@pytest.mark.parametrize("error", ["ValueError('no')", "SystemExit(0)", "KeyboardInterrupt()"])
def test_whatever_the_module_raises_is_a_failure_with_its_line(error: str) -> None:
    failed = failure(f"x = 1\nraise {error}\n")
    assert failed.phase == "compile"
    assert failed.error == error.partition("(")[0]
    assert failed.where == f"line 2: raise {error}"


def test_an_exception_in_the_constructor_names_the_innermost_own_line() -> None:
    failed = failure(
        "import json\nclass S:\n    def __init__(self):\n        self.x = json.loads('{')\n"
        + SIGNAL
    )
    assert failed.phase == "construct"
    assert failed.error == "JSONDecodeError"
    assert failed.where == "line 4: self.x = json.loads('{')"


def test_an_exception_whose_text_raises_is_still_told() -> None:
    code = (
        "class Odd(Exception):\n    def __str__(self):\n        raise ValueError\n"
        f"class S:\n    def __init__(self):\n        raise Odd\n{SIGNAL}"
    )
    failed = failure(code)
    assert failed.error == "Odd"
    assert failed.message == "<its message could not be shown>"


def test_parameters_bind_by_name_and_the_rest_is_listed() -> None:
    code = (
        f"class S:\n    def __init__(self, period=14, position_size=0.5):\n        pass\n{SIGNAL}"
    )
    given = {"period": 7, "position_size": 0.1, "stop_loss": -0.05, "oversold_threshold": 25}
    plan = strategy.blueprint(code, given)
    assert plan.arguments == {"period": 7, "position_size": 0.1}
    assert plan.unbound == ["oversold_threshold"]


def test_keyword_arguments_take_everything() -> None:
    assert arguments("**rest", a=1, stop_loss=-0.1) == {"a": 1, "stop_loss": -0.1}


def test_a_class_without_a_constructor_takes_nothing() -> None:
    plan = strategy.blueprint(f"class S:\n{SIGNAL}", {"period": 3})
    assert (plan.arguments, plan.unbound) == ({}, ["period"])


def test_a_dataclass_is_a_strategy_too() -> None:
    code = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        f"@dataclass\nclass S:\n    period: int = 3\n{SIGNAL}"
    )
    assert strategy.blueprint(code, {"period": 9}).construct().period == 9


def test_a_missing_argument_is_named() -> None:
    failed = failure(f"class S:\n    def __init__(self, period, level):\n        pass\n{SIGNAL}")
    assert failed.phase == "construct"
    assert failed.message == "S needs period, level, which the parameters do not give"


@pytest.mark.parametrize(
    ("annotation", "value", "says"),
    [
        ("int", "fourteen", "Expected `int`, got `str`"),
        ("int", True, "Expected `int`, got `bool`"),
        ("int", 14.5, "Expected `int`, got `float`"),
        ("float", "0.5", "Expected `float`, got `str`"),
        ("'int'", "x", "Expected `int`, got `str`"),
        ("list[int]", [1, "a"], "Expected `int`, got `str`"),
        ("int", None, "Expected `int`, got `null`"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(annotation: str, value: object, says: str) -> None:
    failed = failure(
        f"class S:\n    def __init__(self, p: {annotation} = 1):\n        pass\n{SIGNAL}", p=value
    )
    assert failed.phase == "construct"
    assert failed.message.startswith(f"parameter p is {value!r}: {says}")


@pytest.mark.parametrize(
    ("annotation", "value", "bound"),
    [
        ("float", 3, 3.0),
        ("int | None", None, None),
        ("tuple[int, ...]", [1, 2], (1, 2)),
        ("Unknown", "x", "x"),
        ("'Unknown'", "x", "x"),
    ],
)
def test_a_value_that_fits_is_bound(annotation: str, value: object, bound: object) -> None:
    if annotation == "Unknown":
        return_value = strategy.blueprint(
            "from __future__ import annotations\n"
            f"class S:\n    def __init__(self, p: Unknown):\n        pass\n{SIGNAL}",
            {"p": value},
        ).arguments
        assert return_value == {"p": bound}
    else:
        assert arguments(f"p: {annotation}", p=value) == {"p": bound}


@pytest.mark.parametrize("lookback", [0, 100_001, "'long'", True, 1.5])
def test_a_lookback_out_of_range_is_refused(lookback: object) -> None:
    failed = failure(f"class S:\n    lookback = {lookback}\n{SIGNAL}")
    assert failed.phase == "construct"
    assert failed.message.startswith("lookback is")


def test_the_lookback_is_the_engines_then_the_parameters_then_the_classs() -> None:
    code = f"class S:\n    lookback = 20\n{SIGNAL}"
    assert strategy.blueprint(code, {}).lookback == 20
    assert strategy.blueprint(code, {"lookback": 30}).lookback == 30
    assert strategy.blueprint(code, {"lookback": 30}, lookback=40).lookback == 40


def test_running_the_code_again_keeps_nothing_of_the_first_time() -> None:
    plan = strategy.blueprint(f"class S:\n    seen = []\n{SIGNAL}", {"lookback": 9})
    plan.kind.seen.append(1)  # type: ignore[attr-defined]
    again = plan.again()
    assert again.kind.seen == []  # type: ignore[attr-defined]
    assert again.lookback == 9
    assert sys.modules["strategy"].S is again.kind
