"""What control takes in: executions that there is memory for, versions that can be traded."""

import os

from strategy_engine.core.errors import UnavailableError
from strategy_engine.infra import processes
from strategy_engine.matching import settings as matching
from strategy_engine.registry.model import Content
from strategy_engine.venue import limits


def refuse_when_full(max_memory_bytes: int | None, child_bytes: int) -> None:
    """Refuse another execution when the engine would outgrow STRATEGY_MAX_MEMORY.

    Raises
    ------
    UnavailableError
        With what is used, what one more may use, and the limit.
    """
    if max_memory_bytes is None:
        return
    used = processes.engine_bytes(os.getppid())
    if used + child_bytes > max_memory_bytes:
        raise UnavailableError(
            f"the engine uses {used >> 20:,} MiB, one more execution may use {child_bytes >> 20:,}"
            f" MiB, and STRATEGY_MAX_MEMORY is {max_memory_bytes >> 20:,} MiB; stop an execution,"
            " lower STRATEGY_CHILD_MEMORY, or raise the limit",
            used_bytes=used,
            accepted=max_memory_bytes,
        )


def check_trading(content: Content) -> None:
    """Refuse parameters and limits that the engine could not trade by.

    Raises
    ------
    InvalidError
        With the field, its value and what is accepted.
    """
    limits.parse(content.risk_limits, names=limits.OWN, tolerant=True)
    matching.settings(content.parameters, content.risk_limits, {}, is_native=content.is_native)
