"""What risk has said of executions, brought into their rows in the caller's transaction."""

from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.execution import restraint, store
from strategy_engine.execution.model import Execution
from strategy_engine.execution.restraint import Effect, Restraint
from strategy_engine.execution.switching import By
from strategy_engine.infra import audit
from strategy_engine.registry import model as registry_model
from strategy_engine.registry import service as registry_service
from strategy_engine.registry.service import Registry

SUBJECT = "execution"


async def hold(
    connection: AsyncConnection, execution: Execution, held_to: Restraint, action: str, by: By
) -> bool:
    """Let an execution's row say what a deed holds it to; whether it did not say so before."""
    wanted = restraint.applied(execution, held_to, at=by.at)
    if wanted is not None:
        await store.update(connection, wanted)
    now = wanted or execution
    details = {
        "deed_id": held_to.deed_id,
        "reason": by.why,
        "desired": now.desired.value,
        "risk_state": now.risk_state.value,
    }
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
    return wanted is not None


async def move_versions(
    connection: AsyncConnection,
    registry: Registry,
    found: Iterable[Execution],
    effect: Effect,
    by: By,
) -> None:
    """Move the versions none of whose executions goes on any more, as far as they may be moved."""
    if effect.version is None:
        return
    for strategy_id in sorted({each.strategy_id for each in found}):
        left = await store.unended_of(connection, strategy_id)
        strategy = await registry_service.load(connection, strategy_id)
        is_allowed = (strategy.status, effect.version) in registry_model.ARROWS
        if is_allowed and all(restraint.is_held_back(each, effect) for each in left):
            await registry.move_in(
                connection, strategy_id, effect.version, actor=by.actor, why=by.why
            )
