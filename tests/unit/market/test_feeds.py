import asyncio
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core.clock import SteppedClock
from strategy_engine.core.errors import InvalidError
from strategy_engine.market import feeds
from strategy_engine.market.feeds import BarEvent, Feed, ReplayFeed
from strategy_engine.market.model import Bars

HOUR_NS = 3_600 * 10**9


def bars(count: int, timeframe_ns: int = HOUR_NS, start_ns: int = 0) -> Bars:
    price = 1.0 + np.arange(count) / 8
    return Bars(
        ts_ns=start_ns + np.arange(count, dtype=np.int64) * timeframe_ns,
        open=price,
        high=price + 1,
        low=price - 0.5,
        close=price + 0.25,
        volume=price * 100,
        timeframe_ns=timeframe_ns,
    )


class Pace:
    """A clock and a sleep that moves it: time passes only where someone waits."""

    def __init__(self) -> None:
        self.clock = SteppedClock(datetime(2017, 1, 1, tzinfo=UTC))
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)

    def feed(
        self, histories: dict[str, Bars], speed: float, after: int | None = None
    ) -> ReplayFeed:
        return ReplayFeed(
            histories, start_after_ns=after, speed=speed, clock=self.clock, sleep=self.sleep
        )


async def play(feed: Feed) -> list[BarEvent]:
    return [event async for event in feed]


async def test_a_bar_is_given_whole() -> None:
    (event,) = await play(Pace().feed({"X.SIM": bars(1, start_ns=HOUR_NS)}, 0))
    assert event == BarEvent(
        symbol="X.SIM",
        index=0,
        ts_ns=HOUR_NS,
        close_ns=2 * HOUR_NS,
        open=1.0,
        high=2.0,
        low=0.5,
        close=1.25,
        volume=100.0,
    )


async def test_symbols_of_different_timeframes_are_merged_by_close_then_name() -> None:
    histories = {"B.SIM": bars(4), "A.SIM": bars(2, 2 * HOUR_NS)}
    events = await play(Pace().feed(histories, 0))
    assert [(each.close_ns // HOUR_NS, each.symbol, each.index) for each in events] == [
        (1, "B.SIM", 0),
        (2, "A.SIM", 0),
        (2, "B.SIM", 1),
        (3, "B.SIM", 2),
        (4, "A.SIM", 1),
        (4, "B.SIM", 3),
    ]


@given(
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from([1, 2, 4])), max_size=4),
    st.integers(-1, 50),
)
async def test_every_bar_after_the_start_is_played_once_in_order(
    shapes: list[tuple[int, int]], after: int
) -> None:
    histories = {
        f"S{number}.SIM": bars(count, hours * HOUR_NS)
        for number, (count, hours) in enumerate(shapes)
    }
    feed = Pace().feed(histories, float("inf"), after * HOUR_NS)
    expected = sorted(
        (int(close_ns), symbol, index)
        for symbol, history in histories.items()
        for index, close_ns in enumerate(history.close_ns)
        if close_ns > after * HOUR_NS
    )
    assert feed.remaining == len(expected)
    events = await play(feed)
    assert [(each.close_ns, each.symbol, each.index) for each in events] == expected
    assert feed.remaining == 0


async def test_a_feed_resumed_after_a_bar_plays_exactly_the_rest() -> None:
    histories = {"A.SIM": bars(5), "B.SIM": bars(5)}
    whole = await play(Pace().feed(histories, 0))
    rest = await play(Pace().feed(histories, 0, whole[3].close_ns))
    assert rest == whole[4:]


async def test_bars_are_due_at_a_fixed_pace_from_the_first() -> None:
    pace = Pace()
    due = [pace.clock.monotonic_s() async for _ in pace.feed({"X.SIM": bars(5)}, 4)]
    assert due == [0.0, 0.25, 0.5, 0.75, 1.0]


async def test_time_spent_on_a_bar_does_not_delay_the_next_ones() -> None:
    pace = Pace()
    due = []
    async for _ in pace.feed({"X.SIM": bars(5)}, 4):
        due.append(pace.clock.monotonic_s())
        pace.clock.advance(0.1)
    assert due == [0.0, 0.25, 0.5, 0.75, 1.0]


async def test_a_slow_consumer_catches_up_at_most_one_second() -> None:
    pace = Pace()
    due = []
    async for event in pace.feed({"X.SIM": bars(30)}, 10):
        due.append(pace.clock.monotonic_s())
        if event.index == 0:
            pace.clock.advance(60)
    overdue = [each for each in due if each == 60.0]
    assert (
        len(overdue) == 11
    )  # what one second holds at ten a second, and the bar that was waited for
    assert due[12] == pytest.approx(60.1)
    assert due[-1] == pytest.approx(60.1 + 1.7)


@pytest.mark.parametrize("speed", [0, 0.0, float("inf")])
async def test_at_full_speed_no_time_passes_and_other_tasks_get_their_turn(speed: float) -> None:
    pace = Pace()
    events = await play(pace.feed({"X.SIM": bars(200)}, speed))
    assert len(events) == 200
    assert set(pace.slept) == {0}
    assert len(pace.slept) == 4


async def test_a_feed_that_is_late_still_yields_to_other_tasks() -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        other = group.create_task(count_turns())
        clock = SteppedClock(datetime(2017, 1, 1, tzinfo=UTC))
        feed = ReplayFeed({"X.SIM": bars(20)}, speed=1_000, clock=clock)
        async for _ in feed:
            clock.advance(1)
        other.cancel()
    assert turns >= 19


async def test_the_end_of_the_data_ends_the_feed_for_good() -> None:
    feed = Pace().feed({"X.SIM": bars(1)}, 0)
    await anext(feed)
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await anext(feed)


async def test_a_feed_of_nothing_ends_at_once() -> None:
    assert await play(Pace().feed({}, 1)) == []


@pytest.mark.parametrize("speed", [-1, float("nan"), float("-inf")])
def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(InvalidError, match="speed"):
        Pace().feed({"X.SIM": bars(1)}, speed)


@pytest.mark.parametrize(("lookback", "first"), [(0, 0), (3, 3), (10, 10), (512, 10)])
def test_warm_up_takes_the_lookback_from_the_front(lookback: int, first: int) -> None:
    assert feeds.warm_up(bars(10), lookback) == first


def test_a_negative_lookback_is_refused() -> None:
    with pytest.raises(InvalidError, match="lookback"):
        feeds.warm_up(bars(1), -1)
