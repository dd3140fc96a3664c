"""What many ledgers hold together against what all their fills and flows make, at one instant."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core import money
from strategy_engine.venue.store import CAPITAL_FLOWS, CHECKPOINTS, POSITIONS, TRADES

_NANO = Decimal("1e-9")
_ENOUGH_DIGITS = 60
_ZERO = Decimal(0)
_KEPT = ("execution_id", "capital", "account")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What the first `fill_count` fills of an execution add up to.

    Parameters
    ----------
    paid : Decimal
        Cash that they brought (+) or took (-), fees with it.
    """

    fill_count: int = 0
    held: Mapping[str, Decimal] = field(default_factory=dict)
    paid: Decimal = _ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """One execution's ledger: what it says it has, and what its rows add up to.

    Parameters
    ----------
    opened, flowed : Decimal
        The capital that it was opened with, and all flows since.
    """

    execution_id: str
    tally: Tally
    positions: Mapping[str, Decimal]
    cash: Decimal
    opened: Decimal
    flowed: Decimal

    @property
    def expected_cash(self) -> Decimal:
        """Return the cash that capital, flows and fills leave."""
        with localcontext(prec=_ENOUGH_DIGITS):
            return self.opened + self.flowed + self.tally.paid


async def read(
    connection: AsyncConnection, execution_ids: Iterable[str], known: Mapping[str, Tally]
) -> dict[str, Book]:
    """Return the books of those executions that the ledger has heard of, in one snapshot.

    Parameters
    ----------
    known : mapping
        What was added up before: fills are kept for ever, so only those after it are read.
    """
    found = {}
    for name in execution_ids:
        kept = await _one(connection, name)
        if kept is not None:
            found[name] = await _book(connection, kept, known.get(name, Tally()))
    return found


async def _one(connection: AsyncConnection, execution_id: str) -> sa.Row[Any] | None:
    rows = await connection.execute(
        sa.select(*(CHECKPOINTS.c[each] for each in _KEPT)).where(
            CHECKPOINTS.c.execution_id == execution_id
        )
    )
    return rows.one_or_none()


async def _book(connection: AsyncConnection, kept: sa.Row[Any], before: Tally) -> Book:
    name = kept.execution_id
    fills = await connection.execute(
        sa.select(TRADES).where(TRADES.c.execution_id == name, TRADES.c.seq > before.fill_count)
    )
    positions = await connection.execute(
        sa.select(POSITIONS.c.symbol, POSITIONS.c.quantity).where(POSITIONS.c.execution_id == name)
    )
    flows = await connection.execute(
        sa.select(CAPITAL_FLOWS)
        .where(CAPITAL_FLOWS.c.execution_id == name)
        .order_by(CAPITAL_FLOWS.c.entry_no)
    )
    opened, flowed = _given(kept.capital, list(flows))
    return Book(
        execution_id=name,
        tally=add(before, list(fills)),
        positions={row.symbol: row.quantity for row in positions},
        cash=money.to_decimal(kept.account["cash"]),
        opened=opened,
        flowed=flowed,
    )


def _given(contributed: Decimal, flows: Sequence[sa.Row[Any]]) -> tuple[Decimal, Decimal]:
    # What it was opened with is what stood before the first flow; not today's less all flows,
    # which would agree with itself whatever is missing.
    if not flows:
        return contributed, _ZERO
    with localcontext(prec=_ENOUGH_DIGITS):
        opened = flows[0].contributed - flows[0].amount
        return opened, sum((row.amount for row in flows), _ZERO)


def add(before: Tally, fills: Sequence[sa.Row[Any]]) -> Tally:
    """Return what fills add up to, with those that were added up before."""
    held, paid = dict(before.held), before.paid
    with localcontext(prec=_ENOUGH_DIGITS):
        for row in fills:
            sign = 1 if row.side == "BUY" else -1
            value = (row.quantity * row.price).quantize(_NANO, rounding=ROUND_HALF_EVEN)
            held[row.symbol] = held.get(row.symbol, _ZERO) + sign * row.quantity
            paid -= sign * value + row.fee
    return replace(before, fill_count=before.fill_count + len(fills), held=held, paid=paid)
