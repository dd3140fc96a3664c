"""Two databases behind one door: `control` (desired state, evidence) and `ledger` (money).

On SQLite each is a file of its own, so that a slow writer in one never holds up a fill in the
other. Rooms declare their tables on one of the two `MetaData`; no foreign key crosses files. On
PostgreSQL one database holds both.
"""

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from strategy_engine.infra import outages, postgres, urls

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
control = sa.MetaData(naming_convention=NAMING)
ledger = sa.MetaData(naming_convention=NAMING)

TIMEOUT_S = 10.0
WATCH_S = 1.0
_LOCKS = 0x5E_96_1E  # the namespace of this product's advisory locks in a PostgreSQL database


class Lane(IntEnum):
    """Whose writers take turns on PostgreSQL, where a database has no single writer of its own."""

    CONTROL = 1
    LEDGER = 2
    MIGRATION = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """What a transaction must find one row by before it writes, and the error if it does not."""

    statement: sa.Select[Any]
    error: Callable[[], Exception]


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
        """Return a time in UTC whatever the database gave."""
        del dialect
        if value is None:
            return None
        if isinstance(value, datetime):
            return value.astimezone(UTC)
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


class Bytewise(sa.ColumnElement[str]):
    """A text column to order by as Python orders strings, whatever the database's collation is."""

    inherit_cache = True
    _traverse_internals = [("column", sa.sql.visitors.InternalTraversal.dp_clauseelement)]  # noqa: RUF012 - SQLAlchemy reads it off the class

    def __init__(self, column: sa.ColumnElement[str]) -> None:
        self.column = column
        self.type = column.type


@compiles(Bytewise)
def _as_it_is(element: Bytewise, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.column, **options)  # SQLite compares bytes


@compiles(Bytewise, "postgresql")
def _in_c(element: Bytewise, compiler: SQLCompiler, **options: Any) -> str:
    return f'{compiler.process(element.column, **options)} COLLATE "C"'


class Database:
    """An async engine whose write transactions never lose an update.

    SQLite: every write begins IMMEDIATE (a deferred one silently loses read-then-update races
    between processes), WAL, foreign keys on. PostgreSQL: every write first takes its lane's lock,
    so that what it reads is what it changes, as on SQLite; a read sees one snapshot.

    Parameters
    ----------
    timeout_s : float
        How long a transaction waits for a lock, and on PostgreSQL for an answer at all. Then it
        raises `outages.DatabaseAwayError`, as it does for every sign that the database is away.
    fence : Fence or None
        What every write passes first; None where nobody else can do this engine's work.

    Attributes
    ----------
    trouble : str
        Why the database was away when it was asked last, and what to do; empty if it answered.
    """

    def __init__(
        self,
        url: str,
        *,
        lane: Lane = Lane.CONTROL,
        timeout_s: float | None = None,
        fence: Fence | None = None,
    ) -> None:
        timeout_s = timeout_s or TIMEOUT_S
        self._is_server = urls.is_server(url)
        server_errors = postgres.errors() if self._is_server else ()
        self._errors: tuple[type[Exception], ...] = (SQLAlchemyError, *server_errors)
        # A SQLite call in its thread cannot be interrupted; its own busy timeout ends it.
        self._deadline_s = timeout_s if self._is_server else None
        self._timeout_s = timeout_s
        self._writing = asyncio.Lock()
        self._turn = sa.select(sa.func.pg_advisory_xact_lock(_LOCKS, lane.value))
        self.engine: AsyncEngine = _engine(url, timeout_s)
        self._reads = self.engine.execution_options(**_READ[self._is_server])
        self._fence = fence
        self._must_write = False  # before the trouble is known to be over
        self.trouble = ""

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection for reading one consistent snapshot."""
        async with self._answering(), self._reads.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self, *, in_turn: bool = True) -> AsyncIterator[AsyncConnection]:
        """Open one transaction; it commits at the end of the block, or nothing of it happened.

        Parameters
        ----------
        in_turn : bool
            False: on PostgreSQL it waits for no other writer. For a single statement that is right
            whatever others write.
        """
        async with self._answering(), self._own_turn(), self.engine.begin() as connection:
            if in_turn and self._is_server:
                await connection.execute(self._turn)
            if self._fence is not None and await connection.scalar(self._fence.statement) is None:
                raise self._fence.error()
            yield connection
        if not self._must_write:
            self.trouble = ""

    @asynccontextmanager
    async def _own_turn(self) -> AsyncIterator[None]:
        """Let the writers of this process take turns on a file, first come, first served.

        SQLite's own waiting is a sleep and another try, up to 0.1 s each: fifty that wait so are
        slow, and one of them may never have luck.
        """
        if self._is_server:
            yield
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._writing.acquire()
        except TimeoutError:
            away = outages.kept_waiting(self._timeout_s)
            self.trouble = str(away)
            raise away from None
        try:
            yield
        finally:
            self._writing.release()

    async def watch(self) -> None:
        """Notice that the database is away, or back, while nobody writes; for ever."""
        while True:
            with contextlib.suppress(outages.DatabaseAwayError):
                await self.takes_writes(surely=self._must_write)
            await asyncio.sleep(WATCH_S)

    async def takes_writes(self, *, surely: bool = True) -> None:
        """Raise `DatabaseAwayError` if nothing can be written.

        Parameters
        ----------
        surely : bool
            False: only begin, which a lock, or a server that is gone, does not let. A full disk
            does, so a page of a SQLite file is written again as it is.
        """
        async with self.write(in_turn=False) as connection:
            if surely and not self._is_server:
                await connection.run_sync(rewrite)
        if surely:
            self._must_write, self.trouble = False, ""

    async def notify(self) -> None:
        """Wake those who listen, on whatever host; SQLite has nobody to wake."""
        if self._is_server:
            async with self.write(in_turn=False) as connection:
                await connection.execute(sa.select(sa.func.pg_notify(postgres.CHANNEL, "")))

    async def aclose(self) -> None:
        """Close every connection."""
        await asyncio.shield(self.engine.dispose())

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._deadline_s):
                yield
        except self._errors as error:
            if (invalid := outages.refused(error)) is not None:
                raise invalid from error
            if (away := outages.find(error)) is None:
                raise
            self.trouble, self._must_write = str(away), outages.is_unwritable(error)
            raise away from error


def rewrite(connection: sa.Connection) -> None:
    """Write a page of a SQLite file again as it is; a full disk lets begin, but not this."""
    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    connection.exec_driver_sql(f"PRAGMA user_version = {version:d}")


def open_both(
    data_dir: Path,
    server: str | None,
    timeout_s: float | None = None,
    fence: Fence | None = None,
) -> tuple[Database, Database]:
    """Return the control and the ledger database of a process's loop."""
    return (
        Database(
            control_url(data_dir, server), lane=Lane.CONTROL, timeout_s=timeout_s, fence=fence
        ),
        Database(ledger_url(data_dir, server), lane=Lane.LEDGER, timeout_s=timeout_s, fence=fence),
    )


