"""What an experiment does next, and what its figures say. Pure."""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from strategy_engine.core.errors import InvalidError
from strategy_engine.execution.model import Change, Desired, Execution, Role, Switch
from strategy_engine.rollout import analysis, capital, heirs, shares
from strategy_engine.rollout.analysis import Difference
from strategy_engine.rollout.experiments.model import (
    Arm,
    Design,
    Experiment,
    Outcome,
    Recommendation,
    Result,
    State,
    Trigger,
    Unit,
)
from strategy_engine.rollout.lines import Line, Member
from strategy_engine.rollout.rules import Bounds
from strategy_engine.venue.accounts import AccountNow
from strategy_engine.venue.model import Span, Tenure

NEVER = Span(until_ns=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is known of an experiment at one look.

    Parameters
    ----------
    fence : Switch or None
        The switch by which one gave up opening positions in the other's instruments.
    unready : mapping
        Why a shadow may have no capital yet, by execution.
    held : frozenset of str
        The instruments that who gave them up holds a position in.
    """

    line: Line
    unready: Mapping[str, str] = field(default_factory=dict)
    fence: Switch | None = None
    held: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is to be done now: what to ask of executions, and how the experiment moves on.

    Parameters
    ----------
    calls_in : tuple of str
        Executions that have ended, and hold what is to be closed.
    goal : mapping or None
        What members are to come to from now on; None: as it is kept.
    """

    changes: Mapping[str, Change] = field(default_factory=dict)
    calls_in: tuple[str, ...] = ()
    goal: Mapping[str, Decimal] | None = None
    asks_fence: bool = False
    handed: tuple[str, ...] = ()
    trigger: Trigger | None = None
    outcome: Outcome | None = None
    start_ns: int | None = None
    message: str = ""


def check(design: Design) -> None:
    """Refuse a design that cannot be judged.

    Raises
    ------
    InvalidError
        With the field and what is accepted.
    """
    for name, value, low, high in (
        ("share_b", float(design.share_b), 0.0, 1.0),
        ("alpha", design.alpha, 0.0, 0.5),
    ):
        if not low < value < high:
            raise InvalidError(
                f"{name} is {value:g}; it must lie between {low:g} and {high:g}",
                field=name,
                value=value,
                accepted=f"above {low:g}, below {high:g}",
            )
    if design.planned_pairs < analysis.FEWEST_PAIRS:
        raise InvalidError(
            f"planned_pairs is {design.planned_pairs}; below {analysis.FEWEST_PAIRS} paired bars"
            " nothing can be said",
            field="planned_pairs",
            value=design.planned_pairs,
            accepted=f"a whole number from {analysis.FEWEST_PAIRS}",
        )


def assign(volatilities: Mapping[str, float], share_b: Decimal, seed: int) -> tuple[str, ...]:
    """Return the instruments that B gets: one of each stratum of neighbours in volatility.

    The same instruments, volatilities and seed give the same answer.

    Parameters
    ----------
    volatilities : mapping
        By symbol; any unit.

    Raises
    ------
    InvalidError
        If there are fewer than two: one cannot be shared.
    """
    ranked = sorted(volatilities, key=lambda symbol: (volatilities[symbol], symbol))
    if len(ranked) < 2:  # noqa: PLR2004 - two versions
        raise InvalidError(
            f"unit instrument needs two instruments or more; there is {', '.join(ranked) or 'none'}"
            ": assign capital instead",
            field="unit",
            value=Unit.INSTRUMENT.value,
            accepted=[Unit.CAPITAL.value],
        )
    wanted = round(len(ranked) * share_b)
    count = max(1, min(len(ranked) - 1, wanted))
    bounds = [len(ranked) * number // count for number in range(count + 1)]
    strata = [ranked[low:high] for low, high in itertools.pairwise(bounds)]
    return tuple(sorted(_drawn(each, seed) for each in strata))


def _drawn(stratum: Sequence[str], seed: int) -> str:
    text = f"{seed}:{'|'.join(sorted(stratum))}"
    return stratum[int(hashlib.sha256(text.encode()).hexdigest(), 16) % len(stratum)]


def next_step(experiment: Experiment, look: Look) -> Step:
    """Return what is to be done now."""
    match experiment.state:
        case State.STARTING:
            return _abort(experiment, look.line) or _setting_up(experiment, look)
        case State.RUNNING:
            return _abort(experiment, look.line) or Step(handed=experiment.handed)
        case State.ENDING:
            return _giving_back(experiment, look.line)
        case State.ENDED:
            return Step(handed=experiment.handed)


def _abort(experiment: Experiment, line: Line) -> Step | None:
    for arm in experiment.arms:
        found = line.execution(arm.execution_id)
        trouble = "" if found is None else shares.trouble(found)
        if trouble:
            return Step(
                handed=experiment.handed,
                trigger=Trigger.END,
                outcome=Outcome.ABORTED,
                message=f"version {arm.version} ({arm.execution_id}) {trouble}",
            )
    return None


def _setting_up(experiment: Experiment, look: Look) -> Step:
    line = look.line
    account = line.account(experiment.capital, experiment.execution_ids)
    move = capital.move(account, experiment.goal)
    shadows = [each for each in line.shadows if each.execution_id in experiment.execution_ids]
    handed = _handed(experiment, look)
    waits = _waits_for(experiment, look, shadows)
    entering: tuple[str, ...] = ()
    if not waits:
        wishes = {each.execution_id: each.contributed for each in shadows}
        entering = capital.affordable(move.spare, wishes)
    changes = {name: Change(capital_target=target) for name, target in move.targets.items()}
    changes |= {name: Change(role=Role.CANDIDATE) for name in entering}
    changes |= _served(experiment, look, handed, entering)
    held = _held_told(experiment, handed)
    if shadows or changes or held or not move.is_done:
        outside = [each for each in shadows if each.execution_id not in entering]
        waits = waits or _money_awaited(move, outside) or held
        asks_fence = experiment.giver is not None and look.fence is None and not look.unready
        return Step(changes=changes, asks_fence=asks_fence, handed=handed, message=waits)
    return Step(
        handed=handed,
        trigger=Trigger.BEGIN,
        start_ns=_latest(line, experiment.execution_ids),
        message="",
    )


def _waits_for(experiment: Experiment, look: Look, shadows: Sequence[Member]) -> str:
    for each in shadows:
        if each.execution_id in look.unready:
            return shares.unready_told(each, look.unready[each.execution_id])
    if experiment.giver is not None and not _is_fenced(look):
        return f"version {experiment.giver.version} is being closed to what it gives up"
    return ""


def _is_fenced(look: Look) -> bool:
    return look.fence is not None and look.fence.done_at is not None


def _money_awaited(move: capital.Move, shadows: Sequence[Member]) -> str:
    if move.waiting or shadows:
        missing = capital.total((move.waiting, *(each.contributed for each in shadows)))
        return f"{missing:f} is still to come: a position ties it"
    return ""


def _held_told(experiment: Experiment, handed: Sequence[str]) -> str:
    giver, taker = experiment.giver, experiment.taker
    if giver is None or taker is None:
        return ""
    left = sorted(set(taker.symbols) - set(handed))
    return f"version {giver.version} still holds {', '.join(left)}" if left else ""


def _handed(experiment: Experiment, look: Look) -> tuple[str, ...]:
    """Return what the giver, closed to it, holds nothing in; once handed stays handed."""
    taker = experiment.taker
    if taker is None or not _is_fenced(look):
        return experiment.handed
    free = set(taker.symbols) - look.held
    return tuple(sorted({*experiment.handed, *free}))


def _served(
    experiment: Experiment, look: Look, handed: Sequence[str], entering: Sequence[str]
) -> dict[str, Change]:
    giver, taker = experiment.giver, experiment.taker
    member = None if taker is None else look.line.alive(taker.execution_id)
    if giver is None or member is None or look.fence is None or not _is_fenced(look):
        return {}
    # The giver may be ahead in time: the taker opens where the giver held nothing any more.
    from_ns = max(look.fence.at_ns or 0, _latest(look.line, [giver.execution_id]))
    serves = _tenure(member, handed, from_ns)
    role = Role.CANDIDATE if member.execution_id in entering else None
    if serves == member.execution.serves and role is None:
        return {}
    return {member.execution_id: Change(role=role, serves=serves)}


def _tenure(member: Member, handed: Sequence[str], from_ns: int) -> Tenure:
    serves = member.execution.serves
    before: Mapping[str, Span] = {} if serves is None else serves.by_symbol
    spans = {symbol: before.get(symbol, Span(from_ns=from_ns)) for symbol in handed}
    return Tenure(others=NEVER, by_symbol=spans)


def _latest(line: Line, execution_ids: Sequence[str]) -> int:
    members = [line.alive(name) for name in execution_ids]
    closes = [each.account.close_ns for each in members if each is not None and each.account]
    return max((close for close in closes if close is not None), default=0)


def _giving_back(experiment: Experiment, line: Line) -> Step:
    own = [_alive(line, each) for each in experiment.arms if each.is_own]
    leaving = [each for each in own if each is not None]
    staying = [
        (arm, member)
        for arm in experiment.arms
        if not arm.is_own and (member := _alive(line, arm)) is not None
    ]
    account = line.account(experiment.capital, experiment.execution_ids)
    goal = _goal_back(account, staying)
    move = capital.move(account, goal)
    changes = {
        each.execution_id: Change(desired=Desired.DRAIN, capital_target=_swept(each))
        for each in leaving
    }
    for arm, member in staying:
        target = move.targets.get(member.execution_id)
        serves = None if leaving else _serves_back(arm, member)
        if target is not None or serves is not None:
            changes[member.execution_id] = Change(capital_target=target, serves=serves)
    news = {name: each for name, each in changes.items() if _is_news(line, name, each)}
    tied = line.leavings(experiment.execution_ids)
    if leaving or news or tied or not move.is_done:
        told = ", ".join(each.version for each in (*leaving, *tied))
        message = f"version {told} closes what it holds" if told else "capital is given back"
        calls_in = line.called_in(experiment.execution_ids)
        return Step(changes=news, calls_in=calls_in, handed=experiment.handed, message=message)
    return _closed(experiment) if staying else _inherited(experiment, line, account.pool)


def _inherited(experiment: Experiment, line: Line, pool: Decimal) -> Step:
    """Return how the line's stable version gets what neither of the two is left to take."""
    found = heirs.inherit(line, experiment.goal, experiment.execution_ids, pool)
    if found.is_done:
        return _closed(experiment, found.told)
    return Step(
        changes=found.changes,
        goal=found.goal,
        handed=experiment.handed,
        message="what is left goes to the line's stable version",
    )


def _closed(experiment: Experiment, told: str = "") -> Step:
    return Step(handed=experiment.handed, trigger=Trigger.CLOSE, message=told)


def _alive(line: Line, arm: Arm) -> Member | None:
    return line.alive(arm.execution_id) if arm.execution_id else None


def _swept(member: Member) -> Decimal | None:
    return None if member.execution.role is Role.SHADOW else capital.SWEEP


def _goal_back(
    account: capital.Account, staying: Sequence[tuple[Arm, Member]]
) -> dict[str, Decimal]:
    if len(staying) == 1:  # all that there is: what B made or lost is the line's
        ((_, member),) = staying
        pool = max(Decimal(0), account.pool)
        return {member.execution_id: capital.total((member.contributed, pool))}
    return {member.execution_id: arm.capital_before for arm, member in staying}


def _serves_back(arm: Arm, member: Member) -> Tenure | None:
    before = Tenure() if arm.serves_before is None else arm.serves_before
    now = Tenure() if member.execution.serves is None else member.execution.serves
    return None if now == before else before


def _is_news(line: Line, execution_id: str, change: Change) -> bool:
    found = line.execution(execution_id)
    return any(getattr(found, name) != value for name, value in change.given().items())


def judge(
    design: Design, pairs: int, difference: Difference | None, findings: Sequence[str]
) -> Result:
    """Return what the figures say: by the interval, and only where both worked as they should."""
    recommendation, message = _said(design, pairs, difference)
    is_preference = recommendation in {Recommendation.PREFER_A, Recommendation.PREFER_B}
    if is_preference and findings:
        recommendation = Recommendation.INCONCLUSIVE
        message = f"{message}; but {'; '.join(findings)}"
    return Result(
        pairs=pairs,
        difference=difference,
        recommendation=recommendation,
        message=message,
        findings=tuple(findings),
    )


def _said(design: Design, pairs: int, found: Difference | None) -> tuple[Recommendation, str]:
    if found is None:
        return (
            Recommendation.INCONCLUSIVE,
            f"{pairs} paired bars; below {analysis.FEWEST_PAIRS} nothing is said",
        )
    told = (
        f"a year B returns {found.lower:+.1%} to {found.upper:+.1%} more than A"
        f" ({1 - design.alpha:.0%}, at all times), by {found.pairs} paired bars;"
        f" what matters is {design.margin:.1%}"
    )
    if found.lower > design.margin:
        return Recommendation.PREFER_B, f"{told}: deploy B"
    if found.upper < -design.margin:
        return Recommendation.PREFER_A, f"{told}: keep A"
    if -design.margin < found.lower and found.upper < design.margin:
        return Recommendation.EQUIVALENT, f"{told}: they are as good as equal"
    return Recommendation.INCONCLUSIVE, f"{told}: more bars are needed to tell"


def findings(version: str, execution: Execution, account: AccountNow | None) -> list[str]:
    """Return what went wrong with one of the two, beside what it earned."""
    bounds, found = Bounds(), []
    trouble = shares.trouble(execution) if execution.failure or execution.error else ""
    if trouble:
        found.append(f"version {version} {trouble}")
    if account is None:
        return [*found, f"version {version} has no ledger that could be read"]
    orders, denied = account.order_count, account.denied_count
    if orders >= bounds.fewest_orders and denied / orders > bounds.max_reject_share:
        found.append(f"{denied} of {orders} orders of version {version} were refused")
    if account.slippage_bps is not None and account.slippage_bps > bounds.max_slippage_bps:
        found.append(
            f"version {version} pays {account.slippage_bps:.1f} bps more than its fills' rule"
        )
    return found
