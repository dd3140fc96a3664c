"""What a bar on the bus says, and which of several instruments' bars is next. Pure.

A bar is NautilusTrader's own, as its plain values: the engine reads it without its classes.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from strategy_engine.core import clock
from strategy_engine.core.errors import InvalidError
from strategy_engine.market.recorded import BusBar

TOPIC = "data.bars."
GRACE_S = 1.0  # how long a bar waits for those of other instruments that should come before it


def topic_of(bar_type: str) -> str:
    """Return the topic that NautilusTrader publishes bars of a type on."""
    return f"{TOPIC}{bar_type}"


def bar_of(payload: Mapping[str, Any]) -> BusBar:
    """Return the bar of a payload, `ts_event` being when it closed.

    Raises
    ------
    InvalidError
        If it is no bar, or one that cannot have happened.
    """
    if payload.get("type") != "Bar":
        raise InvalidError(f"a bar was expected, not {payload.get('type')!r}", field="type")
    bar = BusBar(
        # What a bar was made of stands behind an @, if it was made of other bars.
        bar_type=str(payload.get("bar_type", "")).partition("@")[0],
        close_ns=_nanos(payload.get("ts_event")),
        **{name: _number(name, payload.get(name)) for name in ("open", "high", "low", "close")},
        volume=_number("volume", payload.get("volume")),
    )
    if bar.low > min(bar.open, bar.close) or bar.high < max(bar.open, bar.close) or bar.volume < 0:
        raise InvalidError(
            f"the bar of {bar.bar_type} that closed at {bar.close_ns} ns cannot have happened:"
            f" open {bar.open}, high {bar.high}, low {bar.low}, close {bar.close},"
            f" volume {bar.volume}",
            field="high",
        )
    return bar


def in_order(
    bars: Iterable[BusBar], last_close_ns: Mapping[str, int]
) -> tuple[list[BusBar], Counter[str]]:
    """Return the bars that are later than the last of their type, and how many are not, by why."""
    lasts = dict(last_close_ns)
    taken: list[BusBar] = []
    dropped: Counter[str] = Counter()
    for bar in bars:
        last_ns = lasts.get(bar.bar_type, 0)
        if bar.close_ns > last_ns:
            lasts[bar.bar_type] = bar.close_ns
            taken.append(bar)
        else:
            dropped["bars_repeated" if bar.close_ns == last_ns else "bars_out_of_order"] += 1
    return taken, dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where one instrument is: when its next bar closes (None: not here yet), and its last did."""

    symbol: str
    duration_ns: int
    next_ns: int | None
    last_ns: int


def next_symbol(standings: list[Standing], *, is_late: bool) -> str | None:
    """Return whose bar is next in the order of (close, symbol), or None while it is not certain.

    It is certain once no other instrument's bar can come before it: each has one waiting, or
    stands so far on that its next one is later. After a grace (`is_late`) nobody is waited for.
    """
    waiting = [each for each in standings if each.next_ns is not None]
    if not waiting:
        return None
    chosen = min(waiting, key=lambda each: (each.next_ns or 0, each.symbol))
    missing = [each for each in standings if each.next_ns is None]
    if is_late or all(_comes_later(each, chosen) for each in missing):
        return chosen.symbol
    return None


def _comes_later(missing: Standing, chosen: Standing) -> bool:
    following = missing.last_ns + missing.duration_ns, missing.symbol
    return following > (chosen.next_ns or 0, chosen.symbol)


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise InvalidError(f"a bar's {name} is {value!r}, no number", field=name)
    return number


def _nanos(value: Any) -> int:
    try:
        nanos = _time(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidError(f"a bar's ts_event is {value!r}, no time", field="ts_event") from error
    if isinstance(value, bool | float) or not 0 < nanos < 1 << 63:
        raise InvalidError(f"a bar's ts_event is {value!r}, no time", field="ts_event")
    return nanos


def _time(value: Any) -> int:
    if isinstance(value, str) and not value.isdigit():
        return clock.to_nanos(datetime.fromisoformat(value))
    return int(value)
