import asyncio
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core.clock import SteppedClock
from strategy_engine.core.errors import InvalidError
from strategy_engine.market.feeds import BarEvent, MarketEvent, QuoteEvent, TradeEvent
from strategy_engine.market.model import Bars, Quotes, Trades
from strategy_engine.market.replay import MarketReplay

MINUTE = 60 * 10**9


def bars(count: int, first_ns: int = 0, step_ns: int = MINUTE) -> Bars:
    price = 1.0 + np.arange(count) / 8
    columns = dict.fromkeys(("open", "high", "low", "close", "volume"), price)
    ts_ns = first_ns + np.arange(count, dtype=np.int64) * step_ns
    return Bars(ts_ns=ts_ns, **columns, timeframe_ns=step_ns)


def quotes(*times: int) -> Quotes:
    ts_ns = np.array(times, dtype=np.int64)
    price = 1.0 + np.arange(ts_ns.size) / 8
    return Quotes(ts_ns=ts_ns, bid=price, ask=price + 0.5, bid_size=price * 2, ask_size=price * 3)


def trades(*times: int) -> Trades:
    ts_ns = np.array(times, dtype=np.int64)
    price = 2.0 + np.arange(ts_ns.size) / 8
    return Trades(ts_ns=ts_ns, price=price, size=price * 2)


class Pace:
    """A clock and a sleep that moves it: time passes only where someone waits."""

    def __init__(self) -> None:
        self.clock = SteppedClock(datetime(2017, 1, 1, tzinfo=UTC))
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)

    def feed(self, **given_: object) -> MarketReplay:
        told = {"bars": {}, "quotes": {}, "trades": {}, "speed": 0.0} | given_
        return MarketReplay(**told, clock=self.clock, sleep=self.sleep)  # type: ignore[arg-type]


async def play(feed: MarketReplay) -> list[MarketEvent]:
    return [event async for event in feed]


def known_ns(event: MarketEvent) -> int:
    return event.close_ns if isinstance(event, BarEvent) else event.ts_ns


def told(events: list[MarketEvent]) -> list[tuple[int, int, str, int]]:
    kinds = (BarEvent, QuoteEvent, TradeEvent)
    return [(known_ns(each), kinds.index(type(each)), each.symbol, each.index) for each in events]


async def test_events_are_given_whole_and_in_the_order_in_which_they_were_known() -> None:
    events = await play(
        Pace().feed(
            bars={"X.SIM": bars(1)},
            quotes={"X.SIM": quotes(MINUTE - 1)},
            trades={"X.SIM": trades(MINUTE + 1)},
        )
    )
    assert events == [
        QuoteEvent(
            symbol="X.SIM",
            index=0,
            ts_ns=MINUTE - 1,
            bid=1.0,
            ask=1.5,
            bid_size=2.0,
            ask_size=3.0,
        ),
        BarEvent(
            symbol="X.SIM",
            index=0,
            ts_ns=0,
            close_ns=MINUTE,
            open=1.0,
            high=1.0,
            low=1.0,
            close=1.0,
            volume=1.0,
        ),
        TradeEvent(symbol="X.SIM", index=0, ts_ns=MINUTE + 1, price=2.0, size=4.0),
    ]


async def test_at_one_instant_bars_come_first_then_quotes_then_trades_each_by_symbol() -> None:
    at = MINUTE
    feed = Pace().feed(
        bars={"B.SIM": bars(1), "A.SIM": bars(1)},
        quotes={"B.SIM": quotes(at, at), "A.SIM": quotes(at)},
        trades={"B.SIM": trades(at), "A.SIM": trades(at)},
    )
    assert [each[1:] for each in told(await play(feed))] == [
        (0, "A.SIM", 0),
        (0, "B.SIM", 0),
        (1, "A.SIM", 0),
        (1, "B.SIM", 0),
        (1, "B.SIM", 1),
        (2, "A.SIM", 0),
        (2, "B.SIM", 0),
    ]


moments = st.lists(st.integers(0, 12 * MINUTE // 10**9), max_size=25).map(
    lambda seconds: sorted(each * 10**9 for each in seconds)
)


@given(
    times=st.tuples(moments, moments, moments),
    count=st.integers(0, 9),
    piece=st.integers(1, 8),
    after=st.none() | st.integers(0, 12).map(lambda each: each * MINUTE),
)
def test_a_stream_that_is_merged_in_pieces_is_the_one_that_is_sorted_whole(
    times: tuple[list[int], list[int], list[int]], count: int, piece: int, after: int | None
) -> None:
    first, second, third = times
    feed = Pace().feed(
        bars={"A.SIM": bars(count), "B.SIM": bars(count, step_ns=2 * MINUTE)},
        quotes={"A.SIM": quotes(*first), "B.SIM": quotes(*second)},
        trades={"A.SIM": trades(*third)},
        start_after_ns=after,
        piece=piece,
    )
    rows = [((at + 1) * MINUTE, 0, "A.SIM", at) for at in range(count)]
    rows += [((at + 1) * 2 * MINUTE, 0, "B.SIM", at) for at in range(count)]
    rows += [(ts, 1, "A.SIM", at) for at, ts in enumerate(first)]
    rows += [(ts, 1, "B.SIM", at) for at, ts in enumerate(second)]
    rows += [(ts, 2, "A.SIM", at) for at, ts in enumerate(third)]
    expected = sorted(each for each in rows if after is None or each[0] > after)
    assert feed.remaining == len(expected)
    assert told(asyncio.run(play(feed))) == expected
    assert feed.remaining == 0


@given(
    first=moments,
    count=st.integers(1, 9),
    piece=st.integers(1, 8),
    speed=st.sampled_from([0.5, 1.0, 10.0]),
)
def test_bars_are_due_at_their_turn_and_ticks_in_proportion_between(
    first: list[int], count: int, piece: int, speed: float
) -> None:
    pace = Pace()
    feed = pace.feed(
        bars={"A.SIM": bars(count)}, quotes={"A.SIM": quotes(*first)}, speed=speed, piece=piece
    )

    async def times() -> list[tuple[float, MarketEvent]]:
        started_s = pace.clock.monotonic_s()
        return [(pace.clock.monotonic_s() - started_s, event) async for event in feed]

    for at_s, event in asyncio.run(times()):
        minutes = known_ns(event) / MINUTE - 1  # bar 0 closes after one
        due_s = min(max(minutes, 0.0), count - 1) / speed
        assert at_s == pytest.approx(due_s, abs=1e-6)


async def test_without_bars_the_speed_is_events_a_second() -> None:
    pace = Pace()
    await play(pace.feed(quotes={"A.SIM": quotes(5, 6, 7)}, speed=4.0))
    assert pace.slept == pytest.approx([0.0, 0.25, 0.25])


async def test_at_full_speed_others_have_their_turn() -> None:
    pace = Pace()
    await play(pace.feed(quotes={"A.SIM": quotes(*range(130))}))
    assert pace.slept == [0, 0, 0]


async def test_nothing_to_play_ends_at_once() -> None:
    feed = Pace().feed(quotes={"A.SIM": quotes()})
    assert feed.remaining == 0
    assert await play(feed) == []


@pytest.mark.parametrize("speed", [-1.0, float("nan")])
def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(InvalidError, match="speed"):
        Pace().feed(speed=speed)
