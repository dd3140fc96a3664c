"""What a rollout's switch hands over: all that is free, once, and nobody's share twice."""

import sys
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.execution import engagement
from strategy_engine.execution.model import (
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Exits,
    Role,
)
from strategy_engine.rollout import capital, stakes, switches
from strategy_engine.rollout.capital import SWEEP
from strategy_engine.rollout.model import (
    Deployment,
    DeploymentType,
    Handover,
    Options,
    Progress,
    State,
)
from strategy_engine.rollout.moves import Member
from strategy_engine.rollout.plans import Kind, Step
from strategy_engine.rollout.verbs import Verb
from strategy_engine.venue.accounts import AccountNow

sys.path.append(str(Path(__file__).parent))
from world import World
from world_node import BAR_NS, SYMBOLS, Script

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALL = Step(kind=Kind.SWITCH, weight=1.0)
BATCH = Step(kind=Kind.SWITCH, weight=0.5, symbols=("A.SIM",))
amounts = st.decimals(0, 100_000, places=9)


def member(name, role, contributed, equity=None, *, status=ExecutionStatus.RUNNING):
    execution = Execution(
        execution_id=name,
        strategy_id=f"strat_of_{name}",
        role=role,
        status=status,
        desired=Desired.RUN,
        config=ExecutionConfig(),
        capital=contributed,
        created_at=NOW,
        updated_at=NOW,
    )
    worth = contributed if equity is None else equity
    account = AccountNow(
        execution_id=name,
        contributed=contributed,
        equity=worth,
        cash=worth,
        free=worth,
        is_flat=True,
        close_ns=1,
        bar_no=30,
        entry_no=30,
        fill_count=0,
        order_count=0,
        denied_count=0,
        slippage_bps=None,
        waiting_entries=0,
    )
    return Member(execution=execution, account=account)


def deployment(kept, *, baseline="", **options):
    return Deployment(
        pipeline_id="pipe_1",
        strategy_id="strat_of_new",
        strategy_name="Waves",
        options=Options(deployment_type=DeploymentType.BLUE_GREEN, **options),
        stages=(),
        left_out=(),
        requested_by="somebody",
        created_at=NOW,
        state=State.ROLLING_OUT,
        replaces=("old",),
        progress=Progress(candidate="new", baseline=baseline, capital=kept),
    )


def forward(found, step, *members):
    known = {each.execution.execution_id: each for each in members}
    account = stakes.account_of(found, members)
    goals = stakes.goals_of(found, step, account, known)
    return switches.forward(found, step, account, goals, known), account


@given(
    roles=st.tuples(st.sampled_from([Role.SHADOW, Role.CANDIDATE]), st.booleans()),
    given_to=st.tuples(amounts, amounts, amounts),
    worths=st.tuples(amounts, amounts, amounts),
    pool_and_free=st.tuples(amounts, amounts, amounts),
    step=st.sampled_from([ALL, BATCH]),
)
def test_whatever_is_free_by_then_everything_that_nobody_keeps_is_the_new_ones(
    roles, given_to, worths, pool_and_free, step
):
    (role, has_baseline), (pool, *free) = roles, pool_and_free
    is_real = role is not Role.SHADOW
    members = [
        member("old", Role.STABLE, given_to[0], worths[0]),
        member("new", role, given_to[1], worths[1]),
    ]
    if has_baseline:
        members.append(member("beside", Role.BASELINE, given_to[2], worths[2]))
    real = [each for each in members if is_real or each.execution.execution_id != "new"]
    kept = capital.total((pool, *(each.contributed for each in real)))
    found = deployment(kept, baseline="beside" if has_baseline else "")

    asked, account = forward(found, step, *members)
    now = {each.execution.execution_id: each.contributed for each in real}
    for (name, target), cash in zip(asked.parting.items(), free, strict=False):
        now[name] = capital.total((now[name], -min(cash, capital.total((now[name], -target)))))
    done = engagement.handed(asked, now)
    now["new"] = done.changes["new"].capital_target

    assert account.pool == pool
    assert capital.total(now.values()) == kept
    again = engagement.handed(asked, now)
    assert again == done  # worked out once more, after a crash


