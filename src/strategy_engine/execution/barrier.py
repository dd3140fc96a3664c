"""Switches in the node: everybody stands between two bars while one transaction says who serves."""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal

from strategy_engine.core.errors import ConflictError
from strategy_engine.execution import adopting, engagement
from strategy_engine.execution.engagement import BEFORE_ALL_NS
from strategy_engine.execution.handing import Handing
from strategy_engine.execution.model import Execution, Switch
from strategy_engine.execution.runner import Runner
from strategy_engine.execution.switching import Asked
from strategy_engine.execution.tools import Tools
from strategy_engine.infra import logs

_PATIENCE_S = 5.0  # beyond a decision's timeout, for what follows one

_log = logs.get("execution")


class Barrier:
    """Carries switches out, each in a task of its own; those of the same execution one by one.

    Before the transaction nothing has happened but that entries which waited are taken back, and
    cash that is handed over lies with nobody; after it everything has, whoever ends when: an
    execution that begins reads its row, and what a taker gets is worked out from the ledgers.
    Positions go after it: it says which, and nobody goes on before the ledgers have them.

    Parameters
    ----------
    runners : mapping
        What runs here now, by execution; it changes.
    """

    def __init__(self, tools: Tools, runners: Mapping[str, Runner]) -> None:
        self._tools = tools
        self._runners = runners
        self._handing = Handing(tools)
        self._held: set[str] = set()
        self._unsettled: dict[str, tuple[str, ...]] = {}  # the ledgers lack what rows say
        self._told: dict[str, str] = {}  # why a switch is not done, each said once
        self.done = 0  # rows that were read before the last of them are old

    def holds(self, execution_id: str) -> bool:
        """Whether an execution that begins must not come to a bar yet."""
        return execution_id in self._held or any(
            execution_id in names for names in self._unsettled.values()
        )

    def attend(self, group: asyncio.TaskGroup, asked: Iterable[Asked]) -> None:
        """Begin the switches whose executions no other holds."""
        asked = list(asked)
        self._hold_unsettled(asked)
        for each in asked:
            names = each.switch.execution_ids
            if self._held.isdisjoint(names):
                self._held.update(names)
                group.create_task(self._attend(each), name=f"switch {each.switch.key}")

    async def _attend(self, asked: Asked) -> None:
        try:
            await self._switch(asked)
            self._told.pop(asked.switch.key, None)
        except ConflictError as error:
            self._tell(asked.switch, str(error))  # it waits until that is over, or taken back
            await self._give_back(asked.switch)
        except TimeoutError:
            self._tell(asked.switch, "an execution has not come to the end of its bar in time")
        except Exception as error:  # noqa: BLE001 - the task's edge: the executions must go on
            self._tell(asked.switch, repr(error))
            await self._look_again(asked.switch)
        finally:
            self._held.difference_update(asked.switch.execution_ids)
            if asked.switch.key not in self._unsettled:
                self._release(asked.switch.execution_ids)

    async def _switch(self, asked: Asked) -> None:
        switch = asked.switch
        if switch.adoption is None:
            rows = await self._begin(asked)
        else:
            rows = await self._tools.journal.get_many(switch.execution_ids)
        if switch.key in self._unsettled:
            await self._settle(asked)
        self._take_up(rows)

    async def _begin(self, asked: Asked) -> list[Execution]:
        switch = asked.switch
        await self._tools.journal.check_switch(switch)
        rest = await self._gathered(switch)
        for name in switch.gives:
            if name in rest:
                await rest[name].withdraw_entries(switch.symbols)
        return await self._write(asked, rest)

    async def _gathered(self, switch: Switch) -> dict[str, Runner]:
        """Hold everybody between two bars; of one close where positions go from one to another."""
        for runner in self._those_of(switch):
            runner.reins.hold()
        limit_s = self._tools.settings.decision_timeout_s + _PATIENCE_S
        async with asyncio.timeout(limit_s):
            rest = await self._stood(switch)
            await self._handing.gather(switch, rest)
        return rest

    async def _write(self, asked: Asked, rest: Mapping[str, Runner]) -> list[Execution]:
        """Write the rows, with the cash parted with before; with positions it goes after."""
        given = await self._contributed(asked.switch.parting)
        switch = await self._handing.planned(asked.switch, rest, given)
        if switch.adoption is None:
            for name, target in switch.parting.items():
                if name in rest:
                    await rest[name].part_with_cash(target)
            given = await self._contributed(switch.parting)
        else:
            self._unsettled[switch.key] = switch.execution_ids
            given = adopting.given_after(switch.adoption, given)
        handed = engagement.handed(switch, given)
        places = {name: await self._place(name, rest) for name in switch.execution_ids}
        epochs = {name: runner.epoch for name, runner in rest.items()}
        rows = await self._tools.journal.switch(replace(asked, switch=handed), places, epochs)
        self.done += 1
        return rows

    async def _settle(self, asked: Asked) -> None:
        """Let the ledgers have what a row says, by the row: this may not be its first try."""
        key = asked.switch.key
        found = await self._tools.journal.find_switch(key)
        if found is not None and found.done_at is None and found.adoption is not None:
            limit_s = self._tools.settings.decision_timeout_s + _PATIENCE_S
            async with asyncio.timeout(limit_s):
                await self._handing.settle(replace(asked, switch=found), self._runners)
        del self._unsettled[key]

    def _hold_unsettled(self, asked: Iterable[Asked]) -> None:
        """Hold those whose ledgers lack what rows say; let go of those that nothing is of by now.

        What is just being done knows better than rows that were read before.
        """
        found = {
            each.switch.key: each.switch.execution_ids
            for each in asked
            if each.switch.adoption is not None
        }
        for key, names in list(self._unsettled.items()):
            if key not in found and self._held.isdisjoint(names):
                del self._unsettled[key]
                self._release(names)
        self._unsettled |= found
        for names in found.values():
            for name in names:
                if name in self._runners:
                    self._runners[name].reins.hold()

    async def _stood(self, switch: Switch) -> dict[str, Runner]:
        """Wait until nobody comes to a bar; return those that only rest."""
        found = [
            (name, self._runners[name]) for name in switch.execution_ids if name in self._runners
        ]
        return {name: runner for name, runner in found if await runner.reins.stood()}

    async def _contributed(self, names: Collection[str]) -> dict[str, Decimal]:
        """Return what executions have been given, as their ledgers have it."""
        if not names:
            return {}
        opened = await self._tools.records.accounts(names)
        rows = await self._tools.journal.get_many(names)
        return {each.execution_id: each.capital for each in rows} | {
            name: each.contributed for name, each in opened.items()
        }

    async def _place(self, name: str, rest: Mapping[str, Runner]) -> int:
        if name in rest:
            place = await rest[name].place()
            return BEFORE_ALL_NS if place is None else place
        kept = await self._tools.records.checkpoint(name)
        return BEFORE_ALL_NS if kept is None or kept.close_ns is None else kept.close_ns

    def _take_up(self, rows: Iterable[Execution]) -> None:
        self.done += 1
        for row in rows:
            if row.execution_id in self._runners:
                self._runners[row.execution_id].engage(row)

    async def _look_again(self, switch: Switch) -> None:
        """See whether a switch that failed is done all the same; nobody goes on who cannot know."""
        try:
            found = await self._tools.journal.find_switch(switch.key)
            self._take_up(await self._tools.journal.get_many(switch.execution_ids))
        except Exception as error:  # noqa: BLE001 - whatever it is, what they know may be old
            self._let_begin_again(switch, error)
        else:
            if found is None or found.at_ns is None:
                self._unsettled.pop(switch.key, None)
                await self._give_back(switch)

    async def _give_back(self, switch: Switch) -> None:
        """Let those who have parted with cash have it again: nobody else was told of it."""
        try:
            for name in switch.parting:
                if name in self._runners:
                    await self._runners[name].take_cash_back()
        except Exception as error:  # noqa: BLE001 - whatever it is, the ledger knows more than they
            self._let_begin_again(switch, error)

    def _let_begin_again(self, switch: Switch, error: Exception) -> None:
        _log.error("switch_unknown", switch=switch.key, why=repr(error))
        for runner in self._those_of(switch):
            runner.drain()

    def _release(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._runners:
                self._runners[name].reins.release()

    def _those_of(self, switch: Switch) -> Iterator[Runner]:
        for name in switch.execution_ids:
            if name in self._runners:
                yield self._runners[name]

    def _tell(self, switch: Switch, why: str) -> None:
        if self._told.get(switch.key) != why:
            self._told[switch.key] = why
            _log.warning("switch_not_done", switch=switch.key, why=why)
