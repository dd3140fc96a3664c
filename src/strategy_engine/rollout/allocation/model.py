"""An allocation of a line's capital: its policy, and what it has come to."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from strategy_engine.core.transitions import next_state
from strategy_engine.execution.model import ExecutionConfig

PREFIX = "alloc"
SUBJECT = "allocation"


class Kind(StrEnum):
    """How weights are found."""

    FIXED = "fixed"
    EQUAL_RISK = "equal_risk"
    PERFORMANCE = "performance"


class State(StrEnum):
    """Where an allocation is."""

    ACTIVE = "active"
    ENDING = "ending"  # what lies in cash goes back to the stable version
    ENDED = "ended"


class Trigger(StrEnum):
    """What moves an allocation on."""

    END = "end"
    CLOSE = "close"


ARROWS: dict[tuple[State, Trigger], State] = {
    (State.ACTIVE, Trigger.END): State.ENDING,
    (State.ENDING, Trigger.CLOSE): State.ENDED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How the capital of a line is shared. Weights are by version number, shares of the whole.

    Parameters
    ----------
    versions : tuple of str
        Who has a part in it.
    weights : mapping
        Of a fixed policy; what they leave is cash.
    caps : mapping
        The most that a version gets, 1 where it is not named.
    band : Decimal
        Weights within it of those that are in force stay: changes cost.
    max_change_a_day : Decimal
        How much of the capital may change hands in a day of the feed.
    lookback : int
        The most recent paired bars that are measured.
    prior : int
        So many bars of returns without a difference are added in thought: few bars say little.
    """

    kind: Kind
    versions: tuple[str, ...]
    weights: Mapping[str, Decimal] = field(default_factory=dict)
    caps: Mapping[str, Decimal] = field(default_factory=dict)
    band: Decimal = Decimal("0.02")
    max_change_a_day: Decimal = Decimal("0.2")
    lookback: int = 500
    prior: int = 250

    def cap(self, version: str) -> Decimal:
        """Return the most that a version gets."""
        return self.caps.get(version, Decimal(1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """A line's allocation as it stands.

    Parameters
    ----------
    executions : mapping
        Its versions' executions, by number.
    own : tuple of str
        Those of them that it started.
    capital : Decimal
        What they had been given together when it began.
    slots : mapping
        The weights by version, of those that are well and of those that were before they were not.
    weights : mapping
        Those in force: a version that is not well has 0, and its slot is cash.
    goal : mapping
        The contributed capital that they come to, by execution; set when weights change.
    day, changed : int or None, Decimal
        The feed's day of the last look, and how much has changed hands in it.
    """

    allocation_id: str
    strategy_name: str
    policy: Policy
    requested_by: str
    created_at: datetime
    updated_at: datetime
    state: State = State.ACTIVE
    executions: Mapping[str, str] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    capital: Decimal = Decimal(0)
    config: ExecutionConfig = field(default_factory=ExecutionConfig)
    slots: Mapping[str, Decimal] = field(default_factory=dict)
    weights: Mapping[str, Decimal] = field(default_factory=dict)
    goal: Mapping[str, Decimal] = field(default_factory=dict)
    day: int | None = None
    changed: Decimal = Decimal(0)
    message: str = ""
    ended_at: datetime | None = None

    def on(self, trigger: Trigger) -> "Allocation":
        """Return the allocation as it stands after `trigger`."""
        return replace(self, state=next_state(ARROWS, self.state, trigger))
