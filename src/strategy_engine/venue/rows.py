"""Ledger entries as the rows they leave behind. Pure: what is written is decided here."""

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from strategy_engine.core import money
from strategy_engine.core.clock import from_nanos
from strategy_engine.core.errors import EngineError
from strategy_engine.matching.model import Action, Cause, Fill, Order, Side, Terms
from strategy_engine.matching.ticket import OrderType, TimeInForce
from strategy_engine.venue import decision_rows, flow_rows, succession
from strategy_engine.venue.model import (
    BarProcessed,
    Closed,
    Denial,
    Entry,
    Flowed,
    Head,
    Kept,
    Opened,
    OrderStatus,
    Placing,
)

type Row = dict[str, Any]

_PROTECTIVE = frozenset({Cause.STOP_LOSS, Cause.TAKE_PROFIT})  # the venue makes these orders itself
# A signal's order meets the next price, and is gone if that finds no room for it.
_AT_MARKET: Row = {
    "type": OrderType.MARKET.value,
    "time_in_force": TimeInForce.IOC.value,
    "limit_price": None,
    "trigger_price": None,
    "filled_lots": 0,
}


@dataclass(slots=True, kw_only=True)
class Batch:
    """The rows of one commit. What later entries would write over is written once, at its last."""

    orders: list[Row] = field(default_factory=list)
    order_changes: list[Row] = field(default_factory=list)
    trades: list[Row] = field(default_factory=list)
    round_trips: list[Row] = field(default_factory=list)
    decisions: list[Row] = field(default_factory=list)
    flag_readings: list[Row] = field(default_factory=list)
    transcripts: list[Row] = field(default_factory=list)
    flows: list[Row] = field(default_factory=list)
    positions: dict[tuple[str, str], Row] = field(default_factory=dict)
    equity: dict[tuple[str, int], Row] = field(default_factory=dict)
    openings: dict[str, Row] = field(default_factory=dict)
    checkpoints: dict[str, Row] = field(default_factory=dict)
    states: dict[str, bytes] = field(default_factory=dict)
    measured: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An entry that was not kept, or several of one group, and the error that its author gets."""

    entry: Kept
    error: EngineError


def collect(
    entries: Iterable[Kept], heads: MutableMapping[str, Head]
) -> tuple[Batch, list[Refusal]]:
    """Return the rows of the entries that may be kept, and those that may not.

    An entry of an older epoch is refused, and so is one that would leave a gap; an entry that is
    already kept changes nothing. Of those that go together, all are refused if one is. `heads` is
    moved on.
    """
    batch = Batch()
    refusals: list[Refusal] = []
    for each in entries:
        group = succession.entries_of(each)
        error = succession.refuse(group, heads)
        if error is not None:
            refusals.append(Refusal(entry=each, error=error))
            continue
        for entry in group:
            if not succession.is_known(entry, heads.get(entry.execution_id)):
                _add(batch, entry, heads)
    return batch, refusals


def _add(batch: Batch, entry: Entry, heads: MutableMapping[str, Head]) -> None:
    match entry:
        case Opened():
            batch.openings[entry.execution_id] = opening(entry)
        case BarProcessed():
            _add_bar(batch, entry)
        case Flowed():
            _add_flow(batch, entry)
        case Closed():
            _add_orders(batch, entry)
            _cancel(batch, entry.cancelled)
            _checkpoint(batch, entry.execution_id).update(
                entry_no=entry.entry_no, account=entry.account
            )
    heads[entry.execution_id] = succession.after(entry, heads.get(entry.execution_id))


def opening(entry: Opened) -> Row:
    """Return the row that an execution's ledger begins with."""
    return {
        "execution_id": entry.execution_id,
        "epoch": entry.epoch,
        "entry_no": 0,
        "seq": 0,
        "capital": money.to_decimal(entry.capital_nanos),
        "account": entry.account,
        "bar_no": 0,
        "is_decided": True,
        "undelivered": [],
    }


