"""Undoing a rollout: the line goes back to the version before; what the new one holds is closed.

The fence comes first: from one bar on the new version opens nothing, and what it waited to open is
cancelled and confirmed. Its cash goes back as it is free; the rest when its positions are closed.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from strategy_engine.core.errors import EngineError
from strategy_engine.execution.model import UNENDED, Role
from strategy_engine.infra import logs
from strategy_engine.rollout import capital, returning, stakes
from strategy_engine.rollout.acts import Acts
from strategy_engine.rollout.journal import Journal
from strategy_engine.rollout.model import Deployment, Outcome, Undo
from strategy_engine.rollout.moves import Member
from strategy_engine.rollout.observing import Observer
from strategy_engine.rollout.verbs import REASONS, Verb

_log = logs.get("rollout")


class Undoing:
    """One look at a time, as the controller does; every act may be said again."""

    def __init__(self, *, journal: Journal, acts: Acts, observer: Observer) -> None:
        self._journal = journal
        self._acts = acts
        self._observer = observer

    async def turn(self, deployment: Deployment, members: Mapping[str, Member]) -> None:
        """Say what should be, and end the rollout when it is so."""
        undo = deployment.progress.undo
        if undo is None:
            return
        new = _of(members, *stakes.started(deployment))
        alive = tuple(each for each in new if each.execution.status in UNENDED)
        stables = _of(members, *deployment.replaces)
        account = stakes.account_of(deployment, members.values())
        if new and not await self._acts.fence(deployment, new, stables, account):
            return  # who has ended is fenced too: the line may still be its
        left = stakes.leavings(members.values())
        await self._acts.call_in(deployment, left)
        back = [each.execution.execution_id for each in stables if _is_back(each)]
        if back:
            await self._acts.give_on(deployment, account, back)
        if undo.restored_at is None and _is_restored(account, alive, back, members):
            undo = await self._restored(deployment, undo)
        if undo.restored_at is not None and not any(each.held for each in (*alive, *left)):
            await self._close(deployment, account, alive, stables)

    async def _close(
        self,
        deployment: Deployment,
        account: capital.Account,
        alive: tuple[Member, ...],
        stables: tuple[Member, ...],
    ) -> None:
        """End the new version once its money has gone back; start the one before if it ended."""
        is_back = any(_is_back(each) for each in stables)
        if is_back and (account.pool > 0 or any(_has_money(each) for each in alive)):
            return
        if not is_back:
            if alive:  # two stable versions of a line are never at work together
                await self._acts.end(deployment, alive)
                return
            await self._start_again(deployment, alive, stables, account.pool)
            return
        await self._end(
            deployment, alive, stables, told="; the version before it has the line", is_back=True
        )

    async def _restored(self, deployment: Deployment, undo: Undo) -> Undo:
        done = replace(undo, restored_at=self._journal.clock.now())
        await self._journal.revise(
            deployment.pipeline_id,
            lambda now: replace(now, progress=replace(now.progress, undo=done)),
            action="restored",
            details={
                "reason": undo.reason,
                "seconds": (self._journal.clock.now() - undo.decided_at).total_seconds(),
            },
        )
        return done

    async def _start_again(
        self,
        deployment: Deployment,
        alive: tuple[Member, ...],
        stables: tuple[Member, ...],
        worth: Decimal,
    ) -> None:
        """Start the version before again, unless somebody wants it to be stopped; say which."""
        told, is_back = "", False
        if stables and returning.stays_stopped(deployment, stables[-1].execution):
            told = "; the version before it was stopped meanwhile, and stays stopped"
        elif stables and worth < returning.LEAST:
            told = f"; {worth:,.2f} is free, too little to start the version before it again"
        elif stables:
            try:
                again = await self._acts.start_again(deployment, stables[-1], worth)
            except EngineError as error:
                _log.error("version before not restarted", why=str(error))
                told = f"; the version before it could not be started again: {error}"
            else:
                is_back = True
                told = (
                    f"; the version before it was started again, as {again.execution_id}, with the"
                    f" {worth:,.2f} that was free"
                )
        await self._end(deployment, alive, stables, told=told, is_back=is_back)

    async def _end(
        self,
        deployment: Deployment,
        alive: tuple[Member, ...],
        stables: tuple[Member, ...],
        *,
        told: str,
        is_back: bool,
    ) -> None:
        await self._acts.end(deployment, alive)
        await self._acts.retire(deployment, deployment.strategy_id)
        if is_back:
            for each in stables:
                await self._acts.reinstate(deployment, each)
        undo = deployment.progress.undo
        is_abort = undo is not None and undo.reason == REASONS[Verb.ABORT]
        outcome = Outcome.ROLLED_BACK if is_back and not is_abort else Outcome.ABORTED
        await self._journal.undone(deployment, outcome, told)
        await self._observer.forget(deployment.progress.candidate)


def _of(members: Mapping[str, Member], *names: str) -> tuple[Member, ...]:
    return tuple(members[name] for name in names if name in members)


def _is_back(before: Member) -> bool:
    """Say whether a version before has the line: a fence has made it stable again."""
    return before.execution.status in UNENDED and before.execution.role is Role.STABLE


def _is_restored(
    account: capital.Account,
    alive: tuple[Member, ...],
    back: list[str],
    members: Mapping[str, Member],
) -> bool:
    """Say whether all that is free has gone back: what is left is in positions that are closing."""
    is_freed = not any(
        each.account is not None and each.account.free > 0 for each in alive if _has_money(each)
    )
    if not back:
        return is_freed
    targets = [members[name].execution.capital_target for name in back]
    is_given = all(
        target is None or target == members[name].contributed
        for name, target in zip(back, targets, strict=True)
    )
    return is_freed and is_given and account.pool <= 0


def _has_money(member: Member) -> bool:
    return member.execution.role is not Role.SHADOW and member.equity > 0
