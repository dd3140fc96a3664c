"""The monitor: looks at what runs here, at every metrics tick and every fill, and acts.

What it judges is in memory, and what it does the hand of risk does in memory; databases are read
and written beside that, so that one which does not answer keeps it from nothing.
"""

import asyncio
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from decimal import Decimal
from typing import Protocol

from strategy_engine.core import ids
from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import EngineError
from strategy_engine.infra import logs
from strategy_engine.infra.lease import LeaseLostError
from strategy_engine.risk import breaches, members, rules
from strategy_engine.risk.breaches import Breach, Changes, Key
from strategy_engine.risk.deeds import LONGEST_REASON
from strategy_engine.risk.eyes import Eyes
from strategy_engine.risk.knowledge import Asked
from strategy_engine.risk.members import Deep, Group, Member, Values
from strategy_engine.risk.model import Action, Deed, Done
from strategy_engine.risk.reading import Reader
from strategy_engine.risk.reporting import Reports
from strategy_engine.risk.rules import Bounds, Finding
from strategy_engine.venue.limits import Scope

ACTOR = "risk"
DEED = "deed"
BEAT_S = 1.0  # between two looks that nothing asks for
GATHER_S = 0.02  # of fills that come together, one look
RETRY_S = 1.0

_log = logs.get("risk")


class Acts(Protocol):
    """The hand of risk."""

    def act(self, deed: Deed) -> Done:
        """Do a deed at once, once for its id."""
        ...


