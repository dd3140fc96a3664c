"""PostgreSQL behind SQLAlchemy: asyncpg for the loops, psycopg for threads and migrations.

Both drivers read `DATABASE_URL` themselves, so that it means the same to both. It may hold a
password: nothing here logs it, and no error repeats it. They are imported when a server is named:
an engine on SQLite files starts without them.
"""

import asyncio
import contextlib
import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

if TYPE_CHECKING:
    import psycopg

CHANNEL = "strategy_engine"

# Whoever waited for a lock has to see what its holder wrote, whatever the server's default is.
ISOLATION = "READ COMMITTED"

# A transaction that idles has lost its process, or its process is frozen: its locks are let go.
IDLE_IN_TRANSACTION_S = 5.0
# One that was frozen while it sent a batch does not idle: the server waits for the rest of it.
LONGEST_TRANSACTION_S = 20.0
BOUNDS_TRANSACTIONS = 17  # the first release that can end those
POOL_SIZE = 5
MOST_OVERFLOW = 5
LISTEN_AGAIN_S = 1.0

# What both engines are made of, beside SQLAlchemy itself.
_DRIVERS = (
    "asyncpg",
    "psycopg",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.postgresql.psycopg",
)


def load() -> None:
    """Import the drivers, so that processes that are forked from this one share them."""
    for name in _DRIVERS:
        importlib.import_module(name)


def errors() -> tuple[type[Exception], ...]:
    """Return what a connection that is made or lost may raise beside SQLAlchemy's own."""
    import asyncpg  # type: ignore[import-untyped]  # noqa: PLC0415 - no types; see above

    return (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


def async_engine(url: str, *, timeout_s: float, **options: Any) -> AsyncEngine:
    """Return an engine whose connections let go of what a lost process held."""
    import asyncpg  # noqa: PLC0415 - see above

    settings = _session(timeout_s)

    async def connect() -> Any:
        made = await asyncpg.connect(url, timeout=timeout_s, server_settings=settings)
        if made.get_server_version().major >= BOUNDS_TRANSACTIONS:
            await made.execute(_BOUND)
        return made

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=POOL_SIZE,
        max_overflow=MOST_OVERFLOW,
        pool_timeout=timeout_s,
        pool_pre_ping=True,
        isolation_level=ISOLATION,
        **options,
    )
    _keep_out_nul(engine.sync_engine)
    return engine


def sync_engine(
    url: str, *, timeout_s: float, settings: Mapping[str, str] | None = None, **options: Any
) -> sa.Engine:
    """Return an engine for a thread. `settings` None: those of every short transaction."""
    wanted = _session(timeout_s) if settings is None else settings
    engine = sa.create_engine(
        "postgresql+psycopg://",
        creator=_connector(url, timeout_s, wanted, is_short=settings is None),
        isolation_level=ISOLATION,
        **options,
    )
    _keep_out_nul(engine)
    return engine


async def listen(url: str, heard: Callable[[], None], *, timeout_s: float) -> None:
    """Call `heard` at every notification, for ever; a connection that is lost is made again."""
    lost = errors()
    while True:
        with contextlib.suppress(*lost):
            await _listen_once(url, heard, timeout_s)
        await asyncio.sleep(LISTEN_AGAIN_S)


async def _listen_once(url: str, heard: Callable[[], None], timeout_s: float) -> None:
    import asyncpg  # noqa: PLC0415 - see above

    connection = await asyncpg.connect(url, timeout=timeout_s)
    try:
        is_over = asyncio.Event()
        connection.add_termination_listener(lambda _connection: is_over.set())
        await connection.add_listener(CHANNEL, lambda *_told: heard())
        heard()  # what was said while nobody listened
        await is_over.wait()
    finally:
        connection.terminate()


def _session(timeout_s: float) -> dict[str, str]:
    # A wait for a lock ends before the statement does, and that before its caller gives up, so
    # that what is told says why.
    lock_timeout_s = 0.8 * timeout_s
    return {
        "application_name": "strategy-engine",
        "timezone": "UTC",
        "statement_timeout": f"{timeout_s * 1_000:.0f}",
        "lock_timeout": f"{lock_timeout_s * 1_000:.0f}",
        "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_S * 1_000:.0f}",
    }


_BOUND = f"SET transaction_timeout = {LONGEST_TRANSACTION_S * 1_000:.0f}"


def _connector(
    url: str, timeout_s: float, settings: Mapping[str, str], *, is_short: bool
) -> "Callable[[], psycopg.Connection[Any]]":
    import psycopg  # noqa: PLC0415 - see above

    statement = "SELECT " + ", ".join("set_config(%s, %s, false)" for _ in settings)
    values = [each for pair in settings.items() for each in pair]

    def connect() -> "psycopg.Connection[Any]":
        connection = psycopg.connect(
            url,
            autocommit=True,
            connect_timeout=max(2, round(timeout_s)),
            # A peer that vanished is noticed within the timeout, not after the kernel's hours.
            keepalives_idle=max(1, round(timeout_s / 2)),
            keepalives_interval=max(1, round(timeout_s / 6)),
            keepalives_count=3,
            tcp_user_timeout=round(timeout_s * 1_000),
        )
        if settings:
            connection.execute(statement.encode(), values)
        if is_short and connection.info.server_version >= BOUNDS_TRANSACTIONS * 10_000:
            connection.execute(_BOUND)
        connection.autocommit = False
        return connection

    return connect


def _keep_out_nul(engine: sa.Engine) -> None:
    """Replace what a PostgreSQL text cannot hold; SQLite keeps it, and doors refuse it."""

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def clean(  # the signature is SQLAlchemy's
        _connection: Any, _cursor: Any, statement: str, parameters: Any, *_others: Any
    ) -> tuple[str, Any]:
        return statement, _without_nul(parameters)


def _without_nul(parameters: Any) -> Any:
    match parameters:
        case list():
            return [_without_nul(each) for each in parameters]
        case tuple() if any(map(_has_nul, parameters)):
            return tuple(map(_replaced, parameters))
        case dict() if any(map(_has_nul, parameters.values())):
            return {name: _replaced(value) for name, value in parameters.items()}
        case _:
            return parameters


def _has_nul(value: Any) -> bool:
    return isinstance(value, str) and "\x00" in value


def _replaced(value: Any) -> Any:
    return value.replace("\x00", "\N{REPLACEMENT CHARACTER}") if _has_nul(value) else value
