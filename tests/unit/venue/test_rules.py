import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core import money
from strategy_engine.matching.model import Cause, Order, Side, Terms
from strategy_engine.venue import limits, rules
from strategy_engine.venue.gate import GateRequest
from strategy_engine.venue.limits import Scope
from strategy_engine.venue.model import (
    NEVER,
    DenialCode,
    RiskState,
    Span,
    Tenure,
)

EURUSD = Terms(symbol="EUR/USD.SIM", tick_nanos=10_000, lot_nanos=money.NANOS)  # 0.00001, 1 unit
ENTRY: dict[str, Any] = {
    "symbol": "EUR/USD.SIM",
    "side": Side.BUY,
    "lots": 1_000,
    "opens": True,
    "decided_ns": 0,
}
LIMITS: dict[str, Any] = {
    "max_position_size": 10_000,
    "daily_loss_limit": -1_000,
}
LINE = limits.tightest({(Scope.LINE, "RSI"): limits.parse(LIMITS)})


def request(order: dict[str, Any] | None = None, **changes: Any) -> GateRequest:
    given: dict[str, Any] = {
        "order": Order(**ENTRY | (order or {})),
        "terms": EURUSD,
        "limits": LINE,
        "symbols": {"EUR/USD.SIM"},
        "fee_ppm": 100,
        "is_running": True,
        "risk_state": RiskState.ACTIVE,
        "epoch": 1,
        "highest_epoch": 1,
        "mark_ticks": 110_000,  # 1.10
        "lots_before": 0,
        "free_nanos": money.to_nanos(100_000),
        "day_pnl_nanos": 0,
    }
    return GateRequest(**given | changes)


def code_of(asked: GateRequest) -> DenialCode | None:
    denial = rules.judge(asked)
    return None if denial is None else denial.code


def test_an_order_within_every_limit_may_go():
    assert rules.judge(request()) is None


@pytest.mark.parametrize(
    ("asked", "code", "sentence"),
    [
        (request(is_running=False), DenialCode.NOT_RUNNING, "not running"),
        (request(risk_state=RiskState.HALTED), DenialCode.HALTED, "HALTED"),
        (request(risk_state=RiskState.REDUCING), DenialCode.REDUCING, "only exits"),
        (
            request(serves=Tenure(others=NEVER)),
            DenialCode.SHADOW,
            "nothing is traded",
        ),
        (
            request({"decided_ns": 8}, serves=Tenure(others=Span(until_ns=7))),
            DenialCode.REPLACED,
            "another execution serves EUR/USD.SIM",
        ),
        (request(highest_epoch=2), DenialCode.STALE_EPOCH, "epoch 1 is stale.* 2"),
        (
            request({"symbol": "GOOGL.SIM"}),
            DenialCode.SYMBOL_NOT_ALLOWED,
            "GOOGL.SIM.*EUR/USD.SIM",
        ),
        (request({"lots": 0}), DenialCode.TOO_FEW_LOTS, "0 lots.* 1"),
        (
            request({"lots": 9_091}),
            DenialCode.MAX_POSITION_SIZE,
            r"10,000\.10; max_position_size of line RSI is 10,000\.00",
        ),
        (
            request(day_pnl_nanos=money.to_nanos("-1000")),
            DenialCode.DAILY_LOSS_LIMIT,
            r"-1,000\.00; daily_loss_limit of line RSI is -1,000\.00",
        ),
        (
            request(free_nanos=money.to_nanos("1.1")),
            DenialCode.INSUFFICIENT_CASH,
            r"one lot costs 1\.10.* 1\.10",
        ),
    ],
    ids=lambda each: each.value if isinstance(each, DenialCode) else "",
)
def test_each_limit_refuses_with_its_code_and_a_sentence_with_value_and_limit(
    asked, code, sentence
):
    denial = rules.judge(asked)

    assert denial is not None
    assert denial.code is code
    assert re.search(sentence, denial.message)


def test_the_first_check_that_fails_is_the_one_that_answers():
    wrong_in_every_way = request(
        {"symbol": "GOOGL.SIM", "lots": 0}, is_running=False, highest_epoch=2, free_nanos=0
    )

    assert code_of(wrong_in_every_way) is DenialCode.NOT_RUNNING


