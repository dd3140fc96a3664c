"""The whole ledger of an execution, a page at a time, however long it is."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import sqlalchemy as sa

from strategy_engine.core import clock
from strategy_engine.infra.database import Database
from strategy_engine.venue.store import EQUITY, TRADES

MOST_ROWS = 2_000  # of a page

TRADE_COLUMNS = (
    "trade_id",
    "symbol",
    "side",
    "quantity",
    "price",
    "timestamp",
    "pnl",
    "order_id",
    "fee",
    "slippage",
    "cause",
)
EQUITY_COLUMNS = ("timestamp", "equity", "cash", "contributed", "benchmark")

type Rows = Sequence[Sequence[Any]]


class Pages:
    """Reads tables from beginning to end; each page is a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def trades(
        self, execution_id: str, *, start_ns: int | None, end_ns: int | None
    ) -> AsyncIterator[Rows]:
        """Yield the fills of an execution in [start, end), oldest first."""
        columns = TRADES.c
        wanted = [columns.execution_id == execution_id]
        if start_ns is not None:
            wanted.append(columns.timestamp >= clock.from_nanos(start_ns))
        if end_ns is not None:
            wanted.append(columns.timestamp < clock.from_nanos(end_ns))
        async for page in self._through(TRADES, columns.seq, wanted):
            yield [[getattr(row, name) for name in TRADE_COLUMNS] for row in page]

    async def equity(
        self, execution_id: str, *, start_ns: int | None, end_ns: int | None
    ) -> AsyncIterator[Rows]:
        """Yield the account of an execution at closes in [start, end), oldest first."""
        columns = EQUITY.c
        wanted = [columns.execution_id == execution_id]
        if start_ns is not None:
            wanted.append(columns.close_ns >= start_ns)
        if end_ns is not None:
            wanted.append(columns.close_ns < end_ns)
        async for page in self._through(EQUITY, columns.close_ns, wanted):
            yield [
                (
                    clock.from_nanos(row.close_ns),
                    *(getattr(row, name) for name in EQUITY_COLUMNS[1:]),
                )
                for row in page
            ]

    async def _through(
        self, table: sa.Table, key: sa.Column[Any], wanted: Sequence[sa.ColumnElement[bool]]
    ) -> AsyncIterator[list[sa.Row[Any]]]:
        after = -1
        while True:
            async with self._database.read() as connection:
                found = await connection.execute(
                    sa.select(table).where(*wanted, key > after).order_by(key).limit(MOST_ROWS)
                )
                page = list(found)
            if page:
                yield page
                after = getattr(page[-1], key.name)
            if len(page) < MOST_ROWS:
                return
