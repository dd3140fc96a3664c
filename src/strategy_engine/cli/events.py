"""Everything that happens: `events`, once or followed."""

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strategy_engine.cli import options, rules
from strategy_engine.client import problems

if TYPE_CHECKING:
    from strategy_engine.client.service import Client

AGAIN_S = 1.0
UNAVAILABLE = 503
_WORDS = ("error", "message", "reason", "comment", "to_state")


def events(
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on, through restarts of the engine.")
    ] = False,
    topic: Annotated[
        list[str] | None, typer.Option(help="Only this topic and those below; repeat for more.")
    ] = None,
    execution: Annotated[str | None, typer.Option(help="Only of this execution.")] = None,
    strategy: Annotated[str | None, typer.Option(help="Only of this version.")] = None,
    line: Annotated[str | None, typer.Option(help="Only of this line.")] = None,
    severity: Annotated[
        str | None, typer.Option(help="Only alerts at least so severe: info, warning, critical.")
    ] = None,
    after: Annotated[str | None, typer.Option(help="Only what came after this place.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many, at once.")] = 50,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Tell what happens: executions, fills, denials, deployments, risk, alerts, flags.

    With --json and --follow each event is one line, with the place to go on from.
    """
    query = {
        "topic": topic or None,
        "execution_id": execution,
        "strategy_id": strategy,
        "line": line,
        "severity": severity,
    }
    with options.client(url) as client:
        if follow:
            return _follow(client, query, after or "", as_json=as_json)
        found = client.alerting.events(query | {"after": after, "limit": limit})
    if as_json:
        return options.print_json(found)
    for each in found["events"]:
        print(told(each))
    return None


def _follow(client: "Client", query: dict[str, Any], place: str, *, as_json: bool) -> None:
    while True:
        try:
            for each in client.follow(query, place):
                place = each.place
                if each.event is not None:
                    line = (
                        json.dumps(each.event | {"place": place}) if as_json else told(each.event)
                    )
                    print(line, flush=True)
        except problems.NoEngineError as error:
            if not place:
                raise  # it was never there
            typer.echo(f"{error}; waiting", err=True)
        time.sleep(AGAIN_S)


def told(event: dict[str, Any]) -> str:
    """Return an event as one line."""
    payload = event["payload"]
    nested = payload.get("trade") or payload.get("order") or payload
    words = next((str(nested[name]) for name in _WORDS if nested.get(name)), "")
    if "price" in nested:
        words = f"{nested['side']} {nested['quantity']:g} {nested['symbol']} at {nested['price']:g}"
    who = f"{event['subject_id']}  {event['line'] or ''}".rstrip()
    return rules.printable(f"{event['at']}  {event['topic']:26}  {who}  {words}".rstrip())