@given(
    pnl=st.integers(-(10**15), 10**15),
    free=st.integers(-(10**15), 10**15),
    lots=st.integers(1, 10**9),
    state=st.sampled_from([RiskState.ACTIVE, RiskState.REDUCING]),
)
def test_no_limit_of_size_or_money_holds_back_an_order_that_only_reduces(pnl, free, lots, state):
    exit_ = request(
        {"side": Side.SELL, "lots": lots, "opens": False},
        lots_before=lots,
        day_pnl_nanos=pnl,
        free_nanos=free,
        risk_state=state,
    )

    assert rules.judge(exit_) is None


@pytest.mark.parametrize(
    ("decided_ns", "code"),
    [
        (3, DenialCode.SHADOW),
        (4, None),
        (5, None),
        (6, DenialCode.REPLACED),
        (8, DenialCode.REPLACED),
        (9, None),
        (10, None),
        (11, DenialCode.REPLACED),
    ],
)
def test_an_entry_may_go_when_its_bar_closes_in_the_tenure_and_in_none_of_its_gaps(
    decided_ns, code
):
    span = Span(from_ns=3, until_ns=10, gaps=((5, 8),))

    asked = request({"decided_ns": decided_ns}, serves=Tenure(others=span))

    assert code_of(asked) is code


def test_an_instruments_own_tenure_counts_and_not_that_of_the_others():
    serves = Tenure(others=NEVER, by_symbol={"EUR/USD.SIM": Span(from_ns=3)})

    assert code_of(request({"decided_ns": 4}, serves=serves)) is None
    others = Tenure(others=Span(), by_symbol={"EUR/USD.SIM": NEVER})
    assert code_of(request({"decided_ns": 4}, serves=others)) is DenialCode.SHADOW


@given(
    held=st.integers(-1_000, 1_000).filter(bool),
    from_ns=st.none() | st.integers(0, 100),
    until_ns=st.none() | st.integers(0, 100),
    decided_ns=st.integers(0, 100),
)
def test_an_exit_passes_whoever_serves(held, from_ns, until_ns, decided_ns):
    side = Side.SELL if held > 0 else Side.BUY
    exit_ = {"side": side, "lots": abs(held), "opens": False, "decided_ns": decided_ns}
    serves = Tenure(others=Span(from_ns=from_ns, until_ns=until_ns))

    assert rules.judge(request(exit_, lots_before=held, serves=serves)) is None


def test_where_others_serve_an_order_that_reduces_nothing_is_no_exit():
    nothing_held = request({"opens": False}, lots_before=0, serves=Tenure(others=NEVER))

    assert code_of(nothing_held) is DenialCode.SHADOW


def test_the_engines_own_exit_passes_while_the_execution_is_halted_or_stopped():
    exit_ = {"side": Side.SELL, "opens": False, "cause": Cause.HANDOVER}

    assert rules.judge(request(exit_, risk_state=RiskState.HALTED)) is None
    assert rules.judge(request(exit_, is_running=False)) is None


def test_the_engines_own_exit_is_still_refused_to_a_copy_that_was_taken_over():
    exit_ = request(
        {"opens": False, "cause": Cause.HANDOVER}, risk_state=RiskState.HALTED, highest_epoch=9
    )

    assert code_of(exit_) is DenialCode.STALE_EPOCH


@given(held=st.integers(-9_000, 9_000), lots=st.integers(1, 20_000), side=st.sampled_from(Side))
def test_no_entry_that_passes_makes_a_position_beyond_its_limit(held, lots, side):
    asked = request({"lots": lots, "side": side}, lots_before=held)

    after = abs(held + (lots if side is Side.BUY else -lots))

    is_beyond = EURUSD.nanos(after * asked.mark_ticks) > money.to_nanos(10_000)
    assert (code_of(asked) is DenialCode.MAX_POSITION_SIZE) == is_beyond


def test_without_declared_limits_neither_size_nor_loss_is_judged():
    assert (
        rules.judge(request({"lots": 10**9}, limits=limits.NO_LIMITS, day_pnl_nanos=-(10**18)))
        is None
    )
