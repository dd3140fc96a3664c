"""An experiment, its states, and what is frozen when it starts."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from strategy_engine.core.transitions import next_state
from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.rollout.analysis import ALPHA, Difference
from strategy_engine.venue.model import Tenure

PREFIX = "exp"
SUBJECT = "experiment"


class State(StrEnum):
    """Where an experiment is."""

    STARTING = "starting"  # capital and instruments are on their way to the two
    RUNNING = "running"
    ENDING = "ending"  # on their way back
    ENDED = "ended"


class Trigger(StrEnum):
    """What moves an experiment on."""

    BEGIN = "begin"
    END = "end"
    CLOSE = "close"


class Outcome(StrEnum):
    """Why it ended."""

    COMPLETED = "completed"  # the planned size was reached
    STOPPED = "stopped"
    ABORTED = "aborted"  # one of the two ended or failed


class Unit(StrEnum):
    """What is assigned to the two versions."""

    CAPITAL = "capital"
    INSTRUMENT = "instrument"


class Metric(StrEnum):
    """What is estimated."""

    MEAN_RETURN_DIFFERENCE = "mean_return_difference"


class Recommendation(StrEnum):
    """What the estimate says. Nothing follows by itself: a deployment promotes."""

    PREFER_A = "prefer_a"
    PREFER_B = "prefer_b"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"


_S, _T = State, Trigger
ARROWS: dict[tuple[State, Trigger], State] = {
    (_S.STARTING, _T.BEGIN): _S.RUNNING,
    (_S.STARTING, _T.END): _S.ENDING,
    (_S.RUNNING, _T.END): _S.ENDING,
    (_S.ENDING, _T.CLOSE): _S.ENDED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What is asked, and how it is judged. Frozen at the start.

    Parameters
    ----------
    margin : float
        A difference of yearly returns that would matter; smaller ones are as good as none.
    alpha : float
        The chance at most that the interval ever misses the truth, however often one looks.
    share_b : Decimal
        Of the line's capital, or of its instruments, that B gets.
    planned_pairs : int
        Bars at which both were observed; with so many it ends by itself.
    seed : int
        Instruments are drawn by it, within strata of volatility.
    """

    hypothesis: str
    metric: Metric = Metric.MEAN_RETURN_DIFFERENCE
    margin: float = 0.05
    alpha: float = ALPHA
    unit: Unit = Unit.CAPITAL
    share_b: Decimal = Decimal("0.5")
    planned_pairs: int = 1_000
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request asks for; `capital` and `config` count where nothing of the line runs."""

    strategy_name: str
    version_a: str
    version_b: str
    design: Design
    capital: Decimal | None = None
    config: ExecutionConfig = field(default_factory=ExecutionConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One of the two versions in it.

    Parameters
    ----------
    weight : Decimal
        Of the line's capital.
    execution_id : str
        Its execution; empty until the experiment has started one.
    is_own : bool
        The experiment starts it, and lets it run off at the end.
    opening : Decimal
        What an own one opens with.
    capital_before, serves_before
        What another had been given and where it served, when the experiment began.
    symbols : tuple of str
        The instruments that it opens positions in; empty: all of its own.
    """

    strategy_id: str
    version: str
    weight: Decimal
    execution_id: str = ""
    is_own: bool = False
    opening: Decimal = Decimal(0)
    capital_before: Decimal = Decimal(0)
    serves_before: Tenure | None = None
    symbols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What it came to: B's yearly return minus A's, and what that says.

    Parameters
    ----------
    pairs : int
        Bars at which both were observed: the sample.
    difference : Difference or None
        None below the fewest pairs that say anything.
    findings : tuple of str
        What went wrong in operation, of either; it takes a preference back.
    """

    pairs: int
    difference: Difference | None
    recommendation: Recommendation
    message: str
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One experiment as it stands.

    Parameters
    ----------
    capital : Decimal
        What the two had been given together when it began.
    goal : mapping
        The contributed capital that those that ran before come to.
    handed : tuple of str
        The instruments that one has taken over from the other.
    start_ns : int or None
        The bar close after which returns count.
    """

    experiment_id: str
    strategy_name: str
    design: Design
    a: Arm
    b: Arm
    requested_by: str
    created_at: datetime
    state: State = State.STARTING
    outcome: Outcome | None = None
    capital: Decimal = Decimal(0)
    goal: Mapping[str, Decimal] = field(default_factory=dict)
    config: ExecutionConfig = field(default_factory=ExecutionConfig)
    handed: tuple[str, ...] = ()
    start_ns: int | None = None
    result: Result | None = None
    message: str = ""
    running_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def arms(self) -> tuple[Arm, Arm]:
        """Return both."""
        return self.a, self.b

    @property
    def giver(self) -> Arm | None:
        """Return the one that ran before and gives instruments up to the other, if any does."""
        running = [each for each in self.arms if not each.is_own]
        is_shared = self.design.unit is Unit.INSTRUMENT and len(running) == 1
        return running[0] if is_shared else None

    @property
    def taker(self) -> Arm | None:
        """Return the one that takes instruments over from the other, if any does."""
        return next((each for each in self.arms if each.is_own), None) if self.giver else None

    @property
    def execution_ids(self) -> tuple[str, ...]:
        """Return the executions of both, as far as there are."""
        return tuple(each.execution_id for each in self.arms if each.execution_id)

    def on(self, trigger: Trigger) -> "Experiment":
        """Return the experiment as it stands after `trigger`."""
        return replace(self, state=next_state(ARROWS, self.state, trigger))
