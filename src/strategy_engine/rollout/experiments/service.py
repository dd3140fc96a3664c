"""Experiments: asked for, carried on look by look, estimated, stopped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import EngineError, NotFoundError
from strategy_engine.execution import rules as execution_rules
from strategy_engine.execution.model import Switch
from strategy_engine.execution.service import Executions
from strategy_engine.infra import audit, logs
from strategy_engine.infra.database import Database
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.registry.service import Registry
from strategy_engine.rollout import analysis, exclusive, shares
from strategy_engine.rollout.experiments import rules, store
from strategy_engine.rollout.experiments.model import (
    SUBJECT,
    Asked,
    Experiment,
    Outcome,
    Result,
    State,
    Trigger,
)
from strategy_engine.rollout.experiments.planning import Planner
from strategy_engine.rollout.experiments.rules import Look, Step
from strategy_engine.rollout.lines import Line, Lines
from strategy_engine.rollout.observing import Observer
from strategy_engine.rollout.recording import Recorder
from strategy_engine.rollout.shares import Shares
from strategy_engine.venue.service import Records

REST = 50.0  # a long sample is measured seldom: it costs no more than a part of the time

_log = logs.get("experiments")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An experiment and what it has come to by now; None before anything counts."""

    experiment: Experiment
    result: Result | None


