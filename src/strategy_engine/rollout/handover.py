"""Moving a line's capital from the executions that hold it to a new version's."""

import asyncio
from dataclasses import replace
from decimal import Decimal

from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import EngineError, UnavailableError
from strategy_engine.execution.model import (
    UNENDED,
    Desired,
    Execution,
    ExecutionStatus,
)
from strategy_engine.execution.service import Executions
from strategy_engine.infra import audit
from strategy_engine.registry.model import LIVE, Status, Strategy, Trigger
from strategy_engine.registry.service import Registry
from strategy_engine.rollout import plans
from strategy_engine.rollout.model import Deployment, Handover, Options
from strategy_engine.rollout.plans import Step
from strategy_engine.venue.service import Records

FLATTEN_S = 60.0
LOOK_S = 0.1
PROVE_S = 10.0

POLICY = {Handover.RUN_OFF: Desired.DRAIN, Handover.FLATTEN: Desired.FLATTEN}


class Line:
    """The versions of one name as rollouts see them. Every step may be done again."""

    def __init__(
        self, *, registry: Registry, executions: Executions, records: Records, clock: Clock
    ) -> None:
        self._registry = registry
        self._executions = executions
        self._records = records
        self._clock = clock

    async def others_at_work(self, strategy: Strategy) -> list[Execution]:
        """Return the executions of the line's other versions that have not ended."""
        found: list[Execution] = []
        for version in await self._registry.line(strategy.content.strategy_name):
            if version.strategy_id != strategy.strategy_id and version.status in LIVE:
                found += await self._executions.unended_of(version.strategy_id)
        return found

    async def plan(
        self, strategy: Strategy, options: Options
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the steps of a rollout, and the executions whose capital it takes.

        Raises
        ------
        NotBuiltError
            If the line has a running version that the type cannot replace yet.
        """
        others: list[str] = []
        if strategy.status not in LIVE:
            others = [each.execution_id for each in await self.others_at_work(strategy)]
        return plans.plan(options.deployment_type, replaces=bool(others)), tuple(others)

    async def do(self, step: Step, strategy: Strategy, deployment: Deployment) -> str:
        """Carry out one step of a plan, and return what is to be told of it.

        Raises
        ------
        EngineError
            If it cannot be done; the line is then restored, or left as it is.
        """
        match step:
            case Step.STOP_ENTRIES:
                await self._stop_entries(deployment)
            case Step.HAND_OVER:
                await self._hand_over(deployment)
            case Step.DEPLOY:
                await self._deploy(strategy, deployment)
            case Step.START:
                return plans.started_message(await self._start(strategy, deployment))
        return ""

    async def restore(self, strategy: Strategy, deployment: Deployment) -> bool:
        """Give the line back to the version that ran before; say whether it runs again."""
        new = await self._registry.get(strategy.strategy_id)
        if new.status in {Status.RUNNING, Status.PAUSED}:
            await self._executions.stop(new.strategy_id, actor=audit.ENGINE)
        replaced = await self._executions.get_many(deployment.replaces)
        restored = False
        for old in replaced:
            key = f"{deployment.pipeline_id}/restore/{old.execution_id}"
            restored = await self._restart(old, key) or restored
        return restored

    async def _stop_entries(self, deployment: Deployment) -> None:
        # After a crash this may come again: what was told to flatten since is not told to run off.
        replaced = await self._executions.get_many(deployment.replaces)
        await self._executions.hand_over(
            [each.execution_id for each in replaced if each.desired is not Desired.FLATTEN],
            POLICY[deployment.options.handover],
            actor=audit.ENGINE,
            why=f"replaced by {deployment.pipeline_id}",
        )

    async def _hand_over(self, deployment: Deployment) -> None:
        if await self._all_ended(deployment, deployment.options.handover_deadline_s):
            return
        await self._executions.hand_over(
            deployment.replaces,
            Desired.FLATTEN,
            actor=audit.ENGINE,
            why=f"replaced by {deployment.pipeline_id}: its run-off deadline has passed",
        )
        if not await self._all_ended(deployment, FLATTEN_S):
            raise UnavailableError(
                f"the version before it still holds a position {FLATTEN_S:g} s after it was told"
                " to flatten; its feed gives no next price, or its node is down"
            )

    async def _deploy(self, strategy: Strategy, deployment: Deployment) -> None:
        current = await self._registry.get(strategy.strategy_id)
        if current.status is Status.APPROVED:
            await self._registry.move(
                strategy.strategy_id,
                Trigger.DEPLOY,
                actor=audit.ENGINE,
                why=deployment.pipeline_id,
            )
        for old in await self._executions.get_many(deployment.replaces):
            version = await self._registry.get(old.strategy_id)
            if version.status in LIVE and not await self._executions.unended_of(old.strategy_id):
                await self._registry.move(
                    old.strategy_id,
                    Trigger.REPLACE,
                    actor=audit.ENGINE,
                    why=deployment.pipeline_id,
                )

    async def _start(self, strategy: Strategy, deployment: Deployment) -> int:
        replaced = await self._executions.get_many(deployment.replaces)
        last = replaced[-1]
        cursor = await self._records.checkpoint(last.execution_id)
        config = replace(
            last.config,
            capital=float(sum((_freed(each) for each in replaced), Decimal(0))),
            start_ns=cursor.close_ns if cursor is not None else last.config.start_ns,
        )
        started = await self._executions.start(
            strategy.strategy_id, config, actor=audit.ENGINE, key=f"{deployment.pipeline_id}/start"
        )
        return await self._prove(started)

    async def _prove(self, started: Execution) -> int:
        """Return the bars the new version has decided: enough, or what a slow feed gave it."""
        deadline = self._clock.monotonic_s() + PROVE_S
        while True:
            now = await self._executions.get(started.execution_id)
            if now.status is ExecutionStatus.ERROR:
                raise UnavailableError(f"the new version did not start: {now.error}")
            kept = await self._records.checkpoint(started.execution_id)
            bars = 0 if kept is None else kept.bar_no
            is_late = self._clock.monotonic_s() >= deadline
            if plans.is_proven(bars) or now.status not in UNENDED or is_late:
                return bars
            await asyncio.sleep(LOOK_S)

    async def _restart(self, old: Execution, key: str) -> bool:
        if old.status in UNENDED:
            await self._executions.hand_over(
                [old.execution_id], Desired.RUN, actor=audit.ENGINE, why="rolled back"
            )
            return True
        cursor = await self._records.checkpoint(old.execution_id)
        config = replace(
            old.config,
            capital=float(_freed(old)),
            start_ns=cursor.close_ns if cursor is not None else old.config.start_ns,
        )
        try:
            again = await self._executions.start(
                old.strategy_id, config, actor=audit.ENGINE, key=key
            )
        except EngineError:
            return False
        return again.status is not ExecutionStatus.ERROR

    async def _all_ended(self, deployment: Deployment, timeout_s: float) -> bool:
        deadline = self._clock.monotonic_s() + timeout_s
        while True:
            found = await self._executions.get_many(deployment.replaces)
            if all(each.status not in UNENDED for each in found):
                return True
            if self._clock.monotonic_s() >= deadline:
                return False
            await asyncio.sleep(LOOK_S)


def _freed(old: Execution) -> Decimal:
    return old.capital + (old.final_pnl if old.final_pnl is not None else old.pnl)
