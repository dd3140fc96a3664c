"""Bars from the bus as a feed: the same events as a replay's, as they come."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from strategy_engine.core.clock import Clock
from strategy_engine.market import busrules
from strategy_engine.market.busbars import BusBars, Listener
from strategy_engine.market.busrules import Standing
from strategy_engine.market.feeds import BarEvent
from strategy_engine.market.growing import GrowingBars


@dataclass(slots=True, kw_only=True, eq=False)
class Track:
    """One instrument's growing bars, and where its new ones arrive."""

    symbol: str
    bars: GrowingBars
    listener: Listener
    next_index: int = 0

    def standing(self) -> Standing:
        """Return where the instrument is."""
        has_next = self.next_index < len(self.bars)
        return Standing(
            symbol=self.symbol,
            duration_ns=self.bars.timeframe_ns,
            next_ns=self._close_ns(self.next_index) if has_next else None,
            last_ns=self._close_ns(self.next_index - 1) if self.next_index else 0,
        )

    def absorb(self) -> None:
        """Append what has arrived."""
        while self.listener.bars:
            self.bars.append(self.listener.bars.popleft())

    def _close_ns(self, index: int) -> int:
        return int(self.bars.bars.ts_ns[index]) + self.bars.timeframe_ns


class BusFeed:
    """Plays what comes, in (close, symbol) order; it ends only when it is left.

    Parameters
    ----------
    start_after_ns : int
        Only bars that close after this are played; the ones before have warmed the strategy up.
    """

    def __init__(
        self, source: BusBars, tracks: Mapping[str, Track], *, start_after_ns: int, clock: Clock
    ) -> None:
        self._source = source
        self._tracks = dict(tracks)
        self._clock = clock
        self._waits_since_s: float | None = None
        self._last = -1, ""
        self._has_news = asyncio.Event()
        for track in self._tracks.values():
            track.listener.has_news = self._has_news
            track.absorb()
            closes = track.bars.bars.close_ns
            track.next_index = int(closes.searchsorted(start_after_ns, side="right"))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BarEvent:
        while True:
            self._has_news.clear()
            for track in self._tracks.values():
                track.absorb()
            event = self._next()
            if event is None:
                await self._wait()
                continue
            await asyncio.sleep(0)  # bars that were waiting leave others their turn
            if (event.close_ns, event.symbol) > self._last:
                self._last = event.close_ns, event.symbol
                return event
            self._source.drop_late()  # those of others that come after it have been played

    def _next(self) -> BarEvent | None:
        standings = [track.standing() for track in self._tracks.values()]
        if all(each.next_ns is None for each in standings):
            self._waits_since_s = None
            return None
        now_s = self._clock.monotonic_s()
        if self._waits_since_s is None:
            self._waits_since_s = now_s
        is_late = now_s - self._waits_since_s >= busrules.GRACE_S
        symbol = busrules.next_symbol(standings, is_late=is_late)
        if symbol is None:
            return None
        self._waits_since_s = None
        return self._event(self._tracks[symbol])

    async def _wait(self) -> None:
        if self._waits_since_s is None:
            await self._has_news.wait()
            return
        left_s = self._waits_since_s + busrules.GRACE_S - self._clock.monotonic_s()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.001, left_s)):
                await self._has_news.wait()

    def _event(self, track: Track) -> BarEvent:
        bars, index = track.bars.bars, track.next_index
        track.next_index += 1
        ts_ns = int(bars.ts_ns[index])
        return BarEvent(
            symbol=track.symbol,
            index=index,
            ts_ns=ts_ns,
            close_ns=ts_ns + bars.timeframe_ns,
            open=float(bars.open[index]),
            high=float(bars.high[index]),
            low=float(bars.low[index]),
            close=float(bars.close[index]),
            volume=float(bars.volume[index]),
        )
