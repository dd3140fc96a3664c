"""Alerts, their rules and channels, and events, asked of an engine."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

type Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One event of a stream, and the place to go on from; no event: only the place."""

    place: str
    event: Json | None


class Alerting:
    """What may be asked about alerts.

    Parameters
    ----------
    ask : callable
        Sends a request to the engine, and returns its answer or raises what it refuses.
    """

    def __init__(self, ask: Callable[..., Any]) -> None:
        self._ask = ask

    def alerts(self, query: Mapping[str, Any]) -> Json:
        """Return alerts, newest first."""
        return self._told("GET", "/alerts", query=query)

    def acknowledge(self, alert_id: str, comment: str) -> Json:
        """Say that somebody cares for an alert."""
        path = f"/alerts/{quote(alert_id, safe='')}/acknowledge"
        return self._told("POST", path, body={"comment": comment})

    def rules(self) -> Json:
        """Return every rule."""
        return self._told("GET", "/alerts/rules")

    def create_rule(self, rule: Mapping[str, Any]) -> Json:
        """Make a rule."""
        return self._told("POST", "/alerts/rules", body=rule)

    def switch_rule(self, rule_id: str, *, enabled: bool) -> Json:
        """Switch a rule on or off, and leave the rest of it as it is."""
        path = f"/alerts/rules/{quote(rule_id, safe='')}"
        rule = self._told("GET", path)
        shown = ("rule_id", "built_in", "created_by", "updated_at")
        left = {name: value for name, value in rule.items() if name not in shown}
        if rule["built_in"]:
            left |= {"metric": None, "event": None}
        return self._told("PUT", path, body=left | {"enabled": enabled})

    def remove_rule(self, rule_id: str) -> Json:
        """Remove a rule; a built-in one is then as it was made."""
        return self._told("DELETE", f"/alerts/rules/{quote(rule_id, safe='')}")

    def channels(self) -> Json:
        """Return the channels, without URLs and secrets."""
        return self._told("GET", "/alerts/channels")

    def create_channel(self, channel: Mapping[str, Any]) -> Json:
        """Make a channel; a webhook's secret is in this answer only."""
        return self._told("POST", "/alerts/channels", body=channel)

    def remove_channel(self, channel_id: str) -> Json:
        """Send a channel nothing any more."""
        return self._told("DELETE", f"/alerts/channels/{quote(channel_id, safe='')}")

    def test_channel(self, channel_id: str) -> Json:
        """Send a channel a notice that means nothing."""
        return self._told("POST", f"/alerts/channels/{quote(channel_id, safe='')}/test")

    def deliveries(self, channel_id: str, *, limit: int) -> Json:
        """Return what was sent to a channel, newest first."""
        path = f"/alerts/channels/{quote(channel_id, safe='')}/deliveries"
        return self._told("GET", path, query={"limit": limit})

    def events(self, query: Mapping[str, Any]) -> Json:
        """Return what happened, oldest first."""
        return self._told("GET", "/events", query=query)

    def _told(self, method: str, path: str, **options: Any) -> Json:
        answer: Json = self._ask(method, path, **options)
        return answer


def read_stream(lines: Iterable[str]) -> Iterator[Told]:
    """Read server-sent events: what each says, and the place after it."""
    place, said = "", ""
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "id":
            place = value
        elif name == "data":
            said = value
        elif not line and place:
            yield Told(place=place, event=json.loads(said) if said else None)
            said = ""
