"""What a deployment finds on its line, and what it plans to do about it."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

from strategy_engine.execution import rules as execution_rules
from strategy_engine.execution.model import Execution, Role
from strategy_engine.execution.service import Executions
from strategy_engine.market.service import Catalogue
from strategy_engine.registry.model import LIVE, Strategy
from strategy_engine.registry.service import Registry
from strategy_engine.rollout import capital, recipes
from strategy_engine.rollout.capital import Lot
from strategy_engine.rollout.model import Options
from strategy_engine.rollout.recipes import Kind, Step
from strategy_engine.venue.service import Records


class Line:
    """The versions of one name, as who deploys one of them finds them."""

    def __init__(
        self,
        *,
        registry: Registry,
        executions: Executions,
        records: Records,
        catalogue: Catalogue,
    ) -> None:
        self._registry = registry
        self._executions = executions
        self._records = records
        self._catalogue = catalogue

    async def others_at_work(self, strategy: Strategy) -> list[Execution]:
        """Return what the line's other versions have at work, but for those that are kept warm."""
        found: list[Execution] = []
        for version in await self._registry.line(strategy.content.strategy_name):
            if version.strategy_id != strategy.strategy_id and version.status in LIVE:
                found += await self._executions.unended_of(version.strategy_id)
        return [each for each in found if each.role is not Role.SHADOW]

    async def plan(
        self, strategy: Strategy, options: Options
    ) -> tuple[tuple[Step, ...], tuple[str, ...]]:
        """Return the steps of a rollout, and the executions whose capital it takes.

        Raises
        ------
        InvalidError
            If an option makes no sense, or a step's capital would not buy a lot.
        """
        others = [] if strategy.status in LIVE else await self.others_at_work(strategy)
        symbols = await self._symbols(others)
        plan = recipes.plan(options, symbols, replaces=bool(others))
        if others:
            await self._check_capital(plan, others, symbols)
        return plan, tuple(each.execution_id for each in others)

    async def _symbols(self, executions: Sequence[Execution]) -> list[str]:
        found: dict[str, None] = {}
        for each in executions:
            content = (await self._registry.get(each.strategy_id)).content
            found |= dict.fromkeys(execution_rules.settings_of(content, each.config).symbols)
        return list(found)

    async def _check_capital(
        self, plan: Sequence[Step], others: Sequence[Execution], symbols: Sequence[str]
    ) -> None:
        accounts = await self._records.accounts([each.execution_id for each in others])
        worth = capital.total(
            accounts[each.execution_id].equity if each.execution_id in accounts else each.capital
            for each in others
        )
        lots = [await asyncio.to_thread(self._lot, each) for each in symbols]
        for step in plan:
            if step.kind in {Kind.WEIGHT, Kind.SWITCH}:
                mine = [each for each in lots if not step.symbols or each.symbol in step.symbols]
                capital.check_step(step.name, Decimal(str(step.weight)), worth, mine)

    def _lot(self, symbol: str) -> Lot:
        instrument = self._catalogue.instrument(symbol)
        last = self._catalogue.bars(symbol, limit=1)
        return Lot(
            symbol=symbol,
            units=instrument.lot_size * instrument.min_lots,
            price=Decimal(str(float(last.close[-1]))),
        )
