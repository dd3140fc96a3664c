"""The durable workflows: the order of steps, and nothing else. The effects are in `service`.

Validation and rollout are two workflows on two queues, because one that waits for an approval
holds its place in its queue, and a pipeline must never wait behind that.
"""

import asyncio
import contextlib
from typing import Any

from dbos import DBOS, SetWorkflowID, StepOptions
from dbos import error as dbos_errors

from strategy_engine.infra import durable, logs
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.rollout.model import Deployment, State
from strategy_engine.rollout.steps import Steps

PIPELINES = "pipelines"
ROLLOUTS = "rollouts"
APPROVAL = "approval"
APPROVAL_REREAD_S = 86_400.0  # each look leaves two rows; the announcement wakes it at once
ROLLOUTS_AT_ONCE = 1_000
DATABASE_RETRY_S = 1.0
_PAST_VALIDATION = frozenset({State.AWAITING_APPROVAL, State.ROLLING_OUT})

_log = logs.get("rollout")


class Workflows:
    """Registers the two workflows; make it before the workflow engine is launched."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._is_launched = False

        # An approval may wait through any number of restarts, each of which is an attempt.
        @DBOS.workflow(name="validate", max_recovery_attempts=None)
        async def validate(pipeline_id: str) -> str:
            return await self._guarded(pipeline_id, self._validate)

        @DBOS.workflow(name="roll_out", max_recovery_attempts=None)
        async def roll_out(pipeline_id: str) -> str:
            return await self._guarded(pipeline_id, self._roll_out)

        self._validate_workflow = validate
        self._roll_out_workflow = roll_out

    async def register_queues(self, *, pipelines_at_once: int) -> None:
        """Say how many of each may run; call it once after launch."""
        await DBOS.register_queue_async(
            PIPELINES,
            worker_concurrency=pipelines_at_once,
            polling_interval_sec=durable.QUEUE_POLL_S,
            on_conflict="always_update",
        )
        await DBOS.register_queue_async(
            ROLLOUTS,
            worker_concurrency=ROLLOUTS_AT_ONCE,
            polling_interval_sec=durable.QUEUE_POLL_S,
            on_conflict="always_update",
        )
        self._is_launched = True

    async def enqueue(self, deployment: Deployment) -> None:
        """Start a deployment's pipeline; once, however often it is called."""
        if not self._is_launched:
            return  # whoever launches enqueues what is unfinished
        # The workflow's id is the deployment's, so that enqueueing twice starts it once.
        queue, workflow = PIPELINES, self._validate_workflow
        if deployment.state in _PAST_VALIDATION:
            queue, workflow = ROLLOUTS, self._roll_out_workflow
        with SetWorkflowID(_workflow_id(deployment)):
            await DBOS.enqueue_workflow_async(queue, workflow, deployment.pipeline_id)

    async def resume(self, deployment: Deployment) -> None:
        """See to it that a deployment of an engine that ended goes on.

        Its workflow does so by itself; one that never will is dropped, and begun anew: its steps
        find in the rows what is done already.
        """
        if not self._is_launched:
            return
        workflow_id = _workflow_id(deployment)
        for found in await DBOS.list_workflows_async(
            workflow_ids=[workflow_id], load_input=False, load_output=False
        ):
            version, executor = found.app_version, found.executor_id
            if durable.is_stranded(found.status, version, executor, here=DBOS.executor_id):
                _log.warning(
                    "workflow begun anew",
                    pipeline_id=deployment.pipeline_id,
                    status=found.status,
                    of_version=version,
                )
                await DBOS.delete_workflow_async(workflow_id)
        await self.enqueue(deployment)

    async def announce(self, pipeline_id: str) -> None:
        """Wake a deployment that waits for an answer."""
        if not self._is_launched:
            return
        # A rollout that is not enqueued yet reads its answer before it waits for one.
        with contextlib.suppress(dbos_errors.DBOSNonExistentWorkflowError):
            await DBOS.send_async(_rollout_id(pipeline_id), "answered", topic=APPROVAL)

    async def _validate(self, pipeline_id: str) -> str:
        failed, why, engines_fault = None, "", False
        for stage in await self._step("begin", self._steps.begin, pipeline_id):
            verdict = await self._step(stage, self._steps.run_stage, pipeline_id, stage)
            if not verdict["passed"]:
                failed, why = stage, verdict["message"]
                engines_fault = verdict.get("engines_fault", False)
                break
        state: str = await self._step(
            "finish",
            self._steps.finish_validation,
            pipeline_id,
            failed,
            why,
            engines_fault=engines_fault,
        )
        if state in {State.AWAITING_APPROVAL, State.ROLLING_OUT}:
            with SetWorkflowID(_rollout_id(pipeline_id)):
                await DBOS.enqueue_workflow_async(ROLLOUTS, self._roll_out_workflow, pipeline_id)
        return state

    async def _roll_out(self, pipeline_id: str) -> str:
        state: str = await self._step("state", self._steps.state, pipeline_id)
        if state == State.AWAITING_APPROVAL:
            await self._wait_for_approval(pipeline_id)
            state = await self._step("answer", self._steps.after_approval, pipeline_id)
        if state == State.ROLLING_OUT:
            state = await self._step("roll_out", self._steps.roll_out, pipeline_id)
        return state

    async def _wait_for_approval(self, pipeline_id: str) -> None:
        while not await self._step("approval", self._steps.is_answered, pipeline_id):
            await DBOS.recv_async(APPROVAL, timeout_seconds=APPROVAL_REREAD_S)

    async def _step(self, name: str, effect: Any, *arguments: Any, **named: Any) -> Any:
        async def patient() -> Any:
            while True:
                try:
                    return await effect(*arguments, **named)
                except DatabaseAwayError as error:  # each effect may be repeated
                    _log.warning("step waits", step=name, why=str(error))
                await asyncio.sleep(DATABASE_RETRY_S)

        return await DBOS.run_step_async(StepOptions(name=name), patient)

    async def _guarded(self, pipeline_id: str, body: Any) -> str:
        try:
            state: str = await body(pipeline_id)
        except Exception as error:  # a process edge: what is not foreseen must end, visibly
            _log.exception("pipeline broke", pipeline_id=pipeline_id)
            await self._step("fail", self._steps.fail, pipeline_id, f"the engine failed: {error!r}")
            raise
        return state


def _workflow_id(deployment: Deployment) -> str:
    is_past = deployment.state in _PAST_VALIDATION
    return _rollout_id(deployment.pipeline_id) if is_past else deployment.pipeline_id


def _rollout_id(pipeline_id: str) -> str:
    return f"{pipeline_id}-rollout"
