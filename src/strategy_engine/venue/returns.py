"""An execution's returns bar by bar, as the ledger's equity rows have them."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.venue.store import CAPITAL_FLOWS, CHECKPOINTS, EQUITY

type Ints = NDArray[np.int64]
type Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """The account when a bar had closed; `bar_index` is the last such bar's."""

    close_ns: int
    bar_index: int
    equity: Decimal
    contributed: Decimal


def measured(instants: Iterable[Instant]) -> list[Instant]:
    """Return those at which bars closed: what has no bar of its own was known between two."""
    groups = itertools.groupby(instants, key=lambda each: each.bar_index)
    return [next(group) for bar_index, group in groups if bar_index >= 0]


def between(instants: Sequence[Instant]) -> tuple[Ints, Floats]:
    """Return when each instant but the first was, and the simple return since the one before.

    What flowed between the two is part of neither; an account that was empty has earned nothing.
    """
    pairs = list(itertools.pairwise(instants))
    closes = np.array([now.close_ns for _, now in pairs], dtype=np.int64)
    made = np.array([float(now.equity - now.contributed + was.contributed) for was, now in pairs])
    base = np.array([float(was.equity) for was, _ in pairs])
    held = base > 0.0
    simple: Floats = np.where(held, made / np.where(held, base, 1.0) - 1.0, 0.0)
    return closes, simple


async def read(
    connection: AsyncConnection, execution_id: str, after_ns: int
) -> tuple[Ints, Floats]:
    """Return the returns of the bars that closed after a time, and when those closed."""
    kept = (
        await connection.execute(
            sa.select(CHECKPOINTS.c.capital, CHECKPOINTS.c.account).where(
                CHECKPOINTS.c.execution_id == execution_id
            )
        )
    ).one_or_none()
    if kept is None:
        return between(())
    base_ns = await _before(connection, execution_id, after_ns)
    instants = measured(await _rows(connection, execution_id, base_ns))
    if len(kept.account.get("books") or kept.account["positions"]) > 1:
        instants = instants[:-1]  # another instrument's bar of that instant may still come
    if base_ns is None:
        opened = kept.capital - await _flowed(connection, execution_id)
        first = Instant(close_ns=-1, bar_index=-1, equity=opened, contributed=opened)
        instants.insert(0, first)
    closes, simple = between(instants)
    later = closes > after_ns
    return closes[later], simple[later]


async def _before(connection: AsyncConnection, execution_id: str, after_ns: int) -> int | None:
    """Return a time before the last bar that had closed by `after_ns`, after the one before it."""
    mine = EQUITY.c.execution_id == execution_id
    last = await connection.scalar(
        sa.select(EQUITY.c.bar_index)
        .where(mine, EQUITY.c.close_ns <= after_ns)
        .order_by(EQUITY.c.close_ns.desc())
        .limit(1)
    )
    if last is None:
        return None
    earlier: int | None = await connection.scalar(
        sa.select(EQUITY.c.close_ns)
        .where(mine, EQUITY.c.close_ns <= after_ns, EQUITY.c.bar_index < last)
        .order_by(EQUITY.c.close_ns.desc())
        .limit(1)
    )
    return earlier


async def _rows(
    connection: AsyncConnection, execution_id: str, after_ns: int | None
) -> list[Instant]:
    wanted: list[sa.ColumnElement[Any]] = [EQUITY.c.execution_id == execution_id]
    if after_ns is not None:
        wanted.append(EQUITY.c.close_ns > after_ns)
    found = await connection.execute(sa.select(EQUITY).where(*wanted).order_by(EQUITY.c.close_ns))
    return [
        Instant(
            close_ns=row.close_ns,
            bar_index=row.bar_index,
            equity=row.equity,
            contributed=row.contributed,
        )
        for row in found
    ]


async def _flowed(connection: AsyncConnection, execution_id: str) -> Decimal:
    found = await connection.scalars(
        sa.select(CAPITAL_FLOWS.c.amount).where(CAPITAL_FLOWS.c.execution_id == execution_id)
    )
    return sum(found, Decimal(0))  # not the database's own sum: text is what SQLite keeps