def _add_bar(batch: Batch, entry: BarProcessed) -> None:
    _add_orders(batch, entry)
    told = {each.order_id for each in entry.changes}
    for number, fill in enumerate(entry.fills, start=entry.first_fill_no):
        _add_fill(batch, entry, fill, number)
        if fill.order_id not in told:
            _settle_order(batch, entry, fill)
    _cancel(batch, entry.cancelled)
    for order in entry.orders:
        batch.orders.append(_order(entry, order, OrderStatus.ACCEPTED))
    for denied in entry.denials:
        batch.orders.append(_order(entry, denied.order, OrderStatus.DENIED, denied.denial))
    _add_decision(batch, entry)
    batch.equity[entry.execution_id, entry.close_ns] = _equity(entry)
    held = entry.account.get("books") or entry.account["positions"]
    for symbol in {entry.symbol, *(fill.symbol for fill in entry.fills)}:
        row = _position(entry, symbol, held[symbol], entry.terms[symbol])
        batch.positions[entry.execution_id, symbol] = row
    _checkpoint(batch, entry.execution_id).update(
        entry_no=entry.entry_no,
        seq=entry.first_fill_no + len(entry.fills) - 1,
        account=entry.account,
        close_ns=entry.close_ns,
        symbol=entry.symbol,
        bar_no=entry.bar_no,
        is_decided=entry.is_decided,
        undelivered=entry.undelivered,
    )
    if entry.state is not None:
        batch.states[entry.execution_id] = entry.state
    if entry.measured is not None:
        batch.measured[entry.execution_id] = entry.measured


def _add_flow(batch: Batch, entry: Flowed) -> None:
    _add_orders(batch, entry)
    row = flow_rows.flow(entry)
    batch.flows.append(row)
    batch.transcripts += decision_rows.turns(entry)
    _checkpoint(batch, entry.execution_id).update(
        entry_no=entry.entry_no,
        capital=row["contributed"],
        account=entry.account,
        undelivered=entry.undelivered,
    )
    if entry.state is not None:
        batch.states[entry.execution_id] = entry.state


def _add_decision(batch: Batch, entry: BarProcessed) -> None:
    if entry.decision is not None and entry.decision.action is not Action.HOLD:
        batch.decisions.append(decision_rows.decision(entry))
    if entry.are_flags_new:
        batch.flag_readings.append(decision_rows.flag_reading(entry))
    if entry.transcript:
        batch.transcripts += decision_rows.turns(entry)


def _checkpoint(batch: Batch, execution_id: str) -> Row:
    return batch.checkpoints.setdefault(execution_id, {"execution_id": execution_id})


def _cancel(batch: Batch, order_ids: Iterable[str]) -> None:
    batch.order_changes += [_change(order_id, OrderStatus.CANCELLED) for order_id in order_ids]


def _change(order_id: str, status: OrderStatus | None, *, more_lots: int = 0, **new: Any) -> Row:
    # Every change has every key: one statement runs them all. None leaves a column as it is.
    return {
        "changed_id": order_id,
        "new_status": None if status is None else status.value,
        "more_lots": more_lots,
    } | (
        dict.fromkeys(("new_lots", "new_quantity", "new_limit", "new_trigger", "new_reason")) | new
    )


def _add_orders(batch: Batch, entry: BarProcessed | Flowed | Closed) -> None:
    batch.orders += [_placing(entry, each, entry.terms) for each in entry.placings]
    for each in entry.changes:
        terms = entry.terms[each.symbol]
        batch.order_changes.append(
            _change(
                each.order_id,
                each.status,
                more_lots=each.more_lots,
                new_lots=each.lots,
                new_quantity=_quantity(each.lots, terms),
                new_limit=_price(each.limit_ticks, terms),
                new_trigger=_price(each.trigger_ticks, terms),
                new_reason=each.reason,
            )
        )


def _quantity(lots: int | None, terms: Terms) -> Decimal | None:
    return None if lots is None else money.to_decimal(lots * terms.lot_nanos)


def _price(ticks: int | None, terms: Terms) -> Decimal | None:
    return None if ticks is None else money.to_decimal(ticks * terms.tick_nanos)


def _add_fill(batch: Batch, entry: BarProcessed, fill: Fill, number: int) -> None:
    batch.trades.append(_trade(entry, fill, number))
    if fill.round_trip is not None:
        batch.round_trips.append(
            {
                "execution_id": entry.execution_id,
                "seq": number,
                "symbol": fill.symbol,
                "entry_ns": fill.round_trip.entry_ns,
                "exit_ns": fill.round_trip.exit_ns,
                "pnl": money.to_decimal(fill.round_trip.pnl_nanos),
            }
        )


def _settle_order(batch: Batch, entry: BarProcessed, fill: Fill) -> None:
    if fill.cause in _PROTECTIVE:
        batch.orders.append(_protection(entry, fill))
    else:
        batch.order_changes.append(_change(fill.order_id, OrderStatus.FILLED, more_lots=fill.lots))


