"""How a webhook is signed, when it is tried again, and which targets are allowed. Pure.

References
----------
Standard Webhooks 1.0 (standardwebhooks.com): the three headers, what is signed, the secret's form.
"""

import base64
import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Iterable
from datetime import timedelta
from urllib.parse import urlsplit

from strategy_engine.core.errors import InvalidError
from strategy_engine.infra.bus import topics

PREFIX = "whsec_"
LONGEST_URL = 2_000
DELAYS_S = (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800)
MOST_ATTEMPTS = len(DELAYS_S) + 1
LONGEST_WAIT = timedelta(days=1)
MOST_WAITING = 10_000  # events for one webhook; and so many that ended are kept of each
KEPT = timedelta(days=30)
_SECRET_BYTES = 32
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Where AWS (IPv6), Alibaba and Oracle answer; the others' addresses are link-local.
_METADATA = tuple(
    ipaddress.ip_address(each) for each in ("fd00:ec2::254", "100.100.100.200", "192.0.0.192")
)
_NAMES = tuple(each.name for each in topics.TOPICS)

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def make_secret() -> str:
    """Return a fresh secret of 256 random bits."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def headers(secret: str, event_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """Return what proves to a receiver whom an event is from, and when it was sent."""
    return {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": signature(secret, event_id, timestamp_s, body),
    }


def signature(secret: str, event_id: str, timestamp_s: int, body: bytes) -> str:
    """Return the signature of an event by its id, the time it is sent, and its body."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{event_id}.{timestamp_s}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def delay(attempts: int) -> timedelta:
    """Return how long after an attempt that failed the next one is made."""
    return timedelta(seconds=DELAYS_S[min(attempts, len(DELAYS_S)) - 1])


def check_url(url: str) -> None:
    """Refuse a URL that nothing could be sent to, or that holds a password.

    Raises
    ------
    InvalidError
        With what is accepted; a password is not repeated.
    """
    if not _is_target(url):
        raise InvalidError(
            "url must be an http or https URL with a host and without a user, such as"
            " https://ops.example/hooks",
            field="url",
            accepted="https://host/path",
        )


def check_topics(wanted: Iterable[str]) -> None:
    """Refuse a topic that nothing is published on.

    Raises
    ------
    InvalidError
        With the topics that there are.
    """
    for each in wanted:
        if each not in _NAMES:
            raise InvalidError(
                f"there is no topic {each[:60]!r}; there are {', '.join(_NAMES)}",
                field="topics",
                value=each[:60],
                accepted=list(_NAMES),
            )


def is_public(address: str) -> bool:
    """Say whether an address is one of the public Internet, however it is written.

    Examples
    --------
    >>> [is_public(each) for each in ("8.8.8.8", "10.0.0.1", "::1", "::ffff:127.0.0.1")]
    [True, False, False, False]
    """
    found = _bare(ipaddress.ip_address(address.partition("%")[0]))
    return found.is_global and not found.is_multicast


def is_machines(address: str) -> bool:
    """Say whether an address is only a host's own talk with its network or cloud: never a target.

    Link-local addresses, and where clouds answer with a host's credentials.

    Examples
    --------
    >>> [is_machines(each) for each in ("169.254.169.254", "fe80::1", "127.0.0.1", "10.0.0.1")]
    [True, True, False, False]
    """
    found = _bare(ipaddress.ip_address(address.partition("%")[0]))
    return found.is_link_local or found.is_multicast or found in _METADATA


def _bare(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_target(url: str) -> bool:
    if len(url) > LONGEST_URL or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return fine and parts.username is None and parts.password is None
