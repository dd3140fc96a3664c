"""What others are told of a commit of the ledger: its fills, and the positions they made. Pure."""

from collections.abc import Iterable, Mapping, MutableMapping

from strategy_engine.infra.bus import topics
from strategy_engine.venue.model import Entry, Opened
from strategy_engine.venue.rows import Batch, Row


def hear(entries: Iterable[Entry], told: MutableMapping[str, str]) -> None:
    """Learn from openings which executions are told of, and as which version."""
    for entry in entries:
        if isinstance(entry, Opened) and entry.strategy_id is not None:
            told[entry.execution_id] = entry.strategy_id


def events(batch: Batch, told: Mapping[str, str]) -> list[topics.Payload]:
    """Return a commit's events in their order: every fill, and a position after its last one."""
    trades = [row for row in batch.trades if row["execution_id"] in told]
    last = {(row["execution_id"], row["symbol"]): row["trade_id"] for row in trades}
    found: list[topics.Payload] = []
    for row in trades:
        strategy_id = told[row["execution_id"]]
        key = row["execution_id"], row["symbol"]
        found.append(_trade(row, strategy_id))
        if last[key] == row["trade_id"] and key in batch.positions:
            found.append(_position(row, batch.positions[key], strategy_id))
    return found


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
