"""The shell that doors call: request, follow and answer deployments, and count them."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core import ids
from strategy_engine.core.errors import ConflictError
from strategy_engine.infra import audit
from strategy_engine.pipeline import model as pipeline_model
from strategy_engine.pipeline import store as stages
from strategy_engine.pipeline.service import Pipeline
from strategy_engine.registry import model as registry_model
from strategy_engine.registry import service as registry_service
from strategy_engine.rollout import events, exclusive, store
from strategy_engine.rollout import journal as journals
from strategy_engine.rollout.acting import Acting
from strategy_engine.rollout.effects import Acted
from strategy_engine.rollout.journal import Journal
from strategy_engine.rollout.line import Line
from strategy_engine.rollout.model import Defaults, Deployment, Options, Outcome, State
from strategy_engine.rollout.verbs import Asked, Verb


class Carrier(Protocol):
    """Carries deployments out durably; the workflows are one, a test's list another."""

    def enqueue(self, deployment: Deployment) -> Awaitable[None]:
        """Start a deployment's pipeline; once, however often it is called."""
        ...

    def resume(self, deployment: Deployment) -> Awaitable[None]:
        """See to it that a deployment of an engine that ended goes on."""
        ...

    def announce(self, pipeline_id: str) -> Awaitable[None]:
        """Wake a deployment that waits for an answer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A deployment and what its stages have found so far."""

    deployment: Deployment
    results: list[pipeline_model.StageResult] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many pipelines and deployments there were, in all and lately."""

    validated: int
    ended: dict[Outcome, int]
    validated_lately: int
    completed_lately: int
    durations: store.Durations


class Rollouts:
    """Deployments as doors see them. One instance a control process."""

    def __init__(
        self,
        *,
        journal: Journal,
        pipeline: Pipeline,
        line: Line,
        acting: Acting,
        carrier: Carrier,
        defaults: Defaults,
    ) -> None:
        self._journal = journal
        self._database = journal.database
        self._registry = journal.registry
        self._clock = journal.clock
        self._pipeline = pipeline
        self._line = line
        self._acting = acting
        self._carrier = carrier
        self._defaults = defaults

    async def request(self, strategy_id: str, options: Options, *, actor: str) -> Deployment:
        """Accept a deployment, durably, and start its pipeline.

        Raises
        ------
        NotFoundError, IllegalTransitionError
            If the version does not exist, or is in a state that cannot be deployed.
        InvalidError, NotBuiltError
            If an option makes no sense, or cannot be had here.
        """
        return await self._accept(strategy_id, options, actor=actor)

    async def act(
        self, pipeline_id: str, verb: Verb, asked: Asked, *, dry_run: bool = False
    ) -> Acted:
        """Do to a deployment what a person says, or tell what it would do; again is no error.

        A retry answers the deployment that is made anew.

        Raises
        ------
        NotFoundError
            If there is no such deployment.
        ConflictError
            If it cannot be done now; it says what can.
        """
        if dry_run:
            return await self._acting.foresee(pipeline_id, verb, asked)
        acted = await self._acting.act(pipeline_id, verb, asked)
        if verb is Verb.RETRY:
            again = await self._accept(
                acted.deployment.strategy_id,
                acted.deployment.options,
                actor=asked.actor,
                retried=acted.deployment,
                comment=asked.comment,
            )
            return Acted(deployment=again)
        await self._carrier.announce(pipeline_id)
        return acted

    async def _accept(
        self,
        strategy_id: str,
        options: Options,
        *,
        actor: str,
        retried: Deployment | None = None,
        comment: str = "",
    ) -> Deployment:
        pipeline_model.criteria(options.validation_criteria, options.validation_profile)
        # It refuses early what cannot be.
        asked_for = await self._registry.get(strategy_id)
        _, replaces = await self._line.plan(asked_for, options)
        notice = await self._line.notice(asked_for)
        async with self._database.write() as connection:
            strategy = await registry_service.load(connection, strategy_id)
            deployment = replace(self._new(strategy, options, actor, retried), message=notice)
            known = await store.get(connection, deployment.pipeline_id)
            if known is not None:
                return known
            await self._refuse_a_second(connection, strategy)
            if replaces:
                line = strategy.content.strategy_name
                await exclusive.refuse_while_shared(connection, line, "a deployment over it")
            if not deployment.revalidates:
                await self._registry.move_in(
                    connection,
                    strategy_id,
                    registry_model.Trigger.VALIDATE,
                    actor=actor,
                    why=deployment.pipeline_id,
                )
            await store.insert(connection, deployment)
            await self._journal.record(connection, deployment, actor=actor, action="request")
            if retried is not None:
                await self._journal.record(
                    connection,
                    retried,
                    actor=actor,
                    action=Verb.RETRY.value,
                    details={
                        "message": f"deployed anew as {deployment.pipeline_id}",
                        "comment": comment,
                    },
                )
        await self._carrier.enqueue(deployment)
        return deployment

    async def resume_unstarted(self) -> None:
        """Do again what may have been saved but not handed on when the process died.

        What another node validates is that node's.
        """
        async with self._database.read() as connection:
            waiting = await store.unfinished(connection)
        for deployment in waiting:
            if deployment.node_id not in {None, self._journal.node_id}:
                continue
            await self._carrier.resume(deployment)
            if deployment.approval is not None:
                await self._carrier.announce(deployment.pipeline_id)

    async def follow(self, pipeline_id: str) -> Followed:
        """Return a deployment with the results of its stages so far."""
        deployment = await self._journal.get(pipeline_id)
        results = await self._pipeline.results(pipeline_id)
        return Followed(deployment=deployment, results=results)

    async def history(
        self, pipeline_id: str, after: events.Cursor = events.BEGINNING
    ) -> events.History:
        """Return what happened to a deployment after a cursor, and how it stands; one snapshot."""
        async with self._database.read() as connection:
            deployment = await journals.load(connection, pipeline_id)
            done = await audit.after(connection, journals.SUBJECT, pipeline_id, after.audit_id)
            finished = await stages.after(connection, pipeline_id, after.stage_id)
        found = events.in_order(done, finished, after)
        return events.History(deployment=deployment, events=tuple(found))

    async def page(
        self,
        *,
        state: State | None = None,
        strategy_id: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[list[Deployment], int]:
        """Return deployments, newest first, and how many there are in all."""
        async with self._database.read() as connection:
            return await store.page(
                connection, state=state, strategy_id=strategy_id, limit=limit, offset=offset
            )

    async def tally(self, lately: timedelta, bounds_s: Sequence[float] = ()) -> Tally:
        """Return the counters that survive restarts, and those of the last while."""
        since = self._clock.now() - lately
        async with self._database.read() as connection:
            return Tally(
                validated=await store.validated_count(connection),
                ended=await store.ended_counts(connection),
                validated_lately=await store.validated_count(connection, since),
                completed_lately=sum(
                    count
                    for outcome, count in (await store.ended_counts(connection, since)).items()
                    if outcome in {Outcome.PROMOTED, Outcome.REVALIDATED}
                ),
                durations=await store.durations(connection, bounds_s),
            )

    def _new(
        self,
        strategy: registry_model.Strategy,
        options: Options,
        actor: str,
        retried: Deployment | None,
    ) -> Deployment:
        stages = self._defaults.stages
        return Deployment(
            pipeline_id=ids.new_id(ids.PIPELINE)
            if retried is None
            else ids.derived(ids.PIPELINE, f"{retried.pipeline_id}/{Verb.RETRY}"),
            strategy_id=strategy.strategy_id,
            strategy_name=strategy.content.strategy_name,
            options=options,
            stages=stages,
            left_out=tuple(each for each in pipeline_model.STAGES if each not in stages),
            requested_by=actor,
            created_at=self._clock.now(),
            revalidates=strategy.status in registry_model.LIVE,
        )

    async def _refuse_a_second(
        self, connection: AsyncConnection, strategy: registry_model.Strategy
    ) -> None:
        other = await store.open_of(connection, strategy.strategy_id)
        if other is not None:
            raise ConflictError(
                f"{strategy.strategy_id} is being deployed already, by {other.pipeline_id}"
                f" ({other.state}); follow that one, or wait for its end",
                pipeline_id=other.pipeline_id,
            )


async def refuse_while_deployed(connection: AsyncConnection, strategy_id: str) -> None:
    """Refuse to archive a version that a deployment still works with.

    Raises
    ------
    ConflictError
        If there is such a deployment; it is named.
    """
    deployment = await store.open_of(connection, strategy_id)
    if deployment is not None:
        raise ConflictError(
            f"{strategy_id} is being deployed by {deployment.pipeline_id} ({deployment.state});"
            " wait for its end, or reject it, before deleting the version",
            pipeline_id=deployment.pipeline_id,
        )
