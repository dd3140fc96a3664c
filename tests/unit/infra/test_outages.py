import contextlib
import sqlite3

import pytest
from sqlalchemy import exc

from strategy_engine.infra import outages
from strategy_engine.infra.outages import DatabaseAwayError


class ToldError(Exception):
    """An error of a PostgreSQL driver."""

    def __init__(self, sqlstate: str | None, message: str = "it said so") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


def of_sqlite(code: int) -> exc.OperationalError:
    cause = sqlite3.OperationalError("database is locked")
    cause.sqlite_errorcode = code
    return exc.OperationalError("SELECT secret", {"code": "class S: ..."}, cause)


def of_postgres(sqlstate: str | None, kind: type[exc.DBAPIError] = exc.DBAPIError) -> Exception:
    return kind("SELECT secret", {"code": "class S: ..."}, ToldError(sqlstate))


@pytest.mark.parametrize(
    ("error", "what_to_do"),
    [
        (of_sqlite(sqlite3.SQLITE_BUSY), "end what holds it open"),
        (of_sqlite(sqlite3.SQLITE_BUSY_SNAPSHOT), "end what holds it open"),
        (of_sqlite(sqlite3.SQLITE_FULL), "free space"),
        (of_sqlite(sqlite3.SQLITE_IOERR_WRITE), "disk"),
        (of_sqlite(sqlite3.SQLITE_CANTOPEN), "directory"),
        (of_sqlite(sqlite3.SQLITE_READONLY), "can be written"),
        (of_postgres("57P01"), "PostgreSQL runs"),
        (of_postgres("57P03"), "PostgreSQL runs"),
        (of_postgres("08006"), "PostgreSQL runs"),
        (of_postgres("28P01"), "user, password and database"),
        (of_postgres("3D000"), "user, password and database"),
        (of_postgres("53100"), "free its disk"),
        (of_postgres("53300"), "connections"),
        (of_postgres("55P03"), "end the transaction that holds it"),
        (of_postgres("40P01"), "ask again"),
        (of_postgres("25006"), "primary"),
        (of_postgres(None, exc.OperationalError), "PostgreSQL runs"),
        (of_postgres(None, exc.InterfaceError), "PostgreSQL runs"),
        (exc.TimeoutError("QueuePool limit"), "PostgreSQL runs"),
        (ConnectionRefusedError("refused"), "PostgreSQL runs"),
        (TimeoutError(), "PostgreSQL runs"),
    ],
)
def test_a_database_that_is_away_is_told_with_what_to_do(error, what_to_do):
    found = outages.find(error)

    assert found is not None
    assert what_to_do in str(found)
    assert "secret" not in str(found)
    assert "class S" not in str(found)
    assert outages.find(found) is found


@pytest.mark.parametrize(
    "error",
    [
        of_sqlite(sqlite3.SQLITE_ERROR),
        of_postgres("42P01"),  # no such table
        of_postgres("22001"),  # too long a value
        of_postgres("23505", exc.IntegrityError),
        exc.InvalidRequestError("a fault of ours"),
        ValueError("no database in it"),
    ],
)
def test_a_fault_of_ours_is_not_taken_for_an_outage(error):
    assert outages.find(error) is None
    with pytest.raises(type(error)), outages.told():
        raise error


@pytest.mark.parametrize("code", [sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB])
def test_a_damaged_file_is_named_and_is_no_outage(code):
    assert outages.find(of_sqlite(code)) is None
    wanted = pytest.raises(outages.DamagedError, match=r"ledger is damaged.*backup")
    with wanted, outages.told("the ledger"):
        raise of_sqlite(code)


def test_what_says_that_the_database_is_away_is_raised_as_that():
    with pytest.raises(outages.DatabaseAwayError, match="locked"), outages.told():
        raise of_sqlite(sqlite3.SQLITE_BUSY)


def test_a_file_that_is_full_is_away_though_no_sqlalchemy_stood_in_between(tmp_path):
    connection = sqlite3.connect(tmp_path / "small.db", isolation_level=None)
    with contextlib.closing(connection):
        connection.execute("PRAGMA max_page_count = 2")
        connection.execute("CREATE TABLE things (thing BLOB)")
        with pytest.raises(DatabaseAwayError, match="free space"), outages.told():
            connection.execute("INSERT INTO things VALUES (zeroblob(100000))")
