"""HTTP door to alerts: read and acknowledge them, and say when and where they are told."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from strategy_engine.alerts.model import OPEN, TOLD, Outcome, Severity, State
from strategy_engine.api import alert_answers as answers
from strategy_engine.api import alert_models as models
from strategy_engine.api import doors, openapi

router = APIRouter(prefix="/alerts", tags=["alerts"], dependencies=[doors.bearer])

AlertId = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9_]{1,40}$", description="The id that the list tells.")
]
RuleId = Annotated[
    str, Path(pattern=r"^[a-z0-9_]{1,60}$", description="The id that the list tells.")
]
ChannelId = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9_]{1,40}$", description="The id that POST answered.")
]
Word = Annotated[str | None, Query(max_length=200, pattern=doors.NOT_NUL)]
DeliveryState = Annotated[Outcome | None, Query(description="Only those in this state.")]


@router.get("/rules", summary="List alert rules", responses=openapi.errors())
async def rules(given: doors.Given) -> answers.AlertRules:
    """Return every rule: the built-in ones first, then the others by their age."""
    found = [answers.rule(each) for each in await given.alerting.rules.list()]
    return answers.AlertRules(rules=found, count=len(found))


@router.post(
    "/rules",
    status_code=201,
    summary="Make an alert rule",
    responses=openapi.errors(409, 422, body=True),
)
async def create_rule(
    body: models.CreateRule, given: doors.Given, actor: doors.Actor
) -> answers.AlertRule:
    """Tell people when a metric is beyond a limit, or an event happens."""
    return answers.rule(await given.alerting.rules.create(_content(body), actor=actor))


@router.get("/rules/{rule_id}", summary="Read an alert rule", responses=openapi.errors(404, 422))
async def rule(rule_id: RuleId, given: doors.Given) -> answers.AlertRule:
    """Return one rule."""
    return answers.rule(await given.alerting.rules.get(rule_id))


@router.put(
    "/rules/{rule_id}",
    summary="Change or switch off an alert rule",
    responses=openapi.errors(404, 422, body=True),
)
async def put_rule(
    rule_id: RuleId, body: models.PutRule, given: doors.Given, actor: doors.Actor
) -> answers.AlertRule:
    """Replace a rule by what is said; a built-in one keeps its condition.

    What a rule has raised ends when it is switched off, or its condition on a metric changes.
    """
    return answers.rule(await given.alerting.rules.put(rule_id, _content(body), actor=actor))


@router.delete(
    "/rules/{rule_id}", summary="Remove an alert rule", responses=openapi.errors(404, 422)
)
async def remove_rule(rule_id: RuleId, given: doors.Given, actor: doors.Actor) -> answers.AlertRule:
    """Remove a rule, and end what it has raised; a built-in one is then as it was made."""
    return answers.rule(await given.alerting.rules.remove(rule_id, actor=actor))


@router.get("/channels", summary="List alert channels", responses=openapi.errors())
async def channels(given: doors.Given) -> answers.Channels:
    """Return the channels that there are, oldest first, without their URLs and secrets."""
    found = [answers.Channel(**answers.channel(each)) for each in await _channels(given)]
    return answers.Channels(channels=found, count=len(found))


@router.post(
    "/channels",
    status_code=201,
    summary="Make an alert channel",
    responses=openapi.errors(409, 422, 501, body=True),
)
async def create_channel(
    body: models.CreateChannel, given: doors.Given, actor: doors.Actor
) -> answers.CreatedChannel:
    """Send alerts to a URL from now on; its secret is in this answer only, its URL in none.

    A webhook is signed as those of `/webhooks` are. Kind `apprise` needs the extra `alerts`.
    """
    made = await given.alerting.channels.create(
        kind=body.kind, name=body.name, url=body.url, severity=body.severity, actor=actor
    )
    return answers.CreatedChannel(**answers.channel(made), secret=made.secret)


@router.delete(
    "/channels/{channel_id}", summary="Remove an alert channel", responses=openapi.errors(404, 422)
)
async def remove_channel(
    channel_id: ChannelId, given: doors.Given, actor: doors.Actor
) -> answers.Channel:
    """Send a channel nothing any more; its log stays."""
    removed = await given.alerting.channels.remove(channel_id, actor=actor)
    return answers.Channel(**answers.channel(removed))


@router.post(
    "/channels/{channel_id}/test",
    status_code=202,
    summary="Try an alert channel out",
    responses=openapi.errors(404, 422),
)
async def test_channel(
    channel_id: ChannelId, given: doors.Given, actor: doors.Actor
) -> answers.Tested:
    """Send a channel a notice that means nothing, once; its deliveries tell what came of it."""
    event_id = await given.alerting.channels.try_out(channel_id, actor=actor)
    return answers.Tested(channel_id=channel_id, event_id=event_id)


@router.get(
    "/channels/{channel_id}/deliveries",
    summary="Read what was sent to a channel",
    responses=openapi.errors(404, 422),
)
async def channel_deliveries(
    channel_id: ChannelId,
    given: doors.Given,
    state: DeliveryState = None,
    limit: doors.Limit = 50,
    offset: doors.Offset = 0,
) -> answers.AlertDeliveries:
    """Return deliveries, newest first: how often each was tried, and what the last try came to."""
    await given.alerting.channels.get(channel_id)
    asked = {"channel_id": channel_id}
    return await _deliveries(given, asked, state, limit=limit, offset=offset)


@router.get("", summary="List alerts", responses=openapi.errors(422))
async def page(  # noqa: PLR0913 - each is one thing that may be asked
    *,
    given: doors.Given,
    state: Annotated[
        list[State], Query(max_length=5, description="Only these; by default all that were told.")
    ] = [],  # noqa: B006 - FastAPI copies it
    is_open: Annotated[
        bool | None, Query(alias="open", description="Only those that have not ended, or have.")
    ] = None,
    severity: Annotated[Severity | None, Query(description="Only those so severe.")] = None,
    rule_id: Annotated[Word, Query(description="Only those of this rule.")] = None,
    subject_type: Annotated[Word, Query(description="Only of such things.")] = None,
    subject_id: Annotated[Word, Query(description="Only of this one.")] = None,
    limit: doors.Limit = 50,
    offset: doors.Offset = 0,
) -> answers.Alerts:
    """Return alerts, newest first."""
    states = frozenset(state) or TOLD
    if is_open is not None:
        states = states & OPEN if is_open else states - OPEN
    asked = {
        "severity": severity,
        "rule_id": rule_id,
        "subject_type": subject_type,
        "subject_id": subject_id,
    }
    filters = {name: str(value) for name, value in asked.items() if value is not None}
    found, total = await given.alerting.alerts.page(
        states=states, filters=filters, limit=limit, offset=offset
    )
    return answers.Alerts(
        alerts=[answers.alert(each) for each in found],
        count=len(found),
        total=total,
        limit=limit,
        offset=offset,
    )


@router.get("/{alert_id}", summary="Read an alert", responses=openapi.errors(404, 422))
async def alert(alert_id: AlertId, given: doors.Given) -> answers.Alert:
    """Return one alert."""
    return answers.alert(await given.alerting.alerts.get(alert_id))


@router.get(
    "/{alert_id}/deliveries",
    summary="Read where an alert was sent",
    responses=openapi.errors(404, 422),
)
async def deliveries(
    alert_id: AlertId,
    given: doors.Given,
    state: DeliveryState = None,
    limit: doors.Limit = 50,
    offset: doors.Offset = 0,
) -> answers.AlertDeliveries:
    """Return the notices of an alert, newest first, each with what came of it."""
    await given.alerting.alerts.get(alert_id)
    return await _deliveries(given, {"alert_id": alert_id}, state, limit=limit, offset=offset)


@router.post(
    "/{alert_id}/acknowledge",
    summary="Acknowledge an alert",
    responses=openapi.errors(404, 409, 422, body=True),
)
async def acknowledge(
    alert_id: AlertId, body: models.Acknowledge, given: doors.Given, actor: doors.Actor
) -> answers.Alert:
    """Say that somebody cares: it stays open, and is told again only if it gets worse."""
    return answers.alert(
        await given.alerting.alerts.acknowledge(alert_id, comment=body.comment, actor=actor)
    )


async def _channels(given: doors.Given) -> Any:
    return await given.alerting.channels.list()


async def _deliveries(
    given: doors.Given,
    asked: dict[str, str],
    state: Outcome | None,
    *,
    limit: int,
    offset: int,
) -> answers.AlertDeliveries:
    found, total = await given.alerting.alerts.deliveries(
        asked, state=state, limit=limit, offset=offset
    )
    return answers.AlertDeliveries(
        deliveries=[answers.AlertDelivery.model_validate(each) for each in found],
        count=len(found),
        total=total,
        limit=limit,
        offset=offset,
    )


def _content(body: models.PutRule) -> dict[str, Any]:
    return body.model_dump(mode="json", exclude_none=True)
