"""The durable workflow engine (DBOS): on a SQLite file old or new, or on PostgreSQL."""

import logging
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer
from sqlalchemy import event

from strategy_engine.infra import database, logs, outages, postgres

QUEUE_POLL_S = 0.1
BUSY_TIMEOUT_MS = 30_000
CONNECT_TIMEOUT_S = 10.0
SCHEMA = "dbos"  # its tables stay apart from ours in a PostgreSQL database
IDLE_IN_TRANSACTION_MS = 60_000  # what DBOS itself sets where it makes the connections

# One value for every build whose workflow steps keep their order and names: pending work of another
# build with the same value goes on at its next step. Raise it when a workflow changes: what another
# value left unfinished is then begun anew, and finds in its rows what it has done already.
WORKFLOW_VERSION = "1"

_RUNNING = "PENDING"
_WAITING = frozenset({"ENQUEUED", "DELAYED"})


def launch(data_dir: Path, server: str | None = None, *, executor_id: str) -> None:
    """Start the workflow engine on the server, or on `<data_dir>/workflows.db`, and resume."""
    config: DBOSConfig = {
        "name": "strategy-engine",
        # Without a URL of its own it takes the engine's, and holds no password.
        "system_database_engine": _sqlite(data_dir) if server is None else _postgres(server),
        "dbos_system_schema": SCHEMA,
        "serializer": DBOSPortableJSONSerializer(),
        "application_version": WORKFLOW_VERSION,
        "executor_id": executor_id,
        "log_level": "WARNING",
        "enable_otlp": False,
    }
    log_as_the_engine_does()
    DBOS(config=config)
    DBOS.launch()


def log_as_the_engine_does() -> None:
    """Write its lines in the engine's form, and what it repeats while a database is away seldom."""
    logger = logging.getLogger("dbos")
    logger.addHandler(logging.NullHandler())  # with none it adds its own, in a form of its own
    logger.addFilter(logs.Sparing())


def takes_writes(data_dir: Path, server: str | None = None) -> None:
    """Raise `DatabaseAwayError` if the workflow engine could not be launched for want of a disk."""
    if server is not None:
        return  # the database that control writes to as well
    engine = _sqlite(data_dir)
    try:
        with outages.told(str(path_of(data_dir))), engine.begin() as connection:
            database.rewrite(connection)
    finally:
        engine.dispose()


def executor_of(name: str, epoch: int) -> str:
    """Return the name under which an engine takes workflows, another one in every epoch."""
    return f"{name}:{epoch}"


def adopt(executor_id: str) -> None:
    """Take over what engines of the same name but another epoch have pending.

    Each workflow goes back to its queue, once, whoever asks and however often.
    """
    name = _name_of(executor_id)
    pending = DBOS.list_workflows(status=_RUNNING, load_input=False, load_output=False)
    others = {
        each.executor_id
        for each in pending
        if each.executor_id is not None
        and each.executor_id != executor_id
        and _name_of(each.executor_id) == name
    }
    if others:
        # The only way DBOS has to recover for another executor than one's own.
        DBOS._recover_pending_workflows(sorted(others))  # noqa: SLF001 - see above


def is_stranded(status: str, version: str | None, executor: str | None, *, here: str) -> bool:
    """Say whether a workflow will never go on by itself, though what it carries has not ended.

    It has ended, or another workflow version began it; what an engine of another name runs is its
    own.
    """
    if status == _RUNNING:
        is_ours = executor is None or _name_of(executor) == _name_of(here)
        return is_ours and version != WORKFLOW_VERSION
    return status not in _WAITING or version not in {None, WORKFLOW_VERSION}


def path_of(data_dir: Path) -> Path:
    """Return the SQLite file of the workflow engine."""
    return data_dir / "workflows.db"


def _name_of(executor_id: str) -> str:
    return executor_id.rpartition(":")[0]


def _postgres(server: str) -> sa.Engine:
    # No limit on a statement or a wait for a lock: it takes neither for a reason to try again.
    return postgres.sync_engine(
        server,
        timeout_s=CONNECT_TIMEOUT_S,
        settings={
            "application_name": "strategy-engine workflows",
            "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS),
        },
        pool_size=8,
        max_overflow=8,
        pool_pre_ping=True,
        hide_parameters=True,
    )


def _sqlite(data_dir: Path) -> sa.Engine:
    engine = sa.create_engine(f"sqlite:///{path_of(data_dir)}", hide_parameters=True)

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = "IMMEDIATE"
        # SQLite < 3.42 lacks unixepoch('subsec'), which DBOS writes its times with.
        connection.create_function("unixepoch", -1, _unixepoch)
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
            "foreign_keys = ON",
            "journal_mode = WAL",
            "synchronous = NORMAL",
        ):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _unixepoch(*arguments: Any) -> float | int:
    now = time.time()
    return now if "subsec" in arguments or "subsecond" in arguments else int(now)
