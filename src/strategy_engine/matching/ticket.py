"""Orders as a trading platform knows them: what is asked of the venue, and what it answers.

The signal contract needs market orders only; native strategies bring the rest. Prices are ticks,
quantities lots, times nanoseconds since 1970; names are the field's (FIX 4.4, NautilusTrader).
On the wire `kind` says which of them a frame is; `type` is the order's own word.
"""

from enum import StrEnum

import msgspec

from strategy_engine.matching.model import Cause, Fill, RoundTrip, Side


class OrderType(StrEnum):
    """How an order becomes a fill."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP_MARKET = "STOP_MARKET"
    STOP_LIMIT = "STOP_LIMIT"
    MARKET_TO_LIMIT = "MARKET_TO_LIMIT"
    MARKET_IF_TOUCHED = "MARKET_IF_TOUCHED"
    LIMIT_IF_TOUCHED = "LIMIT_IF_TOUCHED"
    TRAILING_STOP_MARKET = "TRAILING_STOP_MARKET"
    TRAILING_STOP_LIMIT = "TRAILING_STOP_LIMIT"


class TimeInForce(StrEnum):
    """How long an order lives."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTD = "GTD"
    DAY = "DAY"
    AT_THE_OPEN = "AT_THE_OPEN"
    AT_THE_CLOSE = "AT_THE_CLOSE"


class Contingency(StrEnum):
    """How an order depends on those it is linked with."""

    NONE = "NONE"
    OTO = "OTO"
    OCO = "OCO"
    OUO = "OUO"


class Ticket(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="submit"):
    """Ask for an order. A field that its type does not use is None.

    `trailing_ticks` and `limit_offset_ticks` are distances; `expire_ns` goes with GTD. A child of
    an OTO parent waits until `parent_id` has filled.
    """

    client_order_id: str
    symbol: str
    side: Side
    type: OrderType
    lots: int
    time_in_force: TimeInForce = TimeInForce.GTC
    limit_ticks: int | None = None
    trigger_ticks: int | None = None
    trailing_ticks: int | None = None
    limit_offset_ticks: int | None = None
    activation_ticks: int | None = None
    expire_ns: int | None = None
    post_only: bool = False
    reduce_only: bool = False
    contingency: Contingency = Contingency.NONE
    linked_ids: tuple[str, ...] = ()
    parent_id: str | None = None
    tags: tuple[str, ...] = ()


class Modify(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="modify"):
    """Ask to change a working order; None leaves a field as it is."""

    client_order_id: str
    lots: int | None = None
    limit_ticks: int | None = None
    trigger_ticks: int | None = None


class Cancel(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="cancel"):
    """Ask to take a working order back."""

    client_order_id: str


type Instruction = Ticket | Modify | Cancel


class Accepted(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="accepted"):
    """The venue holds the order."""

    client_order_id: str
    ts_ns: int


class Rejected(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="rejected"):
    """The order was refused: by the gate (`denied`) or by the venue; with a stable code."""

    client_order_id: str
    ts_ns: int
    code: str
    message: str
    denied: bool = False


class ModifyRejected(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="modify_rejected"
):
    """The change was refused; the order stands as it was."""

    client_order_id: str
    ts_ns: int
    code: str
    message: str


class CancelRejected(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="cancel_rejected"
):
    """The order could not be taken back; it had ended."""

    client_order_id: str
    ts_ns: int
    code: str
    message: str


class Updated(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="updated"):
    """The order has new terms: modified, trailed, or reduced by a linked fill."""

    client_order_id: str
    ts_ns: int
    lots: int
    limit_ticks: int | None = None
    trigger_ticks: int | None = None


class Triggered(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="triggered"):
    """A stop-limit's trigger was reached; its limit works now."""

    client_order_id: str
    ts_ns: int


class Cancelled(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="cancelled"):
    """The order has ended unfilled, or partly filled; `why` says by whom."""

    client_order_id: str
    ts_ns: int
    why: str = ""


class Expired(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="expired"):
    """The order's time is over."""

    client_order_id: str
    ts_ns: int


class Executed(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="executed"):
    """A fill. `leaves_lots` is what still works; `is_maker` a resting order that was met.

    It either opens or reduces: an order that turns a position over has two, closing first.
    """

    client_order_id: str
    trade_no: int
    symbol: str
    side: Side
    lots: int
    price_ticks: int
    fee_nanos: int
    pnl_nanos: int
    ts_ns: int
    leaves_lots: int
    position_lots: int
    is_maker: bool = False
    opens: bool = True
    slippage_ticks: int = 0
    round_trip: RoundTrip | None = None


type OrderEvent = (
    Accepted
    | Rejected
    | ModifyRejected
    | CancelRejected
    | Updated
    | Triggered
    | Cancelled
    | Expired
    | Executed
)


def as_fill(event: Executed) -> Fill:
    """Return a native order's fill as what the ledger keeps of any fill."""
    return Fill(
        symbol=event.symbol,
        side=event.side,
        lots=event.lots,
        price_ticks=event.price_ticks,
        fee_nanos=event.fee_nanos,
        pnl_nanos=event.pnl_nanos,
        ts_ns=event.ts_ns,
        cause=Cause.SIGNAL,
        opens=event.opens,
        lots_after=event.position_lots,
        order_id=event.client_order_id,
        slippage_ticks=event.slippage_ticks,
        round_trip=event.round_trip,
    )
