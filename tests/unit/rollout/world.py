"""A world in memory for rollouts: made-up bars, scripted strategies, and the real controller.

A node is played by `node_turn` and `bar`, a control process by `control_turn`, which may die at
any call that it makes. What must hold is checked after every event.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import world_handing as handing
from world_books import Books
from world_fakes import (
    CrashingJournal,
    CrashingRegistry,
    FakeComparing,
    FakeExecutions,
    FakeRecords,
    MemoryDatabase,
)
from world_node import SYMBOLS, Script, StrategyRaisedError, Trading, is_on_trial, market

from strategy_engine.core import money
from strategy_engine.core.clock import SteppedClock
from strategy_engine.core.errors import ConflictError
from strategy_engine.execution import engagement, rules
from strategy_engine.execution.engagement import Party
from strategy_engine.execution.model import (
    FAILED,
    UNENDED,
    Change,
    Closing,
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Role,
    Switch,
)
from strategy_engine.infra import audit
from strategy_engine.pipeline.model import StageResult
from strategy_engine.registry import model as registry_model
from strategy_engine.registry import store as versions
from strategy_engine.registry.model import Content, Status, Strategy
from strategy_engine.registry.service import Registry
from strategy_engine.rollout import journal as journals
from strategy_engine.rollout import plans, store, verbs
from strategy_engine.rollout.acts import Acts
from strategy_engine.rollout.controller import Controller
from strategy_engine.rollout.journal import Journal
from strategy_engine.rollout.lines import REAL
from strategy_engine.rollout.model import Deployment, DeploymentType, Options, State
from strategy_engine.rollout.observing import Observer
from strategy_engine.rollout.tending import Tending
from strategy_engine.rollout.verbs import Asked, Standing, Verb

NOW = datetime(2026, 3, 2, tzinfo=UTC)
CAPITAL = 100_000


async def no_results(pipeline_id: str) -> list[StageResult]:
    """Return nothing: no stage has looked at these versions."""
    del pipeline_id
    return []


class CrashError(BaseException):
    """The control process died here."""


class World(Books):
    """One line, its versions and executions, the node that trades them, and who rolls out."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        self._database = MemoryDatabase()
        self.clock = SteppedClock(NOW)
        self.market = market(seed)
        self.scripts: dict[str, Script] = {}
        self.calls: list[str] = []  # that the control process made
        self.dies: Callable[[str], bool] = lambda call: False  # whether it does so there
        self.turned: Callable[[], None] = lambda: None  # it came to the end of a turn
        self.deaths = 0
        self.unmeasured: set[str] = set()  # executions whose decisions cannot be compared
        self._is_control = False
        self.deployments: list[str] = []
        self._rolling: tuple[int, Deployment | None] | None = None  # as it was at which write
        self.adopted = 0  # how many switches have handed positions over
        self.registry = Registry(self._database, self.clock)
        self.executions = FakeExecutions(
            CrashingRegistry(self._database, self.clock, self._tick),
            self.clock,
            self._tick,
            self._begin,
        )
        self.executions.changed = self.moved
        self.onlooker = self._observer_with(lambda call: None)
        self.start_control()

    def close(self) -> None:
        self._database.close()

    # -- the control process

    def start_control(self) -> None:
        """Begin a control process: it knows nothing but what is in rows."""
        registry = CrashingRegistry(self._database, self.clock, self._tick)
        self.journal = CrashingJournal(self._database, registry, self.clock, self._tick)
        observer = self._observer_with(self._tick)
        doing = Acts(executions=self.executions, registry=registry, looks=0)
        self.controller = Controller(
            journal=self.journal, acts=doing, observer=observer, auto_rollback=True
        )
        self.tending = Tending(journal=self.journal, acts=doing, observer=observer)

    def _observer_with(self, tick) -> Observer:
        executions = FakeExecutions(self.registry, self.clock, tick, self._begin)
        executions.rows, executions.gaps = self.executions.rows, self.executions.gaps
        return Observer(
            results=no_results,
            executions=executions,
            records=FakeRecords(self.tradings, tick),
            registry=self.registry,
            catalogue=self.market,
            comparing=FakeComparing(self.tradings, tick, self.unmeasured),
            clock=self.clock,
        )

    def _tick(self, call: str) -> None:
        if not self._is_control:
            return  # a person's or the node's
        self.calls.append(call)
        if self.dies(call):
            self.deaths += 1
            raise CrashError(call)

    async def control_turn(self) -> None:
        """Let every rollout be looked at once, and those that are tended."""
        self._is_control = True
        try:
            for pipeline_id in self.deployments:
                deployment = await Journal.get(self.journal, pipeline_id)
                if deployment.state is State.ROLLING_OUT:
                    await self.controller.turn(deployment)
            await self.tending.turn()
        except CrashError:
            self.start_control()
        else:
            self.turned()
        finally:
            self._is_control = False
        self.check()
        await self.check_books(await self.rolling())

    # -- what people do

    async def new_version(self, script: Script, status: Status) -> str:
        number = len(self.scripts) + 1
        name = f"strat_{number}"
        content = Content(
            strategy_name="Waves",
            version=f"{number}.0.0",
            code="class S: pass",
            parameters={"symbols": list(SYMBOLS)},
        )
        version = Strategy(
            strategy_id=name, content=content, status=status, created_at=NOW, updated_at=NOW
        )
        async with self._database.write() as connection:
            await versions.insert(connection, version)
        self.scripts[name] = script
        return name

    async def start_stable(self, script: Script, capital: int = CAPITAL) -> Execution:
        """Let a person start a version where nothing is at work."""
        version = await self.new_version(script, Status.DEPLOYED)
        config = ExecutionConfig(capital=capital, start_ns=self._latest_ns())
        row = await self.executions.start(version, config, actor="somebody")
        self.capital_nanos = money.to_nanos(capital)
        self.bank_nanos = 0
        await self.node_turn()
        return self.rows[row.execution_id]

    async def deploy(self, script: Script, options: Options) -> Deployment:
        """Let a version that has passed its validation begin to roll out."""
        version = await self.new_version(script, Status.APPROVED)
        number = len(self.deployments) + 1
        others = [each for each in self.alive if each.role in REAL]
        plan = plans.plan(options, SYMBOLS, replaces=True)
        deployment = Deployment(
            pipeline_id=f"pipe_{number}",
            strategy_id=version,
            strategy_name="Waves",
            options=options,
            stages=(),
            left_out=(),
            requested_by="somebody",
            created_at=self.clock.now(),
            state=State.ROLLING_OUT,
            plan=tuple(plans.to_plain(plan)),
            replaces=tuple(each.execution_id for each in others),
        )
        async with self._database.write() as connection:
            await store.insert(connection, deployment)
        self.deployments.append(deployment.pipeline_id)
        if options.deployment_type is DeploymentType.CANARY:
            self.is_exclusive = False
        return deployment

    async def rolling(self) -> Deployment | None:
        """Return the deployment that is rolling out, or is being taken back."""
        if self._rolling is None or self._rolling[0] != self._database.write_count:
            self._rolling = self._database.write_count, await self._find_rolling()
        return self._rolling[1]

    async def _find_rolling(self) -> Deployment | None:
        for name in self.deployments:
            found = await Journal.get(self.journal, name)
            is_going_on = found.state is State.ROLLING_OUT
            if is_going_on or (found.is_tended and found.progress.undo is not None):
                return found
        return None

    async def acted(self, pipeline_id: str) -> list[str]:
        """Return what was done to a deployment, oldest first, as its audit rows say."""
        async with self._database.read() as connection:
            return [
                entry.action
                for _, entry in await audit.after(connection, journals.SUBJECT, pipeline_id, 0)
            ]

    async def say(self, pipeline_id: str, verb: Verb) -> bool:
        """Say a verb; whether it was possible."""
        asked = Asked(actor="somebody", now=self.clock.now(), is_local=True)
        found = await Journal.get(self.journal, pipeline_id)
        standing = Standing(superseded=self._superseded(found))
        try:
            await Journal.revise(
                self.journal, pipeline_id, lambda now: verbs.after(now, verb, asked, standing)
            )
        except ConflictError:
            return False
        return True

    def _superseded(self, deployment: Deployment) -> str:
        is_last = deployment.pipeline_id == self.deployments[-1]
        row = self.rows.get(deployment.progress.candidate)
        has_line = row is not None and row.role is Role.STABLE and row.status in UNENDED
        return "" if is_last and has_line else "the line has gone on"

    async def stop_version(self, strategy_id: str) -> None:
        """Let a person stop a version and all that it has at work."""
        self.is_excused = True
        current = await self.registry.get(strategy_id)
        if current.status in {Status.RUNNING, Status.PAUSED}:
            await self.registry.move(strategy_id, registry_model.Trigger.STOP, actor="somebody")
        for each in self.alive:
            if each.strategy_id == strategy_id:
                self.executions.want(each.execution_id, Change(desired=Desired.STOP))

    # -- the node

    async def node_turn(self) -> None:
        """Do the switches that wait, hear every row, and obey between two bars."""
        await self.do_switches()
        for row in self.looked_after:
            await self.hear(row.execution_id)
        self.check()
        await self.check_books(await self.rolling())

    async def hear(self, name: str) -> None:
        """Let one execution hear its row, and obey."""
        row, trading = self.rows[name], self.tradings[name]
        if row.is_closing:
            trading.silent_bars, trading.is_alone = 0, True
            trading.heard = engagement.of(row)
            self._obey_closing(name)
            return
        if row.status not in UNENDED or trading.is_busy:
            return
        if row.status is ExecutionStatus.STARTING:
            row = replace(row, status=ExecutionStatus.RUNNING, start_time=self.clock.now())
            self.executions.put(row)
        trading.heard = engagement.of(row)
        await self._obey(name)

    async def bar(self, name: str) -> None:
        """Let one execution come to its next bar, under what it heard last."""
        trading = self.tradings[name]
        if self.rows[name].is_closing:
            self._bar_closing(name)
            return
        if self.rows[name].status is not ExecutionStatus.RUNNING:
            return
        if not trading.is_busy and not await self._obey(name):
            return
        at = trading.next
        try:
            trading.bar()
        except StrategyRaisedError as error:
            await self._fail(name, str(error))
        else:
            if trading.is_done:
                await self._end_as_asked(name)
        if trading.next > at:
            self._note_served(name, at)
        self.check()

    async def _obey(self, name: str) -> bool:
        goes_on = self.tradings[name].obey()
        if self.tradings[name].heard == engagement.of(self.rows[name]):
            self.fresh.discard(name)
        self._observe(name)
        if not goes_on:
            await self._end_as_asked(name)
        return goes_on

    def _bar_closing(self, name: str) -> None:
        trading = self.tradings[name]
        if trading.is_alone and self._obey_closing(name):
            trading.bar()
            self._obey_closing(name)
        self.check()

    def _obey_closing(self, name: str) -> bool:
        """Let the engine close what an ended one holds; whether something is left."""
        if self.tradings[name].obey():
            return True
        self._observe(name)
        row = self.rows[name]
        self.executions.put(
            replace(row, closing=Closing.SETTLED, tied=money.to_decimal(0), final_pnl=row.pnl)
        )
        return False

    async def do_switches(self) -> None:
        """Hold who a switch is about between two bars, and do it in one transaction."""
        for switch in list(self.executions.switches.values()):
            if switch.done_at is None and await handing.level(self, switch):
                self._switch(switch)

    def _switch(self, switch: Switch) -> None:
        rows = [self.rows[each] for each in switch.execution_ids]
        if any(self.tradings[each.execution_id].is_busy for each in rows):
            return
        try:
            engagement.check(switch, rows, "node-1")
        except ConflictError:
            return  # it is looked at again
        for name in switch.gives:
            self.tradings[name].withdraw(switch.symbols or SYMBOLS)
        switch = handing.handed(self, switch)
        parties = [Party(row=each, place_ns=self._place_ns(each)) for each in rows]
        at_ns = engagement.switch_point(switch, parties)
        for each in parties:
            self.executions.want(each.row.execution_id, engagement.switched(switch, each, at_ns))
        handing.settle(self, switch)
        done = replace(switch, at_ns=at_ns, done_at=self.clock.now())
        self.executions.switches[switch.key] = done
        for each in rows:  # told before they are let go
            name = each.execution_id
            self.tradings[name].heard = engagement.of(self.rows[name])

    def _place_ns(self, row: Execution) -> int:
        place = self.tradings[row.execution_id].place_ns
        return engagement.BEFORE_ALL_NS if place is None else place

    async def _fail(self, name: str, why: str) -> None:
        row, trading = self.rows[name], self.tradings[name]
        self.is_excused = True
        trading.silent_bars = 0
        if is_on_trial(trading.heard.role) and not trading.is_flat:
            self.executions.put(replace(row, failure=why))
            trading.is_alone = True
            return
        await self._end(name, ExecutionStatus.ERROR, FAILED, why)

    async def _end_as_asked(self, name: str) -> None:
        row, trading = self.rows[name], self.tradings[name]
        if trading.is_alone and trading.heard.desired is not Desired.STOP:
            await self._end(name, ExecutionStatus.ERROR, FAILED, row.failure)
        else:
            await self._end(name, ExecutionStatus.STOPPED, "stopped", None)

    async def _end(self, name: str, status: ExecutionStatus, why: str, error: str | None) -> None:
        trading = self.tradings[name]
        trading.venue.cancel()
        ends_ns = (trading.heard.serves.of(each).until_ns or 0 for each in SYMBOLS)
        if max(ends_ns) > self._place_ns(self.rows[name]):
            self.is_excused = True  # it had still something to serve, that others have passed
        self._observe(name)
        row = self.rows[name]
        ended = replace(row, status=status, end_reason=why, error=error, final_pnl=row.pnl)
        self.executions.put(ended)
        if status is not ExecutionStatus.ERROR:
            return
        others = await self.executions.unended_of(row.strategy_id)
        if not rules.goes_on(ended, others):
            current = await self.registry.get(row.strategy_id)
            follows = registry_model.Trigger.BREAK
            if (current.status, follows) in registry_model.ARROWS:
                await self.registry.move(row.strategy_id, follows, actor="engine")
            for each in others:
                self.executions.want(each.execution_id, Change(desired=Desired.FLATTEN))

    # -- what the world keeps beside them

    def _begin(self, row: Execution) -> None:
        trading = Trading(row, self.scripts[row.strategy_id], self.market)
        trading.on_flow = functools.partial(self.flowed, row.execution_id)
        self.tradings[row.execution_id] = trading

    def _observe(self, name: str) -> None:
        row, trading = self.rows[name], self.tradings[name]
        equity = trading.venue.account.equity()
        seen = replace(
            row,
            capital=money.to_decimal(trading.contributed_nanos),
            pnl=money.to_decimal(equity - trading.contributed_nanos),
            performance_metrics={"decision_cpu_ms": trading.script.cpu_ms},
        )
        if seen != row:
            self.executions.put(seen)

    def _latest_ns(self) -> int:
        return max((each.place_ns or 0 for each in self.tradings.values()), default=0)

    def _note_served(self, name: str, index: int) -> None:
        symbol, (_, close_ns), _ = self.market.at(index)
        if self.tradings[name].serves(symbol, close_ns):
            self.served[symbol, close_ns].append(name)

    # -- many events at once

    async def round(self, names: Sequence[str] | None = None) -> None:
        """Let a second pass in which everybody does something once."""
        self.clock.advance(1.0)
        for row in self.looked_after:
            if names is None or row.execution_id in names:
                for _ in SYMBOLS:
                    await self.bar(row.execution_id)
        await self.node_turn()
        await self.control_turn()
