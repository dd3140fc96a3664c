"""A stage's end, and the gates of the backtest: facts in, checks out. Pure."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strategy_engine.core import money
from strategy_engine.matching.model import Action
from strategy_engine.matching.settings import Settings
from strategy_engine.pipeline import decisions, history
from strategy_engine.pipeline.backtest import Ledgered
from strategy_engine.pipeline.decisions import Chosen
from strategy_engine.pipeline.history import History
from strategy_engine.pipeline.model import (
    Check,
    Finding,
    Level,
    StageResult,
    StrategyFailedError,
    Verdict,
)

FEWEST_BARS = 40  # so that the hold-out has two
MOST_WARM_UP_MISMATCH = 0.01
DIGEST_CUTS = 2
DECISION_CUTS = 3
_FIRST_CUT, _LAST_CUT = 0.2, 0.95

_SHOWN_REASONS = 3

# Closing time of the last bar, the bars, and the decisions on them or how the strategy failed.
type Cut = tuple[int, History, Chosen | StrategyFailedError]


def conclude(
    stage: str,
    checks: Sequence[Check],
    *,
    duration_ms: float,
    evidence: Mapping[str, object],
    summary: str,
    extra: Iterable[Finding] = (),
) -> StageResult:
    """Return a stage's result: it is as good as its worst check."""
    verdict = worst(checks)
    bad = [each.message for each in checks if each.verdict is verdict]
    more = f"; and {len(bad) - _SHOWN_REASONS} more" if len(bad) > _SHOWN_REASONS else ""
    return StageResult(
        stage=stage,
        passed=verdict is Verdict.PASSED,
        verdict=verdict,
        duration_ms=duration_ms,
        message=summary if verdict is Verdict.PASSED else "; ".join(bad[:_SHOWN_REASONS]) + more,
        findings=(*(_finding(each) for each in checks), *extra),
        evidence={**evidence, "checks": [_told(each) for each in checks]},
    )


def worst(checks: Iterable[Check]) -> Verdict:
    """Return the worst verdict: failed, then inconclusive, then passed."""
    found = {each.verdict for each in checks}
    for verdict in (Verdict.FAILED, Verdict.INCONCLUSIVE):
        if verdict in found:
            return verdict
    return Verdict.PASSED


_LEVELS = {
    Verdict.PASSED: Level.NOTE,
    Verdict.FAILED: Level.ERROR,
    Verdict.INCONCLUSIVE: Level.WARNING,
}


def _finding(check: Check) -> Finding:
    message = f"{check.name}: {check.message}"
    return Finding(level=_LEVELS[check.verdict], message=message, where=check.where)


def _told(check: Check) -> dict[str, str]:
    return {"name": check.name, "verdict": str(check.verdict), "message": check.message}


def check(name: str, message: str, *, passed: bool) -> Check:
    """Return a check that is either passed or failed."""
    verdict = Verdict.PASSED if passed else Verdict.FAILED
    return Check(name=name, verdict=verdict, message=message)


# --- no lookahead


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncation:
    """What became of the decisions when the history ended earlier."""

    end_ns: int
    bars: int
    difference: str = ""


def cuts_by_digest(part: History, digest: str) -> list[int]:
    """Return closing times to end the history at, drawn from the content's digest."""
    times = part.timeline()
    shares = [_draw(digest, f"cut {number}") for number in range(DIGEST_CUTS)]
    spread = [_FIRST_CUT + share * (_LAST_CUT - _FIRST_CUT) for share in shares]
    return [int(times[int(share * (times.size - 1))]) for share in spread]


def cuts_at_decisions(chosen: Chosen, part: History, digest: str) -> list[int]:
    """Return closing times of bars at which the strategy changed its mind, drawn by digest.

    There a strategy that knows later bars is caught: the first bar that it used is not there.
    """
    closes = sorted(
        close_ns
        for each in part.series
        for close_ns in each.bars.close_ns[_changes(chosen, each.symbol)].tolist()
    )
    if not closes:
        return []
    # One of each third of them, so that they are never the same.
    drawn = {
        int((number + _draw(digest, f"decision {number}")) / DECISION_CUTS * len(closes))
        for number in range(DECISION_CUTS)
    }
    return [closes[index] for index in sorted(drawn)]


def truncations(chosen: Chosen, cuts: Iterable[Cut]) -> tuple[Truncation, ...]:
    """Return how the decisions on truncated histories differ from those on the whole."""
    return tuple(
        Truncation(
            end_ns=end_ns,
            bars=part.bar_count(),
            difference=_difference(chosen, truncated, part),
        )
        for end_ns, part, truncated in cuts
    )


