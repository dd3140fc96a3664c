"""What a rollout does to executions: each act says what should be, and may be said again."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from strategy_engine.execution.model import (
    UNENDED,
    Change,
    Closing,
    Desired,
    Execution,
    ExecutionConfig,
    Exits,
    Role,
)
from strategy_engine.execution.service import Executions
from strategy_engine.execution.stops import Stop
from strategy_engine.infra import audit
from strategy_engine.registry.model import LIVE, Status, Trigger
from strategy_engine.registry.service import Registry
from strategy_engine.rollout import capital, instruments, stakes, switches
from strategy_engine.rollout.capital import Account
from strategy_engine.rollout.model import Deployment
from strategy_engine.rollout.moves import Member
from strategy_engine.rollout.plans import Step

ALL = Decimal(10**12)  # as a goal: whatever there is to be had
LOOKS, SOON_S = 50, 0.01  # at a switch that undoes, before the next look at everything


class Acts:
    """Says to the node what should be, in rows. Whoever calls it looks whether it is so."""

    def __init__(self, *, executions: Executions, registry: Registry, looks: int = LOOKS) -> None:
        self._executions = executions
        self._registry = registry
        self._looks = looks

    async def stopped(self, deployment: Deployment) -> Stop | None:
        """Return an emergency stop of any of its executions, or of its line."""
        names = [*deployment.replaces, *stakes.started(deployment)]
        return await self._executions.stopped(deployment.strategy_id, names)

    async def start_in_shadow(
        self, deployment: Deployment, like: Member, *, version: str, key: str, worth: Decimal
    ) -> Execution:
        """Start a version where another stands, with a notional capital; once a key.

        Raises
        ------
        EngineError
            If the version cannot be started.
        """
        current = await self._registry.get(version)
        if current.status is Status.APPROVED:
            await self._registry.move(
                version, Trigger.DEPLOY, actor=audit.ENGINE, why=deployment.pipeline_id
            )
        old = await self._registry.get(like.execution.strategy_id)
        config = _config_after(like, worth)
        return await self._executions.start(
            version,
            instruments.config_of(current.content, old.content, config),
            actor=audit.ENGINE,
            role=Role.SHADOW,
            key=f"{deployment.pipeline_id}/{key}",
        )

    async def weigh(
        self, deployment: Deployment, account: Account, shadows: Sequence[Member]
    ) -> None:
        """Ask for the capital that the step's goals give; lower before raise.

        A shadow becomes real when what it is to have lies in the pool.
        """
        goals, why = deployment.progress.goals, deployment.pipeline_id
        found = capital.move(account, goals)
        await self._target(stakes.to_ask(account, found.targets), why)
        needed = capital.total(goals[each.execution.execution_id] for each in shadows)
        if shadows and needed <= found.spare:
            await self._executions.instruct(
                {each.execution.execution_id: _enter(deployment, each, goals) for each in shadows},
                actor=audit.ENGINE,
                why=why,
            )

    async def give_on(self, deployment: Deployment, account: Account, to: Iterable[str]) -> None:
        """Let members have what lies in the pool; several share it as they had it before."""
        takers = list(to)
        had = {name: deployment.progress.had.get(name, capital.NANO) for name in takers}
        goals = dict.fromkeys(takers, ALL) if len(takers) == 1 else capital.shared(account, had)
        found = capital.move(account, goals)
        await self._target(stakes.to_ask(account, found.targets), deployment.pipeline_id)

    async def switch(
        self, deployment: Deployment, step: Step, account: Account, members: Mapping[str, Member]
    ) -> bool:
        """Let the candidate open positions from one bar on, and no other; say whether it is so."""
        key = switches.key_of(deployment, deployment.progress.index)
        done = await self._executions.switched(key)
        if done is not None:
            return done.done_at is not None
        goals = stakes.goals_of(deployment, step, account, members)
        asked = switches.forward(deployment, step, account, goals, members)
        await self._executions.switch(asked, actor=audit.ENGINE, why=deployment.pipeline_id)
        return False

    async def flatten(self, deployment: Deployment, members: Iterable[Member]) -> None:
        """Let the engine close what those hold that have let go."""
        await self._instruct(deployment, members, Change(exits=Exits.FLATTEN))

    async def finish(
        self, deployment: Deployment, stables: Sequence[Member], *, keeps_warm: bool
    ) -> None:
        """Make the candidate the line's stable version; the one before it rests, or stays warm."""
        rest = Change(role=Role.SHADOW) if keeps_warm else Change(desired=Desired.STOP)
        progress = deployment.progress
        changes = {each.execution.execution_id: rest for each in stables if _is_there(each)}
        changes[progress.candidate] = Change(role=Role.STABLE)
        if progress.baseline:
            changes[progress.baseline] = Change(desired=Desired.STOP)
        await self._executions.instruct(changes, actor=audit.ENGINE, why=deployment.pipeline_id)
        for each in stables:
            await self.retire(deployment, each.execution.strategy_id)

    async def fence(
        self,
        deployment: Deployment,
        members: Sequence[Member],
        stables: Sequence[Member],
        account: Account,
    ) -> bool:
        """Give the line back from one bar on; what the others wait to open is cancelled first."""
        key = _undo(deployment)
        takes = [each for each in stables if _is_there(each) and each.execution.failure is None]
        able = {each.execution.execution_id for each in takes}
        done = await self._executions.switched(key)
        if done is not None and done.done_at is None and not {*done.takes} <= able:
            done = await self._executions.take_back_switch(key)  # who was to take over cannot
        if done is not None:
            return done.done_at is not None
        pending = switches.key_of(deployment, deployment.progress.index)
        forward = await self._executions.switched(pending)
        if forward is not None and forward.done_at is None:
            await self._executions.take_back_switch(pending)
        looked_at = {each.execution.execution_id: each for each in members}
        gives = {  # as they are now: no switch makes a shadow real any more
            each.execution_id: each for each in await self._executions.get_many(looked_at)
        }
        asked = switches.back(key, account, gives, takes, looked_at)
        await self._executions.switch(asked, actor=audit.ENGINE, why=deployment.pipeline_id)
        return await self._is_soon_done(key)

    async def call_in(self, deployment: Deployment, members: Iterable[Member]) -> None:
        """Let the engine close what those hold that have ended: it is the line's."""
        names = [
            each.execution.execution_id
            for each in members
            if each.execution.closing is not Closing.CALLED_IN
        ]
        if names:
            await self._executions.call_in(names, actor=audit.ENGINE, why=deployment.pipeline_id)

    async def end(self, deployment: Deployment, members: Iterable[Member]) -> None:
        """Stop executions that hold nothing any more."""
        await self._instruct(deployment, members, Change(desired=Desired.STOP))

    async def start_again(
        self, deployment: Deployment, before: Member, worth: Decimal
    ) -> Execution:
        """Start the version before again where the line came back; once a deployment.

        Raises
        ------
        EngineError
            If the version cannot be started.
        """
        config = _config_after(before, worth)
        fence = await self._executions.switched(_undo(deployment))
        at_ns = 0 if fence is None else fence.at_ns or 0
        if at_ns > (config.start_ns or 0):  # until there the new version served
            config = replace(config, start_ns=at_ns)
        return await self._executions.start(
            before.execution.strategy_id,
            config,
            actor=audit.ENGINE,
            key=f"{deployment.pipeline_id}/restore/{before.execution.execution_id}",
        )

    async def reinstate(self, deployment: Deployment, before: Member) -> None:
        """Move the version of an execution that is at work again back to running."""
        if not _is_there(before):
            return
        version = before.execution.strategy_id
        if (await self._registry.get(version)).status is Status.STOPPED:
            await self._registry.move(
                version, Trigger.START, actor=audit.ENGINE, why=deployment.pipeline_id
            )

    async def retire(self, deployment: Deployment, strategy_id: str) -> None:
        """Move a version that is replaced, or rolled back, off the line."""
        version = await self._registry.get(strategy_id)
        if version.status in LIVE:
            await self._registry.move(
                strategy_id, Trigger.REPLACE, actor=audit.ENGINE, why=deployment.pipeline_id
            )

    async def _is_soon_done(self, key: str) -> bool:
        """Wait a little for a switch: the node is about to hear of it, and every moment counts."""
        for _ in range(self._looks):
            done = await self._executions.switched(key)
            if done is not None and done.done_at is not None:
                return True
            await asyncio.sleep(SOON_S)
        return False

    async def _instruct(
        self, deployment: Deployment, members: Iterable[Member], change: Change
    ) -> None:
        changes = {each.execution.execution_id: change for each in members if _is_there(each)}
        if changes:
            await self._executions.instruct(changes, actor=audit.ENGINE, why=deployment.pipeline_id)

    async def _target(self, targets: Mapping[str, Decimal], why: str) -> None:
        if targets:
            await self._executions.instruct(
                {name: Change(capital_target=target) for name, target in targets.items()},
                actor=audit.ENGINE,
                why=why,
            )


def _enter(deployment: Deployment, shadow: Member, goals: Mapping[str, Decimal]) -> Change:
    name = shadow.execution.execution_id
    role = Role.CANDIDATE if name == deployment.progress.candidate else Role.BASELINE
    return Change(role=role, capital_target=goals[name])


def _config_after(member: Member, worth: Decimal) -> ExecutionConfig:
    """Return the config of an execution that begins where another stands."""
    config, account = member.execution.config, member.account
    is_begun = account is not None and account.close_ns is not None
    return replace(
        config,
        capital=float(worth),
        start_ns=account.close_ns if account is not None and is_begun else config.start_ns,
    )


def _undo(deployment: Deployment) -> str:
    return f"{deployment.pipeline_id}/undo"


def _is_there(member: Member) -> bool:
    return member.execution.status in UNENDED
