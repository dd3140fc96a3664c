"""The runner itself: what a strategy spoils in its own process, and must not in the next."""

import builtins
import json

import msgspec
from tools import MACHINE, Scene

from strategy_engine.matching import rules
from strategy_engine.sandbox import confinement, seccomp
from strategy_engine.sandbox.protocol import framing


def is_unspoilt(_: Scene) -> str:
    """Show that everything here is as the zygote left it."""
    seen = (
        json.dumps({}),
        msgspec.msgpack.encode(1),
        round(1.5),
        framing.HEADER.size,
        len(seccomp.program(MACHINE)) > 100,
        all(each is not None for name, each in vars(rules).items() if name[0] != "_"),
    )
    return "yes" if seen == ("{}", b"\x01", 2, 4, True, True) else ""


def spoil_json(_: Scene) -> str:
    json.dumps = lambda *_, **__: "spoilt"
    return json.dumps({})


def spoil_the_encoder(_: Scene) -> str:
    msgspec.msgpack.encode = lambda *_: b"spoilt"
    return msgspec.msgpack.encode(1).decode()


def spoil_the_fill_rules(_: Scene) -> str:
    for name in [name for name in vars(rules) if not name.startswith("_")]:
        setattr(rules, name, None)
    return "every fill rule is None"


def spoil_the_builtins(_: Scene) -> str:
    builtins.round = lambda *_: 42
    return str(round(1.5))


def spoil_the_frames(_: Scene) -> str:
    framing.HEADER = None
    return "no frame has a length"


def spoil_the_wall(_: Scene) -> str:
    seccomp.program = lambda *_: ()
    confinement.confine = lambda *_, **__: None
    return "the wall is gone from this process's modules"
