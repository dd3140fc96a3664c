"""Two databases behind one door: `control` (desired state, evidence) and `ledger` (money).

On SQLite each is a file of its own, so that a slow writer in one never holds up a fill in the
other. Rooms declare their tables on one of the two `MetaData`; no foreign key crosses files.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
control = sa.MetaData(naming_convention=NAMING)
ledger = sa.MetaData(naming_convention=NAMING)

BUSY_TIMEOUT_MS = 10_000


class UtcDateTime(sa.TypeDecorator[datetime]):
    """An aware UTC time; SQLite keeps it as ISO text that sorts by time."""

    impl = sa.String(32)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        """Use the database's own type where there is one."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.DateTime(timezone=True))
        return dialect.type_descriptor(sa.String(32))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse naive times; they would be silently wrong."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a naive time cannot be stored: {value!r}")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return an aware time whatever the database gave."""
        del dialect
        if value is None or isinstance(value, datetime):
            return value
        return datetime.fromisoformat(value)


class ExactDecimal(sa.TypeDecorator[Decimal]):
    """A Decimal kept exactly: NUMERIC on PostgreSQL, text on SQLite (whose numbers are floats)."""

    impl = sa.String(64)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        """Use the database's own exact type where there is one."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.Numeric())
        return dialect.type_descriptor(sa.String(64))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Write plain digits: never an exponent."""
        if value is None or dialect.name == "postgresql":
            return value
        return format(value, "f")

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Return the Decimal that was stored."""
        del dialect
        return None if value is None else Decimal(value)


class Database:
    """An async engine whose write transactions never lose an update.

    SQLite: every write begins IMMEDIATE (a deferred one silently loses read-then-update races
    between processes), WAL, foreign keys on.
    """

    def __init__(self, url: str) -> None:
        self.engine: AsyncEngine = create_async_engine(url, pool_size=5, max_overflow=20)
        if self.engine.dialect.name == "sqlite":
            tune_sqlite(self.engine.sync_engine, synchronous="NORMAL")

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection for reading one consistent snapshot."""
        async with self.engine.connect() as connection:
            await connection.execution_options(strategy_engine_read=True)
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Open one transaction; it commits at the end of the block, or nothing of it happened."""
        async with self.engine.begin() as connection:
            yield connection

    async def aclose(self) -> None:
        """Close every connection."""
        await asyncio.shield(self.engine.dispose())


def tune_sqlite(engine: sa.Engine, *, synchronous: str) -> None:
    """Set what every connection to a SQLite file needs, and begin writes IMMEDIATE."""

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we emit BEGIN ourselves, below
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute(f"PRAGMA synchronous = {synchronous}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        reads = connection.get_execution_options().get("strategy_engine_read", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def control_url(data_dir: Path) -> str:
    """Return the URL of the control database of a data directory."""
    return f"sqlite+aiosqlite:///{data_dir / 'control.db'}"


def ledger_url(data_dir: Path) -> str:
    """Return the URL of the ledger database of a data directory (for a sync engine: `sync_url`)."""
    return f"sqlite+aiosqlite:///{data_dir / 'ledger.db'}"


def sync_engine(url: str, *, synchronous: str = "FULL") -> sa.Engine:
    """Return a synchronous engine for the ledger's thread and for migrations."""
    engine = sa.create_engine(url.replace("+aiosqlite", ""))
    if engine.dialect.name == "sqlite":
        tune_sqlite(engine, synchronous=synchronous)
    return engine
