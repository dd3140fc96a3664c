"""What others are told of a commit of the ledger: its fills, and the positions they made. Pure."""

from collections.abc import Iterable, Mapping, MutableMapping

from strategy_engine.core import clock, ids
from strategy_engine.infra.bus import topics
from strategy_engine.venue.model import Entry, Opened, OrderStatus
from strategy_engine.venue.rows import Batch, Row

_NANOS_PER_MICRO = 1_000


def hear(entries: Iterable[Entry], told: MutableMapping[str, str]) -> None:
    """Learn from openings which executions are told of, and as which version."""
    for entry in entries:
        if isinstance(entry, Opened) and entry.strategy_id is not None:
            told[entry.execution_id] = entry.strategy_id


def events(batch: Batch, told: Mapping[str, str]) -> list[topics.Payload]:
    """Return a commit's events in their order: every fill, a position after its last, denials."""
    trades = [row for row in batch.trades if row["execution_id"] in told]
    last = {(row["execution_id"], row["symbol"]): row["trade_id"] for row in trades}
    found: list[topics.Payload] = []
    for row in trades:
        strategy_id = told[row["execution_id"]]
        key = row["execution_id"], row["symbol"]
        found.append(_trade(row, strategy_id))
        if last[key] == row["trade_id"] and key in batch.positions:
            found.append(_position(row, batch.positions[key], strategy_id))
    return found + [
        _denied(row, told[row["execution_id"]])
        for row in batch.orders
        if row["status"] == OrderStatus.DENIED.value and row["execution_id"] in told
    ]


def _trade(row: Row, strategy_id: str) -> topics.StrategyTrade:
    return topics.StrategyTrade(
        event_id=f"{row['trade_id']}.trade",
        sequence=row["seq"],
        execution_id=row["execution_id"],
        strategy_id=strategy_id,
        trade=topics.Trade(
            symbol=row["symbol"],
            side=row["side"],
            quantity=float(row["quantity"]),
            price=float(row["price"]),
            timestamp=row["timestamp"],
            trade_id=row["trade_id"],
            order_id=row["order_id"],
            pnl=float(row["pnl"]),
            fee=float(row["fee"]),
            slippage=float(row["slippage"]),
            cause=row["cause"],
            opens=row["opens"],
            closes_round_trip=row["closes_round_trip"],
        ),
    )


def _denied(row: Row, strategy_id: str) -> topics.OrderDenied:
    # Derived, because an id of the strategy's own may be as long as it likes.
    event_id = ids.derived(row["execution_id"], row["order_id"])
    return topics.OrderDenied(
        event_id=f"{event_id}.denied",
        sequence=clock.to_nanos(row["decided_at"]) // _NANOS_PER_MICRO,
        execution_id=row["execution_id"],
        strategy_id=strategy_id,
        order=topics.Denied(
            order_id=row["order_id"],
            symbol=row["symbol"],
            side=row["side"],
            quantity=float(row["quantity"]),
            order_type=row["type"],
            opens=row["opens"],
            cause=row["cause"],
            denial_code=row["denial_code"] or "",
            reason=row["reason"],
            decided_at=row["decided_at"],
        ),
    )


def _position(trade: Row, row: Row, strategy_id: str) -> topics.PositionUpdated:
    entry_price = row["entry_price"]
    return topics.PositionUpdated(
        event_id=f"{trade['trade_id']}.position",
        sequence=trade["seq"],
        execution_id=trade["execution_id"],
        strategy_id=strategy_id,
        position=topics.Position(
            symbol=row["symbol"],
            quantity=float(row["quantity"]),
            entry_price=None if entry_price is None else float(entry_price),
            mark=float(row["mark"]),
            updated_at=row["updated_at"],
        ),
    )
