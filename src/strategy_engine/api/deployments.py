"""HTTP door to deployments: follow them."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from strategy_engine.api import answers, doors, openapi, streams, views
from strategy_engine.api.services import Rollouts
from strategy_engine.rollout.events import BEGINNING, Cursor, Event
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


_STREAM: openapi.Responses = {
    200: {
        "content": {
            streams.MEDIA_TYPE: {
                "schema": {"type": "string"},
                "example": 'id: 17-3\nevent: stage\ndata: {"stage":"backtest","passed":true}\n\n',
            }
        },
        "description": "The history; as JSON, or as a stream to who accepts text/event-stream.",
    }
}
LastEventId = Annotated[
    str,
    Header(
        alias="Last-Event-ID",
        pattern=r"^([0-9]{1,18}-[0-9]{1,18})?$",
        description="Only what came after this event; its `event_id`, which is a stream's `id`.",
    ),
]


@router.get(
    "/{pipeline_id}/events",
    summary="Read or follow what happens to a deployment",
    response_model=answers.DeploymentEvents,
    responses=_STREAM | openapi.errors(404, 422),
)
async def events(
    pipeline_id: doors.PipelineId,
    given: doors.Given,
    following: doors.Streaming,
    request: Request,
    last_event_id: LastEventId = "",
) -> Any:
    """Return what happened to a deployment, oldest first: who, what, when, why, the evidence.

    With `Accept: text/event-stream` it is a stream that goes on until the deployment has ended: an
    event is a `state`, `stage`, `step` or `action`, and the last one is `end`. Who comes back after
    that with the last event's id is answered 204, which tells a browser to stay away.
    """
    after = Cursor.parse(last_event_id) if last_event_id else BEGINNING
    history = await given.rollouts.history(pipeline_id, after)
    if not streams.are_wanted(request):
        return views.deployment_events(history)
    if last_event_id and history.has_ended and not history.events:
        return Response(status_code=204)
    following.refuse_when_full()
    return streams.EventStream(
        following.follow(
            pipeline_id,
            _reader(given.rollouts, pipeline_id),
            lambda each: each.event.is_after(after),
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    event: Event
    encoded: bytes


def _reader(
    rollouts: Rollouts, pipeline_id: str
) -> Callable[[_Sent | None], Awaitable[streams.Batch[_Sent]]]:
    async def read(last: _Sent | None) -> streams.Batch[_Sent]:
        after = BEGINNING if last is None else last.event.cursor
        history = await rollouts.history(pipeline_id, after)
        end = {"status": history.deployment.state.value, "outcome": history.deployment.outcome}
        last_words = streams.encoded(name="end", json_text=json.dumps(end))
        return streams.Batch(
            events=[_encoded(each) for each in history.events],
            last_words=last_words if history.has_ended else None,
        )

    return read


def _encoded(event: Event) -> _Sent:
    shown = views.deployment_event(event)
    sent = streams.encoded(
        name=event.kind.value, json_text=shown.model_dump_json(), event_id=shown.event_id
    )
    return _Sent(event=event, encoded=sent)
