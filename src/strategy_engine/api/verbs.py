"""HTTP door to what people do to deployments."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from strategy_engine.api import doors, models, openapi, rollout_views, rollouts
from strategy_engine.rollout.verbs import Asked, Verb

router = APIRouter(prefix="/deployments", tags=["deployments"], dependencies=[doors.bearer])

_ERRORS = openapi.errors(404, 409, body=True)
_DryRun = Annotated[
    bool, Query(description="Do nothing, but tell what it would do to positions and orders.")
]


class Door:
    """One request: whose, and what is said with it."""

    def __init__(
        self,
        given: doors.Given,
        asker: doors.Asker,
        body: models.Said | None = None,
        *,
        dry_run: _DryRun = False,
    ) -> None:
        said = body or models.Said()
        self._given = given
        self._dry_run = dry_run
        self._asked = Asked(
            actor=asker.name,
            now=given.clock.now(),
            comment=said.comment,
            is_local=asker.is_local,
            step=said.step,
        )

    async def do(self, pipeline_id: str, verb: Verb) -> rollouts.Acted:
        """Carry the verb out, or tell what it would do."""
        found = await self._given.rollouts.act(
            pipeline_id, verb, self._asked, dry_run=self._dry_run
        )
        return rollout_views.acted(verb, found)


Opened = Annotated[Door, Depends()]


@router.post("/{pipeline_id}/approve", summary="Approve a deployment", responses=_ERRORS)
async def approve(pipeline_id: doors.PipelineId, door: Opened) -> rollouts.Acted:
    """Let a deployment go on that waits for a person: after its validation, or at a step.

    Who asked for it does not approve it, where keys are in use. The same answer again is no error.
    """
    return await door.do(pipeline_id, Verb.APPROVE)


@router.post("/{pipeline_id}/reject", summary="Reject a deployment", responses=_ERRORS)
async def reject(pipeline_id: doors.PipelineId, door: Opened) -> rollouts.Acted:
    """End a deployment that waits for a person; at a step of its rollout it is undone."""
    return await door.do(pipeline_id, Verb.REJECT)


@router.post("/{pipeline_id}/promote", summary="Promote a step", responses=_ERRORS)
async def promote(pipeline_id: doors.PipelineId, door: Opened) -> rollouts.Acted:
    """End the step without its gate, and lift its hold. What does harm is undone all the same."""
    return await door.do(pipeline_id, Verb.PROMOTE)


@router.post("/{pipeline_id}/promote-full", summary="Promote to the whole", responses=_ERRORS)
async def promote_full(pipeline_id: doors.PipelineId, door: Opened) -> rollouts.Acted:
    """Leave out every step before the switch; a rolling one goes on without its gates.

    An approval that nobody has given is not passed by, and nothing gets capital before it is READY.
    """
    return await door.do(pipeline_id, Verb.PROMOTE_FULL)


@router.post("/{pipeline_id}/skip-step", summary="Leave out a step", responses=_ERRORS)
async def skip_step(pipeline_id: doors.PipelineId, door: Opened) -> rollouts.Acted:
    """Begin the next step at once; READY, approvals, switches and handovers are never left out."""
    return await door.do(pipeline_id, Verb.SKIP_STEP)


@router.post("/{pipeline_id}/pause", summary="Hold a rollout", responses=_ERRORS)
async def pause(pipeline_id: doors.PipelineId, door: Opened) -> rollouts.Acted:
    """Hold a rollout at its step until it is resumed. What does harm is undone all the same."""
    return await door.do(pipeline_id, Verb.PAUSE)


@router.post("/{pipeline_id}/resume", summary="Go on with a rollout", responses=_ERRORS)
async def resume(pipeline_id: doors.PipelineId, door: Opened) -> rollouts.Acted:
    """Lift a hold, a person's or the engine's; the step's deadlines begin anew."""
    return await door.do(pipeline_id, Verb.RESUME)


@router.post("/{pipeline_id}/abort", summary="Abort a rollout", responses=_ERRORS)
async def abort(pipeline_id: doors.PipelineId, door: Opened) -> rollouts.Acted:
    """Give the line back to the version before, and close what the new one holds."""
    return await door.do(pipeline_id, Verb.ABORT)


@router.post("/{pipeline_id}/rollback", summary="Roll a deployment back", responses=_ERRORS)
async def rollback(pipeline_id: doors.PipelineId, door: Opened) -> rollouts.Acted:
    """Give the line back to the version before: while it rolls out, or after it was completed.

    After its end it is possible while the version before is warm or can be started again, and
    nothing else has taken capital of the line since.
    """
    return await door.do(pipeline_id, Verb.ROLLBACK)


@router.post("/{pipeline_id}/retry", summary="Deploy again", responses=_ERRORS)
async def retry(pipeline_id: doors.PipelineId, door: Opened) -> rollouts.Acted:
    """Deploy the version of a failed or rolled back deployment anew, with the same options.

    It answers the new deployment; asked again, the same one.
    """
    return await door.do(pipeline_id, Verb.RETRY)
