"""What the monitor knows of executions beside what is in memory, read again at every tick."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from strategy_engine.execution.guard import Subject
from strategy_engine.execution.model import Execution
from strategy_engine.market.model import Calendar
from strategy_engine.registry.model import Content
from strategy_engine.risk import references
from strategy_engine.risk.breach_store import Kept
from strategy_engine.risk.course import Course
from strategy_engine.risk.members import Read
from strategy_engine.risk.reading import Reader
from strategy_engine.risk.references import Reference
from strategy_engine.risk.rules import Bounds, Measure
from strategy_engine.venue.limits import Scope

type Name = tuple[Scope, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An execution that runs here, and what is to be known of it."""

    row: Execution
    subject: Subject
    bounds: Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of one execution; it is judged from then on."""

    content: Content
    calendars: tuple[Calendar, ...]
    read: Read = field(default_factory=Read)


class Knowledge:
    """One node's. What could not be read stays as it was."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._known: dict[str, Known] = {}
        self._contents: dict[str, Content] = {}
        self._kept: dict[Name, Kept] = {}
        self._ended: Mapping[Name, Decimal] = {}
        self._alone: frozenset[Name] = frozenset()
        self._names: frozenset[str] | None = None  # that ran when `_ended` was read

    # -- asked by who judges

    def of(self, execution_id: str) -> Known | None:
        """Return what is known of an execution; None: nothing yet, so it is not judged."""
        return self._known.get(execution_id)

    def content(self, strategy_id: str) -> Content | None:
        """Return what a version is made of, once that was read."""
        return self._contents.get(strategy_id)

    def reference(self, name: Name) -> Reference | None:
        """Return a subject's references as of the last look."""
        kept = self._kept.get(name)
        return None if kept is None else kept.reference

    def note(self, name: Name, reference: Reference) -> None:
        """Have a subject's references from now on."""
        kept = self._kept.get(name)
        if kept is None:
            kept = Kept(scope=name[0], subject=name[1], reference=reference, course=Course())
        self._kept[name] = replace(kept, reference=reference)

    def ended_pnl(self, name: Name) -> Decimal:
        """Return the profit of those of a line, an account or the engine that have ended."""
        return self._ended.get(name, Decimal(0))

    def kept(self) -> list[Kept]:
        """Return all references, with the courses of executions, to be stored."""
        return [replace(each, course=self._course(each)) for each in self._kept.values()]

    def _course(self, kept: Kept) -> Course:
        known = self._known.get(kept.subject) if kept.scope is Scope.EXECUTION else None
        return kept.course if known is None else known.read.course

    # -- read again

    async def learn(self, strategy_id: str) -> None:
        """Read what a version is made of; it never changes."""
        if strategy_id not in self._contents:
            self._contents[strategy_id] = await self._reader.content(strategy_id)

    async def refresh(self, asked: Collection[Asked]) -> None:
        """Read all that there is to be known of executions that run."""
        names = frozenset(each.row.execution_id for each in asked)
        await self._take_resets()
        if names != self._names:
            self._ended, self._names = await self._reader.ended(), names
        await self._take_references(asked)
        self._alone = _alone(asked)
        slippage = await self._slippage(asked)
        for each in asked:
            await self._refresh(each, slippage)
        self._forget(names)

    def _forget(self, names: frozenset[str]) -> None:
        self._known = {name: each for name, each in self._known.items() if name in names}
        self._kept = {
            key: each
            for key, each in self._kept.items()
            if key[0] is not Scope.EXECUTION or key[1] in names
        }

    async def _take_resets(self) -> None:
        """Begin anew where a person has said so since."""
        resets = await self._reader.resets()
        changed = [name for name, kept in self._kept.items() if resets.get(name, 0) > kept.reset_no]
        self._kept |= await self._reader.references(changed)

    async def _take_references(self, asked: Collection[Asked]) -> None:
        wanted = {
            name for each in asked for name in _names_of(each.subject) if name not in self._kept
        }
        self._kept |= await self._reader.references(wanted)

    async def _slippage(self, asked: Collection[Asked]) -> Mapping[str, tuple[float | None, int]]:
        wanted = [each.row.execution_id for each in asked if Measure.SLIPPAGE in each.bounds]
        return await self._reader.slippage(wanted) if wanted else {}

    async def _refresh(
        self, asked: Asked, slippage: Mapping[str, tuple[float | None, int]]
    ) -> None:
        row, name = asked.row, asked.row.execution_id
        known = self._known.get(name) or await self._first(row)
        course, peak = await self._reader.go_on(name, known.read.course)
        if peak is not None:
            self._raise_peaks(asked, peak)
        losses = None
        if (bound := asked.bounds.get(Measure.LOSSES)) is not None:
            losses = await self._reader.losses(name, int(bound.limit))
        read = replace(known.read, course=course, losses=losses, slippage=slippage.get(name))
        self._known[name] = replace(known, read=read)

    async def _first(self, row: Execution) -> Known:
        await self.learn(row.strategy_id)  # it may have begun only since
        content = self._contents[row.strategy_id]
        kept = self._kept.get((Scope.EXECUTION, row.execution_id))
        return Known(
            content=content,
            calendars=await self._reader.calendars(row, content),
            read=Read(
                course=Course() if kept is None else kept.course,
                expected=await self._reader.expected(row, content),
            ),
        )

    def _raise_peaks(self, asked: Asked, peak: Decimal) -> None:
        """Take the highest profit since the last tick in: of bars that no look fell on."""
        own, *others = _names_of(asked.subject)
        self._raise_peak(own, peak, Decimal(0))
        for name in others:
            if name in self._alone:  # what it has come to is all that its line has
                self._raise_peak(name, peak, self.ended_pnl(name))

    def _raise_peak(self, name: Name, peak: Decimal, ended: Decimal) -> None:
        reference = self.reference(name) or references.begin(ended)
        if peak + ended > reference.peak_pnl:
            reference = replace(reference, peak_pnl=peak + ended)
        self.note(name, reference)


def _alone(asked: Collection[Asked]) -> frozenset[Name]:
    """Return the lines, accounts and engine that have one execution only."""
    counts = Counter(name for each in asked for name in _names_of(each.subject)[1:])
    return frozenset(name for name, count in counts.items() if count == 1)


def _names_of(subject: Subject) -> tuple[Name, ...]:
    return (
        (Scope.EXECUTION, subject.execution_id),
        (Scope.LINE, subject.line),
        (Scope.ACCOUNT, subject.account),
        (Scope.ENGINE, ""),
    )
