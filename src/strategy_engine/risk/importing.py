"""Between the hand and the rows: what was done here is brought in, what others stopped is obeyed.

Every deed once: in the transaction that changes rows for it stands a row of the deed itself.
"""

import asyncio
import contextlib
from collections.abc import Sequence

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core.clock import Clock
from strategy_engine.execution import guard, restraining, restraint, stops, store
from strategy_engine.execution.model import Execution
from strategy_engine.execution.stops import Stop
from strategy_engine.execution.switching import By
from strategy_engine.infra import audit, logs
from strategy_engine.infra.database import Database
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.registry.service import Registry
from strategy_engine.risk import deed_store, deeds
from strategy_engine.risk.hand import Hand
from strategy_engine.risk.model import Action, Deed

SUBJECT = "risk"
REREAD_S = 0.5

_log = logs.get("risk")


class Importer:
    """One node's. A database that does not answer is asked again, until it does."""

    def __init__(
        self, hand: Hand, database: Database, registry: Registry, clock: Clock, *, node_id: str
    ) -> None:
        self._hand = hand
        self._database = database
        self._registry = registry
        self._clock = clock
        self._node_id = node_id
        self._due = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def wake(self) -> None:
        """Say that there is something to bring in, from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: the next node brings it in
            self._loop.call_soon_threadsafe(self._due.set)

    async def first(self) -> None:
        """Obey what others have stopped before anything plays, if the database tells it."""
        try:
            async with asyncio.timeout(REREAD_S):
                await self.turn()
        except (SQLAlchemyError, DatabaseAwayError, TimeoutError) as error:
            _log.warning("risk_not_told", why=repr(error))

    async def run(self) -> None:
        """Bring in and obey, for ever."""
        while True:
            try:
                await self.turn()
            except (SQLAlchemyError, DatabaseAwayError) as error:
                _log.warning("risk_not_told", why=str(error))
            try:
                async with asyncio.timeout(REREAD_S):
                    await self._due.wait()
            except TimeoutError:
                pass  # a row of another node may be new
            self._due.clear()

    async def turn(self) -> None:
        """Bring in what was done here, then do what others have stopped or reset."""
        for deed in self._hand.pending:
            await self._bring_in(deed)
            self._hand.note_imported(deed.deed_id)
        known = [each.deed_id for each in self._hand.stops]
        async with self._database.read() as connection:
            in_force = await stops.in_force(connection)
            over = await stops.over(connection, known)
        for stop_id in known:
            if stop_id in over:
                self._hand.release(stop_id)
        for each in in_force:
            if not self._hand.knows(each.stop_id):
                await asyncio.to_thread(self._hand.act, deed_of(each))

    async def _bring_in(self, deed: Deed) -> None:
        by = By(actor=deed.actor, at=self._clock.now(), why=deed.reason)
        held_to = restraint.effect_of(deeds.restraint_of(deed))
        async with self._database.write() as connection:
            if await deed_store.is_imported(connection, deed.deed_id, self._node_id):
                return
            if deed.action is Action.EMERGENCY_STOP:
                await keep_stop(connection, stop_of(deed))
            found = await self._about(connection, deed)
            for each in found:
                await restraining.hold(
                    connection, each, deeds.restraint_of(deed), f"risk.{deed.action}", by
                )
            await restraining.move_versions(connection, self._registry, found, held_to, by)
            await deed_store.insert(
                connection,
                deed,
                node_id=self._node_id,
                executions=[each.execution_id for each in found],
                at=by.at,
            )

    async def _about(self, connection: AsyncConnection, deed: Deed) -> Sequence[Execution]:
        unended = await store.unended_where(connection, execution_id=None, strategy_name=None)
        lines = await deed_store.lines(connection, {each.strategy_id for each in unended})
        return [
            each
            for each in unended
            if each.node_id in {None, self._node_id}
            and deeds.covers(deed, guard.subject_of(each, lines[each.strategy_id]))
        ]


async def keep_stop(connection: AsyncConnection, stop: Stop) -> None:
    """Keep an emergency stop with its audit row, unless it is kept already."""
    if not await stops.add(connection, stop):
        return
    await audit.record(
        connection,
        audit.Entry(
            at=stop.at,
            actor=stop.actor,
            subject_type=SUBJECT,
            subject_id=stop.stop_id,
            action=Action.EMERGENCY_STOP.value,
            details={
                "scope": stop.scope.value,
                "subject": stop.subject,
                "flattens": stop.flattens,
                "is_drill": stop.is_drill,
                "reason": stop.reason,
            },
        ),
    )


def stop_of(deed: Deed) -> Stop:
    """Return the row of an emergency stop."""
    return Stop(
        stop_id=deed.deed_id,
        scope=deed.scope,
        subject=deed.subject,
        flattens=deed.flattens,
        is_drill=deed.is_drill,
        reason=deed.reason,
        actor=deed.actor,
        at=deed.at,
    )


def deed_of(stop: Stop) -> Deed:
    """Return the deed that a row of an emergency stop tells of."""
    return Deed(
        deed_id=stop.stop_id,
        action=Action.EMERGENCY_STOP,
        scope=stop.scope,
        subject=stop.subject,
        reason=stop.reason,
        actor=stop.actor,
        at=stop.at,
        flattens=stop.flattens,
        is_drill=stop.is_drill,
    )
