"""Whose capital of a line is whose in a rollout, and what each step makes of it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from strategy_engine.core import ids
from strategy_engine.execution.model import UNENDED, Closing, Role
from strategy_engine.rollout import capital
from strategy_engine.rollout.capital import SWEEP, Account, Stake
from strategy_engine.rollout.lines import REAL
from strategy_engine.rollout.model import Deployment
from strategy_engine.rollout.moves import Member
from strategy_engine.rollout.plans import FULL, Step

CANDIDATE, BASELINE = "candidate", "baseline"  # the keys that they are started by
_ZERO = Decimal(0)


def started(deployment: Deployment) -> tuple[str, str]:
    """Return the executions that a rollout starts, the new version's and its baseline's.

    They have these names from the moment that they are started, whoever has noted it.
    """
    key, progress = deployment.pipeline_id, deployment.progress
    return (
        progress.candidate or ids.derived(ids.EXECUTION, f"{key}/{CANDIDATE}"),
        progress.baseline or ids.derived(ids.EXECUTION, f"{key}/{BASELINE}"),
    )


def account_of(deployment: Deployment, members: Iterable[Member]) -> Account:
    """Return what the line has: the members that trade, and what those that ended left.

    Until the rollout has counted it, it has moved nothing: the line's capital is what the versions
    before have been given.
    """
    stakes, ended, given = [], [], []
    for each in members:
        is_before = each.execution.execution_id in deployment.replaces
        if is_before:
            given.append(each.contributed)
        if not is_before and each.execution.role not in REAL:
            continue  # a shadow's capital is nobody's
        if each.execution.status in UNENDED or each.held:
            stakes.append(
                Stake(
                    execution_id=each.execution.execution_id,
                    contributed=each.contributed,
                    equity=each.equity,
                    target=each.execution.capital_target,
                )
            )
        else:
            ended.append(capital.total((each.equity, -each.contributed)))
    progress = deployment.progress
    return Account(
        capital=progress.capital if progress.is_counted else capital.total(given),
        stakes=tuple(stakes),
        ended_pnl=capital.total(ended),
    )


def goals_of(
    deployment: Deployment, step: Step, account: Account, members: Mapping[str, Member]
) -> dict[str, Decimal]:
    """Return the capital that each execution of a rollout is to have at a step.

    The new version gets its share, a baseline the same, and those before it what is left, as they
    share it now.
    """
    progress = deployment.progress
    weights = {progress.candidate: Decimal(str(step.weight))}
    if progress.baseline:
        weights[progress.baseline] = weights[progress.candidate] if step.has_baseline else _ZERO
    olds = [each for each in deployment.replaces if _is_there(members[each])]
    left = 1 - sum(weights.values())
    equity = capital.total(members[each].equity for each in olds)
    for each in olds:
        portion = members[each].equity / equity if equity > 0 else Decimal(1) / len(olds)
        weights[each] = left * portion
    return {name: _goal(members[name], weight, account.worth) for name, weight in weights.items()}


def _goal(member: Member, weight: Decimal, worth: Decimal) -> Decimal:
    if weight <= 0:
        return SWEEP
    return capital.total((member.contributed, capital.share(worth, weight), -member.equity))


def leavings(members: Iterable[Member]) -> tuple[Member, ...]:
    """Return those that have ended and hold what the engine can close."""
    return tuple(
        each
        for each in members
        if (each.held or each.execution.is_closing)
        and not _is_there(each)
        and each.execution.closing is not Closing.STUCK
    )


def first_weight(steps: Sequence[Step]) -> Decimal:
    """Return the share that a new version gets first: what it is shown as its own until then."""
    weights = [each.weight for each in steps if each.weight > 0]
    return Decimal(str(weights[0] if weights else FULL))


def has_baseline(steps: Sequence[Step]) -> bool:
    """Say whether a fresh copy of the stable version is compared with."""
    return any(each.has_baseline for each in steps)


def is_capital_in_place(
    goals: Mapping[str, Decimal], members: Mapping[str, Member], account: Account
) -> bool:
    """Say whether those that are to have capital have it and trade, or all that there was.

    Who gives everything may have less of it than it was worth when the step began.
    """
    takers = [
        (members[name], goal)
        for name, goal in goals.items()
        if goal != SWEEP and members[name].execution.role is not Role.STABLE
    ]
    if not takers or not all(_is_settled(each) for each, _ in takers):
        return False
    if all(each.contributed == goal for each, goal in takers):
        return True
    is_given = not any(
        _is_there(members[name]) and members[name].equity > 0
        if goal == SWEEP
        else members[name].contributed > goal
        for name, goal in goals.items()
    )
    return is_given and account.pool <= 0


def _is_settled(taker: Member) -> bool:
    is_moving = taker.execution.capital_target not in {None, taker.contributed}
    return taker.execution.role in REAL and not is_moving


def to_ask(account: Account, targets: Mapping[str, Decimal]) -> Mapping[str, Decimal]:
    """Return the targets that may be asked for at this look.

    The pool is below zero for as long as what has just become real has still to let go of the
    capital that it was only shown: meanwhile nobody is to get more, nor to keep what is to leave.
    """
    if account.pool >= 0:
        return targets
    asked = {
        each.execution_id: each.contributed if each.target is None else each.target
        for each in account.stakes
    }
    return {name: target for name, target in targets.items() if target <= asked[name]}


def _is_there(member: Member) -> bool:
    return member.execution.status in UNENDED
