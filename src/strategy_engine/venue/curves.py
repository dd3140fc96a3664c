"""An execution's equity for whoever measures it: whole, or as it stood at the end of each hour."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.infra.database import Database
from strategy_engine.venue.store import CAPITAL_FLOWS, CHECKPOINTS, EQUITY, ROUND_TRIPS, TRADES

type Ints = NDArray[np.int64]
type Floats = NDArray[np.float64]

HOUR_NS = 3_600_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """An account at closes of bars, in time order.

    Parameters
    ----------
    opening : float
        What it was opened with, account currency; later flows are in `contributed`.
    close_ns : array of int64, shape (n,)
    equity, contributed : array of float64, shape (n,), account currency
    benchmark : array of float64, shape (n,)
        An index that starts at 1.
    """

    opening: float
    close_ns: Ints
    equity: Floats
    contributed: Floats
    benchmark: Floats

    def follow(self, later: "Curve") -> "Curve":
        """Return a curve by the hour with what came after it; what both have, the later knows."""
        if not later.close_ns.size:
            return self
        kept = int(np.searchsorted(hours(self.close_ns), hours(later.close_ns)[0]))
        return Curve(
            opening=later.opening,
            **{
                name: np.concatenate((getattr(self, name)[:kept], getattr(later, name)))
                for name in _COLUMNS
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trips:
    """Closed round trips by the number of their last fills; P&L after costs."""

    seq: Ints
    entry_ns: Ints
    exit_ns: Ints
    pnl: Floats

    def follow(self, later: "Trips") -> "Trips":
        """Return these round trips and those that came after them."""
        joined = {
            name: np.concatenate((getattr(self, name), getattr(later, name)))
            for name in self.__slots__
        }
        return Trips(**joined)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What trading has cost: fees, and slippage against the prices that were aimed at."""

    fills: int
    fees: Decimal
    slippage: Decimal
    turnover: Decimal


_MOST_NAMES = 500  # in one statement
_COLUMNS = ("close_ns", "equity", "contributed", "benchmark")
_HOUR = sa.literal(HOUR_NS, sa.BigInteger)


def hours(close_ns: Ints) -> Ints:
    """Return the UTC hour that each close belongs to; one at a full hour ends the hour before."""
    found: Ints = (close_ns - 1) // HOUR_NS
    return found


class Curves:
    """Reads curves; nothing here writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def heads(self, execution_ids: Collection[str]) -> dict[str, tuple[int, int]]:
        """Return how many entries and how many fills the ledgers of executions have, by id."""
        async with self._database.read() as connection:
            return await heads(connection, execution_ids)

    async def by_hour(self, execution_id: str, *, after_ns: int = -1) -> Curve | None:
        """Return where an account stood at the last close of every hour, of closes after a time.

        None if the ledger has never heard of the execution.
        """
        last = (
            sa.select(sa.func.max(EQUITY.c.close_ns).label("close_ns"))
            .where(EQUITY.c.execution_id == execution_id, EQUITY.c.close_ns > after_ns)
            .group_by(sa.cast((EQUITY.c.close_ns - 1) // _HOUR, sa.BigInteger))
            .subquery()
        )
        rows = sa.select(EQUITY).join(last, last.c.close_ns == EQUITY.c.close_ns)
        return await self._curve(execution_id, rows)

    async def whole(
        self, execution_id: str, *, start_ns: int | None = None, end_ns: int | None = None
    ) -> Curve | None:
        """Return an account at every close in [start, end)."""
        rows = sa.select(EQUITY)
        if start_ns is not None:
            rows = rows.where(EQUITY.c.close_ns >= start_ns)
        if end_ns is not None:
            rows = rows.where(EQUITY.c.close_ns < end_ns)
        return await self._curve(execution_id, rows)

    async def trips(self, execution_id: str, *, after_seq: int = 0) -> Trips:
        """Return round trips that closed with a later fill, in the order of those."""
        columns = ROUND_TRIPS.c
        async with self._database.read() as connection:
            found = await connection.execute(
                sa.select(columns.seq, columns.entry_ns, columns.exit_ns, columns.pnl)
                .where(columns.execution_id == execution_id, columns.seq > after_seq)
                .order_by(columns.seq)
            )
            rows = list(found)
        return Trips(
            seq=np.array([row.seq for row in rows], dtype=np.int64),
            entry_ns=np.array([row.entry_ns for row in rows], dtype=np.int64),
            exit_ns=np.array([row.exit_ns for row in rows], dtype=np.int64),
            pnl=np.array([float(row.pnl) for row in rows]),
        )

    async def costs(self, execution_id: str) -> Costs:
        """Return what trading has cost an execution, exactly."""
        columns = TRADES.c
        fills, fees, slippage, turnover = 0, Decimal(0), Decimal(0), Decimal(0)
        async with self._database.read() as connection:
            found = await connection.execute(
                sa.select(columns.fee, columns.slippage, columns.quantity, columns.price).where(
                    columns.execution_id == execution_id
                )
            )
            for row in found:
                fills += 1
                fees += row.fee
                slippage += row.slippage
                turnover += row.quantity * row.price
        return Costs(fills=fills, fees=fees, slippage=slippage, turnover=turnover)

    async def _curve(self, execution_id: str, rows: sa.Select[Any]) -> Curve | None:
        mine = EQUITY.c.execution_id == execution_id
        async with self._database.read() as connection:
            opening = await _opening(connection, execution_id)
            if opening is None:
                return None
            found = await connection.execute(rows.where(mine).order_by(EQUITY.c.close_ns))
            kept = _of_bars(found)
        columns = list(zip(*kept, strict=True)) or [(), (), (), ()]
        return Curve(
            opening=float(opening),
            close_ns=np.array(columns[0], dtype=np.int64),
            equity=np.array(columns[1], dtype=np.float64),
            contributed=np.array(columns[2], dtype=np.float64),
            benchmark=np.array(columns[3], dtype=np.float64),
        )


def _of_bars(rows: Iterable[sa.Row[Any]]) -> list[tuple[Any, ...]]:
    kept, last = [], -1  # what has no bar of its own was known between two
    for row in rows:
        if row.bar_index > last:
            kept.append((row.close_ns, row.equity, row.contributed, row.benchmark))
            last = row.bar_index
    return kept


async def heads(
    connection: AsyncConnection, execution_ids: Collection[str]
) -> dict[str, tuple[int, int]]:
    """Return how many entries and how many fills the ledgers of executions have, by id."""
    found: dict[str, tuple[int, int]] = {}
    wanted = sorted(execution_ids)
    for part in (wanted[at : at + _MOST_NAMES] for at in range(0, len(wanted), _MOST_NAMES)):
        rows = await connection.execute(
            sa.select(CHECKPOINTS.c.execution_id, CHECKPOINTS.c.entry_no, CHECKPOINTS.c.seq).where(
                CHECKPOINTS.c.execution_id.in_(part)
            )
        )
        found |= {row.execution_id: (row.entry_no, row.seq) for row in rows}
    return found


async def _opening(connection: AsyncConnection, execution_id: str) -> Decimal | None:
    given = await connection.scalar(
        sa.select(CHECKPOINTS.c.capital).where(CHECKPOINTS.c.execution_id == execution_id)
    )
    if given is None:
        return None
    flows = await connection.scalars(
        sa.select(CAPITAL_FLOWS.c.amount).where(CAPITAL_FLOWS.c.execution_id == execution_id)
    )
    return Decimal(given) - sum(flows, Decimal(0))
