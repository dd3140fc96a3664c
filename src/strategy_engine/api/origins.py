"""Whether a request comes from a page or under a name of elsewhere. Pure.

Without a key, whoever reaches the socket is obeyed, and a browser reaches it for any page that it
shows: by a form or a script of another origin, or by a name that was made to lead here (DNS
rebinding). A browser tells both, in headers that no page can change.
"""

import ipaddress
from urllib.parse import urlsplit


def is_own_origin(origin: str, host: str) -> bool:
    """Return whether an `Origin` header names the server that the `Host` header asks for.

    Examples
    --------
    >>> is_own_origin("http://localhost:8700", "localhost:8700")
    True
    >>> is_own_origin("http://localhost:3000", "localhost:8700"), is_own_origin("null", "localhost")
    (False, False)
    """
    scheme, _, asked = origin.strip().lower().partition("://")
    return scheme in {"http", "https"} and asked == host.strip().lower()


def is_loopback(host: str) -> bool:
    """Return whether a `Host` header names this machine to itself.

    Examples
    --------
    >>> is_loopback("127.0.0.1:8700"), is_loopback("[::1]:8700"), is_loopback("localhost")
    (True, True, True)
    >>> is_loopback("rebound.example:8700"), is_loopback("")
    (False, False)
    """
    try:
        name = urlsplit(f"//{host.strip()}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
