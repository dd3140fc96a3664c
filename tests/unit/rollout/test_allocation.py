"""Weights by a policy: within caps, slowly, and to cash where a version is not well."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core.errors import IllegalTransitionError, InvalidError
from strategy_engine.execution.model import Closing, Desired, ExecutionStatus, Role
from strategy_engine.rollout.allocation import moves, rules
from strategy_engine.rollout.allocation.model import (
    ARROWS,
    Allocation,
    Kind,
    Policy,
    State,
    Trigger,
)
from strategy_engine.rollout.allocation.rules import Measured
from strategy_engine.rollout.capital import SWEEP
from strategy_engine.venue.model import RiskState

D = Decimal
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("1", "2", "3")
FREE = {"band": D(0), "max_change_a_day": D(1)}
EQUAL = Policy(kind=Kind.EQUAL_RISK, versions=NAMES, **FREE)
NOTHING = Measured(pairs=0, mean={}, deviation={})


def seen(deviations, means=None, pairs=500):
    names = NAMES[: len(deviations)]
    return Measured(
        pairs=pairs,
        mean=dict(zip(names, means or [0.0] * len(deviations), strict=True)),
        deviation=dict(zip(names, deviations, strict=True)),
    )


def weights(*values):
    return {name: D(value) for name, value in zip(NAMES, values, strict=False)}


def ruled(policy, slots, **changes):
    usual = {"in_force": slots, "unwell": {}, "seen": NOTHING, "changed": D(0)}
    return rules.rule(policy, slots=slots, **usual | changes)


# -- weights


def test_equal_risk_is_inverse_volatility():
    found = ruled(EQUAL, weights("0.4", "0.3", "0.3"), seen=seen([0.01, 0.02, 0.04]))
    assert found.weights == weights("0.571428", "0.285714", "0.142857")
    risks = [float(found.weights[n]) * sd for n, sd in zip(NAMES, [0.01, 0.02, 0.04], strict=True)]
    assert max(risks) - min(risks) < 1e-7


def test_equal_performance_has_equal_weights_and_more_has_more():
    policy = replace(EQUAL, kind=Kind.PERFORMANCE)
    slots = weights("0.4", "0.3", "0.3")
    equal = ruled(policy, slots, seen=seen([0.01] * 3, [0.001] * 3)).weights
    assert set(equal.values()) == {D("0.333333")}
    found = ruled(policy, slots, seen=seen([0.01] * 3, [0.001, 0.0, -0.001])).weights
    assert found["1"] > found["2"] > found["3"] > 0


def test_few_bars_say_little_by_the_prior():
    policy = replace(EQUAL, kind=Kind.PERFORMANCE)
    slots = weights("0.4", "0.3", "0.3")
    few, many = (
        ruled(policy, slots, seen=seen([0.01] * 3, [0.0002, 0.0, 0.0], pairs=pairs)).weights["1"]
        for pairs in (30, 5_000)
    )
    assert D("0.334") < few < many
    strong = ruled(policy, slots, seen=seen([0.01] * 3, [1.0, -1.0, -1.0])).weights
    assert strong["1"] / strong["2"] == pytest.approx(D(math.exp(4)), rel=D("0.001"))


@given(
    st.lists(st.floats(min_value=1e-3, max_value=1e3), min_size=1, max_size=6),
    st.lists(st.decimals(min_value=0, max_value=1, places=3), min_size=6, max_size=6),
    st.decimals(min_value=0, max_value=1, places=3),
)
def test_what_is_beyond_a_cap_goes_to_the_others_and_what_fits_nowhere_is_cash(
    scores, caps, budget
):
    named = {str(n): score for n, score in enumerate(scores)}
    limits = {str(n): cap for n, cap in enumerate(caps)}
    found = rules.fill(named, limits, budget)
    assert found.keys() == named.keys()
    assert all(0 <= found[name] <= limits[name] for name in found)
    assert sum(found.values()) <= budget
    room = sum(limits[name] for name in found)
    assert sum(found.values()) >= min(budget, room) - D("1e-5")


def test_a_missing_measurement_keeps_the_weights_as_they_are():
    slots = weights("0.5", "0.3", "0.2")
    for lacking in (
        NOTHING,
        seen([0.01, 0.02, 0.04], pairs=29),
        seen([0.01, 0.02]),
        seen([0.01, 0.02, 0.0]),
        seen([0.01, 0.02, math.nan]),
    ):
        found = ruled(EQUAL, slots, seen=lacking)
        assert (found.weights, found.is_new) == (slots, False)


def test_who_has_no_part_yet_gets_an_equal_one_to_be_measured_by():
    found = ruled(EQUAL, weights(1, 0, 0))
    assert found.weights == weights("0.333333", "0.333333", "0.333333")
    capped = replace(EQUAL, caps={"3": D(0)})
    assert ruled(capped, weights(1, 0, 0)).weights == weights("0.5", "0.5", 0)


# -- slowness


def test_within_the_band_nothing_changes():
    policy = replace(EQUAL, band=D("0.05"))
    slots = weights("0.55", "0.30", "0.15")
    assert ruled(policy, slots, seen=seen([0.01, 0.02, 0.04])).is_new is False
    outside = ruled(policy, weights("0.6", "0.3", "0.1"), seen=seen([0.01, 0.02, 0.03]))
    assert outside.is_new is True


def test_no_more_changes_hands_in_a_day_than_may():
    policy = Policy(
        kind=Kind.FIXED,
        versions=("1", "2"),
        weights=weights("0.2", "0.8"),
        band=D(0),
        max_change_a_day=D("0.25"),
    )
    first = ruled(policy, weights(1, 0))
    assert first.weights == weights("0.75", "0.25")
    assert first.changed == D("0.25")
    again = ruled(policy, first.slots, changed=first.changed)
    assert (again.weights, again.is_new) == (first.weights, False)
    next_day = ruled(policy, first.slots)
    assert next_day.weights == weights("0.5", "0.5")


PARTS = st.integers(0, 100)


@given(
    st.tuples(PARTS, PARTS, PARTS),
    st.tuples(PARTS, PARTS, PARTS),
    st.decimals(min_value=0, max_value=1, places=3),
    st.decimals(min_value=0, max_value=1, places=3),
    st.sets(st.sampled_from(NAMES)),
)
def test_weights_never_exceed_the_whole_nor_the_day_s_limit(before, after, limit, used, sick):
    slots, wanted = (
        {n: D(part) / max(100, sum(parts)) for n, part in zip(NAMES, parts, strict=True)}
        for parts in (before, after)
    )
    slots, wanted = ({n: rules.down(w) for n, w in each.items()} for each in (slots, wanted))
    policy = Policy(
        kind=Kind.FIXED, versions=NAMES, weights=wanted, band=D(0), max_change_a_day=limit
    )
    found = ruled(policy, slots, changed=used, unwell=dict.fromkeys(sick, "is paused"))
    assert sum(found.slots.values()) <= 1
    assert sum(found.weights.values()) <= 1
    assert rules.turnover(slots, found.slots) <= max(D(0), limit - used) + D("3e-6")
    assert all(found.weights[name] == 0 for name in sick)
    assert all(found.weights[n] == found.slots[n] for n in NAMES if n not in sick)


# -- health


def test_an_unwell_version_s_share_is_cash_and_not_the_others_at_once():
    slots = weights("0.5", "0.3", "0.2")
    slow = replace(EQUAL, max_change_a_day=D(0))
    found = ruled(slow, slots, unwell={"1": "is paused"}, seen=seen([0.01, 0.02, 0.04]))
    assert found.weights == weights(0, "0.3", "0.2")
    assert found.slots == slots
    assert found.is_new
    assert "version 1 is paused: its share is cash" in found.why
    back = ruled(slow, found.slots, in_force=found.weights)
    assert back.weights == slots


def test_the_well_share_only_what_is_theirs():
    slots = weights("0.5", "0.25", "0.25")
    measured = Measured(pairs=500, mean={"2": 0, "3": 0}, deviation={"2": 0.01, "3": 0.03})
    found = ruled(EQUAL, slots, unwell={"1": "has ended: boom"}, seen=measured)
    assert found.weights == weights(0, "0.375", "0.125")


# -- measuring


def test_only_bars_that_all_have_are_measured_and_the_last_of_them():
    closes = np.arange(6, dtype=np.int64)
    one = np.array([9.0, 0.01, 0.02, np.nan, 0.03, 0.01])
    other = np.array([0.1, 0.3, 0.2])
    found = rules.measure({"1": (closes, one), "2": (np.array([2, 4, 5]), other)}, 2)
    assert found.pairs == 2
    assert found.mean["1"] == pytest.approx(0.02)
    assert found.mean["2"] == pytest.approx(0.25)
    assert found.deviation["2"] == pytest.approx(np.std([0.3, 0.2], ddof=1))


def test_nothing_in_common_is_no_measurement():
    none = np.empty(0, dtype=np.int64)
    assert rules.measure({}, 5).pairs == 0
    assert rules.measure({"1": (none, none.astype(float))}, 5).deviation == {}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"versions": ()}, "versions"),
        ({"versions": ("1", "1")}, "versions"),
        ({"weights": {"9": D(1)}, "kind": Kind.FIXED}, "weights"),
        ({"kind": Kind.FIXED}, "weights"),
        ({"weights": {"1": D("0.5")}}, "weights"),
        ({"weights": weights("0.6", "0.6"), "kind": Kind.FIXED}, "weights"),
        ({"weights": {"1": D("0.6")}, "kind": Kind.FIXED, "caps": {"1": D("0.5")}}, "weights"),
        ({"caps": {"9": D(1)}}, "caps"),
        ({"caps": {"1": D(2)}}, "caps"),
        ({"band": D("-0.1")}, "band"),
        ({"max_change_a_day": D(2)}, "max_change_a_day"),
        ({"lookback": 1}, "lookback"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(changes, field):
    with pytest.raises(InvalidError) as refused:
        rules.check(replace(EQUAL, **changes))
    assert refused.value.facts["field"] == field


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("trigger", Trigger)
def test_only_arrows_in_the_table_move_an_allocation(state, trigger):
    mine = allocation(state=state)
    if (state, trigger) in ARROWS:
        assert mine.on(trigger).state is ARROWS[state, trigger]
    else:
        with pytest.raises(IllegalTransitionError):
            mine.on(trigger)


# -- capital


def allocation(**fields):
    usual = {
        "allocation_id": "alloc_1",
        "strategy_name": "Line",
        "policy": Policy(kind=Kind.EQUAL_RISK, versions=("1.0.0", "2.0.0")),
        "requested_by": "test",
        "created_at": NOW,
        "updated_at": NOW,
        "executions": {"1.0.0": "old", "2.0.0": "new"},
        "capital": D(100_000),
        "weights": {"1.0.0": D("0.6"), "2.0.0": D("0.4")},
    }
    return Allocation(**usual | fields)


def turn(mine, world):
    asked = moves.asking(mine, world.line(), world.unready())
    world.take(asked.changes)
    world.call_in(asked.calls_in)
    world.node()
    return asked


@pytest.fixture
def world(line_world):
    line_world.add("old", bars=20)
    line_world.add("new", version="2.0.0", role=Role.SHADOW, capital="40000", bars=20)
    return line_world


def test_a_new_version_enters_when_the_old_has_given(world):
    mine = allocation(goal=moves.goal_of(allocation(), world.line(), allocation().weights))
    assert mine.goal == {"old": D(60_000)}
    turn(mine, world)
    assert world.rows["new"].role is Role.SHADOW
    turn(mine, world)
    assert world.rows["new"].role is Role.CANDIDATE
    assert world.real_contributed() == 100_000
    assert turn(mine, world).is_done


def test_one_that_opened_at_an_earlier_price_finds_room(world):
    world.bars(1, old="-10000")
    goal = moves.goal_of(allocation(), world.line(), allocation().weights)
    mine = allocation(goal=goal)
    for _ in range(2):
        turn(mine, world)
    assert world.rows["new"].role is Role.CANDIDATE
    assert world.accounts["old"].equity == 50_000  # not the 54,000 of its weight: 40,000 are taken


def test_a_paused_version_gives_what_is_free_and_gets_it_again(world):
    world.rows["new"] = replace(world.rows["new"], role=Role.CANDIDATE)
    world.rows["old"] = replace(world.rows["old"], capital=D(60_000))
    world.accounts["old"] = replace(world.accounts["old"], contributed=D(60_000), equity=D(60_000))
    mine = allocation()
    world.rows["new"] = replace(world.rows["new"], status=ExecutionStatus.PAUSED)
    assert moves.unwell(mine, world.line()) == {"2.0.0": "is paused"}
    sick = {"1.0.0": D("0.6"), "2.0.0": D(0)}
    mine = replace(mine, weights=sick, goal=moves.goal_of(mine, world.line(), sick))
    assert mine.goal["new"] == SWEEP
    asked = turn(mine, world)
    assert asked.changes["new"].capital_target == SWEEP
    world.rows["new"] = replace(world.rows["new"], status=ExecutionStatus.RUNNING)
    world.node()
    assert world.accounts["new"].equity == 0
    again = allocation()
    again = replace(again, goal=moves.goal_of(again, world.line(), again.weights))
    for _ in range(2):
        turn(again, world)
    assert world.accounts["new"].equity == 40_000
    assert world.accounts["old"].equity == 60_000


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, None),
        ({"status": ExecutionStatus.ERROR, "error": "boom\nmore"}, "has ended: boom"),
        ({"status": ExecutionStatus.STOPPED, "end_reason": "stopped"}, "has ended: stopped"),
        ({"failure": "raised"}, "failed: raised"),
        ({"desired": Desired.DRAIN, "desired_why": "x"}, "was told to drain: x"),
        ({"desired": Desired.PAUSE}, "is paused"),
        ({"risk_state": RiskState.HALTED}, "is halted by risk"),
    ],
)
def test_who_is_not_well_is_said_with_the_reason(world, changes, told):
    world.rows["new"] = replace(world.rows["new"], **changes)
    found = moves.unwell(allocation(), world.line())
    assert found == ({} if told is None else {"2.0.0": told})


def test_what_lies_in_cash_goes_to_the_stable_at_the_end(world):
    world.fail("new")
    world.rows["new"] = replace(world.rows["new"], role=Role.CANDIDATE, final_pnl=D(-500))
    world.accounts["old"] = replace(world.accounts["old"], contributed=D(60_000), equity=D(61_000))
    mine = allocation(state=State.ENDING)
    assert not turn(mine, world).is_done
    assert world.accounts["old"].contributed == 99_500
    assert turn(mine, world).is_done


def test_a_shadow_that_never_got_capital_is_let_go_at_the_end(world):
    mine = allocation(state=State.ENDING)
    asked = turn(mine, world)
    assert asked.changes["new"].desired is Desired.DRAIN
    assert turn(mine, world).is_done


def both(world):
    mine = allocation(goal=moves.goal_of(allocation(), world.line(), allocation().weights))
    while not turn(mine, world).is_done:
        pass
    return mine


@pytest.mark.parametrize("state", [State.ACTIVE, State.ENDING])
def test_what_an_ended_member_holds_is_no_cash_until_it_is_closed(world, state):
    mine = both(world)
    world.bars(3, new="-500")
    world.locked["new"] = D(10_000)
    world.fail("new")
    account = world.line().account(mine.capital, mine.executions.values())
    assert (account.pool, account.worth) == (0, 99_500)

    mine = replace(mine, state=state)
    asked = turn(mine, world)
    assert (asked.calls_in, asked.is_done) == (("new",), False)
    assert world.accounts["old"].contributed == 60_000
    if state is not State.ACTIVE:
        while not turn(mine, world).is_done:
            pass
        assert world.accounts["old"].contributed == 99_500
    account = world.line().account(mine.capital, mine.executions.values())
    assert account.pool == (39_500 if state is State.ACTIVE else 0)
    assert account.worth == 99_500


def test_what_cannot_be_closed_holds_nothing_up_and_is_no_cash(world):
    mine = both(world)
    world.locked["new"] = D(10_000)
    world.fail("new")
    world.rows["new"] = replace(world.rows["new"], closing=Closing.STUCK)
    asked = turn(replace(mine, state=State.ENDING), world)
    assert (asked.calls_in, asked.is_done) == ((), True)
    assert world.accounts["old"].contributed == 60_000


def test_cash_that_none_of_those_that_shared_is_left_to_take_goes_to_the_stable_one(world):
    mine = replace(both(world), state=State.ENDING)
    world.stop("old")
    world.stop("new")
    world.add("again", capital="1000")
    asked = turn(mine, world)
    assert (asked.goal, asked.changes) == ({"again": D(101_000)}, {})
    mine = replace(mine, goal=asked.goal)
    assert not turn(mine, world).is_done
    assert world.accounts["again"].contributed == 101_000
    assert turn(mine, world).is_done
    world.stop("again")
    assert turn(mine, world).message == "again has what was left of it"
