"""What a deployment finds on its line, and what it plans to do about it."""

from collections.abc import Sequence
from decimal import Decimal

from strategy_engine.execution import rules as execution_rules
from strategy_engine.execution.model import Execution, Role
from strategy_engine.execution.service import Executions
from strategy_engine.registry.model import LIVE, Strategy
from strategy_engine.registry.service import Registry
from strategy_engine.rollout import adoptions, capital, plans
from strategy_engine.rollout.lines import Lines
from strategy_engine.rollout.model import Handover, Options
from strategy_engine.rollout.plans import Kind, Step
from strategy_engine.venue.service import Records


class Line:
    """The versions of one name, as who deploys one of them finds them."""

    def __init__(
        self,
        *,
        registry: Registry,
        executions: Executions,
        records: Records,
        lines: Lines,
    ) -> None:
        self._registry = registry
        self._executions = executions
        self._records = records
        self._lines = lines

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
            If an option makes no sense, a step's capital would not buy a lot, or positions that
            are to be taken over cannot be.
        """
        others = [] if strategy.status in LIVE else await self.others_at_work(strategy)
        symbols = await self._symbols(others)
        plan = plans.plan(options, symbols, replaces=bool(others))
        if others:
            await self._check_capital(plan, others, symbols)
        if options.handover is Handover.ADOPT:
            await self._check_adoption(strategy, others)
        return plan, tuple(each.execution_id for each in others)

    async def _symbols(self, executions: Sequence[Execution]) -> list[str]:
        found: dict[str, None] = {}
        for each in executions:
            content = (await self._registry.get(each.strategy_id)).content
            found |= dict.fromkeys(execution_rules.settings_of(content, each.config).symbols)
        return list(found)

    async def _check_adoption(self, strategy: Strategy, others: Sequence[Execution]) -> None:
        for each in others:
            old = (await self._registry.get(each.strategy_id)).content
            adoptions.check(
                adoptions.trade_of(strategy.content, each.config),
                [adoptions.trade_of(old, each.config)],
            )

    async def _check_capital(
        self, plan: Sequence[Step], others: Sequence[Execution], symbols: Sequence[str]
    ) -> None:
        accounts = await self._records.accounts([each.execution_id for each in others])
        worth = capital.total(
            accounts[each.execution_id].equity if each.execution_id in accounts else each.capital
            for each in others
        )
        lots = await self._lines.lots(symbols)
        for step in plan:
            if step.kind in {Kind.WEIGHT, Kind.SWITCH}:
                mine = [each for each in lots if not step.symbols or each.symbol in step.symbols]
                capital.check_step(step.name, Decimal(str(step.weight)), worth, mine)
