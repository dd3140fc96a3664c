"""The ledger's tables, and the SQL that reads them."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core import money
from strategy_engine.infra import database
from strategy_engine.venue.model import Checkpoint, Head

_EXECUTION = sa.String(40)
_SYMBOL = sa.String(100)
_ORDER = sa.String(200)

ORDERS = sa.Table(
    "orders",
    database.ledger,
    sa.Column("order_id", _ORDER, primary_key=True),
    sa.Column("execution_id", _EXECUTION, nullable=False),
    sa.Column("symbol", _SYMBOL, nullable=False),
    sa.Column("side", sa.String(4), nullable=False),
    sa.Column("lots", sa.BigInteger, nullable=False),
    sa.Column("quantity", database.ExactDecimal, nullable=False),
    sa.Column("opens", sa.Boolean, nullable=False),
    sa.Column("cause", sa.String(20), nullable=False),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("denial_code", sa.String(40)),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("decided_at", database.UtcDateTime, nullable=False),
    sa.Column("type", sa.String(30), nullable=False),  # `matching.ticket.OrderType`
    sa.Column("time_in_force", sa.String(20), nullable=False),
    sa.Column("limit_price", database.ExactDecimal),
    sa.Column("trigger_price", database.ExactDecimal),
    sa.Column("filled_lots", sa.BigInteger, nullable=False),
    sa.Index("ix_orders_execution", "execution_id", "decided_at"),
)
sa.Index(
    "ix_orders_denied",
    ORDERS.c.execution_id,
    sqlite_where=ORDERS.c.denial_code.is_not(None),
    postgresql_where=ORDERS.c.denial_code.is_not(None),
)

TRADES = sa.Table(
    "trades",
    database.ledger,
    sa.Column("trade_id", sa.String(60), primary_key=True),
    sa.Column("execution_id", _EXECUTION, nullable=False),
    sa.Column("symbol", _SYMBOL, nullable=False),
    sa.Column("side", sa.String(4), nullable=False),
    sa.Column("quantity", database.ExactDecimal, nullable=False),
    sa.Column("price", database.ExactDecimal, nullable=False),
    sa.Column("timestamp", database.UtcDateTime, nullable=False),
    sa.Column("pnl", database.ExactDecimal, nullable=False),
    sa.Column("order_id", _ORDER, nullable=False),
    sa.Column("fee", database.ExactDecimal, nullable=False),
    sa.Column("slippage", database.ExactDecimal, nullable=False),
    sa.Column("cause", sa.String(20), nullable=False),
    sa.Column("opens", sa.Boolean, nullable=False),
    sa.Column("closes_round_trip", sa.Boolean, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("execution_id", "seq"),
)

ROUND_TRIPS = sa.Table(
    "round_trips",
    database.ledger,
    sa.Column("execution_id", _EXECUTION, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),  # of the closing fill
    sa.Column("symbol", _SYMBOL, nullable=False),
    sa.Column("entry_ns", sa.BigInteger, nullable=False),
    sa.Column("exit_ns", sa.BigInteger, nullable=False),
    sa.Column("pnl", database.ExactDecimal, nullable=False),
)

POSITIONS = sa.Table(
    "positions",
    database.ledger,
    sa.Column("execution_id", _EXECUTION, primary_key=True),
    sa.Column("symbol", _SYMBOL, primary_key=True),
    sa.Column("quantity", database.ExactDecimal, nullable=False),
    sa.Column("entry_price", database.ExactDecimal),
    sa.Column("mark", database.ExactDecimal, nullable=False),
    sa.Column("updated_at", database.UtcDateTime, nullable=False),
)

EQUITY = sa.Table(
    "equity",
    database.ledger,
    sa.Column("execution_id", _EXECUTION, primary_key=True),
    sa.Column("close_ns", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("equity", database.ExactDecimal, nullable=False),
    sa.Column("cash", database.ExactDecimal, nullable=False),
    sa.Column("bar_index", sa.BigInteger, nullable=False),
    sa.Column("benchmark", sa.Double, nullable=False),  # an index that starts at 1, not money
    sa.Column("contributed", database.ExactDecimal, nullable=False),  # given in all until then
)

# Cash that entered (+) or left (-); the other columns are as of after it.
CAPITAL_FLOWS = sa.Table(
    "capital_flows",
    database.ledger,
    sa.Column("execution_id", _EXECUTION, primary_key=True),
    sa.Column("entry_no", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("amount", database.ExactDecimal, nullable=False),
    sa.Column("contributed", database.ExactDecimal, nullable=False),
    sa.Column("equity", database.ExactDecimal, nullable=False),
    sa.Column("cash", database.ExactDecimal, nullable=False),
    sa.Column("close_ns", sa.BigInteger),  # of the last bar before it, if there was one
    sa.Column("at", database.UtcDateTime, nullable=False),
)

DECISIONS = sa.Table(
    "decisions",
    database.ledger,
    sa.Column("execution_id", _EXECUTION, primary_key=True),
    sa.Column("close_ns", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("symbol", _SYMBOL, primary_key=True),
    sa.Column("action", sa.SmallInteger, nullable=False),  # `matching.Action`; HOLD has no row
    sa.Column("size_ppb", sa.BigInteger),
    sa.Column("stop_loss_ppb", sa.BigInteger),
    sa.Column("take_profit_ppb", sa.BigInteger),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("flags", sa.JSON(none_as_null=True)),  # what it was made with, if there were any
)

# What flags said to an instrument's decisions from one on, until the next row says otherwise.
FLAG_READINGS = sa.Table(
    "flag_readings",
    database.ledger,
    sa.Column("execution_id", _EXECUTION, primary_key=True),
    sa.Column("symbol", _SYMBOL, primary_key=True),
    sa.Column("close_ns", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("flags", sa.JSON, nullable=False),
)

# What was said with a strategy's process while its decisions are compared with a fresh one's.
TRANSCRIPTS = sa.Table(
    "transcripts",
    database.ledger,
    sa.Column("execution_id", _EXECUTION, primary_key=True),
    sa.Column("no", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("asked", sa.LargeBinary, nullable=False),
    sa.Column("answered", sa.LargeBinary, nullable=False),
)

CHECKPOINTS = sa.Table(
    "checkpoints",
    database.ledger,
    sa.Column("execution_id", _EXECUTION, primary_key=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("entry_no", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),  # fills so far
    sa.Column("capital", database.ExactDecimal, nullable=False),  # contributed: with every flow
    sa.Column("account", sa.JSON, nullable=False),
    sa.Column("state", sa.LargeBinary),
    sa.Column("measured", sa.LargeBinary),  # running sums of metrics, of some bars ago
    sa.Column("close_ns", sa.BigInteger),
    sa.Column("symbol", _SYMBOL),
    sa.Column("bar_no", sa.BigInteger, nullable=False),
    sa.Column("is_decided", sa.Boolean, nullable=False),
    sa.Column("undelivered", sa.JSON, nullable=False),
)


_HEADS = (
    sa.select(CHECKPOINTS.c.execution_id, CHECKPOINTS.c.epoch, CHECKPOINTS.c.entry_no)
    .where(CHECKPOINTS.c.execution_id.in_(sa.bindparam("wanted", expanding=True)))
    .order_by(CHECKPOINTS.c.execution_id)  # locked in one order, so that no two wait for each other
    .with_for_update()
)


def heads(connection: sa.Connection, execution_ids: Iterable[str]) -> dict[str, Head]:
    """Return where the ledgers of executions stand, locked until the transaction ends."""
    rows = connection.execute(_HEADS, {"wanted": list(execution_ids)})
    return {row.execution_id: Head(epoch=row.epoch, entry_no=row.entry_no) for row in rows}


async def execution_ids(connection: AsyncConnection) -> list[str]:
    """Return every execution that there is a ledger of, in a fixed order."""
    order = database.Bytewise(CHECKPOINTS.c.execution_id)
    return list(await connection.scalars(sa.select(CHECKPOINTS.c.execution_id).order_by(order)))


async def checkpoint(connection: AsyncConnection, execution_id: str) -> Checkpoint | None:
    """Return what an execution resumes from, if the ledger has ever heard of it."""
    rows = await connection.execute(
        sa.select(CHECKPOINTS).where(CHECKPOINTS.c.execution_id == execution_id)
    )
    row = rows.one_or_none()
    if row is None:
        return None
    return Checkpoint(
        execution_id=row.execution_id,
        epoch=row.epoch,
        entry_no=row.entry_no,
        fill_count=row.seq,
        capital_nanos=money.to_nanos(row.capital),
        account=row.account,
        state=row.state,
        close_ns=row.close_ns,
        symbol=row.symbol,
        bar_no=row.bar_no,
        is_decided=row.is_decided,
        undelivered=row.undelivered,
        measured=row.measured,
    )


async def rows_of(
    connection: AsyncConnection, table: sa.Table, execution_id: str, *order: sa.ColumnElement[Any]
) -> list[sa.Row[Any]]:
    """Return every row that a table has of an execution, in an order."""
    found = await connection.execute(
        sa.select(table).where(table.c.execution_id == execution_id).order_by(*order)
    )
    return list(found)


async def page_of(
    connection: AsyncConnection,
    table: sa.Table,
    execution_id: str,
    order: tuple[sa.ColumnElement[Any], ...],
    *,
    limit: int,
    offset: int,
) -> list[sa.Row[Any]]:
    """Return some of the rows that a table has of an execution, in an order."""
    found = await connection.execute(
        sa.select(table)
        .where(table.c.execution_id == execution_id)
        .order_by(*order)
        .limit(limit)
        .offset(offset)
    )
    return list(found)


async def order_symbols(connection: AsyncConnection, execution_id: str) -> dict[str, str]:
    """Return the id of every order of an execution, and its instrument."""
    found = await connection.execute(
        sa.select(ORDERS.c.order_id, ORDERS.c.symbol).where(ORDERS.c.execution_id == execution_id)
    )
    return {row.order_id: row.symbol for row in found}


async def count_of(connection: AsyncConnection, table: sa.Table, execution_id: str) -> int:
    """Return how many rows a table has of an execution."""
    number = await connection.scalar(
        sa.select(sa.func.count()).select_from(table).where(table.c.execution_id == execution_id)
    )
    return int(number or 0)


async def denial_counts(connection: AsyncConnection, execution_id: str) -> dict[str, int]:
    """Return how many orders of an execution were refused, by code."""
    found = await connection.execute(
        sa.select(ORDERS.c.denial_code, sa.func.count().label("orders"))
        .where(ORDERS.c.execution_id == execution_id, ORDERS.c.denial_code.is_not(None))
        .group_by(ORDERS.c.denial_code)
    )
    return {row.denial_code: int(row.orders) for row in found}


async def equity_count(
    connection: AsyncConnection,
    execution_id: str,
    *,
    start_ns: int | None = None,
    end_ns: int | None = None,
) -> int:
    """Return how many equity rows lie in [start_ns, end_ns)."""
    number = await connection.scalar(
        sa.select(sa.func.count())
        .select_from(EQUITY)
        .where(*_equity_range(execution_id, start_ns, end_ns))
    )
    return int(number or 0)


async def equity_rows(
    connection: AsyncConnection,
    execution_id: str,
    *,
    start_ns: int | None = None,
    end_ns: int | None = None,
    every: int = 1,
) -> list[sa.Row[Any]]:
    """Return every `every`-th equity row of a range by time, always with the last one."""
    ranked = (
        sa.select(
            EQUITY,
            sa.func.row_number().over(order_by=EQUITY.c.close_ns).label("rank"),
            sa.func.count().over().label("total"),
        )
        .where(*_equity_range(execution_id, start_ns, end_ns))
        .subquery()
    )
    chosen = sa.or_((ranked.c.rank - 1) % every == 0, ranked.c.rank == ranked.c.total)
    found = await connection.execute(sa.select(ranked).where(chosen).order_by(ranked.c.close_ns))
    return list(found)


def _equity_range(
    execution_id: str, start_ns: int | None, end_ns: int | None
) -> list[sa.ColumnElement[bool]]:
    wanted = [EQUITY.c.execution_id == execution_id]
    if start_ns is not None:
        wanted.append(EQUITY.c.close_ns >= start_ns)
    if end_ns is not None:
        wanted.append(EQUITY.c.close_ns < end_ns)
    return wanted
