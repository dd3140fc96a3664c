"""The feed as a runner takes it: the next bar, unless something else wants attention first."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from strategy_engine.market.feeds import MarketEvent


class Bars:
    """The feed's bars and ticks one by one; `is_fast` if it never makes anybody wait."""

    def __init__(self, feed: AsyncIterator[MarketEvent], *, is_fast: bool) -> None:
        self._feed = feed
        self._is_fast = is_fast
        self._pull: asyncio.Task[MarketEvent | None] | None = None
        self.is_over = False

    async def next(self, nudge: asyncio.Event) -> MarketEvent | None:
        """Return the next bar; None when `nudge` was set first, or when there are no more."""
        if self._is_fast:
            event = await self._take()
        else:
            self._pull = self._pull or asyncio.ensure_future(self._take())
            await _first_of(self._pull, nudge.wait())
            if not self._pull.done():
                return None
            event = self._pull.result()
            self._pull = None
        self.is_over = event is None
        return event

    async def aclose(self) -> None:
        """Give up the bar that is waited for."""
        if self._pull is not None:
            self._pull.cancel()
            await asyncio.wait([self._pull])

    async def _take(self) -> MarketEvent | None:
        try:
            return await anext(self._feed)
        except StopAsyncIteration:
            return None


async def _first_of(pull: asyncio.Task[Any], other: Coroutine[Any, Any, Any]) -> None:
    waiter = asyncio.ensure_future(other)
    try:
        await asyncio.wait([pull, waiter], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()
