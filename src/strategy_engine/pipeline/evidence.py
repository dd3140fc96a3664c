"""What a stage's answer shows beside its verdict, as plain JSON. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from strategy_engine.performance.model import Metrics
from strategy_engine.performance.var import TailRisk
from strategy_engine.pipeline import curves, history
from strategy_engine.pipeline.backtest import Segments
from strategy_engine.pipeline.contract import CONSTRUCTS
from strategy_engine.pipeline.history import History
from strategy_engine.pipeline.model import Check, Criteria, Finding, Job, Level, Verdict
from strategy_engine.pipeline.paper import Parity
from strategy_engine.pipeline.risk import Company, Stress
from strategy_engine.pipeline.trial import Data, Gated, Outcome
from strategy_engine.sandbox.protocol import messages

_SHOWN_TESTS = 200
_LONGEST_MESSAGE = 500


def bars_of(part: History) -> dict[str, Any]:
    """Return which bars something was judged on."""
    times = part.timeline()
    first = min((int(each.bars.ts_ns[0]) for each in part.series if len(each.bars)), default=0)
    return {
        "bars": int(part.bar_count()),
        "days": history.span_days(part),
        "from": history.moment(first) if times.size else None,
        "to": history.moment(int(times[-1])) if times.size else None,
        "symbols": [
            {
                "symbol": each.symbol,
                "timeframe": each.timeframe,
                "bars": len(each.bars),
                "note": each.note,
            }
            for each in part.series
        ],
        "data_digest": part.identity(),
    }


def length_finding(job: Job, data: Data) -> list[Finding]:
    """Say that the history is shorter than was asked for."""
    asked = job.duration_days
    if asked is None or asked <= data.available_days:
        return []
    message = (
        f"{asked} days were asked for; the history has {data.available_days} beside the hold-out,"
        " and all of them were used"
    )
    return [Finding(level=Level.NOTE, message=message)]


def window_finding(data: Data) -> list[Finding]:
    """Say what of the hold-out paper trading does not play."""
    if not data.is_unseen_cut:
        return []
    message = (
        f"plays the last {data.unseen.bar_count():,} bars of the hold-out: paper trading goes"
        f" through the live path, and takes at most {history.MOST_PAPER_BARS:,} bars a symbol"
    )
    return [Finding(level=Level.NOTE, message=message)]


def criteria_of(wanted: Criteria) -> dict[str, Any]:
    """Return the limits, and which of them a request replaced."""
    return {"criteria": wanted.to_dict(), "overrides": list(wanted.overrides)}


def metrics_of(found: Segments) -> dict[str, Any]:
    """Return every metric of every part, with sample and interval."""
    return {
        "full": found.full.to_detailed_dict(),
        "in_sample": found.in_sample.to_detailed_dict(),
        "out_of_sample": found.out_of_sample.to_detailed_dict(),
    }


def backtest_of(job: Job, data: Data, gated: Gated) -> dict[str, Any]:
    """Return a backtest's evidence: the spec's fields first."""
    outcome = gated.outcome
    full = outcome.segments.full.to_dict()
    names = ("total_return", "sharpe_ratio", "max_drawdown", "win_rate")
    return {
        **{name: full[name] for name in names},
        "trade_count": outcome.segments.full.trade_count,
        "duration_days": history.span_days(data.seen),
        "requested_days": job.duration_days,
        "initial_capital": outcome.ledgered.capital,
        "final_equity": outcome.ledgered.capital + outcome.ledgered.pnl,
        "fill_count": len(outcome.ledgered.fills),
        "fees": sum(each.fee_nanos for each in outcome.ledgered.fills) / 1e9,
        "lookback": outcome.lookback,
        "history": bars_of(data.seen),
        "hold_out": bars_of(data.unseen),
        **outcome.chosen.told(),
        **metrics_of(outcome.segments),
        "costs_doubled": _short(outcome.dearer),
        "one_bar_later": _short(outcome.later),
        "lookahead": [
            {"end": history.moment(each.end_ns), "bars": each.bars, "difference": each.difference}
            for each in gated.lookahead
        ],
        "warm_up": {
            "lookback": gated.warm_up.lookback,
            "compared_bars": gated.warm_up.compared_bars,
            "acting": gated.warm_up.acting,
            "mismatches": gated.warm_up.mismatches,
        },
        curves.KEY: curves.of(outcome.ledgered, data.seen),
    }


def tests_of(outcomes: Sequence[messages.TestOutcome], contract: Sequence[Check]) -> dict[str, Any]:
    """Return how many tests there were, the user's and ours apart."""
    own = [each for each in outcomes if not each.skipped]
    asked = [each for each in contract if each.verdict is not Verdict.INCONCLUSIVE]
    user_passed = sum(each.passed for each in own)
    kept = sum(each.verdict is Verdict.PASSED for each in asked)
    return {
        "tests_passed": user_passed + kept,
        "tests_failed": len(own) - user_passed + len(asked) - kept,
        "user_tests": {
            "passed": user_passed,
            "failed": len(own) - user_passed,
            "skipped": len(outcomes) - len(own),
            "tests": [
                {
                    "name": each.name[:_LONGEST_MESSAGE],
                    "outcome": _outcome(each),
                    "message": each.message[:_LONGEST_MESSAGE],
                }
                for each in outcomes[:_SHOWN_TESTS]
            ],
        },
        "contract": {
            "passed": kept,
            "failed": len(asked) - kept,
            "not_asked": len(contract) - len(asked),
            "constructs": any(
                each.name == CONSTRUCTS and each.verdict is Verdict.PASSED for each in contract
            ),
        },
    }


def risk_of(
    outcome: Outcome, tail: TailRisk, stresses: Sequence[Stress], beside: Company
) -> dict[str, Any]:
    """Return a risk validation's evidence."""
    full = outcome.segments.full
    return {
        "var_95": tail.var.value or 0.0,
        "cvar_95": tail.cvar.value or 0.0,
        "max_drawdown": full.max_drawdown.value or 0.0,
        "daily_returns": tail.var.n,
        "var": _interval(tail.var.low, tail.var.high) | {"parametric": tail.parametric_var.value},
        "cvar": _interval(tail.cvar.low, tail.cvar.high)
        | {"parametric": tail.parametric_cvar.value},
        "stress": {each.name: each.to_dict() for each in stresses},
        "running": {
            "executions": len(beside.correlations),
            "correlations": dict(beside.correlations),
            "shared_days": dict(beside.shared_days),
            "marginal_var": beside.marginal_var,
        },
    }


def performance_of(found: Segments) -> dict[str, Any]:
    """Return a performance validation's evidence: the full run's numbers first."""
    return {**found.full.to_dict(), **metrics_of(found)}


def parity_of(found: Parity | None) -> dict[str, Any] | None:
    """Return how alike the live run and the backtest were."""
    if found is None:
        return None
    return {
        "share": found.share,
        "equal": found.equal,
        "live": found.live,
        "backtest": found.replayed,
        "first_difference": found.first_difference,
    }


def _short(metrics: Metrics) -> dict[str, float]:
    every: Mapping[str, float] = metrics.to_dict()
    names = ("total_return", "sharpe_ratio", "max_drawdown", "win_rate", "trade_count", "alpha")
    return {name: every[name] for name in names}


def _interval(low: float | None, high: float | None) -> dict[str, float | None]:
    return {"low": low, "high": high}


def _outcome(each: messages.TestOutcome) -> str:
    if each.skipped:
        return "skipped"
    return "passed" if each.passed else "failed"
