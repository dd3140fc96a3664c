"""What somebody should know, and who is told: `alerts list`, rules and channels."""

import sys
from typing import Annotated, Any

import typer

from strategy_engine.cli import options, rules

_AlertId = Annotated[str, typer.Argument(metavar="ALERT_ID", show_default=False)]
_RuleId = Annotated[str, typer.Argument(metavar="RULE_ID", show_default=False)]
_ChannelId = Annotated[str, typer.Argument(metavar="CHANNEL_ID", show_default=False)]
_Severity = Annotated[str, typer.Option(help="info, warning or critical.")]
STDIN = "-"


def list_(
    *,
    all_: Annotated[bool, typer.Option("--all", help="Those that have ended too.")] = False,
    severity: Annotated[str | None, typer.Option(help="Only those so severe.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 50,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """List alerts, newest first."""
    query = {"open": None if all_ else True, "severity": severity, "limit": limit}
    with options.client(url) as client:
        found = client.alerting.alerts(query)
    if as_json:
        return options.print_json(found)
    if not found["alerts"]:
        return print("no alerts")
    for each in found["alerts"]:
        head = f"{each['since']}  {each['severity']:8}  {each['state']:12}  {each['alert_id']}"
        print(rules.printable(f"{head}  {each['title']}: {each['message']}"))
    return None


def acknowledge(
    alert_id: _AlertId,
    *,
    comment: Annotated[str, typer.Option(help="Why; kept with the alert.")] = "",
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Say that you care for an alert: it is told again only if it gets worse."""
    with options.client(url) as client:
        alert = client.alerting.acknowledge(alert_id, comment)
    print(f"{alert['alert_id']} is {alert['state']}")


def rules_(*, url: options.Url = options.DEFAULT_URL, as_json: options.AsJson = False) -> None:
    """List the rules, the built-in ones first."""
    with options.client(url) as client:
        found = client.alerting.rules()
    if as_json:
        return options.print_json(found)
    for each in found["rules"]:
        state = "on " if each["enabled"] else "off"
        head = f"{each['rule_id']:30}  {state}  {each['severity']:8}  {each['name']}"
        print(rules.printable(f"{head}  {condition(each)}".rstrip()))
    return None


def add_rule(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the alert is called.")],
    *,
    metric: Annotated[str | None, typer.Option(help="A metric, such as max_drawdown.")] = None,
    scope: Annotated[
        str, typer.Option(help="Of an execution, a version, a line or the engine.")
    ] = "execution",
    above: Annotated[float | None, typer.Option(help="Alert above this.")] = None,
    below: Annotated[float | None, typer.Option(help="Alert below this.")] = None,
    clear: Annotated[float | None, typer.Option(help="End only when back within this.")] = None,
    for_s: Annotated[
        float,
        typer.Option("--for", min=0, help="Seconds that it must hold first."),
    ] = 0.0,
    subject: Annotated[str | None, typer.Option(help="Only of this one.")] = None,
    topic: Annotated[str | None, typer.Option(help="An event's topic, instead.")] = None,
    severity: _Severity = "warning",
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Tell people when a metric is beyond a limit, or an event happens."""
    rule: dict[str, Any] = {"name": name, "severity": severity}
    if topic is not None:
        rule["event"] = {"topic": topic}
    if metric is not None:
        limits = {"above": above, "below": below, "clear": clear}
        finite = {name: options.finite(value) for name, value in limits.items()}
        named = {"scope": scope, "name": metric, "subject": subject, "for_s": for_s}
        rule["metric"] = {
            name: value for name, value in {**named, **finite}.items() if value is not None
        }
    with options.client(url) as client:
        made = client.alerting.create_rule(rule)
    if as_json:
        return options.print_json(made)
    return print(made["rule_id"])


def switch_rule(
    rule_id: _RuleId,
    *,
    off: Annotated[bool, typer.Option("--off/--on", help="Switch it off, or on again.")],
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Switch a rule off or on; what it has raised ends when it is switched off."""
    with options.client(url) as client:
        rule = client.alerting.switch_rule(rule_id, enabled=not off)
    print(f"{rule['rule_id']} is {'on' if rule['enabled'] else 'off'}")


def remove_rule(rule_id: _RuleId, *, url: options.Url = options.DEFAULT_URL) -> None:
    """Remove a rule; a built-in one is then as it was made."""
    with options.client(url) as client:
        rule = client.alerting.remove_rule(rule_id)
    print(f"removed {rule['rule_id']}" if not rule["built_in"] else f"{rule_id} is as it was made")


def channels(*, url: options.Url = options.DEFAULT_URL, as_json: options.AsJson = False) -> None:
    """List where alerts are sent."""
    with options.client(url) as client:
        found = client.alerting.channels()
    if as_json:
        return options.print_json(found)
    if not found["channels"]:
        return print("no channels; see `alerts add-channel`")
    for each in found["channels"]:
        head = f"{each['channel_id']}  {each['kind']:8}  {each['severity']:8}  {each['name']}"
        print(rules.printable(f"{head}  {each['target']}"))
    return None


def add_channel(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people call it.")],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="The URL; - reads it from standard input.")
    ],
    *,
    kind: Annotated[str, typer.Option(help="webhook, or apprise.")] = "webhook",
    severity: _Severity = "warning",
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Send alerts to a URL from now on. A webhook's secret is printed once."""
    given = sys.stdin.readline().strip() if target == STDIN else target
    asked = {"name": name, "url": given, "kind": kind, "severity": severity}
    with options.client(url) as client:
        made = client.alerting.create_channel(asked)
    if as_json:
        return options.print_json(made)
    if made["secret"]:
        print(made["secret"])
    return typer.echo(f"channel {made['channel_id']}: nobody can show its secrets again", err=True)


def remove_channel(channel_id: _ChannelId, *, url: options.Url = options.DEFAULT_URL) -> None:
    """Send a channel nothing any more."""
    with options.client(url) as client:
        removed = client.alerting.remove_channel(channel_id)
    print(f"removed {removed['channel_id']}")


def try_out(channel_id: _ChannelId, *, url: options.Url = options.DEFAULT_URL) -> None:
    """Send a channel a notice that means nothing; `alerts deliveries` tells what came of it."""
    with options.client(url) as client:
        print(client.alerting.test_channel(channel_id)["event_id"])


def deliveries(
    channel_id: _ChannelId,
    *,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 50,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """List what was sent to a channel, newest first, and what the last try came to."""
    with options.client(url) as client:
        found = client.alerting.deliveries(channel_id, limit=limit)
    if as_json:
        return options.print_json(found)
    for each in found["deliveries"]:
        came_to = each["error"] or each["status_code"] or ""
        head = f"{each['created_at']}  {each['state']:9}  {each['attempts']:2}  {each['event_id']}"
        print(rules.printable(f"{head}  {came_to}"))
    return None


def condition(rule: dict[str, Any]) -> str:
    """Return what a rule waits for, as one line."""
    if (metric := rule["metric"]) is not None:
        way = "above" if metric["above"] is not None else "below"
        held = f" for {metric['for_s']:g} s" if metric["for_s"] else ""
        return f"{metric['name']} of {metric['scope']} {way} {metric[way]:g}{held}"
    return "" if rule["event"] is None else f"on {rule['event']['topic']}"
