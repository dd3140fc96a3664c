"""Whether a version that has ended takes its line back when a rollout is undone. Pure."""

from collections.abc import Iterable
from decimal import Decimal

from strategy_engine.execution.model import UNENDED, Closing, Desired, Execution
from strategy_engine.rollout import capital, stakes
from strategy_engine.rollout.model import Deployment
from strategy_engine.rollout.moves import Member
from strategy_engine.rollout.verbs import REASONS, Verb

LEAST = Decimal(1)  # with less nothing is started again


def stays_stopped(deployment: Deployment, before: Execution) -> bool:
    """Say whether somebody stopped the version before, and nobody wants it back.

    Who rolls back says that it is to have the line again; who aborts or rejects the new one does
    not, nor does the engine.
    """
    undo = deployment.progress.undo
    if before.status in UNENDED or undo is None or undo.reason == REASONS[Verb.ROLLBACK]:
        return False
    return before.desired is Desired.STOP and before.desired_why != deployment.pipeline_id


def free(deployment: Deployment, members: Iterable[Member]) -> Decimal:
    """Return what a line has, but for what could not be closed: what can be begun again with."""
    known = list(members)
    account = stakes.account_of(deployment, known)
    tied = (each.equity for each in known if each.execution.closing is Closing.STUCK)
    return capital.total((account.worth, -capital.total(tied)))
