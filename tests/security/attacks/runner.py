"""What a child of the attack suite runs: attacks by name, each told by how it went."""

import importlib
import json

from tools import Scene

from strategy_engine.sandbox.protocol import framing

FAMILIES = ("files", "processes", "network", "execution", "surface", "resources", "inside", "leaks")
_ATTACKS = {name: importlib.import_module(name) for name in FAMILIES}  # warm, before any wall


def main(channel: framing.Channel) -> None:
    encode, decode = json.dumps, json.loads  # an attack may spoil the module's own
    while (asked := channel.receive()) is not None:
        wish = decode(asked)
        family, _, name = wish["attack"].partition(".")
        got, how = attempt(family, name, Scene(**wish["scene"]))
        channel.send(encode([got, how]).encode())


def attempt(family: str, name: str, scene: Scene) -> tuple[bool, str]:
    try:
        how = str(getattr(_ATTACKS[family], name)(scene))
    except Exception as error:  # noqa: BLE001  (whatever stops an attack, it is stopped)
        return False, f"{type(error).__name__}: {error}"
    return bool(how), how
