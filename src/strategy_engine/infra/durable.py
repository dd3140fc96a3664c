"""The durable workflow engine (DBOS), set up for SQLite old and new."""

import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSPortableJSONSerializer
from sqlalchemy import event

QUEUE_POLL_S = 0.1
BUSY_TIMEOUT_MS = 30_000

# One value for every build whose workflow steps keep their order and names: pending work of an
# older build with the same value is resumed by the newer one. Raise it when a workflow changes.
WORKFLOW_VERSION = "1"


def launch(data_dir: Path, *, executor_id: str, log_level: str = "WARNING") -> None:
    """Start the workflow engine on `<data_dir>/workflows.db` and resume what was pending."""
    path = data_dir / "workflows.db"
    DBOS(
        config={
            "name": "strategy-engine",
            "system_database_url": f"sqlite:///{path}",
            "system_database_engine": _engine(path),
            "serializer": DBOSPortableJSONSerializer(),
            "application_version": WORKFLOW_VERSION,
            "executor_id": executor_id,
            "log_level": log_level,
            "enable_otlp": False,
        }
    )
    DBOS.launch()


def destroy() -> None:
    """Stop the workflow engine; what is unfinished resumes at the next launch."""
    DBOS.destroy(workflow_completion_timeout_sec=0)


def _engine(path: Path) -> sa.Engine:
    engine = sa.create_engine(f"sqlite:///{path}")

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