def judge_lookahead(found: Sequence[Truncation]) -> Check:
    """Judge whether any decision depended on bars after it."""
    for each in found:
        if each.difference:
            message = (
                f"with the history ended at {history.moment(each.end_ns)} {each.difference};"
                " a decision may use only the bars up to its own"
            )
            return check("no_lookahead", message, passed=False)
    message = f"{len(found)} truncated histories, the same decisions"
    return check("no_lookahead", message, passed=True)


def _changes(chosen: Chosen, symbol: str) -> NDArray[np.intp]:
    actions = chosen[symbol].actions
    before = np.concatenate(([np.int8(Action.HOLD)], actions[:-1]))
    changed = np.flatnonzero((actions != before) & (actions != Action.HOLD))
    return changed if changed.size else chosen[symbol].acting()


def _difference(chosen: Chosen, truncated: Chosen | StrategyFailedError, part: History) -> str:
    if isinstance(truncated, StrategyFailedError):
        return f"it failed, with the later bars there it did not: {truncated}"
    for each in part.series:
        whole, cut = chosen[each.symbol], truncated[each.symbol]
        at = decisions.first_difference(whole, cut)
        if at is not None:
            return (
                f"it said {decisions.said(cut.at(at))} at"
                f" {history.moment(int(each.bars.close_ns[at]))} of {each.symbol}, with the later"
                f" bars there {decisions.said(whole.at(at))}"
            )
    return ""


def _draw(digest: str, what: str) -> float:
    found = hashlib.sha256(f"{digest} {what}".encode()).digest()
    return int.from_bytes(found[:8]) / 2**64


# --- warm-up


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """How decisions with twice the lookback compare, from where both windows are full."""

    lookback: int
    compared_bars: int
    acting: int
    mismatches: int

    @property
    def share(self) -> float:
        """Return the share of bars that differ, of those at which either acted."""
        return self.mismatches / self.acting if self.acting else 0.0


def warm_up_of(chosen: Chosen, longer: Chosen, *, lookback: int) -> WarmUp:
    """Compare decisions from the bar on at which the longer window, too, is full."""
    start = lookback - 1
    counted = [decisions.mismatches(each, longer[symbol], start) for symbol, each in chosen.items()]
    return WarmUp(
        lookback=lookback,
        compared_bars=sum(max(0, len(each) - start) for each in chosen.values()),
        acting=sum(acting for _, acting in counted),
        mismatches=sum(different for different, _ in counted),
    )


def judge_warm_up(found: WarmUp) -> Check:
    """Judge whether a longer window leaves the decisions as they are."""
    if not found.compared_bars:
        message = f"not compared: the history is shorter than {found.lookback} bars"
        return check("warm_up_stable", message, passed=True)
    message = (
        f"{found.mismatches} of {found.acting} decisions differ with a window of"
        f" {found.lookback} bars ({found.share:.1%})"
    )
    if found.share <= MOST_WARM_UP_MISMATCH:
        return check("warm_up_stable", message, passed=True)
    advice = (
        f"; at most {MOST_WARM_UP_MISMATCH:.0%} may: raise the class attribute lookback until its"
        " indicators no longer feel where the window begins"
    )
    return check("warm_up_stable", message + advice, passed=False)


# --- it trades


def judge_trading(ledgered: Ledgered, chosen: Chosen, settings: Settings) -> Check:
    """Judge whether the strategy traded at all."""
    entries, closed = ledgered.entries(), len(ledgered.round_trips)
    if entries:
        return check("trades", f"{entries} entries, {closed} round trips closed", passed=True)
    said = Counter(Action(int(action)).name for each in chosen.values() for action in each.actions)
    words = ", ".join(f"{name} {said[name]:,}" for name in ("BUY", "SELL", "TARGET", "HOLD"))
    if said["BUY"] or said["TARGET"] or (said["SELL"] and settings.rules.allow_short):
        advice = (
            "no entry came to a whole lot: raise position_size"
            f" ({settings.rules.position_size_ppb / 1e9:g}), capital"
            f" ({settings.capital_nanos / money.NANOS:,.0f}) or max_position_size"
        )
    elif said["SELL"]:
        advice = "SELL opens a short only with allow_short"
    else:
        advice = "loosen its entry condition, or test it on data where it is met"
    bars = sum(len(each) for each in chosen.values())
    return check("trades", f"no trade in {bars:,} bars ({words}); {advice}", passed=False)
