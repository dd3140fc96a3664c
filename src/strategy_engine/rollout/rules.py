"""Promote, hold, pause or abort: what an observation of a candidate comes to. Pure.

Tier 1 looks at what can be wrong whatever the market does, and decides by itself. Tier 2 looks at
returns, slowly, and advises unless the plan requires it. P&L alone never promotes.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from strategy_engine.rollout import analysis
from strategy_engine.rollout.analysis import Difference


class Verdict(StrEnum):
    """What is to be done with a step."""

    PROMOTE = "promote"
    HOLD = "hold"
    PAUSE = "pause"
    ABORT = "abort"


class Reason(StrEnum):
    """Why, in one stable word; the message says it with figures."""

    READY = "ready"
    NOT_READY = "not_ready"
    APPROVED = "approved"
    AWAITS_APPROVAL = "awaits_approval"
    SWITCHED = "switched"
    HANDED_OVER = "handed_over"
    STUCK = "stuck"
    STALLED = "stalled"
    FEED_OVER = "feed_over"
    STABLE_GONE = "stable_gone"
    WAIVED = "waived"
    WAITS = "waits"
    TOO_EARLY = "too_early"
    NO_EVIDENCE_OF_HARM = "no_evidence_of_harm"
    BETTER = "not_worse"
    INCONCLUSIVE = "inconclusive"
    UNMEASURED = "unmeasured"
    FAILED = "failed"
    SILENT = "silent"
    REJECTS = "rejects"
    MISMATCH = "decision_mismatch"
    SLOW = "slow"
    SLIPPAGE = "slippage"
    ORDER_RATE = "order_rate"
    EXPOSURE = "exposure"
    LOSS_BUDGET = "loss_budget"
    WORSE = "worse"
    RISK = "risk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a candidate may do at most. Shares are fractions, times seconds.

    Parameters
    ----------
    loss_budget : float
        Of the capital it was given in this rollout; a loss beyond it aborts at once.
    max_reject_share : float
        Of its orders; judged from `fewest_orders` on.
    max_slippage_bps : float
        Mean cost of a fill beyond what the fill rule expects.
    max_order_ratio : float
        Its orders a bar against its own backtest's; judged from `fewest_orders` on.
    max_exposure : float
        Position value per equity it holds.
    max_silence_s : float
        Since it last answered a bar that was given to it.
    max_restarts : int
        How often its process may end by its own doing: no answer, a crash, too much memory.
    max_decision_ms : float
        The median of its decisions' CPU time.
    harmless : float
        A year: so much less return than its baseline is still no harm (semantics' delta).
    alpha : float
        The chance at most that a sound candidate is ever taken for a faulty or a worse one.
    """

    loss_budget: float = 0.02
    max_reject_share: float = 0.05
    max_slippage_bps: float = 5.0
    max_order_ratio: float = 5.0
    max_exposure: float = 1.05
    max_silence_s: float = 30.0
    max_restarts: int = 0
    max_decision_ms: float = 8.0
    fewest_orders: int = 10
    harmless: float = 0.05
    alpha: float = analysis.ALPHA


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """When a step may end: after this time and this many decisions, and what it must show."""

    min_time_s: float = 0.0
    min_decisions: int = 0
    requires_analysis: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is known of a candidate in a step. None: not measured, which promotes nothing.

    `failure` is what ended it, if anything did; `restarts` how often its process ended by its own
    doing and was started again, and `last_restart` why it did last; `is_mute` whether what ended
    it, or its process last, was that it gave no answer; `risk` why risk holds it back, if it does;
    `loss` what it lost of its capital, a fraction.
    """

    elapsed_s: float
    decisions: int | None
    failure: str = ""
    is_mute: bool = False
    risk: str = ""
    restarts: int | None = None
    last_restart: str = ""
    silence_s: float | None = None
    orders: int | None = None
    rejects: int | None = None
    compared: int | None = None
    mismatches: int | None = None
    decision_ms: float | None = None
    slippage_bps: float | None = None
    order_ratio: float | None = None
    exposure: float | None = None
    loss: float | None = None
    difference: Difference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What follows from an observation, and why."""

    verdict: Verdict
    reason: Reason
    message: str


def decide(seen: Observation, gate: Gate, bounds: Bounds) -> Ruling:
    """Return what follows: harm aborts, a gap in the measurements pauses, else the gate decides."""
    return harm(seen, bounds) or _gap(seen) or _progress(seen, gate, bounds)


def harm(seen: Observation, bounds: Bounds) -> Ruling | None:
    """Return why a candidate must be undone, if anything it did says so."""
    if seen.risk:  # before a failure: what risk has halted has ended too
        return _abort(Reason.RISK, f"risk acted on it: {seen.risk}")
    broken = Reason.SILENT if seen.is_mute else Reason.FAILED
    if seen.failure:
        return _abort(broken, f"it failed: {seen.failure}")
    if seen.restarts is not None and seen.restarts > bounds.max_restarts:
        return _abort(
            broken,
            f"its process ended by its own doing {seen.restarts} times, the limit is"
            f" {bounds.max_restarts}: {seen.last_restart}",
        )
    for reason, value, limit, said in _limits(seen, bounds):
        if value is not None and value > limit:
            return _abort(reason, f"{said} {value:.4g}, the limit is {limit:.4g}")
    return _mismatch(seen, bounds) or _worse(seen, bounds)


