"""What strategies say, made fit for a line on a terminal. Pure."""

import re
from collections.abc import Mapping
from typing import Any

_BREAK = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")
_INSTEAD = "\N{REPLACEMENT CHARACTER}"


def one_line(text: str) -> str:
    """Return a text on one line, without a character that a terminal would obey.

    Line breaks become bars; escapes, other controls and what turns the writing round become
    replacement characters.
    """
    if text.isprintable():
        return text
    flat = " | ".join(part for part in _BREAK.split(text) if part)
    if flat.isprintable():
        return flat
    return "".join(each if each.isprintable() else _instead(each) for each in flat)


def tidied(value: Any) -> Any:
    """Return plain JSON with every text in it on one line."""
    match value:
        case str():
            return one_line(value)
        case Mapping():
            return {name: tidied(each) for name, each in value.items()}
        case list() | tuple():
            return [tidied(each) for each in value]
        case _:
            return value


def _instead(character: str) -> str:
    return " " if character.isspace() else _INSTEAD
