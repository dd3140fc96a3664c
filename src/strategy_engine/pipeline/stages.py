"""The six stages: each asks its questions, lets the rules judge, and returns what was found."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import EngineError, UnavailableError
from strategy_engine.market.service import Catalogue
from strategy_engine.performance import formulas, var
from strategy_engine.pipeline import (
    backtest,
    contract,
    evidence,
    examination,
    history,
    imports,
    judgements,
    model,
    paper,
    risk,
    rules,
    speech,
    syntax,
    trial,
)
from strategy_engine.pipeline.children import Children, both
from strategy_engine.pipeline.chosen import Chosen
from strategy_engine.pipeline.history import History
from strategy_engine.pipeline.model import (
    Check,
    Finding,
    Job,
    Level,
    PaperRun,
    StageResult,
    Verdict,
)
from strategy_engine.sandbox.protocol import messages
from strategy_engine.venue import limits

_TESTS_S = 30.0
_SHOWN_FAILURES = 50


class RunPaper(Protocol):
    """Runs an execution of role validation on the node, as fast as it goes, and waits for its end.

    The node warms the strategy up with its lookback, and plays the bars that close after
    `start_ns` and no later than `end_ns`. When this is cancelled it stops the execution.
    """

    async def __call__(self, job: Job, *, start_ns: int, end_ns: int) -> PaperRun:
        """Return what the live path left behind."""
        ...


class Running(Protocol):
    """Says what runs now: daily returns of every execution that is not of the job's own line."""

    async def __call__(self, job: Job) -> Sequence[risk.RunningReturns]:
        """Return one series an execution."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What stages work with. One a process; `outcomes` remembers backtests between stages.

    `allowed_imports` are the modules that a strategy may import.
    """

    children: Children
    catalogue: Catalogue
    run_paper: RunPaper
    running_returns: Running
    clock: Clock
    outcomes: trial.Outcomes = field(default_factory=trial.Outcomes)
    allowed_imports: Sequence[str] = imports.ALLOWED


type Stage = Callable[[Job, Tools], Awaitable[StageResult]]


async def syntax_check(job: Job, tools: Tools) -> StageResult:
    """Read the source, then compile and construct it in a child."""
    started = tools.clock.monotonic_s()
    found = await asyncio.to_thread(syntax.check, job.content.code, tools.allowed_imports)
    errors = [each for each in found if each.level is Level.ERROR]
    checks = [
        Check(name="source", verdict=Verdict.FAILED, message=each.message, where=each.where)
        for each in errors
    ]
    extra = [each for each in found if each.level is not Level.ERROR]
    loaded = None
    if not checks:
        checks.append(rules.check("source", "parses, one strategy class", passed=True))
        loaded, constructed = await _construct(job, tools)
        checks.append(constructed)
    if loaded is not None:
        extra += _unused(job, loaded)
    return rules.conclude(
        model.SYNTAX_CHECK,
        checks,
        duration_ms=_ms_since(started, tools),
        evidence=_loaded_evidence(job, loaded),
        summary=checks[-1].message,
        extra=extra,
    )


async def unit_tests(job: Job, tools: Tools) -> StageResult:
    """Run the user's own tests and the contract pack; the pack counts as evidence."""
    started = tools.clock.monotonic_s()
    data = await trial.data_of(job, tools.catalogue)
    real = data.seen.last(contract.SLICE_BARS)
    outcomes, pack = await examination.run(job, tools.children, real, _TESTS_S)
    facts = evidence.tests_of(outcomes, pack)
    failed = [each for each in outcomes if not each.passed and not each.skipped]
    checks = [
        *(
            rules.check(f"user test {each.name[:200]}", each.message[:500], passed=False)
            for each in failed[:_SHOWN_FAILURES]
        ),
        *pack,
    ]
    return rules.conclude(
        model.UNIT_TESTS,
        checks,
        duration_ms=_ms_since(started, tools),
        evidence=facts | {"history": evidence.bars_of(real)},
        summary=f"{facts['tests_passed']} tests passed: {facts['user_tests']['passed']} of the"
        f" strategy's own, {facts['contract']['passed']} of the contract",
    )


