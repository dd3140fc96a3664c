"""The life of one execution on this node: claim, prepare, play bar by bar, end."""

import asyncio
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from strategy_engine.core import money
from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import EngineError
from strategy_engine.execution import faults, keeping, rules, sources, traders, transcript
from strategy_engine.execution import history as histories
from strategy_engine.execution import ticks as histories_of_ticks
from strategy_engine.execution.conversation import (
    Conversation,
    Launcher,
    Process,
)
from strategy_engine.execution.history import History, Series
from strategy_engine.execution.interruptions import Outage
from strategy_engine.execution.journal import Journal
from strategy_engine.execution.keeping import Keeping
from strategy_engine.execution.model import (
    COMPLETED,
    STOPPED,
    Desired,
    Execution,
    Observation,
    Trigger,
)
from strategy_engine.execution.pace import Bars
from strategy_engine.execution.sources import Source
from strategy_engine.execution.tally import Tally
from strategy_engine.execution.ticks import NO_TICKS, TickHistory
from strategy_engine.execution.traders import AnyDesk, Trader
from strategy_engine.flags.live import LiveFlags
from strategy_engine.infra import logs
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.market.busbars import BusBars
from strategy_engine.market.feeds import MarketEvent
from strategy_engine.market.service import Catalogue
from strategy_engine.registry.service import Registry
from strategy_engine.sandbox.model import ChildLimits, ConfinementReport
from strategy_engine.venue.ledger import Ledger
from strategy_engine.venue.model import Opened, RiskState, StaleEpochError
from strategy_engine.venue.service import Records

