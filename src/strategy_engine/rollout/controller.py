"""The loop of one rollout: observe, decide, act, save. It may die at any point.

Everything it knows is in rows: the deployment's progress, the executions, the ledger. What it asks
for is said again until it is seen to be so; what it has decided is saved before the next look.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from strategy_engine.core.errors import EngineError
from strategy_engine.infra import audit, logs
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.rollout import capital, limits, moves, plans, stakes
from strategy_engine.rollout import scene as scenes
from strategy_engine.rollout.acts import Acts
from strategy_engine.rollout.journal import Journal
from strategy_engine.rollout.model import Deployment, State
from strategy_engine.rollout.moves import Look
from strategy_engine.rollout.notes import Notes
from strategy_engine.rollout.observing import Observer
from strategy_engine.rollout.plans import FULL, Kind, Step
from strategy_engine.rollout.rules import Observation, Reason, Ruling, Verdict
from strategy_engine.rollout.scene import Scene
from strategy_engine.rollout.undoing import Undoing

LOOK_S = 0.1
UNDO_LOOK_S = 0.02
FAILED_LOOK_S = 2.0  # after a fault of the engine's own: the next look may fare better

_log = logs.get("rollout")


class Controller:
    """Carries rollouts on, one look at a time. Safe to run again for the same deployment."""

    def __init__(
        self, *, journal: Journal, acts: Acts, observer: Observer, auto_rollback: bool
    ) -> None:
        self._journal = journal
        self._clock = journal.clock
        self._notes = Notes(journal)
        self._acts = acts
        self._observer = observer
        self._auto_rollback = auto_rollback
        self._undoing = Undoing(journal=journal, acts=acts, observer=observer)

    async def run(self, pipeline_id: str) -> str:
        """Carry a rollout to its end, and return the deployment's state."""
        while True:
            deployment = await self._journal.get(pipeline_id)
            if deployment.state is not State.ROLLING_OUT:
                return deployment.state.value
            try:
                await self.turn(deployment)
            except DatabaseAwayError:
                raise  # whoever calls it waits for the database
            except Exception:  # noqa: BLE001 - the loop's edge: capital must not be left without a hand
                _log.exception("rollout not carried on", pipeline_id=pipeline_id)
                await asyncio.sleep(FAILED_LOOK_S)
            await asyncio.sleep(LOOK_S if deployment.progress.undo is None else UNDO_LOOK_S)

    async def _stands_still(self, deployment: Deployment) -> bool:
        """Say whether an emergency stop is in force: nothing goes on then, nor is undone."""
        stop = await self._acts.stopped(deployment)
        if stop is None:
            return False
        message = f"held: {stop}"
        if deployment.progress.message == message:
            return True
        if deployment.progress.undo is not None:
            await self._notes.note(deployment, message=message)
            return True
        step = plans.from_plain(deployment.plan)[deployment.progress.index]
        await self._notes.stand(deployment, step, None, message)  # its deadlines do not count on
        return True

    async def turn(self, deployment: Deployment) -> None:
        """Look once, and do what follows."""
        if await self._stands_still(deployment):
            return
        try:
            scene = await self.look(deployment)
            if deployment.progress.undo is not None:
                await self._undoing.turn(deployment, scene.members)
                return
            await self._step(deployment, scene)
        except DatabaseAwayError:
            raise  # no fault of the new version: it is looked at again
        except EngineError as error:
            await self._undo(deployment, Reason.FAILED, str(error))

    async def look(self, deployment: Deployment) -> Scene:
        """Return the executions of a rollout, and how its candidate does."""
        progress = deployment.progress
        mine = (progress.candidate, progress.baseline)
        if progress.undo is not None:
            mine = stakes.started(deployment)
        members = await self._observer.members([*deployment.replaces, *mine])
        scene = Scene(
            members=members,
            stables=tuple(members[each] for each in deployment.replaces if each in members),
            candidate=members.get(progress.candidate),
            baseline=members.get(progress.baseline),
        )
        if scene.candidate is None or progress.undo is not None:
            return scene
        compared = await self._observer.compared(scene.candidate)
        beside = scene.baseline or next(iter(scene.alive), None)
        observation = await self._observer.observation(
            deployment, scene.candidate, beside, compared
        )
        ready = None
        if plans.from_plain(deployment.plan)[progress.index].kind is Kind.PREPARE:
            ready = await self._observer.readiness(scene.candidate, compared)
        return replace(scene, compared=compared, ready=ready, observation=observation)

    # -- a step

    async def _step(self, deployment: Deployment, scene: Scene) -> None:
        plan = plans.from_plain(deployment.plan)
        progress, step = deployment.progress, plan[deployment.progress.index]
        if progress.began_at is None:
            await self._notes.begin(deployment, step)
            return
        still = moves.stands_still(step, scene.candidate, scenes.needed(deployment, plan, scene))
        if (still or progress.is_still) and progress.message != still:
            await self._notes.stand(deployment, step, scene.candidate, still)
            return
        is_in_place = not still and await self._set_up(deployment, plan, scene)
        if is_in_place and progress.reached_at is None:
            await self._notes.reach(deployment, scene.candidate)
            return
        look = Look(
            step=step,
            progress=progress,
            options=deployment.options,
            bounds=limits.bounds(deployment.options),
            now=self._clock.now(),
            candidate=scene.candidate,
            ready=scene.ready,
            observation=scene.observation,
            is_in_place=is_in_place,
            is_let_go=scenes.is_let_go(step, scene),
            gone=scene.gone,
            still=still,
        )
        if step.kind is Kind.HAND_OVER and look.is_past_handover and not look.is_let_go:
            await self._acts.flatten(deployment, scene.alive)
        await self._follow(deployment, plan, moves.next_move(look), scene.observation)

    async def _follow(
        self,
        deployment: Deployment,
        plan: Sequence[Step],
        ruling: Ruling,
        observation: Observation | None,
    ) -> None:
        progress = deployment.progress
        match ruling.verdict:
            case Verdict.ABORT if self._may_undo(deployment):
                await self._undo(deployment, ruling.reason, ruling.message)
            case _ if moves.is_measured_again(progress, observation):
                await self._notes.release(deployment, ruling, observation)
            case _ if progress.held_by:
                return  # a person, or what is inconclusive, holds it until it is resumed
            case Verdict.ABORT | Verdict.PAUSE:
                await self._notes.hold(deployment, ruling, observation)
            case Verdict.PROMOTE if plan[progress.index].kind is Kind.FINISH:
                await self._finish(deployment)
            case Verdict.PROMOTE:
                await self._notes.advance(deployment, plan[progress.index], ruling, observation)
            case Verdict.HOLD if progress.message != ruling.message:
                await self._notes.note(deployment, message=ruling.message)

    def _may_undo(self, deployment: Deployment) -> bool:
        return self._auto_rollback and deployment.options.rollback_on_failure

    async def _set_up(self, deployment: Deployment, plan: Sequence[Step], scene: Scene) -> bool:
        """Say what the step wants to be so; return whether it is."""
        step = plan[deployment.progress.index]
        match step.kind:
            case Kind.PREPARE:
                return await self._prepare(deployment, plan, scene)
            case Kind.WEIGHT:
                return await self._weigh(deployment, step, scene)
            case Kind.SWITCH:
                account = stakes.account_of(deployment, scene.members.values())
                return await self._acts.switch(deployment, step, account, scene.members)
            case Kind.HAND_OVER:
                return await self._hand_over(deployment, step, scene)
            case _:
                return True

    async def _prepare(self, deployment: Deployment, plan: Sequence[Step], scene: Scene) -> bool:
        progress = deployment.progress
        if not progress.is_counted:
            had = {each.execution.execution_id: each.contributed for each in scene.stables}
            await self._notes.note(deployment, capital=capital.total(had.values()), had=had)
            return False
        wants_baseline = stakes.has_baseline(plan) and not progress.baseline
        if progress.candidate and not wants_baseline:
            return True
        last = scene.alive[-1] if scene.alive else scene.stables[-1]
        account = stakes.account_of(deployment, scene.members.values())
        worth = capital.opening(account.worth, stakes.first_weight(plan))
        key = stakes.BASELINE if progress.candidate else stakes.CANDIDATE
        version = last.execution.strategy_id if progress.candidate else deployment.strategy_id
        started = await self._acts.start_in_shadow(
            deployment, last, version=version, key=key, worth=worth
        )
        await self._notes.note(deployment, **{key: started.execution_id})
        return False

    async def _weigh(self, deployment: Deployment, step: Step, scene: Scene) -> bool:
        progress = deployment.progress
        account = stakes.account_of(deployment, scene.members.values())
        if not progress.goals:
            goals = stakes.goals_of(deployment, step, account, scene.members)
            await self._notes.note(deployment, goals=goals)
            return False
        if progress.reached_at is not None:
            return True  # what prices make of it since is its own
        await self._acts.weigh(deployment, account, scene.shadows)
        return stakes.is_capital_in_place(progress.goals, scene.members, account)

    async def _hand_over(self, deployment: Deployment, step: Step, scene: Scene) -> bool:
        await self._acts.call_in(deployment, scene.leavings)  # nothing runs that could run it off
        if step.weight < FULL:
            return await self._weigh(deployment, step, scene)
        account = stakes.account_of(deployment, scene.members.values())
        await self._acts.give_on(deployment, account, [deployment.progress.candidate])
        freed = all(each.equity <= 0 for each in scene.givers)
        return freed and account.pool <= 0 and scenes.is_let_go(step, scene)

    async def _finish(self, deployment: Deployment) -> None:
        scene = await self.look(deployment)
        if not await self._has_all(deployment, scene):
            return
        warm = plans.keep_warm(deployment.options)
        keeps_warm = bool(warm.seconds) and bool(scene.alive)
        bars = scene.candidate.bars if scene.candidate else 0
        await self._acts.finish(deployment, scene.stables, keeps_warm=keeps_warm)
        ending = (await self.look(deployment)).ending
        if ending:
            await self._notes.note(deployment, message=f"{', '.join(ending)} is being stopped")
            return
        await self._journal.complete(
            deployment,
            warm_s=warm.seconds if keeps_warm else None,
            message=f"{scenes.told_capital(scene)}, {bars} bars decided",
        )
        await self._observer.forget(deployment.progress.candidate)

    async def _has_all(self, deployment: Deployment, scene: Scene) -> bool:
        """Close what somebody held who ended meanwhile, and hand that on too."""
        if scene.leavings:
            await self._acts.call_in(deployment, scene.leavings)
            names = ", ".join(each.execution.execution_id for each in scene.leavings)
            await self._notes.note(
                deployment, message=f"what {names} held when it ended is being closed"
            )
            return False
        account = stakes.account_of(deployment, scene.members.values())
        taker = scene.candidate
        if account.pool <= 0 or taker is None or taker.failure:
            return True
        await self._acts.give_on(deployment, account, [deployment.progress.candidate])
        return False

    async def _undo(self, deployment: Deployment, reason: Reason, why: str) -> None:
        _log.warning("rollout undone", pipeline_id=deployment.pipeline_id, reason=reason, why=why)
        revised = await self._notes.undo(deployment, str(reason), why, audit.ENGINE)
        if revised.progress.undo is not None:  # at once: every moment counts now
            scene = await self.look(revised)
            await self._undoing.turn(revised, scene.members)
