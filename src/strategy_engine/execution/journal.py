"""What the node reports of its executions: changes of state with their audit rows, and results."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import ConflictError
from strategy_engine.execution import (
    engagement,
    interruptions,
    leavings,
    outbox_rows,
    rules,
    store,
    switching,
    wishes,
)
from strategy_engine.execution.engagement import Party
from strategy_engine.execution.interruptions import Interruption, Outage
from strategy_engine.execution.model import (
    ARROWS,
    COMPLETED,
    UNENDED,
    Change,
    Desired,
    Execution,
    ExecutionStatus,
    Observation,
    Role,
    Switch,
    Trigger,
)
from strategy_engine.execution.switching import Asked, By
from strategy_engine.infra import audit, outbox, presence
from strategy_engine.infra.database import Database
from strategy_engine.registry import model as registry_model
from strategy_engine.registry import service as registry_service
from strategy_engine.registry.service import Registry
from strategy_engine.venue import limit_store
from strategy_engine.venue.limits import LimitSet, Scope

_MOST_ENDED = 200  # that are looked at for a day's results, once a node starts
SUBJECT = "execution"
SWITCH = "switch"
FAIL = "fail"  # before its positions are closed, and it ends


class Journal:
    """Writes observed state. Nothing of a copy whose epoch is not the row's is ever written."""

    def __init__(
        self, database: Database, registry: Registry, clock: Clock, *, node_id: str
    ) -> None:
        self._database = database
        self._registry = registry
        self._clock = clock
        self._node_id = node_id

    async def wanted(self) -> tuple[list[Execution], list[Asked]]:
        """Return what this node has to look after, and the switches that are still to be done."""
        async with self._database.read() as connection:
            rows = await store.unended_for(connection, self._node_id)
            return rows, await switching.waiting(connection)

    async def limits(self) -> dict[tuple[Scope, str], LimitSet]:
        """Return what lines, accounts and the engine are held to."""
        async with self._database.read() as connection:
            return await limit_store.sets(connection)

    async def recently_ended(self) -> list[Execution]:
        """Return the executions that ended, newest first, as many as may belong to a day."""
        ended = frozenset(ExecutionStatus) - UNENDED
        async with self._database.read() as connection:
            found, _ = await store.page(
                connection, statuses=ended, strategy_id=None, limit=_MOST_ENDED, offset=0
            )
        return found

    async def get_many(self, execution_ids: Iterable[str]) -> list[Execution]:
        """Return executions as they are by now."""
        async with self._database.read() as connection:
            return await store.get_many(connection, execution_ids)

    async def find_switch(self, key: str) -> Switch | None:
        """Return a switch as it stands; None if it is wanted no more."""
        async with self._database.read() as connection:
            return await switching.get(connection, key)

    async def settle_switch(self, key: str, by: By, changes: Mapping[str, Change]) -> None:
        """Keep that a switch is done whose positions are where they belong.

        Parameters
        ----------
        changes : mapping
            What is wanted of executions since it has turned out that no position goes anywhere.
        """
        by = By(actor=by.actor, at=self._clock.now(), why=by.why)
        async with self._database.write() as connection:
            rows = {each.execution_id: each for each in await store.get_many(connection, changes)}
            for name, change in changes.items():
                told = {"switch": key}
                await wishes.change(connection, rows[name], change, by, action=SWITCH, told=told)
            await switching.settle(connection, key, by.at)

    async def check_switch(self, switch: Switch) -> None:
        """See whether a switch can be done here now.

        Raises
        ------
        ConflictError
            If it cannot, and why.
        """
        engagement.check(switch, await self.get_many(switch.execution_ids), self._node_id)

    async def switch(
        self, asked: Asked, places: Mapping[str, int], epochs: Mapping[str, int]
    ) -> list[Execution]:
        """Do a switch, unless it is done; return its executions as they are then.

        Parameters
        ----------
        places : mapping
            The last bar close that each has come to, and comes to no other meanwhile.
        epochs : mapping
            Of the copies that run here.

        Raises
        ------
        ConflictError
            If it cannot be done here now, or is wanted no more.
        """
        switch, now = asked.switch, self._clock.now()
        by = By(actor=asked.by.actor, at=now, why=asked.by.why)
        async with self._database.write() as connection:
            rows = await store.get_many(connection, switch.execution_ids)
            current = await switching.get(connection, switch.key)
            if current is None:
                raise ConflictError(f"switch {switch.key} is wanted no more")
            if current.at_ns is not None:
                return rows
            engagement.check(switch, rows, self._node_id, epochs)
            parties = [Party(row=each, place_ns=places[each.execution_id]) for each in rows]
            at_ns = engagement.switch_point(switch, parties)
            changed = [
                await wishes.change(
                    connection,
                    each.row,
                    engagement.switched(switch, each, at_ns),
                    by,
                    action=SWITCH,
                    told={"switch": switch.key, "at_ns": at_ns},
                )
                for each in parties
            ]
            await switching.finish(connection, switch, node_id=self._node_id, at_ns=at_ns, at=now)
        return changed

    async def claim(self, execution_id: str, outage: Outage | None = None) -> Execution | None:
        """Take an execution over under a new epoch; None if it has ended or is another node's.

        With an outage, this process ran it until then.
        """
        async with self._database.write() as connection:
            row = await store.get(connection, execution_id)
            if row is None or row.node_id not in {None, self._node_id}:
                return None
            if row.status not in UNENDED and not row.is_closing:
                return None
            claimed = replace(
                row if row.is_closing else row.on(Trigger.TAKE_OVER),
                node_id=self._node_id,
                epoch=row.epoch + 1,
                updated_at=self._clock.now(),
            )
            await store.update(connection, claimed)
            await self._audit(connection, row, claimed, Trigger.TAKE_OVER.value)
            is_gone = row.start_time is not None and not row.is_closing
            if is_gone:  # it ran, and nobody said that it stopped
                await interruptions.begin(connection, await self._left(connection, row, outage))
        return claimed

    async def ready(
        self, mine: Execution, trigger: Trigger, *, bars_missed: int, **changes: Any
    ) -> Execution | None:
        """Move an execution that is ready, and keep how long it was interrupted if it was."""
        async with self._database.write() as connection:
            ended = None
            if await self._is_mine(connection, mine):
                ended = await interruptions.end(
                    connection,
                    mine.execution_id,
                    at=self._clock.now(),
                    bars_missed=bars_missed,
                )
            return await self._move_in(connection, mine, trigger, changes, ended)

    async def lose(self, mine: Execution, cause: str, *, is_crash: bool) -> None:
        """Keep that an execution does not run for now, since when and why."""
        async with self._database.write() as connection:
            moved = await self._move_in(connection, mine, Trigger.LOSE, {})
            if moved is not None and moved.start_time is not None:
                interruption = Interruption(
                    execution_id=mine.execution_id,
                    epoch=mine.epoch,
                    kind=interruptions.CRASH if is_crash else interruptions.LOSS,
                    cause=cause,
                    from_at=moved.updated_at,
                )
                await interruptions.begin(connection, interruption)

    async def move(self, mine: Execution, trigger: Trigger, **changes: Any) -> Execution | None:
        """Move an execution by the table; None if it is no longer this copy's."""
        async with self._database.write() as connection:
            return await self._move_in(connection, mine, trigger, changes)

    async def end(
        self, mine: Execution, trigger: Trigger, final: Observation | None, **changes: Any
    ) -> Execution | None:
        """End an execution, and move its version in the same transaction when that follows."""
        results = {} if final is None else {"final_pnl": final.pnl, **leavings.made(final)}
        results["end_time"] = self._clock.now()
        async with self._database.write() as connection:
            ended = await self._move_in(connection, mine, trigger, changes | results)
            if ended is not None and ended.role is not Role.VALIDATION:
                await self._move_version(connection, ended, trigger)
        return ended

    async def note_failure(self, mine: Execution, failure: str) -> bool:
        """Keep at once that a strategy has failed whose positions are still to be closed.

        False if the execution is no longer this copy's.
        """
        async with self._database.write() as connection:
            row = await store.get(connection, mine.execution_id)
            if row is None or row.epoch != mine.epoch or row.status not in UNENDED:
                return False
            failed = replace(row, failure=failure, updated_at=self._clock.now())
            await store.update(connection, failed)
            await self._audit(connection, row, failed, FAIL)
        return True

    async def close_leavings(
        self, mine: Execution, final: Observation | None, *, why: str = ""
    ) -> None:
        """Keep what has come of closing what an ended execution held, if it is still this copy's.

        Parameters
        ----------
        why : str
            Why it could not be closed; empty text: it was.
        """
        by = By(actor=audit.ENGINE, at=self._clock.now())
        async with self._database.write() as connection:
            row = await store.get(connection, mine.execution_id)
            if row is not None and row.epoch == mine.epoch and row.is_closing:
                await leavings.close(connection, row, by, final=final, why=why)

    async def observe(self, observations: Iterable[Observation]) -> None:
        """Store what executions have come to by now."""
        async with self._database.write() as connection:
            await store.observe(connection, observations, at=self._clock.now())

    async def _move_in(
        self,
        connection: AsyncConnection,
        mine: Execution,
        trigger: Trigger,
        changes: dict[str, Any],
        interruption: Interruption | None = None,
    ) -> Execution | None:
        row = await store.get(connection, mine.execution_id)
        if row is None or row.epoch != mine.epoch or (row.status, trigger) not in ARROWS:
            return None
        moved = replace(row.on(trigger), updated_at=self._clock.now(), **changes)
        await store.update(connection, moved)
        await self._audit(connection, row, moved, trigger.value, interruption)
        await outbox.add(connection, outbox_rows.events(row, moved), at=moved.updated_at)
        return moved

    async def _is_mine(self, connection: AsyncConnection, mine: Execution) -> bool:
        row = await store.get(connection, mine.execution_id)
        return row is not None and row.epoch == mine.epoch

    async def _left(
        self, connection: AsyncConnection, row: Execution, outage: Outage | None
    ) -> Interruption:
        """Return what is known of a copy that wrote nothing when it ended."""
        if outage is not None:
            return Interruption(
                execution_id=row.execution_id,
                epoch=row.epoch,
                kind=interruptions.STORAGE,
                cause=outage.cause,
                from_at=outage.at,
            )
        heard = None
        if row.node_id is not None:
            is_own = row.node_id == self._node_id
            heard = await presence.last_heard(connection, row.node_id, is_own=is_own)
        from_at = max(row.updated_at, heard or row.updated_at)
        return Interruption(
            execution_id=row.execution_id,
            epoch=row.epoch,
            kind=interruptions.NODE,
            cause=f"node {row.node_id} ended; it was last known to run at {from_at.isoformat()}",
            from_at=min(from_at, self._clock.now()),
        )

    async def _move_version(
        self, connection: AsyncConnection, ended: Execution, trigger: Trigger
    ) -> None:
        others = await store.unended_of(connection, ended.strategy_id)
        if trigger is Trigger.BREAK and not rules.goes_on(ended, others):
            follows = registry_model.Trigger.BREAK
            await self._close_others(connection, ended, others)
        elif trigger is not Trigger.BREAK and ended.end_reason == COMPLETED and not others:
            follows = registry_model.Trigger.STOP
        else:
            return
        strategy = await registry_service.load(connection, ended.strategy_id)
        if (strategy.status, follows) not in registry_model.ARROWS:
            return  # somebody has moved it on already
        await self._registry.move_in(
            connection,
            ended.strategy_id,
            follows,
            actor=audit.ENGINE,
            why=f"{ended.execution_id}: {ended.end_reason}",
        )

    async def _close_others(
        self, connection: AsyncConnection, ended: Execution, others: Iterable[Execution]
    ) -> None:
        """Let what is beside a broken version's execution close its positions and end."""
        by = By(actor=audit.ENGINE, at=self._clock.now(), why=f"{ended.execution_id} has failed")
        for each in others:
            if each.desired is not Desired.STOP:
                await wishes.change(connection, each, Change(desired=Desired.FLATTEN), by)

    async def _audit(
        self,
        connection: AsyncConnection,
        before: Execution,
        after: Execution,
        action: str,
        interruption: Interruption | None = None,
    ) -> None:
        details: dict[str, Any] = {"node_id": self._node_id, "epoch": after.epoch}
        if interruption is not None:
            details["interrupted"] = _told(interruption)
        if after.end_reason is not None:
            details["end_reason"] = after.end_reason
        if (error := after.error or after.failure) is not None:
            details["error"] = error.splitlines()[0]
        await audit.record(
            connection,
            audit.Entry(
                at=after.updated_at,
                actor=audit.ENGINE,
                subject_type=SUBJECT,
                subject_id=after.execution_id,
                action=action,
                from_state=before.status.value,
                to_state=after.status.value,
                details=details,
            ),
        )


def _told(interruption: Interruption) -> dict[str, Any]:
    to_at: datetime = interruption.to_at or interruption.from_at
    return {
        "from": interruption.from_at.isoformat(),
        "to": to_at.isoformat(),
        "seconds": (to_at - interruption.from_at).total_seconds(),
        "bars_missed": interruption.bars_missed,
        "cause": interruption.cause,
    }
