"""Identifiers: a prefix that says of what, then 96 random bits."""

import secrets

STRATEGY = "strat"
PIPELINE = "pipe"
EXECUTION = "exec"


def new_id(prefix: str) -> str:
    """Return a fresh identifier such as `strat_9f86d081884c7d659a2feaa0`."""
    return f"{prefix}_{secrets.token_hex(12)}"
