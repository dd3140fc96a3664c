"""Where events are sent: `webhooks create`, `list`, `remove`, `deliveries`."""

from typing import Annotated

import typer

from strategy_engine.cli import options, rules

_Id = Annotated[str, typer.Argument(metavar="WEBHOOK_ID", show_default=False)]


def create(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The URL that gets the events.")],
    *,
    topic: Annotated[
        list[str] | None,
        typer.Option(help="Only this topic, such as pipeline.failed; repeat for more."),
    ] = None,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Send events to a URL from now on. The secret that signs them is printed once."""
    with options.client(url) as client:
        made = client.create_webhook(target, topic or [])
    if as_json:
        return options.print_json(made)
    print(made["secret"])
    return typer.echo(
        f"webhook {made['webhook_id']}: nobody can show its secret again. The receiver verifies the"
        " header webhook-signature with it.",
        err=True,
    )


def list_(*, url: options.Url = options.DEFAULT_URL, as_json: options.AsJson = False) -> None:
    """List the webhooks, without secrets."""
    with options.client(url) as client:
        found = client.webhooks()
    if as_json:
        return options.print_json(found)
    if not found["webhooks"]:
        return print("no webhooks; see `webhooks create`")
    for each in found["webhooks"]:
        topics = ", ".join(each["topics"]) or "all topics"
        print(rules.printable(f"{each['webhook_id']}  {each['url']}  {topics}"))
    return None


def remove(webhook_id: _Id, *, url: options.Url = options.DEFAULT_URL) -> None:
    """Send a webhook nothing any more."""
    with options.client(url) as client:
        removed = client.remove_webhook(webhook_id)
    print(f"removed {removed['webhook_id']}")


def deliveries(
    webhook_id: _Id,
    *,
    state: Annotated[
        str | None, typer.Option(help="Only those that are pending, delivered or failed.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 50,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """List what was sent to a webhook, newest first, and what the last try came to."""
    with options.client(url) as client:
        found = client.deliveries(webhook_id, state=state, limit=limit)
    if as_json:
        return options.print_json(found)
    for each in found["deliveries"]:
        came_to = each["error"] or each["status_code"] or ""
        line = f"{each['created_at']}  {each['state']:9}  {each['attempts']:2}  {each['event_id']}"
        print(rules.printable(f"{line}  {came_to}"))
    return None
