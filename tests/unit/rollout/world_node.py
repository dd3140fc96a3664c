"""A market of made-up bars, scripted strategies, and executions that trade them at real venues."""

import functools
import random
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from strategy_engine.core import money
from strategy_engine.execution import engagement
from strategy_engine.execution.engagement import Engagement
from strategy_engine.execution.model import Desired, Execution, Role
from strategy_engine.market.model import Bars, Calendar, Instrument, Timeframe
from strategy_engine.matching import rules as matching
from strategy_engine.matching.model import BUY, HOLD, SELL, Action, Decision, Rules, Side, Terms
from strategy_engine.venue import oversight
from strategy_engine.venue.paper import PaperVenue
from strategy_engine.venue.returns import Instant

SYMBOLS = ("AAA.SIM", "BBB.SIM")
TERMS = {each: Terms(symbol=each, tick_nanos=10_000_000, lot_nanos=money.NANOS) for each in SYMBOLS}
BAR_NS = 60 * money.NANOS
BARS = 4_000
LEG = 6  # bars that prices rise for, and then fall
TIMEOUT_BARS = 20  # so long a strategy may be silent
FLAT = Decision(action=Action.TARGET, size_ppb=0)
HOW = Rules(
    position_size_ppb=450_000_000, stop_loss_ppb=None, take_profit_ppb=None, allow_short=True
)


class Market:
    """Waves of prices: `index` counts the closes of all instruments, in the order of events."""

    def __init__(self, seed: int) -> None:
        self.ticks = {
            symbol: _wave(random.Random(f"{seed} {symbol}"), phase)  # noqa: S311 - prices, no secrets
            for phase, symbol in enumerate(SYMBOLS)
        }

    def at(self, index: int) -> tuple[str, tuple[int, int], tuple[int, int, int, int]]:
        """Return whose bar it is, when it opened and closed, and its prices."""
        number, which = divmod(index, len(SYMBOLS))
        symbol = SYMBOLS[which]
        return symbol, (number * BAR_NS, (number + 1) * BAR_NS), self.ticks[symbol][number]

    # what a catalogue tells

    def instrument(self, symbol: str) -> Instrument:
        return Instrument(
            symbol=symbol,
            venue="SIM",
            currency="USD",
            tick_size=money.to_decimal(TERMS[symbol].tick_nanos),
            lot_size=money.to_decimal(TERMS[symbol].lot_nanos),
            calendar=Calendar.CONTINUOUS,
            default_timeframe=Timeframe.parse("1m"),
        )

    def bars(self, symbol: str, timeframe: str | None = None) -> Bars:
        prices = np.array(self.ticks[symbol], dtype=np.float64) / 100.0
        columns = (np.ascontiguousarray(prices[:, each]) for each in range(4))
        opens, highs, lows, closes = columns
        return Bars(
            ts_ns=np.arange(BARS, dtype=np.int64) * BAR_NS,
            open=opens,
            high=highs,
            low=lows,
            close=closes,
            volume=np.ones(BARS),
            timeframe_ns=BAR_NS,
        )


@functools.lru_cache
def market(seed: int) -> Market:
    return Market(seed)


