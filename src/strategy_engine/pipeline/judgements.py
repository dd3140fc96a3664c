"""The gates of risk and performance: numbers in, checks with the number and the limit out. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from strategy_engine.core import money
from strategy_engine.matching.settings import Settings
from strategy_engine.performance import statistics
from strategy_engine.performance.model import Estimate, Metrics, Moments
from strategy_engine.performance.var import TailRisk
from strategy_engine.pipeline.backtest import Segments
from strategy_engine.pipeline.model import Check, Criteria, Verdict
from strategy_engine.pipeline.risk import Company, WorstDay
from strategy_engine.pipeline.rules import check

_YEAR_DAYS = 365.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One number and the limit that it must reach."""

    name: str
    words: str
    value: float | None
    limit: float
    criterion: str
    at_least: bool = True
    strict: bool = False  # the limit itself is not enough
    form: str = ".2f"
    sample: str = ""
    too_small: str = ""  # why the sample says nothing


def judge(gate: Gate) -> Check:
    """Judge one number: passed, failed, or inconclusive where it cannot be computed."""
    if gate.too_small or gate.value is None:
        why = gate.too_small or f"it is undefined ({gate.sample})"
        message = (
            f"{gate.words} cannot be judged: {why}; give it more history, or set"
            " accept_inconclusive"
        )
        return Check(name=gate.name, verdict=Verdict.INCONCLUSIVE, message=message)
    sign = 1 if gate.at_least else -1
    distance = sign * (gate.value - gate.limit)
    passed = distance > 0 if gate.strict else distance >= 0
    bound = ("above" if gate.strict else "at least") if gate.at_least else "at most"
    sample = f" ({gate.sample})" if gate.sample else ""
    message = f"{gate.words} {gate.value:{gate.form}}{sample}, {bound} {gate.limit:{gate.form}}"
    if not passed:
        message += f"; improve the strategy, or set {gate.criterion} with a reason"
    return check(gate.name, message, passed=passed)


# --- risk


def judge_declared(settings: Settings) -> Check:
    """Judge whether the version declares the limits without which nothing may trade."""
    missing = [
        name
        for name, value in (
            ("max_position_size", settings.rules.max_position_nanos),
            ("daily_loss_limit", settings.daily_loss_limit_nanos),
        )
        if value is None
    ]
    if not missing:
        return check("limits_declared", "max_position_size, daily_loss_limit", passed=True)
    message = (
        f"risk_limits declares no {' and no '.join(missing)}; both max_position_size (account"
        " currency) and daily_loss_limit (account currency, negative) are needed, such as"
        ' {"max_position_size": 10000, "daily_loss_limit": -1000}'
    )
    return check("limits_declared", message, passed=False)


def judge_limits(settings: Settings, largest: float, day: WorstDay) -> Iterator[Check]:
    """Judge whether the backtest kept the declared limits."""
    position = settings.rules.max_position_nanos
    if position is not None:
        limit = position / money.NANOS
        message = f"largest position at entry {largest:,.2f}, limit {limit:,.2f}"
        yield check("position_limit", message, passed=largest <= limit)
    loss = settings.daily_loss_limit_nanos
    if loss is not None:
        limit = loss / money.NANOS
        when = f" on {day.day}" if day.loss else ""
        message = f"worst day {day.loss:,.2f}{when}, limit {limit:,.2f}"
        passed = day.loss >= limit
        if not passed:
            message += "; trade smaller (position_size), stop earlier (stop_loss), or raise it"
        yield check("daily_loss", message, passed=passed)


def judge_tail(tail: TailRisk, drawdown: Estimate, wanted: Criteria) -> Iterator[Check]:
    """Judge drawdown, and value at risk where a limit is declared."""
    yield judge(
        Gate(
            name="max_drawdown",
            words="max drawdown",
            value=drawdown.value,
            limit=wanted.max_drawdown,
            criterion="max_drawdown",
            form=".1%",
            sample=f"{drawdown.n:,} bars",
        )
    )
    if wanted.max_var is not None:
        yield judge(
            Gate(
                name="value_at_risk",
                words="VaR (95 %, 1 day)",
                value=tail.var.value,
                limit=wanted.max_var,
                criterion="max_var",
                at_least=False,
                form=".2%",
                sample=_sample(tail.var, "daily returns", ".2%"),
                too_small=_too_few_days(tail.var.n, wanted),
            )
        )


def judge_company(found: Company, wanted: Criteria) -> Iterator[Check]:
    """Judge likeness to what runs, and what is added to its bad day, where limits are declared."""
    if wanted.max_correlation is not None:
        for execution_id, value in found.correlations.items():
            yield judge(
                Gate(
                    name="correlation",
                    words=f"correlation with {execution_id}",
                    value=value,
                    limit=wanted.max_correlation,
                    criterion="max_correlation",
                    at_least=False,
                    sample=f"{found.shared_days[execution_id]} shared days",
                )
            )
    if wanted.max_marginal_var is not None and found.correlations:
        yield judge(
            Gate(
                name="marginal_var",
                words="marginal VaR",
                value=found.marginal_var,
                limit=wanted.max_marginal_var,
                criterion="max_marginal_var",
                at_least=False,
                form=".2%",
                sample=f"beside {len(found.correlations)} executions",
            )
        )


# --- performance


def judge_merit(found: Segments, wanted: Criteria) -> list[Check]:
    """Judge the spec's criteria on the out-of-sample part and on the whole."""
    return [
        *_criteria_on("out_of_sample", "out of sample", found.out_of_sample, wanted),
        *_criteria_on("full", "over the full run", found.full, wanted),
    ]


