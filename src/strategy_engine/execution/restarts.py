"""When an execution whose process ended is started again, and when no more. Pure."""

from dataclasses import dataclass

FIRST_BACK_OFF_S = 0.5
LONGEST_BACK_OFF_S = 30.0
MOST_CRASHES = 4  # with less than STEADY_S between them: the last one ends it
MOST_LOSSES = 5  # in a row, without a bar between them
STEADY_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How often the process of an execution has ended of late.

    Parameters
    ----------
    crashes : int
        By its own doing, since it last ran steadily.
    losses : int
        By somebody else's doing, in a row.
    last_crash_s : float
        When it crashed last, by the monotonic clock.
    """

    crashes: int = 0
    losses: int = 0
    last_crash_s: float = 0.0

    @property
    def is_exhausted(self) -> bool:
        """Whether it is not to be started again."""
        return self.crashes >= MOST_CRASHES or self.losses >= MOST_LOSSES

    @property
    def back_off_s(self) -> float:
        """How long it rests before it is started again; the first loss costs nothing."""
        doublings = max(self.crashes, self.losses - 1) - 1
        return min(LONGEST_BACK_OFF_S, FIRST_BACK_OFF_S * 2**doublings) if doublings >= 0 else 0.0


def after_crash(record: Record, now_s: float) -> Record:
    """Return the record with one more crash; one after a steady time is the first again."""
    is_steady = record.crashes > 0 and now_s - record.last_crash_s >= STEADY_S
    crashes = 1 if is_steady else record.crashes + 1
    return Record(crashes=crashes, losses=0, last_crash_s=now_s)


def after_loss(record: Record, *, has_played: bool) -> Record:
    """Return the record with one more loss; one that got on since the last is the first again."""
    losses = 1 if has_played else record.losses + 1
    return Record(crashes=record.crashes, losses=losses, last_crash_s=record.last_crash_s)
