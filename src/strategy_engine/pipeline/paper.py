"""The gates of paper trading: what the live path did beside a backtest of the same bars. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from strategy_engine.core import clock, money
from strategy_engine.pipeline.backtest import Ledgered
from strategy_engine.pipeline.chosen import Chosen
from strategy_engine.pipeline.history import History
from strategy_engine.pipeline.model import Check, PaperRun, Verdict
from strategy_engine.pipeline.rules import check

LEAST_PARITY = 0.99
MOST_DECISION_MS = 8.0
COMPLETED = "completed"
_NANOS_PER_HOUR = 3_600 * clock.NANOS_PER_SECOND
_MINUTES_PER_HOUR = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How a live run compares with a backtest of the same bars."""

    equal: int
    live: int
    replayed: int
    first_difference: str = ""

    @property
    def share(self) -> float:
        """Return the share of what happened that happened in both."""
        largest = max(self.live, self.replayed)
        return self.equal / largest if largest else 1.0


def fill_parity(run: PaperRun, ledgered: Ledgered, part: History) -> Parity:
    """Compare fill by fill: symbol, side, quantity, price and bar."""
    terms = {each.symbol: each.terms for each in part.series}
    live = [(each.ts_ns, each.symbol, each.side, each.quantity, each.price) for each in run.trades]
    replayed = [
        (
            each.ts_ns,
            each.symbol,
            str(each.side),
            money.to_decimal(each.lots * terms[each.symbol].lot_nanos),
            money.to_decimal(each.price_ticks * terms[each.symbol].tick_nanos),
        )
        for each in ledgered.fills
    ]
    return _parity(live, replayed)


def decision_parity(run: PaperRun, chosen: Chosen, part: History) -> Parity | None:
    """Compare decision by decision; None where the node kept none."""
    if run.decisions is None:
        return None
    return _parity(list(run.decisions), list(chosen.rows(part)))


def _parity(live: Sequence[tuple[object, ...]], replayed: Sequence[tuple[object, ...]]) -> Parity:
    one, other = Counter(live), Counter(replayed)
    equal = sum((one & other).values())
    odd = sorted((one - other).keys() | (other - one).keys(), key=repr)
    where = ""
    if odd:
        place = "only the live run" if odd[0] in one - other else "only the backtest"
        where = f"{place} has {' '.join(str(part) for part in odd[0])}"
    return Parity(equal=equal, live=len(live), replayed=len(replayed), first_difference=where)


def judge_parity(name: str, what: str, found: Parity) -> Check:
    """Judge whether the live path did what the backtest of the same bars does."""
    message = f"{found.equal} of {max(found.live, found.replayed)} {what} equal ({found.share:.1%})"
    if found.share >= LEAST_PARITY:
        return check(name, message, passed=True)
    advice = (
        f"; at least {LEAST_PARITY:.0%} must be: {found.first_difference}; look for state that"
        " depends on more than the bars it was shown"
    )
    return check(name, message + advice, passed=False)


def judge_run(run: PaperRun) -> list[Check]:
    """Judge how a live run went: to its end, without denials, with a ledger that adds up.

    Of a run that did not come to its end nothing else is asked: it was cut off in the middle.
    """
    checks = [
        check(
            "ran_to_the_end",
            f"the run ended as {run.status}" + (f": {run.error}" if run.error else ""),
            passed=run.status == COMPLETED,
        )
    ]
    if run.status != COMPLETED:
        return [*checks, *map(not_asked, ("reconciled", "no_denials", "decision_cpu"))]
    return [
        *checks,
        _judge_ledger(run),
        check(
            "no_denials",
            f"{len(run.denials)} orders denied by its own limits"
            + (f", the first: {run.denials[0]}; trade within the limits" if run.denials else ""),
            passed=not run.denials,
        ),
        _judge_speed(run.decision_cpu_ms),
    ]


def not_asked(name: str) -> Check:
    """Return the check that a run which was cut off leaves open."""
    message = "not asked: the run did not come to its end"
    return Check(name=name, verdict=Verdict.INCONCLUSIVE, message=message)


def _judge_ledger(run: PaperRun) -> Check:
    if run.reconciled is None:
        return not_asked("reconciled")
    message = (
        "the ledger's trades, positions and cash agree"
        if run.reconciled
        else f"the ledger of {run.execution_id} does not add up; nothing of it can be trusted"
    )
    return check("reconciled", message, passed=run.reconciled)


def judge_parities(run: PaperRun, fills: Parity, decided: Parity | None) -> list[Check]:
    """Judge fills and, where the node kept them, decisions; of a run to its end only."""
    found = [("fill_parity", "fills", fills)]
    if decided is not None:
        found.append(("decision_parity", "decisions", decided))
    if run.status != COMPLETED:
        return [not_asked(name) for name, _, _ in found]
    return [judge_parity(name, what, each) for name, what, each in found]


def _judge_speed(median_ms: float | None) -> Check:
    if median_ms is None:
        message = "no evaluation was measured"
        return Check(name="decision_cpu", verdict=Verdict.INCONCLUSIVE, message=message)
    message = f"median CPU of an evaluation {median_ms:.3f} ms"
    if median_ms < MOST_DECISION_MS:
        return check("decision_cpu", message, passed=True)
    advice = f"; it must stay below {MOST_DECISION_MS:g} ms: do less per bar"
    return check("decision_cpu", message + advice, passed=False)


def judge_activity(run: PaperRun, bars: int) -> Check:
    """Note how much was traded; a window without a trade passes."""
    if run.status != COMPLETED:
        return not_asked("activity")
    if run.trades:
        message = f"{len(run.trades)} fills, {len(run.round_trips)} round trips in {bars:,} bars"
    else:
        message = f"no trade in the window of {bars:,} bars: nothing to compare but the silence"
    return check("activity", message, passed=True)


def headline(run: PaperRun, window: History) -> dict[str, Any]:
    """Return what a paper test is asked for; `avg_trade_duration` is in minutes."""
    times = window.timeline()
    first = min((int(each.bars.ts_ns[0]) for each in window.series if len(each.bars)), default=0)
    held = [(trip.exit_ns - trip.entry_ns) / _NANOS_PER_HOUR for trip in run.round_trips]
    wins = sum(trip.pnl > 0 for trip in run.round_trips)
    return {
        "duration_hours": (int(times[-1]) - first) / _NANOS_PER_HOUR if times.size else 0.0,
        "trades_executed": len(run.trades),
        "pnl": float(sum(each.pnl for each in run.trades)),
        "win_rate": wins / len(run.round_trips) if run.round_trips else 0.0,
        "avg_trade_duration": sum(held) / len(held) * _MINUTES_PER_HOUR if held else 0.0,
        "round_trips": len(run.round_trips),
    }