@given(
    role=st.sampled_from([Role.SHADOW, Role.CANDIDATE]),
    warm=st.sampled_from([Role.SHADOW, Role.STABLE]),
    given_to=st.tuples(amounts, amounts, amounts),
    pool_and_free=st.tuples(amounts, amounts, amounts),
)
def test_what_comes_back_is_all_that_is_free_and_nobodys_twice(role, warm, given_to, pool_and_free):
    pool, *free = pool_and_free
    old, new = member("old", warm, given_to[0]), member("new", role, given_to[1])
    beside = member("beside", Role.BASELINE, given_to[2])
    real = [each for each in (new, beside) if each.execution.role is not Role.SHADOW]
    kept = capital.total((pool, *(each.contributed for each in (old, *real))))
    account = stakes.account_of(deployment(kept, baseline="beside"), [old, new, beside])
    looked_at = {each.execution.execution_id: each for each in (new, beside)}
    gives = {name: each.execution for name, each in looked_at.items()}

    asked = switches.back("k", account, gives, [old], looked_at)
    now = {each.execution.execution_id: each.contributed for each in real}
    for name, cash in zip(asked.parting, free, strict=False):
        now[name] = capital.total((now[name], -cash))
    now["old"] = engagement.handed(asked, now).changes["old"].capital_target

    assert asked.gives == ("new", "beside")
    assert set(asked.parting) == {each.execution.execution_id for each in real}
    assert capital.total(now.values()) == kept


def test_a_sum_that_may_be_old_by_now_is_not_handed_over():
    old, new = member("old", Role.STABLE, Decimal(40)), member("new", Role.SHADOW, Decimal(50))
    account = stakes.account_of(deployment(Decimal(100)), [old, new])
    looked_at = {"new": new}
    is_real_now = {"new": replace(new.execution, role=Role.CANDIDATE)}

    same = switches.back("k", account, {"new": new.execution}, [old], looked_at)
    other = switches.back("k", account, is_real_now, [old], looked_at)
    two = switches.back(
        "k",
        account,
        {"new": new.execution},
        [old, member("older", Role.STABLE, Decimal(0))],
        looked_at,
    )

    assert (same.hands_cash, same.changes["old"].capital_target) == (True, 100)
    assert (other.hands_cash, other.changes["old"].capital_target) == (False, None)
    assert other.changes["new"].capital_target == SWEEP
    assert (two.hands_cash, two.takes) == (False, ("old", "older"))


def test_a_version_with_the_line_sweeps_out_and_a_batch_leaves_it_its_share():
    old, new = member("old", Role.STABLE, Decimal(90)), member("new", Role.SHADOW, Decimal(50))
    found = deployment(Decimal(100))

    whole, _ = forward(found, ALL, old, new)
    batch, _ = forward(found, BATCH, old, new)

    assert whole.parting == {"old": SWEEP}
    assert batch.parting == {"old": 50}
    assert batch.symbols == ("A.SIM",)
    assert whole.changes["new"].capital_target == batch.changes["new"].capital_target == 100


def test_who_is_to_have_more_than_it_has_parts_with_nothing():
    old = member("old", Role.STABLE, Decimal(10), Decimal(10))
    new = member("new", Role.CANDIDATE, Decimal(60), Decimal(60))

    asked, _ = forward(deployment(Decimal(100)), BATCH, old, new)

    assert asked.parting == {}
    assert asked.changes["new"].capital_target == 90


@pytest.mark.parametrize("step", [ALL, BATCH])
@pytest.mark.parametrize("handover", Handover)
def test_the_engine_closes_what_each_batch_gives_where_that_was_asked_for(step, handover):
    old, new = member("old", Role.STABLE, Decimal(90)), member("new", Role.SHADOW, Decimal(50))

    asked, _ = forward(deployment(Decimal(100), handover=handover), step, old, new)

    runs_off = handover is Handover.RUN_OFF
    assert asked.changes["old"].exits is (Exits.OWN if runs_off else Exits.FLATTEN)
    assert asked.adopts is (handover is Handover.ADOPT)
    assert asked.hands_cash