class Experiments:
    """Experiments as doors see them, and the looks that carry them on."""

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
        self._executions = executions
        self._records = records
        self._lines = lines
        self._clock = clock
        self._recorder = Recorder(SUBJECT, clock)
        self._due_s: dict[str, float] = {}
        self._planner = Planner(lines=lines, clock=clock)
        self._shares = Shares(registry=registry, executions=executions, observer=observer)

    async def request(self, asked: Asked, *, actor: str) -> Experiment:
        """Start an experiment; it goes on by itself. What it is judged by is frozen from now on.

        Raises
        ------
        NotFoundError, InvalidError
            If there is no such line or version, or the design makes no sense.
        ConflictError
            If a version may not have capital, or something else moves the line's.
        """
        line = await self._lines.look(asked.strategy_name)
        experiment = await self._planner.plan(asked, line, actor)
        async with self._database.write() as connection:
            await exclusive.refuse_while_moved(connection, asked.strategy_name, "an experiment")
            await store.insert(connection, experiment)
            await self._recorder.record(
                connection,
                experiment.experiment_id,
                actor=actor,
                action="start",
                details=_told(experiment),
                states=(None, experiment.state),
            )
        return experiment

    async def stop(self, experiment_id: str, *, actor: str) -> Experiment:
        """End an experiment: capital goes back, what B holds runs off; stopped twice is no error.

        Raises
        ------
        NotFoundError
            If there is no such experiment.
        """
        result = (await self.get(experiment_id)).result

        def ended(now: Experiment) -> Experiment | None:
            if now.state in {State.ENDING, State.ENDED}:
                return None
            told = f"stopped by {actor}"
            return _ended(now, Outcome.STOPPED, told, now.result or result)

        return await self._revise(experiment_id, ended, actor, "stop")

    async def get(self, experiment_id: str) -> Found:
        """Return an experiment, with its estimate as of now.

        Raises
        ------
        NotFoundError
            If there is no such experiment.
        """
        async with self._database.read() as connection:
            experiment = await _load(connection, experiment_id)
        if experiment.result is not None or experiment.start_ns is None:
            return Found(experiment=experiment, result=experiment.result)
        line = await self._lines.look(experiment.strategy_name)
        return Found(experiment=experiment, result=await self._estimate(experiment, line))

    async def page(
        self,
        *,
        strategy_name: str | None = None,
        state: State | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[Sequence[Experiment], int]:
        """Return experiments, newest first, and how many there are in all."""
        async with self._database.read() as connection:
            return await store.page(
                connection, strategy_name=strategy_name, state=state, limit=limit, offset=offset
            )

    async def history(self, experiment_id: str) -> Sequence[audit.Entry]:
        """Return the audit rows of an experiment, oldest first."""
        async with self._database.read() as connection:
            return await audit.history(connection, SUBJECT, experiment_id)

    async def look_after_all(self) -> None:
        """Carry every experiment on by one look; trouble of one is said, and stops no other."""
        async with self._database.read() as connection:
            waiting = await store.unended(connection)
        for each in waiting:
            try:
                await self.advance(each)
            except DatabaseAwayError:
                raise
            except EngineError as error:
                _log.warning("experiment stuck", experiment_id=each.experiment_id, why=str(error))
                await self._note(each, message=str(error))

    async def advance(self, experiment: Experiment) -> None:
        """Look once, ask for what follows, and save how far it has come."""
        line = await self._lines.look(experiment.strategy_name)
        if experiment.state is State.STARTING and await self._started(experiment, line):
            return  # what was started is looked at the next time
        look = await self._look(experiment, line)
        step = rules.next_step(experiment, look)
        if experiment.state is State.RUNNING and step.trigger is None:
            step = await self._measured(experiment, line, step)
        if step.asks_fence:
            await self._executions.switch(
                _fence(experiment), actor=audit.ENGINE, why=experiment.experiment_id
            )
        await self._shares.instruct(step.changes, experiment.experiment_id)
        await self._shares.call_in(step.calls_in, experiment.experiment_id)
        if step.trigger is Trigger.CLOSE:
            for arm in experiment.arms:
                if arm.is_own:
                    await self._shares.retire(arm.strategy_id, experiment.experiment_id)
        await self._save(experiment, step, line)

    # -- looking

    async def _started(self, experiment: Experiment, line: Line) -> bool:
        """Start the first of its own that is not started yet; say whether there was one."""
        for name, arm, other in (
            ("a", experiment.a, experiment.b),
            ("b", experiment.b, experiment.a),
        ):
            if arm.is_own and not arm.execution_id:
                like = line.alive(other.execution_id) if not other.is_own else None
                config = shares.beside(like, experiment.config, arm.opening)
                if arm.symbols:
                    config = replace(config, symbols=arm.symbols)
                started = await self._shares.start(
                    arm.strategy_id,
                    config,
                    key=f"{experiment.experiment_id}/{name}",
                    why=experiment.experiment_id,
                )
                changed = {name: replace(arm, execution_id=started.execution_id)}
                await self._note(experiment, **changed)
                return True
        return False

    async def _look(self, experiment: Experiment, line: Line) -> Look:
        mine = [each for each in line.shadows if each.execution_id in experiment.execution_ids]
        unready = {}
        if experiment.state is State.STARTING:
            unready = await self._shares.unready(mine)
        if experiment.giver is None:
            return Look(line=line, unready=unready)
        key = _fence(experiment).key
        if experiment.state is State.ENDING:
            return Look(line=line, fence=await self._executions.take_back_switch(key))
        fence = await self._executions.switched(key)
        held = await self._lines.held(experiment.giver.execution_id)
        return Look(line=line, unready=unready, fence=fence, held=held)

    async def _measured(self, experiment: Experiment, line: Line, step: Step) -> Step:
        began = self._clock.monotonic_s()
        if began < self._due_s.get(experiment.experiment_id, 0.0):
            return step
        result = await self._estimate(experiment, line)
        done = self._clock.monotonic_s()
        self._due_s[experiment.experiment_id] = done + REST * (done - began)
        if result.pairs < experiment.design.planned_pairs:
            return step
        told = f"the planned {experiment.design.planned_pairs} paired bars are reached"
        return replace(step, trigger=Trigger.END, outcome=Outcome.COMPLETED, message=told)

    async def _estimate(self, experiment: Experiment, line: Line) -> Result:
        design, after_ns = experiment.design, experiment.start_ns or 0
        a_ns, a = await self._records.returns(experiment.a.execution_id, after_ns)
        b_ns, b = await self._records.returns(experiment.b.execution_id, after_ns)
        common, of_a, of_b = np.intersect1d(a_ns, b_ns, assume_unique=True, return_indices=True)
        planned = slice(None, design.planned_pairs)  # what comes later was not asked for
        found = analysis.difference(
            b[of_b][planned],
            a[of_a][planned],
            periods_per_year=await self._periods(experiment, line),
            alpha=design.alpha,
        )
        findings = await self._findings(experiment, line)
        pairs = min(int(common.size), design.planned_pairs)
        return rules.judge(design, pairs, found, findings)

    async def _periods(self, experiment: Experiment, line: Line) -> float:
        execution = line.execution(experiment.a.execution_id)
        version = line.version(experiment.a.version)
        if execution is None or version is None:
            raise NotFoundError(f"{experiment.experiment_id} has lost its version A")
        settings = execution_rules.settings_of(version.content, execution.config)
        return await self._lines.instants_per_year(settings.symbols, settings.timeframe)

    async def _findings(self, experiment: Experiment, line: Line) -> list[str]:
        accounts = await self._records.accounts(experiment.execution_ids)
        return [
            told
            for arm in experiment.arms
            if (execution := line.execution(arm.execution_id)) is not None
            for told in rules.findings(arm.version, execution, accounts.get(arm.execution_id))
        ]

    # -- saving

    async def _save(self, experiment: Experiment, step: Step, line: Line) -> None:
        if step.trigger is None:
            goal = experiment.goal if step.goal is None else step.goal
            known = (experiment.handed, experiment.message, experiment.goal)
            if (step.handed, step.message, goal) != known:
                await self._note(experiment, handed=step.handed, message=step.message, goal=goal)
            return
        result = None
        if step.trigger is Trigger.END and experiment.start_ns is not None:
            result = await self._estimate(experiment, line)
        now = self._clock.now()

        def moved(known: Experiment) -> Experiment | None:
            if known.state is not experiment.state:
                return None
            match step.trigger:
                case Trigger.BEGIN:
                    return replace(
                        known.on(Trigger.BEGIN),
                        start_ns=step.start_ns,
                        handed=step.handed,
                        running_at=now,
                        message="",
                    )
                case Trigger.CLOSE:
                    told = known.result.message if known.result else known.message
                    told = f"{told}; {step.message}" if step.message else told
                    return replace(known.on(Trigger.CLOSE), ended_at=now, message=told)
                case _:
                    outcome = step.outcome or Outcome.ABORTED
                    return _ended(known, outcome, step.message, result)

        await self._revise(
            experiment.experiment_id, moved, audit.ENGINE, str(step.trigger), why=step.message
        )

    async def _note(self, experiment: Experiment, **fields: Any) -> None:
        def noted(now: Experiment) -> Experiment | None:
            return None if now.state is not experiment.state else replace(now, **fields)

        await self._revise(experiment.experiment_id, noted, audit.ENGINE, None)

    async def _revise(
        self,
        experiment_id: str,
        change: Callable[[Experiment], Experiment | None],
        actor: str,
        action: str | None,
        *,
        why: str = "",
    ) -> Experiment:
        async with self._database.write() as connection:
            known = await _load(connection, experiment_id)
            changed = change(known)
            if changed is None or changed == known:
                return known
            await store.update(connection, changed)
            if action is not None:
                details = {
                    "why": why or changed.message,
                    "result": msgspec.to_builtins(changed.result),
                }
                await self._recorder.record(
                    connection,
                    changed.experiment_id,
                    actor=actor,
                    action=action,
                    details=details,
                    states=(known.state, changed.state),
                )
            return changed


def _fence(experiment: Experiment) -> Switch:
    giver, taker = experiment.giver, experiment.taker
    return Switch(
        key=f"{experiment.experiment_id}/fence",
        gives=() if giver is None else (giver.execution_id,),
        symbols=None if taker is None else taker.symbols,
    )


def _ended(
    experiment: Experiment, outcome: Outcome, message: str, result: Result | None
) -> Experiment:
    return replace(experiment.on(Trigger.END), outcome=outcome, message=message, result=result)


def _told(experiment: Experiment) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(experiment.design)
    return told | {"arms": msgspec.to_builtins(experiment.arms)}


async def _load(connection: AsyncConnection, experiment_id: str) -> Experiment:
    found = await store.get(connection, experiment_id)
    if found is None:
        raise NotFoundError(
            f"there is no experiment {experiment_id[:60]!r}; GET /experiments lists them",
            field="experiment_id",
            value=experiment_id[:60],
        )
    return found
