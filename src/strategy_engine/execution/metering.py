"""What a node counts and times of an execution, as its entries are kept."""

import time
from enum import StrEnum

from strategy_engine.infra.meters import NodeMeters
from strategy_engine.sandbox.model import ConfinementReport
from strategy_engine.venue.model import BarProcessed, Closed, DenialCode, Entry, OrderStatus

SIGNAL, NATIVE = "signal", "native"  # the kernels, as a label names them
_UNFILLED = frozenset({OrderStatus.CANCELLED, OrderStatus.EXPIRED, OrderStatus.REJECTED})
_MOST_WAITING = 1_000  # orders whose fill is still waited for; older ones are not timed


def of(meters: NodeMeters, *, is_native: bool) -> "EntryMeter":
    """Return what counts the entries of one execution."""
    return EntryMeter(meters, NATIVE if is_native else SIGNAL)


def missing(meters: NodeMeters, report: ConfinementReport | None) -> None:
    """Count the layers that a process runs without, or was not let run without."""
    for layer in () if report is None else report.missing:
        meters.walls.labels(layer.name).inc()


def from_nought(meters: NodeMeters) -> None:
    """Begin every known label at 0, so that the first of its kind is seen as an increase."""
    for code in DenialCode:
        meters.denials.labels(code.value)
    for cause in Restart:
        meters.restarts.labels(cause.value)


class Restart(StrEnum):
    """By whose doing a strategy's process ended and was begun anew."""

    CRASHED = "crashed"  # its own
    LOST = "lost"  # not its own: it was killed from outside, or its zygote died


class EntryMeter:
    """Counts refusals by code; times each decision, and each order until its fill is kept."""

    def __init__(self, meters: NodeMeters, kernel: str) -> None:
        self._denials = meters.denials
        self._fills = meters.fills.labels(kernel)
        self._decisions = meters.decisions.labels(kernel)
        self._placed_s: dict[str, float] = {}

    def decided(self, seconds: float) -> None:
        """Take the time of a decision: from showing the bar or tick to its answer."""
        self._decisions.observe(seconds)

    def kept(self, entry: Entry) -> None:
        """Count an entry; one with fills is on the disk by now."""
        if isinstance(entry, BarProcessed):
            for denied in entry.denials:
                self._denials.labels(denied.denial.code.value).inc()
            self._time(entry)
        if isinstance(entry, BarProcessed | Closed):
            for placing in entry.placings:
                if placing.denial_code is not None:
                    self._denials.labels(placing.denial_code.value).inc()

    def _time(self, entry: BarProcessed) -> None:
        now_s = time.monotonic()
        for fill in entry.fills:
            placed_s = self._placed_s.pop(fill.order_id, None)
            if placed_s is not None:
                self._fills.observe(now_s - placed_s)
        ended = (each.order_id for each in entry.changes if each.status in _UNFILLED)
        for order_id in (*entry.cancelled, *ended):
            self._placed_s.pop(order_id, None)
        placed = (each.order_id for each in entry.orders)
        for order_id in (*placed, *(each.order_id for each in entry.placings)):
            if len(self._placed_s) < _MOST_WAITING:
                self._placed_s[order_id] = now_s
