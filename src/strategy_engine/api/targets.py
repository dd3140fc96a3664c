"""What a request's path and query must be: UTF-8 without NUL. Pure."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from strategy_engine.api import plain
from strategy_engine.core.errors import InvalidError

_BROKEN = ("\x00", "\ufffd")  # U+FFFD stands where a server could not decode a path


def check_query(raw: bytes) -> None:
    """Refuse a query string whose names or values hold what is no text.

    Parameters
    ----------
    raw : bytes
        As it came: decoding it forgivingly would turn a lone surrogate into another character.

    Raises
    ------
    InvalidError
        It names the parameter.
    """
    for pair in raw.split(b"&"):
        name, _, value = (unquote_to_bytes(each) for each in pair.partition(b"="))
        _check(name + value, field=plain.echo(name.decode(errors="replace")))


def check_path(raw: bytes, parameters: Mapping[str, Any]) -> None:
    """Refuse a path that holds what is no text.

    Raises
    ------
    InvalidError
        It names the parameter of the path.
    """
    broken = (
        name
        for name, value in parameters.items()
        if isinstance(value, str) and any(each in value for each in _BROKEN)
    )
    _check(unquote_to_bytes(raw), field=next(broken, "path"))


def _check(text: bytes, *, field: str) -> None:
    if b"\x00" in text:
        raise InvalidError(f"{field} holds a NUL character; remove it", field=field)
    try:
        text.decode()
    except UnicodeDecodeError:
        raise InvalidError(
            f"{field} is not UTF-8 (a lone surrogate is no character); percent-encode its UTF-8",
            field=field,
        ) from None
