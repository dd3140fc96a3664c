"""What an engine's databases say, read from outside it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

CONTROL, LEDGER, WORKFLOWS = "control", "ledger", "workflows"


@dataclass(frozen=True, slots=True)
class Books:
    """The databases of one engine: files of a data directory, or one PostgreSQL database."""

    data_dir: Path
    server: str | None = None

    def rows(self, which: str, statement: str, **values: Any) -> list[Any]:
        """Return the rows of a statement."""
        engine = sa.create_engine(self._url(which), poolclass=sa.NullPool)
        try:
            with engine.connect() as connection:
                return list(connection.execute(sa.text(statement), values))
        finally:
            engine.dispose()

    def write(self, which: str, statement: str, **values: Any) -> None:
        """Change what is kept, as a process that died halfway would have left it."""
        engine = sa.create_engine(self._url(which), poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.execute(sa.text(statement), values)
        engine.dispose()

    def number(self, which: str, statement: str, **values: Any) -> int:
        """Return the one number that a statement gives; 0 for none."""
        return int(self.rows(which, statement, **values)[0][0] or 0)

    def arrows(self, subject_type: str) -> dict[str, list[tuple[Any, ...]]]:
        """Return the audited changes of every subject of a type, in order."""
        found = defaultdict(list)
        for row in self.rows(
            CONTROL,
            "SELECT subject_id, action, from_state, to_state FROM audit"
            " WHERE subject_type = :kind ORDER BY audit_id",
            kind=subject_type,
        ):
            found[row[0]].append(tuple(row[1:]))
        return dict(found)

    def evidence(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return the stage results of every pipeline, in the order they were stored."""
        found = defaultdict(list)
        for row in self.rows(
            CONTROL, "SELECT pipeline_id, stage, passed, verdict FROM stage_results ORDER BY id"
        ):
            found[row[0]].append(tuple(row[1:]))
        return dict(found)

    def paper_runs(self) -> dict[str, int]:
        """Return how many validation executions each version had."""
        return dict(
            self.rows(
                CONTROL,
                "SELECT strategy_id, count(*) FROM executions WHERE role = 'validation'"
                " GROUP BY strategy_id",
            )
        )

    def steps(self) -> dict[str, list[tuple[int, str]]]:
        """Return the recorded steps of every workflow, in order."""
        found = defaultdict(list)
        for row in self.rows(
            WORKFLOWS,
            "SELECT workflow_uuid, function_id, function_name FROM operation_outputs"
            " ORDER BY workflow_uuid, function_id",
        ):
            found[row[0]].append(tuple(row[1:]))
        return dict(found)

    def workflows(self) -> dict[str, tuple[str, str]]:
        """Return every workflow's name and status."""
        rows = self.rows(WORKFLOWS, "SELECT workflow_uuid, name, status FROM workflow_status")
        return {row[0]: (row[1], row[2]) for row in rows}

    def done_steps(self) -> int:
        """Return how many steps all workflows have done."""
        return self.number(WORKFLOWS, "SELECT count(*) FROM operation_outputs")

    def entries_of(self, execution_ids: Iterable[str]) -> dict[str, int]:
        """Return how many ledger entries each of these executions has come to."""
        found = dict(self.rows(LEDGER, "SELECT execution_id, entry_no FROM checkpoints"))
        return {each: int(found.get(each, 0)) for each in execution_ids}

    def entries(self) -> int:
        """Return how many ledger entries all executions have come to."""
        return self.number(LEDGER, "SELECT sum(entry_no) FROM checkpoints")

    def _url(self, which: str) -> str:
        if self.server is not None:
            driver = self.server.replace("postgresql://", "postgresql+psycopg://", 1)
            join = "&" if "?" in driver else "?"
            return f"{driver}{join}options=-csearch_path%3Dpublic%2Cdbos"
        return f"sqlite:///{self.data_dir / which}.db"
