"""The audit rows of what shares a line's capital: experiments and allocations."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core.clock import Clock
from strategy_engine.infra import audit


class Recorder:
    """Writes who did what to one kind of subject."""

    def __init__(self, subject_type: str, clock: Clock) -> None:
        self._subject_type = subject_type
        self._clock = clock

    async def record(
        self,
        connection: AsyncConnection,
        subject_id: str,
        *,
        actor: str,
        action: str,
        details: Mapping[str, Any],
        states: tuple[StrEnum | None, StrEnum],
    ) -> None:
        """Write an audit row in the caller's transaction.

        Parameters
        ----------
        states : tuple
            Before, where it is another, and after.
        """
        before, after = states
        await audit.record(
            connection,
            audit.Entry(
                at=self._clock.now(),
                actor=actor,
                subject_type=self._subject_type,
                subject_id=subject_id,
                action=action,
                from_state=None if before is None else before.value,
                to_state=after.value,
                details=dict(details),
            ),
        )
