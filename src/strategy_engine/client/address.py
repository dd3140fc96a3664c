"""Which addresses are this machine's own, and what an engine's URL must look like. Pure."""

import ipaddress
from urllib.parse import urlsplit

from strategy_engine.core.errors import InvalidError

DEFAULT_URL = "http://127.0.0.1:8700"


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach `host`; a name other than localhost is not sure.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    bare = host.strip().removeprefix("[").removesuffix("]").lower()
    if bare == "localhost":
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def base_url(text: str) -> str:
    """Return an engine's URL without its trailing slash.

    Raises
    ------
    InvalidError
        If it is no http or https URL with a host.
    """
    if _is_http_url(text):
        return text.strip().rstrip("/")
    raise InvalidError(
        f"{text!r} is no engine URL; write it like {DEFAULT_URL}",
        field="url",
        value=text,
        accepted=DEFAULT_URL,
    )


def host_of(url: str) -> str:
    """Return the host that a URL names."""
    return urlsplit(url).hostname or ""


def _is_http_url(text: str) -> bool:
    try:
        parts = urlsplit(text.strip())
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
