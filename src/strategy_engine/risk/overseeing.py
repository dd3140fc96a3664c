"""Control's side of the monitor: what lasts, what there was, and letting an execution go again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import ConflictError, NotFoundError
from strategy_engine.execution import limiting, stops, store
from strategy_engine.execution.model import UNENDED, Execution, Role
from strategy_engine.execution.stops import Stop, StoppedError
from strategy_engine.infra import audit
from strategy_engine.infra.database import Database
from strategy_engine.registry import service as registry
from strategy_engine.risk import breach_store, breaches, references
from strategy_engine.risk.breach_store import Kept
from strategy_engine.risk.breaches import Breach
from strategy_engine.risk.rules import Measure
from strategy_engine.venue.limits import Scope
from strategy_engine.venue.model import RiskState

RESET = "risk_reset"
HELD = frozenset({Measure.DAILY_LOSS, Measure.SOFT_DRAWDOWN, Measure.MAX_DRAWDOWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How risk stands.

    Parameters
    ----------
    held_back : sequence of Execution
        Those that have not ended and are REDUCING or HALTED, or paused by risk.
    """

    lasting: Sequence[Breach]
    held_back: Sequence[Execution]
    stops: Sequence[Stop]
    references: Sequence[Kept]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Overseeing:
    """Reads what the monitors of nodes have found, and lets executions go again."""

    database: Database
    clock: Clock
    poke: Callable[[], None] = lambda: None

    async def status(self) -> Status:
        """Return what lasts and who is held back."""
        async with self.database.read() as connection:
            found = await store.unended_where(connection, execution_id=None, strategy_name=None)
            return Status(
                lasting=await breach_store.lasting(connection),
                held_back=[each for each in found if is_held_back(each)],
                stops=await stops.in_force(connection),
                references=await breach_store.references_of_lines(connection),
                at=self.clock.now(),
            )

    async def page(
        self, *, execution_id: str | None = None, limit: int = 50, offset: int = 0
    ) -> tuple[list[Breach], int]:
        """Return breaches, the newest first, and how many there are; of all or of an execution."""
        async with self.database.read() as connection:
            return await breach_store.page(
                connection, execution_id=execution_id, limit=limit, offset=offset
            )

    async def reset(self, execution_id: str, *, actor: str, why: str) -> Execution:
        """Let an execution that is REDUCING or HALTED be ACTIVE again.

        Its losses, and its line's, are measured from now on, or it would be held back at once
        again. One that has ended stays so: its version may be started.

        Raises
        ------
        NotFoundError
            If there is none.
        StoppedError
            If an emergency stop is in force for it: that is reset first.
        ConflictError
            If nothing holds it back.
        """
        now = self.clock.now()
        async with self.database.write() as connection:
            row = await store.get(connection, execution_id)
            if row is None or row.role is Role.VALIDATION:
                raise NotFoundError(
                    f"there is no execution {execution_id}", execution_id=execution_id
                )
            line = (await registry.load(connection, row.strategy_id)).content.strategy_name
            await _check_stops(connection, row, line)
            held_by = await self._held_by(connection, row, line)
            if row.risk_state is RiskState.ACTIVE and not held_by:
                raise ConflictError(
                    f"{execution_id} is ACTIVE and within its limits: there is nothing to reset;"
                    " one that is paused goes on with POST /strategies/{strategy_id}/resume",
                    execution_id=execution_id,
                )
            after = replace(row, risk_state=RiskState.ACTIVE, updated_at=now)
            await store.update(connection, after)
            await self._begin_anew(connection, row, line, now)
            for each in held_by:
                await breach_store.update_breach(connection, breaches.over(each, now))
            await audit.record(connection, _entry(row, actor, why, now))
        self.poke()
        return after

    async def _held_by(
        self, connection: AsyncConnection, row: Execution, line: str
    ) -> list[Breach]:
        names = {(Scope.EXECUTION, row.execution_id), (Scope.LINE, line)}
        return [
            each
            for each in await breach_store.lasting(connection)
            if each.measure in HELD and (each.scope, each.subject) in names
        ]

    async def _begin_anew(
        self, connection: AsyncConnection, row: Execution, line: str, now: datetime
    ) -> None:
        names = {(Scope.EXECUTION, row.execution_id), (Scope.LINE, line)}
        kept = await breach_store.references(connection, names)
        for each in kept.values():
            anew = replace(each, reference=references.rebased(each.reference))
            await breach_store.reset(connection, anew, at=now)


def is_held_back(row: Execution) -> bool:
    """Say whether risk holds an execution back, and not (only) a person."""
    return row.risk_state is not RiskState.ACTIVE or row.desired_why.startswith("risk.")


async def _check_stops(connection: AsyncConnection, row: Execution, line: str) -> None:
    stop = stops.find(
        await stops.in_force(connection),
        line=line,
        account=limiting.account_of(row.config, line),
        execution_id=row.execution_id,
    )
    if stop is not None:
        raise StoppedError(str(stop), stop_id=stop.stop_id)


def _entry(row: Execution, actor: str, why: str, now: datetime) -> audit.Entry:
    return audit.Entry(
        at=now,
        actor=actor,
        subject_type="execution",
        subject_id=row.execution_id,
        action=RESET,
        from_state=row.status.value,
        to_state=row.status.value,
        details={
            "comment": why,
            "risk_state": RiskState.ACTIVE.value,
            "before": row.risk_state.value,
            "has_ended": row.status not in UNENDED,
        },
    )
