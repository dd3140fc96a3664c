"""Limits: what may be said, and which of several holds."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core import money
from strategy_engine.core.errors import InvalidError
from strategy_engine.venue import hours, limits
from strategy_engine.venue.limits import KINDS, LimitSet, Of, Scope, Unit

FINE: dict[str, Any] = {
    "max_position_size": 10_000,
    "daily_loss_limit": -1_000,
    "max_order_quantity": 0.5,
    "max_order_notional": 5_000.5,
    "max_orders_per_minute": 10,
    "max_cancels_per_minute": 0,
    "price_collar": 0.05,
    "max_leverage": 1.5,
    "allowed_symbols": ["EUR/USD.SIM"],
    "trading_hours": ["09:30-16:00 America/New_York", "22:00-02:00"],
    "allow_self_match": True,
    "soft_drawdown": -0.05,
    "max_drawdown": -0.1,
    "max_consecutive_losses": 5,
    "max_exposure": 100_000,
    "max_concentration": 0.5,
    "max_var_95": 0.02,
    "max_correlation": 0.9,
    "max_silence_s": 30,
    "max_staleness_s": 120,
    "max_slippage_bps": 5,
    "reduce_factor": 0.5,
    "actions": {"max_drawdown": "pause"},
}


def test_every_name_takes_its_example() -> None:
    assert FINE.keys() == KINDS.keys()
    assert limits.parse(FINE).to_plain() == FINE


WRONG: list[tuple[str, Any]] = [
    *((name, "much") for name in KINDS),
    *((name, True) for name in KINDS if KINDS[name].unit is not Unit.FLAG),
    *((name, float("nan")) for name in KINDS if KINDS[name].unit is not Unit.FLAG),
    ("max_position_size", -1),
    ("max_orders_per_minute", 1.5),
    ("max_consecutive_losses", 0),
    ("max_concentration", 1.01),
    ("reduce_factor", -0.1),
    ("allowed_symbols", ["EUR/USD.SIM", ""]),
    ("trading_hours", ["9:30-16:00"]),
    ("trading_hours", ["09:30-09:30"]),
    ("trading_hours", ["09:60-16:00"]),
    ("trading_hours", ["09:30-24:01"]),
    ("trading_hours", ["09:30-16:00 Europe/Nowhere"]),
    ("trading_hours", ["09:30-16:00 ../../etc/passwd"]),
    ("trading_hours", ["09:30-16:00 Europe"]),
    ("allow_self_match", 1),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_makes_no_sense_is_refused_with_field_value_and_what_is_accepted(
    name: str, value: Any
) -> None:
    with pytest.raises(InvalidError) as raised:
        limits.parse({name: value})

    assert raised.value.facts["field"] == name
    assert repr(raised.value.facts["value"]) == repr(value)
    assert raised.value.facts["accepted"]


def test_an_unknown_name_is_refused_or_kept_apart_and_never_taken() -> None:
    with pytest.raises(InvalidError, match=r"max_positon_size.*there are: max_position_size"):
        limits.parse({"max_positon_size": 1})

    kept = limits.parse({"max_positon_size": 1, "max_var": 0.02}, tolerant=True)

    assert (kept.unknown, kept.values) == (("max_positon_size",), {})


def test_nobody_may_allow_a_match_with_himself_to_himself() -> None:
    kept = limits.parse({"allow_self_match": True}, names=limits.OWN, tolerant=True)

    assert (kept.unknown, kept.get("allow_self_match")) == (("allow_self_match",), None)


@pytest.mark.parametrize("name", ["daily_loss_limit", "soft_drawdown", "max_drawdown"])
def test_a_loss_is_one_whatever_its_sign(name: str) -> None:
    given_ = FINE[name]

    assert limits.parse({name: -given_}) == limits.parse({name: given_})
    assert limits.parse({name: given_}).get(name) < 0


def test_a_limit_that_is_none_is_as_if_it_were_not_there() -> None:
    assert limits.parse({"max_position_size": None}) == LimitSet()


def tightest(**by_scope: dict[str, Any]) -> limits.Limits:
    return limits.tightest(
        {(Scope(scope), "RSI"): limits.parse(each) for scope, each in by_scope.items()}
    )


# name, looser, tighter
PAIRS = [
    ("max_position_size", 10, 9),
    ("daily_loss_limit", -10, -9),
    ("max_order_quantity", 10, 9),
    ("max_orders_per_minute", 10, 9),
    ("price_collar", 0.1, 0.09),
    ("max_leverage", 2, 1),
    ("max_drawdown", -0.2, -0.1),
    ("reduce_factor", 0.5, 0.25),
    ("max_silence_s", 30, 20),
]


@pytest.mark.parametrize(("name", "looser", "tighter"), PAIRS)
@pytest.mark.parametrize("turn", [False, True])
def test_of_a_version_and_its_execution_the_tighter_holds(
    name: str, looser: float, tighter: float, *, turn: bool
) -> None:
    first, second = (tighter, looser) if turn else (looser, tighter)

    found = tightest(version={name: first}, execution={name: second})

    held = found.of(name)
    assert held is not None
    assert held.given == tighter
    assert held.scope is (Scope.VERSION if turn else Scope.EXECUTION)
    assert len(found.every(name)) == 1


def test_each_holder_keeps_a_limit_of_its_own_on_what_it_holds() -> None:
    found = tightest(
        version={"max_position_size": 5},
        line={"max_position_size": 10},
        account={"max_position_size": 7},
        engine={"max_position_size": 20},
    )

    assert [each.given for each in found.every("max_position_size")] == [5, 7, 10, 20]
    line = found.of("max_position_size", Scope.LINE)
    assert line is not None
    assert line.said == "max_position_size of line RSI is 10.00"


def test_of_one_order_the_tightest_of_all_scopes_holds_alone() -> None:
    found = tightest(version={"max_order_quantity": 5}, engine={"max_order_quantity": 3})

    (held,) = found.every("max_order_quantity")

    assert held.said == "max_order_quantity of engine is 3"
    assert held.value == money.to_nanos(3)


@given(
    values=st.dictionaries(st.sampled_from(Scope), st.integers(0, 1_000), min_size=1),
    name=st.sampled_from([each.name for each in KINDS.values() if each.unit is Unit.MONEY]),
)
def test_no_scope_loosens_what_another_holds(values: dict[Scope, int], name: str) -> None:
    whole = limits.tightest(
        {(scope, "x"): limits.parse({name: value}) for scope, value in values.items()}
    )

    first = whole.every(name)[0]

    assert first.given == min(values.values())
    if KINDS[name].of is Of.ORDER:
        assert len(whole.every(name)) == 1


def test_symbols_and_hours_of_every_scope_hold_together() -> None:
    found = tightest(
        version={"allowed_symbols": ["A", "B"]}, engine={"allowed_symbols": ["B", "C", "D"]}
    )

    assert [each.value for each in found.every("allowed_symbols")] == [{"A", "B"}, {"B", "C", "D"}]


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("written", "at", "is_open"),
    [
        ("09:30-16:00", "2025-01-06T09:29:59", False),
        ("09:30-16:00", "2025-01-06T09:30:00", True),
        ("09:30-16:00", "2025-01-06T15:59:59", True),
        ("09:30-16:00", "2025-01-06T16:00:00", False),
        ("22:00-02:00", "2025-01-06T23:00:00", True),
        ("22:00-02:00", "2025-01-06T01:59:00", True),
        ("22:00-02:00", "2025-01-06T02:00:00", False),
        ("00:00-24:00", "2025-01-06T23:59:59", True),
        ("09:30-16:00 America/New_York", "2025-01-06T14:30:00", True),  # UTC-5
        ("09:30-16:00 America/New_York", "2025-01-06T14:29:00", False),
        ("09:30-16:00 America/New_York", "2025-07-07T13:30:00", True),  # UTC-4
    ],
)
def test_hours_are_of_their_zone_with_its_summer(written: str, at: str, *, is_open: bool) -> None:
    part = hours.parse(written)

    assert part is not None
    assert hours.holds((part,), ns(at)) is is_open


def test_a_denial_names_hours_and_symbols_as_they_were_written() -> None:
    found = tightest(engine={"trading_hours": ["09:30-16:00 America/New_York"]})

    (held,) = found.every("trading_hours")

    assert re.fullmatch(r"trading_hours of engine is 09:30-16:00 America/New_York", held.said)
