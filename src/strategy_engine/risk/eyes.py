"""What the monitor sees of what runs on this node: all in memory, nothing is waited for."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from decimal import Decimal

from strategy_engine.core.clock import Clock
from strategy_engine.execution import limiting, rules, watch
from strategy_engine.execution.guard import Subject
from strategy_engine.execution.model import Execution, Role
from strategy_engine.execution.playing import Play
from strategy_engine.execution.runner import Runner
from strategy_engine.risk import heartbeat, members, references
from strategy_engine.risk.heartbeat import Heartbeats
from strategy_engine.risk.knowledge import Asked, Knowledge, Known
from strategy_engine.risk.members import Group, Member
from strategy_engine.risk.references import Reference
from strategy_engine.risk.rules import Bounds, Says, bounds_of
from strategy_engine.venue.limits import Scope

type Sets = Mapping[tuple[Scope, str], Says]


@dataclass(frozen=True, slots=True, kw_only=True)
class Eyes:
    """One node's.

    Parameters
    ----------
    runners : callable
        Returns what runs here now, by execution.
    shared : callable
        Returns what people have set limits to, by scope and name.
    default_speed : float
        Bars a second of a replay that names none.
    """

    runners: Callable[[], Mapping[str, Runner]]
    shared: Callable[[], Sets]
    knowledge: Knowledge
    clock: Clock
    default_speed: float = 1.0
    beats: Heartbeats = field(default_factory=Heartbeats)
    cached: dict[str, tuple[Sets, Execution, Bounds]] = field(default_factory=dict)

    def asked(self) -> list[Asked]:
        """Return the executions that there is something to be known of."""
        found = []
        runners = self.runners()
        for gone in self.cached.keys() - runners.keys():
            del self.cached[gone]
        for runner in runners.values():
            row, subject = runner.row, runner.leash.subject
            if row is None or subject is None or role_of(runner) not in members.REAL:
                continue
            found.append(Asked(row=row, subject=subject, bounds=self._bounds(row)))
        return found

    def members(self, filled: AbstractSet[str] | None = None) -> list[Member]:
        """Return those that can be judged: of the others not enough is known yet.

        If some are named, only those of their lines.
        """
        runners = self.runners()
        self.beats.keep(runners.keys())
        lines = None
        if filled is not None:
            lines = {line_of(runners[each]) for each in filled & runners.keys()}
        return [
            each
            for runner in runners.values()
            if lines is None or line_of(runner) in lines
            if (each := self._member(runner)) is not None
        ]

    def has_unknown(self) -> bool:
        """Say whether somebody runs of whom nothing has been read yet."""
        return any(
            runner.desk is not None
            and role_of(runner) in members.REAL
            and self.knowledge.of(name) is None
            for name, runner in self.runners().items()
        )

    def group(self, key: tuple[Scope, str], found: list[Member]) -> Group:
        """Return a line, an account or the engine, and have its references from now on."""
        knowledge = self.knowledge
        before, ended = knowledge.reference(key), knowledge.ended_pnl(key)
        reference = members.group_reference(before, found, ended)
        knowledge.note(key, reference)
        return Group(scope=key[0], subject=key[1], members=tuple(found), reference=reference)

    def bounds(self, member: Member) -> Bounds:
        """Return what an execution is held to."""
        return self._bounds(self.runners()[member.execution_id].row)

    def group_bounds(self, key: tuple[Scope, str]) -> Bounds:
        """Return what a line, an account or the engine is held to."""
        shared = self.shared()
        return bounds_of([(key, shared[key])]) if key in shared else {}

    def _bounds(self, row: Execution | None) -> Bounds:
        content = None if row is None else self.knowledge.content(row.strategy_id)
        if row is None or content is None:
            return {}
        shared = self.shared()
        cached = self.cached.get(row.execution_id)
        if cached is not None and cached[0] is shared and cached[1] is row:
            return cached[2]
        names = (Scope.VERSION, row.strategy_id), (Scope.EXECUTION, row.execution_id)
        own: Sets = limiting.own_sets(content, row.config, row.strategy_id, row.execution_id)
        people = [(name, shared[name]) for name in names if name in shared]
        found = bounds_of([*own.items(), *people], with_undeclared=True)
        self.cached[row.execution_id] = shared, row, found
        return found

    def _member(self, runner: Runner) -> Member | None:
        silence_s = self._silence_s(runner)
        row, subject, desk = runner.row, runner.leash.subject, runner.desk
        known = self.knowledge.of(runner.execution_id)
        if row is None or subject is None or desk is None or known is None:
            return None
        role = role_of(runner)
        if role is None or role not in members.REAL:
            return None
        figures = watch.figures(desk)
        return Member(
            execution_id=runner.execution_id,
            strategy_id=row.strategy_id,
            line=subject.line,
            account=subject.account,
            role=role,
            figures=figures,
            reference=self._reference(subject, figures),
            read=known.read,
            silence_s=silence_s,
            staleness_s=self._staleness_s(runner.play, row, known),
        )

    def _reference(self, subject: Subject, figures: watch.Figures) -> Reference:
        name = Scope.EXECUTION, subject.execution_id
        before = self.knowledge.reference(name) or references.begin(Decimal(0))
        now = references.come_to(before, figures.pnl, day=figures.day, day_pnl=figures.day_pnl)
        self.knowledge.note(name, now)
        return now

    def _silence_s(self, runner: Runner) -> float:
        now_s, play = self.clock.monotonic_s(), runner.play
        owes_since_s = now_s if play is None else play.asked_s
        return self.beats.silence_s(runner.execution_id, owes_since_s, now_s)

    def _staleness_s(self, play: Play | None, row: Execution, known: Known) -> float | None:
        if play is None:
            return None
        is_live = row.config.feed == rules.BUS
        return heartbeat.staleness_s(
            play.idle_s,
            bar_s=_longest_bar_s(play) if is_live else self._pause_s(row),
            now_s=self.clock.monotonic_s(),
            is_open=not is_live or heartbeat.is_open(known.calendars, self.clock.now()),
        )

    def _pause_s(self, row: Execution) -> float:
        speed = self.default_speed if row.config.speed is None else row.config.speed
        return 1.0 / speed if speed else 0.0


def role_of(runner: Runner) -> Role | None:
    """Return what an execution is for by now; None until that is known."""
    wanted = runner.reins.engagement
    if wanted is not None:
        return wanted.role
    return None if runner.row is None else runner.row.role


def line_of(runner: Runner) -> str | None:
    """Return the line that an execution belongs to; None until that is known."""
    subject = runner.leash.subject
    return None if subject is None else subject.line


def _longest_bar_s(play: Play) -> float:
    return max(each.bars.timeframe_ns for each in play.tally.history.series.values()) / 1e9
