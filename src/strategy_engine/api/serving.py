"""How an execution's tenure is shown."""

from strategy_engine.api import readings
from strategy_engine.core import clock
from strategy_engine.venue.model import NEVER, Span, Tenure

OTHERS = "*"


def shown(serves: Tenure) -> list[readings.Serving]:
    """Return when an execution may open positions: by instrument, and the others last."""
    named = [_serving(symbol, span) for symbol, span in sorted(serves.by_symbol.items())]
    return [*named, _serving(OTHERS, serves.others)]


def _serving(symbol: str, span: Span) -> readings.Serving:
    is_never = span == NEVER
    return readings.Serving(
        symbol=symbol,
        never=is_never,
        after=None if is_never or span.from_ns is None else clock.from_nanos(span.from_ns),
        until=None if span.until_ns is None else clock.from_nanos(span.until_ns),
        gaps=[
            readings.Gap(after=clock.from_nanos(after), until=clock.from_nanos(until))
            for after, until in span.gaps
        ],
    )
