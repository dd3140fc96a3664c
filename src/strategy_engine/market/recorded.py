"""Bars that came over the bus, kept for ever: what was traded on can be replayed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.infra import database

type Ohlcv = tuple[float, float, float, float, float]

TABLE = sa.Table(
    "bus_bars",
    database.ledger,
    sa.Column("bar_type", sa.String(160), primary_key=True),
    sa.Column("close_ns", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("open", sa.Double, nullable=False),
    sa.Column("high", sa.Double, nullable=False),
    sa.Column("low", sa.Double, nullable=False),
    sa.Column("close", sa.Double, nullable=False),
    sa.Column("volume", sa.Double, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BusBar:
    """One complete bar of NautilusTrader's, its prices in settlement currency a unit."""

    bar_type: str
    close_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float


async def keep(connection: AsyncConnection, bars: Sequence[BusBar]) -> None:
    """Store bars; one that is there already stays as it is."""
    if not bars:
        return
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = make(TABLE).on_conflict_do_nothing(index_elements=["bar_type", "close_ns"])
    rows: list[dict[str, Any]] = [
        {name: getattr(bar, name) for name in BusBar.__slots__} for bar in bars
    ]
    await connection.execute(statement, rows)


class RecordedBars:
    """Reads the record; nothing here writes."""

    def __init__(self, ledger: database.Database) -> None:
        self._ledger = ledger

    async def between(
        self, bar_type: str, first_close_ns: int, last_close_ns: int
    ) -> dict[int, Ohlcv]:
        """Return bars of a type by the times that they closed at, both ends included."""
        rows = TABLE.c
        found = sa.select(
            rows.close_ns, rows.open, rows.high, rows.low, rows.close, rows.volume
        ).where(rows.bar_type == bar_type, rows.close_ns.between(first_close_ns, last_close_ns))
        async with self._ledger.read() as connection:
            return {row[0]: tuple(row[1:]) for row in await connection.execute(found)}


async def after(connection: AsyncConnection, bar_type: str, close_ns: int) -> list[BusBar]:
    """Return the bars that closed after a time, oldest first."""
    found = await connection.execute(
        sa.select(TABLE)
        .where(TABLE.c.bar_type == bar_type, TABLE.c.close_ns > close_ns)
        .order_by(TABLE.c.close_ns)
    )
    return [BusBar(**row._mapping) for row in found]  # noqa: SLF001 - SQLAlchemy's public name
