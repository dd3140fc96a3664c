"""What follows from a look at a rollout: its step ends or goes on, or all is undone. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from strategy_engine.execution.model import (
    COMPLETED,
    Desired,
    Execution,
    ExecutionStatus,
    Role,
)
from strategy_engine.infra import audit
from strategy_engine.rollout import durations, rules
from strategy_engine.rollout.model import Options, Progress
from strategy_engine.rollout.plans import Kind, Step
from strategy_engine.rollout.readiness import Readiness, Standing
from strategy_engine.rollout.rules import Bounds, Gate, Observation, Reason, Ruling, Verdict
from strategy_engine.sandbox.model import NO_ANSWER
from strategy_engine.venue.accounts import AccountNow
from strategy_engine.venue.model import RiskState

BY_RISK, EMERGENCY = "risk.", "emergency stop"  # how what risk wants of an execution begins
FLATTEN_S = 60.0  # a position that is to be closed at the next price, and is not by then, is stuck


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An execution of a rollout, and its ledger as it was last committed.

    Parameters
    ----------
    held : frozenset of str
        The instruments that it holds.
    """

    execution: Execution
    account: AccountNow | None
    held: frozenset[str] = frozenset()

    @property
    def contributed(self) -> Decimal:
        """Return the capital that it has been given."""
        return self.execution.capital if self.account is None else self.account.contributed

    @property
    def equity(self) -> Decimal:
        """Return what it is worth."""
        return self.contributed if self.account is None else self.account.equity

    @property
    def bars(self) -> int:
        """Return how many bars it has come to."""
        return 0 if self.account is None else self.account.bar_no

    @property
    def failure(self) -> str:
        """Return what went wrong with it, or empty text."""
        mine = self.execution
        if mine.failure is not None:
            return mine.failure.splitlines()[0]
        if mine.status is ExecutionStatus.ERROR:
            return (mine.error or "it ended in error").splitlines()[0]
        if mine.status is ExecutionStatus.STOPPED and mine.end_reason != COMPLETED:
            return f"its execution was stopped: {mine.end_reason}"
        return ""

    @property
    def is_mute(self) -> bool:
        """Whether it failed because its process gave no answer."""
        return is_told_mute(self.failure)

    @property
    def is_paused(self) -> bool:
        """Whether somebody lets it decide nothing."""
        is_asked = self.execution.desired is Desired.PAUSE
        return is_asked or self.execution.status is ExecutionStatus.PAUSED

    @property
    def risk(self) -> str:
        """Return why risk holds it back, or empty text: a person's pause or stop is no such thing.

        Nor is an emergency stop: the rollout stands still until that is reset.
        """
        mine = self.execution
        if mine.desired_why.startswith(BY_RISK):
            return mine.desired_why
        is_held = mine.risk_state is not RiskState.ACTIVE
        is_stopped = mine.desired_why.startswith(EMERGENCY)
        return f"it is {mine.risk_state}" if is_held and not is_stopped else ""

    @property
    def is_over(self) -> bool:
        """Whether its feed has come to its end."""
        return (
            self.execution.status is ExecutionStatus.STOPPED
            and self.execution.end_reason == COMPLETED
        )


