"""What the engine and a zygote say to each other over their control socket."""

import msgspec

from strategy_engine.sandbox.model import ChildLimits, ConfinementMode, Remains

MAX_MESSAGE_BYTES = 1 << 16


class ForkRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Fork a child; its socket and the write end of its log pipe come with the message."""

    request_id: int
    label: str
    limits: ChildLimits
    confinement: ConfinementMode


class Ready(msgspec.Struct, tag="ready", frozen=True, kw_only=True):
    """The zygote is warm."""

    rss_bytes: int


class Forked(msgspec.Struct, tag="forked", frozen=True, kw_only=True):
    """The child lives; its pidfd comes with the message."""

    request_id: int
    pid: int


class Refused(msgspec.Struct, tag="refused", frozen=True, kw_only=True):
    """There is no child, and why."""

    request_id: int
    reason: str


class Reaped(msgspec.Struct, tag="reaped", frozen=True, kw_only=True):
    """A child is dead."""

    pid: int
    remains: Remains


type FromZygote = Ready | Forked | Refused | Reaped

encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(ForkRequest).decode
decode_answer = msgspec.msgpack.Decoder[FromZygote](Ready | Forked | Refused | Reaped).decode