async def backtest_(job: Job, tools: Tools) -> StageResult:
    """Backtest on all but the hold-out; it trades, sees nothing ahead, and has warmed up."""
    started = tools.clock.monotonic_s()
    data = await trial.data_of(job, tools.catalogue)
    gated = await trial.gate(job, data.seen, children=tools.children, outcomes=tools.outcomes)
    outcome = gated.outcome
    checks = [
        *rules.judge_ticks(data.whole, int(data.seen.timeline()[0])),
        rules.judge_trading(outcome.ledgered, outcome.chosen, data.seen, job.settings),
        *(rules.judge_entries(outcome.ledgered, job.settings) if job.content.is_native else ()),
        rules.judge_lookahead(gated.lookahead),
        rules.judge_warm_up(gated.warm_up, outcome.chosen.advice.warm_up),
    ]
    facts = await asyncio.to_thread(evidence.backtest_of, job, data, gated)
    return rules.conclude(
        model.BACKTEST,
        checks,
        duration_ms=_ms_since(started, tools),
        evidence=facts | evidence.criteria_of(job.criteria),
        summary=f"{facts['trade_count']} round trips in {facts['duration_days']} days, return"
        f" {facts['total_return']:.1%}, Sharpe {facts['sharpe_ratio']:.2f},"
        f" drawdown {facts['max_drawdown']:.1%}",
        extra=[*evidence.length_finding(job, data), *outcome.chosen.notes(outcome.ledgered)],
    )


async def paper_trading(job: Job, tools: Tools) -> StageResult:
    """Let the live path trade the hold-out, and compare with a backtest of the same bars."""
    started = tools.clock.monotonic_s()
    data = await trial.data_of(job, tools.catalogue)
    window = data.unseen
    times = window.timeline()
    start_ns = history.border(data.whole, window)
    run, (chosen, ledgered) = await both(
        tools.run_paper(job, start_ns=start_ns, end_ns=int(times[-1])),
        _replayed(job, tools, data.whole, window),
    )
    fills = paper.fill_parity(run, ledgered, window)
    decided = paper.decision_parity(run, chosen, window)
    checks = [
        *paper.judge_run(run),
        *paper.judge_parities(run, fills, decided),
        paper.judge_activity(run, int(times.size)),
    ]
    facts = paper.headline(run, window) | {
        "execution_id": run.execution_id,
        "pnl_at_marks": ledgered.pnl,
        "decision_cpu_ms": run.decision_cpu_ms,
        "denials": list(run.denials),
        "fill_parity": evidence.parity_of(fills),
        "decision_parity": evidence.parity_of(decided),
        "history": evidence.bars_of(window),
    }
    return rules.conclude(
        model.PAPER_TRADING,
        checks,
        duration_ms=_ms_since(started, tools),
        evidence=facts,
        summary=f"{facts['trades_executed']} fills in {facts['duration_hours']:g} hours of the"
        f" feed, P&L {facts['pnl']:,.2f}, as the backtest of the same bars",
        extra=[*evidence.window_finding(data), *chosen.notes(ledgered)],
    )


async def risk_validation(job: Job, tools: Tools) -> StageResult:
    """Judge the backtest's risk, and report stress and likeness to what runs."""
    started = tools.clock.monotonic_s()
    data = await trial.data_of(job, tools.catalogue)
    outcome = await trial.outcome_of(
        job, data.seen, children=tools.children, outcomes=tools.outcomes
    )
    running = await tools.running_returns(job)
    checks, facts = await asyncio.to_thread(_risks, job, data.seen, outcome, running)
    return rules.conclude(
        model.RISK_VALIDATION,
        checks,
        duration_ms=_ms_since(started, tools),
        evidence=facts | evidence.criteria_of(job.criteria),
        summary=f"VaR (95 %, 1 day) {facts['var_95']:.2%}, CVaR {facts['cvar_95']:.2%},"
        f" max drawdown {facts['max_drawdown']:.1%}, within its limits",
        extra=evidence.length_finding(job, data),
    )


async def performance_validation(job: Job, tools: Tools) -> StageResult:
    """Judge the criteria on the out-of-sample part and on the full run."""
    started = tools.clock.monotonic_s()
    data = await trial.data_of(job, tools.catalogue)
    outcome = await trial.outcome_of(
        job, data.seen, children=tools.children, outcomes=tools.outcomes
    )
    found = outcome.segments
    checks = judgements.judge_merit(found, job.criteria)
    _, returns = backtest.daily_returns(outcome.ledgered, data.seen.days())
    checks += judgements.judge_production(
        found,
        outcome.dearer,
        formulas.moments(returns),
        job.criteria,
        trials=job.trials,
        duration_days=history.span_days(data.seen),
    )
    facts = evidence.performance_of(found) | {
        "trials": job.trials,
        "costs_doubled_sharpe": outcome.dearer.to_dict()["sharpe_ratio"],
    }
    result = rules.conclude(
        model.PERFORMANCE_VALIDATION,
        checks,
        duration_ms=_ms_since(started, tools),
        evidence=facts | evidence.criteria_of(job.criteria),
        summary=f"Sharpe {facts['sharpe_ratio']:.2f}, drawdown {facts['max_drawdown']:.1%},"
        f" win rate {facts['win_rate']:.0%}, alpha {facts['alpha']:.2%}",
        extra=evidence.length_finding(job, data),
    )
    if result.verdict is Verdict.INCONCLUSIVE and job.criteria.accept_inconclusive:
        return replace(result, passed=True, message=f"accepted though: {result.message}")
    return result


