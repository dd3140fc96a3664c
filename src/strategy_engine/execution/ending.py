"""How an execution ends on this node: its ledger is closed, its row says why and what is left."""

from decimal import Decimal

from strategy_engine.core.errors import EngineError
from strategy_engine.execution import faults
from strategy_engine.execution.keeping import Keeping
from strategy_engine.execution.model import COMPLETED, STOPPED, Execution, Role, Trigger
from strategy_engine.execution.reins import Reins
from strategy_engine.execution.tools import Tools
from strategy_engine.execution.traders import AnyDesk, Trader
from strategy_engine.infra import logs

_NO_PRICE = "its feed gave no next price"

_log = logs.get("execution")


class Ending:
    """Writes the last words of one execution; whoever runs it knows when."""

    def __init__(self, tools: Tools, keeping: Keeping, reins: Reins) -> None:
        self._tools = tools
        self._keeping = keeping
        self._reins = reins

    async def in_order(self, mine: Execution, trader: Trader, *, is_complete: bool) -> None:
        """End an execution that has come to the end of its feed, or that is to stop."""
        is_cut_off = mine.config.end_ns is not None  # in the middle of a session
        if is_complete and not is_cut_off and (entry := trader.finish()) is not None:
            await self._keeping.keep(entry)
        error = await _say_stop(trader)
        await self._keeping.keep(trader.desk.close())
        wanted = self._reins.engagement
        why = COMPLETED if is_complete else (wanted.why if wanted is not None else "") or STOPPED
        await self._tools.journal.end(
            mine,
            Trigger.COMPLETE if is_complete else Trigger.STOP,
            trader.desk.observe(is_final=True),
            end_reason=why,
            error=error,
            tied=await self._tied(mine),
        )

    async def in_error(
        self, mine: Execution, desk: AnyDesk | None, error: str, *, end_reason: str
    ) -> None:
        """End an execution that has failed; it may not have come to trade."""
        final = None
        if desk is not None:
            final = desk.observe(is_final=True)
            await self._close_books(mine, desk)
        await self._tools.journal.end(
            mine,
            Trigger.BREAK,
            final,
            end_reason=end_reason,
            error=error,
            tied=await self._tied(mine),
        )

    async def of_leavings(self, mine: Execution, desk: AnyDesk) -> None:
        """Say what has come of closing what an ended execution held."""
        await self._close_books(mine, desk)
        why = "" if desk.is_flat else _NO_PRICE
        final = desk.observe(is_final=True)
        await self._tools.journal.close_leavings(mine, final, why=why)

    async def _tied(self, mine: Execution) -> Decimal | None:
        """Return what an execution that has ended ties in positions, by its ledger."""
        if mine.role is Role.VALIDATION:
            return None  # nobody's capital
        kept = (await self._tools.records.accounts([mine.execution_id])).get(mine.execution_id)
        return Decimal(0) if kept is None or kept.is_flat else kept.equity - kept.free

    async def _close_books(self, mine: Execution, desk: AnyDesk) -> None:
        try:
            await self._keeping.keep(desk.close())
        except EngineError as error:
            _log.error("ledger_not_closed", execution=mine.execution_id, why=str(error))


async def _say_stop(trader: Trader) -> str | None:
    try:
        await trader.stop()
    except EngineError as error:  # it ends all the same; its last words are kept
        return faults.explain(error)
    return None
