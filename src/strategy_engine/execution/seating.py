"""What executions of this node held when the process before it ended, counted before any trades."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from strategy_engine.core.errors import EngineError, NotFoundError
from strategy_engine.execution import keeping, limiting, rules, traders
from strategy_engine.execution.model import Execution, Role
from strategy_engine.execution.tally import Kept
from strategy_engine.execution.tools import Tools
from strategy_engine.infra import logs
from strategy_engine.matching.model import Terms
from strategy_engine.matching.settings import Settings
from strategy_engine.registry.model import Content
from strategy_engine.venue.native import NativeVenue
from strategy_engine.venue.oversight import SHARED, Seat
from strategy_engine.venue.paper import PaperVenue

_log = logs.get("execution")


class _Held(NamedTuple):
    row: Execution
    content: Content
    settings: Settings
    terms: Sequence[Terms]
    kept: Kept


class Seating:
    """Lets executions count that have not been prepared yet, by what the ledger has of them.

    Who waits for a process, a bus or its turn holds positions meanwhile; whoever trades first must
    find them counted.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._seen: set[str] = set()
        self._knows_today = False

    async def seat(self, rows: Iterable[Execution]) -> None:
        """Let those count that the ledger has heard of; each once."""
        if not self._knows_today:
            await self._remember_today()
            self._knows_today = True
        for row in rows:
            if row.execution_id in self._seen:
                continue
            self._seen.add(row.execution_id)
            if row.epoch and limiting.is_real(row):
                await self._seat(row)

    async def _seat(self, row: Execution) -> None:
        if self._tools.oversight.has(row.execution_id):
            return
        try:
            kept = await keeping.kept(self._tools.records, row.execution_id)
            if kept is None:
                return
            content = (await self._tools.registry.get(row.strategy_id)).content
            settings = rules.settings_of(content, row.config)
            terms = await asyncio.to_thread(self._terms, settings)
            seat = traders.seat_of(row, content, self._tools.oversight)
            await asyncio.to_thread(_put, _Held(row, content, settings, terms, kept), seat)
        except EngineError as error:  # whatever it is, its own start meets it too, and says so
            _log.error("execution_not_counted", execution=row.execution_id, why=str(error))

    def _terms(self, settings: Settings) -> list[Terms]:
        catalogue = self._tools.catalogue
        return [rules.terms_of(catalogue.instrument(each)) for each in settings.symbols]

    async def _remember_today(self) -> None:
        """Let the day's results of those count who have ended: a line's day goes on without them.

        Those of the last day that each line's ended executions came to; a later day forgets them.
        """
        ended = await self._tools.journal.recently_ended()
        accounts = await self._tools.records.days([each.execution_id for each in ended])
        for row in ended:
            found = accounts.get(row.execution_id)
            if found is None or not limiting.is_real(row):
                continue
            try:
                strategy = await self._tools.registry.get(row.strategy_id)
            except NotFoundError:
                continue  # it is archived: it has no day any more that anybody trades on
            who = limiting.who(row, strategy.content)
            for scope in SHARED:
                self._tools.oversight.sums(scope, who.subject(scope)).keep(*found)


def _put(held: _Held, seat: Seat) -> None:
    """Let an execution count by a venue of its own that nobody trades at."""
    row, checkpoint = held.row, held.kept.checkpoint
    capital_nanos, how = held.settings.capital_nanos, held.settings.rules
    seat.is_shadow = row.role is Role.SHADOW
    now_ns = checkpoint.close_ns or 0
    if held.content.is_native:
        native = NativeVenue(
            row.execution_id,
            capital_nanos=capital_nanos,
            terms=held.terms,
            how=how,
            conditions=held.settings.conditions,
            epoch=checkpoint.epoch,
            seat=seat,
        )
        native.load(checkpoint.account, held.kept.orders)
        native.publish(now_ns)
        return
    paper = PaperVenue(
        row.execution_id,
        capital_nanos=capital_nanos,
        terms=held.terms,
        how=how,
        epoch=checkpoint.epoch,
        seat=seat,
    )
    paper.load(checkpoint.account)
    paper.publish(now_ns)
