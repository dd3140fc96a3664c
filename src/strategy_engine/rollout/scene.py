"""The executions of a rollout at one look: the new version's and those beside it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from strategy_engine.execution.model import UNENDED, Desired, Role
from strategy_engine.rollout import moves, stakes
from strategy_engine.rollout.model import Deployment
from strategy_engine.rollout.moves import Member
from strategy_engine.rollout.parity import Compared
from strategy_engine.rollout.plans import FULL, Kind, Step
from strategy_engine.rollout.readiness import Readiness
from strategy_engine.rollout.rules import Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The executions of a rollout at one look."""

    members: Mapping[str, Member]
    stables: tuple[Member, ...]
    candidate: Member | None
    baseline: Member | None
    compared: Compared | None = None
    ready: Readiness | None = None
    observation: Observation | None = None

    @property
    def alive(self) -> tuple[Member, ...]:
        """The versions before the new one that have not ended."""
        return tuple(each for each in self.stables if each.execution.status in UNENDED)

    @property
    def gone(self) -> str:
        """Why no version before is there any more, unless its feed came to its end."""
        if self.alive or not self.stables:
            return ""
        last = self.stables[-1]
        why = "" if last.is_over else last.failure
        return why and f"the version before ({last.execution.execution_id}) is gone: {why}"

    @property
    def tied(self) -> tuple[Member, ...]:
        """Those that ended with a position: what they are worth stays with them."""
        return tuple(
            each
            for each in self.members.values()
            if each.held and each.execution.status not in UNENDED
        )

    @property
    def leavings(self) -> tuple[Member, ...]:
        """Those of them whose positions the engine closes."""
        return stakes.leavings(self.members.values())

    @property
    def givers(self) -> tuple[Member, ...]:
        """Those that are to hold nothing in the end."""
        baseline = self.baseline
        if baseline is None or baseline.execution.status not in UNENDED:
            return self.alive
        return (*self.alive, baseline)

    @property
    def ending(self) -> tuple[str, ...]:
        """Those that are to stop, and have not yet."""
        return tuple(
            each.execution.execution_id
            for each in self.givers
            if each.execution.desired is Desired.STOP
        )

    @property
    def shadows(self) -> tuple[Member, ...]:
        """Those of the new executions that have no capital yet."""
        mine = (self.candidate, self.baseline)
        return tuple(
            each for each in mine if each is not None and each.execution.role is Role.SHADOW
        )


def needed(deployment: Deployment, plan: Sequence[Step], scene: Scene) -> tuple[Member, ...]:
    """Return those that a step needs to decide too: it is compared with them, or goes back to them.

    Where a baseline is still to be started, the version that it is a copy of has to run.
    """
    step = plan[deployment.progress.index]
    if step.kind is Kind.PREPARE:
        is_wanted = stakes.has_baseline(plan) and not deployment.progress.baseline
        return scene.alive if is_wanted else ()
    is_watched = step.kind in moves.WAIVABLE and step.weight < FULL
    return scene.givers if is_watched else ()


def is_let_go(step: Step, scene: Scene) -> bool:
    """Say whether those before hold nothing any more of what a step is about."""
    about, holding = frozenset(step.symbols), (*scene.givers, *scene.leavings)
    return not any(each.held & about if about else each.held for each in holding)


def told_capital(scene: Scene) -> str:
    """Return what the candidate has of the line's capital, and what could not be closed."""
    told = "running with the line's capital"
    for each in scene.tied:
        told += (
            f", but for {each.equity:f} that {each.execution.execution_id} keeps: it ended while it"
            " held what could not be closed, of"
            f" {', '.join(sorted(each.held))}"
        )
    return told
