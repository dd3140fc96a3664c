"""What others read of the ledger: trades, equity, round trips, and whether it adds up."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from strategy_engine.core.errors import NotFoundError
from strategy_engine.infra.database import Bytewise, Database
from strategy_engine.venue import (
    accounts,
    books,
    days,
    reconciling,
    returns,
    standings,
    store,
    transcripts,
)
from strategy_engine.venue.accounts import AccountNow
from strategy_engine.venue.books import Book, Tally
from strategy_engine.venue.model import Checkpoint, Turn
from strategy_engine.venue.reconciling import Reconciliation
from strategy_engine.venue.returns import Floats, Ints
from strategy_engine.venue.standings import Standing

_RECONCILED = (
    store.TRADES.c.seq,
    store.POSITIONS.c.symbol,
    store.EQUITY.c.close_ns,
    store.CAPITAL_FLOWS.c.entry_no,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One fill, as it is kept for ever. `pnl` is what it realised, after its share of all fees."""

    trade_id: str
    execution_id: str
    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    timestamp: datetime
    pnl: Decimal
    order_id: str
    fee: Decimal
    slippage: Decimal
    cause: str
    opens: bool
    closes_round_trip: bool
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """A position from flat to flat; its profit is after every cost."""

    seq: int
    symbol: str
    entry_ns: int
    exit_ns: int
    pnl: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """What is held in one instrument, signed, and its price at the last close."""

    symbol: str
    quantity: Decimal
    entry_price: Decimal | None
    mark: Decimal
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EquityPoint:
    """Equity and cash at a close, and what was contributed by then.

    `benchmark` is buy and hold of what is traded, from 1.0.
    """

    close_ns: int
    equity: Decimal
    cash: Decimal
    bar_index: int
    benchmark: float
    contributed: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CapitalFlow:
    """Cash that entered (+) or left (-), and what there was after it."""

    entry_no: int
    amount: Decimal
    contributed: Decimal
    equity: Decimal
    cash: Decimal
    close_ns: int | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRow:
    """One order and what became of it; `reason` is the gate's sentence if it was denied."""

    order_id: str
    symbol: str
    side: str
    lots: int
    quantity: Decimal
    opens: bool
    cause: str
    status: str
    denial_code: str | None
    reason: str
    decided_at: datetime
    type: str
    time_in_force: str
    limit_price: Decimal | None
    trigger_price: Decimal | None
    filled_lots: int

    @property
    def filled_quantity(self) -> Decimal:
        """Return how much of it has filled, in units."""
        return self.quantity / self.lots * self.filled_lots if self.lots else Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """One decision that was not HOLD, at the close of a bar."""

    symbol: str
    close_ns: int
    action: int
    size_ppb: int | None
    stop_loss_ppb: int | None
    take_profit_ppb: int | None
    reason: str
    flags: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagReading:
    """What feature flags said to an instrument's decisions from one on, until the next reading."""

    symbol: str
    close_ns: int
    flags: Mapping[str, Any]


