"""What versions, lines and the whole engine come to, every few seconds and when it is asked."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.exc import SQLAlchemyError

from strategy_engine.control import measured, shelf
from strategy_engine.control.shelf import Head, Shelf, Shelved
from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import InvalidError
from strategy_engine.execution import benchmarks, rules
from strategy_engine.execution import history as histories
from strategy_engine.execution.model import REAL, UNENDED, Execution, ExecutionStatus
from strategy_engine.execution.service import Executions
from strategy_engine.infra import logs
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.market.service import Catalogue
from strategy_engine.performance import composite, measure, rollups
from strategy_engine.performance.composite import Asked, Course, Measured
from strategy_engine.performance.service import Snapshots
from strategy_engine.performance.store import Snapshot
from strategy_engine.registry.service import Registry
from strategy_engine.venue import curves
from strategy_engine.venue.curves import Curve, Curves, Trips

ENGINE = "engine"
_PAGE = 500

_log = logs.get("control")

type Ints = NDArray[np.int64]
type Floats = NDArray[np.float64]


@dataclass(slots=True, kw_only=True)
class _Followed:
    """An execution, and what is known of its ledger."""

    execution: Execution
    head: Head = (0, 0)
    kept: Head = (0, 0)  # on the shelf
    curve: Curve | None = None
    trips: Trips | None = None
    course: Course | None = None
    is_known: bool = False  # all of it, since it has ended


class Measuring:
    """Follows the ledgers of all executions that have, or had, capital.

    Parameters
    ----------
    shelf : Shelf
        Where what was read of long ledgers outlives this process.
    interval_s : float
        Between two snapshots.
    """

    def __init__(  # noqa: PLR0913 - what it is wired with, each a thing of its own
        self,
        *,
        reader: Curves,
        shelf: Shelf,
        executions: Executions,
        registry: Registry,
        catalogue: Catalogue,
        snapshots: Snapshots,
        clock: Clock,
        interval_s: float,
    ) -> None:
        self._reader = reader
        self._shelf = shelf
        self._executions = executions
        self._registry = registry
        self._catalogue = catalogue
        self._snapshots = snapshots
        self._clock = clock
        self._interval_s = interval_s
        self._followed: dict[str, _Followed] = {}
        self._lines: dict[str, str] = {}  # by version
        self._reading = asyncio.Lock()

    async def run(self) -> None:
        """Keep snapshots again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self.tick()
            except (SQLAlchemyError, DatabaseAwayError) as error:
                _log.warning("metrics of groups not kept", why=str(error))

    async def tick(self) -> None:
        """Read what is new, and keep a snapshot of every group that anything of is at work in."""
        await self._refresh()
        if await self._is_kept_by_another():
            return
        groups = self._groups()
        at_work = {
            name: {each.execution.execution_id: each.course for each in members if each.course}
            for name, members in groups.items()
            if any(each.execution.status in UNENDED for each in members)
        }
        found = await asyncio.to_thread(measured.measure_all, at_work)
        now = self._clock.now()
        await self._snapshots.keep(
            Snapshot(execution_id=name, at=now, metrics=measured.plain(each))
            for name, each in found.items()
        )

    async def of_execution(self, execution: Execution, asked: Asked) -> Measured:
        """Measure an execution by the returns of its bars, on everything that its ledger has."""
        curve = await self._reader.whole(execution.execution_id)
        trips = await self._reader.trips(execution.execution_id)
        settings = rules.settings_of(
            (await self._registry.get(execution.strategy_id)).content, execution.config
        )
        return await asyncio.to_thread(
            self._measure_bars, execution, settings.symbols, settings.timeframe, curve, trips, asked
        )

    async def of_version(self, strategy_id: str, asked: Asked) -> Measured:
        """Measure all executions that a version ever had.

        Raises
        ------
        NotFoundError
            If there is no such version.
        """
        await self._registry.get(strategy_id)
        return await self._of_group(strategy_id, asked)

    async def of_line(self, strategy_name: str, asked: Asked) -> Measured:
        """Measure all executions of all versions of a line."""
        return await self._of_group(rollups.line_id(strategy_name), asked)

    async def of_engine(self, asked: Asked) -> Measured:
        """Measure everything that ever had capital."""
        return await self._of_group(ENGINE, asked)

    async def course_of(self, execution: Execution) -> Course:
        """Return an execution's whole course; its `hour` are the closes of its bars."""
        return measured.course_of(
            await self._reader.whole(execution.execution_id),
            await self._reader.trips(execution.execution_id),
        )

    async def _of_group(self, name: str, asked: Asked) -> Measured:
        await self._refresh(name)
        members = self._groups().get(name, [])
        market = await asyncio.to_thread(self._market, asked, members)
        courses = [each.course for each in members if each.course is not None]
        return await asyncio.to_thread(measured.measure, courses, asked, market)

    def _market(self, asked: Asked, members: Iterable[_Followed]) -> measured.Market | None:
        match asked.benchmark:
            case None:
                return None
            case benchmarks.CASH:
                return lambda close_ns: np.ones(close_ns.size)
            case benchmarks.TRADED:
                if all(each.execution.config.benchmark in {None, "traded"} for each in members):
                    return None
                raise InvalidError(
                    "benchmark is traded, and executions among these are compared with something"
                    " else; name no benchmark, cash, or a symbol",
                    field="benchmark",
                    value=asked.benchmark,
                )
            case symbol:
                bars = benchmarks.bars_of(self._catalogue, symbol)
                return partial(measured.index, bars.close_ns, bars.open, bars.close)

    def _measure_bars(  # noqa: PLR0917 - it runs in a thread, which takes them by place
        self,
        execution: Execution,
        symbols: Sequence[str],
        timeframe: str | None,
        curve: Curve | None,
        trips: Trips,
        asked: Asked,
    ) -> Measured:
        course = measured.course_of(curve, trips)
        if curve is not None:  # by the bar, not by the hour
            course = replace(course, hour=curve.close_ns)
        part = composite.cut(course, course.hour, start_ns=asked.start_ns, end_ns=asked.end_ns)
        market = self._market_of_bars(asked, execution, symbols)
        whole = composite.compose([part])
        index = whole.benchmark if market is None else market(part.hour)
        metrics = measure.measure_sums(
            whole.worth,
            ts_ns=part.hour,
            capital=1.0,
            trades=measure.trades_of(part.entry_ns, part.exit_ns, part.pnl),
            benchmark_price=index if part.hour.size else None,
            benchmark_start=1.0,
            periods_per_year=self._per_year(symbols, timeframe, execution.config.end_ns),
            risk_free=asked.risk_free,
        )
        return measured.told(metrics, [part], "bars", part.hour)

    def _market_of_bars(
        self, asked: Asked, execution: Execution, symbols: Sequence[str]
    ) -> measured.Market | None:
        own = execution.config.benchmark or benchmarks.TRADED
        if asked.benchmark != benchmarks.TRADED or own == benchmarks.TRADED:
            is_own = asked.benchmark in {None, own}
            return None if is_own else self._market(asked, ())
        each = [self._catalogue.bars(name, execution.config.timeframe) for name in symbols]
        parts = [partial(measured.index, bars.close_ns, bars.open, bars.close) for bars in each]
        return lambda close_ns: np.mean([part(close_ns) for part in parts], axis=0)

    def _per_year(self, symbols: Sequence[str], timeframe: str | None, end_ns: int | None) -> float:
        series = histories.load(self._catalogue, symbols, timeframe, end_ns)
        past = histories.History(series=series, start_after_ns=0, warm_up=0)
        return past.instants_per_year()

    # -- following

    async def _refresh(self, group: str = ENGINE) -> None:
        """Read what is new of those in a group; who asks for a small one waits for no other."""
        async with self._reading:
            await self._find()
        members = self._groups().get(group, [])
        followed = {each.execution.execution_id: each for each in members if not each.is_known}
        over = {name for name, each in followed.items() if each.execution.status not in UNENDED}
        heads = await self._reader.heads(followed)
        for name, each in followed.items():
            async with self._reading:
                if name in heads and heads[name] != each.head:
                    await self._read(each, heads[name])
                each.is_known = each.is_known or name in over

    async def _read(self, followed: _Followed, head: Head) -> None:
        if followed.curve is None and shelf.is_worth_keeping(head, followed.kept):
            await self._take_down(followed, head)
        await self._read_on(followed, head)
        if shelf.is_worth_keeping(head, followed.kept):
            await self._put_up(followed)

    async def _take_down(self, followed: _Followed, head: Head) -> None:
        """Begin with what was kept of an execution, if its ledger still says the same."""
        name = followed.execution.execution_id
        kept = await asyncio.to_thread(self._shelf.find, name, head)
        if kept is None:
            return
        curve = shelf.without_last_hour(kept.curve)
        later = await self._reader.by_hour(name, after_ns=_before_last_hour(curve))
        if shelf.is_of_same(curve, later):
            followed.curve, followed.trips = curve, kept.trips
            followed.head = followed.kept = kept.head

    async def _put_up(self, followed: _Followed) -> None:
        if followed.curve is None or followed.trips is None:
            return
        kept = Shelved(head=followed.head, curve=followed.curve, trips=followed.trips)
        await asyncio.to_thread(self._shelf.keep, followed.execution.execution_id, kept)
        followed.kept = followed.head

    async def _read_on(self, followed: _Followed, head: Head) -> None:
        name, curve = followed.execution.execution_id, followed.curve
        after_ns = -1
        if curve is not None and curve.close_ns.size:  # the hour that goes on is read again
            after_ns = _before_last_hour(curve)
        later = await self._reader.by_hour(name, after_ns=after_ns)
        if later is not None:
            followed.curve = later if curve is None else curve.follow(later)
        if followed.trips is None or head[1] != followed.head[1]:
            known = followed.trips
            seq = int(known.seq[-1]) if known is not None and known.seq.size else 0
            new = await self._reader.trips(name, after_seq=seq)
            followed.trips = new if known is None else known.follow(new)
        followed.head = head
        followed.course = measured.hourly(followed.curve, followed.trips)

    async def _find(self) -> None:
        """Learn of executions that are new, and how the others stand that have not ended."""
        offset, is_new = 0, True
        while is_new:
            page, total = await self._executions.page(
                statuses=tuple(ExecutionStatus), limit=_PAGE, offset=offset
            )
            fresh = [each for each in page if each.execution_id not in self._followed]
            for each in fresh:
                await self._follow(each)
            offset += len(page)
            is_new = bool(fresh) and offset < total
        waiting = [name for name, each in self._followed.items() if not each.is_known]
        for part in (waiting[at : at + _PAGE] for at in range(0, len(waiting), _PAGE)):
            for each in await self._executions.get_many(part):
                self._followed[each.execution_id].execution = each

    async def _follow(self, execution: Execution) -> None:
        if execution.strategy_id not in self._lines:
            strategy = await self._registry.get(execution.strategy_id)
            self._lines[execution.strategy_id] = strategy.content.strategy_name
        self._followed[execution.execution_id] = _Followed(execution=execution)

    def _groups(self) -> dict[str, list[_Followed]]:
        """Return who is in which version, line, and the engine; shadows are in none."""
        groups: dict[str, list[_Followed]] = {ENGINE: []}
        for each in self._followed.values():
            version = each.execution.strategy_id
            if each.execution.role in REAL:
                for name in (version, rollups.line_id(self._lines[version]), ENGINE):
                    groups.setdefault(name, []).append(each)
        return groups

    async def _is_kept_by_another(self) -> bool:
        """Whether another engine on the same database has just kept these."""
        last = await self._snapshots.latest(ENGINE, limit=1)
        if not last:
            return False
        return (self._clock.now() - last[0].at).total_seconds() < self._interval_s / 2


def _before_last_hour(curve: Curve) -> int:
    """Return the time after which the closes of a curve's last hour come."""
    return int(curves.hours(curve.close_ns[-1:])[0]) * curves.HOUR_NS