def _criteria_on(part: str, words: str, metrics: Metrics, wanted: Criteria) -> Iterator[Check]:
    days = _too_few_days(metrics.return_count, wanted)
    sharpe, alpha, drawdown = metrics.sharpe_ratio, metrics.alpha, metrics.max_drawdown
    yield judge(
        Gate(
            name=f"sharpe_ratio_{part}",
            words=f"Sharpe ratio {words}",
            value=sharpe.value,
            limit=wanted.min_sharpe_ratio,
            criterion="min_sharpe_ratio",
            sample=_sample(sharpe, "daily returns", ".2f"),
            too_small=days,
        )
    )
    yield judge(
        Gate(
            name=f"max_drawdown_{part}",
            words=f"max drawdown {words}",
            value=drawdown.value,
            limit=wanted.max_drawdown,
            criterion="max_drawdown",
            form=".1%",
            sample=f"{drawdown.n:,} bars",
        )
    )
    yield from _payoff(part, words, metrics, wanted)
    yield judge(
        Gate(
            name=f"alpha_{part}",
            words=f"alpha {words}",
            value=alpha.value,
            limit=wanted.min_alpha,
            criterion="min_alpha",
            strict=True,
            form=".3g",
            sample=_sample(alpha, "daily returns", ".3g") + _t_statistic(metrics.alpha_t),
            too_small=days,
        )
    )


def _payoff(part: str, words: str, metrics: Metrics, wanted: Criteria) -> Iterator[Check]:
    trades = metrics.trade_count
    few = "" if trades >= wanted.min_trades else _few(trades, wanted.min_trades, "closed trades")
    if not wanted.payoff_profile:
        yield judge(
            Gate(
                name=f"win_rate_{part}",
                words=f"win rate {words}",
                value=metrics.win_rate.value,
                limit=wanted.min_win_rate,
                criterion="min_win_rate",
                form=".1%",
                sample=_sample(metrics.win_rate, "closed trades", ".0%"),
                too_small=few,
            )
        )
        return
    never_lost = metrics.profit_factor.value is None and bool(trades)
    yield judge(
        Gate(
            name=f"profit_factor_{part}",
            words=f"profit factor {words}",
            value=float("inf") if never_lost else metrics.profit_factor.value,
            limit=wanted.min_profit_factor,
            criterion="min_profit_factor",
            sample=f"{trades} closed trades",
            too_small=few,
        )
    )
    yield judge(
        Gate(
            name=f"expectancy_{part}",
            words=f"expectancy {words}",
            value=metrics.expectancy.value,
            limit=0.0,
            criterion="payoff_profile to false",
            strict=True,
            sample=_sample(metrics.expectancy, "closed trades", ".2f"),
            too_small=few,
        )
    )


def judge_production(
    found: Segments,
    dearer: Metrics,
    excess: Moments,
    wanted: Criteria,
    *,
    trials: int,
    duration_days: int,
) -> list[Check]:
    """Judge what the production profile adds.

    Parameters
    ----------
    dearer : Metrics
        At costs × 2.
    excess : Moments
        Daily returns over the risk-free rate, of the full run.
    trials : int
        How many contents of this line were tried, this one counted.
    """
    days = _too_few_days(excess.n, wanted)
    psr = statistics.psr_of(excess)
    dsr = statistics.dsr_of(excess, trials=trials)
    years = duration_days / _YEAR_DAYS
    dear = dearer.sharpe_ratio.value
    demands = (
        _Demand("min_psr", wanted.min_psr, "PSR(0)", psr, days),
        _Demand("min_dsr", wanted.min_dsr, f"DSR over {trials} trials", dsr, days),
        _Demand(
            "min_total_trades", wanted.min_total_trades, "closed trades", found.full.trade_count
        ),
        _Demand("min_years", wanted.min_years, "years of history", years),
        _Demand("min_out_of_sample_ratio", wanted.min_out_of_sample_ratio, *_held_up(found), days),
        _Demand(
            "min_doubled_costs_sharpe",
            wanted.min_doubled_costs_sharpe,
            "Sharpe ratio at costs × 2",
            dear,
            days,
        ),
    )
    return [_judge_demand(each, each.limit) for each in demands if each.limit is not None]


class _Demand(NamedTuple):
    criterion: str
    limit: float | None  # None: not asked for
    words: str
    value: float | None
    too_small: str = ""


def _held_up(found: Segments) -> tuple[str, float | None]:
    inside, outside = found.in_sample.sharpe_ratio.value, found.out_of_sample.sharpe_ratio.value
    words = f"Sharpe out of sample over in sample ({_shown(outside)} over {_shown(inside)})"
    if outside is None or inside is None or inside <= 0:
        return words, None
    return words, outside / inside


def _judge_demand(demand: _Demand, limit: float) -> Check:
    return judge(
        Gate(
            name=demand.criterion.removeprefix("min_"),
            words=demand.words,
            value=demand.value,
            limit=limit,
            criterion=demand.criterion,
            strict=demand.criterion == "min_doubled_costs_sharpe",
            too_small=demand.too_small,
        )
    )


def _sample(estimate: Estimate, what: str, form: str) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.n} {what}"
    interval = f"{estimate.low:{form}} to {estimate.high:{form}}"
    return f"{estimate.n} {what}, 95 % interval {interval}"


def _t_statistic(estimate: Estimate) -> str:
    return "" if estimate.value is None else f", HAC t {estimate.value:.2f}"


def _too_few_days(count: int, wanted: Criteria) -> str:
    least = wanted.min_daily_returns
    return "" if count >= least else _few(count, least, "daily returns")


def _few(count: int, least: int, what: str) -> str:
    return f"{count} {what} are fewer than {least}"


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"