def _mismatch(seen: Observation, bounds: Bounds) -> Ruling | None:
    if seen.mismatches is None or seen.compared is None:
        return None
    if not analysis.is_faulty(seen.mismatches, seen.compared, bounds.alpha):
        return None
    return _abort(
        Reason.MISMATCH,
        f"{seen.mismatches} of {seen.compared} live decisions are not what its own code decides"
        " on the same bars",
    )


def _limits(
    seen: Observation, bounds: Bounds
) -> tuple[tuple[Reason, float | None, float, str], ...]:
    has_orders = seen.orders is not None and seen.orders >= bounds.fewest_orders
    rejected = None
    if has_orders and seen.orders and seen.rejects is not None:
        rejected = seen.rejects / seen.orders
    rate = seen.order_ratio if has_orders else None
    return (
        (Reason.LOSS_BUDGET, seen.loss, bounds.loss_budget, "it lost of its capital"),
        (Reason.SILENT, seen.silence_s, bounds.max_silence_s, "it has been silent for seconds:"),
        (Reason.REJECTS, rejected, bounds.max_reject_share, "the share of refused orders is"),
        (Reason.SLOW, seen.decision_ms, bounds.max_decision_ms, "a decision takes milliseconds:"),
        (Reason.SLIPPAGE, seen.slippage_bps, bounds.max_slippage_bps, "excess slippage in bps is"),
        (Reason.ORDER_RATE, rate, bounds.max_order_ratio, "orders a bar, per the backtest's, are"),
        (Reason.EXPOSURE, seen.exposure, bounds.max_exposure, "exposure per equity is"),
    )


def _worse(seen: Observation, bounds: Bounds) -> Ruling | None:
    found = seen.difference
    if found is None or found.upper >= -bounds.harmless:
        return None
    return _abort(
        Reason.WORSE,
        f"a year it returns at least {-found.upper:.1%} less than its baseline, by"
        f" {found.pairs} paired bars",
    )


def missing(seen: Observation) -> list[str]:
    """Return what nothing is promoted without, and is not known."""
    names = (
        "decisions",
        "orders",
        "rejects",
        "mismatches",
        "compared",
        "loss",
        "silence_s",
        "restarts",
    )
    return [name for name in names if not _is_measured(getattr(seen, name))]


def _gap(seen: Observation) -> Ruling | None:
    names = missing(seen)
    if not names:
        return None
    return Ruling(
        verdict=Verdict.PAUSE,
        reason=Reason.UNMEASURED,
        message=f"not measured: {', '.join(names)}; nothing is promoted on what is not known",
    )


def _is_measured(value: float | None) -> bool:
    return value is not None and math.isfinite(value)  # NaN is beyond no limit


def _progress(seen: Observation, gate: Gate, bounds: Bounds) -> Ruling:
    decisions = seen.decisions or 0
    if seen.elapsed_s < gate.min_time_s or decisions < gate.min_decisions:
        return Ruling(
            verdict=Verdict.HOLD,
            reason=Reason.TOO_EARLY,
            message=f"{seen.elapsed_s:.0f} of {gate.min_time_s:.0f} s,"
            f" {decisions} of {gate.min_decisions} decisions",
        )
    found = seen.difference
    if found is not None and found.lower > -bounds.harmless:
        return Ruling(
            verdict=Verdict.PROMOTE,
            reason=Reason.BETTER,
            message=f"a year it returns at worst {found.lower:+.1%} against its baseline, by"
            f" {found.pairs} paired bars",
        )
    if gate.requires_analysis:
        return Ruling(
            verdict=Verdict.PAUSE,
            reason=Reason.INCONCLUSIVE,
            message=_undecided(found, bounds.alpha),
        )
    return Ruling(
        verdict=Verdict.PROMOTE,
        reason=Reason.NO_EVIDENCE_OF_HARM,
        message="its time and decisions are over without evidence of harm;"
        f" {_undecided(found, bounds.alpha)}",
    )


def _undecided(found: Difference | None, alpha: float) -> str:
    if found is None:
        return (
            f"fewer than {analysis.FEWEST_PAIRS} bars on which it returned otherwise than its"
            " baseline say nothing of its returns"
        )
    return (
        f"its yearly return lies between {found.lower:+.1%} and {found.upper:+.1%} of its"
        f" baseline's ({1 - alpha:.0%}, at all times), by {found.pairs} paired bars"
    )


def _abort(reason: Reason, message: str) -> Ruling:
    return Ruling(verdict=Verdict.ABORT, reason=reason, message=message)
