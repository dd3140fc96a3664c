"""Bars of several instruments that arrive one by one are played in one order."""

import asyncio
from typing import Any

import numpy as np
import pytest

from strategy_engine.core.clock import SystemClock
from strategy_engine.market import busrules
from strategy_engine.market.busbars import Listener
from strategy_engine.market.busfeed import BusFeed, Track
from strategy_engine.market.growing import GrowingBars
from strategy_engine.market.model import COLUMNS, Bars
from strategy_engine.market.recorded import BusBar

LENGTH_NS = 10


class Source:
    """What a feed tells of bars that came too late."""

    late = 0

    def drop_late(self) -> None:
        self.late += 1


class World:
    """Two instruments, both without a past, and the feed of their bars."""

    def __init__(self) -> None:
        self.source = Source()
        self.tracks = {symbol: _track(symbol) for symbol in "AB"}
        source: Any = self.source
        self.feed = BusFeed(source, self.tracks, start_after_ns=0, clock=SystemClock())

    def arrive(self, symbol: str, close_ns: int) -> None:
        prices = dict.fromkeys(COLUMNS, 1.0)
        listener = self.tracks[symbol].listener
        listener.bars.append(BusBar(bar_type=symbol, close_ns=close_ns, **prices))
        listener.has_news.set()

    async def played(self, count: int) -> list[tuple[str, int]]:
        async with asyncio.timeout(30):
            events = [await anext(self.feed) for _ in range(count)]
        return [(each.symbol, each.close_ns) for each in events]


def _track(symbol: str) -> Track:
    nothing = np.zeros(0)
    past = Bars(
        ts_ns=np.zeros(0, dtype=np.int64),
        timeframe_ns=LENGTH_NS,
        **dict.fromkeys(COLUMNS, nothing),
    )
    return Track(symbol=symbol, bars=GrowingBars(past), listener=Listener(bar_type=symbol))


async def test_a_bar_waits_for_the_other_instruments_and_both_are_played_in_order(monkeypatch):
    monkeypatch.setattr(busrules, "GRACE_S", 3_600.0)
    world = World()
    world.arrive("B", 10)
    playing = asyncio.create_task(world.played(2))
    await asyncio.sleep(0)
    assert not playing.done()

    world.arrive("A", 10)

    assert await playing == [("A", 10), ("B", 10)]


async def test_a_bar_that_comes_after_the_grace_is_dropped_and_counted(monkeypatch):
    monkeypatch.setattr(busrules, "GRACE_S", 0.0)
    world = World()
    world.arrive("B", 10)
    assert await world.played(1) == [("B", 10)]

    world.arrive("A", 10)
    world.arrive("A", 20)

    assert await world.played(1) == [("A", 20)]
    assert world.source.late == 1
    assert len(world.tracks["A"].bars) == 2


@pytest.mark.parametrize("start_after_ns", [0, 10, 20])
async def test_only_bars_after_the_start_are_played(start_after_ns):
    world = World()
    for close_ns in (10, 20, 30):
        world.arrive("A", close_ns)
    source: Any = world.source
    only_a = {"A": world.tracks["A"]}
    feed = BusFeed(source, only_a, start_after_ns=start_after_ns, clock=SystemClock())

    async with asyncio.timeout(30):
        first = await anext(feed)

    assert first.close_ns == start_after_ns + 10