REGISTRY: tuple[tuple[str, Stage], ...] = (
    (model.SYNTAX_CHECK, syntax_check),
    (model.UNIT_TESTS, unit_tests),
    (model.BACKTEST, backtest_),
    (model.PAPER_TRADING, paper_trading),
    (model.RISK_VALIDATION, risk_validation),
    (model.PERFORMANCE_VALIDATION, performance_validation),
)


def _ms_since(started: float, tools: Tools) -> float:
    return (tools.clock.monotonic_s() - started) * 1_000


async def _construct(job: Job, tools: Tools) -> tuple[messages.Loaded | None, Check]:
    try:
        part = await asyncio.to_thread(trial.first_bars, job, tools.catalogue)
        async with tools.children.open(job.content.warm, f"syntax of {job.strategy_id}") as talk:
            loaded = await talk.load(job, part)
    except UnavailableError:
        raise
    except EngineError as error:
        where = str(error.facts.get("where") or "")
        message = f"it cannot be constructed: {error}"
        return None, Check(name="constructs", verdict=Verdict.FAILED, message=message, where=where)
    bound = ", ".join(loaded.bound) or "no parameter"
    message = f"{loaded.class_name} constructs, with {bound} from the parameters"
    return loaded, rules.check("constructs", message, passed=True)


def _unused(job: Job, loaded: messages.Loaded) -> list[Finding]:
    idle = speech.of(job.content).idle_parameters & job.content.parameters.keys()
    names = ", ".join(sorted(idle - set(loaded.bound)))
    message = f"{names}: taken by the engine, and without effect on a strategy of this kind"
    told = [Finding(level=Level.WARNING, message=message)] if names else []
    return told + _unknown_limits(job) + _unbound(job, loaded)


def _unknown_limits(job: Job) -> list[Finding]:
    unknown = limits.parse(job.content.risk_limits, names=limits.OWN, tolerant=True).unknown
    if not unknown:
        return []
    message = (
        f"nobody reads the risk_limits {', '.join(sorted(unknown))}: they limit nothing, so look"
        f" for a typing error; there are {', '.join((*limits.OWN, *limits.VALIDATION))}"
    )
    return [Finding(level=Level.WARNING, message=message)]


def _unbound(job: Job, loaded: messages.Loaded) -> list[Finding]:
    if not loaded.unbound:
        return []
    taken = ", ".join(syntax.class_arguments(job.content.code, loaded.class_name)) or "nothing"
    names = ", ".join(sorted(loaded.unbound))
    message = (
        f"nobody takes the parameters {names}: {loaded.class_name} takes {taken}; they change"
        " nothing, so look for a typing error"
    )
    return [Finding(level=Level.WARNING, message=message)]


def _loaded_evidence(job: Job, loaded: messages.Loaded | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"code_hash": job.content.code_hash, "digest": job.content.digest}
    if loaded is not None:
        facts |= {
            "class_name": loaded.class_name,
            "lookback": loaded.lookback,
            "bound": list(loaded.bound),
            "unbound": list(loaded.unbound),
            "hooks": list(loaded.hooks),
        }
    return facts


async def _replayed(
    job: Job, tools: Tools, whole: History, window: History
) -> tuple[Chosen, backtest.Ledgered]:
    async with tools.children.open(job.content.warm, f"parity of {job.strategy_id}") as talk:
        lookback = (await talk.load(job, whole)).lookback
        longer, warm_up = history.with_warm_up(whole, window, lookback)
        chosen = await talk.backtest(longer, warm_up=warm_up)
    return chosen, await asyncio.to_thread(chosen.replay, window, job.settings)


def _risks(
    job: Job, part: History, outcome: trial.Outcome, running: Sequence[risk.RunningReturns]
) -> tuple[list[Check], dict[str, Any]]:
    ledgered, wanted = outcome.ledgered, job.criteria
    _, returns = backtest.daily_returns(ledgered, part.days())
    tail = var.tail_risk(returns)
    terms = {each.symbol: each.terms for each in part.series}
    largest = risk.largest_position(ledgered, terms)
    day = risk.worst_day(ledgered)
    utc_days, utc_returns = backtest.daily_returns(ledgered, risk.utc_days(ledgered))
    beside = risk.company(
        utc_days, utc_returns, ledgered.capital, running, wanted.min_daily_returns
    )
    stresses = risk.stresses(ledgered, outcome.chosen, part, job.settings)
    checks = [
        judgements.judge_declared(job.settings),
        *judgements.judge_limits(job.settings, largest, day),
        *judgements.judge_tail(tail, outcome.segments.full.max_drawdown, wanted),
        *judgements.judge_company(beside, wanted),
    ]
    facts = evidence.risk_of(outcome, tail, stresses, beside) | {
        "largest_position": largest,
        "worst_day": {"day": day.day, "loss": day.loss},
    }
    return checks, facts
