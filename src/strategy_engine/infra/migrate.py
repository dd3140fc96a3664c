"""Bring both databases to the newest schema. One history; each migration names its file.

On SQLite each file carries its version; on PostgreSQL one database carries one version a file.
"""

from pathlib import Path

import sqlalchemy as sa

from strategy_engine.core.errors import ConflictError
from strategy_engine.infra import database, outages

HEAD = "0005"
CONTROL = "control"
LEDGER = "ledger"
FILES = (CONTROL, LEDGER)
# The table of each file that has a row as soon as anything was executed.
_TELLING = {CONTROL: "executions", LEDGER: "checkpoints"}
_SCRIPTS = Path(__file__).parent / "migrations"


def upgrade(data_dir: Path, server: str | None = None) -> None:
    """Upgrade the databases of a data directory or server, creating what is missing.

    Processes that do it at once take turns: the first one does it.

    Raises
    ------
    ConflictError
        If a database was written by a newer version of this product, or one of the two files is
        missing that the other one is about.
    DatabaseAwayError
        If one cannot be reached, or is locked.
    """
    if server is None:
        _refuse_half(data_dir)
    for file in FILES:
        engine = database.migration_engine(url_of(file, data_dir, server))
        try:
            with outages.told(named(file, data_dir, server)):
                _upgrade_one(engine, file)
        finally:
            engine.dispose()


def standing(data_dir: Path, server: str | None = None) -> dict[str, str | None]:
    """Return the revision that each database stands at, None for one that has no schema yet."""
    return {file: stands_at(file, data_dir, server) for file in FILES}


def stands_at(file: str, data_dir: Path, server: str | None = None) -> str | None:
    """Return the revision that one database stands at, None if it has no schema yet."""
    engine = database.migration_engine(url_of(file, data_dir, server))
    try:
        with (
            outages.told(named(file, data_dir, server)),
            database.reading(engine) as connection,
        ):
            return current(connection, file)
    finally:
        engine.dispose()


def url_of(file: str, data_dir: Path, server: str | None = None) -> str:
    """Return the URL of a database by its name."""
    make = database.control_url if file == CONTROL else database.ledger_url
    return make(data_dir, server)


def named(file: str, data_dir: Path, server: str | None = None) -> str:
    """Return what a person knows a database by; never a URL, which may hold a password."""
    return f"the {file} database" + (f", {data_dir / file}.db," if server is None else "")


def version_table(dialect: str, file: str) -> str:
    """Return the name of the table that holds a database's revision."""
    return f"alembic_version_{file}" if dialect == "postgresql" else "alembic_version"


def current(connection: sa.Connection, file: str) -> str | None:
    """Return the revision a database stands at, or None when it is empty."""
    table = version_table(connection.dialect.name, file)
    if not sa.inspect(connection).has_table(table):
        return None
    revision: str | None = connection.scalar(
        sa.select(sa.column("version_num")).select_from(sa.table(table))
    )
    return revision


def _refuse_half(data_dir: Path) -> None:
    """Refuse to make an empty file beside one that has something to tell: its trades are lost."""
    for file, other in ((LEDGER, CONTROL), (CONTROL, LEDGER)):
        path = data_dir / f"{file}.db"
        is_there = path.exists() and path.stat().st_size > 0
        if not is_there and _tells(other, data_dir):
            raise ConflictError(
                f"{path} is missing or empty, and {other}.db beside it tells of executions; put it"
                " back, restore a backup of both, or begin anew in another --data-dir",
                value=str(path),
            )


def _tells(file: str, data_dir: Path) -> bool:
    if not (data_dir / f"{file}.db").exists():
        return False
    engine = database.migration_engine(url_of(file, data_dir))
    try:
        with outages.told(named(file, data_dir)), database.reading(engine) as connection:
            if not sa.inspect(connection).has_table(_TELLING[file]):
                return False
            row = sa.select(sa.literal(1)).select_from(sa.table(_TELLING[file])).limit(1)
            return connection.scalar(row) is not None
    finally:
        engine.dispose()


def _upgrade_one(engine: sa.Engine, file: str) -> None:
    with database.reading(engine) as connection:
        if _is_at_head(connection, file):
            return
    # Alembic is imported only when there is something to do: it costs a start 0.2 s.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    with engine.begin() as connection:
        database.take_turn(connection, database.Lane.MIGRATION)
        if _is_at_head(connection, file):
            return  # another process did it meanwhile
        table = version_table(connection.dialect.name, file)
        config.attributes.update(connection=connection, file=file, version_table=table)
        command.upgrade(config, "head")


def _is_at_head(connection: sa.Connection, file: str) -> bool:
    stands_at = current(connection, file)
    if stands_at is not None and stands_at > HEAD:
        raise ConflictError(
            f"the {file} database is at revision {stands_at}, newer than this version's {HEAD};"
            " run the newer version, or restore a backup",
            value=stands_at,
            accepted=HEAD,
        )
    return stands_at == HEAD
