"""What a version may look like. Pure: a value in, an error or nothing out."""

import json
import re
from typing import Any

from strategy_engine.core import versions
from strategy_engine.core.errors import InvalidError, TooLargeError
from strategy_engine.registry.model import Content

MAX_CODE_BYTES = 1 << 20
MAX_TESTS_BYTES = 1 << 20
MAX_JSON_BYTES = 64 << 10
MAX_NAME = 100

_TEST_FILE = re.compile(r"test_\w+\.py", re.ASCII)


def check(content: Content) -> None:
    """Refuse a version that could not be stored, shown or ordered.

    Raises
    ------
    InvalidError, TooLargeError
        With the offending field, its value and what would be accepted.
    """
    _check_name(content.strategy_name)
    if not versions.is_version(content.version):
        raise InvalidError(
            f"version {content.version!r} is not a semantic version; write it like 1.2.0",
            field="version",
            value=content.version,
            accepted="MAJOR.MINOR.PATCH, semver.org",
        )
    if not content.code.strip():
        raise InvalidError(
            "code is empty; send the strategy's Python source", field="code", value=""
        )
    _check_text("code", content.code, MAX_CODE_BYTES)
    _check_json("parameters", content.parameters)
    _check_json("risk_limits", content.risk_limits)
    _check_tests(content.tests)


def _check_name(name: str) -> None:
    if not name.strip() or name != name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise InvalidError(
            f"strategy_name {name[:120]!r} must be 1 to {MAX_NAME} printable characters"
            " without blanks at its ends",
            field="strategy_name",
            value=name[:120],
            accepted=f"1 to {MAX_NAME} printable characters",
        )


def _check_text(field: str, text: str, limit: int) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidError(
            f"{field} is not valid Unicode: {error.reason} at character {error.start}", field=field
        ) from None
    if size > limit:
        raise TooLargeError(
            f"{field} is {size:,} bytes; the limit is {limit:,} bytes", field=field, value=size
        )
    if "\x00" in text:
        raise InvalidError(f"{field} holds a NUL character; remove it", field=field)


def _check_json(field: str, value: dict[str, Any]) -> None:
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidError(f"{field} is not plain JSON: {error}", field=field) from None
    _check_text(field, text, MAX_JSON_BYTES)


def _check_tests(tests: dict[str, str]) -> None:
    for name, source in tests.items():
        if not _TEST_FILE.fullmatch(name):
            raise InvalidError(
                f"tests holds a file named {name!r}; name it like test_rsi.py",
                field="tests",
                value=name,
                accepted="test_*.py",
            )
        _check_text(f"tests.{name}", source, MAX_TESTS_BYTES)