_log = logs.get("execution")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """What a node's executions run under."""

    decision_timeout_s: float = 5.0
    metrics_interval_s: float = 10.0
    replay_speed: float = 1.0
    limits: ChildLimits = field(default_factory=lambda: ChildLimits(cpu_s=None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What the executions of a node share; None: it reads no bars from a bus, knows no flags."""

    journal: Journal
    registry: Registry
    ledger: Ledger
    records: Records
    catalogue: Catalogue
    launcher: Launcher
    clock: Clock
    settings: NodeSettings
    bars: BusBars | None = None
    flags: LiveFlags | None = None


class Outcome(Enum):
    """How a runner left its execution."""

    ENDED = auto()
    HANDED_BACK = auto()  # as it stands: who claims it next goes on
    CRASHED = auto()  # its process ended by its own doing: claim it again, a few times
    LOST = auto()  # its process went for no fault of the strategy: claim it again
    SUPERSEDED = auto()  # another copy has it


class _End(Enum):
    COMPLETED = auto()
    STOPPED = auto()
    DRAINED = auto()


class Runner:
    """One task for one execution. `desire` and `drain` say what it should do next."""

    def __init__(self, execution_id: str, tools: Tools, outage: Outage | None = None) -> None:
        self.execution_id = execution_id
        self._tools = tools
        self._outage = outage
        self._mine: Execution | None = None
        self._trader: Trader | None = None
        self._desired: tuple[Desired, str] | None = None
        self._is_draining = False
        self._is_paused = False
        self._nudge = asyncio.Event()
        self._seen = histories.BEFORE_ALL
        self._keeping = Keeping(tools.ledger)
        self.has_played = False
        self.error: EngineError | None = None

    @property
    def epoch(self) -> int:
        """The epoch it holds; 0 until it has claimed."""
        return 0 if self._mine is None else self._mine.epoch

    @property
    def told_as(self) -> str | None:
        """The version that its events are published of; None: none are (yet)."""
        mine = self._mine
        return None if mine is None else rules.told_as(mine.strategy_id, mine.role)

    @property
    def desk(self) -> AnyDesk | None:
        """The venue and the numbers, once there are any."""
        return None if self._trader is None else self._trader.desk

    def desire(self, desired: Desired, why: str = "") -> None:
        """Hear what control wants; it is done between two bars."""
        if self._desired != (desired, why):
            self._desired = desired, why
            self._nudge.set()

    def restrict(self, risk_state: RiskState) -> None:
        """Hear what risk lets it do; the gate knows it between two bars."""
        if self._mine is not None and self._mine.risk_state is not risk_state:
            self._mine = replace(self._mine, risk_state=risk_state)
            self._nudge.set()

    def drain(self) -> None:
        """End between two bars, and leave the execution as it stands for who comes next."""
        self._is_draining = True
        self._nudge.set()

    def supersede(self, epoch: int) -> None:
        """Hear that another copy has the execution: the gate lets nothing through any more."""
        if self._trader is not None:
            gate = self._trader.gate
            gate.highest_epoch = max(gate.highest_epoch, epoch)
        self.drain()

    def observe(self) -> Observation | None:
        """Return what the execution has come to by now, once it trades."""
        return None if self.desk is None else self.desk.observe()

    async def run(self) -> Outcome:
        """Claim the execution and run it to its end, or until it is drained."""
        self._mine = await self._tools.journal.claim(self.execution_id, self._outage)
        if self._mine is None:
            return Outcome.SUPERSEDED
        if self._desired is None:
            self._desired = self._mine.desired, self._mine.desired_why
        try:
            return await self._run(self._mine)
        except StaleEpochError as error:
            _log.warning("execution_superseded", execution=self.execution_id, why=str(error))
            return Outcome.SUPERSEDED
        except DatabaseAwayError:
            raise  # nobody's fault: it goes on from what is kept when the database is back
        except EngineError as error:
            self.error = error
            return await self._give_up(self._mine, error)

    async def _give_up(self, mine: Execution, error: EngineError) -> Outcome:
        fault = faults.judge(error, mine.role)
        if fault is faults.Fault.STRATEGY:
            await self.fail(error)
            return Outcome.ENDED
        _log.warning("execution_lost", execution=self.execution_id, why=str(error))
        is_crash = fault is faults.Fault.CRASH
        await self._tools.journal.lose(mine, faults.cause(error), is_crash=is_crash)
        return Outcome.CRASHED if is_crash else Outcome.LOST

    async def fail(self, error: Exception, *, restarts: int = 0) -> None:
        """End the execution in error, and break its version."""
        if self._mine is None:
            return
        _log.error("execution_failed", execution=self.execution_id, why=str(error))
        final = None
        if self.desk is not None:
            final = self.desk.observe(is_final=True)
            await self._close_books(self.desk)
        await self._tools.journal.end(
            self._mine,
            Trigger.BREAK,
            final,
            end_reason=faults.end_reason(error),
            error=faults.explain(error, restarts=restarts),
        )

    # -- from claim to end

    async def _run(self, mine: Execution) -> Outcome:
        content = (await self._tools.registry.get(mine.strategy_id)).content
        settings = rules.settings_of(content, mine.config)
        series = await asyncio.to_thread(
            histories.load,
            self._tools.catalogue,
            settings.symbols,
            settings.timeframe,
            mine.config.end_ns,
        )
        trader = traders.trader_of(content, settings, self._tools.flags)
        if self._wants(Desired.STOP):
            await self._open(mine, trader, histories.begin(series, mine.config, 0))
            return await self._end(mine, trader, _End.STOPPED)
        ticks = NO_TICKS
        if trader.takes_ticks:
            load = histories_of_ticks.load
            ticks = await asyncio.to_thread(load, self._tools.catalogue, settings.symbols)
        source = await self._source(mine, series, ticks)
        try:
            process = await self._tools.launcher.child(
                content.warm.value, self._tools.settings.limits, mine.execution_id
            )
            try:
                return await self._live(mine, trader, source, process)
            finally:
                await process.close()
        finally:
            source.leave()

    async def _source(
        self, mine: Execution, series: dict[str, Series], ticks: TickHistory
    ) -> Source:
        tools, config = self._tools, mine.config
        if config.feed != rules.BUS:
            speed = tools.settings.replay_speed
            return sources.Replay(
                series, config, default_speed=speed, clock=tools.clock, ticks=ticks
            )
        first = await tools.records.equity(mine.execution_id, max_points=2)
        if first:  # it goes on: what came since it began is no warm-up
            config = replace(config, start_ns=first[0].close_ns - 1)
        return await sources.go_live(
            tools.bars, series, config, clock=tools.clock, is_wanted=self._is_wanted
        )

    async def _live(
        self, mine: Execution, trader: Trader, source: Source, process: Process
    ) -> Outcome:
        timeout_s = self._tools.settings.decision_timeout_s
        talk = Conversation(process, decision_timeout_s=timeout_s)
        lookback = await trader.load(talk, source.series, source.ticks)
        past = histories.begin(source.series, source.config, lookback, source.ticks)
        await self._open(mine, trader, past)
        talk.transcript = await transcript.begin(self._tools.records, mine)
        self._keeping.transcript = talk.transcript
        self._seen = trader.desk.tally.known
        await trader.warm_up()
        if not await self._report_ready(mine, process.report, trader.desk.tally):
            return Outcome.SUPERSEDED
        end = await self._play(trader, source.bars(past, _resumes_after(trader.desk.tally)))
        return await self._end(mine, trader, end)

    async def _open(self, mine: Execution, trader: Trader, past: History) -> None:
        """Give the trader its desk as the ledger has it; the ledger takes this epoch first."""
        trader.sit_down(mine, past)
        trader.gate.risk_state = mine.risk_state
        trader.desk.tally.notice(mine.notices)
        opened = Opened(
            execution_id=mine.execution_id,
            epoch=mine.epoch,
            capital_nanos=money.to_nanos(mine.capital),
            account=trader.desk.dump(),
            at=self._tools.clock.now(),
            strategy_id=rules.told_as(mine.strategy_id, mine.role),
        )
        await self._keeping.keep(opened)
        kept = await keeping.kept(self._tools.records, mine.execution_id)
        if kept is not None:
            await asyncio.to_thread(trader.desk.restore, kept)
        self._trader = trader

    async def _report_ready(self, mine: Execution, report: ConfinementReport, tally: Tally) -> bool:
        self._is_paused = self._wants(Desired.PAUSE)
        moved = await self._tools.journal.ready(
            mine,
            Trigger.PAUSE if self._is_paused else Trigger.READY,
            bars_missed=tally.history.bars_between(tally.cursor, _resumes_after(tally)),
            start_time=mine.start_time or self._tools.clock.now(),
            confinement=faults.plain_report(report),
        )
        return moved is not None

    # -- bar by bar

    async def _play(self, trader: Trader, bars: Bars) -> _End:
        self._nudge.set()  # what was wanted while all this was prepared
        desk = trader.desk
        try:
            while True:
                if self._nudge.is_set():
                    self._nudge.clear()
                    if (end := await self._obey(trader)) is not None:
                        return end
                event = await bars.next(self._nudge)
                if event is None:
                    if bars.is_over:
                        return _End.COMPLETED
                elif desk.tally.is_before(event):
                    await self._step(trader, event)
                    if self._is_leaving and desk.is_flat:
                        return _End.STOPPED
        finally:
            await bars.aclose()

    async def _step(self, trader: Trader, event: MarketEvent) -> None:
        tally = trader.desk.tally
        if not tally.is_mid_bar:
            entry = trader.mark(
                event,
                cancel_entries=self._is_paused or self._is_leaving,
                flatten=self._wants(Desired.FLATTEN),
            )
            if entry is not None:  # before the strategy hears of a fill, it is on the disk
                await self._keeping.keep(entry)
        self.has_played = True
        if self._is_paused or self._wants(Desired.FLATTEN):
            entry = trader.pass_by(event)
        else:
            entry = await trader.decide(event)
            self._seen = tally.cursor
        if entry is not None:
            await self._keeping.post(entry)

    async def _obey(self, trader: Trader) -> _End | None:
        if self._is_draining:
            return _End.DRAINED
        if self._wants(Desired.STOP) or (self._is_leaving and trader.desk.is_flat):
            return _End.STOPPED
        if self._mine is not None:  # who leaves may exit, and nothing else
            trader.gate.risk_state = (
                RiskState.REDUCING if self._is_leaving else self._mine.risk_state
            )
        if self._mine is not None and self._is_paused != self._wants(Desired.PAUSE):
            if self._is_paused:
                await trader.catch_up(self._seen)
                self._seen = trader.desk.tally.known
            self._is_paused = not self._is_paused
            # A pause that is confirmed has all that was before it on the disk.
            await self._keeping.flush()
            trigger = Trigger.PAUSE if self._is_paused else Trigger.RESUME
            if await self._tools.journal.move(self._mine, trigger) is None:
                return _End.DRAINED
        return None

    @property
    def _is_leaving(self) -> bool:
        return self._wants(Desired.DRAIN) or self._wants(Desired.FLATTEN)

    def _is_wanted(self) -> bool:
        return not (self._is_draining or self._wants(Desired.STOP))

    def _wants(self, desired: Desired) -> bool:
        return self._desired is not None and self._desired[0] is desired

    # -- its end

    async def _end(self, mine: Execution, trader: Trader, end: _End) -> Outcome:
        if end is _End.DRAINED:
            await self._keeping.flush()
            return Outcome.HANDED_BACK
        is_complete = end is _End.COMPLETED
        is_cut_off = mine.config.end_ns is not None  # in the middle of a session
        if is_complete and not is_cut_off and (entry := trader.finish()) is not None:
            await self._keeping.keep(entry)
        error = await _say_stop(trader)
        await self._keeping.keep(trader.desk.close())
        why = COMPLETED if is_complete else (self._desired or (None, ""))[1] or STOPPED
        await self._tools.journal.end(
            mine,
            Trigger.COMPLETE if is_complete else Trigger.STOP,
            trader.desk.observe(is_final=True),
            end_reason=why,
            error=error,
        )
        return Outcome.ENDED

    async def _close_books(self, desk: AnyDesk) -> None:
        try:
            await self._keeping.keep(desk.close())
        except EngineError as error:
            _log.error("ledger_not_closed", execution=self.execution_id, why=str(error))


async def _say_stop(trader: Trader) -> str | None:
    try:
        await trader.stop()
    except EngineError as error:  # it ends all the same; its last words are kept
        return faults.explain(error)
    return None


def _resumes_after(tally: Tally) -> int:
    return max(tally.history.start_after_ns, tally.cursor[0] - 1)
