"""HTTP door to strategies: register, read, edit, archive, test and deploy them."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from strategy_engine.api import answers, doors, models, openapi, views
from strategy_engine.pipeline.model import Request
from strategy_engine.registry.model import Content, Status, Trigger

router = APIRouter(prefix="/strategies", tags=["strategies"], dependencies=[doors.bearer])

_EXISTS: openapi.Responses = {
    200: {"model": answers.Created, "description": "The same content was registered before."}
}


@router.post(
    "",
    status_code=201,
    summary="Register a strategy version",
    responses=_EXISTS | openapi.errors(409, body=True),
)
async def create(
    body: models.CreateStrategy, given: doors.Given, actor: doors.Actor, response: Response
) -> answers.Created:
    """Register an immutable version as a draft.

    The same name and version with the same content answers the id it has; with other content it is
    refused.
    """
    content = Content(**body.model_dump())
    strategy, is_new = await given.registry.create(content, actor=actor)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/strategies/{strategy.strategy_id}"
    return answers.Created(
        status="created" if is_new else "exists",
        strategy_id=strategy.strategy_id,
        strategy_name=strategy.content.strategy_name,
        version=strategy.content.version,
    )


@router.get("", summary="List strategy versions", responses=openapi.errors(422))
async def page(
    given: doors.Given,
    status: Annotated[Status | None, Query(description="Only those in this state.")] = None,
    name: Annotated[
        str | None,
        Query(
            max_length=100,
            pattern=doors.NOT_NUL,
            description="Only those whose name holds this.",
        ),
    ] = None,
    limit: doors.Limit = 50,
    offset: doors.Offset = 0,
) -> answers.Strategies:
    """Return versions that are not archived, newest first, without their source."""
    found = await given.registry.page(status=status, name=name, limit=limit, offset=offset)
    return answers.Strategies(
        strategies=[views.strategy_summary(each) for each in found.strategies],
        count=len(found.strategies),
        total=found.total,
        limit=limit,
        offset=offset,
    )


@router.get("/{strategy_id}", summary="Read a strategy version", responses=openapi.errors(404, 422))
async def get(strategy_id: doors.StrategyId, given: doors.Given) -> answers.Strategy:
    """Return a version whole: code, parameters, risk limits and tests."""
    return views.strategy(await given.registry.get(strategy_id))


@router.get(
    "/{strategy_id}/history",
    summary="Read what was done to a version",
    responses=openapi.errors(404, 422),
)
async def history(strategy_id: doors.StrategyId, given: doors.Given) -> answers.History:
    """Return the audit rows of a version, oldest first: who, what, from and to which state."""
    entries = await given.registry.history(strategy_id)
    return answers.History(
        strategy_id=strategy_id,
        history=[answers.HistoryEntry.model_validate(each) for each in entries],
        count=len(entries),
    )


@router.put("/{strategy_id}", summary="Edit a draft", responses=openapi.errors(404, 409, body=True))
async def edit(
    strategy_id: doors.StrategyId,
    body: models.UpdateStrategy,
    given: doors.Given,
    actor: doors.Actor,
) -> answers.Changed:
    """Replace parts of a draft's content; what has been tested is immutable."""
    edited = await given.registry.edit(strategy_id, body.changes(), actor=actor)
    return views.changed("updated", edited)


@router.delete(
    "/{strategy_id}", summary="Archive a version", responses=openapi.errors(404, 409, 422)
)
async def archive(
    strategy_id: doors.StrategyId, given: doors.Given, actor: doors.Actor
) -> answers.Changed:
    """Take a version out of sight; its record stays. Refused while it runs or is tested."""
    archived = await given.registry.archive(strategy_id, actor=actor)
    return views.changed("archived", archived)


@router.post(
    "/{strategy_id}/reset",
    summary="Reset a version after an error",
    responses=openapi.errors(404, 409, 422),
)
async def reset(
    strategy_id: doors.StrategyId, given: doors.Given, actor: doors.Actor
) -> answers.Changed:
    """Take a version from error back to draft."""
    strategy = await given.registry.move(strategy_id, Trigger.RESET, actor=actor)
    return views.changed("reset", strategy)


@router.post(
    "/{strategy_id}/test",
    summary="Run one validation stage",
    responses=openapi.errors(404, 501, body=True),
)
async def run_stage(
    strategy_id: doors.StrategyId, given: doors.Given, body: models.Test | None = None
) -> answers.Tested:
    """Run a stage by itself and wait for its result; the version's state does not change.

    Without a body it is the syntax check. A strategy that does not pass is a result, not an error:
    see `result.passed`.
    """
    asked = body or models.Test()
    strategy = await given.registry.get(strategy_id)
    request = Request(
        duration_days=asked.duration_days,
        initial_capital=asked.initial_capital,
        validation_criteria=asked.validation_criteria,
        validation_profile=asked.validation_profile,
    )
    result = await given.pipeline.run_stage(None, strategy, asked.test_type, request)
    return answers.Tested(
        status="test_completed",
        strategy_id=strategy_id,
        test_type=asked.test_type,
        result=views.whole_result(result),
    )


@router.post(
    "/{strategy_id}/deploy",
    status_code=202,
    tags=["deployments"],
    summary="Deploy a version",
    responses=openapi.errors(404, 409, 501, body=True),
)
async def deploy(
    strategy_id: doors.StrategyId,
    given: doors.Given,
    actor: doors.Actor,
    response: Response,
    body: models.Deploy | None = None,
) -> answers.Accepted:
    """Accept a deployment; it goes on by itself. Follow it at `Location`.

    With another version of its line at work it takes over from that, as its type and options say.
    An option that makes no sense, or a step whose capital would not buy one lot, is refused.
    """
    options = (body or models.Deploy()).options()
    deployment = await given.rollouts.request(strategy_id, options, actor=actor)
    response.headers["Location"] = f"/deployments/{deployment.pipeline_id}/status"
    return answers.Accepted(
        status="deployment_started",
        pipeline_id=deployment.pipeline_id,
        strategy_id=deployment.strategy_id,
        deployment_type=deployment.options.deployment_type.value,
        stages=list(deployment.stages),
        left_out=list(deployment.left_out),
        message=deployment.message,
    )
