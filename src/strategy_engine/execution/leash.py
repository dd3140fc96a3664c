"""What risk says to one execution: heard at any instant, from any thread, and obeyed at once.

What needs no wait happens before the call returns: the gate hears of it and what waits to fill is
taken back. The rest is for who plays the bars, who is nudged.
"""

import asyncio
import contextlib
import threading
from collections.abc import Collection

from strategy_engine.execution import restraint
from strategy_engine.execution.engagement import Engagement
from strategy_engine.execution.guard import Guard, Subject
from strategy_engine.execution.reins import Reins
from strategy_engine.execution.restraint import Restraint
from strategy_engine.execution.traders import Trader


class Leash:
    """One execution's. What its row says and what it is held to come together here.

    Parameters
    ----------
    reins : Reins
        Where the stricter of both is said to who plays.
    """

    def __init__(self, reins: Reins) -> None:
        self._reins = reins
        self._lock = threading.Lock()
        self._row: Engagement | None = None
        self._held_to: dict[str, Restraint] = {}
        self._trader: Trader | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.subject: Subject | None = None

    @property
    def is_flat(self) -> bool:
        """Whether nothing is held, as far as is known here."""
        return self._trader is None or self._trader.desk.is_flat

    def engage(self, row: Engagement) -> None:
        """Hear what its row says now, in the loop of who plays."""
        with self._lock:
            self._row = row
            self._reins.engage(restraint.held(row, self._held_to.values()))

    def settle(self, deed_ids: Collection[str]) -> None:
        """Forget what the row that it heard last says by itself."""
        if self._held_to.keys().isdisjoint(deed_ids):
            return
        with self._lock:
            self._held_to = {
                name: each for name, each in self._held_to.items() if name not in deed_ids
            }
            if self._row is not None:
                self._reins.engage(restraint.held(self._row, self._held_to.values()))

    def tie(self, trader: Trader, guard: Guard) -> None:
        """Begin to obey with a desk that stands where the ledger does: all that was said before."""
        self._loop = asyncio.get_running_loop()
        self._trader = trader  # from here on, who holds it finds the desk
        if self.subject is None:
            return
        for each in guard.restraints(self.subject):
            self.hold(each)
        trader.desk.take_back_these(guard.withdrawn(self.subject.execution_id))

    def hold(self, held_to: Restraint) -> tuple[str, ...] | None:
        """Hold it back; return the orders that wait no more, or None where none is known yet."""
        with self._lock:
            self._held_to = {**self._held_to, held_to.deed_id: held_to}
            if self._row is not None:
                self._reins.engagement = restraint.held(self._row, self._held_to.values())
        taken_back = self._obey(held_to)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody plays any more
                self._loop.call_soon_threadsafe(self._reins.stir)
        return taken_back

    def _obey(self, held_to: Restraint) -> tuple[str, ...] | None:
        trader, wanted = self._trader, self._reins.engagement
        if trader is None:
            return None
        if wanted is not None:
            trader.gate.risk_state = wanted.allows
        if held_to.reduce_factor is not None:
            trader.desk.cut(held_to.deed_id, held_to.reduce_factor)
        if held_to.kills:
            return trader.desk.take_back(only_entries=False)
        if held_to.withdraws_entries:
            return trader.desk.take_back(only_entries=True)
        return ()
