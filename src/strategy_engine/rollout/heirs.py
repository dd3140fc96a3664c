"""Who gets cash of a line that nobody who shared it is left to take. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from strategy_engine.execution.model import Change, Role
from strategy_engine.rollout import capital, shares
from strategy_engine.rollout.lines import Line, Member


@dataclass(frozen=True, slots=True, kw_only=True)
class Inheriting:
    """What follows for such cash at one look.

    Parameters
    ----------
    goal : mapping
        What the heir is to have been given in all, by its execution. It is kept before it is asked
        for, so that it is given once, whoever dies when.
    told : str
        Who has it, or why nobody has; empty text: there is none, or it is on its way.
    """

    goal: Mapping[str, Decimal] = field(default_factory=dict)
    changes: Mapping[str, Change] = field(default_factory=dict)
    is_done: bool = False
    told: str = ""


def inherit(
    line: Line, goal: Mapping[str, Decimal], concerned: Collection[str], pool: Decimal
) -> Inheriting:
    """Return how the line's stable version, whichever is there by now, comes to a pool of cash.

    Parameters
    ----------
    goal : mapping
        As it was kept at an earlier look, if it was.
    concerned : collection of str
        The executions that shared the capital.
    """
    for name, target in goal.items():
        row = line.execution(name)
        if name in concerned or row is None:
            continue
        if row.capital >= target:
            return Inheriting(goal=goal, is_done=True, told=f"{name} has what was left of it")
        if line.alive(name) is not None:
            change = Change(capital_target=target)
            return Inheriting(
                goal=goal, changes={} if row.capital_target == target else {name: change}
            )
    heir = _heir(line, concerned)
    if pool <= 0:
        return Inheriting(goal=goal, is_done=True)
    if heir is None:
        told = f"{pool:f} is left of it, and nothing of the line runs that could have it"
        return Inheriting(goal=goal, is_done=True, told=told)
    return Inheriting(goal={heir.execution_id: capital.total((heir.contributed, pool))})


def _heir(line: Line, concerned: Collection[str]) -> Member | None:
    return next(
        (
            each
            for each in line.members
            if each.execution.role is Role.STABLE
            and each.execution_id not in concerned
            and not shares.trouble(each.execution)
        ),
        None,
    )
