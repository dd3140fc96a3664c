"""HTTP door to everything that happens: followed as a stream, or read as JSON."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request

from strategy_engine.alerts.model import Severity
from strategy_engine.alerts.rules import is_below
from strategy_engine.api import doors, event_answers, openapi, streams
from strategy_engine.api.eventhub import Hub
from strategy_engine.infra import eventlog
from strategy_engine.infra.eventlog import Event, EventLog, Place

router = APIRouter(prefix="/events", tags=["monitoring"], dependencies=[doors.bearer])

MOST_LOOKED_AT = 20_000
MOST_TOPICS = 50
_PLACE = r"^([0-9]{1,18}-[0-9]{1,18})?$"
_STREAM: openapi.Responses = {
    200: {
        "model": event_answers.Events,
        "content": {
            streams.MEDIA_TYPE: {
                "schema": {"type": "string"},
                "example": (
                    "id: 117-40\nevent: execution.ready\n"
                    'data: {"event_id":"audit-117","topic":"execution.ready"}\n\n'
                ),
            }
        },
        "description": "What happened; as JSON, or as a stream to who accepts text/event-stream.",
    }
}

Topics = Annotated[
    list[Annotated[str, Query(pattern=r"^[a-z0-9_.]{1,60}$")]],
    Query(max_length=MOST_TOPICS, description="Only these, and those below; repeat for more."),
]
_Identifier = r"^[A-Za-z0-9_.:-]{1,60}$"


def _hub(request: Request) -> Hub:
    found: Hub = request.app.state.hub
    return found


def _wants(
    topic: Topics = [],  # noqa: B006 - FastAPI copies it
    execution_id: Annotated[
        str | None, Query(pattern=_Identifier, description="Only of this execution.")
    ] = None,
    strategy_id: doors.StrategyFilter = None,
    line: Annotated[
        str | None, Query(max_length=100, pattern=doors.NOT_NUL, description="Only of this line.")
    ] = None,
    severity: Annotated[
        Severity | None, Query(description="Only alerts that are at least so severe.")
    ] = None,
) -> Callable[[Event], bool]:
    def wants(event: Event) -> bool:
        return (
            (not topic or any(is_below(event.topic, each) for each in topic))
            and execution_id in {None, event.execution_id}
            and strategy_id in {None, event.strategy_id}
            and line in {None, event.line}
            and (severity is None or _is_so_severe(event, severity))
        )

    return wants


@router.get(
    "",
    summary="Read or follow everything that happens",
    response_model=event_answers.Events,
    responses=_STREAM | openapi.errors(422),
)
async def events(  # noqa: PLR0913 - each is one thing that may be asked
    *,
    given: doors.Given,
    hub: Annotated[Hub, Depends(_hub)],
    request: Request,
    wants: Annotated[Callable[[Event], bool], Depends(_wants)],
    after: Annotated[
        str, Query(pattern=_PLACE, description="Only what came after this place.")
    ] = "",
    limit: doors.Limit = 100,
    last_event_id: Annotated[
        str,
        Header(
            alias="Last-Event-ID",
            pattern=_PLACE,
            description="A stream's last `id`; it counts more than `after`.",
        ),
    ] = "",
) -> Any:
    """Return what happened: executions, fills, denials, deployments, steps, risk, alerts, flags.

    With `Accept: text/event-stream` it is a stream without end: from now on, or from the place of
    `Last-Event-ID`, without loss or repeat. As JSON it is a page: what came after `after`, or the
    newest. What happens to keys and webhooks is left out; metrics and positions are where they are
    kept.
    """
    said = last_event_id or after
    place = Place.parse(said) if said else None
    if streams.are_wanted(request):
        hub.refuse_when_full()
        return streams.EventStream(hub.follow(given.events, place, wants))
    return await _page(given.events, place, wants, limit)


async def _page(
    log: EventLog, after: Place | None, wants: Callable[[Event], bool], limit: int
) -> event_answers.Events:
    place = await log.before_end(limit) if after is None else after
    forgotten = 0 if after is None else await log.forgotten(after)
    kept: list[Event] = []
    looked_at = 0
    is_full = False
    while looked_at < MOST_LOOKED_AT and not is_full:
        found = await log.after(place)
        for event in found:
            place = event.place
            looked_at += 1
            kept += [event] if wants(event) else []
            is_full = after is not None and len(kept) == limit
            if is_full:
                break
        if len(found) < eventlog.AT_ONCE:
            break
    shown = [event_answers.event(each) for each in kept[-limit:]]
    return event_answers.Events(
        events=shown, count=len(shown), next=str(place), forgotten=forgotten
    )


def _is_so_severe(event: Event, severity: Severity) -> bool:
    said = event.severity
    return said in set(Severity) and Severity(said).rank >= severity.rank
