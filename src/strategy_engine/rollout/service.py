"""The shell around deployments: request, follow, approve; and the effects of each step."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core import ids
from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import ConflictError, EngineError, NotFoundError
from strategy_engine.infra import audit
from strategy_engine.infra.database import Database
from strategy_engine.pipeline import model as pipeline_model
from strategy_engine.pipeline.service import Pipeline
from strategy_engine.registry import model as registry_model
from strategy_engine.registry import service as registry_service
from strategy_engine.registry.service import Registry
from strategy_engine.rollout import plans, store
from strategy_engine.rollout.handover import Line
from strategy_engine.rollout.model import (
    ENDED,
    Approval,
    Deployment,
    Options,
    Outcome,
    State,
    Trigger,
)

SUBJECT = "deployment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What the settings say about every deployment."""

    stages: tuple[str, ...]
    approval_required: bool
    auto_rollback: bool


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


type Enqueue = Callable[[Deployment], Awaitable[None]]


class Rollouts:
    """Deployments as doors and workflows see them. One instance a control process."""

    def __init__(
        self,
        *,
        database: Database,
        registry: Registry,
        pipeline: Pipeline,
        line: Line,
        clock: Clock,
        defaults: Defaults,
    ) -> None:
        self._database = database
        self._registry = registry
        self._pipeline = pipeline
        self._line = line
        self._clock = clock
        self._defaults = defaults
        self._enqueue: Enqueue | None = None
        self._announce_approval: Callable[[str], Awaitable[None]] | None = None

    def connect(self, enqueue: Enqueue, announce: Callable[[str], Awaitable[None]]) -> None:
        """Attach the durable workflows; they need this service first, so they come second."""
        self._enqueue = enqueue
        self._announce_approval = announce

    async def request(self, strategy_id: str, options: Options, *, actor: str) -> Deployment:
        """Accept a deployment, durably, and start its pipeline.

        Raises
        ------
        NotFoundError, IllegalTransitionError
            If the version does not exist, or is in a state that cannot be deployed.
        InvalidError, NotBuiltError
            If an option makes no sense, or asks for what does not exist yet.
        """
        pipeline_model.criteria(options.validation_criteria, options.validation_profile)
        await self._plan(await self._registry.get(strategy_id), options)  # refuses early
        async with self._database.write() as connection:
            strategy = await registry_service.load(connection, strategy_id)
            await self._refuse_a_second(connection, strategy)
            deployment = self._new(strategy, options, actor)
            if not deployment.revalidates:
                await self._registry.move_in(
                    connection,
                    strategy_id,
                    registry_model.Trigger.VALIDATE,
                    actor=actor,
                    why=deployment.pipeline_id,
                )
            await store.insert(connection, deployment)
            await self._audit(connection, deployment, actor=actor, action="request")
        await self._hand_to_workflow(deployment)
        return deployment

    async def resume_unstarted(self) -> None:
        """Do again what may have been saved but not handed on when the process died."""
        async with self._database.read() as connection:
            waiting = await store.unfinished(connection)
        for deployment in waiting:
            await self._hand_to_workflow(deployment)
            if deployment.approval is not None:
                await self._announce(deployment.pipeline_id)

    async def get(self, pipeline_id: str) -> Deployment:
        """Return one deployment.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        async with self._database.read() as connection:
            return await _load(connection, pipeline_id)

    async def follow(self, pipeline_id: str) -> Followed:
        """Return a deployment with the results of its stages so far."""
        deployment = await self.get(pipeline_id)
        results = await self._pipeline.results(pipeline_id)
        return Followed(deployment=deployment, results=results)

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

    async def answer(
        self, pipeline_id: str, *, approved: bool, actor: str, comment: str
    ) -> Deployment:
        """Approve or reject a deployment that waits for it; the same answer again is no error.

        Raises
        ------
        ConflictError
            If it does not wait for an answer, or has the other one already.
        """
        async with self._database.write() as connection:
            deployment = await _load(connection, pipeline_id)
            if deployment.approval is not None and deployment.approval.approved == approved:
                return deployment
            if deployment.approval is not None or deployment.state is not State.AWAITING_APPROVAL:
                raise ConflictError(
                    f"{pipeline_id} is {deployment.state}"
                    + (" and has its answer already" if deployment.approval else "")
                    + "; only a deployment that is awaiting_approval can be answered",
                    state=deployment.state.value,
                    accepted=[State.AWAITING_APPROVAL.value],
                )
            approval = Approval(
                approved=approved, actor=actor, comment=comment, at=self._clock.now()
            )
            deployment = replace(deployment, approval=approval)
            await store.update(connection, deployment)
            await self._audit(
                connection,
                deployment,
                actor=actor,
                action="approve" if approved else "reject",
                details={"comment": comment},
            )
        await self._announce(pipeline_id)
        return deployment

    # --- effects of workflow steps: each may be repeated after a crash ---

    async def begin(self, pipeline_id: str) -> list[str]:
        """Mark the pipeline as running and return its stages."""
        deployment = await self._change(
            pipeline_id, Trigger.BEGIN, started_at=self._clock.now(), only_from={State.QUEUED}
        )
        return list(deployment.stages)

    async def run_stage(self, pipeline_id: str, stage: str) -> dict[str, Any]:
        """Run one stage and return its verdict; its evidence is saved with it."""
        async with self._database.write() as connection:
            deployment = await _load(connection, pipeline_id)
            await store.update(connection, replace(deployment, current_stage=stage))
        strategy = await self._registry.get(deployment.strategy_id)
        result = await self._pipeline.run_stage(
            pipeline_id,
            strategy,
            stage,
            pipeline_model.Request(
                validation_criteria=deployment.options.validation_criteria,
                validation_profile=deployment.options.validation_profile,
            ),
        )
        return {"passed": result.passed, "message": result.message}

    async def finish_validation(self, pipeline_id: str, failed_stage: str | None, why: str) -> str:
        """Record what the pipeline found: the version is approved, or back to draft."""
        deployment = await self.get(pipeline_id)
        if deployment.state is not State.RUNNING:
            return deployment.state.value
        now = self._clock.now()
        if failed_stage is not None:
            return await self._reject(deployment, f"{failed_stage}: {why}")
        trigger = Trigger.ROLL_OUT
        fields: dict[str, Any] = {"validated_at": now, "current_stage": None}
        if deployment.revalidates:
            trigger = Trigger.COMPLETE
            fields |= {"outcome": Outcome.REVALIDATED, "ended_at": now}
            fields["message"] = "passed again; its state and its capital were not touched"
        elif deployment.options.approval_required or self._defaults.approval_required:
            trigger = Trigger.ASK
            fields["current_stage"] = "approval"
            fields["message"] = "passed; waits for POST /deployments/{pipeline_id}/approve"
        moved = await self._move_both(
            deployment,
            trigger,
            None if deployment.revalidates else registry_model.Trigger.APPROVE,
            fields,
        )
        return moved.state.value

    async def approval_of(self, pipeline_id: str) -> bool | None:
        """Return the answer that a deployment has got, or None."""
        approval = (await self.get(pipeline_id)).approval
        return None if approval is None else approval.approved

    async def after_approval(self, pipeline_id: str, *, approved: bool) -> str:
        """Go on, or end as rejected; the version stays approved by its pipeline."""
        deployment = await self.get(pipeline_id)
        if deployment.state is not State.AWAITING_APPROVAL:
            return deployment.state.value
        who = deployment.approval.actor if deployment.approval else audit.ENGINE
        if approved:
            moved = await self._change(pipeline_id, Trigger.ROLL_OUT, message="approved", actor=who)
        else:
            comment = deployment.approval.comment if deployment.approval else ""
            moved = await self._change(
                pipeline_id,
                Trigger.FAIL,
                actor=who,
                outcome=Outcome.REJECTED,
                message=f"rejected by {who}" + (f": {comment}" if comment else ""),
                ended_at=self._clock.now(),
                current_stage=None,
            )
        return moved.state.value

    async def roll_out(self, pipeline_id: str) -> str:
        """Carry out the plan; every step may have happened before a crash."""
        deployment = await self.get(pipeline_id)
        if deployment.state is not State.ROLLING_OUT:
            return deployment.state.value
        strategy = await self._registry.get(deployment.strategy_id)
        try:
            if not deployment.plan:
                plan, replaces = await self._plan(strategy, deployment.options)
                deployment = await self._change(pipeline_id, None, plan=plan, replaces=replaces)
            for step in map(plans.Step, deployment.plan):
                await self._change(pipeline_id, None, current_stage=step.value)
                await self._line.do(step, strategy, deployment)
        except EngineError as error:
            return await self._roll_back(deployment, strategy, str(error))
        moved = await self._change(
            pipeline_id,
            Trigger.COMPLETE,
            outcome=Outcome.PROMOTED,
            message="running with the line's capital"
            if plans.Step.START in deployment.plan
            else "deployed; POST /strategies/{strategy_id}/start starts it",
            current_stage=None,
            ended_at=self._clock.now(),
        )
        return moved.state.value

    async def fail(self, pipeline_id: str, why: str) -> None:
        """End a deployment that the engine itself could not carry on."""
        deployment = await self.get(pipeline_id)
        if deployment.state in ENDED:
            return
        trigger = (
            registry_model.Trigger.FAIL
            if deployment.state in {State.QUEUED, State.RUNNING} and not deployment.revalidates
            else None
        )
        await self._move_both(
            deployment,
            Trigger.FAIL,
            trigger,
            {"outcome": Outcome.ABORTED, "message": why, "ended_at": self._clock.now()},
        )

    async def _roll_back(
        self, deployment: Deployment, strategy: registry_model.Strategy, why: str
    ) -> str:
        restore = self._defaults.auto_rollback and deployment.options.rollback_on_failure
        restored = await self._line.restore(strategy, deployment) if restore else False
        moved = await self._change(
            deployment.pipeline_id,
            Trigger.FAIL,
            outcome=Outcome.ROLLED_BACK if restored else Outcome.ABORTED,
            message=why + ("; the version before it runs again" if restored else ""),
            ended_at=self._clock.now(),
        )
        return moved.state.value

    async def _reject(self, deployment: Deployment, why: str) -> str:
        now = self._clock.now()
        moved = await self._move_both(
            deployment,
            Trigger.FAIL,
            None if deployment.revalidates else registry_model.Trigger.FAIL,
            {"outcome": Outcome.REJECTED, "message": why, "validated_at": now, "ended_at": now},
        )
        return moved.state.value

    async def _move_both(
        self,
        deployment: Deployment,
        trigger: Trigger,
        version: registry_model.Trigger | None,
        fields: dict[str, Any],
    ) -> Deployment:
        async with self._database.write() as connection:
            moved = replace((await _load(connection, deployment.pipeline_id)).on(trigger), **fields)
            await store.update(connection, moved)
            if version is not None:
                await self._registry.move_in(
                    connection,
                    deployment.strategy_id,
                    version,
                    actor=audit.ENGINE,
                    why=deployment.pipeline_id,
                )
            await self._audit(
                connection,
                moved,
                actor=audit.ENGINE,
                action=trigger.value,
                before=deployment.state,
            )
        return moved

    async def _change(
        self,
        pipeline_id: str,
        trigger: Trigger | None,
        *,
        actor: str = audit.ENGINE,
        only_from: set[State] | None = None,
        **fields: Any,
    ) -> Deployment:
        async with self._database.write() as connection:
            before = await _load(connection, pipeline_id)
            if only_from is not None and before.state not in only_from:
                return before
            moved = replace(before if trigger is None else before.on(trigger), **fields)
            await store.update(connection, moved)
            if trigger is not None:
                await self._audit(
                    connection, moved, actor=actor, action=trigger.value, before=before.state
                )
        return moved

    async def _announce(self, pipeline_id: str) -> None:
        if self._announce_approval is None:
            raise RuntimeError("an answer came before the workflows were connected")
        await self._announce_approval(pipeline_id)

    async def _hand_to_workflow(self, deployment: Deployment) -> None:
        if self._enqueue is None:
            raise RuntimeError("deployments were requested before the workflows were connected")
        await self._enqueue(deployment)

    async def _plan(
        self, strategy: registry_model.Strategy, options: Options
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        others: list[str] = []
        if strategy.status not in registry_model.LIVE:
            others = [each.execution_id for each in await self._line.others_at_work(strategy)]
        return plans.plan(options.deployment_type, replaces=bool(others)), tuple(others)

    def _new(self, strategy: registry_model.Strategy, options: Options, actor: str) -> Deployment:
        stages = self._defaults.stages
        return Deployment(
            pipeline_id=ids.new_id(ids.PIPELINE),
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

    async def _audit(
        self,
        connection: AsyncConnection,
        deployment: Deployment,
        *,
        actor: str,
        action: str,
        before: State | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        await audit.record(
            connection,
            audit.Entry(
                at=self._clock.now(),
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


async def _load(connection: AsyncConnection, pipeline_id: str) -> Deployment:
    deployment = await store.get(connection, pipeline_id)
    if deployment is None:
        raise NotFoundError(
            f"no deployment {pipeline_id[:60]!r}; GET /deployments lists those that exist",
            field="pipeline_id",
            value=pipeline_id[:60],
        )
    return deployment
