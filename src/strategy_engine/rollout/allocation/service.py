"""Allocations: asked for, applied look by look, ended. Every change of weights has an audit row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import EngineError, NotFoundError
from strategy_engine.execution import rules as execution_rules
from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.execution.service import Executions
from strategy_engine.infra import audit, logs
from strategy_engine.infra.database import Database
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.market.model import DAY_NS
from strategy_engine.registry.service import Registry
from strategy_engine.rollout import capital, exclusive, shares
from strategy_engine.rollout.allocation import moves, rules, store
from strategy_engine.rollout.allocation.model import (
    SUBJECT,
    Allocation,
    Kind,
    Policy,
    State,
    Trigger,
)
from strategy_engine.rollout.allocation.planning import Planner
from strategy_engine.rollout.allocation.rules import Measured, Ruling
from strategy_engine.rollout.lines import Line, Lines
from strategy_engine.rollout.observing import Observer
from strategy_engine.rollout.recording import Recorder
from strategy_engine.rollout.shares import Shares
from strategy_engine.venue.service import Records

WIDE = 2.0  # times the lookback is read: one version may be behind the others
YEAR_NS = 365 * DAY_NS

_log = logs.get("allocation")


class Allocations:
    """Allocations as doors see them, and the looks that apply them."""

    def __init__(  # noqa: PLR0913 - what a room is wired with, each a thing of its own
        self,
        *,
        database: Database,
        registry: Registry,
        executions: Executions,
        records: Records,
        lines: Lines,
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._database = database
        self._records = records
        self._lines = lines
        self._clock = clock
        self._recorder = Recorder(SUBJECT, clock)
        self._planner = Planner(lines=lines, clock=clock)
        self._shares = Shares(registry=registry, executions=executions, observer=observer)

    async def put(
        self,
        strategy_name: str,
        policy: Policy,
        *,
        actor: str,
        given: Decimal | None = None,
        config: ExecutionConfig | None = None,
    ) -> Allocation:
        """Share a line's capital by a policy from now on; the same policy again changes nothing.

        Parameters
        ----------
        given, config
            The line's capital, and how its versions run, where none of them runs yet.

        Raises
        ------
        NotFoundError, InvalidError
            If there is no such line or version, or the policy makes no sense.
        ConflictError
            If a version may not have capital, or something else moves the line's.
        """
        line = await self._lines.look(strategy_name)
        own = config or ExecutionConfig()
        planned = await self._planner.plan(line, policy, actor, given, own)
        async with self._database.write() as connection:
            existing = await store.unended(connection, strategy_name)
            if existing and existing[0].state is State.ACTIVE:
                return await self._changed(connection, existing[0], planned, actor)
            await exclusive.refuse_while_moved(connection, strategy_name, "an allocation")
            await store.insert(connection, planned)
            await self._recorder.record(
                connection,
                planned.allocation_id,
                actor=actor,
                action="start",
                details=_told(planned),
                states=(None, planned.state),
            )
        return planned

    async def get(self, strategy_name: str) -> Allocation:
        """Return a line's allocation.

        Raises
        ------
        NotFoundError
            If it has none.
        """
        async with self._database.read() as connection:
            return await _load(connection, strategy_name)

    async def end(self, strategy_name: str, *, actor: str) -> Allocation:
        """Share no more: members keep what they have, the stable version gets what lies in cash.

        Raises
        ------
        NotFoundError
            If the line has no allocation.
        """
        allocation = await self.get(strategy_name)

        def ended(now: Allocation) -> Allocation | None:
            if now.state is not State.ACTIVE:
                return None
            return replace(now.on(Trigger.END), message=f"ended by {actor}")

        return await self._revise(allocation.allocation_id, ended, actor, "end")

    async def history(self, allocation_id: str) -> Sequence[audit.Entry]:
        """Return the audit rows of an allocation, oldest first."""
        async with self._database.read() as connection:
            return await audit.history(connection, SUBJECT, allocation_id)

    async def movers(self, strategy_name: str) -> list[exclusive.Mover]:
        """Return what moves capital on a line: a deployment, an experiment, an allocation."""
        async with self._database.read() as connection:
            return await exclusive.movers(connection, strategy_name)

    async def account(self, line: Line) -> capital.Account | None:
        """Return a line's money as who shares it counts it: an allocation or an experiment."""
        async with self._database.read() as connection:
            return await exclusive.account(connection, line)

    async def look_after_all(self) -> None:
        """Apply every allocation once; trouble of one is said, and stops no other."""
        async with self._database.read() as connection:
            waiting = await store.unended(connection)
        for each in waiting:
            try:
                await self.apply(each)
            except DatabaseAwayError:
                raise
            except EngineError as error:
                _log.warning("allocation stuck", allocation_id=each.allocation_id, why=str(error))
                await self._note(each, message=str(error))

    async def apply(self, allocation: Allocation) -> None:
        """Look once: start who is missing, rule on the weights, ask for the capital."""
        line = await self._lines.look(allocation.strategy_name)
        if allocation.state is State.ACTIVE:
            if await self._is_moved_by_another(allocation):
                return
            if await self._started(allocation, line):
                return  # what was started is looked at the next time
            ruled = await self._rule(allocation, line)
            if ruled is not None:
                allocation = ruled
        shadows = moves.shadows(allocation, line)
        is_active = allocation.state is State.ACTIVE
        unready = await self._shares.unready(shadows) if is_active else {}
        asking = moves.asking(allocation, line, unready)
        await self._shares.instruct(asking.changes, allocation.allocation_id)
        await self._shares.call_in(asking.calls_in, allocation.allocation_id)
        if allocation.state is State.ENDING and asking.is_done:
            await self._close(allocation, line, asking.message)
        elif asking.goal is not None and asking.goal != allocation.goal:
            await self._note(allocation, goal=asking.goal)
        elif is_active and asking.message:
            await self._note(allocation, message=asking.message)

    async def _changed(
        self, connection: AsyncConnection, now: Allocation, planned: Allocation, actor: str
    ) -> Allocation:
        if now.policy == planned.policy:
            return now
        kept = {name: now.slots.get(name, Decimal(0)) for name in planned.policy.versions}
        changed = replace(
            now,
            policy=planned.policy,
            slots=kept,
            updated_at=self._clock.now(),
            message="",
        )
        await store.update(connection, changed)
        await self._recorder.record(
            connection,
            changed.allocation_id,
            actor=actor,
            action="change",
            details=_told(changed),
            states=(None, changed.state),
        )
        return changed

    # -- looking

    async def _is_moved_by_another(self, allocation: Allocation) -> bool:
        async with self._database.read() as connection:
            found = await exclusive.movers(connection, allocation.strategy_name)
        others = [each for each in found if each.key != allocation.allocation_id]
        if others and others[0].state == "rolling_out":
            told = f"waits: {others[0].kind} {others[0].key} moves the line's capital"
            await self._note(allocation, message=told)
            return True
        return False

    async def _started(self, allocation: Allocation, line: Line) -> bool:
        """Start the first version that is to have capital and does not run; say whether one was."""
        for name in allocation.policy.versions:
            slot = allocation.slots.get(name, Decimal(0))
            if not slot or name in allocation.executions:
                continue
            account = line.account(allocation.capital, allocation.executions.values())
            like = next(iter(line.members), None)
            config = shares.beside(like, allocation.config, capital.opening(account.worth, slot))
            version = shares.version_of(line, name, "versions")
            key = f"{allocation.allocation_id}/{name}"
            started = await self._shares.start(
                version.strategy_id, config, key=key, why=allocation.allocation_id
            )
            executions = {**allocation.executions, name: started.execution_id}
            await self._note(
                allocation, executions=executions, own=(*allocation.own, started.execution_id)
            )
            return True
        return False

    async def _rule(self, allocation: Allocation, line: Line) -> Allocation | None:
        day = await self._day(allocation, line)
        changed = allocation.changed if day == allocation.day else Decimal(0)
        ruling = rules.rule(
            allocation.policy,
            slots=allocation.slots,
            in_force=allocation.weights,
            unwell=moves.unwell(allocation, line),
            seen=await self._measured(allocation, line),
            changed=changed,
        )
        if not ruling.is_new and ruling.slots == allocation.slots:
            return None
        goal = moves.goal_of(allocation, line, ruling.weights)
        return await self._put_in_force(allocation, ruling, goal, day)

    async def _put_in_force(
        self, allocation: Allocation, ruling: Ruling, goal: Mapping[str, Decimal], day: int | None
    ) -> Allocation:
        now = self._clock.now()

        def in_force(known: Allocation) -> Allocation | None:
            if (known.state, known.policy) != (State.ACTIVE, allocation.policy):
                return None
            return replace(
                known,
                slots=ruling.slots,
                weights=ruling.weights,
                goal=goal,
                day=day,
                changed=ruling.changed,
                message=ruling.why,
                updated_at=now,
            )

        return await self._revise(allocation.allocation_id, in_force, audit.ENGINE, "weigh")

    async def _day(self, allocation: Allocation, line: Line) -> int | None:
        closes = [
            (each.account.close_ns, each)
            for each in line.members
            if each.account is not None and each.account.close_ns is not None
        ]
        if not closes:
            return allocation.day
        close_ns, member = max(closes, key=lambda each: each[0])
        version = line.version(member.version)
        if version is None:
            return allocation.day
        symbols = execution_rules.settings_of(version.content, member.execution.config).symbols
        return await self._lines.day_of(symbols, close_ns)

    async def _measured(self, allocation: Allocation, line: Line) -> Measured:
        if allocation.policy.kind is Kind.FIXED:
            return Measured(pairs=0, mean={}, deviation={})
        real = {each.execution_id for each in line.members}
        sick = moves.unwell(allocation, line)
        after_ns = await self._since(allocation, line)
        returns = {
            name: await self._records.returns(execution_id, after_ns)
            for name, execution_id in allocation.executions.items()
            if execution_id in real and name not in sick
        }
        return rules.measure(returns, allocation.policy.lookback)

    async def _since(self, allocation: Allocation, line: Line) -> int:
        """Return a time before the bars that are looked back at; gaps of a market are in it."""
        for each in line.members:
            version = line.version(each.version)
            if version is None or each.account is None or each.account.close_ns is None:
                continue
            settings = execution_rules.settings_of(version.content, each.execution.config)
            yearly = await self._lines.instants_per_year(settings.symbols, settings.timeframe)
            span_ns = int(WIDE * allocation.policy.lookback * YEAR_NS / max(1.0, yearly))
            return max(0, each.account.close_ns - span_ns)
        return 0

    async def _close(self, allocation: Allocation, line: Line, told: str) -> None:
        for each in line.versions:
            if each.content.version in allocation.executions:
                await self._shares.retire(each.strategy_id, allocation.allocation_id)
        now = self._clock.now()

        def closed(known: Allocation) -> Allocation | None:
            if known.state is not State.ENDING:
                return None
            message = f"{known.message}; {told}" if told else known.message
            closed = known.on(Trigger.CLOSE)
            return replace(closed, ended_at=now, updated_at=now, message=message)

        await self._revise(allocation.allocation_id, closed, audit.ENGINE, "close")

    # -- saving

    async def _note(self, allocation: Allocation, **fields: Any) -> None:
        def noted(now: Allocation) -> Allocation | None:
            return None if now.state is not allocation.state else replace(now, **fields)

        await self._revise(allocation.allocation_id, noted, audit.ENGINE, None)

    async def _revise(
        self,
        allocation_id: str,
        change: Callable[[Allocation], Allocation | None],
        actor: str,
        action: str | None,
    ) -> Allocation:
        async with self._database.write() as connection:
            known = await store.get(connection, allocation_id)
            if known is None:
                raise NotFoundError(f"there is no allocation {allocation_id}")
            changed = change(known)
            if changed is None or changed == known:
                return known
            await store.update(connection, changed)
            if action is not None:
                await self._recorder.record(
                    connection,
                    changed.allocation_id,
                    actor=actor,
                    action=action,
                    details=_told(changed),
                    states=(known.state, changed.state),
                )
            return changed


def _told(allocation: Allocation) -> dict[str, Any]:
    return {
        "policy": msgspec.to_builtins(allocation.policy),
        "weights": {name: f"{each:f}" for name, each in allocation.weights.items()},
        "goal": {name: f"{each:f}" for name, each in allocation.goal.items()},
        "why": allocation.message,
    }


async def _load(connection: AsyncConnection, strategy_name: str) -> Allocation:
    found = await store.unended(connection, strategy_name)
    if not found:
        raise NotFoundError(
            f"line {strategy_name[:60]!r} has no allocation; PUT one",
            field="strategy_name",
            value=strategy_name[:60],
        )
    return found[0]
