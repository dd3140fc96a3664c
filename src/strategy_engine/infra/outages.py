"""What it means that a database failed: it is away for now, or what was asked of it is wrong. Pure.

A database that is locked, full, restarted or unreachable is no fault of who asks: it is asked
again, by a person who read a 503 or by a loop's next pass. Everything else is a fault to be seen.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from strategy_engine.core.errors import InvalidError, UnavailableError

# SQLite's primary result codes, sqlite.org/rescode.html, and what ends each.
_FREE_THE_DISK = "free space on its disk"
_SEE_THE_DISK = "see that it is a file whose directory and disk are there and can be written"
_END_THE_HOLDER = "end what holds it open for writing"
_SQLITE: dict[int, str] = {
    sqlite3.SQLITE_BUSY: _END_THE_HOLDER,
    sqlite3.SQLITE_LOCKED: _END_THE_HOLDER,
    sqlite3.SQLITE_PROTOCOL: _END_THE_HOLDER,
    sqlite3.SQLITE_FULL: _FREE_THE_DISK,
    sqlite3.SQLITE_NOMEM: "free memory",
    sqlite3.SQLITE_IOERR: _SEE_THE_DISK,
    sqlite3.SQLITE_CANTOPEN: _SEE_THE_DISK,
    sqlite3.SQLITE_READONLY: _SEE_THE_DISK,
}

# PostgreSQL's conditions, appendix A of its manual: classes, and single codes of other classes.
_SEE_THE_SERVER = "see that PostgreSQL runs and that DATABASE_URL reaches it"
_SEE_THE_WAY = f"{_SEE_THE_SERVER}, with the right user, password and database"
_SEE_THE_RIGHTS = "see that the user, password and database of DATABASE_URL are right"
_ASK_AGAIN = "ask again"
_DATA = "22"  # the class of what is wrong with a value
_POSTGRES_CLASSES: dict[str, str] = {
    "08": _SEE_THE_SERVER,  # connection exception
    "28": _SEE_THE_RIGHTS,  # invalid authorization
    "3D": _SEE_THE_RIGHTS,  # no such database
    "53": "free its disk, memory or connections",  # insufficient resources
    "57": _SEE_THE_SERVER,  # operator intervention: shut down, starting, cancelled
    "58": "see the server's own log",  # system error
}
_POSTGRES_CODES: dict[str, str] = {
    "55P03": "end the transaction that holds it",  # lock not available
    "25P03": _ASK_AGAIN,  # idle in transaction
    "40001": _ASK_AGAIN,  # serialization failure
    "40P01": _ASK_AGAIN,  # deadlock detected
    "25006": "see that DATABASE_URL names the primary server",  # read only
}
_LONGEST_WHY = 200
_PRIMARY = 0xFF  # an extended result code of SQLite keeps the primary one in its low byte


# What a transaction that writes nothing does not notice.
_UNWRITABLE = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY})


_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class DamagedError(UnavailableError):
    """A database file cannot be made sense of; asking again does not help."""


class DatabaseAwayError(UnavailableError):
    """A database is locked, full or unreachable; the same may be asked again later."""


def find(error: BaseException, what: str = "the database") -> DatabaseAwayError | None:
    """Return that the database is away if this is what an error says, or None if it is a fault."""
    if isinstance(error, DatabaseAwayError):
        return error
    cause = _cause(error)
    what_to_do = _what_to_do(error, cause)
    if what_to_do is None:
        return None
    return _away(" ".join(str(cause).split())[:_LONGEST_WHY] or "not in time", what_to_do, what)


def kept_waiting(waited_s: float) -> DatabaseAwayError:
    """Return that a file let none of the writers before this one write."""
    why = f"database is locked: writers before this one have waited {waited_s:g} s"
    return _away(why, _END_THE_HOLDER)


def _away(why: str, what_to_do: str, what: str = "the database") -> DatabaseAwayError:
    return DatabaseAwayError(
        f"{what} does not answer ({why}); this is tried again by itself where it is the"
        f" engine's own work. If it lasts: {what_to_do}"
    )


def refused(error: BaseException) -> InvalidError | None:
    """Return that a value cannot be kept if this is what an error says: too long, out of range.

    Doors refuse such values by name before; SQLite, which has no such limits, never says it.
    """
    if not isinstance(error, exc.DBAPIError):
        return None
    state = getattr(error.orig, "sqlstate", None)
    if not state or not state.startswith(_DATA):
        return None
    why = " ".join(str(error.orig).split())[:_LONGEST_WHY]
    return InvalidError(f"a value cannot be kept: {why}; send a shorter or smaller one")


def is_unwritable(error: BaseException) -> bool:
    """Say whether a file can be read but not written: only a write tells that this is over."""
    cause = _cause(error)
    return isinstance(cause, sqlite3.Error) and _code(cause) in _UNWRITABLE


def damage(error: BaseException, what: str) -> DamagedError | None:
    """Return that a file is damaged if this is what an error says."""
    cause = _cause(error)
    if not isinstance(cause, sqlite3.Error) or _code(cause) not in _DAMAGED:
        return None
    why = " ".join(str(cause).split())[:_LONGEST_WHY]
    return DamagedError(f"{what} is damaged ({why}); stop the engine, and restore a backup")


@contextmanager
def told(what: str = "a database file") -> Iterator[None]:
    """Raise `DatabaseAwayError` for whatever says that the database is away, or is damaged.

    Raises
    ------
    DatabaseAwayError, DamagedError
        They name `what` was asked.
    """
    try:
        yield
    except (exc.SQLAlchemyError, sqlite3.Error, OSError) as error:
        if (damaged := damage(error, what)) is not None:
            raise damaged from error
        away = find(error, what)
        if away is None:
            raise
        raise away from error


def _cause(error: BaseException) -> BaseException:
    return error.orig if isinstance(error, exc.DBAPIError) and error.orig else error


def _what_to_do(error: BaseException, cause: BaseException) -> str | None:
    if isinstance(cause, sqlite3.Error):
        return _SQLITE.get(_code(cause))
    state = getattr(cause, "sqlstate", None)
    if state:
        return _POSTGRES_CODES.get(state) or _POSTGRES_CLASSES.get(state[:2])
    if isinstance(error, exc.DBAPIError):
        is_lost = error.connection_invalidated or isinstance(
            error, (exc.OperationalError, exc.InterfaceError)
        )
        return _SEE_THE_WAY if is_lost else None  # of a refused user the driver gives no code
    if isinstance(error, (exc.TimeoutError, OSError)):  # no connection was free, or none was made
        return _SEE_THE_SERVER
    return None


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY
