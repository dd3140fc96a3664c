"""Control's side: say what should run, wait until the node has made it so, tell what is."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core import ids
from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import NotFoundError
from strategy_engine.execution import (
    interruptions,
    leavings,
    rules,
    starting,
    store,
    switching,
    wishes,
)
from strategy_engine.execution.confirming import Confirming
from strategy_engine.execution.model import (
    ACTIVE,
    REPLACED,
    UNENDED,
    Answered,
    Change,
    Closing,
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Role,
    Switch,
)
from strategy_engine.execution.opening import Opening
from strategy_engine.execution.stops import Stop
from strategy_engine.infra.database import Database
from strategy_engine.market.service import Catalogue
from strategy_engine.registry import model as registry_model
from strategy_engine.registry import service as registry_service
from strategy_engine.registry.model import Status, Trigger
from strategy_engine.registry.service import Registry

CONFIRM_S = 5.0


class Executions:
    """Desired state, written in rows; and the observed state, read from them.

    Parameters
    ----------
    poke : callable
        Hints to the node that rows have changed; whether it hears does not matter.
    confirm_s : float
        How long a verb waits for the node before it answers what is.
    admit : callable
        Raises if the engine has no room for another execution.
    feeds : collection of str
        Those that this engine is set up for.
    """

    def __init__(  # noqa: PLR0913 - what a room is wired with, each a thing of its own
        self,
        *,
        database: Database,
        registry: Registry,
        catalogue: Catalogue,
        clock: Clock,
        poke: Callable[[], None],
        confirm_s: float = CONFIRM_S,
        admit: Callable[[], None] = lambda: None,
        feeds: Collection[str] = (rules.REPLAY,),
    ) -> None:
        self._database = database
        self._registry = registry
        self._clock = clock
        self._poke = poke
        self._admit = admit
        self._opening = Opening(catalogue=catalogue, clock=clock, feeds=feeds)
        self._confirming = Confirming(database=database, clock=clock, confirm_s=confirm_s)

    async def start(
        self,
        strategy_id: str,
        config: ExecutionConfig,
        *,
        actor: str,
        role: Role = Role.STABLE,
        key: str | None = None,
    ) -> Execution:
        """Start a version; one that is running or starting answers its execution.

        In a role other than stable, a running version gets an execution beside those it has; with
        a key it gets one even where it has one in that role. What was started for a key is started
        once: asked again, it answers that execution, ended or not.

        Raises
        ------
        NotFoundError
            If there is no such version.
        IllegalTransitionError
            If the version is in a state that cannot start.
        ConflictError
            If another version of the line is at work, or an emergency stop is in force.
        InvalidError
            If the config, an instrument or a timeframe makes no sense; nothing is written.
        UnavailableError
            If the engine has no room for another execution; nothing is written.
        """
        if key is not None and (earlier := await self._started_for(key)) is not None:
            return earlier
        strategy = await self._registry.get(strategy_id)
        settings = await self._opening.checked(strategy, config)
        is_beside = key is not None and role is not Role.STABLE
        if is_beside or strategy.status is not Status.RUNNING:
            await asyncio.to_thread(self._admit)
        execution = self._opening.new(strategy_id, config, settings, role, key)
        async with self._database.write() as connection:
            strategy = await registry_service.load(connection, strategy_id)
            await starting.refuse_stopped(connection, strategy, config)
            is_running = strategy.status is Status.RUNNING
            if is_running and not is_beside:
                existing = await starting.running(connection, strategy, role)
                if existing is not None:
                    return existing
            if role is Role.STABLE:
                await starting.refuse_second_of_line(connection, strategy_id)
                if key is None:
                    execution = await starting.less_tied(connection, execution)
            if not is_running:
                await self._registry.move_in(connection, strategy_id, Trigger.START, actor=actor)
            await wishes.begin(connection, execution, self._by(actor), action="start")
        self._poke()
        (execution,) = await self._confirming.settled([execution.execution_id])
        return execution

    async def stop(self, strategy_id: str, *, actor: str) -> Answered:
        """Stop every execution of a version; the version is STOPPED at once."""
        return await self._command(strategy_id, Trigger.STOP, Desired.STOP, actor=actor)

    async def pause(self, strategy_id: str, *, actor: str) -> Answered:
        """Let a version take no new decisions; stops and targets stay watched."""
        return await self._command(strategy_id, Trigger.PAUSE, Desired.PAUSE, actor=actor)

    async def resume(self, strategy_id: str, *, actor: str) -> Answered:
        """Let a paused version decide again."""
        return await self._command(strategy_id, Trigger.RESUME, Desired.RUN, actor=actor)

    async def flatten(
        self, execution_id: str, *, actor: str, how: Closing = Closing.ASKED
    ) -> Execution:
        """Close at the next prices what an execution holds; asked again, it is the same.

        One that has not ended does then, and its version with its last one. One that has is taken
        up again without its strategy, and ends as it had ended.

        Parameters
        ----------
        how : Closing
            `CALLED_IN`: who moves the line's capital counts what is freed by itself.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        async with self._database.write() as connection:
            row = await _load(connection, execution_id)
            if row.status in UNENDED:
                asked = await self._end_flat(connection, row, self._by(actor, leavings.FLATTEN))
            else:
                asked = await leavings.ask(connection, row, self._by(actor), how=how)
        self._poke()
        return asked

    async def call_in(self, execution_ids: Iterable[str], *, actor: str, why: str) -> None:
        """Let what ended executions hold be closed, for whom moves the line's capital."""
        by = self._by(actor, why)
        async with self._database.write() as connection:
            for each in await store.get_many(connection, execution_ids):
                await leavings.ask(connection, each, by, how=Closing.CALLED_IN)
        self._poke()

    async def closed(self) -> Sequence[tuple[Execution, str]]:
        """Return who has freed what it tied, and still has it, each with its line's name."""
        async with self._database.read() as connection:
            return await store.closed(connection)

    async def settle(self, execution_id: str, *, actor: str) -> None:
        """Give what an ended execution has freed to its line's stable one, if there is one."""
        async with self._database.write() as connection:
            row = await _load(connection, execution_id)
            line = await store.unended_of_line(connection, row.strategy_id)
            heir = next((each for each in line if leavings.is_heir(each)), None)
            if row.closing is Closing.CLOSED and heir is not None:
                await leavings.settle(connection, row, heir, self._by(actor))
        self._poke()

    async def get(self, execution_id: str) -> Execution:
        """Return one execution, whatever its status.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        async with self._database.read() as connection:
            return await _load(connection, execution_id)

    async def interruptions(self, execution_id: str) -> Sequence[interruptions.Interruption]:
        """Return when an execution did not run though it should have, oldest first."""
        async with self._database.read() as connection:
            return await interruptions.of(connection, execution_id)

    async def stop_over(self, execution: Execution) -> Stop | None:
        """Return an emergency stop in force over an execution, by whatever scope."""
        async with self._database.read() as connection:
            return await starting.stop_over(connection, execution)

    async def page(
        self,
        *,
        statuses: Collection[ExecutionStatus] = ACTIVE,
        strategy_id: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> tuple[list[Execution], int]:
        """Return executions in one of `statuses`, newest first, and how many there are in all."""
        async with self._database.read() as connection:
            return await store.page(
                connection, statuses=statuses, strategy_id=strategy_id, limit=limit, offset=offset
            )

    async def list(self, statuses: Collection[ExecutionStatus] = ACTIVE) -> list[Execution]:
        """Return every execution in one of `statuses`, newest first."""
        found, total = await self.page(statuses=statuses)
        while len(found) < total:
            more, total = await self.page(statuses=statuses, offset=len(found))
            if not more:
                break
            found += more
        return found

    async def counts(self) -> dict[ExecutionStatus, int]:
        """Return how many executions stand in each status, validation apart."""
        async with self._database.read() as connection:
            return await store.counts(connection)

    async def results(self) -> tuple[int, Decimal]:
        """Return the round trips and the profit of every execution there was, validation apart."""
        async with self._database.read() as connection:
            return await store.results(connection)

    async def unended_of(self, strategy_id: str) -> Sequence[Execution]:
        """Return a version's executions that have not ended, stable first."""
        async with self._database.read() as connection:
            return await store.unended_of(connection, strategy_id)

    async def get_many(self, execution_ids: Iterable[str]) -> Sequence[Execution]:
        """Return executions by their ids, oldest first."""
        async with self._database.read() as connection:
            return await store.get_many(connection, execution_ids)

    async def hand_over(
        self, execution_ids: Iterable[str], desired: Desired, *, actor: str, why: str
    ) -> None:
        """Let executions that another takes over from drain, flatten, or run again."""
        by = self._by(actor, why)
        async with self._database.write() as connection:
            for each in await store.get_many(connection, execution_ids):
                await wishes.change(connection, each, Change(desired=desired), by)
        self._poke()

    async def instruct(self, changes: Mapping[str, Change], *, actor: str, why: str) -> None:
        """Want something else of executions, all at once; what has ended stays as it is.

        Raises
        ------
        NotFoundError
            If there is no such execution; nothing is written.
        """
        async with self._database.write() as connection:
            await wishes.instruct(connection, changes, self._by(actor, why))
        self._poke()

    async def switch(self, asked: Switch, *, actor: str, why: str) -> None:
        """Ask the node for a fenced change of who serves; once for its key, whatever it says then.

        Raises
        ------
        NotFoundError
            If it names an execution that there is none of; nothing is written.
        """
        async with self._database.write() as connection:
            await switching.ask(connection, asked, self._by(actor, why))
        self._poke()

    async def stopped(self, strategy_id: str, execution_ids: Iterable[str]) -> Stop | None:
        """Return an emergency stop in force of a version's line, or of one of its executions."""
        async with self._database.read() as connection:
            found = await store.get_many(connection, execution_ids)
            return await starting.stopped(connection, strategy_id, found)

    async def switched(self, key: str) -> Switch | None:
        """Return a switch as it stands: done once it has `done_at`; None if none was asked for."""
        async with self._database.read() as connection:
            return await switching.get(connection, key)

    async def take_back_switch(self, key: str) -> Switch | None:
        """Want a switch no more; return it if it is done, or all but done, all the same."""
        async with self._database.write() as connection:
            await switching.take_back(connection, key)
            return await switching.get(connection, key)

    async def start_validation(
        self, strategy_id: str, config: ExecutionConfig, *, actor: str, key: str | None = None
    ) -> str:
        """Start a run through the live path that no registry state stands for; return its id.

        It plays the config's range as fast as it goes, unless the config names a speed. Asked
        again with the same key, it answers the run of that key, unless that came to nothing.
        """
        strategy = await self._registry.get(strategy_id)
        fast = replace(config, speed=0.0 if config.speed is None else config.speed)
        settings = await self._opening.checked(strategy, fast)
        execution = self._opening.new(strategy_id, fast, settings, Role.VALIDATION)
        async with self._database.write() as connection:
            if key is not None:
                execution, is_known = await store.attempt(connection, execution, key)
                if is_known:
                    return execution.execution_id
            by = self._by(actor)
            await wishes.begin(connection, execution, by, action="start_validation")
        self._poke()
        return execution.execution_id

    async def wait_ended(self, execution_id: str, timeout_s: float) -> Execution:
        """Return an execution when it has stopped or failed, or as it is after `timeout_s`."""
        return await self._confirming.ended(lambda: self.get(execution_id), timeout_s)

    async def stop_for_handover(
        self, execution_ids: Iterable[str], *, actor: str, why: str = REPLACED
    ) -> Answered:
        """Stop executions that another takes over from; the caller moves the registry."""
        by = self._by(actor, why)
        async with self._database.write() as connection:
            found = await store.get_many(connection, execution_ids)
            for each in found:
                await wishes.change(connection, each, Change(desired=Desired.STOP), by)
        self._poke()
        return await self._confirming.answer([each.execution_id for each in found])

    async def _started_for(self, key: str) -> Execution | None:
        async with self._database.read() as connection:
            return await store.get(connection, ids.derived(ids.EXECUTION, key))

    async def _command(
        self, strategy_id: str, trigger: Trigger, desired: Desired, *, actor: str
    ) -> Answered:
        async with self._database.write() as connection:
            if trigger is Trigger.RESUME:
                await starting.refuse_to_resume(connection, strategy_id)
            await self._registry.move_in(connection, strategy_id, trigger, actor=actor)
            found = await store.unended_of(connection, strategy_id)
            for each in found:
                await wishes.change(connection, each, Change(desired=desired), self._by(actor))
        self._poke()
        return await self._confirming.answer([each.execution_id for each in found])

    async def _end_flat(
        self, connection: AsyncConnection, row: Execution, by: switching.By
    ) -> Execution:
        asked = await leavings.end_flat(connection, row, by)
        strategy = await registry_service.load(connection, row.strategy_id)
        if asked is None or (strategy.status, Trigger.STOP) not in registry_model.ARROWS:
            return asked or row
        if await leavings.is_last(connection, asked):
            await self._registry.move_in(connection, row.strategy_id, Trigger.STOP, actor=by.actor)
        return asked

    def _by(self, actor: str, why: str = "") -> switching.By:
        return switching.By(actor=actor, at=self._clock.now(), why=why)


async def _load(connection: AsyncConnection, execution_id: str) -> Execution:
    execution = await store.get(connection, execution_id)
    if execution is None:
        raise NotFoundError(f"there is no execution {execution_id}", execution_id=execution_id)
    return execution
