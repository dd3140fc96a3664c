"""Where executions stand, by the last committed entry of each ledger, many at one look."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core import money
from strategy_engine.core.money import BPS
from strategy_engine.infra.database import Bytewise
from strategy_engine.venue.store import CHECKPOINTS, EQUITY, ORDERS, POSITIONS, TRADES

RECENT_FILLS = 200  # that slippage is measured on
_PPM_PER_BPS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountNow:
    """What an execution was given, what it has come to, and what it is doing.

    Parameters
    ----------
    contributed : Decimal
        What it was opened with, and every flow since: profit is what equity is beyond it.
    equity : Decimal
        Cash and positions at their marks.
    free : Decimal
        What may be withdrawn: neither pledged to a short nor needed as margin; never below 0.
    close_ns : int or None
        The last bar or tick that it has come to; None before the first.
    denied_count : int
        Of its orders, those that the gate refused, for whatever reason.
    slippage_bps : float or None
        What recent fills paid beyond the rule's slippage, of their value; None without fills.
    waiting_entries : int
        Orders that have not ended and could open a position.
    """

    execution_id: str
    contributed: Decimal
    equity: Decimal
    cash: Decimal
    free: Decimal
    is_flat: bool
    close_ns: int | None
    bar_no: int
    entry_no: int
    fill_count: int
    order_count: int
    denied_count: int
    slippage_bps: float | None
    waiting_entries: int

    @property
    def pnl(self) -> Decimal:
        """Return the profit, marked to market."""
        return self.equity - self.contributed


_LATEST = (
    sa.select(sa.func.max(EQUITY.c.close_ns))
    .where(EQUITY.c.execution_id == CHECKPOINTS.c.execution_id)
    .correlate(CHECKPOINTS)
    .scalar_subquery()
)
_COLUMNS = ("execution_id", "capital", "account", "close_ns", "bar_no", "entry_no", "seq")
_KEPT: sa.Select[Any] = (
    sa.select(*(CHECKPOINTS.c[name] for name in _COLUMNS), EQUITY.c.equity)
    .outerjoin(
        EQUITY,
        sa.and_(EQUITY.c.execution_id == CHECKPOINTS.c.execution_id, EQUITY.c.close_ns == _LATEST),
    )
    .where(CHECKPOINTS.c.execution_id.in_(sa.bindparam("wanted", expanding=True)))
)
_ORDERED = (
    sa.select(ORDERS.c.execution_id, sa.func.count().label("orders"))
    .where(ORDERS.c.execution_id.in_(sa.bindparam("wanted", expanding=True)))
    .group_by(ORDERS.c.execution_id)
)
_DENIED = _ORDERED.where(ORDERS.c.denial_code.is_not(None))
_RECENT: sa.Select[Any] = (
    sa.select(TRADES.c.quantity, TRADES.c.price, TRADES.c.slippage)
    .where(TRADES.c.execution_id == sa.bindparam("wanted"))
    .order_by(TRADES.c.seq.desc())
    .limit(RECENT_FILLS)
)

_HELD: sa.Select[Any] = (
    sa.select(POSITIONS.c.execution_id, POSITIONS.c.symbol, POSITIONS.c.quantity)
    .where(POSITIONS.c.execution_id.in_(sa.bindparam("wanted", expanding=True)))
    .order_by(POSITIONS.c.execution_id, Bytewise(POSITIONS.c.symbol))
)


async def held(
    connection: AsyncConnection, execution_ids: Collection[str]
) -> dict[str, dict[str, Decimal]]:
    """Return what some executions hold, in signed units by symbol; of who is flat, nothing."""
    found: dict[str, dict[str, Decimal]] = {each: {} for each in execution_ids}
    if found:
        for row in await connection.execute(_HELD, {"wanted": list(found)}):
            if row.quantity:
                found[row.execution_id][row.symbol] = row.quantity
    return found


async def read(
    connection: AsyncConnection, execution_ids: Collection[str]
) -> dict[str, AccountNow]:
    """Return the accounts of those executions that the ledger has heard of, by their ids."""
    if not execution_ids:
        return {}
    wanted = {"wanted": list(execution_ids)}
    kept = list(await connection.execute(_KEPT, wanted))
    orders = {row.execution_id: row.orders for row in await connection.execute(_ORDERED, wanted)}
    denied = {row.execution_id: row.orders for row in await connection.execute(_DENIED, wanted)}
    found = {}
    for row in kept:
        name = row.execution_id
        fills = list(await connection.execute(_RECENT, {"wanted": name}))
        counts = orders.get(name, 0), denied.get(name, 0)
        found[name] = _account(row, counts, fills)
    return found


def _account(row: sa.Row[Any], counts: tuple[int, int], fills: Sequence[sa.Row[Any]]) -> AccountNow:
    now = _now(row)
    return AccountNow(
        execution_id=row.execution_id,
        contributed=row.capital,
        equity=money.to_decimal(now["equity"]),
        cash=money.to_decimal(row.account["cash"]),
        free=money.to_decimal(max(0, now["free"])),
        is_flat=_is_flat(row.account),
        close_ns=row.close_ns,
        bar_no=row.bar_no,
        entry_no=row.entry_no,
        fill_count=row.seq,
        order_count=counts[0],
        denied_count=counts[1],
        slippage_bps=slippage_bps(fills, now["slippage_ppm"]),
        waiting_entries=now["entries"],
    )


def _now(row: sa.Row[Any]) -> Mapping[str, int]:
    found: Mapping[str, int] | None = row.account.get("now")
    if found is not None:
        return found
    # Kept by a version before flows, and nothing since: what the last bar said, and no free cash
    # until its next bar says more.
    equity = row.capital if row.equity is None else row.equity
    free = row.account["cash"] if _is_flat(row.account) else 0
    return {"equity": money.to_nanos(equity), "free": free, "entries": 0, "slippage_ppm": 0}


def _is_flat(account: Mapping[str, Any]) -> bool:
    held = account.get("books") or account["positions"]
    return not any(each["lots"] for each in held.values())


def slippage_bps(fills: Sequence[sa.Row[Any]], rule_ppm: int) -> float | None:
    """Return what fills paid beyond a rule's slippage, in basis points of what they traded."""
    values = [each.quantity * each.price for each in fills]
    traded = sum(values, Decimal(0))
    if not traded:
        return None
    rule = Decimal(rule_ppm) / (_PPM_PER_BPS * BPS)
    beyond = sum(
        (
            max(Decimal(0), each.slippage - value * rule)
            for each, value in zip(fills, values, strict=True)
        ),
        Decimal(0),
    )
    return float(beyond / traded * BPS)