def test_a_baseline_that_has_ended_is_fenced_and_has_nothing_to_part_with():
    old, new = member("old", Role.STABLE, Decimal(90)), member("new", Role.CANDIDATE, Decimal(5))
    gone = member("beside", Role.BASELINE, Decimal(5), status=ExecutionStatus.ERROR)

    asked, account = forward(deployment(Decimal(100), baseline="beside"), ALL, old, new, gone)

    assert asked.gives == ("old", "beside")
    assert asked.parting == {"old": SWEEP}
    assert account.pool == 5
    assert asked.changes["new"].capital_target == 100


def test_a_version_before_that_has_ended_is_fenced_and_has_nothing_to_part_with():
    gone = member("old", Role.STABLE, Decimal(90), status=ExecutionStatus.STOPPED)
    new = member("new", Role.SHADOW, Decimal(50))

    asked, _ = forward(deployment(Decimal(90)), ALL, gone, new)

    assert asked.gives == ("old",)
    assert asked.parting == {}
    assert asked.changes["new"].capital_target == 90


async def test_no_bar_is_served_again_that_a_version_served_which_was_ahead_and_has_ended():
    world = World()
    before = await world.start_stable(Script(period=12, hold=6))
    await world.deploy(Script(period=12, hold=6), Options(min_time="1s", min_decisions=1))
    while len(world.alive) < 2:
        await world.round()
    for _ in range(40 * len(SYMBOLS)):
        await world.bar(before.execution_id)  # the new one is shown 20 meanwhile
    await world.stop_version(before.strategy_id)
    while not any(each.done_at for each in world.executions.switches.values()):
        await world.round()

    (done,) = world.executions.switches.values()
    ahead_ns, new = world.tradings[before.execution_id].place_ns, world.tradings[done.takes[0]]
    assert new.place_ns < done.at_ns == ahead_ns
    while new.place_ns <= ahead_ns:
        await world.bar(done.takes[0])  # the world sees that it serves no bar twice
    world.close()


@pytest.mark.parametrize("kind", [DeploymentType.DIRECT, DeploymentType.BLUE_GREEN])
async def test_a_new_version_opens_with_the_first_bar_that_it_serves_when_the_old_one_is_flat(kind):
    world = World()
    options = Options(deployment_type=kind, min_time="1s", min_decisions=1)
    before = await world.start_stable(Script(period=100_000, hold=1))
    await world.round()
    await world.deploy(Script(period=2, hold=1), options)
    while not world.executions.switches:
        await world.round()
    await world.do_switches()  # and control looks no more
    (done,) = world.executions.switches.values()
    (taker,) = done.takes

    old, new = world.tradings[before.execution_id], world.tradings[taker]
    last_ns = done.at_ns + 4 * BAR_NS
    while new.place_ns < last_ns or new.next % len(SYMBOLS):
        await world.bar(taker)

    assert old.venue.account.equity() == 0
    assert new.contributed_nanos == world.capital_nanos - old.contributed_nanos
    first = {symbol: next(f for f in new.fills if f.symbol == symbol) for symbol in SYMBOLS}
    assert all(each.ts_ns <= done.at_ns + 2 * BAR_NS for each in first.values())
    assert set(new.denials) <= {"shadow"}
    world.close()


async def test_who_is_to_have_the_line_back_and_fails_meanwhile_does_not_hold_the_others_up():
    world = World()
    before = await world.start_stable(Script(period=12, hold=6))
    found = await world.deploy(Script(period=12, hold=6), Options(min_time="1s"))
    for _ in range(8):
        await world.round()
    assert await world.say(found.pipeline_id, Verb.ABORT)
    await world.control_turn()  # the fence is asked for
    key = f"{found.pipeline_id}/undo"
    assert world.executions.switches[key].takes == (before.execution_id,)
    world.executions.put(replace(world.rows[before.execution_id], failure="it raised"))

    await world.control_turn()  # it is taken back
    await world.control_turn()

    assert world.executions.switches[key].takes == ()
    world.close()
