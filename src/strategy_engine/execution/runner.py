"""The life of one execution on this node: claim, prepare, play bar by bar, end."""

import asyncio
from collections.abc import Collection
from decimal import Decimal
from enum import Enum, auto

from strategy_engine.core import money
from strategy_engine.core.errors import EngineError
from strategy_engine.execution import (
    engagement,
    faults,
    guard,
    keeping,
    metering,
    preparing,
    rules,
    traders,
    transcript,
    veto,
)
from strategy_engine.execution import history as histories
from strategy_engine.execution.conversation import Conversation, Process
from strategy_engine.execution.ending import Ending
from strategy_engine.execution.history import History
from strategy_engine.execution.interruptions import Outage
from strategy_engine.execution.keeping import Keeping
from strategy_engine.execution.leash import Leash
from strategy_engine.execution.model import (
    FAILED,
    ON_TRIAL,
    Desired,
    Execution,
    Observation,
    Role,
    Trigger,
)
from strategy_engine.execution.playing import End, Play
from strategy_engine.execution.reins import Reins
from strategy_engine.execution.sources import Source
from strategy_engine.execution.tally import Tally
from strategy_engine.execution.ticks import NO_TICKS
from strategy_engine.execution.tools import NodeSettings, Tools
from strategy_engine.execution.traders import AnyDesk, Trader
from strategy_engine.infra import logs
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.sandbox.model import ConfinementReport, NotConfinedError
from strategy_engine.venue.model import Opened, StaleEpochError

__all__ = ("NodeSettings", "Outcome", "Runner", "Tools")

_log = logs.get("execution")


class Outcome(Enum):
    """How a runner left its execution."""

    ENDED = auto()
    HANDED_BACK = auto()  # as it stands: who claims it next goes on
    CRASHED = auto()  # its process ended by its own doing: claim it again, a few times
    LOST = auto()  # its process went for no fault of the strategy: claim it again
    SUPERSEDED = auto()  # another copy has it