def control_url(data_dir: Path, server: str | None = None) -> str:
    """Return the URL of the control database: the server's, or a file of the data directory."""
    return server or f"sqlite+aiosqlite:///{data_dir / 'control.db'}"


def ledger_url(data_dir: Path, server: str | None = None) -> str:
    """Return the URL of the ledger database: the server's, or a file of the data directory."""
    return server or f"sqlite+aiosqlite:///{data_dir / 'ledger.db'}"


def sync_engine(url: str, *, timeout_s: float | None = None) -> sa.Engine:
    """Return a synchronous engine for the ledger's thread."""
    timeout_s = timeout_s or TIMEOUT_S
    if urls.is_server(url):
        return postgres.sync_engine(url, timeout_s=timeout_s, **_OPTIONS)
    engine = sa.create_engine(url.replace("+aiosqlite", ""), **_OPTIONS)
    tune_sqlite(engine, timeout_s=timeout_s)
    return engine


def migration_engine(url: str) -> sa.Engine:
    """Return a synchronous engine whose statements may take as long as they need."""
    if urls.is_server(url):
        return postgres.sync_engine(url, timeout_s=TIMEOUT_S, settings={}, **_OPTIONS)
    return sync_engine(url)


def reading(engine: sa.Engine) -> sa.Connection:
    """Return a connection that keeps no writer out."""
    return engine.connect().execution_options(strategy_engine_read=True)


def take_turn(connection: sa.Connection, lane: Lane) -> None:
    """Wait until no other transaction has the lane; on SQLite the transaction itself is alone."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCKS, lane.value)))


def tune_sqlite(engine: sa.Engine, *, timeout_s: float) -> None:
    """Set what every connection to a SQLite file needs, and begin writes IMMEDIATE."""

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we emit BEGIN ourselves, below
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {timeout_s * 1_000:.0f}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        reads = connection.get_execution_options().get("strategy_engine_read", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def to_json(value: Any) -> str:
    """Return JSON that every database and client reads: a number that is not finite is null."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False)


# Values may be a strategy's code or a person's words: they have no place in a message or a log.
_OPTIONS: dict[str, Any] = {"hide_parameters": True, "json_serializer": to_json}
_READ: dict[bool, dict[str, Any]] = {
    False: {"strategy_engine_read": True},
    True: {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}


def _engine(url: str, timeout_s: float) -> AsyncEngine:
    if urls.is_server(url):
        return postgres.async_engine(url, timeout_s=timeout_s, **_OPTIONS)
    engine = create_async_engine(
        url, pool_size=5, max_overflow=20, pool_timeout=timeout_s, **_OPTIONS
    )
    tune_sqlite(engine.sync_engine, timeout_s=timeout_s)
    return engine


def _finite(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {name: _finite(each) for name, each in value.items()}
        case list() | tuple():
            return [_finite(each) for each in value]
        case _:
            return value
