from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core.errors import InvalidError
from strategy_engine.execution import rules
from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.execution.rules import ContractBrokenError
from strategy_engine.matching.model import BUY, HOLD, PPB, SELL, Action
from strategy_engine.registry.model import Content
from strategy_engine.sandbox.protocol.messages import Decided, Detail, Failed


def content(parameters=None, risk_limits=None):
    return Content(
        strategy_name="Line",
        version="1.0.0",
        code="class A: ...",
        parameters=parameters or {},
        risk_limits=risk_limits or {},
    )


def decided(action, **detail):
    said = {
        "index": 0,
        "size_ppb": None,
        "stop_loss_ppb": None,
        "take_profit_ppb": None,
        "reason": "",
    }
    return Decided(action=action, detail=Detail(**said | detail))


@pytest.mark.parametrize(("action", "decision"), [(0, HOLD), (1, BUY), (2, SELL)])
def test_a_bare_action_is_the_plain_decision(action, decision):
    assert rules.decision_of(Decided(action=action)) is decision


def test_what_a_child_says_beyond_its_action_is_kept():
    decision = rules.decision_of(decided(3, size_ppb=-PPB // 2, stop_loss_ppb=5, reason="why"))

    assert decision.action is Action.TARGET
    assert (decision.size_ppb, decision.stop_loss_ppb, decision.reason) == (-PPB // 2, 5, "why")


@pytest.mark.parametrize(
    "answer",
    [
        Decided(action=4),
        Decided(action=-1),
        Decided(action=3),
        decided(3),
        decided(1, size_ppb=PPB + 1),
        decided(1, size_ppb=-1),
        decided(2, size_ppb=10**30),
        decided(3, size_ppb=-PPB - 1),
        decided(1, stop_loss_ppb=-1),
        decided(1, take_profit_ppb=11 * PPB),
    ],
)
def test_what_no_strategy_may_say_is_refused(answer):
    with pytest.raises(ContractBrokenError):
        rules.decision_of(answer)


def test_a_long_reason_is_cut():
    assert len(rules.decision_of(decided(1, reason="x" * 9_999)).reason) == 200


@given(st.integers(), st.none() | st.integers(), st.none() | st.integers())
def test_whatever_a_child_answers_is_a_legal_decision_or_refused(action, size, distance):
    try:
        decision = rules.decision_of(decided(action, size_ppb=size, stop_loss_ppb=distance))
    except ContractBrokenError:
        return
    assert decision.size_ppb is None or abs(decision.size_ppb) <= PPB
    assert decision.stop_loss_ppb is None or decision.stop_loss_ppb >= 0


def test_an_executions_config_wins_over_the_versions_parameters():
    version = content({"position_size": 0.3, "capital": 5_000, "timeframe": "1d"})
    config = ExecutionConfig(position_size=0.02, symbols=("GOOGL.SIM",))

    found = rules.settings_of(version, config)

    assert found.rules.position_size_ppb == 20_000_000
    assert rules.capital_of(found) == Decimal(5_000)
    assert (found.symbols, found.timeframe) == (("GOOGL.SIM",), "1d")


def test_an_override_lifts_the_daily_loss_limit_and_nothing_else():
    version = content(risk_limits={"daily_loss_limit": -100, "max_position_size": 1_000})

    held = rules.settings_of(version, ExecutionConfig())
    lifted = rules.settings_of(version, ExecutionConfig(risk_override=True))

    assert held.daily_loss_limit_nanos == -100 * 10**9
    assert lifted.daily_loss_limit_nanos is None
    assert lifted.rules.max_position_nanos == held.rules.max_position_nanos == 1_000 * 10**9


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (ExecutionConfig(feed="oracle"), "feed"),
        (ExecutionConfig(mode="live"), "mode"),
        (ExecutionConfig(speed=-1), "speed"),
        (ExecutionConfig(speed=True), "speed"),
        (ExecutionConfig(speed=float("inf")), "speed"),
        (ExecutionConfig(risk_override="yes"), "risk_override"),
        (ExecutionConfig(start_ns=9, end_ns=3), "end_ns"),
    ],
)
def test_a_config_that_makes_no_sense_names_its_field(config, field):
    with pytest.raises(InvalidError) as refused:
        rules.settings_of(content(), config)

    assert refused.value.facts["field"] == field


def test_a_failure_is_one_line_with_its_place():
    failed = Failed(
        phase="decide", error="ZeroDivisionError", message="by zero", where="line 7", bar_index=3
    )

    assert rules.failure_line(failed) == "decide: ZeroDivisionError: by zero at line 7 (bar 3)"


@given(st.lists(st.integers(0, 10**9), min_size=1))
def test_median_and_percentile_are_values_that_were_seen_in_their_order(values):
    ordered = sorted(values)

    assert rules.median(ordered) <= rules.percentile_99(ordered)
    assert {rules.median(ordered), rules.percentile_99(ordered)} <= set(map(float, values))


def test_without_decisions_their_times_are_zero():
    assert rules.median([]) == rules.percentile_99([]) == 0.0
