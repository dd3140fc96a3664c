"""What the gate is asked and answers, and what the ledger is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from strategy_engine.core.errors import ConflictError, UnavailableError
from strategy_engine.matching.model import Decision, Fill, Order, Terms


class RiskState(StrEnum):
    """What risk lets an execution do."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


class DenialCode(StrEnum):
    """Why the gate refused an order. The values are stable: clients and reports read them."""

    NOT_RUNNING = "not_running"
    HALTED = "halted"
    REDUCING = "reducing"
    SHADOW = "shadow"
    STALE_EPOCH = "stale_epoch"
    SYMBOL_NOT_ALLOWED = "symbol_not_allowed"
    TOO_FEW_LOTS = "too_few_lots"
    MAX_POSITION_SIZE = "max_position_size"
    DAILY_LOSS_LIMIT = "daily_loss_limit"
    INSUFFICIENT_CASH = "insufficient_cash"


class OrderStatus(StrEnum):
    """What became of an order."""

    ACCEPTED = "accepted"
    DENIED = "denied"
    FILLED = "filled"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an execution may never go beyond. Money in billionths of the account currency.

    `daily_loss_limit_nanos` is negative: the day's P&L at which entries stop. A shadow decides on
    live bars, and none of its orders may go.
    """

    symbols: frozenset[str]
    fee_ppm: int
    max_position_nanos: int | None = None
    daily_loss_limit_nanos: int | None = None
    is_shadow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRequest:
    """One order, and everything that decides whether it may go to the venue.

    Parameters
    ----------
    lots_before : int
        What is held in the order's instrument when it is its turn to fill, signed.
    free_nanos : int
        Cash that may open positions then.
    day_pnl_nanos : int
        Change of equity since the feed's day began.
    highest_epoch : int
        The newest epoch of this execution that the node has heard of.
    """

    order: Order
    terms: Terms
    limits: Limits
    is_running: bool
    risk_state: RiskState
    epoch: int
    highest_epoch: int
    mark_ticks: int
    lots_before: int
    free_nanos: int
    day_pnl_nanos: int


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
        `PaperVenue.dump()` after everything in this entry.
    undelivered : sequence
        What the strategy has still to be told of the fills, as plain values.
    state : bytes or None
        The strategy's own state if it changed.
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
    benchmark: float
    terms: Mapping[str, Terms]
    account: Mapping[str, Any]
    first_fill_no: int = 1
    fills: tuple[Fill, ...] = ()
    cancelled: tuple[str, ...] = ()
    orders: tuple[Order, ...] = ()
    denials: tuple[Denied, ...] = ()
    decision: Decision | None = None
    undelivered: tuple[tuple[Any, ...], ...] = ()
    state: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The end of an execution: what was still waiting is cancelled."""

    execution_id: str
    epoch: int
    entry_no: int
    cancelled: tuple[str, ...]
    account: Mapping[str, Any]


type Entry = Opened | BarProcessed | Closed


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where an execution's ledger stands: the numbers that the next entry must follow."""

    epoch: int
    entry_no: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Everything that resuming an execution needs, as of its last committed entry."""

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
    undelivered: list[list[Any]]


class StaleEpochError(ConflictError):
    """Another copy of the execution has taken over; nothing of this one counts any more."""

    kind = "stale-epoch"


class LedgerGapError(UnavailableError):
    """An earlier entry of the execution is missing, so this one cannot be kept."""

    kind = "ledger-gap"
