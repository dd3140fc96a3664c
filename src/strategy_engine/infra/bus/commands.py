"""Commands of a risk engine: how they are signed, and which are refused. Pure.

A command is a JSON text; the payload holds that text and its HMAC-SHA256, in hexadecimal, over the
topic, a line feed and the text. So nothing has to be written twice in the same way.
"""

import hashlib
import hmac
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from strategy_engine.core.errors import EngineError, InvalidError
from strategy_engine.infra.bus import codec
from strategy_engine.infra.bus.model import Received

WINDOW = timedelta(seconds=60)  # between a command's own time and its arrival in the stream

PAUSE, REDUCE, HALT = "risk.pause", "risk.reduce", "risk.halt"
COMMANDS = (PAUSE, REDUCE, HALT)
LONGEST_ID = 100


class Refusal(StrEnum):
    """Why a command is not obeyed, or an answer of a risk engine not heard."""

    UNKNOWN_TOPIC = "unknown_topic"
    UNREADABLE = "unreadable"
    UNSIGNED = "unsigned"
    BAD_SIGNATURE = "bad_signature"
    MALFORMED = "malformed"
    OUT_OF_TIME = "out_of_time"
    REPEATED = "repeated"
    UNKNOWN_CHECK = "unknown_check"
    LATE = "late"


class RefusedError(EngineError):
    """A command is not obeyed; `refusal` says why, and nothing of it was done."""

    kind = "command-refused"

    def __init__(self, refusal: Refusal, message: str) -> None:
        super().__init__(message, refusal=refusal.value)
        self.refusal = refusal


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """What is on the bus: a command as text, and the proof of who wrote it."""

    signed: str
    signature: str


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, and of whom: one execution, one strategy's line, or everything.

    `command_id` is obeyed once, for ever.
    """

    command_id: str
    issued_at: datetime
    reason: str
    execution_id: str | None = None
    strategy_name: str | None = None
    all: bool = False


def sign(secret: str, topic: str, command: msgspec.Struct) -> Signed:
    """Return a command, or whatever else is signed, with its signature."""
    text = msgspec.json.encode(command).decode()
    return Signed(signed=text, signature=_signature(secret, topic, text))


def opened(received: Received, secret: str) -> str:
    """Return the text of an entry whose signature is that of who has the secret.

    Raises
    ------
    RefusedError
        If it is not; the message never holds what the entry says.
    """
    topic = received.message.topic
    signed = _signed(received)
    expected = _signature(secret, topic, signed.signed)
    if not hmac.compare_digest(expected.encode(), signed.signature.lower().encode()):
        raise RefusedError(Refusal.BAD_SIGNATURE, f"a {topic} entry has a wrong signature")
    return signed.signed


def verify(received: Received, secret: str) -> Command:
    """Return the command of an entry that is authentic, well formed and in time.

    Raises
    ------
    RefusedError
        If it is not; the message never holds what an unsigned entry says.
    """
    topic = received.message.topic
    if topic not in COMMANDS:
        raise RefusedError(Refusal.UNKNOWN_TOPIC, f"there are only {', '.join(COMMANDS)}")
    command = _command(topic, opened(received, secret))
    check_time(command.command_id, command.issued_at, received)
    return command


def _signed(received: Received) -> Signed:
    try:
        payload = codec.decode(received.message)
    except InvalidError as error:
        raise RefusedError(Refusal.UNREADABLE, str(error)) from None
    try:
        return msgspec.convert(payload, Signed)
    except msgspec.ValidationError:
        raise RefusedError(
            Refusal.UNSIGNED, f"a {received.message.topic} entry is not signed"
        ) from None


def _command(topic: str, text: str) -> Command:
    try:
        command = msgspec.json.decode(text, type=Command)
    except msgspec.MsgspecError as error:
        raise RefusedError(Refusal.MALFORMED, f"a {topic} command is malformed: {error}") from None
    if (why := _unclear(command)) is not None:
        raise RefusedError(Refusal.MALFORMED, f"a {topic} command is malformed: {why}")
    return command


def _unclear(command: Command) -> str | None:
    targets = [command.execution_id is not None, command.strategy_name is not None, command.all]
    if targets.count(True) != 1:
        return "it must name one of execution_id, strategy_name and all"
    if not 1 <= len(command.command_id) <= LONGEST_ID or command.issued_at.tzinfo is None:
        return f"command_id has 1 to {LONGEST_ID} characters, issued_at a time zone"
    texts = (command.command_id, command.reason, command.execution_id, command.strategy_name)
    if any("\0" in text for text in texts if text is not None):
        return "no text may hold a NUL, which no database keeps"
    return None


def check_time(name: str, issued_at: datetime, received: Received) -> None:
    """See whether something that is signed came when it was issued.

    Raises
    ------
    RefusedError
        If it did not: it may be an old one that somebody repeats.
    """
    # Against the server's clock, not ours: a command that waited for us is obeyed, late as we are.
    arrived_s = int(received.entry_id.partition("-")[0]) / 1_000
    apart_s = abs(arrived_s - issued_at.timestamp())
    if apart_s > WINDOW.total_seconds():
        raise RefusedError(
            Refusal.OUT_OF_TIME,
            f"{name[:LONGEST_ID]} was issued {apart_s:.0f} s from its arrival in"
            f" the stream; {WINDOW.total_seconds():.0f} s are accepted",
        )


def _signature(secret: str, topic: str, text: str) -> str:
    signed = f"{topic}\n{text}".encode()
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
