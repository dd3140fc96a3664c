"""How deployments are changed: by the table, with an audit row, in one transaction."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import NotFoundError
from strategy_engine.infra import audit, outbox
from strategy_engine.infra.database import Database
from strategy_engine.registry import model as registry_model
from strategy_engine.registry import service as registry_service
from strategy_engine.registry.service import Registry
from strategy_engine.rollout import outbox_rows, store
from strategy_engine.rollout.model import ENDED, Deployment, Outcome, State, Trigger

SUBJECT = "deployment"


class Journal:
    """Reads and changes deployments; whoever decides what to change is elsewhere."""

    def __init__(
        self, database: Database, registry: Registry, clock: Clock, *, node_id: str
    ) -> None:
        self.database = database
        self.registry = registry
        self.clock = clock
        self.node_id = node_id

    async def get(self, pipeline_id: str) -> Deployment:
        """Return one deployment.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        async with self.database.read() as connection:
            return await load(connection, pipeline_id)

    async def change(
        self,
        pipeline_id: str,
        trigger: Trigger | None,
        *,
        actor: str = audit.ENGINE,
        only_from: set[State] | None = None,
        **fields: Any,
    ) -> Deployment:
        """Store new facts and, with a trigger, a new state.

        With `only_from`, a deployment in another state is left as it is: the step that asks was
        done before a crash.
        """
        async with self.database.write() as connection:
            before = await load(connection, pipeline_id)
            if only_from is not None and before.state not in only_from:
                return before
            moved = replace(before if trigger is None else before.on(trigger), **fields)
            await store.update(connection, moved)
            if trigger is not None:
                await self.record(
                    connection, moved, actor=actor, action=trigger.value, before=before.state
                )
        return moved

    async def revise(
        self,
        pipeline_id: str,
        change: Callable[[Deployment], Deployment | None],
        *,
        actor: str = audit.ENGINE,
        action: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> Deployment:
        """Store what a decision makes of a deployment as it is at that instant, and who made it.

        Whoever else writes the deployment does so before or after: nothing is overwritten unseen.
        A change that comes to nothing is not written, and leaves no audit row. The version of a
        validation that ends so moves with it.

        Parameters
        ----------
        change : callable
            Given the deployment as it is; returns it changed, or None to leave it. It may raise.
        action : str or None
            What the audit row says was done; None: no row, for what is only noted.
        """
        async with self.database.write() as connection:
            before = await load(connection, pipeline_id)
            after = change(before)
            if after is None or after == before:
                return before
            await store.update(connection, after)
            if after.state is State.FAILED and before.is_testing:
                await self._move_version(connection, after, registry_model.Trigger.FAIL, actor)
            if action is not None:
                await self.record(
                    connection,
                    after,
                    actor=actor,
                    action=action,
                    before=before.state if after.state is not before.state else None,
                    details=dict(details or {}),
                )
        return after

    async def before_in_line(self, deployment: Deployment) -> str | None:
        """Return the deployment that rolls out on the same line before this one may."""
        async with self.database.read() as connection:
            found = await store.rolling_in_line(connection, deployment.strategy_name)
        for each in found:
            if each.pipeline_id == deployment.pipeline_id:
                continue
            mine = (deployment.created_at, deployment.pipeline_id)
            if each.plan or (each.created_at, each.pipeline_id) < mine:
                return each.pipeline_id
        return None

    async def tended(self) -> list[Deployment]:
        """Return the deployments that have ended and are not over, oldest first."""
        async with self.database.read() as connection:
            return await store.tended(connection)

    async def cooled(self, deployment: Deployment) -> None:
        """Keep that the version before is no longer warm."""
        await self.revise(
            deployment.pipeline_id,
            lambda found: replace(found, progress=replace(found.progress, warm_until=None)),
            action="cooled",
        )

    async def complete(self, deployment: Deployment, *, warm_s: float | None, message: str) -> None:
        """End a rollout whose version has the line; say how long the one before stays warm."""
        now = self.clock.now()
        until = None if warm_s is None else now + timedelta(seconds=warm_s)

        def completed(found: Deployment) -> Deployment | None:
            if found.state is not State.ROLLING_OUT or found.progress.undo is not None:
                return None
            return replace(
                found.on(Trigger.COMPLETE),
                outcome=Outcome.PROMOTED,
                message=message,
                current_stage=None,
                ended_at=now,
                progress=replace(found.progress, warm_until=until, message=""),
            )

        await self.revise(deployment.pipeline_id, completed, action=Trigger.COMPLETE.value)

    async def undone(self, deployment: Deployment, outcome: Outcome, told: str) -> None:
        """End a rollout that was undone, while it went on or after its end."""
        now = self.clock.now()

        def ended(found: Deployment) -> Deployment | None:
            undo = found.progress.undo
            if undo is None or found.outcome is outcome:
                return None
            moved = found.on(Trigger.FAIL) if found.state is State.ROLLING_OUT else found
            return replace(
                moved,
                outcome=outcome,
                message=undo.why + told,
                current_stage=None,
                ended_at=now,
                progress=replace(found.progress, warm_until=None, message=""),
            )

        await self.revise(deployment.pipeline_id, ended, action="undone")

    async def move_both(
        self,
        deployment: Deployment,
        trigger: Trigger,
        version: registry_model.Trigger | None,
        fields: dict[str, Any],
    ) -> Deployment:
        """Move a deployment and its version by their tables in one transaction.

        One that somebody has moved on since it was looked at is left as it is.
        """
        async with self.database.write() as connection:
            now = await load(connection, deployment.pipeline_id)
            if now.state is not deployment.state:
                return now
            moved = replace(now.on(trigger), **fields)
            await store.update(connection, moved)
            if version is not None:
                await self._move_version(connection, deployment, version, audit.ENGINE)
            await self.record(
                connection,
                moved,
                actor=audit.ENGINE,
                action=trigger.value,
                before=deployment.state,
            )
        return moved

    async def _move_version(
        self,
        connection: AsyncConnection,
        deployment: Deployment,
        trigger: registry_model.Trigger,
        actor: str,
    ) -> None:
        await self.registry.move_in(
            connection, deployment.strategy_id, trigger, actor=actor, why=deployment.pipeline_id
        )

    async def record(
        self,
        connection: AsyncConnection,
        deployment: Deployment,
        *,
        actor: str,
        action: str,
        before: State | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        """Write an audit row, and what others are told, in the caller's transaction."""
        await audit.record(
            connection,
            audit.Entry(
                at=self.clock.now(),
                actor=actor,
                subject_type=SUBJECT,
                subject_id=deployment.pipeline_id,
                action=action,
                from_state=before and before.value,
                to_state=deployment.state.value,
                details=details
                or {
                    "message": deployment.message,
                    "options": store.options_to_plain(deployment.options),
                },
            ),
        )
        if before is not None and deployment.state in ENDED:
            await self._tell(connection, before, deployment)

    async def _tell(
        self, connection: AsyncConnection, before: State, deployment: Deployment
    ) -> None:
        strategy = await registry_service.load(connection, deployment.strategy_id)
        at = self.clock.now()
        version = strategy.content.version
        events = outbox_rows.events(before, deployment, version=version, at=at)
        await outbox.add(connection, events, at=at)


async def load(connection: AsyncConnection, pipeline_id: str) -> Deployment:
    """Return a deployment inside the caller's transaction.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    deployment = await store.get(connection, pipeline_id)
    if deployment is None:
        raise NotFoundError(
            f"no deployment {pipeline_id[:60]!r}; GET /deployments lists those that exist",
            field="pipeline_id",
            value=pipeline_id[:60],
        )
    return deployment
