from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy_engine.execution import engagement
from strategy_engine.execution.engagement import Party
from strategy_engine.execution.model import (
    Change,
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Exits,
    Role,
    Switch,
)
from strategy_engine.venue.model import NEVER, RiskState, Span, Tenure

SYMBOLS = ("A", "B")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def row(name: str = "one", **more) -> Execution:
    return Execution(
        **{
            "execution_id": name,
            "strategy_id": "strat_1",
            "role": Role.STABLE,
            "status": ExecutionStatus.RUNNING,
            "desired": Desired.RUN,
            "config": ExecutionConfig(),
            "capital": Decimal(1),
            "created_at": NOW,
            "updated_at": NOW,
        }
        | more
    )


def serves(changed: Change) -> Tenure:
    assert changed.serves is not None
    return changed.serves


@pytest.mark.parametrize("risk_state", RiskState)
@pytest.mark.parametrize("desired", Desired)
def test_who_leaves_may_exit_and_open_nothing(desired, risk_state):
    found = engagement.of(row(desired=desired, risk_state=risk_state))

    is_leaving = desired in {Desired.DRAIN, Desired.FLATTEN}
    assert found.is_leaving is is_leaving
    assert found.allows is (RiskState.REDUCING if is_leaving else risk_state)


@pytest.mark.parametrize("exits", Exits)
@pytest.mark.parametrize("desired", Desired)
@pytest.mark.parametrize("role", [Role.STABLE, Role.SHADOW])
def test_the_engine_closes_what_is_served_no_more_or_everything(role, desired, exits):
    tenure = Tenure(others=Span(until_ns=7), by_symbol={"B": Span(from_ns=3)})
    found = engagement.of(row(role=role, desired=desired, exits=exits, serves=tenure))

    before, after = (found.closing(SYMBOLS, each) for each in (7, 8))

    if desired is Desired.FLATTEN:
        assert before == after == {*SYMBOLS}
    elif exits is Exits.OWN:
        assert before == after == frozenset()
    elif role is Role.SHADOW:  # of what has no end it serves nothing either
        assert (before, after) == ({"B"}, {*SYMBOLS})
    else:
        assert (before, after) == (frozenset(), {"A"})


def test_with_every_tenure_ended_the_engine_closes_everything_and_with_none_nothing():
    ended = row(exits=Exits.FLATTEN, serves=Tenure(others=Span(until_ns=7)))
    serving = row(exits=Exits.FLATTEN)
    behind = row(exits=Exits.FLATTEN, serves=Tenure(others=Span(gaps=((3, 9),))))

    assert engagement.of(ended).closing(SYMBOLS, 8) == {*SYMBOLS}
    assert engagement.of(serving).closing(SYMBOLS, 8) == frozenset()
    assert engagement.of(behind).closing(SYMBOLS, 8) == frozenset()


@pytest.mark.parametrize("role", Role)
def test_without_a_tenure_only_a_shadow_opens_nothing(role):
    found = engagement.of(row(role=role)).serves

    assert found.of("A").holds(1) is (role is not Role.SHADOW)


def test_a_shadow_opens_only_what_it_has_still_to_serve_from_before():
    tenure = Tenure(others=Span(from_ns=3), by_symbol={"A": Span(until_ns=7)})

    found = engagement.serving(Role.SHADOW, tenure)

    assert found.of("B") == NEVER
    assert [found.of("A").holds(each) for each in (7, 8)] == [True, False]


def test_what_waits_at_the_end_of_a_tenure_may_open_nothing_any_more():
    tenure = Tenure(others=Span(until_ns=7), by_symbol={"B": Span()})
    found = engagement.of(row(serves=tenure))

    assert found.past(6, SYMBOLS) == frozenset()
    assert found.past(7, SYMBOLS) == {"A"}


def test_a_switch_lies_where_nobody_has_gone_beyond_and_changes_what_is_asked():
    blue, green = row("blue"), row("green", role=Role.SHADOW)
    to_shadow = Change(role=Role.SHADOW, exits=Exits.FLATTEN)
    asked = Switch(key="k", gives=("blue",), takes=("green",), changes={"blue": to_shadow})
    parties = [Party(row=blue, place_ns=5), Party(row=green, place_ns=7)]

    at_ns = engagement.switch_point(asked, parties)
    given_up, taken = (engagement.switched(asked, each, at_ns) for each in parties)

    assert at_ns == 7
    assert given_up == replace(to_shadow, serves=Tenure(others=Span(until_ns=7)))
    assert taken == Change(serves=Tenure(others=Span(from_ns=7)))


