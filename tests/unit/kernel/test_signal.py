from collections import Counter
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine import signals
from strategy_engine.kernel import signal
from strategy_engine.kernel.failures import ContractError
from strategy_engine.kernel.signal import Signal, to_decision
from strategy_engine.matching.model import BUY, HOLD, PPB, SELL, Action


@pytest.mark.parametrize(("word", "decision"), [("BUY", BUY), ("SELL", SELL), ("HOLD", HOLD)])
def test_a_word_is_one_shared_decision_in_any_case(word: str, decision: object) -> None:
    mixed = word[0].lower() + word[1:]
    for spelled in (word, word.lower(), word.title(), mixed, np.str_(word)):
        assert to_decision(spelled) is decision


@pytest.mark.parametrize("value", ["", "LONG", " BUY", "BUY ", "HOLD!"])
def test_another_word_is_refused_with_its_name(value: str) -> None:
    with pytest.raises(ContractError, match="it may return 'BUY', 'SELL', 'HOLD'") as caught:
        to_decision(value)
    assert repr(value) in str(caught.value)


def test_none_is_refused_with_what_to_return() -> None:
    with pytest.raises(ContractError, match="return 'HOLD' to do nothing"):
        to_decision(None)


@pytest.mark.parametrize(
    "value", [True, False, np.True_, [], {}, Counter(), b"BUY", Decimal("0.5"), 1j, object()]
)
def test_what_is_no_number_and_no_word_is_refused(value: object) -> None:
    with pytest.raises(ContractError, match="generate_signal may return"):
        to_decision(value)


@pytest.mark.parametrize("value", [1.0001, -1.0001, 2, float("inf"), np.float32(7)])
def test_a_target_beyond_the_capital_is_refused_with_its_limits(value: float) -> None:
    with pytest.raises(ContractError, match="must be from -1 to 1"):
        to_decision(value)


def test_nan_is_refused_with_its_likely_cause() -> None:
    with pytest.raises(ContractError, match="history too short"):
        to_decision(float("nan"))


@given(st.floats(-1, 1))
def test_a_target_is_kept_to_the_billionth(target: float) -> None:
    decision = to_decision(target)
    assert decision.action is Action.TARGET
    assert decision.size_ppb is not None
    assert abs(decision.size_ppb - target * PPB) <= 0.5


@pytest.mark.parametrize("value", [1, 0, -1, np.int64(1), np.float64(-0.5), np.float32(0.25)])
def test_whole_and_numpy_numbers_are_targets_too(value: float) -> None:
    assert to_decision(value).size_ppb == round(float(value) * PPB)


def test_equal_targets_share_one_decision() -> None:
    assert to_decision(0.123) is to_decision(0.123)


def test_a_signal_carries_size_protection_and_reason() -> None:
    decision = to_decision(Signal("buy", 0.25, stop_loss=-0.05, take_profit=0.1, reason="dip"))
    assert decision.action is Action.BUY
    assert decision.size_ppb == PPB // 4
    assert decision.stop_loss_ppb == PPB // 20
    assert decision.take_profit_ppb == PPB // 10
    assert decision.reason == "dip"


def test_a_signal_may_carry_a_target() -> None:
    decision = to_decision(Signal(-0.5, stop_loss=0))
    assert (decision.action, decision.size_ppb) == (Action.TARGET, -PPB // 2)
    assert decision.stop_loss_ppb == 0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (Signal("BUY", size=0), "size is 0"),
        (Signal("BUY", size=1.5), "must be from 0 to 1"),
        (Signal("BUY", size=-0.1), "must be from 0 to 1"),
        (Signal("BUY", stop_loss=5), "0.05 is 5 %"),
        (Signal("BUY", stop_loss="near"), "'near'"),  # type: ignore[arg-type]
        (Signal("BUY", take_profit=float("nan")), "NaN"),
        (Signal("BUY", take_profit=float("inf")), "fraction of the price"),
        (Signal("BUY", reason=7), "must be text"),  # type: ignore[arg-type]
        (Signal(0.5, size=0.5), "the target is the size"),
        (Signal("WAIT"), "'WAIT'"),
        (Signal(None), "None"),  # type: ignore[arg-type]
    ],
)
def test_a_signal_that_makes_no_sense_is_refused(wrong: Signal, says: str) -> None:
    with pytest.raises(ContractError, match=says):
        to_decision(wrong)


def test_a_reason_that_cannot_cross_the_boundary_is_made_readable() -> None:
    decision = to_decision(Signal("BUY", reason="\ud800" + "x" * 9_999))
    assert decision.reason.encode() == b"?" + b"x" * 499


def test_what_the_engine_gives_can_be_imported_at_home() -> None:
    assert signals.Signal is signal.Signal
    assert all(callable(getattr(signals, name)) for name in signals.__all__)
