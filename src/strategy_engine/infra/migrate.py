"""Bring both databases to the newest schema. One history; each migration names its file."""

from pathlib import Path

import sqlalchemy as sa

from strategy_engine.core.errors import ConflictError
from strategy_engine.infra import database

HEAD = "0002"
CONTROL = "control"
LEDGER = "ledger"
_SCRIPTS = Path(__file__).parent / "migrations"


def upgrade(data_dir: Path) -> None:
    """Upgrade the databases of a data directory, creating what is missing.

    Raises
    ------
    ConflictError
        If a database was written by a newer version of this product.
    """
    for file, url in (
        (CONTROL, database.control_url(data_dir)),
        (LEDGER, database.ledger_url(data_dir)),
    ):
        engine = database.sync_engine(url)
        try:
            _upgrade_one(engine, file)
        finally:
            engine.dispose()


def current(connection: sa.Connection) -> str | None:
    """Return the revision a database stands at, or None when it is empty."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return revision


def _upgrade_one(engine: sa.Engine, file: str) -> None:
    with engine.connect() as connection:
        stands_at = current(connection)
    if stands_at == HEAD:
        return
    if stands_at is not None and stands_at > HEAD:
        raise ConflictError(
            f"the {file} database is at revision {stands_at}, newer than this version's {HEAD};"
            " run the newer version, or restore a backup",
            value=stands_at,
            accepted=HEAD,
        )
    # Alembic is imported only when there is something to do: it costs a start 0.2 s.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    with engine.begin() as connection:
        config.attributes.update(connection=connection, file=file)
        command.upgrade(config, "head")