class Monitor:
    """One node's. Whoever runs executions tells it of fills; the rest is its own."""

    def __init__(
        self, eyes: Eyes, hand: Acts, reader: Reader, reports: Reports, *, interval_s: float
    ) -> None:
        self._eyes = eyes
        self._hand = hand
        self._reader = reader
        self._reports = reports
        self._interval_s = interval_s
        self._lasting: dict[Key, Breach] | None = None  # None: not read yet, so nothing is judged
        self._filled: set[str] = set()
        self._news = asyncio.Event()
        self._due = asyncio.Event()

    @property
    def _clock(self) -> Clock:
        return self._eyes.clock

    def on_fills(self, execution_id: str) -> None:
        """Hear that an execution has had fills: it is looked at next."""
        self._filled.add(execution_id)
        self._news.set()

    async def run(self) -> None:
        """Look and act without end."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._tend())

    # -- looking and acting: no database is waited for

    async def _watch(self) -> None:
        while True:
            filled = await self._heard()
            try:
                self.look(filled or None)
            except Exception as error:  # noqa: BLE001 - the task's edge: the next look may succeed
                _log.error("risk_not_looked", why=repr(error))

    async def _heard(self) -> set[str]:
        """Wait for fills, or for the next beat; return who has had some."""
        try:
            async with asyncio.timeout(BEAT_S):
                await self._news.wait()
        except TimeoutError:
            return set()
        await asyncio.sleep(GATHER_S)
        self._news.clear()
        filled, self._filled = self._filled, set()
        return filled

    def look(
        self,
        filled: AbstractSet[str] | None = None,
        deep: Mapping[tuple[Scope, str], Values] | None = None,
    ) -> None:
        """Judge what runs here now, and act; if some are named, only their lines.

        Parameters
        ----------
        deep : mapping, optional
            What took longer to work out, by subject: tails, correlations, envelopes.
        """
        if self._lasting is None:
            return
        if self._eyes.has_unknown():
            self._due.set()  # what is to be known of who is new is read now
        found = self._eyes.members(filled)
        groups = [
            self._eyes.group(key, each)
            for key, each in members.groups(found).items()
            if filled is None or key[0] is Scope.LINE
        ]
        bounds = {(Scope.EXECUTION, each.execution_id): self._eyes.bounds(each) for each in found}
        for group in groups:
            key = group.scope, group.subject
            bounds[key] = self._eyes.group_bounds(key)
        findings = self._findings(found, groups, bounds, deep or {})
        now = self._clock.now()
        changes = breaches.follow(self._lasting, findings, now)
        ended = (*changes.ended, *breaches.lifted(self._lasting, bounds, now))
        self._apply(replace(changes, ended=ended))

    def _findings(
        self,
        found: list[Member],
        groups: list[Group],
        bounds: Mapping[tuple[Scope, str], Bounds],
        deep: Mapping[tuple[Scope, str], Values],
    ) -> list[Finding]:
        lines = {each.subject: each for each in groups if each.scope is Scope.LINE}
        looks = [members.of_execution(each, lines.get(each.line)) for each in found]
        looks += [members.of_group(each) for each in groups if bounds[each.scope, each.subject]]
        return [
            finding
            for seen in looks
            for finding in rules.judge(
                members.with_values(seen, deep.get((seen.scope, seen.subject))),
                bounds[seen.scope, seen.subject],
            )
        ]

    def _apply(self, changes: Changes) -> None:
        if self._lasting is None or not (changes.begun or changes.joined or changes.ended):
            return
        for begun in changes.begun:
            self._lasting[begun.key] = begun
            _log.warning("risk_breach", what=begun.message, action=begun.action.value)
        for joined in changes.joined:
            self._lasting[joined.breach.key] = joined.breach
        for ended in changes.ended:
            del self._lasting[ended.key]
        self._act(_targets(changes))
        self._reports.tell(changes)
        self._due.set()

    def _act(self, targets: Mapping[str, Breach]) -> None:
        for execution_id, breach in targets.items():
            deed = _deed(execution_id, breach, self._clock)
            try:
                self._hand.act(deed)
            except EngineError as error:
                _log.error("risk_not_acted", deed=deed.deed_id, why=str(error))

    # -- what databases have to do with it

    async def _tend(self) -> None:
        while True:
            try:
                await self.tend()
            except LeaseLostError:
                return  # whoever keeps the lease hears of it too, and ends everything
            except Exception as error:  # noqa: BLE001 - the task's edge: what trades must go on
                _log.warning("risk_not_kept", why=repr(error), waiting=self._reports.waiting)
                await asyncio.sleep(RETRY_S)
            await self._wait(self._interval_s)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._due.wait()
        except TimeoutError:
            return

    async def tend(self) -> None:
        """Read what there is to be known, look deeply, and write what there is to be told."""
        self._due.clear()
        if self._lasting is None:
            self._lasting = {each.key: each for each in await self._reader.lasting()}
        knowledge = self._eyes.knowledge
        asked = self._eyes.asked()
        for each in asked:
            await knowledge.learn(each.row.strategy_id)
        await knowledge.refresh(self._eyes.asked())
        await self._end_of_ended()
        self.look(deep=await self._deepened())
        await self._reports.flush()
        await self._reports.keep(knowledge.kept())

    async def _deepened(self) -> Mapping[tuple[Scope, str], Values]:
        """Work out, beside the loop, what would hold up everybody else."""
        found = self._eyes.members()
        wanted = [
            Deep(
                scope=Scope.EXECUTION,
                subject=each.execution_id,
                executions=(each.execution_id,),
                bounds=self._eyes.bounds(each),
            )
            for each in found
        ]
        for (scope, subject), each in members.groups(found).items():
            bounds = self._eyes.group_bounds((scope, subject))
            names = tuple(member.execution_id for member in each)
            wanted.append(Deep(scope=scope, subject=subject, executions=names, bounds=bounds))
        return await asyncio.to_thread(members.deepened, wanted, found)

    async def _end_of_ended(self) -> None:
        """End the breaches of those that have ended: nothing is found of those again."""
        if self._lasting is None:
            return
        left = breaches.gone(self._lasting, _subjects(self._eyes.asked()))
        names = {name for each in left for name in each.executions}
        ended = await self._reader.ended_of(sorted(names)) if names else frozenset[str]()
        now = self._clock.now()
        over = [breaches.over(each, now) for each in left if breaches.has_ended(each, ended)]
        self._apply(Changes(ended=tuple(over)))


def _subjects(asked: Iterable[Asked]) -> set[tuple[Scope, str]]:
    """Return whom something runs of."""
    found = {(Scope.ENGINE, "")}
    for each in asked:
        found.add((Scope.EXECUTION, each.row.execution_id))
        found |= {(Scope.LINE, each.subject.line), (Scope.ACCOUNT, each.subject.account)}
    return found if len(found) > 1 else set()


def _targets(changes: Changes) -> dict[str, Breach]:
    """Return for each execution the strictest breach that something follows from now."""
    found: dict[str, Breach] = {}
    for executions, breach in _parts(changes):
        for name in executions:
            known = found.get(name)
            if known is None or rules.rank(breach.action) > rules.rank(known.action):
                found[name] = breach
    return {name: each for name, each in found.items() if each.action is not Action.ALERT}


def _parts(changes: Changes) -> Iterable[tuple[tuple[str, ...], Breach]]:
    yield from ((each.executions, each) for each in changes.begun)
    yield from ((each.executions, each.breach) for each in changes.joined)


def _deed(execution_id: str, breach: Breach, clock: Clock) -> Deed:
    text = "".join(each if each.isprintable() else "?" for each in breach.message)
    is_reduction = breach.action is Action.REDUCE
    return Deed(
        deed_id=ids.derived(DEED, f"{breach.breach_id}/{execution_id}"),
        action=breach.action,
        scope=Scope.EXECUTION,
        subject=execution_id,
        reason=text[:LONGEST_REASON],
        actor=ACTOR,
        at=clock.now(),
        factor=Decimal(str(breach.factor)) if is_reduction else None,
    )
