"""What an ended execution still holds: closing it is asked for by control, and done by the node."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core import money
from strategy_engine.execution import store, wishes
from strategy_engine.execution.model import (
    UNENDED,
    Change,
    Closing,
    Desired,
    Execution,
    Observation,
    Role,
)
from strategy_engine.execution.switching import By
from strategy_engine.infra import audit

FLATTEN = "flatten"
CLOSED = "close_leavings"
SETTLED = "settle"
_SUBJECT = "execution"
_LEAVING = frozenset({Desired.STOP, Desired.DRAIN, Desired.FLATTEN})


async def ask(
    connection: AsyncConnection, row: Execution, by: By, *, how: Closing = Closing.ASKED
) -> Execution:
    """Let an ended execution be taken up by a node, to close what it holds; asked once is enough.

    What has not ended stays as it is, and so does what held nothing; a validation run is nobody's
    capital.
    """
    is_asked = row.closing in {how, Closing.CALLED_IN, Closing.CLOSED, Closing.SETTLED}
    is_flat = row.closing is None and row.tied == 0
    if row.status in UNENDED or row.role is Role.VALIDATION or is_asked or is_flat:
        return row
    asked = replace(row, closing=how, node_id=None, updated_at=by.at)
    await store.update(connection, asked)
    await audit.record(connection, _entry(asked, by, FLATTEN, {"why": by.why} if by.why else {}))
    return asked


async def end_flat(connection: AsyncConnection, row: Execution, by: By) -> Execution | None:
    """Let an execution close what it holds and end; None if it is ending for good already."""
    if row.desired in {Desired.STOP, Desired.FLATTEN}:
        return None
    return await wishes.change(connection, row, Change(desired=Desired.FLATTEN), by)


async def is_last(connection: AsyncConnection, row: Execution) -> bool:
    """Say whether a version has no other execution that goes on."""
    others = await store.unended_of(connection, row.strategy_id)
    return all(each.desired in _LEAVING for each in others if each.execution_id != row.execution_id)


async def close(
    connection: AsyncConnection, row: Execution, by: By, *, final: Observation | None, why: str
) -> Execution:
    """Keep what has come of closing what an ended execution held; it stays ended as it was.

    Parameters
    ----------
    why : str
        Why it could not be closed; empty text: it was.
    """
    results = {} if final is None else {"final_pnl": final.pnl, **made(final)}
    notices = tuple(results.get("notices", row.notices))
    results["notices"] = (*notices, f"not closed: {why}") if why else notices
    is_counted = row.closing is Closing.CALLED_IN
    done = Closing.SETTLED if is_counted else Closing.CLOSED
    tied = freed(row, final)
    closed = replace(
        row,
        closing=Closing.STUCK if why else done,
        tied=Decimal(0) if is_counted and not why else tied,
        updated_at=by.at,
        **results,
    )
    await store.update(connection, closed)
    details: dict[str, Any] = {
        "node_id": closed.node_id,
        "epoch": closed.epoch,
        "tied" if why else "freed": f"{tied:f}",
        "pnl": f"{closed.pnl:f}",
    }
    details |= {"why": why} if why else {}
    await audit.record(connection, _entry(closed, by, CLOSED, details))
    return closed


def freed(row: Execution, final: Observation | None) -> Decimal:
    """Return what an ended execution has by now beyond what went back to the line at its end."""
    tied = row.tied or Decimal(0)
    if final is None:
        return tied
    worth = money.to_nanos(final.capital) + money.to_nanos(final.pnl)
    before = money.to_nanos(row.capital) + money.to_nanos(row.pnl)
    return money.to_decimal(worth - before + money.to_nanos(tied)).normalize() + 0


async def settle(connection: AsyncConnection, row: Execution, heir: Execution, by: By) -> None:
    """Give what an ended execution freed to one of its line that goes on, as its capital."""
    amount = row.tied or Decimal(0)
    has = heir.capital if heir.capital_target is None else heir.capital_target
    target = money.to_decimal(money.to_nanos(has) + money.to_nanos(amount)).normalize() + 0
    settled = replace(row, tied=Decimal(0), closing=Closing.SETTLED, updated_at=by.at)
    await store.update(connection, settled)
    told = {"freed": f"{amount:f}", "given_to": heir.execution_id}
    await audit.record(connection, _entry(settled, by, SETTLED, told))
    why = By(actor=by.actor, at=by.at, why=f"{row.execution_id} freed {amount:f}")
    await wishes.change(
        connection, heir, Change(capital_target=target), why, action=wishes.INSTRUCT
    )


def is_heir(row: Execution) -> bool:
    """Say whether an execution takes what others of its line have freed."""
    goes_on = row.status in UNENDED and row.desired not in _LEAVING and row.failure is None
    return goes_on and row.role is Role.STABLE


def made(seen: Observation) -> dict[str, Any]:
    """Return what an observation says of an execution's row."""
    return {
        "trade_count": seen.trade_count,
        "fill_count": seen.fill_count,
        "capital": seen.capital,
        "pnl": seen.pnl,
        "performance_metrics": seen.performance_metrics,
        "notices": seen.notices,
    }


def _entry(row: Execution, by: By, action: str, details: dict[str, Any]) -> audit.Entry:
    return audit.Entry(
        at=by.at,
        actor=by.actor,
        subject_type=_SUBJECT,
        subject_id=row.execution_id,
        action=action,
        from_state=row.status.value,
        to_state=row.status.value,
        details=details,
    )
