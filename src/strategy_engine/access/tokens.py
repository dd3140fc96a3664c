"""A key's text: made, taken apart, and compared. Pure but for the randomness."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

PREFIX = "sek"  # so that a scanner of secrets can tell what leaked
_ID_BYTES = 6
_SECRET_BYTES = 32
_PARTS = 3
_LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A key as its owner holds it; shown once."""

    key_id: str
    secret: str

    def __str__(self) -> str:
        return f"{PREFIX}_{self.key_id}_{self.secret}"

    def __repr__(self) -> str:
        return f"Token(key_id={self.key_id!r})"  # a secret has no place in a log


def make() -> Token:
    """Return a fresh key: 256 random bits and a name that is no secret."""
    return Token(key_id=secrets.token_hex(_ID_BYTES), secret=secrets.token_hex(_SECRET_BYTES))


def parse(text: str) -> Token | None:
    """Return a key's parts, or None for what is none."""
    parts = text.split("_")
    if len(text) > _LONGEST or len(parts) != _PARTS or parts[0] != PREFIX or not all(parts):
        return None
    return Token(key_id=parts[1], secret=parts[2])


def hashed(secret: str) -> str:
    """Return what is kept of a secret. It is random through and through: no salt, no stretching."""
    return hashlib.sha256(secret.encode()).hexdigest()


def matches(secret: str, kept: str) -> bool:
    """Say whether a secret is the one that was kept, in a time that tells nothing."""
    return hmac.compare_digest(hashed(secret), kept)
