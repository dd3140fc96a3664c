"""The node's desk of one execution: its venue, its numbers, and the ledger entry of every bar."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from strategy_engine.core import money
from strategy_engine.core.money import NANOS
from strategy_engine.execution import rules
from strategy_engine.execution.history import BEFORE_ALL, Cursor, History
from strategy_engine.execution.model import NO_METRICS, Observation
from strategy_engine.market.feeds import BarEvent
from strategy_engine.matching.model import Decision, Fill, Terms
from strategy_engine.performance.model import RoundTrip
from strategy_engine.performance.service import LiveMetrics
from strategy_engine.sandbox.protocol import messages
from strategy_engine.venue.model import (
    BarProcessed,
    Checkpoint,
    Closed,
    Happened,
    Placed,
)
from strategy_engine.venue.paper import NOTHING_HAPPENED, NOTHING_PLACED, PaperVenue
from strategy_engine.venue.service import EquityPoint, Trip

_KEPT_TIMES = 8_192  # decisions whose times the median and the 99th percentile are taken of


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the ledger has of an execution that goes on."""

    checkpoint: Checkpoint
    equity: Sequence[EquityPoint]
    trips: Sequence[Trip]


class Desk:
    """Everything about one execution that changes with a bar. No I/O: the runner does that."""

    def __init__(self, venue: PaperVenue, history: History, capital_nanos: int) -> None:
        self.venue = venue
        self.history = history
        self.cursor: Cursor = BEFORE_ALL
        self.is_mid_bar = False
        self.state: bytes | None = None
        self._capital_nanos = capital_nanos
        self._entry_no = 0
        self._fill_count = 0
        self._bar_no = 0
        self._denials = 0
        self._untold: list[tuple[str, messages.Filled]] = []
        self._opens = history.first_opens()
        self._growth = dict.fromkeys(history.series, 1.0)
        self._metrics = LiveMetrics(
            capital=capital_nanos / NANOS, periods_per_year=history.instants_per_year()
        )
        self._latencies_ns: deque[int] = deque(maxlen=_KEPT_TIMES)
        self._cpu_ns: deque[int] = deque(maxlen=_KEPT_TIMES)

    def restore(self, kept: Kept) -> None:
        """Go on where the ledger stands."""
        checkpoint = kept.checkpoint
        self.venue.load(checkpoint.account)
        self.state = checkpoint.state
        self._entry_no = checkpoint.entry_no
        self._fill_count = checkpoint.fill_count
        self._bar_no = checkpoint.bar_no
        if checkpoint.close_ns is None or checkpoint.symbol is None:
            return
        self.cursor = checkpoint.close_ns, checkpoint.symbol
        self.is_mid_bar = not checkpoint.is_decided
        self._untold = [
            (symbol, messages.Filled(**dict(zip(_FILLED, told, strict=True))))
            for symbol, *told in checkpoint.undelivered
        ]
        self._restore_growth()
        for point in kept.equity:
            self._metrics.add_close(
                point.close_ns, equity=float(point.equity), benchmark=point.benchmark
            )
        for trip in kept.trips:
            self._metrics.add_round_trip(
                RoundTrip(entry_ns=trip.entry_ns, exit_ns=trip.exit_ns, pnl=float(trip.pnl))
            )

    @property
    def is_flat(self) -> bool:
        """Whether nothing is held in any instrument."""
        return not any(book.lots for book in self.venue.account.books.values())

    def is_before(self, event: BarEvent) -> bool:
        """Whether an event is still to be done."""
        place = event.close_ns, event.symbol
        return place > self.cursor or (self.is_mid_bar and place == self.cursor)

    def mark(
        self, event: BarEvent, *, cancel_entries: bool = False, flatten: bool = False
    ) -> tuple[Happened, BarProcessed | None]:
        """Let a bar fill and mark; the entry is to be kept before the strategy hears of its fills.

        With `cancel_entries`, what waits to open a position is taken back first; with `flatten`,
        everything that waits is, and the instrument's position is closed at this bar's open.
        """
        gone: tuple[str, ...] = ()
        placed = NOTHING_PLACED
        if flatten:
            gone = self.venue.cancel()
            placed = self.venue.flatten(event.symbol, event.ts_ns)
        elif cancel_entries:
            gone = self.venue.cancel(only_entries=True)
        series = self.history.series[event.symbol]
        happened = self.venue.on_bar(
            event.symbol, (event.ts_ns, event.close_ns), series.ticks_at(event.index)
        )
        if gone:
            happened = Happened(fills=happened.fills, cancelled=gone + happened.cancelled)
        self._bar_no += 1
        self._grow(event.symbol, event.close)
        self.cursor = event.close_ns, event.symbol
        if not happened.fills:
            return happened, None
        self._untold += [(each.symbol, _told(each, series.terms)) for each in happened.fills]
        entry = self._entry(event, happened=happened, is_decided=False, placed=placed)
        self._count(happened.fills)
        return NOTHING_HAPPENED, entry

    def bar_message(self, event: BarEvent) -> messages.Bar:
        """Return what the strategy is shown of a bar."""
        account = self.venue.account
        book = account.books[event.symbol]
        return messages.Bar(
            symbol=event.symbol,
            open_ns=event.ts_ns,
            close_ns=event.close_ns,
            ohlcv=(event.open, event.high, event.low, event.close, event.volume),
            holding=messages.Holding(
                lots=book.lots,
                entry_price=book.entry_price,
                cash=account.cash / NANOS,
                equity=account.equity() / NANOS,
            ),
            fills=[filled for symbol, filled in self._untold if symbol == event.symbol],
        )

    def conclude(
        self, event: BarEvent, happened: Happened, decision: Decision | None, state: bytes | None
    ) -> BarProcessed:
        """Place what was decided, and return the entry that ends the bar.

        Without a decision (the execution is paused) the strategy has not heard of its fills yet.
        """
        placed = NOTHING_PLACED
        if decision is not None:
            placed = self.venue.decide(event.symbol, decision, event.close_ns)
            self._denials += len(placed.denials)
            if self._untold:
                self._untold = [each for each in self._untold if each[0] != event.symbol]
        self.is_mid_bar = False
        if state is not None:
            self.state = state
        entry = self._entry(
            event,
            happened=happened,
            is_decided=True,
            placed=placed,
            decision=decision,
            state=state,
        )
        self._metrics.add_close(
            event.close_ns, equity=entry.equity_nanos / NANOS, benchmark=entry.benchmark
        )
        return entry

    def close(self) -> Closed:
        """Take back every order that waits, and return the entry that ends the execution."""
        cancelled = self.venue.cancel()
        self._entry_no += 1
        return Closed(
            execution_id=self.venue.execution_id,
            epoch=self.venue.epoch,
            entry_no=self._entry_no,
            cancelled=cancelled,
            account=self.venue.dump(),
        )

    def time(self, latency_ns: int, cpu_ns: int) -> None:
        """Take the times of one decision: from asking to answer, and of the child's CPU."""
        self._latencies_ns.append(latency_ns)
        self._cpu_ns.append(cpu_ns)

    def observe(self, *, is_final: bool = False) -> Observation:
        """Return what the execution has come to by now."""
        found = self._metrics.final_metrics() if is_final else self._metrics.metrics()
        pnl: Decimal = money.to_decimal(self.venue.account.equity() - self._capital_nanos)
        return Observation(
            execution_id=self.venue.execution_id,
            epoch=self.venue.epoch,
            trade_count=self._metrics.trade_count,
            fill_count=self._fill_count,
            pnl=pnl,
            performance_metrics=NO_METRICS | found.to_dict() | self._times(),
        )

    def _times(self) -> dict[str, float]:
        latencies, cpu = sorted(self._latencies_ns), sorted(self._cpu_ns)
        return {
            "bar_count": self._bar_no,
            "denial_count": self._denials,
            "decision_latency_ms": rules.median(latencies) / 1e6,
            "decision_latency_p99_ms": rules.percentile_99(latencies) / 1e6,
            "decision_cpu_ms": rules.median(cpu) / 1e6,
            "decision_cpu_p99_ms": rules.percentile_99(cpu) / 1e6,
        }

    def _count(self, fills: Sequence[Fill]) -> None:
        self._fill_count += len(fills)
        for fill in fills:
            trip = fill.round_trip
            if trip is not None:
                self._metrics.add_round_trip(
                    RoundTrip(
                        entry_ns=trip.entry_ns, exit_ns=trip.exit_ns, pnl=trip.pnl_nanos / NANOS
                    )
                )

    def _grow(self, symbol: str, close: float) -> None:
        self._growth[symbol] = close / self._opens[symbol]

    def _restore_growth(self) -> None:
        for symbol, first_open in self._opens.items():
            close = self.history.last_close(symbol, self.cursor)
            if close is not None:
                self._growth[symbol] = close / first_open

    def _entry(
        self,
        event: BarEvent,
        *,
        happened: Happened,
        is_decided: bool,
        placed: Placed = NOTHING_PLACED,
        decision: Decision | None = None,
        state: bytes | None = None,
    ) -> BarProcessed:
        venue = self.venue
        self._entry_no += 1
        return BarProcessed(
            execution_id=venue.execution_id,
            epoch=venue.epoch,
            entry_no=self._entry_no,
            symbol=event.symbol,
            close_ns=event.close_ns,
            bar_no=self._bar_no,
            is_decided=is_decided,
            equity_nanos=venue.account.equity(),
            cash_nanos=venue.account.cash,
            benchmark=sum(self._growth.values()) / len(self._growth),
            terms=venue.terms,
            account=venue.dump(),
            first_fill_no=self._fill_count + 1,
            fills=happened.fills,
            cancelled=happened.cancelled,
            orders=placed.orders,
            denials=placed.denials,
            decision=decision,
            undelivered=tuple(_plain(each) for each in self._untold),
            state=state,
        )


_FILLED = messages.Filled.__struct_fields__


def _told(fill: Fill, terms: Terms) -> messages.Filled:
    return messages.Filled(
        side=fill.side.value,
        quantity=terms.quantity(fill.lots),
        price=terms.price(fill.price_ticks),
        fee=fill.fee_nanos / NANOS,
        pnl=fill.pnl_nanos / NANOS,
        ts_ns=fill.ts_ns,
        cause=fill.cause.value,
    )


def _plain(untold: tuple[str, messages.Filled]) -> tuple[object, ...]:
    symbol, filled = untold
    return (symbol, *(getattr(filled, name) for name in _FILLED))
