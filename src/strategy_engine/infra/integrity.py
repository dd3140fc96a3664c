"""Whether a database is whole: what it says of itself, and settings that would lose a commit."""

from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from strategy_engine.infra import database, durable, migrate, outages

OLDEST_POSTGRESQL = 14
_SAFE = ("fsync", "full_page_writes", "synchronous_commit")
_RESTORE = "restore a backup"
_INVALID_INDEXES = sa.text(
    "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1"
)


def examine(data_dir: Path, server: str | None) -> dict[str, list[str]]:
    """Return what is wrong with each database, and what to do; an empty list: nothing.

    Raises
    ------
    DatabaseAwayError
        If one cannot be read.
    """
    if server is not None:
        standing = migrate.standing(data_dir, server).items()
        found = {file: [*_of_schema(at)] for file, at in standing}
        engine = database.migration_engine(server)
        return found | {"server": _examined(engine, "the database")}
    found = {file: _of_database(file, data_dir) for file in migrate.FILES}
    path = durable.path_of(data_dir)
    if path.exists():
        found["workflows"] = _seen(path)
    return found


def _of_database(file: str, data_dir: Path) -> list[str]:
    path = data_dir / f"{file}.db"
    if not path.exists():  # to ask would make an empty one
        return [f"there is no file {path}; stop the engine, {_RESTORE}"]
    troubles = _seen(path)
    if troubles:
        return troubles
    return [*_of_schema(migrate.stands_at(file, data_dir))]


def _seen(path: Path) -> list[str]:
    try:
        return _examined(database.migration_engine(f"sqlite:///{path}"), str(path))
    except outages.DamagedError as error:
        return [str(error)]


def _of_schema(stands_at: str | None) -> Iterator[str]:
    if stands_at is None:
        yield "it has no schema yet; run `strategy-engine db upgrade`"
    elif stands_at < migrate.HEAD:
        yield (
            f"its schema is {stands_at}, this version's is {migrate.HEAD};"
            " run `strategy-engine db upgrade`"
        )
    elif stands_at > migrate.HEAD:
        yield (
            f"its schema is {stands_at}, newer than this version's {migrate.HEAD};"
            f" run the newer version, or {_RESTORE}"
        )


def _examined(engine: sa.Engine, name: str) -> list[str]:
    try:
        with outages.told(name), database.reading(engine) as connection:
            is_server = connection.dialect.name == "postgresql"
            return list(_of_server(connection) if is_server else _of_file(connection))
    finally:
        engine.dispose()


def _of_file(connection: sa.Connection) -> Iterator[str]:
    said = connection.exec_driver_sql("PRAGMA integrity_check(20)").scalars().all()
    if list(said) != ["ok"]:
        yield f"SQLite finds it damaged ({'; '.join(map(str, said))}); stop the engine, {_RESTORE}"
    lost = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if lost:
        tables = ", ".join(sorted({str(row[0]) for row in lost}))
        yield f"{len(lost)} rows of {tables} name rows that do not exist; {_RESTORE}"


def _of_server(connection: sa.Connection) -> Iterator[str]:
    version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
    if version // 10_000 < OLDEST_POSTGRESQL:
        yield f"PostgreSQL {version // 10_000} is too old; use {OLDEST_POSTGRESQL} or newer"
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        yield f"its encoding is {encoding}; move to a database with ENCODING 'UTF8'"
    for name in _SAFE:
        if connection.exec_driver_sql(f"SHOW {name}").scalar_one() == "off":
            yield (
                f"its setting {name} is off, so a power failure loses fills that were"
                " acknowledged; turn it on"
            )
    for index in connection.execute(_INVALID_INDEXES).scalars():
        yield f"the index {index} is invalid; run REINDEX INDEX {index}"
