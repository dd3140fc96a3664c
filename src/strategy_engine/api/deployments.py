"""HTTP door to deployments: follow and answer them."""

from typing import Annotated

from fastapi import APIRouter, Query

from strategy_engine.access.model import Principal
from strategy_engine.api import answers, doors, models, openapi, views
from strategy_engine.api.services import Services
from strategy_engine.rollout.model import State

router = APIRouter(prefix="/deployments", tags=["deployments"], dependencies=[doors.bearer])


@router.get("", summary="List deployments", responses=openapi.errors(422))
async def page(
    given: doors.Given,
    status: Annotated[State | None, Query(description="Only those in this state.")] = None,
    strategy_id: doors.StrategyFilter = None,
    limit: doors.Limit = 50,
    offset: doors.Offset = 0,
) -> answers.Deployments:
    """Return deployments, newest first, without the results of their stages."""
    found, total = await given.rollouts.page(
        state=status, strategy_id=strategy_id, limit=limit, offset=offset
    )
    return answers.Deployments(
        deployments=[views.deployment_summary(each) for each in found],
        count=len(found),
        total=total,
        limit=limit,
        offset=offset,
    )


@router.get("/{pipeline_id}", summary="Read a deployment", responses=openapi.errors(404, 422))
async def get(pipeline_id: doors.PipelineId, given: doors.Given) -> answers.Deployment:
    """Return a deployment whole: its options, its approval, and all that its stages measured."""
    return views.deployment(await given.rollouts.follow(pipeline_id))


@router.get(
    "/{pipeline_id}/status", summary="Follow a deployment", responses=openapi.errors(404, 422)
)
async def status(pipeline_id: doors.PipelineId, given: doors.Given) -> answers.DeploymentStatus:
    """Return where a deployment is and the headlines of its finished stages.

    `completed` and `failed` are its only ends; `outcome` and `message` say more.
    """
    return views.deployment_status(await given.rollouts.follow(pipeline_id))


@router.post(
    "/{pipeline_id}/approve",
    summary="Approve a deployment",
    responses=openapi.errors(404, 409, body=True),
)
async def approve(
    pipeline_id: doors.PipelineId,
    given: doors.Given,
    asker: doors.Asker,
    body: models.Approval | None = None,
) -> answers.Answered:
    """Let a deployment go on that waits for approval; the same answer again is no error."""
    return await _answer(given, pipeline_id, approved=True, asker=asker, body=body)


@router.post(
    "/{pipeline_id}/reject",
    summary="Reject a deployment",
    responses=openapi.errors(404, 409, body=True),
)
async def reject(
    pipeline_id: doors.PipelineId,
    given: doors.Given,
    asker: doors.Asker,
    body: models.Approval | None = None,
) -> answers.Answered:
    """End a deployment that waits for approval; the same answer again is no error."""
    return await _answer(given, pipeline_id, approved=False, asker=asker, body=body)


async def _answer(
    given: Services,
    pipeline_id: str,
    *,
    approved: bool,
    asker: Principal,
    body: models.Approval | None,
) -> answers.Answered:
    comment = body.comment if body else ""
    deployment = await given.rollouts.answer(
        pipeline_id,
        approved=approved,
        actor=asker.name,
        comment=comment,
        is_local=asker.is_local,
    )
    return answers.Answered(
        status="approved" if approved else "rejected",
        pipeline_id=deployment.pipeline_id,
        strategy_id=deployment.strategy_id,
        deployment_status=deployment.state.value,
    )
