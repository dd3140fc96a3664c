"""Whatever people, bars, nodes and crashes do to a line in whatever order: its books are right."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from strategy_engine.execution.model import UNENDED, ExecutionStatus
from strategy_engine.rollout.model import DeploymentType, Handover, Options
from strategy_engine.rollout.verbs import Verb

sys.path.append(str(Path(__file__).parent))
from world import World
from world_books import NANO
from world_node import TIMEOUT_BARS, Script

MOST_ROUNDS = 120
SAID = tuple(each for each in Verb if each is not Verb.RETRY)  # a retry is another deployment
STEADY = Script(period=12, hold=6)

scripts = st.builds(
    Script,
    period=st.integers(3, 12),
    hold=st.integers(1, 6),
    is_short=st.booleans(),
    foresight=st.sampled_from([0, 0, 0, 1, -1]),
    is_refused=st.sampled_from([False, False, False, True]),
    raises_at=st.none() | st.integers(1, 80),
    silent_at=st.none() | st.integers(20, 80),
)
weights = st.lists(st.sampled_from([0.05, 0.1, 0.3, 0.5, 0.8]), max_size=3, unique=True)


@st.composite
def chosen(draw):
    kind = draw(st.sampled_from(DeploymentType))
    steps = ({"shadow": "1s"}, *({"weight": each} for each in sorted(draw(weights))))
    return Options(
        deployment_type=kind,
        handover=draw(st.sampled_from(Handover)),
        handover_deadline_s=draw(st.sampled_from([0.0, 4.0, 30.0])),
        min_time="2s",
        min_decisions=4,
        loss_budget=draw(st.sampled_from([0.01, 0.5])),
        bounds={"max_silence_s": 2.0, "fewest_orders": 3},
        approve_switch=draw(st.booleans()),
        keep_warm=draw(st.sampled_from(["", "0s", "5s"])),
        max_unavailable=draw(st.sampled_from([1, 2])),
        steps=steps if kind is DeploymentType.CANARY else (),
        progress_deadline="25s",
    )


class Line(RuleBasedStateMachine):
    """One line of versions. What must hold is checked by the world after every event."""

    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = None
        self.is_sound = True

    def run(self, doing):
        self.is_sound = False  # until it has come to its end
        found = self.runner.run(doing)
        self.is_sound = True
        return found

    @initialize(seed=st.integers(1, 3), before=scripts, script=scripts, options=chosen())
    def begin(self, seed, before, script, options):
        self.world = World(seed)
        self.run(self.world.start_stable(replace(before, raises_at=None, silent_at=None)))
        self.rounds(6)
        self.deploy(script, options)

    @rule(count=st.integers(1, 10))
    def rounds(self, count):
        for _ in range(count):
            self.run(self.world.round())

    @rule(script=scripts, options=chosen())
    def deploy(self, script, options):
        world = self.world
        if self.run(world.rolling()) is None and len(world.deployments) < 4 and world.stables:
            self.run(world.deploy(script, options))
            self.rounds(2)

    @rule(which=st.integers(0, 9), count=st.integers(1, 5))
    def bars(self, which, count):
        alive = self.world.alive
        for _ in range(count if alive else 0):
            self.run(self.world.bar(alive[which % len(alive)].execution_id))

    @rule()
    def node_turn(self):
        self.run(self.world.node_turn())

    @rule()
    def switches_alone(self):
        self.run(self.world.do_switches())
        self.world.check()

    @rule(which=st.integers(0, 9))
    def one_hears(self, which):
        if alive := self.world.alive:
            self.run(self.world.hear(alive[which % len(alive)].execution_id))
            self.world.check()

    @rule(count=st.integers(1, 6))
    def control_turns(self, count):
        for _ in range(count):
            self.run(self.world.control_turn())

    @rule(after=st.integers(1, 12))
    def control_dies(self, after):
        world = self.world
        last = len(world.calls) + after
        world.dies = lambda call: len(world.calls) == last
        self.run(world.control_turn())

    @precondition(lambda self: self.world is not None and self.world.deployments)
    @rule(verb=st.sampled_from(SAID))
    def somebody_says(self, verb):
        self.run(self.world.say(self.world.deployments[-1], verb))

    @rule(which=st.integers(0, 9), is_rare=st.integers(0, 3))
    def a_version_is_stopped(self, which, is_rare):
        alive = self.world.alive
        if alive and not is_rare:
            self.run(self.world.stop_version(alive[which % len(alive)].strategy_id))

    @rule(which=st.integers(0, 9))
    def a_strategy_breaks(self, which):
        names = [each.execution_id for each in self.world.alive if each.role != "stable"]
        if names:
            trading = self.world.tradings[names[which % len(names)]]
            trading.script = replace(trading.script, raises_at=trading.decisions + 1)

    def teardown(self):
        try:
            if self.world is not None and self.is_sound:
                self.run(self.end())
        finally:
            if self.world is not None:
                self.world.close()
            self.runner.close()

    async def end(self):
        """Let all come to its end: nothing is left over."""
        world = self.world
        for number in range(MOST_ROUNDS):
            found = await world.rolling()
            if found is None:
                break
            if found.progress.held_by or number == MOST_ROUNDS // 2:
                await world.say(found.pipeline_id, Verb.ABORT)
            await world.round()
        assert found is None, found
        for _ in range(TIMEOUT_BARS):  # who is silent is not waited for any longer
            world.clock.advance(60)  # and nobody is kept warm
            await world.round()
        self.check_the_end()

    def check_the_end(self):
        world = self.world
        others = [each for each in world.alive if each.role != "stable"]
        assert others == []
        assert len({each.strategy_id for each in world.stables}) <= 1
        assert not world.stables or abs(world.bank_nanos) <= NANO, world.bank_nanos
        ended = [each for each in world.rows.values() if each.status not in UNENDED]
        locked = [each for each in ended if not world.tradings[each.execution_id].is_flat]
        assert world.is_excused or locked == []
        assert all(each.status is not ExecutionStatus.STARTING for each in world.alive)


Line.TestCase.settings = settings(
    max_examples=40,  # a third of a second each: a loaded machine may take ten times as long
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestLine = Line.TestCase


class LongLine(Line):
    """The same for longer."""


LongLine.TestCase.settings = settings(
    Line.TestCase.settings, max_examples=1_000, stateful_step_count=60
)
TestLongLine = pytest.mark.timeout(3_600)(pytest.mark.soak(LongLine.TestCase))