def _wave(chance: random.Random, phase: int) -> list[tuple[int, int, int, int]]:
    made, level, base = [], 10_000.0, 10_000.0
    for number in range(BARS):
        is_rising = (number + phase) % (2 * LEG) < LEG
        open_ = level
        level *= (1.01 if is_rising else 1 / 1.01) * (1 + chance.uniform(-0.002, 0.002))
        level += 0.02 * (base - level)
        high, low = max(open_, level) + chance.random(), min(open_, level) - chance.random()
        made.append(tuple(round(each) for each in (open_, high, low, level)))
    return [(o, max(h, o, c), min(low, o, c), c) for o, h, low, c in made]


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What a strategy does, by the number of the bar: it keeps nothing.

    Parameters
    ----------
    period, hold : int
        It enters every so many bars, and is out so many later.
    foresight : int
        1: it is in while prices rise; -1: while they fall; 0: as `period` has it.
    raises_at, silent_at, mismatches_at : int or None
        The decision of its life that it raises at, does not answer, differs from its code at.
    """

    period: int = 8
    hold: int = 4
    is_short: bool = False
    foresight: int = 0
    is_refused: bool = False
    raises_at: int | None = None
    silent_at: int | None = None
    mismatches_at: int | None = None
    cpu_ms: float = 0.1

    def decide(self, symbol: str, number: int) -> Decision:
        """Return what it says at the close of a bar."""
        enter = SELL if self.is_short else BUY
        if self.is_refused:
            return BUY
        if self.foresight:
            ahead = 1 + SYMBOLS.index(symbol) + (0 if self.foresight > 0 else LEG)
            return {0: BUY, LEG: SELL}.get((number + ahead) % (2 * LEG), HOLD)
        place = (number + 3 * SYMBOLS.index(symbol)) % self.period
        return enter if place == 0 else FLAT if place == self.hold else HOLD


class StrategyRaisedError(Exception):
    """The scripted strategy did something wrong."""


class Trading:
    """One execution at its venue. What it is now is what its ledger has, whoever dies."""

    def __init__(self, row: Execution, script: Script, where: Market) -> None:
        how, limits = HOW, {"max_position_size": 10} if script.is_refused else {}
        capital_nanos = money.to_nanos(row.capital)
        self.venue = PaperVenue(
            row.execution_id,
            capital_nanos=capital_nanos,
            terms=TERMS.values(),
            how=how,
            epoch=1,
            seat=oversight.alone(**limits),
        )
        self.script, self._market = script, where
        self.opened_nanos = self.contributed_nanos = capital_nanos
        begun = 0 if row.config.start_ns is None else row.config.start_ns // BAR_NS
        self.next = begun * len(SYMBOLS)
        self.place_ns: int | None = None
        self.bar_no = self.entry_no = self.decisions = self.orders = self.silent_bars = 0
        self.fills: list = []
        self.crossed: set[str] = set()  # by another of the line, for nothing
        self.denials: Counter = Counter()
        self.instants: list[Instant] = []
        self.heard: Engagement = engagement.of(row)
        self.obeyed: Engagement | None = None
        self.is_alone = False
        self.on_flow: Callable[[int], None] = lambda amount_nanos: None

    @property
    def is_flat(self) -> bool:
        return not any(book.lots for book in self.venue.account.books.values())

    @property
    def lots(self) -> dict[str, int]:
        return {symbol: book.lots for symbol, book in self.venue.account.books.items()}

    @property
    def books(self) -> tuple[dict[str, int], int]:
        """Return positions and cash."""
        return self.lots, self.venue.account.cash

    @property
    def is_busy(self) -> bool:
        """Whether it waits for its strategy's answer, in the middle of a bar."""
        return 0 < self.silent_bars < TIMEOUT_BARS

    @property
    def is_paused(self) -> bool:
        return self.heard.desired is Desired.PAUSE

    @property
    def is_done(self) -> bool:
        return (self.is_alone or self.heard.is_leaving) and self.is_flat

    def serves(self, symbol: str, close_ns: int) -> bool:
        return self.heard.serves.of(symbol).holds(close_ns)

    def obey(self) -> bool:
        """Take up what was heard, between two bars; whether it goes on."""
        wanted = self.heard
        if wanted.desired is Desired.STOP or self.is_done:
            return False
        if wanted != self.obeyed:
            self.venue.risk_state, self.venue.serves = wanted.allows, wanted.serves
            place = engagement.BEFORE_ALL_NS if self.place_ns is None else self.place_ns
            if symbols := wanted.past(place, SYMBOLS):
                self.withdraw(symbols)
            self._move_capital()
            self.obeyed = wanted
        return True

    def withdraw(self, symbols) -> None:
        self.venue.cancel(only_entries=True, symbols=symbols)
        self.entry_no += 1

    def part_with_cash(self, target: Decimal) -> None:
        self._flow(money.to_nanos(target))

    def cross(self, trades, tag: str) -> None:
        """Trade with another of the line at the marks, for nothing."""
        placed, happened = self.venue.cross(trades, self.place_ns or 0, tag)
        self.orders += len(placed.orders)
        self.fills += happened.fills
        self.crossed |= {each.order_id for each in happened.fills}
        self.entry_no += 1

    def flow(self, amount_nanos: int) -> None:
        """Let just so much enter (+) or leave (-)."""
        self._flow(self.contributed_nanos + amount_nanos)

    def bar(self) -> None:
        """Come to the next bar: fills first, then flows, then the decision."""
        wanted = self.heard
        if self.silent_bars:
            self._wait()
            return
        symbol, times, ticks = self._market.at(self.next)
        closes = frozenset(SYMBOLS) if self.is_alone else wanted.closing(SYMBOLS, times[1])
        is_passed_by = self._passes_by(symbol, closes)  # as it stands before the bar
        self.venue.cancel(symbols=closes)
        if self.is_paused or wanted.is_leaving:
            self.venue.cancel(only_entries=True)
        if symbol in closes:
            self.venue.flatten(symbol, times[0])
        happened = self.venue.on_bar(symbol, times, ticks)
        self.fills += happened.fills
        self.next += 1
        self.bar_no += 1
        self.entry_no += 1
        self.place_ns = times[1]
        if wanted.capital_target is not None:
            self._move_capital()
        if not is_passed_by:
            self._decide(symbol, times[1])
        self._measure(times[1])

    def _wait(self) -> None:
        self.silent_bars += 1
        if self.silent_bars >= TIMEOUT_BARS:
            raise StrategyRaisedError("it did not answer in time")

    def _passes_by(self, symbol: str, closes: Collection[str]) -> bool:
        if self.is_paused or self.is_alone or self.heard.desired is Desired.FLATTEN:
            return True
        return symbol in closes and self.lots[symbol] != 0

    def _decide(self, symbol: str, close_ns: int) -> None:
        self.decisions += 1
        if self.decisions == self.script.raises_at:
            raise StrategyRaisedError("ValueError: no such column")
        if self.decisions == self.script.silent_at:
            self.silent_bars = 1
            return
        decision = self.script.decide(symbol, close_ns // BAR_NS - 1)
        placed = self.venue.decide(symbol, decision, close_ns)
        self.orders += len(placed.orders) + len(placed.denials)
        self.denials.update(each.denial.code for each in placed.denials)

    def _move_capital(self) -> None:
        target = self.heard.capital_target
        self._flow(self.contributed_nanos if target is None else money.to_nanos(target))

    def _flow(self, nanos: int) -> None:
        moved = self.venue.purse.move(nanos - self.contributed_nanos)
        if moved:
            self.contributed_nanos += moved
            self.entry_no += 1
            self.on_flow(moved)

    def _measure(self, close_ns: int) -> None:
        if self.next % len(SYMBOLS) == 0:
            self.instants.append(
                Instant(
                    close_ns=close_ns,
                    bar_index=self.bar_no,
                    equity=money.to_decimal(self.venue.account.equity()),
                    contributed=money.to_decimal(self.contributed_nanos),
                )
            )

    # -- what must be so

    def from_fills(self) -> tuple[dict[str, int], int]:
        """Return positions and cash as its fills and flows alone have them."""
        lots, cash = dict.fromkeys(SYMBOLS, 0), self.contributed_nanos
        for fill in self.fills:
            sign = 1 if fill.side is Side.BUY else -1
            value = TERMS[fill.symbol].nanos(fill.lots * fill.price_ticks)
            lots[fill.symbol] += sign * fill.lots
            is_crossed = fill.order_id in self.crossed
            cash -= sign * value + (0 if is_crossed else matching.fee(value, HOW.fee_ppm))
        return lots, cash


def is_on_trial(role: Role) -> bool:
    return role in {Role.SHADOW, Role.CANDIDATE, Role.BASELINE}
