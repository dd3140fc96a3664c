"""What the monitor reads beside what is in memory: references, courses, evidence, fills."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal

from strategy_engine.core.errors import EngineError
from strategy_engine.execution import rules as execution_rules
from strategy_engine.execution import store as executions
from strategy_engine.execution.model import UNENDED, Execution
from strategy_engine.infra.database import Database
from strategy_engine.market.model import Calendar
from strategy_engine.market.service import Catalogue
from strategy_engine.pipeline import store as evidence
from strategy_engine.registry.model import Content
from strategy_engine.registry.service import Registry
from strategy_engine.risk import breach_store, figures
from strategy_engine.risk import course as courses
from strategy_engine.risk.breach_store import Kept
from strategy_engine.risk.breaches import Breach
from strategy_engine.risk.course import Course, Point
from strategy_engine.risk.figures import Expected
from strategy_engine.venue.limits import Scope
from strategy_engine.venue.service import Records

BACKTEST = "backtest"
_RESULTS = 30  # of a version, among which its last backtest is looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """The databases and the catalogue, as the monitor reads them."""

    database: Database
    ledger: Database
    records: Records
    registry: Registry
    catalogue: Catalogue
    node_id: str

    async def content(self, strategy_id: str) -> Content:
        """Return what a version is made of."""
        return (await self.registry.get(strategy_id)).content

    async def lasting(self) -> list[Breach]:
        """Return the breaches that this node has left open."""
        async with self.database.read() as connection:
            return await breach_store.lasting(connection, self.node_id)

    async def references(
        self, subjects: Collection[tuple[Scope, str]]
    ) -> dict[tuple[Scope, str], Kept]:
        """Return what is kept of subjects."""
        async with self.database.read() as connection:
            return await breach_store.references(connection, subjects)

    async def resets(self) -> dict[tuple[Scope, str], int]:
        """Return how often people have let references begin anew."""
        async with self.database.read() as connection:
            return await breach_store.resets(connection)

    async def ended(self) -> Mapping[tuple[Scope, str], Decimal]:
        """Return the profit of all executions that have ended, by line, by account, and in all."""
        async with self.database.read() as connection:
            found = await breach_store.ended_results(connection)
        sums: dict[tuple[Scope, str], Decimal] = {}
        for each in found:
            keys = (Scope.LINE, each.line), (Scope.ACCOUNT, each.account), (Scope.ENGINE, "")
            for key in keys:
                sums[key] = sums.get(key, Decimal(0)) + each.pnl
        return sums

    async def go_on(self, execution_id: str, before: Course) -> tuple[Course, Decimal | None]:
        """Return an execution's course by now, and its highest profit since it was read last.

        The last instant in the ledger is left for the next time: more may come of it.
        """
        start_ns = None if before.close_ns < 0 else before.close_ns + 1
        found = await self.records.equity(execution_id, start_ns=start_ns)
        points = [
            Point(close_ns=each.close_ns, equity=each.equity, contributed=each.contributed)
            for each in found
        ]
        now = await asyncio.to_thread(courses.go_on, before, points[:-1])
        return now, max((each.pnl for each in points), default=None)

    async def losses(self, execution_id: str, most: int) -> tuple[int, int]:
        """Return how many of the last round trips in a row have lost."""
        async with self.ledger.read() as connection:
            return await breach_store.losses(connection, execution_id, most)

    async def slippage(
        self, execution_ids: Collection[str]
    ) -> Mapping[str, tuple[float | None, int]]:
        """Return what fills have paid beyond the rule's slippage, and how many were measured."""
        found = await self.records.accounts(execution_ids)
        return {name: (each.slippage_bps, each.fill_count) for name, each in found.items()}

    async def expected(self, row: Execution, content: Content) -> Expected | None:
        """Return what a version's last backtest makes one expect of an execution of it.

        None without a backtest, or where the execution trades otherwise than that did.
        """
        config = row.config
        if any(each is not None for each in (config.position_size, config.symbols)):
            return None
        if config.timeframe is not None:
            return None
        async with self.database.read() as connection:
            results = await evidence.latest(connection, row.strategy_id, limit=_RESULTS)
        last = next((each.evidence for _, each in results if each.stage == BACKTEST), None)
        metrics = None if last is None else last.get("out_of_sample")
        periods = await asyncio.to_thread(self._periods, row, content)
        return None if metrics is None or periods is None else figures.expected(metrics, periods)

    async def ended_of(self, execution_ids: Collection[str]) -> frozenset[str]:
        """Return which of some executions have ended."""
        async with self.database.read() as connection:
            found = await executions.get_many(connection, execution_ids)
        return frozenset(each.execution_id for each in found if each.status not in UNENDED)

    async def calendars(self, row: Execution, content: Content) -> tuple[Calendar, ...]:
        """Return the calendars of what an execution trades; none where that is not known."""
        return await asyncio.to_thread(self._calendars, row, content)

    def _periods(self, row: Execution, content: Content) -> float | None:
        found = self._calendars(row, content)
        return max((float(each.periods_per_year) for each in found), default=None)

    def _calendars(self, row: Execution, content: Content) -> tuple[Calendar, ...]:
        try:
            symbols = execution_rules.settings_of(content, row.config).symbols
            return tuple(self.catalogue.instrument(each).calendar for each in symbols)
        except EngineError:
            return ()
