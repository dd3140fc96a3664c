"""A stage's end, and the gates of the backtest: facts in, checks out. Pure."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from strategy_engine.matching.model import DAY_NS
from strategy_engine.matching.settings import Settings
from strategy_engine.pipeline import history
from strategy_engine.pipeline.asked import Longer
from strategy_engine.pipeline.backtest import Ledgered
from strategy_engine.pipeline.chosen import Chosen
from strategy_engine.pipeline.history import History, Series
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
MOST_BARS_WITHOUT_TICKS = 0.01
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


# --- quotes and trades


def judge_ticks(whole: History, since_ns: int) -> list[Check]:
    """Judge whether the quotes and trades of each symbol that has any reach as far as its bars.

    They are its market: an order given where there are none any more would wait for ever.

    Parameters
    ----------
    since_ns : int
        When the first bar that is tested on closed; those before it may be without.
    """
    return [_judge_reach(each, since_ns) for each in whole.series if each.is_ticked]


def _judge_reach(series: Series, since_ns: int) -> Check:
    known = [each.ts_ns for each in (series.quotes, series.trades) if each]
    first_ns, last_ns = min(int(each[0]) for each in known), max(int(each[-1]) for each in known)
    closes = series.bars.close_ns
    tested = closes >= since_ns
    is_outside = (closes < first_ns) | (series.bars.ts_ns > last_ns)
    count, outside = int(tested.sum()), int((tested & is_outside).sum())
    reach = f"from {history.moment(first_ns)} to {history.moment(last_ns)}"
    message = f"quotes and trades of {series.symbol} reach {reach}"
    passed = outside <= MOST_BARS_WITHOUT_TICKS * count
    if not passed:
        message += (
            f", and {outside:,} of its {count:,} bars lie outside; where a symbol has ticks"
            " they are its market, and orders on those bars meet nothing: import the missing"
            " ones, or test on the days that have them (duration_days)"
        )
    return check("ticks_reach", message, passed=passed)


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
    closes = chosen.turns(part)
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


def _difference(chosen: Chosen, truncated: Chosen | StrategyFailedError, part: History) -> str:
    if isinstance(truncated, StrategyFailedError):
        return f"it failed, with the later bars there it did not: {truncated}"
    for each in chosen.differences(truncated, part):
        return (
            f"it said {each.other} at {history.moment(each.close_ns)} of {each.symbol}, with the"
            f" later bars there {each.one}"
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


def warm_up_of(chosen: Chosen, longer: Longer) -> WarmUp:
    """Compare choices from the bar on at which the longer history, too, is there."""
    if longer.chosen is None:
        return WarmUp(lookback=longer.lookback, compared_bars=0, acting=0, mismatches=0)
    found = chosen.compared(longer.chosen, longer.part, longer.start)
    return WarmUp(
        lookback=longer.lookback,
        compared_bars=found.bars,
        acting=found.acting,
        mismatches=found.mismatches,
    )


def judge_warm_up(found: WarmUp, advice: str) -> Check:
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
    message += f"; at most {MOST_WARM_UP_MISMATCH:.0%} may: {advice}"
    return check("warm_up_stable", message, passed=False)


# --- it trades


def judge_trading(ledgered: Ledgered, chosen: Chosen, part: History, settings: Settings) -> Check:
    """Judge whether the strategy traded at all."""
    entries, closed = ledgered.entries(), len(ledgered.round_trips)
    if entries:
        return check("trades", f"{entries} entries, {closed} round trips closed", passed=True)
    return check("trades", chosen.silence(part, settings), passed=False)


def judge_entries(ledgered: Ledgered, settings: Settings) -> list[Check]:
    """Judge whether a native strategy opens no more positions in a day than it may live.

    The order book of the backtest fills what is asked for; the live gate denies what is too much.
    For a signal strategy the account itself keeps the limit.
    """
    limit = settings.rules.max_trades_per_day
    if limit is None:
        return []
    opened = Counter(each.ts_ns // DAY_NS for each in ledgered.fills if each.enters)
    beyond = sorted(day for day, count in opened.items() if count > limit)
    message = f"at most {max(opened.values(), default=0)} positions opened in a day, limit {limit}"
    if beyond:
        message += (
            f", broken on {len(beyond)} days, first on {history.moment(beyond[0] * DAY_NS)[:10]};"
            " live the gate denies what is beyond it: let the strategy itself keep to it, or raise"
            " max_trades_per_day"
        )
    return [check("max_trades_per_day", message, passed=not beyond)]