class Runner:
    """One task for one execution. Its reins say what it should do next.

    Parameters
    ----------
    outage : Outage or None
        Why this process could not keep what the execution did before.
    """

    def __init__(self, execution_id: str, tools: Tools, outage: Outage | None = None) -> None:
        self.execution_id = execution_id
        self.reins = Reins()
        self.leash = Leash(self.reins)
        self._tools = tools
        self._outage = outage
        self._mine: Execution | None = None
        self._trader: Trader | None = None
        self._play: Play | None = None
        self._keeping = Keeping(tools.ledger)
        self._ending = Ending(tools, self._keeping, self.reins)
        self._is_ready = False
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

    @property
    def keeping(self) -> Keeping:
        """Its way into the ledger."""
        return self._keeping

    @property
    def row(self) -> Execution | None:
        """Its row as it was claimed; None until then."""
        return self._mine

    @property
    def play(self) -> Play | None:
        """Its way from bar to bar, once its process is there."""
        return self._play

    @property
    def has_played(self) -> bool:
        """Whether it has come to a bar."""
        return self._play is not None and self._play.has_played

    def engage(self, row: Execution) -> None:
        """Hear what its row says; it is done between two bars."""
        self.leash.engage(engagement.of(row))

    def drain(self) -> None:
        """End between two bars, and leave the execution as it stands for who comes next."""
        self.reins.drain()

    def supersede(self, epoch: int) -> None:
        """Hear that another copy has the execution: the gate lets nothing through any more."""
        if self._trader is not None:
            gate = self._trader.gate
            gate.highest_epoch = max(gate.highest_epoch, epoch)
        self.drain()

    def observe(self) -> Observation | None:
        """Return what the execution has come to by now, once it trades."""
        return None if self.desk is None else self.desk.observe()

    async def withdraw_entries(self, symbols: Collection[str] | None) -> int | None:
        """Give up what waits to open positions while it rests; return where it stands by then.

        All of that is on the disk. Of all instruments if none are named; None: it has no place.
        """
        if self._play is None or self.desk is None:
            return None
        tally = self.desk.tally
        await self._play.withdraw_entries(tally.history.series if symbols is None else symbols)
        return await self.place()

    async def part_with_cash(self, target: Decimal) -> None:
        """Let capital leave while it rests, as far as it is free, until it is `target`."""
        if self._play is not None:
            await self._play.part_with_cash(target)

    async def take_cash_back(self) -> None:
        """Have again what it parted with while it rests."""
        if self._play is not None:
            await self._play.take_cash_back()

    async def place(self) -> int | None:
        """Return the last bar close that it has come to, once that is on the disk; None: none."""
        await self._keeping.flush()
        return None if self.desk is None else self.desk.tally.place[0]

    async def run(self) -> Outcome:
        """Claim the execution and run it to its end, or until it is drained."""
        try:
            outcome = await self._claim_and_run()
        finally:
            self.reins.end()
        if outcome in {Outcome.ENDED, Outcome.SUPERSEDED}:
            self._tools.oversight.leave(self.execution_id)
        return outcome

    async def _claim_and_run(self) -> Outcome:
        self._mine = await self._tools.journal.claim(self.execution_id, self._outage)
        if self._mine is None:
            return Outcome.SUPERSEDED
        if self.reins.engagement is None:
            self.engage(self._mine)
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
        if isinstance(error, NotConfinedError):
            metering.missing(self._tools.meters, error.report)
        if fault is faults.Fault.STRATEGY:
            await self.fail(error)
            return Outcome.ENDED
        _log.warning("execution_lost", execution=self.execution_id, why=str(error))
        is_crash = fault is faults.Fault.CRASH
        await self._tools.journal.lose(mine, faults.cause(error), is_crash=is_crash)
        return Outcome.CRASHED if is_crash else Outcome.LOST

    async def fail(self, error: Exception, *, restarts: int = 0) -> None:
        """End the execution in error, and break its version.

        One that is on trial and holds something is only marked: who claims it next closes that
        first.
        """
        if self._mine is None:
            return
        text = faults.explain(error, restarts=restarts)
        if self._mine.is_closing:
            await self._tools.journal.close_leavings(self._mine, None, why=faults.cause(error))
            return
        if self._must_close(self._mine):
            await self._tools.journal.note_failure(self._mine, text)
            return
        _log.error("execution_failed", execution=self.execution_id, why=str(error))
        end_reason = faults.end_reason(error)
        await self._ending.in_error(self._mine, self.desk, text, end_reason=end_reason)
        self._tools.oversight.leave(self.execution_id)

    # -- from claim to end

    async def _run(self, mine: Execution) -> Outcome:
        content = (await self._tools.registry.get(mine.strategy_id)).content
        self.leash.subject = guard.subject_of(mine, content.strategy_name)
        settings = rules.settings_of(content, mine.config)
        series = await preparing.series_of(mine, settings, self._tools)
        tools = self._tools
        vet = veto.vet_of(tools.veto, mine, content, self.reins)
        trader = traders.trader_of(content, settings, tools.flags, tools.oversight, vet)
        if self.reins.wants(Desired.STOP):
            await self._open(mine, trader, histories.begin(series, mine.config, 0))
            await self.reins.rest()  # what it is about to get or give, it gets or gives
            return await self._end(mine, trader, End.STOPPED)
        ticks = NO_TICKS
        if trader.takes_ticks:
            ticks = await preparing.ticks_of(settings, self._tools)
        is_wanted = self.reins.is_wanted
        source = await preparing.source_of(mine, series, ticks, self._tools, is_wanted)
        try:
            if mine.is_closing:
                return await self._close_leavings(mine, trader, source)
            if mine.failure is None:
                return await self._live(mine, trader, source, content.warm.value)
            return await self._close_alone(mine, trader, source, mine.failure)
        finally:
            source.leave()

    async def _live(self, mine: Execution, trader: Trader, source: Source, kind: str) -> Outcome:
        tools = self._tools
        process = await tools.launcher.child(kind, tools.settings.limits, mine.execution_id)
        try:
            return await self._play_with(process, mine, trader, source)
        except (StaleEpochError, DatabaseAwayError):
            raise
        except EngineError as error:
            is_its_fault = faults.judge(error, mine.role) is faults.Fault.STRATEGY
            if not is_its_fault or not self._must_close(mine):
                raise
            text = faults.explain(error)
            if not await tools.journal.note_failure(mine, text):
                return Outcome.SUPERSEDED
        finally:
            await process.close()
        return await self._close_alone(mine, trader, source, text)

    async def _play_with(
        self, process: Process, mine: Execution, trader: Trader, source: Source
    ) -> Outcome:
        timeout_s = self._tools.settings.decision_timeout_s
        talk = Conversation(process, decision_timeout_s=timeout_s)
        lookback = await trader.load(talk, source.series, source.ticks)
        past = histories.begin(source.series, source.config, lookback, source.ticks)
        await self._open(mine, trader, past)
        talk.transcript = await transcript.begin(self._tools.records, mine)
        self._keeping.transcript = talk.transcript
        play = self._playing(mine, trader)
        try:
            await trader.warm_up()
        except veto.DrainedError:
            return await self._end(mine, trader, End.DRAINED)
        if not await self._report_ready(mine, process.report, play):
            return Outcome.SUPERSEDED
        end = await play.play(source.bars(past, _resumes_after(trader.desk.tally)))
        return await self._end(mine, trader, end)

    def _playing(self, mine: Execution, trader: Trader, *, is_alone: bool = False) -> Play:
        self._play = Play(
            mine, trader, self.reins, self._tools, keeping=self._keeping, is_alone=is_alone
        )
        return self._play

    async def _open(self, mine: Execution, trader: Trader, past: History) -> None:
        """Give the trader its desk as the ledger has it; the ledger takes this epoch first."""
        trader.sit_down(mine, past)
        if (wanted := self.reins.engagement) is not None:
            trader.gate.risk_state, trader.gate.serves = wanted.allows, wanted.serves
            trader.gate.seat.is_shadow = wanted.role is Role.SHADOW
        trader.desk.tally.compared_with = await preparing.benchmark_of(mine, past, self._tools)
        trader.desk.tally.notice(mine.notices)
        self._keeping.meter = metering.of(self._tools.meters, is_native=trader.takes_ticks)
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
        self.leash.tie(trader, self._tools.guard)
        await self._keeping.keep_owed(trader.desk)

    async def _report_ready(
        self, mine: Execution, report: ConfinementReport | None, play: Play
    ) -> bool:
        tally = play.tally
        changes = {} if report is None else {"confinement": faults.plain_report(report)}
        metering.missing(self._tools.meters, report)
        moved = await self._tools.journal.ready(
            mine,
            Trigger.PAUSE if play.is_paused else Trigger.READY,
            bars_missed=tally.history.bars_between(tally.cursor, _resumes_after(tally)),
            start_time=mine.start_time or self._tools.clock.now(),
            **changes,
        )
        self._is_ready = moved is not None
        return self._is_ready

    # -- its end

    async def _end(self, mine: Execution, trader: Trader, end: End) -> Outcome:
        if end is End.DRAINED:
            await self._keeping.flush()
            return Outcome.HANDED_BACK
        await self._ending.in_order(mine, trader, is_complete=end is End.COMPLETED)
        return Outcome.ENDED

    def _must_close(self, mine: Execution) -> bool:
        """Say whether a failure leaves something that the engine has to close first."""
        wanted = self.reins.engagement
        if mine.failure is not None or wanted is None or wanted.role not in ON_TRIAL:
            return False
        if self.desk is None:
            return mine.start_time is not None  # it has run, and may hold something
        return not self.desk.is_flat

    async def _close_alone(
        self, mine: Execution, trader: Trader, source: Source, failure: str
    ) -> Outcome:
        """Close at the next prices what a failed strategy holds, and end in error."""
        play = await self._alone(mine, trader, source)
        if not self._is_ready and not await self._report_ready(mine, None, play):
            return Outcome.SUPERSEDED
        if await self._play_alone(play, source) is End.DRAINED:
            return Outcome.HANDED_BACK
        await self._ending.in_error(mine, self.desk, failure, end_reason=FAILED)
        return Outcome.ENDED

    async def _close_leavings(self, mine: Execution, trader: Trader, source: Source) -> Outcome:
        """Close at the next prices what an ended execution holds; it stays ended as it was."""
        play = await self._alone(mine, trader, source)
        if await self._play_alone(play, source) is End.DRAINED:
            return Outcome.HANDED_BACK
        await self._ending.of_leavings(mine, trader.desk)
        return Outcome.ENDED

    async def _alone(self, mine: Execution, trader: Trader, source: Source) -> Play:
        if self._trader is None:
            config = await preparing.gone_on(mine, source.config, self._tools)
            await self._open(mine, trader, histories.begin(source.series, config, 0, source.ticks))
        return self._playing(mine, trader, is_alone=True)

    async def _play_alone(self, play: Play, source: Source) -> End:
        end = await play.play(source.bars(play.tally.history, _resumes_after(play.tally)))
        if end is End.DRAINED:
            await self._keeping.flush()
        return end


def _resumes_after(tally: Tally) -> int:
    return max(tally.history.start_after_ns, tally.cursor[0] - 1)
