"""What the executions of a node ask of risk, which stands above them."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from strategy_engine.execution import limiting
from strategy_engine.execution.model import Execution, Role
from strategy_engine.execution.restraint import Restraint
from strategy_engine.venue.kill import KillState


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An execution by everything that a scope of risk may name it by.

    Parameters
    ----------
    is_real : bool
        False: a validation run, which plays the past and is no matter of risk.
    """

    execution_id: str
    strategy_id: str
    line: str
    account: str
    is_real: bool = True


def subject_of(mine: Execution, line: str) -> Subject:
    """Return an execution by everything that a scope may name it by."""
    return Subject(
        execution_id=mine.execution_id,
        strategy_id=mine.strategy_id,
        line=line,
        account=limiting.account_of(mine.config, line),
        is_real=mine.role is not Role.VALIDATION,
    )


class Guard(Protocol):
    """What risk has said of executions, asked by who begins to run one."""

    @property
    def kill(self) -> KillState:
        """What is shut at the gate."""
        ...

    def restraints(self, subject: Subject) -> tuple[Restraint, ...]:
        """Return what an execution is held to that its row may not say yet."""
        ...

    def withdrawn(self, execution_id: str) -> Collection[str]:
        """Return orders that are confirmed to wait no more; the ledger may not know it."""
        ...

    def settled(self) -> frozenset[str]:
        """Return the deeds that rows say by now: whoever reads these after that is told."""
        ...


class NoGuard:
    """Nothing was ever said."""

    def __init__(self) -> None:
        self.kill = KillState()

    def restraints(self, subject: Subject) -> tuple[Restraint, ...]:
        """Return nothing."""
        del subject
        return ()

    def withdrawn(self, execution_id: str) -> Collection[str]:
        """Return nothing."""
        del execution_id
        return ()

    def settled(self) -> frozenset[str]:
        """Return nothing."""
        return frozenset()
