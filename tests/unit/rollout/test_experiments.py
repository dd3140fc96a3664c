"""What an experiment does next, by what is seen of its line; and what its figures say."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core.errors import IllegalTransitionError, InvalidError
from strategy_engine.execution.model import Desired, Role, Switch
from strategy_engine.rollout.analysis import Difference
from strategy_engine.rollout.capital import SWEEP
from strategy_engine.rollout.experiments import rules
from strategy_engine.rollout.experiments.model import (
    ARROWS,
    Arm,
    Design,
    Experiment,
    Outcome,
    Recommendation,
    State,
    Trigger,
    Unit,
)
from strategy_engine.rollout.experiments.rules import Look
from strategy_engine.venue.model import Span, Tenure

D = Decimal
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DESIGN = Design(hypothesis="B is better", share_b=D("0.25"))


def running_beside(**fields):
    usual = {
        "experiment_id": "exp_1",
        "strategy_name": "Line",
        "design": DESIGN,
        "a": Arm(
            strategy_id="strat_1.0.0",
            version="1.0.0",
            weight=D("0.75"),
            execution_id="old",
            capital_before=D(100_000),
        ),
        "b": Arm(
            strategy_id="strat_2.0.0",
            version="2.0.0",
            weight=D("0.25"),
            execution_id="new",
            is_own=True,
            opening=D(25_000),
        ),
        "requested_by": "test",
        "created_at": NOW,
        "capital": D(100_000),
        "goal": {"old": D(75_000)},
    }
    return Experiment(**usual | fields)


def turn(experiment, world, **seen):
    """Look, write what follows, and let the node do it."""
    step = rules.next_step(experiment, Look(line=world.line(), unready=world.unready(), **seen))
    world.take(step.changes)
    world.call_in(step.calls_in)
    world.node()
    goal = experiment.goal if step.goal is None else step.goal
    experiment = replace(experiment, handed=step.handed, goal=goal)
    if step.trigger is not None:
        experiment = replace(experiment.on(step.trigger), outcome=step.outcome)
    return experiment, step


@pytest.fixture
def world(line_world):
    line_world.add("old")
    line_world.add("new", version="2.0.0", role=Role.SHADOW, capital="25000")
    return line_world


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("trigger", Trigger)
def test_only_arrows_in_the_table_move_an_experiment(state, trigger):
    experiment = running_beside(state=state)
    if (state, trigger) in ARROWS:
        assert experiment.on(trigger).state is ARROWS[state, trigger]
    else:
        with pytest.raises(IllegalTransitionError):
            experiment.on(trigger)


def test_capital_is_freed_first_and_given_to_who_is_ready(world):
    experiment, step = turn(running_beside(), world)
    assert step.changes["old"].capital_target == 75_000
    assert "new" not in step.changes
    assert "decides in shadow: 0 of 20 bars" in step.message

    world.bars(20)
    experiment, step = turn(experiment, world)
    assert step.changes["new"].role is Role.CANDIDATE
    assert world.real_contributed() == 100_000

    experiment, step = turn(experiment, world)
    assert experiment.state is State.RUNNING
    assert step.start_ns == 20 * 3_600_000_000_000


def test_what_a_position_ties_is_waited_for(world):
    world.bars(20)
    world.locked["old"] = D(90_000)
    experiment, _ = turn(running_beside(), world)
    _, step = turn(experiment, world)
    assert world.rows["new"].role is Role.SHADOW
    assert step.message == "25000 is still to come: a position ties it"
    assert world.accounts["old"].contributed == 90_000


def test_nothing_is_asked_again_that_is_asked_for(world):
    experiment, _ = turn(running_beside(), world)
    _, again = turn(experiment, world)
    assert again.changes == {}


def test_one_that_fails_ends_it_and_its_capital_goes_back(world):
    world.bars(20)
    experiment = running_beside()
    for _ in range(3):
        experiment, _ = turn(experiment, world)
    assert experiment.state is State.RUNNING
    world.bars(5, new="-400", old="300")
    world.fail("new", "ZeroDivisionError: it\nand more")

    experiment, step = turn(experiment, world)
    assert (experiment.state, experiment.outcome) == (State.ENDING, Outcome.ABORTED)
    assert step.message == "version 2.0.0 (new) has ended: ZeroDivisionError: it"
    for _ in range(2):
        experiment, _ = turn(experiment, world)
    assert experiment.state is State.ENDED
    assert world.accounts["old"].contributed == 99_600
    assert world.accounts["old"].equity == 99_900


def test_b_runs_off_at_the_end_and_gives_as_it_can(world):
    world.bars(20)
    experiment = running_beside()
    for _ in range(3):
        experiment, _ = turn(experiment, world)
    world.bars(5, new="1000")
    world.locked["new"] = D(20_000)
    experiment = experiment.on(Trigger.END)

    experiment, step = turn(experiment, world)
    assert step.changes["new"].desired is Desired.DRAIN
    assert step.changes["new"].capital_target == SWEEP
    experiment, step = turn(experiment, world)
    assert world.accounts["old"].contributed == 81_000
    assert step.message == "version 2.0.0 closes what it holds"
    assert experiment.state is State.ENDING

    world.locked.clear()
    for _ in range(4):
        experiment, _ = turn(experiment, world)
    assert experiment.state is State.ENDED
    assert world.accounts["old"].contributed == 101_000


def test_one_that_is_stopped_before_it_began_gives_back_what_was_freed(world):
    experiment, _ = turn(running_beside(), world)
    assert world.accounts["old"].contributed == 75_000
    experiment = experiment.on(Trigger.END)
    for _ in range(3):
        experiment, _ = turn(experiment, world)
    assert experiment.state is State.ENDED
    assert world.accounts["old"].contributed == 100_000


def begun(world):
    world.bars(20)
    experiment = running_beside()
    for _ in range(3):
        experiment, _ = turn(experiment, world)
    assert experiment.state is State.RUNNING
    return experiment


def test_what_a_held_when_it_was_stopped_is_closed_and_all_goes_to_the_line_s_stable_one(world):
    experiment = begun(world)
    world.bars(5, new="1000", old="-400")
    world.locked["old"] = D(30_000)
    world.stop("old")
    world.add("again", capital="50000")  # whom a person has started meanwhile
    world.bars(0, again="7")
    steps = []
    for _ in range(12):
        if experiment.state is not State.ENDED:
            experiment, step = turn(experiment, world)
            steps.append(step)

    assert experiment.state is State.ENDED
    assert steps[0].outcome is Outcome.ABORTED
    assert [each.calls_in for each in steps if each.calls_in] == [("old",)]
    assert world.accounts["again"].contributed == 50_000 + 100_600
    assert world.accounts["new"].equity == 0
    assert steps[-1].message == "again has what was left of it"


def test_what_nobody_is_left_to_take_is_told(world):
    experiment = begun(world)
    world.stop("old")
    while experiment.state is not State.ENDED:
        experiment, step = turn(experiment, world)
    assert step.message.startswith("100000 is left of it, and nothing of the line runs")


def test_cash_is_inherited_once_though_its_heir_ends_at_once(world):
    experiment = begun(world)
    world.stop("old")
    world.add("again", capital="50000")
    while experiment.goal.keys() != {"again"}:
        experiment, _ = turn(experiment, world)
    turn(experiment, world)
    assert world.accounts["again"].contributed == 150_000
    world.stop("again")
    world.add("third", capital="10000")
    for _ in range(3):
        if experiment.state is not State.ENDED:
            experiment, _ = turn(experiment, world)
    assert experiment.state is State.ENDED
    assert world.accounts["third"].contributed == 10_000


# -- instruments


SYMBOLS = ("A.SIM", "B.SIM", "C.SIM", "D.SIM")


@pytest.fixture
def shared(world):
    world.bars(20)
    design = replace(DESIGN, unit=Unit.INSTRUMENT)
    experiment = running_beside(design=design)
    return replace(experiment, b=replace(experiment.b, symbols=("B.SIM", "D.SIM")))


def test_instruments_are_closed_to_a_before_b_gets_any(world, shared):
    _, step = turn(shared, world)
    assert step.asks_fence
    assert step.changes.keys() == {"old"}
    asked = Switch(key="exp_1/fence")
    _, step = turn(shared, world, fence=asked)
    assert not step.asks_fence
    assert "is being closed" in step.message


def test_an_instrument_with_a_position_stays_until_it_is_flat(world, shared):
    done = Switch(key="exp_1/fence", at_ns=7, done_at=NOW)
    experiment, _ = turn(shared, world, fence=done, held=frozenset({"D.SIM"}))
    experiment, step = turn(experiment, world, fence=done, held=frozenset({"D.SIM"}))
    at_ns = world.accounts["old"].close_ns
    assert world.rows["new"].role is Role.CANDIDATE
    assert world.rows["new"].serves == Tenure(
        others=rules.NEVER, by_symbol={"B.SIM": Span(from_ns=at_ns)}
    )
    assert step.message == "version 1.0.0 still holds D.SIM"
    assert experiment.state is State.STARTING

    world.bars(3)
    for _ in range(2):
        experiment, _ = turn(experiment, world, fence=done)
    assert world.rows["new"].serves.of("B.SIM") == Span(from_ns=at_ns)
    assert world.rows["new"].serves.of("D.SIM") == Span(from_ns=world.accounts["old"].close_ns)
    assert experiment.state is State.RUNNING


def test_a_serves_all_again_when_b_has_ended(world, shared):
    done = Switch(key="exp_1/fence", at_ns=7, done_at=NOW)
    experiment = shared
    for _ in range(3):
        experiment, _ = turn(experiment, world, fence=done)
    assert experiment.state is State.RUNNING
    world.rows["old"] = replace(
        world.rows["old"], serves=Tenure(by_symbol={"B.SIM": Span(until_ns=7)})
    )
    world.locked["new"] = D(1)
    experiment = experiment.on(Trigger.END)
    experiment, _ = turn(experiment, world)
    assert world.rows["old"].serves == Tenure(by_symbol={"B.SIM": Span(until_ns=7)})
    world.locked.clear()
    for _ in range(4):
        experiment, _ = turn(experiment, world)
    assert experiment.state is State.ENDED
    assert world.rows["old"].serves == Tenure()


@given(
    st.dictionaries(
        st.text("ABCDEFGH", min_size=1, max_size=4),
        st.floats(min_value=0, max_value=5),
        min_size=2,
        max_size=20,
    ),
    st.decimals(min_value="0.05", max_value="0.95", places=2),
    st.integers(0, 1_000),
)
def test_each_stratum_of_volatility_gives_one_and_the_seed_decides_which(volatilities, share, seed):
    chosen = rules.assign(volatilities, share, seed)
    assert chosen == rules.assign(dict(reversed(volatilities.items())), share, seed)
    assert 0 < len(chosen) < len(volatilities)
    assert abs(len(chosen) - len(volatilities) * share) <= 1
    ranked = sorted(volatilities, key=lambda name: (volatilities[name], name))
    places = sorted(ranked.index(name) for name in chosen)
    size = len(ranked) / len(chosen)
    assert all(
        int(number * size) <= place < (number + 1) * size for number, place in enumerate(places)
    )


def test_another_seed_draws_others():
    volatilities = {f"S{n}": float(n) for n in range(10)}
    drawn = {rules.assign(volatilities, D("0.5"), seed) for seed in range(20)}
    assert len(drawn) > 5


def test_one_instrument_cannot_be_shared():
    with pytest.raises(InvalidError, match="assign capital instead"):
        rules.assign({"A.SIM": 0.1}, D("0.5"), 0)


# -- judgement


def difference(lower, upper, pairs=500):
    return Difference(pairs=pairs, mean=(lower + upper) / 2, lower=lower, upper=upper)


@pytest.mark.parametrize(
    ("found", "recommendation"),
    [
        (None, Recommendation.INCONCLUSIVE),
        (difference(0.06, 0.5), Recommendation.PREFER_B),
        (difference(0.04, 0.5), Recommendation.INCONCLUSIVE),
        (difference(-0.5, -0.06), Recommendation.PREFER_A),
        (difference(-0.5, -0.04), Recommendation.INCONCLUSIVE),
        (difference(-0.04, 0.04), Recommendation.EQUIVALENT),
        (difference(-0.5, 0.9), Recommendation.INCONCLUSIVE),
    ],
)
def test_the_interval_recommends_and_not_the_mean(found, recommendation):
    result = rules.judge(DESIGN, 500, found, [])
    assert result.recommendation is recommendation


def test_a_preference_needs_both_to_have_worked_as_they_should():
    result = rules.judge(DESIGN, 500, difference(0.06, 0.5), ["9 of 10 orders were refused"])
    assert result.recommendation is Recommendation.INCONCLUSIVE
    assert result.message.endswith("9 of 10 orders were refused")


def test_refused_orders_and_slippage_are_findings(world):
    row, account = world.rows["old"], world.accounts["old"]
    assert rules.findings("1.0.0", row, account) == []
    bad = replace(account, order_count=20, denied_count=2, slippage_bps=7.5)
    assert rules.findings("1.0.0", row, bad) == [
        "2 of 20 orders of version 1.0.0 were refused",
        "version 1.0.0 pays 7.5 bps more than its fills' rule",
    ]
    assert rules.findings("1.0.0", row, None) == ["version 1.0.0 has no ledger that could be read"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("share_b", D(0)), ("share_b", D(1)), ("alpha", 0.0), ("alpha", 0.5), ("planned_pairs", 29)],
)
def test_a_design_that_cannot_be_judged_is_refused(field, value):
    with pytest.raises(InvalidError) as refused:
        rules.check(replace(DESIGN, **{field: value}))
    assert refused.value.facts["field"] == field
