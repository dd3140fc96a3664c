"""What a rollout's controller has decided: kept at once, before it looks again.

Nothing is kept of a rollout that somebody has moved on since it was looked at.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from strategy_engine.infra import audit
from strategy_engine.rollout import moves, plans
from strategy_engine.rollout.journal import Journal
from strategy_engine.rollout.model import ENDED, Deployment, Progress, Undo
from strategy_engine.rollout.moves import Member
from strategy_engine.rollout.plans import Kind, Step
from strategy_engine.rollout.rules import Observation, Ruling


class Notes:
    """Writes a rollout's progress, with an audit row where people are to know."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._clock = journal.clock

    async def begin(self, deployment: Deployment, step: Step) -> None:
        """Let a step begin."""
        now = self._clock.now()
        await self._save(
            deployment,
            lambda progress: replace(progress, began_at=now),
            action="step_begins",
            details={"step": step.name, "weight": step.weight},
            current_stage=step.name,
        )

    async def stand(
        self, deployment: Deployment, step: Step, candidate: Member | None, why: str
    ) -> None:
        """Let a step stand still, or go on: what was shown before then counts no more."""
        account, now = None if candidate is None else candidate.account, self._clock.now()
        place_ns = 0 if account is None else account.close_ns or 0
        changes: dict[str, Any] = {"is_still": bool(why), "message": why, "reached_at": None}
        if not why:  # the deadlines begin anew, as when a person resumes it
            changes |= {"began_at": now, "seen_from_ns": place_ns}
        await self._save(
            deployment,
            lambda progress: replace(progress, **changes),
            action="stands_still" if why else "goes_on",
            details={
                "step": step.name,
                "weight": step.weight,
                "message": why or "it goes on; its time, and what it shows, count from here on",
            },
        )

    async def reach(self, deployment: Deployment, candidate: Member | None) -> None:
        """Say that what a step sets up is in place: its time counts from here on."""
        bars = 0 if candidate is None else candidate.bars
        await self.note(deployment, reached_at=self._clock.now(), bars_at=bars)

    async def hold(
        self, deployment: Deployment, ruling: Ruling, observation: Observation | None
    ) -> None:
        """Hold a step until a person resumes it."""
        step = plans.from_plain(deployment.plan)[deployment.progress.index]
        await self._save(
            deployment,
            lambda progress: replace(
                progress,
                held_by=audit.ENGINE,
                held_why=ruling.message,
                held_for=ruling.reason.value,
                message=ruling.message,
            ),
            action="held",
            details=_evidence(step, ruling, observation),
        )

    async def release(
        self, deployment: Deployment, ruling: Ruling, observation: Observation | None
    ) -> None:
        """Lift the engine's own hold: what was not measured is."""
        step = plans.from_plain(deployment.plan)[deployment.progress.index]
        now = self._clock.now()

        def released(progress: Progress) -> Progress:
            if not moves.is_measured_again(progress, observation):
                return progress  # somebody holds it since
            return replace(progress, held_by="", held_why="", held_for="", message="", began_at=now)

        told = f"measured again: {deployment.progress.held_why}"
        await self._save(
            deployment,
            released,
            action="released",
            details=_evidence(step, ruling, observation) | {"message": told},
        )

    async def advance(
        self, deployment: Deployment, step: Step, ruling: Ruling, observation: Observation | None
    ) -> None:
        """End a step, and let the next one follow."""
        index, switched = deployment.progress.index, deployment.progress.switched
        if step.kind is Kind.SWITCH:
            switched = (*switched, index)
        await self._save(
            deployment,
            lambda progress: _at(progress, index + 1, switched=switched),
            action="step_ends",
            details=_evidence(step, ruling, observation),
        )

    async def undo(self, deployment: Deployment, reason: str, why: str, actor: str) -> Deployment:
        """Let all be undone; return the deployment as it stands then."""
        undo = Undo(reason=reason, why=why, actor=actor, decided_at=self._clock.now())
        return await self._save(
            deployment,
            lambda progress: replace(progress, undo=undo, message=why),
            action="undo",
            details={"reason": undo.reason, "message": why},
            current_stage="undo",
        )

    async def note(self, deployment: Deployment, **fields: Any) -> None:
        """Keep what the controller has to know again."""
        await self._save(deployment, lambda progress: replace(progress, **fields), action=None)

    async def _save(
        self,
        deployment: Deployment,
        change: Callable[[Progress], Progress],
        *,
        action: str | None,
        details: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Deployment:
        """Save a decision, unless somebody has moved the rollout on since it was looked at."""
        known = deployment.progress

        def revised(now: Deployment) -> Deployment | None:
            at = now.progress
            if now.state in ENDED or (at.index, at.undo) != (known.index, known.undo):
                return None
            return replace(now, progress=change(at), **fields)

        return await self._journal.revise(
            deployment.pipeline_id, revised, action=action, details=details
        )


def _at(progress: Progress, index: int, **fields: Any) -> Progress:
    return replace(
        progress,
        index=index,
        began_at=None,
        reached_at=None,
        goals={},
        waived_by="",
        message="",
        **fields,
    )


def _evidence(step: Step, ruling: Ruling, observation: Observation | None) -> dict[str, Any]:
    return {
        "step": step.name,
        "weight": step.weight,
        "verdict": ruling.verdict.value,
        "reason": ruling.reason.value,
        "message": ruling.message,
        "observation": None if observation is None else asdict(observation),
    }
