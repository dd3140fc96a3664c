"""A version before that has ended while another is rolled out over it: who has it started again."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from strategy_engine.core import money
from strategy_engine.rollout.model import DeploymentType, Options, Outcome
from strategy_engine.rollout.verbs import Verb

sys.path.append(str(Path(__file__).parent))
from world import CAPITAL, World
from world_node import Script

STEADY = Script(period=12, hold=6)
CANARY = Options(
    deployment_type=DeploymentType.CANARY,
    min_time="3s",
    min_decisions=6,
    loss_budget=0.03,
    steps=({"shadow": "2s"}, {"weight": 0.1}, {"weight": 0.4}),
)
MOST_ROUNDS, AFTER_ROUNDS = 150, 4


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


async def until(world, deployment, stage):
    while (await world.journal.get(deployment.pipeline_id)).current_stage != stage:
        await world.round()


async def to_the_end(world):
    for _ in range(MOST_ROUNDS):
        if await world.rolling() is None:
            break
        await world.round()
    for _ in range(AFTER_ROUNDS):  # the node obeys the last words
        await world.round()


@pytest.mark.parametrize(
    ("verb", "outcome", "is_back"),
    [(Verb.ABORT, Outcome.ABORTED, False), (Verb.ROLLBACK, Outcome.ROLLED_BACK, True)],
)
async def test_what_a_person_has_stopped_is_started_again_by_who_rolls_back_and_not_who_aborts(
    world, verb, outcome, is_back
):
    before = await world.start_stable(STEADY)
    deployment = await world.deploy(STEADY, CANARY)
    await until(world, deployment, "weight_10")
    await world.stop_version(before.strategy_id)
    for _ in range(3):
        await world.round()
    assert await world.say(deployment.pipeline_id, verb)
    await to_the_end(world)

    ended = await world.journal.get(deployment.pipeline_id)
    assert ended.outcome is outcome
    if is_back:
        (again,) = world.stables
        assert f"was started again, as {again.execution_id}, with the " in ended.message
        assert f"{again.config.capital:,.2f} that was free" in ended.message
    else:
        assert ended.message.endswith("was stopped meanwhile, and stays stopped")
        assert world.alive == []


@pytest.mark.parametrize(("verb", "is_back"), [(Verb.ABORT, False), (Verb.ROLLBACK, True)])
async def test_what_is_stopped_before_a_rollout_has_counted_the_line_comes_back_with_all_it_had(
    world, verb, is_back
):
    before = await world.start_stable(STEADY)
    for _ in range(8):
        await world.round()
    deployment = await world.deploy(STEADY, CANARY)
    await world.stop_version(before.strategy_id)
    assert await world.say(deployment.pipeline_id, verb)
    await to_the_end(world)

    ended = world.rows[before.execution_id]
    freed = CAPITAL + ended.final_pnl
    assert ended.final_pnl != 0
    assert not (await world.journal.get(deployment.pipeline_id)).progress.is_counted
    assert [each.config.capital for each in world.stables] == [float(freed)] * is_back
    assert world.bank_nanos == (0 if is_back else money.to_nanos(freed))


async def test_an_abort_starts_again_what_the_rollout_itself_has_stopped_and_says_so(world):
    before = await world.start_stable(STEADY)
    deployment = await world.deploy(STEADY, CANARY)
    await until(world, deployment, "weight_10")
    await world.stop_version(before.strategy_id)
    row = world.rows[before.execution_id]
    world.executions.put(replace(row, desired_why=deployment.pipeline_id))
    for _ in range(3):
        await world.round()
    assert await world.say(deployment.pipeline_id, Verb.ABORT)
    await to_the_end(world)

    ended = await world.journal.get(deployment.pipeline_id)
    assert ended.outcome is Outcome.ABORTED
    (again,) = world.stables
    assert f"was started again, as {again.execution_id}, with the " in ended.message


async def test_a_version_before_that_cannot_be_started_again_is_told_of(world):
    await world.start_stable(Script(period=12, hold=6, raises_at=60))
    deployment = await world.deploy(STEADY, replace(CANARY, min_time="200s"))
    while world.stables:
        await world.round()
    assert await world.say(deployment.pipeline_id, Verb.ABORT)
    await to_the_end(world)

    ended = await world.journal.get(deployment.pipeline_id)
    assert ended.outcome is Outcome.ABORTED
    assert "could not be started again: cannot start while error" in ended.message
