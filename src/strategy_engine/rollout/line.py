"""What a deployment finds on its line, and what it plans to do about it."""

from collections.abc import Sequence
from decimal import Decimal

from strategy_engine.execution.model import Execution, Role
from strategy_engine.execution.service import Executions
from strategy_engine.registry.model import LIVE, Strategy
from strategy_engine.registry.service import Registry
from strategy_engine.rollout import adoptions, capital, instruments, plans
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
        others = await self._replaced(strategy)
        old, new = await self._symbols(others), await self._new_symbols(strategy, others)
        plan = plans.plan(options, list(dict.fromkeys((*old, *new))), replaces=bool(others))
        if others:
            await self._check_capital(plan, others, new)
        if options.handover is Handover.ADOPT:
            await self._check_adoption(strategy, others)
        return plan, tuple(each.execution_id for each in others)

    async def notice(self, strategy: Strategy) -> str:
        """Return what there is to say of the instruments that a version would take over."""
        others = await self._replaced(strategy)
        if not others:
            return ""
        return instruments.notice(
            await self._new_symbols(strategy, others), await self._symbols(others)
        )

    async def _replaced(self, strategy: Strategy) -> list[Execution]:
        return [] if strategy.status in LIVE else await self.others_at_work(strategy)

    async def _new_symbols(
        self, strategy: Strategy, others: Sequence[Execution]
    ) -> tuple[str, ...]:
        if not others:
            return ()
        last = others[-1]
        old = (await self._registry.get(last.strategy_id)).content
        config = instruments.config_of(strategy.content, old, last.config)
        return instruments.traded(strategy.content, config)

    async def _symbols(self, executions: Sequence[Execution]) -> list[str]:
        found: dict[str, None] = {}
        for each in executions:
            content = (await self._registry.get(each.strategy_id)).content
            found |= dict.fromkeys(instruments.traded(content, each.config))
        return list(found)

    async def _check_adoption(self, strategy: Strategy, others: Sequence[Execution]) -> None:
        for each in others:
            old = (await self._registry.get(each.strategy_id)).content
            config = instruments.config_of(strategy.content, old, each.config)
            adoptions.check(
                adoptions.trade_of(strategy.content, config),
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
