"""What an allocation asks of executions at one look. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from strategy_engine.execution.model import Change, Desired, Execution, ExecutionStatus, Role
from strategy_engine.rollout import capital, heirs, shares
from strategy_engine.rollout.allocation.model import Allocation, State
from strategy_engine.rollout.lines import Line, Member
from strategy_engine.venue.model import RiskState


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What is to be asked now; `is_done`: everybody has what is wanted.

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
    is_done: bool
    message: str = ""


def unwell(allocation: Allocation, line: Line) -> dict[str, str]:
    """Return why versions may have no capital now, by version; one not started yet is well."""
    found = {
        version: _unwell(line.execution(execution_id))
        for version, execution_id in allocation.executions.items()
    }
    return {version: why for version, why in found.items() if why}


def _unwell(execution: Execution | None) -> str:
    if execution is None:
        return "has no execution"
    if told := shares.trouble(execution):
        return told
    if ExecutionStatus.PAUSED is execution.status or execution.desired is Desired.PAUSE:
        return "is paused"
    if execution.risk_state is RiskState.HALTED:
        return "is halted by risk"
    return ""


def goal_of(
    allocation: Allocation, line: Line, weights: Mapping[str, Decimal]
) -> dict[str, Decimal]:
    """Return the contributed capital that weights come to, of those that have some already.

    One that waits in shadow opened its ledger at an earlier price: the largest makes room for it.
    """
    account = line.account(allocation.capital, allocation.executions.values())
    goal = capital.wanted(
        account,
        {
            allocation.executions[name]: weight
            for name, weight in weights.items()
            if name in allocation.executions
        },
    )
    wished = capital.total(
        each.contributed
        for each in line.shadows
        if any(
            weights.get(name)
            for name, it in allocation.executions.items()
            if it == each.execution_id
        )
    )
    kept = [each for each in account.stakes if goal.get(each.execution_id) != capital.SWEEP]
    if not kept:
        return goal
    ends = {each.execution_id: goal.get(each.execution_id, each.contributed) for each in kept}
    left = capital.total((account.pool, account.contributed, *(-end for end in ends.values())))
    largest = max(ends, key=lambda name: ends[name])
    room = max(Decimal(0), capital.total((wished, -left)))
    return goal | ({largest: capital.total((ends[largest], -room))} if room else {})


def asking(allocation: Allocation, line: Line, unready: Mapping[str, str]) -> Asking:
    """Return what to ask so that everybody comes to the weights in force, or gets the rest back.

    Parameters
    ----------
    unready : mapping
        Why a shadow may have no capital yet, by execution.
    """
    concerned = [*allocation.executions.values()]
    account = line.account(allocation.capital, concerned)
    tied, calls_in = line.leavings(concerned), line.called_in(concerned)
    goal = _rest_back(account, line) if allocation.state is State.ENDING else allocation.goal
    move = capital.move(account, goal)
    changes = {name: Change(capital_target=target) for name, target in move.targets.items()}
    waiting = shadows(allocation, line)
    if allocation.state is State.ENDING:
        left = {each.execution_id: Change(desired=Desired.DRAIN) for each in waiting}
        news = {n: c for n, c in left.items() if _execution(line, n).desired is not Desired.DRAIN}
        is_done = move.is_done and not left and not tied
        asked = Asking(changes=changes | news, calls_in=calls_in, is_done=is_done)
        has_heir = bool(_heirs(account, line))
        return asked if has_heir or not is_done else _inherited(allocation, line, account)
    ready = {
        each.execution_id: each.contributed for each in waiting if each.execution_id not in unready
    }
    entering = capital.affordable(move.spare, ready)
    changes |= {name: Change(role=Role.CANDIDATE) for name in entering}
    return Asking(
        changes=changes,
        calls_in=calls_in,
        is_done=move.is_done and not waiting and not tied,
        message=_awaited(move, waiting, unready, entering),
    )


def _inherited(allocation: Allocation, line: Line, account: capital.Account) -> Asking:
    """Return how the line's stable version gets what none of those that shared is left to take."""
    concerned = [*allocation.executions.values()]
    found = heirs.inherit(line, allocation.goal, concerned, account.pool)
    return Asking(changes=found.changes, goal=found.goal, is_done=found.is_done, message=found.told)


def _execution(line: Line, execution_id: str) -> Execution:
    found = line.execution(execution_id)
    if found is None:
        raise LookupError(execution_id)
    return found


def shadows(allocation: Allocation, line: Line) -> list[Member]:
    """Return those that wait for their first capital, and are to have some."""
    weighted = {
        execution_id
        for version, execution_id in allocation.executions.items()
        if allocation.state is State.ENDING or allocation.weights.get(version)
    }
    return [each for each in line.shadows if each.execution_id in weighted]


def _heirs(account: capital.Account, line: Line) -> list[Member]:
    names = {each.execution_id for each in account.stakes}
    return [
        each
        for each in line.members
        if each.execution_id in names and not shares.trouble(each.execution)
    ]


def _rest_back(account: capital.Account, line: Line) -> dict[str, Decimal]:
    """Return who gets what lies in cash: the stable version, or who has most."""
    mine = _heirs(account, line)
    goal = {each.execution_id: each.contributed for each in account.stakes}
    if not mine:
        return goal
    heir = min(mine, key=lambda each: (each.execution.role is not Role.STABLE, -each.equity))
    pool = max(Decimal(0), account.pool)
    return goal | {heir.execution_id: capital.total((heir.contributed, pool))}


def _awaited(
    move: capital.Move,
    waiting: Sequence[Member],
    unready: Mapping[str, str],
    entering: Collection[str],
) -> str:
    for each in waiting:
        if each.execution_id in unready:
            return shares.unready_told(each, unready[each.execution_id])
    outside = [each.contributed for each in waiting if each.execution_id not in entering]
    missing = capital.total((move.waiting, *outside))
    return f"{missing:f} is still to come: a position ties it" if missing else ""