def test_of_some_instruments_the_others_stay_as_they_are():
    old, new = row("old"), row("new", role=Role.SHADOW)
    asked = Switch(key="k", gives=("old",), takes=("new",), symbols=("A",))

    left = serves(engagement.switched(asked, Party(row=old, place_ns=5), 5))
    taken = serves(engagement.switched(asked, Party(row=new, place_ns=5), 5))

    assert (left.of("A"), left.of("B")) == (Span(until_ns=5), Span())
    assert (taken.of("A"), taken.of("B")) == (Span(from_ns=5), NEVER)


def test_who_is_only_named_in_the_changes_keeps_its_tenure():
    asked = Switch(key="k", changes={"one": Change(exits=Exits.FLATTEN)})

    assert engagement.switched(asked, Party(row=row()), 5) == Change(exits=Exits.FLATTEN)


class Line:
    """Executions that come to bars each at its own pace, one of which serves each instrument."""

    def __init__(self, names: tuple[str, ...]) -> None:
        first, *others = names
        self.rows = {first: row(first)} | {each: row(each, role=Role.SHADOW) for each in others}
        self.places = dict.fromkeys(names, 0)
        self.kept = dict(self.places)
        self.server = dict.fromkeys(SYMBOLS, first)
        self.served: dict[tuple[str, int, str], bool] = {}

    def advance(self, name: str, bars: int) -> None:
        for close in range(self.places[name] + 1, self.places[name] + bars + 1):
            tenure = engagement.of(self.rows[name]).serves
            for symbol in SYMBOLS:
                self.served[symbol, close, name] = tenure.of(symbol).holds(close)
        self.places[name] += bars

    def keep(self, name: str) -> None:
        self.kept[name] = self.places[name]

    def crash(self, name: str) -> None:
        self.places[name] = self.kept[name]

    def switch(self, taker: str, symbols: tuple[str, ...] | None, *, becomes_shadow: bool) -> None:
        moved = SYMBOLS if symbols is None else symbols
        givers = {self.server[each] for each in moved} - {taker}
        if not givers or len({self.server[each] for each in moved}) > 1:
            return
        (giver,) = givers
        keeps_some = any(self.server[each] == giver for each in SYMBOLS if each not in moved)
        changes = {taker: Change(role=Role.STABLE)}
        if becomes_shadow and not keeps_some:
            changes[giver] = Change(role=Role.SHADOW)
        asked = Switch(key="k", gives=(giver,), takes=(taker,), symbols=symbols, changes=changes)
        for name in asked.execution_ids:
            self.keep(name)
        parties = [Party(row=self.rows[each], place_ns=self.kept[each]) for each in asked.gives]
        parties += [Party(row=self.rows[each], place_ns=self.kept[each]) for each in asked.takes]
        at_ns = engagement.switch_point(asked, parties)
        for each in parties:
            wanted = engagement.switched(asked, each, at_ns)
            name = each.row.execution_id
            self.rows[name] = replace(each.row, **wanted.given())
        self.server |= dict.fromkeys(moved, taker)


NAMES = ("blue", "green", "red")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.sampled_from(NAMES), st.integers(1, 4)),
        st.tuples(st.just("keep"), st.sampled_from(NAMES)),
        st.tuples(st.just("crash"), st.sampled_from(NAMES)),
        st.tuples(
            st.just("switch"),
            st.sampled_from(NAMES),
            st.sampled_from([None, ("A",), ("B",), SYMBOLS]),
            st.booleans(),
        ),
    ),
    min_size=12,
    max_size=40,
)


@settings(max_examples=400)
@given(STEPS)
def test_every_bar_close_is_served_by_exactly_one_whatever_switches_and_crashes(steps):
    line = Line(NAMES)
    for kind, name, *more in steps:
        if kind == "switch":
            symbols, becomes_shadow = more
            line.switch(name, symbols, becomes_shadow=becomes_shadow)
        else:
            getattr(line, kind)(name, *more)

    last = max(line.places.values()) + 3
    for name in NAMES:
        line.advance(name, last - line.places[name])

    for symbol in SYMBOLS:
        for close in range(1, last + 1):
            serving = [each for each in NAMES if line.served[symbol, close, each]]
            assert len(serving) == 1, (symbol, close, serving, line.rows)


def test_who_stands_between_the_instruments_of_one_close_has_still_the_others_to_serve():
    ended = row(serves=Tenure(others=Span(until_ns=7)))
    back = serves(
        engagement.switched(Switch(key="k", takes=("one",)), Party(row=ended, place_ns=7), 9)
    )

    assert back.of("B").holds(7)
    assert not back.of("B").holds(8)
    assert not back.of("B").holds(9)
    assert back.of("B").holds(10)
