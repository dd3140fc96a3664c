"""Where an execution stands, and its numbers: the same for every kernel."""

import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from strategy_engine.core import money
from strategy_engine.core.money import NANOS
from strategy_engine.execution import rules, sums
from strategy_engine.execution.benchmarks import Benchmark
from strategy_engine.execution.history import BEFORE_ALL, Cursor, History
from strategy_engine.execution.model import NO_METRICS, Observation
from strategy_engine.execution.ticks import BAR, NOWHERE, Place, place_of
from strategy_engine.market.feeds import BarEvent, MarketEvent
from strategy_engine.matching.model import Fill
from strategy_engine.performance.model import RoundTrip
from strategy_engine.performance.service import LiveMetrics
from strategy_engine.venue.model import Checkpoint
from strategy_engine.venue.purse import Purse
from strategy_engine.venue.service import EquityPoint, Trip

_KEPT_TIMES = 8_192  # decisions whose times the median and the 99th percentile are taken of
SUMS_EVERY = 1_000  # bars: so few are added up again by who goes on
_MOST_NOTICES = 100
_LONGEST_NOTICE = 500
_AFTER_ALL = "\U0010ffff"  # follows every symbol


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the ledger has of an execution that goes on; `orders` are its orders' instruments."""

    checkpoint: Checkpoint
    equity: Sequence[EquityPoint]
    trips: Sequence[Trip]
    orders: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What was given until an instant that is measured, and until the one before."""

    at_ns: int
    nanos: int
    before_nanos: int

    @property
    def flowed_nanos(self) -> int:
        """What flowed since the instant before."""
        return self.nanos - self.before_nanos

    def at(self, now_ns: int, nanos: int) -> "Given":
        """Return what was given until `now_ns`, the same instant or a later one."""
        before_nanos = self.before_nanos if now_ns == self.at_ns else self.nanos
        return Given(at_ns=now_ns, nanos=nanos, before_nanos=before_nanos)


class Tally:
    """The place in the feed, the ledger's numbers, metrics, times and notices. No I/O."""

    def __init__(self, execution_id: str, epoch: int, history: History, capital_nanos: int) -> None:
        self.history = history
        self.cursor: Cursor = BEFORE_ALL  # the last bar that is known
        self.place: Place = NOWHERE  # the last bar or tick that it came to
        self.is_mid_bar = False
        self.state: bytes | None = None
        self.compared_with: Benchmark | None = None  # what is traded
        self.denials = 0
        self.notices: dict[str, None] = {}  # in the order that they were given
        self._execution_id = execution_id
        self._epoch = epoch
        self.contributed_nanos = capital_nanos
        self._entry_no = 0
        self._fill_count = 0
        self._bar_no = 0
        self._sums_bar_no = 0
        self._measured_ns = -1
        self._given = Given(at_ns=-1, nanos=capital_nanos, before_nanos=capital_nanos)
        self._is_ahead = False
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
        self.state = checkpoint.state
        self.contributed_nanos = checkpoint.capital_nanos
        self._entry_no = checkpoint.entry_no
        self._fill_count = checkpoint.fill_count
        self._bar_no = checkpoint.bar_no
        if checkpoint.close_ns is None or checkpoint.symbol is None:
            return
        at, kind, symbol, index = checkpoint.account.get("place") or (
            checkpoint.close_ns,
            BAR,
            checkpoint.symbol,
            0,
        )
        self._come_to((at, kind, symbol, index))
        self.is_mid_bar = not checkpoint.is_decided
        self._restore_growth()
        self._restore_metrics(kept)

    @property
    def known(self) -> Cursor:
        """The last bar that a strategy may know before it is asked about the next one."""
        close_ns, symbol = self.cursor
        if not self.is_mid_bar or self.place[1] != BAR:
            return self.cursor
        earlier = [name for name in self.history.series if name < symbol]
        return (close_ns, max(earlier)) if earlier else (close_ns - 1, _AFTER_ALL)

    @property
    def benchmark(self) -> float:
        """What it is compared with, from 1.0: buy and hold of what is traded, in equal parts."""
        if self.compared_with is not None:
            return self.compared_with.index_at(self.place[0])
        return sum(self._growth.values()) / len(self._growth)

    @property
    def may_move(self) -> bool:
        """Whether cash may: the ledger has heard of all that the bar or tick has done by now."""
        return not self._is_ahead

    def settle(self, purse: Purse, target_nanos: int | None) -> int:
        """Move what is between a target of capital and what was contributed; return what moved.

        Where no cash may move, what is to leave is only reserved.
        """
        contributed = self.contributed_nanos
        wanted = contributed if target_nanos is None else target_nanos
        if self.may_move:
            return purse.move(wanted - contributed)
        purse.reserve(contributed - wanted)
        return 0

    def is_before(self, event: MarketEvent) -> bool:
        """Whether an event is still to be done."""
        place = place_of(event)
        return place > self.place or (self.is_mid_bar and place == self.place)

    def enter(self, event: MarketEvent) -> None:
        """Come to a bar or a tick."""
        if isinstance(event, BarEvent):
            self._bar_no += 1
            first_open = self._opens.setdefault(event.symbol, event.open)
            self._growth[event.symbol] = event.close / first_open
        self._come_to(place_of(event))
        self._is_ahead = True

    def _come_to(self, place: Place) -> None:
        self.place = place
        # A tick follows every bar of its instant.
        self.cursor = place[0], (place[2] if place[1] == BAR else _AFTER_ALL)

    def stamp(self, fills: Sequence[Fill] = ()) -> dict[str, Any]:
        """Return the fields that number the next entry and say where it stands; count its fills."""
        self._entry_no += 1
        self._is_ahead = False
        close_ns, _, symbol, _ = self.place
        first = self._fill_count + 1
        self._count(fills)
        measured = None
        if self._bar_no % SUMS_EVERY == 0 and self._bar_no != self._sums_bar_no:
            self._sums_bar_no = self._bar_no
            measured = self._sums().encoded()
        return self.name() | {
            "measured": measured,
            "symbol": symbol,
            "close_ns": close_ns,
            "bar_no": self._bar_no,
            "benchmark": self.benchmark,
            "contributed_nanos": self.contributed_nanos,
            "first_fill_no": first,
            "fills": tuple(fills),
        }

    def flow(self, amount_nanos: int, at: datetime) -> dict[str, Any]:
        """Take what flowed between two bars; return the fields that number its entry."""
        self._entry_no += 1
        self.contributed_nanos += amount_nanos
        return self.name() | {
            "amount_nanos": amount_nanos,
            "contributed_nanos": self.contributed_nanos,
            "close_ns": self.place[0] if self.place != NOWHERE else None,
            "at": at,
        }

    def end(self) -> dict[str, Any]:
        """Return the fields that number the last entry."""
        self._entry_no += 1
        return self.name()

    def name(self) -> dict[str, Any]:
        """Return whose entry it is, and its number."""
        return {
            "execution_id": self._execution_id,
            "epoch": self._epoch,
            "entry_no": self._entry_no,
        }

    def leave(self, equity_nanos: int) -> None:
        """End a bar or a tick; the account is measured at the instants that bars close at."""
        self.is_mid_bar = False
        if self.place[1] == BAR:
            self._measured_ns = self.place[0]
        if self.place[0] == self._measured_ns:
            self._measure(equity_nanos, self.contributed_nanos, benchmark=self.benchmark)

    def stay(self, equity_nanos: int) -> None:
        """Measure the account again where it stands: its row of equity is written once more."""
        if not self.is_mid_bar:
            self.leave(equity_nanos)

    def pass_by(self) -> None:
        """End a tick that changed nothing, and that the ledger does not hear of."""
        self._is_ahead = False

    def _measure(self, equity_nanos: int, contributed_nanos: int, *, benchmark: float) -> None:
        self._given = self._given.at(self._measured_ns, contributed_nanos)
        self._metrics.add_close(
            self._measured_ns,
            equity=equity_nanos / NANOS,
            benchmark=benchmark,
            before_flows=(equity_nanos - self._given.flowed_nanos) / NANOS,
        )

    def time(self, latency_ns: int, cpu_ns: int) -> None:
        """Take the times of one decision: from asking to answer, and of the child's CPU."""
        self._latencies_ns.append(latency_ns)
        self._cpu_ns.append(cpu_ns)

    def notice(self, texts: Iterable[str]) -> None:
        """Keep what there is to say of the execution, each once."""
        for text in texts:
            if len(self.notices) < _MOST_NOTICES:
                self.notices.setdefault(text[:_LONGEST_NOTICE])

    def observe(self, equity_nanos: int, *, is_final: bool = False) -> Observation:
        """Return what the execution has come to by now."""
        found = self._metrics.final_metrics() if is_final else self._metrics.metrics()
        pnl: Decimal = money.to_decimal(equity_nanos - self.contributed_nanos)
        return Observation(
            execution_id=self._execution_id,
            epoch=self._epoch,
            trade_count=self._metrics.trade_count,
            fill_count=self._fill_count,
            pnl=pnl,
            capital=money.to_decimal(self.contributed_nanos).normalize() + 0,
            performance_metrics=NO_METRICS | found.to_dict() | self._times(),
            notices=tuple(self.notices),
            estimates=found.estimates(),
        )

    def _times(self) -> dict[str, float]:
        latencies, cpu = sorted(self._latencies_ns), sorted(self._cpu_ns)
        return {
            "bar_count": self._bar_no,
            "denial_count": self.denials,
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

    def _sums(self) -> sums.Sums:
        given = self._given
        return sums.Sums(
            bar_no=self._bar_no,
            measured_ns=self._measured_ns,
            given=(given.at_ns, given.nanos, given.before_nanos),
            live=self._metrics.dump(),
        )

    def _restore_metrics(self, kept: Kept) -> None:
        """Go on from the sums that are kept; only what came after them is added up again."""
        found = sums.decoded(kept.checkpoint.measured)
        if found is not None:
            self._measured_ns = found.measured_ns
            at_ns, nanos, before_nanos = found.given
            self._given = Given(at_ns=at_ns, nanos=nanos, before_nanos=before_nanos)
            self._metrics.load(found.live)
            self._sums_bar_no = found.bar_no
        for _, points in itertools.groupby(kept.equity, key=lambda each: each.bar_index):
            point = next(points)  # what follows it was known between two bars
            if point.bar_index >= 0 and point.close_ns >= self._measured_ns:
                self._measured_ns = point.close_ns
                self._measure(
                    money.to_nanos(point.equity),
                    money.to_nanos(point.contributed),
                    benchmark=point.benchmark,
                )
        for trip in kept.trips:
            self._metrics.add_round_trip(
                RoundTrip(entry_ns=trip.entry_ns, exit_ns=trip.exit_ns, pnl=float(trip.pnl))
            )

    def _restore_growth(self) -> None:
        for symbol, first_open in self._opens.items():
            close = self.history.last_close(symbol, self.cursor)
            if close is not None:
                self._growth[symbol] = close / first_open
