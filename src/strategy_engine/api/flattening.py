"""HTTP door to closing what an execution holds, whether it runs or has ended."""

from typing import Annotated

from fastapi import APIRouter, Query

from strategy_engine.api import doors, openapi, shapes
from strategy_engine.rollout.leavings import Flattened as Found

router = APIRouter(prefix="/executions", tags=["executions"], dependencies=[doors.bearer])

_EXAMPLE = {
    "execution_id": "exec_9f86d081884c7d659a2feaa0",
    "strategy_id": "strat_9f86d081884c7d659a2feaa0",
    "execution_status": "stopped",
    "closes": True,
    "positions": {"EUR/USD.SIM": 7000.0},
    "message": "a node closes 7000 EUR/USD.SIM at the next price, without its strategy; it stays"
    " stopped, and its line gets what that frees",
    "dry_run": False,
}


class Flattened(shapes.Answer):
    """What an execution holds, and whether the engine closes it now.

    `closes` is false where nothing is held, or where it is being closed already. With `dry_run`
    nothing was asked for.
    """

    model_config = shapes.example(_EXAMPLE)

    execution_id: str
    strategy_id: str
    execution_status: str
    closes: bool
    positions: dict[str, shapes.Number]
    message: shapes.Line
    dry_run: bool


@router.post(
    "/{execution_id}/flatten",
    status_code=202,
    summary="Close what an execution holds",
    responses=openapi.errors(404, 409, 422),
)
async def flatten(
    execution_id: doors.ExecutionId,
    given: doors.Given,
    asker: doors.Asker,
    *,
    dry_run: Annotated[
        bool, Query(description="Do nothing, but tell what would be closed.")
    ] = False,
) -> Flattened:
    """Close everything that an execution holds at the next price; asked again, it is the same.

    One that runs ends then, and its version with its last execution. One that has ended is taken
    up again without its strategy, and ends as it had ended; what that frees goes to the line.
    """
    if dry_run:
        return _shown(await given.leavings.foresee(execution_id), is_dry=True)
    return _shown(await given.leavings.flatten(execution_id, actor=asker.name), is_dry=False)


def _shown(found: Found, *, is_dry: bool) -> Flattened:
    execution = found.execution
    return Flattened(
        execution_id=execution.execution_id,
        strategy_id=execution.strategy_id,
        execution_status=execution.status.value,
        closes=found.closes,
        positions=dict(found.positions),
        message=found.told,
        dry_run=is_dry,
    )
