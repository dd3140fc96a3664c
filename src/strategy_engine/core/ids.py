"""Identifiers: a prefix that says of what, then 96 random bits."""

import hashlib
import secrets

STRATEGY = "strat"
PIPELINE = "pipe"
EXECUTION = "exec"


def new_id(prefix: str) -> str:
    """Return a fresh identifier such as `strat_9f86d081884c7d659a2feaa0`."""
    return f"{prefix}_{secrets.token_hex(12)}"


def derived(prefix: str, key: str) -> str:
    """Return the one identifier that belongs to a key: asked again, it is the same."""
    return f"{prefix}_{hashlib.sha256(key.encode()).hexdigest()[:24]}"
