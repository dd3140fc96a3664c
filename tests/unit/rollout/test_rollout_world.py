"""Rollouts in a world of made-up bars: every type to its end, whatever dies when."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from strategy_engine.execution.interruptions import Interruption
from strategy_engine.execution.model import Change, Closing, Desired
from strategy_engine.execution.stops import Stop
from strategy_engine.matching.model import Cause
from strategy_engine.registry.model import Status, Trigger
from strategy_engine.rollout import controller as controllers
from strategy_engine.rollout.model import DeploymentType, Handover, Options, Outcome, State
from strategy_engine.rollout.verbs import Verb
from strategy_engine.venue.limits import Scope

sys.path.append(str(Path(__file__).parent))
from world import World
from world_node import Script

DIRECT, BLUE_GREEN = DeploymentType.DIRECT, DeploymentType.BLUE_GREEN
CANARY, ROLLING = DeploymentType.CANARY, DeploymentType.ROLLING
STEADY = Script(period=12, hold=6)
BEFORE_ROUNDS, MOST_ROUNDS, AFTER_ROUNDS = 6, 150, 4


@dataclass(frozen=True, kw_only=True)
class Ending:
    outcome: Outcome
    reason: str = ""


PROMOTED = Ending(outcome=Outcome.PROMOTED)
SCRIPTS = {
    "better": Script(foresight=1),
    "same": STEADY,
    "raises in shadow": Script(raises_at=10),
    "raises": Script(raises_at=48),
    "loses fast": Script(foresight=-1),
    "stops emitting": Script(silent_at=48),
    "is rejected": Script(is_refused=True),
    "is slow": Script(cpu_ms=50.0),
    "decides otherwise": Script(mismatches_at=22),
    "never decides as its code": Script(mismatches_at=0),
}


def rolled_back(reason):
    return Ending(outcome=Outcome.ROLLED_BACK, reason=reason)


ENDINGS = {
    "better": PROMOTED,
    "same": PROMOTED,
    "raises in shadow": rolled_back("failed"),
    "raises": rolled_back("failed"),
    "loses fast": rolled_back("loss_budget"),
    "stops emitting": rolled_back("silent"),
    "is rejected": rolled_back("rejects"),
    "is slow": rolled_back("slow"),
    "decides otherwise": rolled_back("decision_mismatch"),
    "never decides as its code": rolled_back("decision_mismatch"),
}


def script_of(kind, behaviour):
    if kind is DIRECT and behaviour == "raises":
        return Script(raises_at=30)  # later, it has the line
    return SCRIPTS[behaviour]


def options(kind, **changes):
    given = {
        "deployment_type": kind,
        "min_time": "3s",
        "min_decisions": 6,
        "loss_budget": 0.03,
        "handover_deadline_s": 12.0,
        "bounds": {"max_silence_s": 2.0, "fewest_orders": 3},
        "steps": ({"shadow": "2s"}, {"weight": 0.1}, {"weight": 0.4}) if kind is CANARY else (),
    }
    return Options(**given | changes)


async def carry(world, script, chosen):
    """Deploy a version beside one that has traded a while, and carry it to its end."""
    await world.start_stable(STEADY)
    for _ in range(BEFORE_ROUNDS):
        await world.round()
    deployment = await world.deploy(script, chosen)
    await to_the_end(world)
    return await world.journal.get(deployment.pipeline_id)


async def to_the_end(world):
    for _ in range(MOST_ROUNDS):
        if await world.rolling() is None:
            break
        await world.round()
    for _ in range(AFTER_ROUNDS):  # the node obeys the last words
        await world.round()


def ending(deployment):
    undo = deployment.progress.undo
    return Ending(outcome=deployment.outcome, reason="" if undo is None else undo.reason)


async def check_the_end(world, deployment):
    is_promoted = deployment.outcome is Outcome.PROMOTED
    assert deployment.state is (State.COMPLETED if is_promoted else State.FAILED)
    if deployment.progress.warm_until is not None:
        world.warm.update(deployment.replaces)
    assert await world.left_over() == []
    (stable,) = world.stables
    is_new = stable.execution_id == deployment.progress.candidate
    assert is_new is is_promoted
    equity = world.tradings[stable.execution_id].venue.account.equity()
    assert equity == world.capital_nanos + world.profit_nanos
    gone = await world.registry.get("strat_1" if is_promoted else "strat_2")
    failed = deployment.progress.undo is not None and gone.status is Status.ERROR
    assert gone.status is Status.STOPPED or failed


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


@pytest.mark.parametrize("behaviour", SCRIPTS)
@pytest.mark.parametrize("kind", [BLUE_GREEN, CANARY, ROLLING])
async def test_every_rollout_ends_as_its_new_version_deserves(world, kind, behaviour):
    deployment = await carry(world, script_of(kind, behaviour), options(kind))

    assert ending(deployment) == ENDINGS[behaviour], deployment.message
    await check_the_end(world, deployment)


@pytest.mark.parametrize("behaviour", SCRIPTS)
async def test_a_direct_one_is_undone_by_what_is_seen_until_it_has_the_line(world, behaviour):
    deployment = await carry(world, script_of(DIRECT, behaviour), options(DIRECT))

    assert ending(deployment) in {ENDINGS[behaviour], PROMOTED}, deployment.message
    await check_the_end(world, deployment)


class DiesAtEverything:
    """Whoever does a thing dies; a turn comes to its end once it has died at all that it does."""

    def __init__(self, when):
        self.when, self.survived = when, set()

    def __call__(self, call):
        if not call.startswith(self.when) or call in self.survived:
            return False
        self.survived.add(call)
        return True


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("behaviour", ["better", "same", "raises", "loses fast", "is rejected"])
@pytest.mark.parametrize("kind", DeploymentType)
async def test_it_ends_as_well_when_control_dies_at_everything_that_it_does(
    world, kind, behaviour, when
):
    world.dies = DiesAtEverything(when)
    world.turned = world.dies.survived.clear
    deployment = await carry(world, script_of(kind, behaviour), options(kind))

    assert world.deaths > 10
    assert ending(deployment) in {ENDINGS[behaviour], PROMOTED}
    if kind is not DIRECT:
        assert ending(deployment) == ENDINGS[behaviour], deployment.message
    await check_the_end(world, deployment)


@pytest.mark.parametrize("rounds", range(8, 14))  # what the old version holds differs by then
@pytest.mark.parametrize("kind", [DIRECT, ROLLING])
async def test_a_new_version_that_is_slow_to_hear_of_its_switch_keeps_no_capital_of_the_old_ones(
    world, kind, rounds
):
    before = await world.start_stable(STEADY)
    for _ in range(rounds):
        await world.round()
    deployment = await world.deploy(SCRIPTS["better"], options(kind))
    while not world.executions.switches:
        await world.round()
    await world.do_switches()
    for _ in range(12):  # control sees it done, and goes on; nobody hears it in the node but one
        world.clock.advance(1)
        await world.hear(before.execution_id)
        await world.control_turn()
        world.check()  # nobody has what another has still to let go of

    await to_the_end(world)
    await check_the_end(world, await world.journal.get(deployment.pipeline_id))


async def test_a_rollout_that_died_as_it_started_a_version_ends_it_when_it_is_aborted(world):
    await world.start_stable(STEADY)
    deployment = await world.deploy(SCRIPTS["same"], options(CANARY))
    world.dies = lambda call: call == "after start"
    while not world.deaths:
        await world.round()
    assert await world.say(deployment.pipeline_id, Verb.ABORT)
    world.dies = lambda call: False
    await to_the_end(world)

    assert await world.left_over() == []
    assert len(world.rows) == 2


async def test_a_stable_version_that_ends_while_the_line_comes_back_does_not_hold_it_up(world):
    before = await world.start_stable(STEADY)
    deployment = await world.deploy(SCRIPTS["same"], options(DIRECT))
    for _ in range(12):
        await world.round()
    assert await world.say(deployment.pipeline_id, Verb.ABORT)
    await world.control_turn()  # the fence is asked for
    assert await world.executions.switched(f"{deployment.pipeline_id}/undo")
    await world.stop_version(before.strategy_id)
    await world.hear(before.execution_id)
    await to_the_end(world)

    assert await world.rolling() is None


async def test_what_people_want_of_the_version_before_outlasts_a_rollback(world):
    before = await world.start_stable(STEADY)
    deployment = await world.deploy(SCRIPTS["same"], options(BLUE_GREEN))
    for _ in range(12):
        await world.round()
    world.executions.want(before.execution_id, Change(desired=Desired.PAUSE))
    assert await world.say(deployment.pipeline_id, Verb.ROLLBACK)
    await to_the_end(world)

    assert world.rows[before.execution_id].desired is Desired.PAUSE


async def test_a_version_before_that_has_ended_begins_again_where_the_new_one_left(world):
    before = await world.start_stable(STEADY)
    deployment = await world.deploy(SCRIPTS["same"], options(BLUE_GREEN))
    while not any(each.done_at for each in world.executions.switches.values()):
        await world.round()
    await world.stop_version(before.strategy_id)
    for _ in range(6):
        await world.round()
    assert await world.say(deployment.pipeline_id, Verb.ROLLBACK)
    await to_the_end(world)
    undo = await world.executions.switched(f"{deployment.pipeline_id}/undo")
    (again,) = world.stables

    assert again.strategy_id == before.strategy_id
    assert again.config.start_ns == undo.at_ns > world.tradings[before.execution_id].place_ns
    assert ending(await world.journal.get(deployment.pipeline_id)) == rolled_back("rolled_back")


async def test_a_canary_that_is_paused_goes_on_when_it_has_decided_enough_again(world):
    await world.start_stable(STEADY)
    deployment = await world.deploy(SCRIPTS["same"], options(CANARY))
    while (found := await world.journal.get(deployment.pipeline_id)).current_stage != "weight_10":
        await world.round()
    candidate = found.progress.candidate
    world.executions.want(candidate, Change(desired=Desired.PAUSE))
    for _ in range(30):
        await world.round()
    paused = await world.journal.get(deployment.pipeline_id)
    assert await world.say(deployment.pipeline_id, Verb.PROMOTE_FULL)
    for _ in range(30):
        await world.round()
    asked = await world.journal.get(deployment.pipeline_id)
    world.executions.want(candidate, Change(desired=Desired.RUN))
    await to_the_end(world)

    assert (paused.current_stage, paused.state) == ("weight_10", State.ROLLING_OUT)
    assert "is paused" in paused.progress.message
    assert (asked.current_stage, asked.state) == ("switch", State.ROLLING_OUT)
    ended = await world.journal.get(deployment.pipeline_id)
    assert ending(ended) == PROMOTED
    await check_the_end(world, ended)


async def pause(world, strategy_id, desired):
    """Let a person pause or resume a version, in every role that it has."""
    trigger = Trigger.PAUSE if desired is Desired.PAUSE else Trigger.RESUME
    await world.registry.move(strategy_id, trigger, actor="somebody")
    for each in await world.executions.unended_of(strategy_id):
        world.executions.want(each.execution_id, Change(desired=desired))


async def until(world, deployment, stage):
    while (found := await world.journal.get(deployment.pipeline_id)).current_stage != stage:
        await world.round()
    return found


@pytest.mark.parametrize("stage", ["shadow", "weight_10"])
async def test_a_rollout_stands_still_while_the_version_before_is_paused(world, stage):
    before = await world.start_stable(STEADY)
    deployment = await world.deploy(SCRIPTS["same"], options(CANARY))
    seen = (await until(world, deployment, stage)).progress
    await pause(world, before.strategy_id, Desired.PAUSE)
    for _ in range(30):
        await world.round()
    assert await world.say(deployment.pipeline_id, Verb.PROMOTE)
    for _ in range(10):
        await world.round()
    still = await world.journal.get(deployment.pipeline_id)
    await pause(world, before.strategy_id, Desired.RUN)
    for _ in range(2):
        await world.round()
    after = await world.journal.get(deployment.pipeline_id)

    assert (still.current_stage, still.progress.is_still) == (stage, True)
    assert "the version before it is paused" in still.progress.message
    assert f"{seen.baseline} (" in still.progress.message
    assert (still.progress.seen_from_ns, after.progress.is_still) == (0, False)
    assert 0 < after.progress.seen_from_ns <= world.tradings[seen.candidate].place_ns
    assert {"stands_still", "goes_on"} <= {*await world.acted(deployment.pipeline_id)}
    await to_the_end(world)
    ended = await world.journal.get(deployment.pipeline_id)
    assert ending(ended) == PROMOTED
    await check_the_end(world, ended)


async def test_a_baseline_is_not_started_of_a_version_that_is_paused(world):
    before = await world.start_stable(STEADY)
    await pause(world, before.strategy_id, Desired.PAUSE)
    deployment = await world.deploy(SCRIPTS["same"], options(CANARY))
    for _ in range(10):
        await world.round()
    still = await world.journal.get(deployment.pipeline_id)
    await pause(world, before.strategy_id, Desired.RUN)
    await to_the_end(world)

    assert (still.current_stage, still.progress.baseline) == ("prepare", "")
    assert "is paused" in still.progress.message
    assert ending(await world.journal.get(deployment.pipeline_id)) == PROMOTED


async def test_what_stood_still_has_its_whole_time_again_and_is_not_stuck(world):
    await world.start_stable(STEADY)
    chosen = options(CANARY, progress_deadline="20s")
    deployment = await world.deploy(SCRIPTS["same"], chosen)
    found = await until(world, deployment, "weight_10")
    await pause(world, deployment.strategy_id, Desired.PAUSE)
    for _ in range(60):
        await world.round()
    await pause(world, deployment.strategy_id, Desired.RUN)
    await to_the_end(world)

    ended = await world.journal.get(deployment.pipeline_id)
    assert found.progress.began_at is not None
    assert ending(ended) == PROMOTED


async def test_a_hold_for_what_was_not_measured_ends_when_it_is_measured_again(world):
    await world.start_stable(STEADY)
    deployment = await world.deploy(SCRIPTS["same"], options(CANARY))
    found = await until(world, deployment, "weight_10")
    world.unmeasured.add(found.progress.candidate)
    for _ in range(30):
        await world.round()
    held = (await world.journal.get(deployment.pipeline_id)).progress
    world.unmeasured.clear()
    await to_the_end(world)

    assert (held.held_by, held.held_for) == ("engine", "unmeasured")
    ended = await world.journal.get(deployment.pipeline_id)
    assert ending(ended) == PROMOTED
    acted = await world.acted(deployment.pipeline_id)
    assert acted.index("held") < acted.index("released") < acted.index("complete")


async def test_a_persons_hold_outlasts_a_measurement(world):
    await world.start_stable(STEADY)
    deployment = await world.deploy(SCRIPTS["same"], options(CANARY))
    found = await until(world, deployment, "weight_10")
    world.unmeasured.add(found.progress.candidate)
    for _ in range(5):
        await world.round()
    assert await world.say(deployment.pipeline_id, Verb.PAUSE)
    world.unmeasured.clear()
    for _ in range(30):
        await world.round()

    assert (await world.journal.get(deployment.pipeline_id)).progress.held_by == "somebody"


@pytest.mark.parametrize("kind", [DIRECT, CANARY])
async def test_the_deadlines_of_a_rollout_do_not_count_while_an_emergency_stop_is_in_force(
    world, kind
):
    await world.start_stable(STEADY)
    deployment = await world.deploy(SCRIPTS["same"], options(kind, progress_deadline="20s"))
    stage = "weight_10" if kind is CANARY else "hand_over"
    seen = (await until(world, deployment, stage)).progress
    world.executions.stop = stop_of_everything(world.clock.now())
    for _ in range(4):
        await world.round()
    world.clock.advance(3_600)  # beyond every deadline that it has
    await world.control_turn()
    held = (await world.journal.get(deployment.pipeline_id)).progress
    world.executions.stop = None
    freed_at = world.clock.now()
    await world.control_turn()

    assert (held.index, held.is_still, held.undo) == (seen.index, True, None)
    assert "stop_1" in held.message
    gone_on = (await world.journal.get(deployment.pipeline_id)).progress
    assert (gone_on.is_still, gone_on.message, gone_on.held_by) == (False, "", "")
    assert gone_on.began_at == freed_at
    assert (await world.journal.get(deployment.pipeline_id)).current_stage == stage


def stop_of_everything(at):
    return Stop(
        stop_id="stop_1",
        scope=Scope.ENGINE,
        subject="",
        flattens=False,
        is_drill=False,
        reason="prices are wrong",
        actor="rita",
        at=at,
    )


async def test_a_rollout_beside_which_the_version_before_was_stopped_holds_for_a_person(world):
    before = await world.start_stable(STEADY)
    deployment = await world.deploy(SCRIPTS["same"], options(CANARY))
    while (await world.journal.get(deployment.pipeline_id)).current_stage != "shadow":
        await world.round()
    await world.stop_version(before.strategy_id)
    for _ in range(30):
        await world.round()
    held = (await world.journal.get(deployment.pipeline_id)).progress
    assert (held.held_by, "is gone" in held.held_why) == ("engine", True)

    assert await world.say(deployment.pipeline_id, Verb.ABORT)
    await to_the_end(world)


async def test_what_a_person_has_stopped_is_not_started_by_the_engine(world):
    before = await world.start_stable(STEADY)
    deployment = await world.deploy(SCRIPTS["same"], options(CANARY))
    while (await world.journal.get(deployment.pipeline_id)).current_stage != "weight_10":
        await world.round()
    await world.stop_version(deployment.strategy_id)
    await world.stop_version(before.strategy_id)
    await to_the_end(world)

    ended = await world.journal.get(deployment.pipeline_id)
    assert (ended.outcome, ended.progress.undo.reason) == (Outcome.ABORTED, "failed")
    assert ended.message.endswith("was stopped meanwhile, and stays stopped")
    assert world.alive == []


def interrupted(world, execution_id, kind, cause):
    world.executions.gaps[execution_id] = [
        Interruption(
            execution_id=execution_id, epoch=1, kind=kind, cause=cause, from_at=world.clock.now()
        )
    ]


@pytest.mark.parametrize(
    ("kind", "cause", "expected"),
    [
        ("crash", "exec: it gave no answer within 5 s; look for", rolled_back("silent")),
        ("crash", "exec: it used more memory than it may", rolled_back("failed")),
        ("loss", "exec: killed from outside", PROMOTED),
        ("node", "the node ended", PROMOTED),
    ],
)
async def test_a_new_version_whose_process_ends_by_its_own_doing_is_undone(
    world, kind, cause, expected
):
    await world.start_stable(STEADY)
    deployment = await world.deploy(SCRIPTS["same"], options(CANARY))
    while (found := await world.journal.get(deployment.pipeline_id)).current_stage != "weight_10":
        await world.round()
    interrupted(world, found.progress.candidate, kind, cause)
    await to_the_end(world)

    ended = await world.journal.get(deployment.pipeline_id)
    assert ending(ended) == expected
    assert expected is PROMOTED or cause in ended.message
    await check_the_end(world, ended)


async def test_a_baseline_whose_process_ends_undoes_nothing(world):
    await world.start_stable(STEADY)
    deployment = await world.deploy(SCRIPTS["same"], options(CANARY))
    while (found := await world.journal.get(deployment.pipeline_id)).current_stage != "weight_10":
        await world.round()
    interrupted(world, found.progress.baseline, "crash", "exec: it gave no answer within 5 s")
    await to_the_end(world)

    assert ending(await world.journal.get(deployment.pipeline_id)) == PROMOTED


async def test_a_fault_of_the_engines_own_leaves_no_rollout_without_a_hand(world, monkeypatch):
    monkeypatch.setattr(controllers, "FAILED_LOOK_S", 0.0)
    monkeypatch.setattr(controllers, "LOOK_S", 0.0)
    turns = []

    async def turn(deployment):
        turns.append(deployment.state)
        if len(turns) == 1:
            raise KeyError("a fault that nobody foresaw")
        await world.journal.revise(
            deployment.pipeline_id, lambda now: replace(now, state=State.FAILED)
        )

    deployment = await world.deploy(SCRIPTS["same"], options(CANARY))
    monkeypatch.setattr(world.controller, "turn", turn)
    assert await world.controller.run(deployment.pipeline_id) == State.FAILED
    assert len(turns) == 2


async def stopped_while_holding(world, name):
    """Let a person stop the version of an execution at an instant at which it holds something."""
    while world.tradings[name].is_flat:
        await world.round()
    await world.stop_version(world.rows[name].strategy_id)
    await world.hear(name)
    assert not world.tradings[name].is_flat


async def test_what_a_stopped_candidate_holds_is_closed_and_its_cash_goes_back(world):
    await world.start_stable(STEADY)
    deployment = await world.deploy(SCRIPTS["same"], options(CANARY, min_time="60s"))
    while (await world.journal.get(deployment.pipeline_id)).current_stage != "weight_40":
        await world.round()
    candidate = (await world.journal.get(deployment.pipeline_id)).progress.candidate
    await stopped_while_holding(world, candidate)
    await to_the_end(world)

    ended = await world.journal.get(deployment.pipeline_id)
    assert ending(ended) == rolled_back("failed")
    assert world.rows[candidate].closing is Closing.SETTLED
    await check_the_end(world, ended)


@pytest.mark.parametrize("stage", ["shadow", "hand_over"])
async def test_what_the_version_before_held_when_it_was_stopped_goes_to_the_new_one(world, stage):
    before = await world.start_stable(Script(period=40, hold=36))
    deployment = await world.deploy(SCRIPTS["same"], options(CANARY, handover_deadline_s=600.0))
    while (await world.journal.get(deployment.pipeline_id)).current_stage != stage:
        await world.round()
    await stopped_while_holding(world, before.execution_id)
    if stage == "shadow":
        for _ in range(10):
            await world.round()
        assert world.rows[before.execution_id].closing is None  # until the new one has the line
        assert await world.say(deployment.pipeline_id, Verb.PROMOTE_FULL)
    await to_the_end(world)

    ended = await world.journal.get(deployment.pipeline_id)
    assert ending(ended) == PROMOTED
    assert "but for" not in ended.message
    assert world.rows[before.execution_id].closing is Closing.SETTLED
    await check_the_end(world, ended)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_what_was_held_is_closed_once_whenever_control_dies(world, when):
    before = await world.start_stable(STEADY)
    deployment = await world.deploy(SCRIPTS["same"], options(BLUE_GREEN, min_time="60s"))
    while not any(each.done_at for each in world.executions.switches.values()):
        await world.round()
    world.dies = DiesAtEverything(when)
    world.turned = world.dies.survived.clear
    candidate = (await world.journal.get(deployment.pipeline_id)).progress.candidate
    await stopped_while_holding(world, candidate)
    await to_the_end(world)

    assert world.deaths > 3
    assert world.rows[candidate].closing is Closing.SETTLED
    assert [each.execution_id for each in world.stables] == [before.execution_id]
    await check_the_end(world, await world.journal.get(deployment.pipeline_id))


HOLDS = Script(period=15, hold=13)  # it is nearly always in


async def adopted(world, script, kind):
    """Let a version take over what one that is nearly always in holds; carry it to its end."""
    await world.start_stable(HOLDS)
    for _ in range(BEFORE_ROUNDS):
        await world.round()
    steps = ({"shadow": "2s"}, {"weight": 0.1}) if kind is CANARY else ()
    chosen = options(kind, handover=Handover.ADOPT, steps=steps, loss_budget=0.9)
    deployment = await world.deploy(script, chosen)
    await to_the_end(world)
    return await world.journal.get(deployment.pipeline_id)


@pytest.mark.parametrize("kind", DeploymentType)
async def test_positions_are_taken_over_and_none_is_closed_for_it(world, kind):
    found = await adopted(world, HOLDS, kind)

    assert ending(found) == PROMOTED
    assert world.adopted
    await check_the_end(world, found)
    old = world.tradings[found.replaces[0]]
    by_the_engine = {each.order_id for each in old.fills if each.cause is Cause.HANDOVER}
    assert by_the_engine <= old.crossed


@pytest.mark.parametrize("kind", DeploymentType)
async def test_what_was_taken_over_is_closed_when_the_rollout_is_undone(world, kind):
    raises_at = {CANARY: 60, ROLLING: 60, BLUE_GREEN: 50, DIRECT: 44}[kind]
    found = await adopted(world, replace(HOLDS, raises_at=raises_at), kind)

    assert ending(found) == rolled_back("failed")
    assert world.adopted
    await check_the_end(world, found)
    assert world.tradings[found.progress.candidate].is_flat
