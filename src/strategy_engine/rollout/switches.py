"""What a rollout's fenced switch says: who gives, who takes, and what is handed over. Pure."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from strategy_engine.execution.model import UNENDED, Change, Execution, Exits, Role, Switch
from strategy_engine.rollout import capital
from strategy_engine.rollout.capital import SWEEP, Account
from strategy_engine.rollout.model import Deployment, Handover
from strategy_engine.rollout.moves import Member
from strategy_engine.rollout.plans import FULL, Step


def forward(
    deployment: Deployment,
    step: Step,
    account: Account,
    goals: Mapping[str, Decimal],
    members: Mapping[str, Member],
) -> Switch:
    """Return the switch of a step, from which on the new version opens positions.

    It gets at once what lies in the pool, and what those before it have free above their goals; the
    rest follows as their positions close. Where it adopts, it gets their positions as well, and
    the engine closes what it cannot take.
    """
    progress, is_all = deployment.progress, step.weight >= FULL
    changes = {
        name: Change(exits=_exits(deployment), capital_target=_less(goals[name], members[name]))
        for name in deployment.replaces
        if _is_there(members[name])
    }
    gives = list(deployment.replaces)  # who has ended has served bars that are not served again
    if progress.baseline and is_all:
        gives.append(progress.baseline)
        if _is_there(members[progress.baseline]):
            changes[progress.baseline] = Change(exits=Exits.FLATTEN, capital_target=SWEEP)
    parting = [name for name, each in changes.items() if each.capital_target is not None]
    whole = _contributed(account, [progress.candidate, *parting])
    changes[progress.candidate] = Change(
        role=Role.CANDIDATE, capital_target=capital.total((account.pool, whole))
    )
    return Switch(
        key=key_of(deployment, progress.index),
        gives=tuple(gives),
        takes=(progress.candidate,),
        symbols=step.symbols or None,
        changes=changes,
        hands_cash=True,
        adopts=deployment.options.handover is Handover.ADOPT,
    )


def back(
    key: str,
    account: Account,
    gives: Mapping[str, Execution],
    takes: Sequence[Member],
    looked_at: Mapping[str, Member],
) -> Switch:
    """Return the switch from which on the versions before open positions again, and no other.

    If there is one of them, it gets at once what the pool has and the others have free. That sum
    is one look's: if somebody has become real, or has ended, since, it follows at the next. What
    those that let go hold is closed, wherever it came from: they are not trusted with it any more,
    and the others never decided on it.

    Parameters
    ----------
    gives : mapping
        Those that are to let go, as they are by now.
    looked_at : mapping
        The same as they were when `account` was looked at.
    """
    leave = Change(exits=Exits.FLATTEN, capital_target=SWEEP)
    parting = [name for name, each in gives.items() if is_real(each)]
    names = [each.execution.execution_id for each in takes]
    is_same = parting == [name for name in gives if is_real(looked_at[name].execution)]
    hands_cash = is_same and len(names) == 1
    target = None
    if hands_cash:
        target = capital.total((account.pool, _contributed(account, [*names, *parting])))
    again = Change(role=Role.STABLE, exits=Exits.OWN, capital_target=target)
    return Switch(
        key=key,
        gives=tuple(gives),
        takes=tuple(names),
        changes=dict.fromkeys(parting, leave) | dict.fromkeys(names, again),
        hands_cash=hands_cash,
    )


def is_real(execution: Execution) -> bool:
    """Whether an execution has capital of the line: no shadow, and not ended."""
    return execution.role is not Role.SHADOW and execution.status in UNENDED


def key_of(deployment: Deployment, index: int) -> str:
    """Return what the switch of a step is known by."""
    return f"{deployment.pipeline_id}/switch/{index}"


def _contributed(account: Account, names: list[str]) -> Decimal:
    """Return what some have been given; what a shadow is shown was given to nobody."""
    return capital.total(each.contributed for each in account.stakes if each.execution_id in names)


def _less(goal: Decimal, giver: Member) -> Decimal | None:
    return goal if goal < giver.contributed else None


def _exits(deployment: Deployment) -> Exits:
    runs_off = deployment.options.handover is Handover.RUN_OFF
    return Exits.OWN if runs_off else Exits.FLATTEN


def _is_there(member: Member) -> bool:
    return member.execution.status in UNENDED
