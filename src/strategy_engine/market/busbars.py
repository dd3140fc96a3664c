"""The node's reader of bars on the bus: one for all executions, with a record of what it took."""

import asyncio
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import EngineError, InvalidError
from strategy_engine.infra import logs
from strategy_engine.infra.bus import codec, links
from strategy_engine.infra.bus.links import Link
from strategy_engine.infra.bus.model import BEGINNING, Bus, Received
from strategy_engine.infra.database import Database
from strategy_engine.market import busrules, recorded
from strategy_engine.market.recorded import BusBar

READ_S = 0.25
RETRY_S = 0.5
STALE_S = 60.0  # beyond a bar's own length: then a feed is called stale

_log = logs.get("market")


@dataclass(slots=True, kw_only=True, eq=False)
class Listener:
    """Where one execution's bars of one type arrive."""

    bar_type: str
    bars: deque[BusBar] = field(default_factory=deque)
    has_news: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True, kw_only=True, eq=False)
class _Channel:
    duration_ns: int
    last_close_ns: int
    heard_s: float
    listeners: list[Listener] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Which streams are read: this one, and the one of each topic behind it.

    What a producer is configured to does not matter, since both are looked at.
    """

    stream: str
    name: str = "bars"
    holder: str = "local"

    def keys_of(self, bar_type: str) -> tuple[str, str]:
        """Return the streams that may hold bars of a type."""
        return self.stream, f"{self.stream}:{busrules.topic_of(bar_type)}"


class BusBars:
    """Takes each bar once, in time order for its type, and records it before it is traded on.

    Parameters
    ----------
    record : Database
        The ledger's: what was traded on is evidence.
    home : Database
        Where it reports.
    """

    def __init__(
        self, *, bus: Bus, source: Source, record: Database, home: Database, clock: Clock
    ) -> None:
        self._bus = bus
        self._source = source
        self._record = record
        self._home = home
        self._clock = clock
        self._channels: dict[str, _Channel] = {}
        self._positions: dict[str, str] = {}
        self._turn = asyncio.Lock()
        self._counts: Counter[str] = Counter()
        self._trouble = ""

    @property
    def counts(self) -> dict[str, int]:
        """How many bars were taken, and how many dropped and why, since it was made."""
        return dict(self._counts)

    async def listen(self, bar_type: str, duration_ns: int) -> Listener:
        """Return where bars of a type arrive from now on; what the stream holds is recorded.

        Raises
        ------
        UnavailableError
            If the bus or the record is away.
        """
        async with self._turn:
            if bar_type not in self._channels:
                await self._open(bar_type, duration_ns)
            listener = Listener(bar_type=bar_type)
            self._channels[bar_type].listeners.append(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """Stop the bars of a listener."""
        channel = self._channels.get(listener.bar_type)
        if channel is not None and listener in channel.listeners:
            channel.listeners.remove(listener)

    def drop_late(self) -> None:
        """Count a bar that came too late to be played."""
        self._counts["bars_late"] += 1

    async def recorded(self, bar_type: str, after_ns: int) -> list[BusBar]:
        """Return the bars taken so far that closed after a time, oldest first."""
        async with self._record.read() as connection:
            return await recorded.after(connection, bar_type, after_ns)

    async def run(self) -> None:
        """Read without end, and report: a bar never waits for the database that is reported in."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reading())
            group.create_task(self._reporting())

    async def turn(self, wait_s: float = READ_S) -> None:
        """Take what has come, waiting a little for it."""
        if not self._positions:
            await asyncio.sleep(wait_s)
            return
        async with self._turn:
            found = await self._bus.read(self._positions, wait_s=wait_s)
            await self._take(found)
            self._positions |= {each.stream: each.entry_id for each in found}
        await asyncio.sleep(0)  # whoever wants to listen has its turn

    async def _reading(self) -> None:
        while True:
            try:
                await self.turn()
                self._trouble = ""
            except Exception as error:  # noqa: BLE001 - the task's edge: what trades must go on
                if not self._trouble:
                    _log.warning("bars_not_read", why=repr(error))
                self._trouble = str(error) or repr(error)
                self._counts["bar_read_failures"] += 1
                await asyncio.sleep(RETRY_S)

    async def _open(self, bar_type: str, duration_ns: int) -> None:
        found = await self.recorded(bar_type, 0)
        last_close_ns = found[-1].close_ns if found else 0
        self._channels[bar_type] = _Channel(
            duration_ns=duration_ns,
            last_close_ns=last_close_ns,
            heard_s=self._clock.monotonic_s(),
        )
        try:
            for key in self._source.keys_of(bar_type):
                await self._catch_up(bar_type, key)
        except BaseException:
            del self._channels[bar_type]
            raise

    async def _catch_up(self, bar_type: str, key: str) -> None:
        """Record what a stream holds of a type, as far as it has been read for others."""
        position, end = BEGINNING, self._positions.get(key)
        while found := await self._bus.read({key: position}, wait_s=0):
            position = found[-1].entry_id
            await self._take((each for each in found if _is_of(each, bar_type)), is_known=True)
        self._positions[key] = position if end is None else end

    async def _take(self, found: Iterable[Received], *, is_known: bool = False) -> None:
        """Record what is new and hand it on; what is not is counted, unless it was to be expected.

        Nothing is remembered before it is recorded: after a failure the same is read again.
        """
        bars = [bar for each in found if (bar := self._bar(each)) is not None]
        taken, dropped = busrules.in_order(
            bars, {name: each.last_close_ns for name, each in self._channels.items()}
        )
        if taken:
            async with self._record.write(in_turn=False) as connection:
                await recorded.keep(connection, taken)
        for bar in taken:
            self._hand_on(bar)
        self._counts["bars_taken"] += len(taken)
        if not is_known:
            self._counts.update(dropped)

    def _hand_on(self, bar: BusBar) -> None:
        channel = self._channels[bar.bar_type]
        channel.last_close_ns = bar.close_ns
        channel.heard_s = self._clock.monotonic_s()
        for listener in channel.listeners:
            listener.bars.append(bar)
            listener.has_news.set()

    def _bar(self, received: Received) -> BusBar | None:
        if not received.message.topic.startswith(busrules.TOPIC):
            return None
        if received.message.topic.removeprefix(busrules.TOPIC) not in self._channels:
            return None
        try:
            bar = busrules.bar_of(codec.decode(received.message))
        except InvalidError as error:
            self._counts["bars_unreadable"] += 1
            _log.warning("bar_unreadable", entry=received.entry_id, why=str(error))
            return None
        return bar if bar.bar_type in self._channels else None

    async def _reporting(self) -> None:
        is_reported = True
        while True:
            try:
                await self._report()
                is_reported = True
            except (EngineError, SQLAlchemyError) as error:
                if is_reported:
                    _log.warning("bars_not_reported", why=repr(error))
                is_reported = False
            await asyncio.sleep(links.REPORT_S)

    async def _report(self) -> None:
        link = Link(
            name=self._source.name,
            holder=self._source.holder,
            is_connected=not self._trouble,
            detail=self._trouble or "; ".join(self._stale()),
            counts=self.counts,
            seen_at=self._clock.now(),
        )
        async with self._home.write() as connection:
            await links.report(connection, link)

    def _stale(self) -> list[str]:
        now_s = self._clock.monotonic_s()
        return [
            f"no bar of {bar_type} for {now_s - each.heard_s:.0f} s"
            for bar_type, each in self._channels.items()
            if each.listeners and now_s - each.heard_s > each.duration_ns / 1e9 + STALE_S
        ]


def _is_of(received: Received, bar_type: str) -> bool:
    return received.message.topic == busrules.topic_of(bar_type)
