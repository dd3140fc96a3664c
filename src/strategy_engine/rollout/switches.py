"""What a rollout's fenced switch says: who gives, who takes, and what is handed over. Pure."""

from collections.abc import Mapping
from decimal import Decimal

from strategy_engine.execution.model import UNENDED, Change, Exits, Role, Switch
from strategy_engine.rollout import capital
from strategy_engine.rollout.capital import SWEEP, Account
from strategy_engine.rollout.model import Deployment, Handover
from strategy_engine.rollout.moves import Member
from strategy_engine.rollout.recipes import FULL, Step


def forward(
    deployment: Deployment,
    step: Step,
    account: Account,
    goals: Mapping[str, Decimal],
    members: Mapping[str, Member],
) -> Switch:
    """Return the switch of a step, from which on the new version opens positions.

    It gets at once what lies in the pool, and what those before it have free above their goals; the
    rest follows as their positions close.
    """
    progress, is_all = deployment.progress, step.weight >= FULL
    changes = {
        name: Change(exits=_exits(deployment), capital_target=_less(goals[name], members[name]))
        for name in deployment.replaces
        if _is_there(members[name])
    }
    gives = list(changes)
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
    )


def key_of(deployment: Deployment, index: int) -> str:
    """Return what the switch of a step is known by."""
    return f"{deployment.pipeline_id}/switch/{index}"


def _contributed(account: Account, names: list[str]) -> Decimal:
    """Return what some have been given; what a shadow is shown was given to nobody."""
    return capital.total(each.contributed for each in account.stakes if each.execution_id in names)


def _less(goal: Decimal, giver: Member) -> Decimal | None:
    return goal if goal < giver.contributed else None


def _exits(deployment: Deployment) -> Exits:
    is_flat_out = deployment.options.handover is Handover.FLATTEN
    return Exits.FLATTEN if is_flat_out else Exits.OWN


def _is_there(member: Member) -> bool:
    return member.execution.status in UNENDED
