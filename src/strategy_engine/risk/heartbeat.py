"""How long processes have owed an answer and feeds a bar, as far as markets do not rest. Pure."""

from collections.abc import Collection
from datetime import datetime
from zoneinfo import ZoneInfo

from strategy_engine.market.model import Calendar

_NEW_YORK = ZoneInfo("America/New_York")
_FRIDAY, _SATURDAY, _SUNDAY = 4, 5, 6
_ROLL_HOUR = 17


class Heartbeats:
    """Since when each execution's process has answered nothing.

    A process that is started again and again owes an answer from the first time on: only an answer
    ends its silence.
    """

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def silence_s(self, execution_id: str, owes_since_s: float | None, now_s: float) -> float:
        """Return for how long an answer is owed.

        Parameters
        ----------
        owes_since_s : float or None
            Since when the process that is there now has been asked or started; None: it owes none.
        """
        if owes_since_s is None:
            self._since.pop(execution_id, None)
            return 0.0
        return now_s - self._since.setdefault(execution_id, owes_since_s)

    def keep(self, execution_ids: Collection[str]) -> None:
        """Forget all others."""
        self._since = {name: at for name, at in self._since.items() if name in execution_ids}


def staleness_s(
    idle_since_s: float | None, *, bar_s: float, now_s: float, is_open: bool
) -> float | None:
    """Return how much longer than a bar lasts none has come; None where that means nothing.

    Parameters
    ----------
    idle_since_s : float or None
        Since when a bar has been waited for; None: none is.
    is_open : bool
        Whether the market trades now.
    """
    if not is_open:
        return None
    return 0.0 if idle_since_s is None else max(0.0, now_s - idle_since_s - bar_s)


def is_open(calendars: Collection[Calendar], now: datetime) -> bool:
    """Say whether bars of all these markets are to be expected now.

    Of exchanges with sessions no hours are known, so their feeds are never called stale here.
    """
    return bool(calendars) and all(_is_open(each, now) for each in calendars)


def _is_open(calendar: Calendar, now: datetime) -> bool:
    match calendar:
        case Calendar.CONTINUOUS:
            return True
        case Calendar.SESSION:
            return False
        case Calendar.FX:
            local = now.astimezone(_NEW_YORK)
            is_past_roll = local.hour >= _ROLL_HOUR
            day = local.weekday()
            rests = day == _SATURDAY or (day == _FRIDAY and is_past_roll)
            return not rests and not (day == _SUNDAY and not is_past_roll)
