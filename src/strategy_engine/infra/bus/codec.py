"""Messages as the fields of a stream's entry, and back. Pure.

NautilusTrader writes `topic`, `type`, `payload`, `encoding`, in this order, and reads by name.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from strategy_engine.core.errors import InvalidError
from strategy_engine.infra.bus.model import Encoding, Message

_MAP = 0x80  # the first byte of a MessagePack map; JSON text has none so high
_ENCODE = {Encoding.JSON: msgspec.json.encode, Encoding.MSGPACK: msgspec.msgpack.encode}


def encode(
    topic: str, payload: Mapping[str, Any], *, type_name: str, encoding: Encoding
) -> Message:
    """Return a payload of plain values as a message."""
    return Message(
        topic=topic,
        type_name=type_name,
        payload=_ENCODE[encoding](payload),
        encoding=encoding.value,
    )


def fields_of(message: Message) -> dict[str, bytes | str]:
    """Return a message as its entry's fields."""
    return {
        "topic": message.topic,
        "type": message.type_name,
        "payload": message.payload,
        "encoding": message.encoding,
    }


def message_of(fields: Mapping[bytes, bytes]) -> Message:
    """Return an entry's fields as a message; `type` and `encoding` may be missing.

    Raises
    ------
    InvalidError
        If there is no topic or no payload, or a name is no text.
    """
    try:
        return Message(
            topic=fields[b"topic"].decode(),
            type_name=fields.get(b"type", b"").decode(),
            payload=fields[b"payload"],
            encoding=fields.get(b"encoding", b"json").decode(),
        )
    except KeyError as error:
        raise InvalidError(f"an entry of the bus has no field {error}") from None
    except UnicodeDecodeError:
        raise InvalidError(
            "an entry of the bus has a topic, type or encoding that is no text"
        ) from None


def decode(message: Message) -> dict[str, Any]:
    """Return a message's payload, read by what its own entry says.

    Raises
    ------
    InvalidError
        If it is not of the encoding that it names, or no object.
    """
    try:
        payload = _decoded(message)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidError(
            f"a message on {message.topic} cannot be read as {message.encoding}: {error}",
            field="payload",
        ) from None
    if not isinstance(payload, dict):
        raise InvalidError(f"a message on {message.topic} is no object", field="payload")
    return payload


def _decoded(message: Message) -> Any:
    if _encoding_of(message) is Encoding.MSGPACK:
        return msgspec.msgpack.decode(message.payload)
    return msgspec.json.decode(message.payload)


def _encoding_of(message: Message) -> Encoding:
    encoding = Encoding(message.encoding.lower())
    # NautilusTrader 1.231 writes `Json` whatever it is configured to: a map's first byte tells.
    if encoding is Encoding.JSON and message.payload[:1] >= bytes([_MAP]):
        return Encoding.MSGPACK
    return encoding
