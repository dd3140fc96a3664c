"""Switches as rows: asked by control, done by the node in one transaction with what they change.

A row that is done is kept: it is how a key is known to have been done, whenever it is asked for
again, and says from which bar on who served. There are a handful of them in a rollout.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core.errors import InvalidError, NotFoundError
from strategy_engine.execution import store
from strategy_engine.execution.model import Adoption, Change, Desired, Exits, Role, Switch
from strategy_engine.infra import database
from strategy_engine.venue.model import Tenure

TABLE = sa.Table(
    "switches",
    database.control,
    sa.Column("key", sa.String(200), primary_key=True),
    sa.Column("gives", sa.JSON, nullable=False),
    sa.Column("takes", sa.JSON, nullable=False),
    sa.Column("symbols", sa.JSON(none_as_null=True)),
    sa.Column("changes", sa.JSON, nullable=False),
    sa.Column("hands_cash", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("adopts", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("adoption", sa.JSON(none_as_null=True)),  # until the ledgers have it, it is not done
    sa.Column("actor", sa.String(100), nullable=False),
    sa.Column("why", sa.String(200), nullable=False),
    sa.Column("asked_at", database.UtcDateTime, nullable=False),
    sa.Column("node_id", sa.String(60)),
    sa.Column("at_ns", sa.BigInteger),
    sa.Column("done_at", database.UtcDateTime, index=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """Who wants something, when and why."""

    actor: str
    at: datetime
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A switch that is still to be done, and who asked for it."""

    switch: Switch
    by: By


async def ask(connection: AsyncConnection, switch: Switch, by: By) -> None:
    """Store a switch that is to be done, unless its key is known: then it was asked for before.

    Raises
    ------
    NotFoundError
        If it names an execution that there is none of.
    InvalidError
        If it hands cash over, and not to one execution whose capital it names; or positions, and
        no cash.
    """
    if await get(connection, switch.key) is not None:
        return
    _check(switch)
    known = {each.execution_id for each in await store.get_many(connection, switch.execution_ids)}
    for name in switch.execution_ids:
        if name not in known:
            raise NotFoundError(f"there is no execution {name}", execution_id=name)
    row = {
        "key": switch.key,
        "gives": list(switch.gives),
        "takes": list(switch.takes),
        "symbols": None if switch.symbols is None else list(switch.symbols),
        "changes": {name: plain(each) for name, each in switch.changes.items()},
        "hands_cash": switch.hands_cash,
        "adopts": switch.adopts,
        "actor": by.actor,
        "why": by.why,
        "asked_at": by.at,
    }
    await connection.execute(sa.insert(TABLE).values(**row))


async def get(connection: AsyncConnection, key: str) -> Switch | None:
    """Return a switch as it stands."""
    rows = await connection.execute(sa.select(TABLE).where(TABLE.c.key == key))
    row = rows.one_or_none()
    return None if row is None else _switch(row)


async def take_back(connection: AsyncConnection, key: str) -> None:
    """Forget a switch of which nothing is done."""
    await connection.execute(sa.delete(TABLE).where(TABLE.c.key == key, TABLE.c.at_ns.is_(None)))


async def waiting(connection: AsyncConnection) -> list[Asked]:
    """Return the switches that are still to be done, in the order that they were asked for.

    First come those that only the ledgers have still to hear of.
    """
    rows = await connection.execute(
        sa.select(TABLE)
        .where(TABLE.c.done_at.is_(None))
        .order_by(TABLE.c.at_ns.is_(None), TABLE.c.asked_at, TABLE.c.key)
    )
    return [
        Asked(switch=_switch(row), by=By(actor=row.actor, at=row.asked_at, why=row.why))
        for row in rows
    ]


async def finish(
    connection: AsyncConnection, switch: Switch, *, node_id: str, at_ns: int, at: datetime
) -> Switch:
    """Keep that a switch is done, and between which bars.

    One with an adoption is done once that is in the ledgers too: `settle` says so.
    """
    is_done = switch.adoption is None
    adoption = None if is_done else msgspec.to_builtins(switch.adoption)
    done_at = at if is_done else None
    await connection.execute(
        sa.update(TABLE)
        .where(TABLE.c.key == switch.key)
        .values(node_id=node_id, at_ns=at_ns, done_at=done_at, adoption=adoption)
    )
    return replace(switch, at_ns=at_ns, done_at=done_at)


async def settle(connection: AsyncConnection, key: str, at: datetime) -> None:
    """Keep that a switch is done whose positions are where they belong."""
    await connection.execute(sa.update(TABLE).where(TABLE.c.key == key).values(done_at=at))


def _check(switch: Switch) -> None:
    named = [switch.changes.get(each, Change()).capital_target for each in switch.takes]
    if switch.adopts and not switch.hands_cash:
        raise InvalidError(
            f"switch {switch.key} hands positions over without the cash that they cost",
            field="hands_cash",
            value=False,
        )
    if switch.hands_cash and (len(named) != 1 or named[0] is None):
        raise InvalidError(
            f"switch {switch.key} hands cash over to {list(switch.takes)}; it takes one execution,"
            " and its capital_target in the changes",
            field="takes",
            value=list(switch.takes),
        )


def plain(change: Change) -> dict[str, Any]:
    """Return what a change gives, as JSON has it."""
    return {name: _PLAIN[name](value) for name, value in change.given().items()}


_PLAIN: Mapping[str, Any] = {
    "role": str,
    "desired": str,
    "capital_target": lambda value: format(value, "f"),
    "serves": asdict,
    "exits": str,
}
_FROM_PLAIN: Mapping[str, Any] = {
    "role": Role,
    "desired": Desired,
    "capital_target": Decimal,
    "serves": lambda value: msgspec.convert(value, Tenure),
    "exits": Exits,
}


def _change(given: Mapping[str, Any]) -> Change:
    return Change(**{name: _FROM_PLAIN[name](value) for name, value in given.items()})


def _switch(row: sa.Row[Any]) -> Switch:
    return Switch(
        key=row.key,
        gives=tuple(row.gives),
        takes=tuple(row.takes),
        symbols=None if row.symbols is None else tuple(row.symbols),
        changes={name: _change(each) for name, each in row.changes.items()},
        hands_cash=row.hands_cash,
        adopts=row.adopts,
        adoption=None if row.adoption is None else msgspec.convert(row.adoption, Adoption),
        at_ns=row.at_ns,
        done_at=row.done_at,
    )