def _trade(entry: BarProcessed, fill: Fill, number: int) -> Row:
    terms = entry.terms[fill.symbol]
    return {
        "trade_id": f"{entry.execution_id}-{number}",
        "execution_id": entry.execution_id,
        "symbol": fill.symbol,
        "side": fill.side.value,
        "quantity": money.to_decimal(fill.lots * terms.lot_nanos),
        "price": money.to_decimal(fill.price_ticks * terms.tick_nanos),
        "timestamp": from_nanos(fill.ts_ns),
        "pnl": money.to_decimal(fill.pnl_nanos),
        "order_id": fill.order_id,
        "fee": money.to_decimal(fill.fee_nanos),
        "slippage": money.to_decimal(terms.nanos(fill.slippage_ticks * fill.lots)),
        "cause": fill.cause.value,
        "opens": fill.opens,
        "closes_round_trip": fill.round_trip is not None,
        "seq": number,
    }


def _order(
    entry: BarProcessed, order: Order, status: OrderStatus, denial: Denial | None = None
) -> Row:
    return {
        "order_id": order.order_id,
        "execution_id": entry.execution_id,
        "symbol": order.symbol,
        "side": order.side.value,
        "lots": order.lots,
        "quantity": money.to_decimal(order.lots * entry.terms[order.symbol].lot_nanos),
        "opens": order.opens,
        "cause": order.cause.value,
        "status": status.value,
        "denial_code": None if denial is None else denial.code.value,
        "reason": order.reason if denial is None else denial.message,
        "decided_at": from_nanos(order.decided_ns),
    } | _AT_MARKET


def _placing(
    entry: BarProcessed | Flowed | Closed, placed: Placing, terms: Mapping[str, Terms]
) -> Row:
    ticket, code = placed.ticket, placed.denial_code
    own = terms.get(ticket.symbol) or Terms(symbol=ticket.symbol, tick_nanos=0, lot_nanos=0)
    return {
        "order_id": placed.order_id,
        "execution_id": entry.execution_id,
        "symbol": ticket.symbol,
        "side": ticket.side.value,
        "lots": ticket.lots,
        "quantity": _quantity(ticket.lots, own),
        "opens": placed.opens,
        "cause": placed.cause.value,
        "status": placed.status.value,
        "denial_code": None if code is None else code.value,
        "reason": placed.reason,
        "decided_at": from_nanos(placed.decided_ns),
        "type": ticket.type.value,
        "time_in_force": ticket.time_in_force.value,
        "limit_price": _price(ticket.limit_ticks, own),
        "trigger_price": _price(ticket.trigger_ticks, own),
        "filled_lots": 0,
    }


def _protection(entry: BarProcessed, fill: Fill) -> Row:
    terms = entry.terms[fill.symbol]
    is_stop = fill.cause is Cause.STOP_LOSS
    # A stop slips against the position, from the level that it was touched at.
    away = fill.slippage_ticks if fill.side is Side.SELL else -fill.slippage_ticks
    level = _price(fill.price_ticks + away, terms)
    return {
        "order_id": fill.order_id,
        "execution_id": entry.execution_id,
        "symbol": fill.symbol,
        "side": fill.side.value,
        "lots": fill.lots,
        "quantity": money.to_decimal(fill.lots * terms.lot_nanos),
        "opens": False,
        "cause": fill.cause.value,
        "status": OrderStatus.FILLED.value,
        "denial_code": None,
        "reason": "",
        "decided_at": from_nanos(fill.ts_ns),
        "type": (OrderType.STOP_MARKET if is_stop else OrderType.LIMIT).value,
        "time_in_force": TimeInForce.GTC.value,
        "limit_price": None if is_stop else level,
        "trigger_price": level if is_stop else None,
        "filled_lots": fill.lots,
    }


def _equity(entry: BarProcessed) -> Row:
    return {
        "execution_id": entry.execution_id,
        "close_ns": entry.close_ns,
        "equity": money.to_decimal(entry.equity_nanos),
        "cash": money.to_decimal(entry.cash_nanos),
        "contributed": money.to_decimal(entry.contributed_nanos),
        "bar_index": entry.bar_no - 1,
        "benchmark": entry.benchmark,
    }


def _position(entry: BarProcessed, symbol: str, book: Mapping[str, Any], terms: Terms) -> Row:
    lots = book["lots"]
    entry_price = None
    if lots:
        ticks = money.divide_half_even(book["entry_tick_lots"] * terms.tick_nanos, abs(lots))
        entry_price = money.to_decimal(ticks)
    return {
        "execution_id": entry.execution_id,
        "symbol": symbol,
        "quantity": money.to_decimal(lots * terms.lot_nanos),
        "entry_price": entry_price,
        "mark": money.to_decimal(book["mark"] * terms.tick_nanos),
        "updated_at": from_nanos(entry.close_ns),
    }
