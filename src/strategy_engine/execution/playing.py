"""An execution's bars, one by one, under what is wanted of it by then."""

from collections.abc import Collection
from decimal import Decimal
from enum import Enum, auto

from strategy_engine.core import money
from strategy_engine.execution.engagement import Engagement
from strategy_engine.execution.keeping import Keeping
from strategy_engine.execution.model import Desired, Execution, Role, Trigger
from strategy_engine.execution.pace import Bars
from strategy_engine.execution.reins import Reins
from strategy_engine.execution.tally import Tally
from strategy_engine.execution.ticks import place_of
from strategy_engine.execution.tools import Tools
from strategy_engine.execution.traders import Trader
from strategy_engine.execution.veto import DrainedError
from strategy_engine.market.feeds import MarketEvent


class End(Enum):
    """Why an execution comes to no bar any more."""

    COMPLETED = auto()
    STOPPED = auto()
    DRAINED = auto()


class Play:
    """One execution from bar to bar: fills, flows of capital, decisions, each kept in its turn.

    Parameters
    ----------
    is_alone : bool
        Its strategy has failed: the engine closes what is held, and then it ends.
    """

    def __init__(
        self,
        mine: Execution,
        trader: Trader,
        reins: Reins,
        tools: Tools,
        *,
        keeping: Keeping,
        is_alone: bool = False,
    ) -> None:
        self._mine = mine
        self._trader = trader
        self._desk = trader.desk
        self._reins = reins
        self._tools = tools
        self._keeping = keeping
        self._is_alone = is_alone
        self._is_paused = reins.wants(Desired.PAUSE)
        self._obeyed: Engagement | None = None
        self._seen = self._desk.tally.known  # the last that the strategy was shown
        self._has_missed = False
        self._parted_from: int | None = None  # the capital before it parted with cash
        self.has_played = False
        self.asked_s: float | None = None  # since when its process has been asked, and is silent
        self.idle_s: float | None = None  # since when the feed has given nothing

    @property
    def is_paused(self) -> bool:
        """Whether it takes no decisions for now."""
        return self._is_paused

    @property
    def tally(self) -> Tally:
        """Where it stands."""
        return self._desk.tally

    @property
    def _engagement(self) -> Engagement:
        found = self._reins.engagement
        if found is None:
            raise RuntimeError("an execution plays once it knows what is wanted of it")
        return found

    async def play(self, bars: Bars) -> End:
        """Come to each bar, until there are no more or it is to end."""
        self._reins.nudge.set()  # what was wanted while all this was prepared
        try:
            return await self._go(bars)
        except DrainedError:
            return End.DRAINED
        finally:
            await bars.aclose()

    async def withdraw_entries(self, symbols: Collection[str]) -> None:
        """Take back what waits to open positions in some instruments, between two bars; keep it."""
        entry = self._desk.withdraw_entries(symbols)
        if entry is not None:
            await self._keeping.keep(entry)

    async def part_with_cash(self, target: Decimal) -> None:
        """Let capital leave until it is `target`, as far as it is free, between two bars."""
        self._parted_from = self._desk.tally.contributed_nanos
        await self._flow(money.to_nanos(target))

    async def take_cash_back(self) -> None:
        """Have again what it parted with: nobody else got it."""
        if self._parted_from is not None:
            await self._flow(self._parted_from)
            self._parted_from = None

    async def _go(self, bars: Bars) -> End:
        nudge = self._reins.nudge
        while True:
            if nudge.is_set() or self._reins.is_held:
                nudge.clear()
                tally = self._desk.tally
                await self._reins.rest(tally.place, is_mid_bar=tally.is_mid_bar)
                if (end := await self._obey()) is not None:
                    return end
            self.idle_s = self.idle_s or self._tools.clock.monotonic_s()
            event = await bars.next(nudge)
            if event is None:
                if bars.is_over:
                    return End.COMPLETED
            elif self._desk.tally.is_before(event):
                self.idle_s = None
                await self._step(event)
                if self._is_done:
                    return End.STOPPED

    # -- between two bars

    async def _obey(self) -> End | None:
        await self._keeping.keep_owed(self._desk)
        if self._reins.is_draining:
            return End.DRAINED
        if self._reins.wants(Desired.STOP) or self._is_done:
            return End.STOPPED
        wanted = self._engagement
        if wanted != self._obeyed:
            await self._take_up(wanted)
        if self._is_paused == self._reins.wants(Desired.PAUSE) or self._is_alone:
            return None
        return await self._turn()

    async def _take_up(self, wanted: Engagement) -> None:
        gate, tally = self._trader.gate, self._desk.tally
        gate.risk_state, gate.serves = wanted.allows, wanted.serves
        gate.seat.is_shadow = wanted.role is Role.SHADOW
        if self._keeping.transcript is not None:
            self._keeping.transcript.follow(wanted.role)
        symbols = wanted.past(tally.place[0], tally.history.series)
        if symbols:
            await self.withdraw_entries(symbols)
        await self._move_capital(wanted)
        self._parted_from = None
        self._obeyed = wanted

    async def _turn(self) -> End | None:
        """Pause, or go on; a pause that is confirmed has all that was before it on the disk."""
        if self._is_paused:
            await self._catch_up()
        self._is_paused = not self._is_paused
        await self._keeping.flush()
        trigger = Trigger.PAUSE if self._is_paused else Trigger.RESUME
        is_lost = await self._tools.journal.move(self._mine, trigger) is None
        return End.DRAINED if is_lost else None

    async def _move_capital(self, wanted: Engagement) -> None:
        target = wanted.capital_target
        await self._flow(None if target is None else money.to_nanos(target))

    async def _flow(self, target_nanos: int | None) -> None:
        flowed = self._desk.flow(target_nanos, self._tools.clock.now())
        if flowed is not None:
            await self._keeping.keep(flowed)
            await self._tools.journal.observe([self._desk.observe()])

    # -- at a bar

    async def _step(self, event: MarketEvent) -> None:
        wanted, tally = self._engagement, self._desk.tally
        closes = self._closing(wanted, event)
        is_passed_by = self._passes_by(event.symbol, closes)
        if self._has_missed and not is_passed_by:
            await self._catch_up()
        if not tally.is_mid_bar:
            entry = self._trader.mark(
                event,
                cancel_entries=self._is_paused or wanted.is_leaving,
                closes=closes,
            )
            if entry is not None:  # before the strategy hears of a fill, it is on the disk
                await self._keeping.keep(entry)
                self._tools.watch.on_fills(self._mine.execution_id)
        if wanted.capital_target is not None:
            await self._move_capital(wanted)
        self.has_played = True
        await self._conclude(event, is_passed_by=is_passed_by)

    async def _conclude(self, event: MarketEvent, *, is_passed_by: bool) -> None:
        if is_passed_by:
            entry = self._trader.pass_by(event)
            self._has_missed = True
        else:
            began_s = self.asked_s = self._tools.clock.monotonic_s()
            await self._trader.decide(event)
            if self._keeping.meter is not None:
                self._keeping.meter.decided(self._tools.clock.monotonic_s() - began_s)
            self.asked_s = None
            entry = await self._trader.conclude(event)
            self._seen = self._desk.tally.cursor
        if entry is not None:
            await self._keeping.post(entry)

    async def _catch_up(self) -> None:
        await self._trader.catch_up(self._seen)
        self._seen = self._desk.tally.known
        self._has_missed = False

    def _closing(self, wanted: Engagement, event: MarketEvent) -> frozenset[str]:
        symbols = self._desk.tally.history.series
        if self._is_alone:
            return frozenset(symbols)
        return wanted.closing(symbols, place_of(event)[0])

    def _passes_by(self, symbol: str, closes: Collection[str]) -> bool:
        if self._is_paused or self._is_alone or self._reins.wants(Desired.FLATTEN):
            return True
        return symbol in closes and self._desk.holds(symbol)

    @property
    def _is_done(self) -> bool:
        return (self._is_alone or self._engagement.is_leaving) and self._desk.is_flat
