"""`DATABASE_URL` and `REDIS_URL`, read without a driver. Pure.

They may hold a password: no error repeats one.
"""

from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

SCHEMES = ("postgresql", "postgres")
# What both drivers understand in the query of a URL.
PARAMETERS = frozenset(
    {
        "application_name",
        "host",
        "options",
        "passfile",
        "password",
        "port",
        "sslcert",
        "sslkey",
        "sslmode",
        "sslrootcert",
        "target_session_attrs",
        "user",
    }
)

REDIS_SCHEMES = ("redis", "rediss", "unix")
_CERTIFICATES = frozenset({"none", "optional", "required"})
# What the Redis client takes in the query of a URL, and what is accepted there; None: any text.
REDIS_PARAMETERS: dict[str, frozenset[str] | None] = {
    "client_name": None,
    "db": None,
    "password": None,
    "ssl_ca_certs": None,
    "ssl_ca_path": None,
    "ssl_cert_reqs": _CERTIFICATES,
    "ssl_certfile": None,
    "ssl_check_hostname": frozenset({"true", "false"}),
    "ssl_keyfile": None,
    "username": None,
}
_REDIS_FORM = (
    "write it like redis://USER:PASSWORD@HOST:6379/0, with / ? # @ in the password as"
    " %2F %3F %23 %40"
)


def checked_url(text: str) -> str:
    """Return the URL of a PostgreSQL database as both drivers take it.

    Raises
    ------
    ValueError
        If it is none; the message repeats nothing of it but names of parameters.
    """
    try:
        parts = urlsplit(text.strip())
        _ = parts.port
    except ValueError:
        raise ValueError("it is no URL; write it like postgresql://USER@HOST/DATABASE") from None
    if parts.scheme not in SCHEMES:
        raise ValueError("it must begin with postgresql://; unset it to use SQLite files")
    if "@" in parts.path:  # a slash of the password, read as the end of the host
        raise ValueError("it is no URL; write / ? # @ in its password as %2F %3F %23 %40")
    if not parts.path.strip("/"):
        raise ValueError("it names no database; write it like postgresql://USER@HOST/DATABASE")
    unknown = [name for name, _ in parse_qsl(parts.query) if name not in PARAMETERS]
    if unknown:
        known = ", ".join(sorted(PARAMETERS))
        raise ValueError(f"it has the unknown parameters {unknown}; there are {known}")
    return _joined(parts.netloc, parts.path, parts.query)


def checked_redis_url(text: str) -> str:
    """Return the URL of a Redis server that its client will take.

    Raises
    ------
    ValueError
        If it is none; the message repeats nothing of it but names of parameters.
    """
    url = text.strip()
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError(f"it is no URL; {_REDIS_FORM}") from None
    if parts.scheme not in REDIS_SCHEMES:
        raise ValueError("it must begin with redis://, rediss:// or unix://")
    if parts.fragment or "@" in parts.path:
        raise ValueError(f"it is no URL; {_REDIS_FORM}")
    if parts.scheme == "unix" and not parts.path.strip("/"):
        raise ValueError("it names no socket; write it like unix:///run/redis.sock")
    query = parse_qsl(parts.query)
    if parts.scheme != "unix":
        _check_number(parts.path.strip("/"))
    for name, value in query:
        _check_redis_parameter(name, value, is_tls=parts.scheme == "rediss")
    return url


def _check_redis_parameter(name: str, value: str, *, is_tls: bool) -> None:
    known = [each for each in REDIS_PARAMETERS if is_tls or not each.startswith("ssl_")]
    if name not in known:
        raise ValueError(f"it has the unknown parameter {name!r}; there are {', '.join(known)}")
    accepted = REDIS_PARAMETERS[name]
    if accepted is not None and value not in accepted:
        raise ValueError(f"its parameter {name} must be one of {', '.join(sorted(accepted))}")
    if name == "db":
        _check_number(value)


def _check_number(text: str) -> None:
    if text and not (text.isascii() and text.isdigit()):
        raise ValueError("the database that it names must be a number, such as 0")


def is_server(url: str) -> bool:
    """Say whether a URL is of a PostgreSQL database."""
    return url.startswith(SCHEMES)


def without_password(url: str) -> tuple[str, str | None]:
    """Return a URL that may be shown, and its password apart."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query)
    hidden = dict(query).get("password")
    shown = [(name, value) for name, value in query if name != "password"]
    user, has_password, rest = parts.netloc.rpartition("@")[0].partition(":")
    host = parts.netloc.rpartition("@")[2]
    netloc = f"{user}@{host}" if user else host
    password = unquote(rest) if has_password and rest else hidden
    return _joined(netloc, parts.path, _query(shown)), password


def _query(parameters: list[tuple[str, str]]) -> str:
    return urlencode(parameters, safe="/", quote_via=quote)  # PostgreSQL takes a + for a plus


def _joined(netloc: str, path: str, query: str) -> str:
    # Not `urlunsplit`: it takes the slashes away before a path without a host.
    return f"{SCHEMES[0]}://{netloc}{path}" + (f"?{query}" if query else "")
