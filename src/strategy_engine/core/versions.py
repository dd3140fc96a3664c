"""Semantic versions and their order. Pure."""

import functools
import re
from typing import Any

from strategy_engine.core.errors import InvalidError

# Semantic Versioning 2.0.0, semver.org, the expression of its FAQ.
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?",
    re.ASCII,
)


def is_version(text: str) -> bool:
    """Say whether a text is a semantic version."""
    return _SEMVER.fullmatch(text) is not None


@functools.lru_cache(maxsize=1_024)
def order(version: str) -> tuple[Any, ...]:
    """Return a key that sorts semantic versions by precedence (semver.org, section 11).

    Raises
    ------
    InvalidError
        If it is no semantic version.
    """
    match = _SEMVER.fullmatch(version)
    if match is None:
        raise InvalidError(f"{version!r} is not a semantic version", field="version", value=version)
    release = tuple(int(part) for part in match.group(1, 2, 3))
    if match.group(4) is None:
        return (*release, 1, ())
    parts = tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in match.group(4).split(".")
    )
    return (*release, 0, parts)
