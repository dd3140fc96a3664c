"""What the monitor has to say: rows of breaches and references, and alerts, when rows can be."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.alerts.model import Severity
from strategy_engine.alerts.service import Alerts
from strategy_engine.core.clock import Clock
from strategy_engine.infra.database import Database
from strategy_engine.risk import breach_store, rules
from strategy_engine.risk.breach_store import Kept
from strategy_engine.risk.breaches import Breach, Changes
from strategy_engine.risk.model import Action

_MOST_A_TURN = 50  # in one transaction, so that others are not kept waiting

SEVERITIES: dict[Action, Severity] = {
    Action.ALERT: Severity.WARNING,
    Action.REDUCE: Severity.WARNING,
    Action.PAUSE: Severity.CRITICAL,
    Action.HALT: Severity.CRITICAL,
    Action.EMERGENCY_STOP: Severity.CRITICAL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    breach: Breach
    is_new: bool


class Reports:
    """One node's. What cannot be written waits, in its order."""

    def __init__(self, database: Database, alerts: Alerts, clock: Clock, *, node_id: str) -> None:
        self._database = database
        self._alerts = alerts
        self._clock = clock
        self._node_id = node_id
        self._waiting: deque[_Report] = deque()

    def tell(self, changes: Changes) -> None:
        """Take what has changed of the breaches there are."""
        self._waiting += [_Report(breach=each, is_new=True) for each in changes.begun]
        self._waiting += [_Report(breach=each.breach, is_new=False) for each in changes.joined]
        self._waiting += [_Report(breach=each, is_new=False) for each in changes.ended]

    @property
    def waiting(self) -> int:
        """How much is still to be written."""
        return len(self._waiting)

    async def flush(self) -> None:
        """Write what waits; what is written twice is there once."""
        while self._waiting:
            part = list(self._waiting)[:_MOST_A_TURN]
            async with self._database.write() as connection:
                for each in part:
                    await self._write(connection, each)
            for _ in part:
                self._waiting.popleft()

    async def keep(self, kept: Iterable[Kept]) -> None:
        """Store references."""
        async with self._database.write() as connection:
            await breach_store.keep_references(connection, kept, at=self._clock.now())

    async def _write(self, connection: AsyncConnection, report: _Report) -> None:
        breach = report.breach
        if report.is_new:
            await breach_store.insert_breach(connection, breach, self._node_id)
            await self._raise(connection, breach)
            return
        await breach_store.update_breach(connection, breach)
        if breach.ended_at is not None:
            await self._alerts.resolve(
                alert_key(breach), connection=connection, at=breach.ended_at, why="within again"
            )

    async def _raise(self, connection: AsyncConnection, breach: Breach) -> None:
        name = rules.name_of(breach.scope, breach.subject)
        await self._alerts.raise_alert(
            connection,
            key=alert_key(breach),
            severity=SEVERITIES[breach.action],
            subject_type=breach.scope.value,
            subject_id=breach.subject,
            title=f"{breach.measure} of {name}: {breach.action}"[:_LONGEST_TITLE],
            message=breach.message,
            details=plain(breach),
            at=breach.began_at,
        )


_LONGEST_TITLE = 200
_LONGEST_KEY = 200


def alert_key(breach: Breach) -> str:
    """Return what makes two alerts of a limit the same."""
    return f"risk:{breach.measure}:{breach.scope}:{breach.subject}"[:_LONGEST_KEY]


def plain(breach: Breach) -> dict[str, Any]:
    """Return a breach as JSON has it."""
    return {
        "breach_id": breach.breach_id,
        "measure": breach.measure.value,
        "scope": breach.scope.value,
        "subject": breach.subject,
        "value": breach.value,
        "limit": breach.limit,
        "limit_scope": breach.limit_scope.value,
        "limit_subject": breach.limit_subject,
        "action": breach.action.value,
        "executions": list(breach.executions),
        "sample": breach.sample,
    }
