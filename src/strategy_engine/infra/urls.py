"""`DATABASE_URL`, read without a driver. Pure. It may hold a password: no error repeats it."""

from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

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
    if not parts.path.strip("/"):
        raise ValueError("it names no database; write it like postgresql://USER@HOST/DATABASE")
    unknown = [name for name, _ in parse_qsl(parts.query) if name not in PARAMETERS]
    if unknown:
        known = ", ".join(sorted(PARAMETERS))
        raise ValueError(f"it has the unknown parameters {unknown}; there are {known}")
    return _joined(parts.netloc, parts.path, parts.query)


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
    return _joined(netloc, parts.path, urlencode(shown, safe="/")), password


def _joined(netloc: str, path: str, query: str) -> str:
    # Not `urlunsplit`: it takes the slashes away before a path without a host.
    return f"{SCHEMES[0]}://{netloc}{path}" + (f"?{query}" if query else "")
