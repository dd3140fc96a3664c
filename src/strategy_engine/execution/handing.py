"""Positions that a switch hands over: first its row says which, then the ledgers have them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from strategy_engine.core import ids
from strategy_engine.core.errors import ConflictError
from strategy_engine.execution import adopting, engagement
from strategy_engine.execution.adopting import Books
from strategy_engine.execution.desk import Desk
from strategy_engine.execution.model import UNENDED, Adoption, Change, Switch
from strategy_engine.execution.runner import Runner
from strategy_engine.execution.switching import Asked
from strategy_engine.execution.tools import Tools
from strategy_engine.execution.traders import AnyDesk
from strategy_engine.venue import paper
from strategy_engine.venue.model import Entry, Together

type Runners = Mapping[str, Runner]

_HAND = "hand"  # what the orders of a handover are named by


class Handing:
    """Plans what goes from desk to desk, and keeps it in all their ledgers at once.

    What was planned is in the switch's row with everything else that it changes. From then on the
    executions come to no bar until their ledgers have it, whoever ends when.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def gather(self, switch: Switch, rest: Runners) -> None:
        """Let those that rest, and hand positions over, come to the same bar.

        Raises
        ------
        ConflictError
            If somebody who gives or takes is not between two bars.
        """
        if not switch.adopts:
            return
        parties = await self._parties(switch, rest)
        desks = {name: _desk(each) for name, each in parties.items()}
        is_held = any(not each.is_flat for name, each in desks.items() if name in switch.parting)
        if is_held and all(isinstance(each, Desk) for each in desks.values()):
            await _level(parties)

    async def planned(self, switch: Switch, rest: Runners, given: Mapping[str, Decimal]) -> Switch:
        """Return a switch with the positions that it hands over, if there are any.

        Parameters
        ----------
        given : mapping
            What each of those who part with cash has been given by now.
        """
        if not switch.adopts:
            return switch
        parties = await self._parties(switch, rest)
        books = {name: found for name, each in parties.items() if (found := _books(each))}
        (taker,) = switch.takes
        if taker not in books:
            return switch
        givers = {name: each for name, each in books.items() if name != taker}
        return replace(switch, adoption=adopting.plan(switch, givers, books[taker], given))

    async def settle(self, asked: Asked, runners: Runners) -> None:
        """See to it that the ledgers have what a switch hands over, and that it is done.

        Where somebody has ended before they had it, nothing goes: the taker is promised what
        the others have given all the same.

        Raises
        ------
        ConflictError
            If somebody is not there yet, or another node has one.
        """
        switch, adoption = asked.switch, asked.switch.adoption
        if adoption is None:
            return
        await self._tools.journal.check_switch(replace(switch, takes=()))  # who may have ended
        changes: dict[str, Change] = {}
        tag = ids.derived(_HAND, switch.key)
        if not await self._tools.records.has_order(paper.crossed_id(adoption.taker, tag, 0)):
            rows = await self._tools.journal.get_many(adoption.execution_ids)
            if all(each.status in UNENDED for each in rows):
                found = {name: await _resting(name, runners) for name in adoption.execution_ids}
                await self._keep(adoption, found, tag)
            else:
                changes = await self._without(switch, adoption)
        await self._tools.journal.settle_switch(switch.key, asked.by, changes)

    async def _parties(self, switch: Switch, rest: Runners) -> dict[str, Runner]:
        """Return those who hand positions over, who give first; one that has ended gives none.

        Nobody else is waited for who gives and holds nothing.
        """
        names = [*switch.parting, *switch.takes]
        rows = {each.execution_id: each for each in await self._tools.journal.get_many(names)}
        accounts = await self._tools.records.accounts(names)
        found = {}
        for name in names:
            if rows[name].status not in UNENDED:
                continue
            if name in rest:
                found[name] = rest[name]
            elif name in switch.takes or name not in accounts or not accounts[name].is_flat:
                raise ConflictError(f"{name} is not between two bars yet", execution_id=name)
        return found

    async def _keep(self, adoption: Adoption, found: Runners, tag: str) -> None:
        at = self._tools.clock.now()
        try:
            entries = [
                each
                for name, runner in found.items()
                for each in runner.keeping.take_part(_entries(adoption, name, runner, (tag, at)))
            ]
            kept = self._tools.ledger.append(Together(entries=tuple(entries)))
            for runner in found.values():
                runner.keeping.follow(kept)
            await kept
        except BaseException:
            for runner in found.values():  # its desk has what the ledger may not have
                runner.drain()
            raise
        seen = [observed for each in found.values() if (observed := each.observe()) is not None]
        await self._tools.journal.observe(seen)

    async def _without(self, switch: Switch, adoption: Adoption) -> dict[str, Change]:
        accounts = await self._tools.records.accounts(switch.parting)
        given = {name: each.contributed for name, each in accounts.items()}
        target = engagement.handed(switch, given).changes[adoption.taker].capital_target
        return {adoption.taker: Change(capital_target=target)}


async def _level(parties: Runners) -> None:
    while True:
        desks = {name: _desk(each) for name, each in parties.items()}
        furthest = max((each.tally.place for each in desks.values()), default=None)
        behind = [
            parties[name]
            for name, each in desks.items()
            if each.tally.place != furthest or each.tally.is_mid_bar
        ]
        if furthest is None or not behind:
            return
        for each in behind:
            each.reins.go_on_to(furthest)
        if not all([await each.reins.stood() for each in behind]):
            raise ConflictError("somebody ended on the way to the bar of the others")


async def _resting(name: str, runners: Runners) -> Runner:
    runner = runners.get(name)
    if runner is None or not await runner.reins.rested():
        raise ConflictError(f"{name} is not here yet", execution_id=name)
    return runner


def _books(runner: Runner) -> Books | None:
    desk = runner.desk
    if not isinstance(desk, Desk) or not desk.venue.may_take_over:
        return None
    return Books(account=desk.venue.account, contributed_nanos=desk.tally.contributed_nanos)


def _desk(runner: Runner) -> AnyDesk:
    if runner.desk is None:
        raise ConflictError(f"{runner.execution_id} has no desk yet")
    return runner.desk


def _entries(
    adoption: Adoption, name: str, runner: Runner, when: tuple[str, datetime]
) -> Iterable[Entry]:
    """Return what an adoption does to one ledger: cash comes before what it pays, and goes after.

    It happens at the desk as they are made.
    """
    desk, (tag, at) = _desk(runner), when
    if not isinstance(desk, Desk):
        raise ConflictError(f"{name} trades by itself: no position is handed to it or by it")
    target = desk.tally.contributed_nanos + adoption.flows_nanos.get(name, 0)
    trades = adoption.trades_of(name)
    if name == adoption.taker:
        return [each for each in (desk.flow(target, at), desk.cross(trades, tag)) if each]
    crossed = desk.cross(trades, tag) if trades else None
    return [each for each in (crossed, desk.flow(target, at)) if each]
