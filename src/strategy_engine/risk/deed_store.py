"""The deeds' SQL: what each node did, as it brought it in from its journal."""

from collections.abc import Collection, Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.infra import database
from strategy_engine.registry import store as registry
from strategy_engine.risk.model import Deed

TABLE = sa.Table(
    "risk_deeds",
    database.control,
    sa.Column("deed_id", sa.String(40), primary_key=True),
    sa.Column("node_id", sa.String(60), primary_key=True),
    sa.Column("action", sa.String(20), nullable=False),
    sa.Column("scope", sa.String(20), nullable=False),
    sa.Column("subject", sa.String(100), nullable=False),
    sa.Column("factor", database.ExactDecimal),
    sa.Column("flattens", sa.Boolean, nullable=False),
    sa.Column("reason", sa.String(200), nullable=False),
    sa.Column("actor", sa.String(100), nullable=False),
    sa.Column("at", database.UtcDateTime, nullable=False),
    sa.Column("executions", sa.JSON, nullable=False),  # whose rows it changed
    sa.Column("imported_at", database.UtcDateTime, nullable=False),
)
_OWN = ("deed_id", "factor", "flattens", "reason", "actor", "at")


async def is_imported(connection: AsyncConnection, deed_id: str, node_id: str) -> bool:
    """Say whether a node has brought a deed in."""
    found = await connection.scalar(
        sa.select(TABLE.c.deed_id).where(TABLE.c.deed_id == deed_id, TABLE.c.node_id == node_id)
    )
    return found is not None


async def insert(
    connection: AsyncConnection,
    deed: Deed,
    *,
    node_id: str,
    executions: Iterable[str],
    at: datetime,
) -> None:
    """Keep what a node did, and to whose rows."""
    values = {name: getattr(deed, name) for name in _OWN} | {
        "node_id": node_id,
        "action": deed.action.value,
        "scope": deed.scope.value,
        "subject": deed.subject,
        "executions": list(executions),
        "imported_at": at,
    }
    await connection.execute(sa.insert(TABLE).values(values))


async def lines(connection: AsyncConnection, strategy_ids: Collection[str]) -> dict[str, str]:
    """Return the lines of versions, by version."""
    table = registry.TABLE
    names = table.c.strategy_id, table.c.strategy_name
    rows = await connection.execute(sa.select(*names))
    return {row.strategy_id: row.strategy_name for row in rows if row.strategy_id in strategy_ids}
