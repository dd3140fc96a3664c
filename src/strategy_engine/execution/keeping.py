"""One execution's way into the ledger, what is waited for or only queued; and out of it again."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from strategy_engine.execution import sums
from strategy_engine.execution.metering import EntryMeter
from strategy_engine.execution.tally import Kept
from strategy_engine.execution.traders import AnyDesk
from strategy_engine.execution.transcript import Transcript
from strategy_engine.venue.ledger import Ledger
from strategy_engine.venue.model import BarProcessed, Entry, Flowed
from strategy_engine.venue.service import Records

_UNKEPT_BARS = 512  # how far an execution may run ahead of the ledger's disk


class Keeping:
    """Entries in their order. What is not kept is never followed by more."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._last: asyncio.Future[None] | None = None
        self.transcript: Transcript | None = None  # what goes with the bars that it is of
        self.meter: EntryMeter | None = None

    async def keep(self, entry: Entry) -> None:
        """Wait until an entry is on the disk."""
        self._last = self._ledger.append(self._with_turns(entry))
        await self._last
        self._count(entry)

    async def post(self, entry: Entry) -> None:
        """Queue an entry without waiting for the disk, unless it is far behind or has failed."""
        if self._last is not None and self._last.done():
            self._last.result()
        self._last = self._ledger.post(self._with_turns(entry))
        self._count(entry)
        if self._ledger.waiting > _UNKEPT_BARS:
            await self._last

    async def keep_owed(self, desk: AnyDesk) -> None:
        """Wait until the disk has what was taken back between two bars."""
        entry = desk.withdraw_entries(()) if desk.owes else None
        if entry is not None:
            await self.keep(entry)

    async def flush(self) -> None:
        """Wait until everything queued is on the disk."""
        if self._last is not None:
            await self._last

    def take_part(self, entries: Iterable[Entry]) -> tuple[Entry, ...]:
        """Return entries of this execution as they are to be kept with others'."""
        return tuple(self._with_turns(each) for each in entries)

    def follow(self, kept: asyncio.Future[None]) -> None:
        """Hear what it is in whose keeping the last entries of this execution are."""
        self._last = kept

    def _count(self, entry: Entry) -> None:
        if self.meter is not None:
            self.meter.kept(entry)

    def _with_turns(self, entry: Entry) -> Entry:
        if self.transcript is None or not isinstance(entry, BarProcessed | Flowed):
            return entry
        turns = self.transcript.take()
        return replace(entry, transcript=turns) if turns else entry


async def kept(records: Records, execution_id: str) -> Kept | None:
    """Return what the ledger has of an execution that goes on; None if it has not begun."""
    checkpoint = await records.checkpoint(execution_id)
    if checkpoint is None or not checkpoint.entry_no:
        return None
    found = sums.decoded(checkpoint.measured)
    return Kept(
        checkpoint=checkpoint,
        equity=await records.equity(
            execution_id, start_ns=None if found is None else found.measured_ns
        ),
        trips=await records.round_trips(execution_id),
        orders=await records.order_symbols(execution_id),
    )