class Records:
    """Reads the ledger; nothing here writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def execution_ids(self) -> list[str]:
        """Return every execution that the ledger has ever heard of."""
        async with self._database.read() as connection:
            return await store.execution_ids(connection)

    async def checkpoint(self, execution_id: str) -> Checkpoint | None:
        """Return what an execution resumes from, if the ledger has ever heard of it."""
        async with self._database.read() as connection:
            return await store.checkpoint(connection, execution_id)

    async def trades(self, execution_id: str, *, limit: int = 100, offset: int = 0) -> list[Trade]:
        """Return fills, oldest first."""
        async with self._database.read() as connection:
            found = await store.page_of(
                connection,
                store.TRADES,
                execution_id,
                (store.TRADES.c.seq,),
                limit=limit,
                offset=offset,
            )
        return _all(Trade, found)

    async def trade_row_count(self, execution_id: str) -> int:
        """Return how many fills an execution has had."""
        async with self._database.read() as connection:
            return await store.count_of(connection, store.TRADES, execution_id)

    async def standings(self, execution_ids: Collection[str]) -> dict[str, Standing]:
        """Return what executions have come to, by id; one that never opened a ledger has none."""
        async with self._database.read() as connection:
            return await standings.read(connection, execution_ids)

    async def round_trips(self, execution_id: str) -> list[Trip]:
        """Return closed round trips in the order of their exits."""
        async with self._database.read() as connection:
            found = await store.rows_of(
                connection, store.ROUND_TRIPS, execution_id, store.ROUND_TRIPS.c.seq
            )
        return _all(Trip, found)

    async def positions(self, execution_id: str) -> list[Position]:
        """Return what an execution holds or has held, by symbol."""
        async with self._database.read() as connection:
            found = await store.rows_of(
                connection, store.POSITIONS, execution_id, Bytewise(store.POSITIONS.c.symbol)
            )
        return _all(Position, found)

    async def orders(self, execution_id: str) -> list[OrderRow]:
        """Return every order, denied ones too, oldest first."""
        table = store.ORDERS
        async with self._database.read() as connection:
            found = await store.rows_of(
                connection, table, execution_id, table.c.decided_at, Bytewise(table.c.order_id)
            )
        return _all(OrderRow, found)

    async def orders_page(
        self, execution_id: str, *, limit: int = 100, offset: int = 0
    ) -> tuple[list[OrderRow], int]:
        """Return some of an execution's orders, oldest first, and how many there are in all."""
        table = store.ORDERS
        async with self._database.read() as connection:
            found = await store.page_of(
                connection,
                table,
                execution_id,
                (table.c.decided_at, table.c.order_id),
                limit=limit,
                offset=offset,
            )
            total = await store.count_of(connection, table, execution_id)
        return _all(OrderRow, found), total

    async def order_symbols(self, execution_id: str) -> dict[str, str]:
        """Return the id of every order that an execution has had, and its instrument."""
        async with self._database.read() as connection:
            return await store.order_symbols(connection, execution_id)

    async def has_order(self, order_id: str) -> bool:
        """Say whether the ledger has heard of an order."""
        table = store.ORDERS
        async with self._database.read() as connection:
            found = await connection.scalar(
                sa.select(table.c.order_id).where(table.c.order_id == order_id)
            )
        return found is not None

    async def denial_counts(self, execution_id: str) -> dict[str, int]:
        """Return how many orders were refused, by code."""
        async with self._database.read() as connection:
            return await store.denial_counts(connection, execution_id)

    async def decisions(self, execution_id: str) -> list[DecisionRow]:
        """Return every decision that was not HOLD, in time order."""
        table = store.DECISIONS
        async with self._database.read() as connection:
            found = await store.rows_of(
                connection, table, execution_id, table.c.close_ns, Bytewise(table.c.symbol)
            )
        return _all(DecisionRow, found)

    async def flag_readings(self, execution_id: str) -> list[FlagReading]:
        """Return what flags said to an execution, instrument by instrument, in time order."""
        table = store.FLAG_READINGS
        async with self._database.read() as connection:
            found = await store.rows_of(
                connection, table, execution_id, Bytewise(table.c.symbol), table.c.close_ns
            )
        return _all(FlagReading, found)

    async def transcript(self, execution_id: str, after_no: int, limit: int) -> list[Turn]:
        """Return what was said with an execution's processes after a turn, oldest first."""
        async with self._database.read() as connection:
            return await transcripts.after(connection, execution_id, after_no, limit)

    async def last_turn(self, execution_id: str) -> int:
        """Return the number of the last turn that is kept of an execution; 0 for none."""
        async with self._database.read() as connection:
            return await transcripts.last_no(connection, execution_id)

    async def equity(
        self,
        execution_id: str,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        max_points: int | None = None,
    ) -> list[EquityPoint]:
        """Return equity at the closes in [start_ns, end_ns), thinned evenly to `max_points`."""
        async with self._database.read() as connection:
            every = 1
            if max_points is not None:
                total = await store.equity_count(
                    connection, execution_id, start_ns=start_ns, end_ns=end_ns
                )
                every = max(1, -(-total // max(1, max_points - 1)))
            found = await store.equity_rows(
                connection, execution_id, start_ns=start_ns, end_ns=end_ns, every=every
            )
        return _all(EquityPoint, found)

    async def accounts(self, execution_ids: Collection[str]) -> dict[str, AccountNow]:
        """Return where executions stand, by id; one that never opened a ledger has no account."""
        async with self._database.read() as connection:
            return await accounts.read(connection, execution_ids)

    async def days(self, execution_ids: Collection[str]) -> dict[str, tuple[int, int]]:
        """Return the last day of the feed's clock, and its result in billionths, by execution."""
        async with self._database.read() as connection:
            return await days.read(connection, execution_ids)

    async def holdings(self, execution_ids: Collection[str]) -> dict[str, dict[str, Decimal]]:
        """Return what executions hold now, in signed units by symbol, by id; the flat ones too."""
        async with self._database.read() as connection:
            return await accounts.held(connection, execution_ids)

    async def returns(self, execution_id: str, after_ns: int) -> tuple[Ints, Floats]:
        """Return when bars after a time closed, and the simple return of each; no flow is one.

        Of several instruments' bars that close at one instant, the last counts; the instant that
        is still going on is left out.
        """
        async with self._database.read() as connection:
            return await returns.read(connection, execution_id, after_ns)

    async def books(
        self, execution_ids: Collection[str], known: Mapping[str, Tally]
    ) -> dict[str, Book]:
        """Return what executions hold against what their fills and flows add up to, at one instant.

        `known` is what was added up of them before: only later fills are read.
        """
        async with self._database.read() as connection:
            return await books.read(connection, execution_ids, known)

    async def capital_flows(
        self, execution_id: str, *, limit: int = 100, offset: int = 0
    ) -> tuple[list[CapitalFlow], int]:
        """Return some of what flowed in and out, oldest first, and how many flows there were."""
        table = store.CAPITAL_FLOWS
        async with self._database.read() as connection:
            found = await store.page_of(
                connection,
                table,
                execution_id,
                (table.c.entry_no,),
                limit=limit,
                offset=offset,
            )
            total = await store.count_of(connection, table, execution_id)
        return _all(CapitalFlow, found), total

    async def reconcile(self, execution_id: str) -> Reconciliation:
        """Check that trades, flows, positions, cash and equity of an execution agree exactly.

        Raises
        ------
        NotFoundError
            If the ledger has never heard of the execution.
        """
        async with self._database.read() as connection:
            kept = await store.checkpoint(connection, execution_id)
            if kept is None:
                raise NotFoundError(f"the ledger has no execution {execution_id}")
            trades, positions, equity, flows = [
                await store.rows_of(connection, key.table, execution_id, key) for key in _RECONCILED
            ]
        return reconciling.judge(
            kept, reconciling.Rows(trades=trades, positions=positions, equity=equity, flows=flows)
        )


def _all[T](kind: type[T], found: Iterable[sa.Row[Any]]) -> list[T]:
    names = tuple(kind.__slots__)  # type: ignore[attr-defined]  # every kind here is a slotted dataclass
    return [kind(**{name: getattr(row, name) for name in names}) for row in found]
