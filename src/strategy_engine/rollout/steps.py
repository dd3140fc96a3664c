"""What the steps of the durable workflows do: each may be repeated after a crash."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any

from strategy_engine.core.errors import InvalidError
from strategy_engine.infra import audit
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.pipeline import model as pipeline_model
from strategy_engine.pipeline.service import Pipeline
from strategy_engine.registry import model as registry_model
from strategy_engine.rollout import plans
from strategy_engine.rollout.controller import Controller
from strategy_engine.rollout.journal import Journal
from strategy_engine.rollout.line import Line
from strategy_engine.rollout.model import (
    ENDED,
    Defaults,
    Deployment,
    Outcome,
    State,
    Trigger,
)

TURN_S = 0.5
WATCH_S = 0.25  # between two looks whether somebody has ended what is validated
ROLLOUT = "rollout"  # what `current_stage` says until the plan's first step


class Steps:
    """The effects of a deployment's steps, in the order that its workflows call them."""

    def __init__(
        self,
        *,
        journal: Journal,
        pipeline: Pipeline,
        line: Line,
        controller: Controller,
        defaults: Defaults,
        end_run: Callable[[str], Awaitable[None]],
    ) -> None:
        self._journal = journal
        self._registry = journal.registry
        self._clock = journal.clock
        self._pipeline = pipeline
        self._line = line
        self._controller = controller
        self._defaults = defaults
        self._end_run = end_run

    async def begin(self, pipeline_id: str) -> list[str]:
        """Mark the pipeline as running and return its stages."""
        deployment = await self._journal.change(
            pipeline_id,
            Trigger.BEGIN,
            started_at=self._clock.now(),
            node_id=self._journal.node_id,
            only_from={State.QUEUED},
        )
        return list(deployment.stages)

    async def run_stage(self, pipeline_id: str, stage: str) -> dict[str, Any]:
        """Run one stage and return its verdict; its evidence is saved with it.

        It stops soon, with all that it runs, where somebody ends the deployment meanwhile.
        """
        deployment = await self._journal.change(
            pipeline_id, None, current_stage=stage, only_from={State.RUNNING}
        )
        result = None
        if deployment.state is State.RUNNING:
            result = await self._unless_ended(pipeline_id, self._examine(deployment, stage))
        if result is None:
            await self._end_run(f"{pipeline_id}/{stage}")  # of an engine before this one, too
            return {"passed": False, "message": "its deployment has ended"}
        return {
            "passed": result.passed,
            "message": result.message,
            "verdict": result.verdict.value,
            "engines_fault": result.is_engines_fault,
        }

    async def _examine(self, deployment: Deployment, stage: str) -> pipeline_model.StageResult:
        strategy = await self._registry.get(deployment.strategy_id)
        options = deployment.options
        return await self._pipeline.run_stage(
            deployment.pipeline_id,
            strategy,
            stage,
            pipeline_model.Request(
                duration_days=options.duration_days,
                validation_criteria=options.validation_criteria,
                validation_profile=options.validation_profile,
            ),
        )

    async def _unless_ended[T](self, pipeline_id: str, work: Coroutine[Any, Any, T]) -> T | None:
        """Return what some work comes to; None if its deployment ends first, and with it the work.

        Whatever the work has started has ended when this returns.
        """
        working = asyncio.create_task(work)
        watching = asyncio.create_task(self._ended(pipeline_id))
        try:
            await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return await working
            await watching  # it may have come to grief, which says nothing of the deployment
            return None
        finally:
            working.cancel()
            watching.cancel()
            await asyncio.wait({working, watching})

    async def _ended(self, pipeline_id: str) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            with contextlib.suppress(DatabaseAwayError):  # whether it has is looked up again
                if await self.state(pipeline_id) != State.RUNNING:
                    return

    async def finish_validation(
        self, pipeline_id: str, failed_stage: str | None, why: str, *, engines_fault: bool = False
    ) -> str:
        """Record what the pipeline found: the version is approved, or back to draft.

        Where it came to nothing for want of the engine, nothing was found: it is aborted.
        """
        deployment = await self._journal.get(pipeline_id)
        if deployment.state is not State.RUNNING:
            return deployment.state.value
        now = self._clock.now()
        if failed_stage is not None:
            outcome = Outcome.ABORTED if engines_fault else Outcome.REJECTED
            return await self._turn_down(deployment, outcome, f"{failed_stage}: {why}")
        trigger = Trigger.ROLL_OUT
        fields: dict[str, Any] = {"validated_at": now, "current_stage": ROLLOUT}
        if deployment.revalidates:
            trigger = Trigger.COMPLETE
            fields |= {"outcome": Outcome.REVALIDATED, "ended_at": now, "current_stage": None}
            fields["message"] = "passed again; its state and its capital were not touched"
        elif deployment.options.approval_required or self._defaults.approval_required:
            trigger = Trigger.ASK
            fields["current_stage"] = "approval"
            fields["message"] = "passed; waits for POST /deployments/{pipeline_id}/approve"
        moved = await self._journal.move_both(
            deployment,
            trigger,
            None if deployment.revalidates else registry_model.Trigger.APPROVE,
            fields,
        )
        return moved.state.value

    async def state(self, pipeline_id: str) -> str:
        """Return where a deployment is."""
        return (await self._journal.get(pipeline_id)).state.value

    async def is_answered(self, pipeline_id: str) -> bool:
        """Say whether a person has approved or rejected it, or ended it."""
        found = await self._journal.get(pipeline_id)
        return found.approval is not None or found.state is not State.AWAITING_APPROVAL

    async def after_approval(self, pipeline_id: str) -> str:
        """Go on, or end as rejected; the version stays approved by its pipeline."""
        deployment = await self._journal.get(pipeline_id)
        approval = deployment.approval
        if deployment.state is not State.AWAITING_APPROVAL or approval is None:
            return deployment.state.value
        if approval.approved:
            moved = await self._journal.change(
                pipeline_id,
                Trigger.ROLL_OUT,
                only_from={State.AWAITING_APPROVAL},
                message="approved",
                actor=approval.actor,
                current_stage=ROLLOUT,
            )
        else:
            why = f"rejected by {approval.actor}"
            moved = await self._journal.change(
                pipeline_id,
                Trigger.FAIL,
                only_from={State.AWAITING_APPROVAL},
                actor=approval.actor,
                outcome=Outcome.REJECTED,
                message=f"{why}: {approval.comment}" if approval.comment else why,
                ended_at=self._clock.now(),
                current_stage=None,
            )
        return moved.state.value

    async def roll_out(self, pipeline_id: str) -> str:
        """Carry out the plan; every step may have happened before a crash."""
        deployment = await self._journal.get(pipeline_id)
        if deployment.state is not State.ROLLING_OUT:
            return deployment.state.value
        if not deployment.plan:
            deployment = await self._plan(deployment)
        if deployment.replaces:
            return await self._controller.run(pipeline_id)
        return await self._place(deployment)

    async def _plan(self, deployment: Deployment) -> Deployment:
        """Plan when it is its turn: one rollout at a time moves a line's capital."""
        pipeline_id = deployment.pipeline_id
        while (before := await self._journal.before_in_line(deployment)) is not None:
            waits = f"waits for {before}, which rolls out on the same line"
            deployment = await self._journal.change(pipeline_id, None, message=waits)
            if deployment.progress.undo is not None:
                break
            await asyncio.sleep(TURN_S)
        if deployment.progress.undo is not None:  # somebody wants it no more; nothing was begun
            await self._journal.undone(deployment, Outcome.ABORTED, "; it had not begun")
            return await self._journal.get(pipeline_id)
        strategy = await self._registry.get(deployment.strategy_id)
        try:
            plan, replaces = await self._line.plan(strategy, deployment.options)
            notice = await self._line.notice(strategy)
        except InvalidError as error:  # the line is another than when it was asked for
            return await self._journal.change(
                pipeline_id,
                Trigger.FAIL,
                outcome=Outcome.ABORTED,
                message=str(error),
                ended_at=self._clock.now(),
                current_stage=None,
            )
        plain = tuple(plans.to_plain(plan))
        return await self._journal.revise(
            pipeline_id,
            lambda now: replace(now, plan=plain, replaces=replaces, message=notice),
            action="plan" if notice else None,
            details={"message": notice, "replaces": list(replaces)},
        )

    async def _place(self, deployment: Deployment) -> str:
        """With nothing running on the line the version waits to be started."""
        if deployment.state is not State.ROLLING_OUT:
            return deployment.state.value
        current = await self._registry.get(deployment.strategy_id)
        if current.status is registry_model.Status.APPROVED:
            await self._registry.move(
                deployment.strategy_id,
                registry_model.Trigger.DEPLOY,
                actor=audit.ENGINE,
                why=deployment.pipeline_id,
            )
        moved = await self._journal.change(
            deployment.pipeline_id,
            Trigger.COMPLETE,
            outcome=Outcome.PROMOTED,
            message="deployed; POST /strategies/{strategy_id}/start starts it",
            current_stage=None,
            ended_at=self._clock.now(),
        )
        return moved.state.value

    async def fail(self, pipeline_id: str, why: str) -> None:
        """End a deployment that the engine itself could not carry on."""
        deployment = await self._journal.get(pipeline_id)
        if deployment.state in ENDED:
            return
        trigger = registry_model.Trigger.FAIL if deployment.is_testing else None
        await self._journal.move_both(
            deployment,
            Trigger.FAIL,
            trigger,
            {"outcome": Outcome.ABORTED, "message": why, "ended_at": self._clock.now()},
        )

    async def _turn_down(self, deployment: Deployment, outcome: Outcome, why: str) -> str:
        now = self._clock.now()
        fields = {"outcome": outcome, "message": why, "ended_at": now}
        if outcome is Outcome.REJECTED:
            fields["validated_at"] = now
        moved = await self._journal.move_both(
            deployment,
            Trigger.FAIL,
            None if deployment.revalidates else registry_model.Trigger.FAIL,
            fields,
        )
        return moved.state.value
