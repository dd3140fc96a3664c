"""What control wants of executions, written with its audit rows in the caller's transaction."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core.errors import NotFoundError
from strategy_engine.execution import store, switching
from strategy_engine.execution.model import UNENDED, Change, Execution
from strategy_engine.execution.switching import By
from strategy_engine.infra import audit

SUBJECT = "execution"
INSTRUCT = "instruct"


async def instruct(
    connection: AsyncConnection, changes: Mapping[str, Change], by: By
) -> list[Execution]:
    """Want something else of executions; those that have ended stay as they are.

    Raises
    ------
    NotFoundError
        If there is no such execution; nothing is to be committed then.
    """
    found = {each.execution_id: each for each in await store.get_many(connection, changes)}
    for name in changes:
        if name not in found:
            raise NotFoundError(f"there is no execution {name}", execution_id=name)
    return [
        await change(connection, found[name], wanted, by, action=INSTRUCT)
        for name, wanted in changes.items()
    ]


async def change(
    connection: AsyncConnection,
    execution: Execution,
    wanted: Change,
    by: By,
    *,
    action: str | None = None,
    told: Mapping[str, Any] | None = None,
) -> Execution:
    """Want something else of one execution; to want the same again is nothing.

    The audit row's action is `desire_...` unless one is named; `told` is in its details then.
    """
    given = {
        name: value for name, value in wanted.given().items() if getattr(execution, name) != value
    }
    if execution.status not in UNENDED or not given:
        return execution
    if "desired" in given:
        execution = replace(execution, desired_why=by.why)
    after = replace(execution, updated_at=by.at, **given)
    await store.update(connection, after)
    details: dict[str, Any] = _details(after, by.why)
    if action is not None:
        details |= {**(told or {}), "changes": switching.plain(Change(**given))}
    await _record(connection, after, by, action or f"desire_{after.desired}", details)
    return after


async def begin(connection: AsyncConnection, execution: Execution, by: By, *, action: str) -> None:
    """Store a new execution."""
    await store.insert(connection, execution)
    await _record(connection, execution, by, action, _details(execution, by.why))


def _details(execution: Execution, why: str) -> dict[str, Any]:
    details: dict[str, Any] = {
        "strategy_id": execution.strategy_id,
        "role": execution.role.value,
    }
    if execution.config.risk_override:
        details["risk_override"] = execution.config.risk_override_reason or "no reason was kept"
    if execution.config.risk_limits:
        details["risk_limits"] = execution.config.risk_limits
    return details | ({"why": why} if why else {})


async def _record(
    connection: AsyncConnection, execution: Execution, by: By, action: str, details: dict[str, Any]
) -> None:
    await audit.record(
        connection,
        audit.Entry(
            at=by.at,
            actor=by.actor,
            subject_type=SUBJECT,
            subject_id=execution.execution_id,
            action=action,
            to_state=execution.status.value,
            details=details,
        ),
    )
