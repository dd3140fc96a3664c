"""The AsyncAPI document: every topic with its payload's schema, made from the types themselves."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import msgspec

from strategy_engine.infra.bus import checks, commands, topics
from strategy_engine.infra.bus.broker import BusSettings

VERSION = "3.0.0"
COMMANDS_CHANNEL, BARS_CHANNEL = "commands", "bars"

DESCRIPTION = """\
What the engine says to others, and hears from them, over Redis Streams in NautilusTrader's own
layout. An entry has the fields `topic`, `type`, `payload` and `encoding` (`json` or `msgpack`):
read each by its own `encoding`. What is described below is the `payload` field. Events come at
least once: leave out those whose `event_id` you have seen. What is published of one execution is in
order.
"""


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """A bar as NautilusTrader publishes it; prices are texts of digits, times nanoseconds."""

    type: str
    bar_type: str
    open: str
    high: str
    low: str
    close: str
    volume: str
    ts_event: str | int
    ts_init: str | int


_COMMAND_SUMMARY = {
    commands.PAUSE: "Take no new decisions; stops and targets stay watched.",
    commands.REDUCE: "Only orders that reduce a position may go, until the execution ends.",
    commands.HALT: "Close every position at the next price, and stop.",
}
_ANSWER_SUMMARY = "Say whether an order may go that was asked about; signed as commands are."


def document(settings: BusSettings) -> dict[str, Any]:
    """Return the document of an engine that uses the bus so."""
    streams = _streams(settings)
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Strategy Engine events",
            "version": version("strategy-engine"),
            "description": DESCRIPTION,
        },
        "defaultContentType": f"application/{settings.layout.encoding}",
        "channels": {
            **{channel: _channel(address, names) for channel, (address, names) in streams.items()},
            **_inbound(settings),
            **_checks(settings),
        },
        "operations": _sent(streams) | _received(settings) | _asked(settings),
        "components": {"messages": _messages(settings), "schemas": _schemas()},
    }


def schema_of(topic: topics.Topic, schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Return a topic's payload as a JSON schema that stands alone."""
    return {
        "$ref": f"#/components/schemas/{topic.payload.__name__}",
        "components": {"schemas": dict(schemas)},
    }


def _streams(settings: BusSettings) -> dict[str, tuple[str, list[topics.Topic]]]:
    if settings.layout.stream_per_topic:
        return {each.name: (settings.layout.stream_of(each.name), [each]) for each in topics.TOPICS}
    return {"events": (settings.layout.stream_of(""), list(topics.TOPICS))}


def _channel(address: str, found: Iterable[topics.Topic]) -> dict[str, Any]:
    return {
        "address": address,
        "messages": {each.name: {"$ref": f"#/components/messages/{each.name}"} for each in found},
    }


def _inbound(settings: BusSettings) -> dict[str, Any]:
    channels: dict[str, Any] = {}
    if settings.command_stream is not None:
        channels[COMMANDS_CHANNEL] = {
            "address": settings.command_stream,
            "description": "Only what is signed is obeyed.",
            "messages": {
                name: {"$ref": f"#/components/messages/{name}"} for name in commands.COMMANDS
            },
        }
    if settings.data_stream is not None:
        channels[BARS_CHANNEL] = {
            "address": settings.data_stream,
            "description": "This stream, and the one of each topic: …:data.bars.{bar_type}.",
            "messages": {"data.bars": {"$ref": "#/components/messages/data.bars"}},
        }
    return channels


def _checks(settings: BusSettings) -> dict[str, Any]:
    if settings.checking is None:
        return {}
    layout = settings.layout
    addresses = {
        checks.REQUESTED: layout.stream_of(checks.REQUESTED),
        checks.ANSWERED: layout.own_stream_of(checks.ANSWERED),
    }
    return {
        name: {
            "address": address,
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        }
        for name, address in addresses.items()
    }


def _asked(settings: BusSettings) -> dict[str, Any]:
    if settings.checking is None:
        return {}
    answered = _reception(checks.ANSWERED, checks.ANSWERED)
    reply = {name: answered[name] for name in ("channel", "messages")}
    asked = _reception(checks.REQUESTED, checks.REQUESTED)
    return {f"ask.{checks.REQUESTED}": asked | {"action": "send", "reply": reply}}


def _sent(streams: Mapping[str, tuple[str, list[topics.Topic]]]) -> dict[str, Any]:
    return {
        f"publish.{each.name}": {
            "action": "send",
            "channel": {"$ref": f"#/channels/{channel}"},
            "messages": [{"$ref": f"#/channels/{channel}/messages/{each.name}"}],
        }
        for channel, (_, found) in streams.items()
        for each in found
    }


def _received(settings: BusSettings) -> dict[str, Any]:
    operations: dict[str, Any] = {}
    if settings.command_stream is not None:
        operations |= {
            f"obey.{name}": _reception(COMMANDS_CHANNEL, name) for name in commands.COMMANDS
        }
    if settings.data_stream is not None:
        operations["trade.data.bars"] = _reception(BARS_CHANNEL, "data.bars")
    return operations


def _reception(channel: str, message: str) -> dict[str, Any]:
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }


def _messages(settings: BusSettings) -> dict[str, Any]:
    content_type = f"application/{settings.layout.encoding}"
    events = {
        each.name: _message(each.name, each.payload, each.payload.__doc__ or "", content_type)
        for each in topics.TOPICS
    }
    orders = {
        name: _message(name, commands.Signed, _COMMAND_SUMMARY[name], "application/json")
        for name in commands.COMMANDS
    }
    asked = _message(
        checks.REQUESTED,
        checks.CheckRequested,
        checks.CheckRequested.__doc__ or "",
        content_type,
    )
    answered = _message(checks.ANSWERED, commands.Signed, _ANSWER_SUMMARY, "application/json")
    orders |= {checks.REQUESTED: asked, checks.ANSWERED: answered}
    bars = {"data.bars": _message("data.bars", Bar, Bar.__doc__ or "", "application/json")}
    return events | orders | bars


def _message(
    name: str, payload: type[msgspec.Struct], summary: str, content_type: str
) -> dict[str, Any]:
    return {
        "name": name,
        "summary": summary.strip(),
        "contentType": content_type,
        "payload": {"$ref": f"#/components/schemas/{payload.__name__}"},
    }


def _schemas() -> dict[str, Any]:
    types = [each.payload for each in topics.TOPICS]
    _, schemas = msgspec.json.schema_components(
        [
            *types,
            commands.Signed,
            commands.Command,
            checks.CheckRequested,
            checks.CheckAnswered,
            Bar,
        ],
        ref_template="#/components/schemas/{name}",
    )
    return schemas
