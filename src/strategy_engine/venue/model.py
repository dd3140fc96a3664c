"""What the gate answers, and what the ledger is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from strategy_engine.core.errors import ConflictError, UnavailableError
from strategy_engine.matching.model import Cause, Decision, Fill, Order, Terms
from strategy_engine.matching.ticket import Ticket


class RiskState(StrEnum):
    """What risk lets an execution do."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The bar closes at which something may open: after the one, and no later than the other.

    Nanoseconds since 1970; None: without end on that side. In `gaps`, each after the one and no
    later than the other too, somebody else served meanwhile.
    """

    from_ns: int | None = None
    until_ns: int | None = None
    gaps: tuple[tuple[int, int], ...] = ()

    def holds(self, close_ns: int) -> bool:
        """Say whether a bar that closes then lies in it."""
        if self.is_before(close_ns) or (self.until_ns is not None and close_ns > self.until_ns):
            return False
        return not any(after < close_ns <= last for after, last in self.gaps)

    def is_before(self, close_ns: int) -> bool:
        """Say whether it begins later than a bar that closes then."""
        return self.from_ns is not None and close_ns <= self.from_ns


NEVER = Span(from_ns=(1 << 63) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenure:
    """When an execution may open positions: by instrument, and `others` for those not named."""

    others: Span = Span()
    by_symbol: Mapping[str, Span] = field(default_factory=dict)

    def of(self, symbol: str) -> Span:
        """Return an instrument's span."""
        return self.by_symbol.get(symbol, self.others)


ALWAYS = Tenure()


class DenialCode(StrEnum):
    """Why the gate refused an order. The values are stable: clients and reports read them."""

    NOT_RUNNING = "not_running"
    HALTED = "halted"
    REDUCING = "reducing"
    SHADOW = "shadow"
    REPLACED = "replaced"
    STALE_EPOCH = "stale_epoch"
    SYMBOL_NOT_ALLOWED = "symbol_not_allowed"
    TOO_FEW_LOTS = "too_few_lots"
    MAX_POSITION_SIZE = "max_position_size"
    DAILY_LOSS_LIMIT = "daily_loss_limit"
    INSUFFICIENT_CASH = "insufficient_cash"
    MAX_TRADES_PER_DAY = "max_trades_per_day"
    DUPLICATE_ORDER_ID = "duplicate_order_id"
    INVALID_ORDER_ID = "invalid_order_id"
    TOO_MANY_ORDERS = "too_many_orders"
    KILLED = "killed"
    MAX_ORDER_QUANTITY = "max_order_quantity"
    MAX_ORDER_NOTIONAL = "max_order_notional"
    MAX_ORDERS_PER_MINUTE = "max_orders_per_minute"
    MAX_CANCELS_PER_MINUTE = "max_cancels_per_minute"
    PRICE_COLLAR = "price_collar"
    MAX_LEVERAGE = "max_leverage"
    TRADING_HOURS = "trading_hours"
    SELF_MATCH = "self_match"
    VETOED = "vetoed"


class OrderStatus(StrEnum):
    """What became of an order.

    SUBMITTED has passed the gate and waits for the next price; DENIED was refused by the gate,
    REJECTED by the venue.
    """

    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    TRIGGERED = "triggered"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DENIED = "denied"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """Why an order may not go: a stable code, and a sentence with the value and the limit."""

    code: DenialCode
    message: str


type Verdict = Denial | None  # None: the order may go


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """An order that was refused, and why."""

    order: Order
    denial: Denial


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What became of one decision."""

    orders: tuple[Order, ...] = ()
    denials: tuple[Denied, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What one bar did: fills in their order, and orders that found no room to fill."""

    fills: tuple[Fill, ...] = ()
    cancelled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """An order of a native strategy, or of the engine for it, when the ledger first hears of it."""

    order_id: str
    ticket: Ticket
    decided_ns: int
    opens: bool
    status: OrderStatus = OrderStatus.SUBMITTED
    cause: Cause = Cause.SIGNAL
    reason: str = ""
    denial_code: DenialCode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChange:
    """What became of a placed order; None leaves a field as it is. `more_lots` have filled."""

    order_id: str
    symbol: str
    status: OrderStatus | None = None
    more_lots: int = 0
    lots: int | None = None
    limit_ticks: int | None = None
    trigger_ticks: int | None = None
    reason: str | None = None