def is_told_mute(why: str) -> bool:
    """Say whether a process ended because it gave no answer, by what is told of its end."""
    _, _, told = why.partition(": ")  # what a strategy raises has a type there
    return told.startswith(NO_ANSWER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at a rollout, at the step that it is at.

    Parameters
    ----------
    observation : Observation or None
        Of the candidate; None until it has been started.
    is_in_place : bool
        Whether what the step sets up is so: the weight, the switch, the capital handed on.
    is_let_go : bool
        Whether the version before holds nothing any more of what the step is about.
    gone : str
        Why no version before is there any more, before its time; empty text: one is.
    still : str
        Why the step stands still; empty text: it does not.
    """

    step: Step
    progress: Progress
    options: Options
    bounds: Bounds
    now: datetime
    candidate: Member | None = None
    ready: Readiness | None = None
    observation: Observation | None = None
    is_in_place: bool = False
    is_let_go: bool = False
    gone: str = ""
    still: str = ""

    @property
    def elapsed_s(self) -> float:
        """How long it has been at this step."""
        began_at = self.progress.began_at
        return 0.0 if began_at is None else max(0.0, (self.now - began_at).total_seconds())

    @property
    def is_past_handover(self) -> bool:
        """Whether a run-off has had its time: what is still held is then flattened."""
        return self.elapsed_s >= self.options.handover_deadline_s

    def is_overdue(self, least_s: float = 0.0) -> bool:
        """Say whether the step has had its time, and what it may take beyond."""
        allowed = durations.parse(self.options.progress_deadline, "progress_deadline")
        if allowed.bars:
            decided = self.observation.decisions if self.observation else None
            return (decided or 0) > allowed.bars
        return self.elapsed_s > least_s + allowed.seconds


def next_move(look: Look) -> Ruling:
    """Return what follows from a look; harm comes before anything that a person said."""
    if _has_line(look):
        return _at_once(look)
    harm = _harm(look)
    if harm is None and look.still:
        return _wait(look.still)
    ruling = harm or _alone(look) or _MOVES[look.step.kind](look)
    if ruling.verdict in {Verdict.PROMOTE, Verdict.ABORT} or not look.progress.waived_by:
        return ruling
    if look.step.kind not in WAIVABLE or not look.is_in_place:
        return ruling
    return Ruling(
        verdict=Verdict.PROMOTE,
        reason=Reason.WAIVED,
        message=f"{look.progress.waived_by} let it go on; it would have held: {ruling.message}",
    )


def _has_line(look: Look) -> bool:
    """Say whether all is done and only to be noted: whoever was to do that has died."""
    mine = look.candidate
    is_stable = mine is not None and mine.execution.role is Role.STABLE
    return is_stable and look.step.kind is Kind.FINISH


def _harm(look: Look) -> Ruling | None:
    if look.observation is None:
        return None
    found = rules.harm(look.observation, look.bounds)
    if found is None and look.candidate is not None and look.candidate.is_over:
        return _abort(
            Reason.FEED_OVER,
            "the new version's feed came to its end before the rollout did; nothing more can be"
            " learned of it: shorten the steps, or play a longer range",
        )
    return found


def stands_still(step: Step, candidate: Member | None, beside: Sequence[Member]) -> str:
    """Return why a step stands still until somebody decides again, or empty text.

    Parameters
    ----------
    beside : sequence of Member
        Those without whose decisions it shows nothing.
    """
    is_paused = candidate is not None and candidate.is_paused
    if is_paused and (step.kind in WAIVABLE or step.kind is Kind.SWITCH):
        return (
            "the new version is paused, and what decides nothing proves nothing: resume it, or"
            " abort the deployment"
        )
    paused = [each.execution for each in beside if each.is_paused]
    if not paused:
        return ""
    names = ", ".join(f"{each.execution_id} ({each.role})" for each in paused)
    versions = ", ".join(dict.fromkeys(each.strategy_id for each in paused))
    return (
        f"the version before it is paused, {names}, and nothing is to be compared with what decides"
        f" nothing: resume {versions}, or abort the deployment"
    )


def is_measured_again(progress: Progress, seen: Observation | None) -> bool:
    """Say whether the engine holds a step for what was not measured, and now is."""
    is_for_that = progress.held_for == Reason.UNMEASURED and progress.held_by == audit.ENGINE
    return is_for_that and seen is not None and not rules.missing(seen)


def _alone(look: Look) -> Ruling | None:
    """Hold where nothing is left to compare with, nor to go back to."""
    if not look.gone or look.step.kind not in WAIVABLE or look.progress.switched:
        return None
    return _hold(
        Reason.STABLE_GONE,
        f"{look.gone}: there is nothing to compare with or to go back to; promote-full lets the new"
        " version take the line all the same, abort ends it",
    )


def _prepare(look: Look) -> Ruling:
    if look.ready is None:
        return _wait("it is being started in shadow")
    if look.ready.standing is Standing.READY:
        return _promote(Reason.READY, look.ready.message)
    if look.ready.standing is Standing.NEVER:
        return _abort(Reason.NOT_READY, look.ready.message)
    if look.is_overdue():
        return _abort(
            Reason.NOT_READY,
            f"it was not ready within {look.options.progress_deadline}: {look.ready.message}",
        )
    return _wait(look.ready.message)


def _watch(look: Look) -> Ruling:
    if not look.is_in_place or look.observation is None:
        return _no_weight_yet(look)
    step = look.step
    gate = Gate(
        min_time_s=step.lasts.seconds,
        min_decisions=max(step.min_decisions, step.lasts.bars),
        requires_analysis=step.requires_analysis,
    )
    ruling = rules.decide(look.observation, gate, look.bounds)
    is_stuck = not look.observation.decisions and look.is_overdue(step.lasts.seconds)
    if ruling.reason is Reason.TOO_EARLY and is_stuck:
        return _hold(Reason.STALLED, f"it decides nothing: {ruling.message}")
    return ruling


def _no_weight_yet(look: Look) -> Ruling:
    if look.is_overdue():
        return _hold(
            Reason.STALLED,
            f"its weight is not in place after {look.options.progress_deadline}: the version before"
            " has not freed the capital; roll back, or resume to wait on",
        )
    return _wait("the capital is on its way: the old version frees it as its positions close")


def _approval(look: Look) -> Ruling:
    if look.progress.index in look.progress.approved:
        return _promote(Reason.APPROVED, "approved")
    return Ruling(
        verdict=Verdict.HOLD,
        reason=Reason.AWAITS_APPROVAL,
        message="waits for POST /deployments/{pipeline_id}/approve",
    )


def _switch(look: Look) -> Ruling:
    if look.is_in_place:
        return _promote(Reason.SWITCHED, "from one bar on it opens positions, and no other does")
    if look.is_overdue():
        return _abort(
            Reason.STUCK,
            f"the switch was not made within {look.options.progress_deadline}: the node that has"
            " the executions has not answered",
        )
    return _wait("the node holds both versions between two bars")


def _hand_over(look: Look) -> Ruling:
    if look.is_let_go and look.is_in_place:
        if look.gone and look.candidate is not None and look.candidate.equity <= 0:
            return _abort(Reason.STUCK, f"{look.gone}, and nothing of the line's capital is left")
        return _promote(Reason.HANDED_OVER, "the version before it holds nothing any more")
    if look.elapsed_s > look.options.handover_deadline_s + FLATTEN_S:
        return _hold(
            Reason.STUCK,
            f"the version before it still holds a position {FLATTEN_S:g} s after it was told to"
            " flatten; its feed gives no next price, or its node is down",
        )
    return _wait("the version before it closes its positions, and its capital is handed on")


def _at_once(look: Look) -> Ruling:
    del look
    return _promote(Reason.READY, "")


_MOVES: dict[Kind, Callable[[Look], Ruling]] = {
    Kind.DEPLOY: _at_once,
    Kind.PREPARE: _prepare,
    Kind.SHADOW: _watch,
    Kind.APPROVAL: _approval,
    Kind.WEIGHT: _watch,
    Kind.PAUSE: _watch,
    Kind.ANALYSIS: _watch,
    Kind.SWITCH: _switch,
    Kind.HAND_OVER: _hand_over,
    Kind.FINISH: _at_once,
}
WAIVABLE = frozenset({Kind.SHADOW, Kind.WEIGHT, Kind.PAUSE, Kind.ANALYSIS})


def _wait(message: str) -> Ruling:
    return Ruling(verdict=Verdict.HOLD, reason=Reason.WAITS, message=message)


def _promote(reason: Reason, message: str) -> Ruling:
    return Ruling(verdict=Verdict.PROMOTE, reason=reason, message=message)


def _hold(reason: Reason, message: str) -> Ruling:
    return Ruling(verdict=Verdict.PAUSE, reason=reason, message=message)


def _abort(reason: Reason, message: str) -> Ruling:
    return Ruling(verdict=Verdict.ABORT, reason=reason, message=message)
