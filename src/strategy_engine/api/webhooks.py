"""HTTP door to webhooks: make, list and remove them, and see what was sent."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from strategy_engine.api import answers, doors, models, openapi
from strategy_engine.infra.webhooks.model import State, Webhook

router = APIRouter(prefix="/webhooks", tags=["webhooks"], dependencies=[doors.bearer])

WebhookId = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9_]{1,40}$", description="The id that POST answered.")
]


@router.post(
    "", status_code=201, summary="Make a webhook", responses=openapi.errors(409, body=True)
)
async def create(
    body: models.CreateWebhook, given: doors.Given, actor: doors.Actor
) -> answers.CreatedWebhook:
    """Send events to a URL from now on; the secret that signs them is in this answer only.

    Each is a POST with the headers of Standard Webhooks: `webhook-id` (the event's id, the same
    each time it is sent), `webhook-timestamp` and `webhook-signature`. Any 2xx accepts it; else it
    is sent again, ten times within a day.
    """
    made = await given.webhooks.create(body.url, body.topics, actor=actor)
    return answers.CreatedWebhook(**_fields(made), secret=made.secret)


@router.get("", summary="List webhooks", responses=openapi.errors())
async def page(given: doors.Given) -> answers.Webhooks:
    """Return the webhooks that there are, oldest first, without their secrets."""
    found = await given.webhooks.list()
    return answers.Webhooks(
        webhooks=[answers.Webhook(**_fields(each)) for each in found], count=len(found)
    )


@router.delete("/{webhook_id}", summary="Remove a webhook", responses=openapi.errors(404, 422))
async def remove(webhook_id: WebhookId, given: doors.Given, actor: doors.Actor) -> answers.Webhook:
    """Send a webhook nothing any more; what waited for it is dropped, its log stays."""
    return answers.Webhook(**_fields(await given.webhooks.remove(webhook_id, actor=actor)))


@router.get(
    "/{webhook_id}/deliveries",
    summary="Read what was sent to a webhook",
    responses=openapi.errors(404, 422),
)
async def deliveries(
    webhook_id: WebhookId,
    given: doors.Given,
    state: Annotated[State | None, Query(description="Only those in this state.")] = None,
    limit: doors.Limit = 50,
    offset: doors.Offset = 0,
) -> answers.Deliveries:
    """Return deliveries, newest first: how often each was tried, and what the last try came to."""
    found, total = await given.webhooks.deliveries(
        webhook_id, state=state, limit=limit, offset=offset
    )
    return answers.Deliveries(
        webhook_id=webhook_id,
        deliveries=[answers.Delivery.model_validate(each) for each in found],
        count=len(found),
        total=total,
        limit=limit,
        offset=offset,
    )


def _fields(webhook: Webhook) -> dict[str, Any]:
    return {
        "webhook_id": webhook.webhook_id,
        "url": webhook.url,
        "topics": list(webhook.topics),
        "created_at": webhook.created_at,
        "created_by": webhook.created_by,
    }