class TurnKind(StrEnum):
    """What a turn of a conversation with a strategy's process is."""

    START = "start"  # the first warm-up: what everything after it follows from
    RESTART = "restart"  # the warm-up of a later process, which goes on from the ledger
    ASKED = "asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a strategy's process was asked, and what it answered, as frames.

    `no` counts from 1 over the execution. What its state was is in neither of them, but in the
    first warm-up.
    """

    no: int
    kind: TurnKind
    asked: bytes
    answered: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The ledger's first entry of an execution, and of each time that it is taken over.

    `strategy_id` is whose fills others are told of; None: nobody is told (a validation run).
    """

    execution_id: str
    epoch: int
    capital_nanos: int
    account: Mapping[str, Any]
    at: datetime
    strategy_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BarProcessed:
    """Everything that one bar event did, kept whole or not at all.

    A bar that filled orders has two entries: the fills (`is_decided` False), which must be
    committed before the strategy hears of them, and then the decision.

    Parameters
    ----------
    entry_no : int
        1 for the first after `Opened`, then one more each: a gap is refused, a repeat ignored.
    first_fill_no : int
        Number of the first fill in `fills`, counted from 1 over the execution.
    bar_no : int
        Number of bar events processed, this one included.
    account : mapping
        The venue's `dump()` after everything in this entry.
    undelivered : sequence
        What the strategy has still to be told of the fills, as plain values.
    state : bytes or None
        The strategy's own state if it changed.
    placings, changes : sequence
        A native strategy's new orders, and what became of those before.
    flags : mapping or None
        The feature flags that the decision was made with; None where there are none.
    are_flags_new : bool
        They are others than those of the instrument's decision before.
    transcript : tuple of Turn
        What was said with the strategy's process since the entry before, where that is kept.
    contributed_nanos : int
        What it was opened with, and every flow since: profit is what equity is beyond it.
    measured : bytes or None
        The running sums of its metrics up to the bar before, now and then.
    """

    execution_id: str
    epoch: int
    entry_no: int
    symbol: str
    close_ns: int
    bar_no: int
    is_decided: bool
    equity_nanos: int
    cash_nanos: int
    contributed_nanos: int
    benchmark: float
    terms: Mapping[str, Terms]
    account: Mapping[str, Any]
    first_fill_no: int = 1
    fills: tuple[Fill, ...] = ()
    cancelled: tuple[str, ...] = ()
    orders: tuple[Order, ...] = ()
    denials: tuple[Denied, ...] = ()
    decision: Decision | None = None
    undelivered: tuple[Any, ...] = ()
    state: bytes | None = None
    placings: tuple[Placing, ...] = ()
    changes: tuple[OrderChange, ...] = ()
    flags: Mapping[str, Any] | None = None
    are_flags_new: bool = False
    transcript: tuple[Turn, ...] = ()
    measured: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flowed:
    """Cash that entered (+) or left (-) the execution at the place that its ledger stands at.

    Everything else is as of after it, and as in `BarProcessed`; `close_ns` is None before any bar.
    """

    execution_id: str
    epoch: int
    entry_no: int
    amount_nanos: int
    contributed_nanos: int
    equity_nanos: int
    cash_nanos: int
    at: datetime
    close_ns: int | None
    account: Mapping[str, Any]
    terms: Mapping[str, Terms] = field(default_factory=dict)
    undelivered: tuple[Any, ...] = ()
    state: bytes | None = None
    placings: tuple[Placing, ...] = ()
    changes: tuple[OrderChange, ...] = ()
    transcript: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The end of an execution: what was still waiting is cancelled."""

    execution_id: str
    epoch: int
    entry_no: int
    cancelled: tuple[str, ...]
    account: Mapping[str, Any]
    terms: Mapping[str, Terms] = field(default_factory=dict)
    placings: tuple[Placing, ...] = ()
    changes: tuple[OrderChange, ...] = ()


type Entry = Opened | BarProcessed | Flowed | Closed


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Entries, mostly of several executions, that are kept as one: all of them or none."""

    entries: tuple[Entry, ...]


type Kept = Entry | Together


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where an execution's ledger stands: the numbers that the next entry must follow."""

    epoch: int
    entry_no: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Everything that resuming an execution needs, as of its last committed entry.

    `capital_nanos` is what it was given in all: at its opening, and by every flow since;
    `measured` are the running sums of its metrics, of some time before.
    """

    execution_id: str
    epoch: int
    entry_no: int
    fill_count: int
    capital_nanos: int
    account: dict[str, Any]
    state: bytes | None
    close_ns: int | None
    symbol: str | None
    bar_no: int
    is_decided: bool
    undelivered: list[Any]
    measured: bytes | None = None


class StaleEpochError(ConflictError):
    """Another copy of the execution has taken over; nothing of this one counts any more."""

    kind = "stale-epoch"


class LedgerGapError(UnavailableError):
    """An earlier entry of the execution is missing, so this one cannot be kept."""

    kind = "ledger-gap"
