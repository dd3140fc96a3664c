"""What the command line decides without asking anybody: values, exit codes, texts. Pure."""

import json
from collections.abc import Iterable
from typing import Any

from strategy_engine.core.errors import EngineError, InvalidError

OK = 0
FAILED = 1
USAGE = 2

ENDED_STATES = frozenset({"completed", "failed"})


def assignments(pairs: Iterable[str], option: str) -> dict[str, Any]:
    """Return `name=value` pairs as a mapping; a value is JSON where it reads as such, else text.

    Raises
    ------
    InvalidError
        If a pair lacks its name or `=`, repeats a name, or is no finite number.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        name = name.strip()
        if not equals or not name:
            raise InvalidError(f"{option} {pair!r} must be written name=value, as in {option} n=14")
        if name in found:
            raise InvalidError(f"{option} {name} is given twice; give it once", field=name)
        found[name] = _value(text.strip(), f"{option} {name}")
    return found


def _value(text: str, where: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise InvalidError(f"{where}={text} is no finite number; give one that is") from None
    return value


def exit_code(error: EngineError) -> int:
    """Return 2 for what was asked wrongly on this side, 1 for what failed or was refused."""
    return USAGE if isinstance(error, InvalidError) else FAILED


def printable(text: str) -> str:
    """Return text that cannot steer a terminal: other control characters become `?`.

    What a strategy says in its errors is the user's, and may be anything.
    """
    return "".join(each if each.isprintable() or each in "\n\t" else "?" for each in text)
