"""What has to hold of a line for a version of it to be started, and what it then opens with."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core.errors import ConflictError
from strategy_engine.execution import limiting, stops, store
from strategy_engine.execution.model import Execution, ExecutionConfig, Role
from strategy_engine.execution.stops import Stop
from strategy_engine.registry import service as registry_service
from strategy_engine.registry.model import Strategy, Trigger

_CENT = Decimal("0.01")


async def running(connection: AsyncConnection, strategy: Strategy, role: Role) -> Execution | None:
    """Return the execution that a running version has in a role; a stable one stands for any.

    Raises
    ------
    ConflictError
        If it has none at all.
    """
    found = await store.unended_of(connection, strategy.strategy_id)
    if not found:
        raise ConflictError(
            f"{strategy.strategy_id} is running but has no execution; stop it, then start it again",
            state=strategy.status.value,
            accepted=[Trigger.STOP.value],
        )
    if role is Role.STABLE:
        return found[0]
    return next((each for each in found if each.role is role), None)


async def refuse_second_of_line(connection: AsyncConnection, strategy_id: str) -> None:
    """Refuse to start a version beside another of its line.

    Raises
    ------
    ConflictError
        It names the other one.
    """
    for other, version in await store.unended_in_line(connection, strategy_id):
        raise ConflictError(
            f"version {version} of this line is {other.status} ({other.execution_id}), and a line"
            " trades one account; deploy this version to replace it, or stop that one first",
            execution_id=other.execution_id,
            strategy_id=other.strategy_id,
        )


async def refuse_stopped(
    connection: AsyncConnection, strategy: Strategy, config: ExecutionConfig
) -> None:
    """Refuse to start a version that an emergency stop is about.

    Raises
    ------
    StoppedError
        It says who stopped it, why, and how it is reset.
    """
    line = strategy.content.strategy_name
    await stops.refuse(connection, line=line, account=limiting.account_of(config, line))


async def refuse_to_resume(connection: AsyncConnection, strategy_id: str) -> None:
    """Refuse to let a version go on that an emergency stop is about.

    Raises
    ------
    StoppedError
        It says who stopped it, why, and how it is reset.
    """
    found = await stopped(connection, strategy_id, await store.unended_of(connection, strategy_id))
    if found is not None:
        raise stops.refusal(found)


async def stopped(
    connection: AsyncConnection, strategy_id: str, executions: Iterable[Execution]
) -> Stop | None:
    """Return an emergency stop in force of a version's line, or of one of some executions."""
    in_force = await stops.in_force(connection)
    if not in_force:
        return None
    strategy = await registry_service.load(connection, strategy_id)
    line = strategy.content.strategy_name
    named = [(each.execution_id, limiting.account_of(each.config, line)) for each in executions]
    for execution_id, account in [*named, ("", line)]:
        found = stops.find(in_force, line=line, account=account, execution_id=execution_id)
        if found is not None:
            return found
    return None


async def stop_over(connection: AsyncConnection, execution: Execution) -> Stop | None:
    """Return an emergency stop in force over an execution; none is over a validation run."""
    in_force = await stops.in_force(connection)
    if not in_force or execution.role is Role.VALIDATION:
        return None
    strategy = await registry_service.load(connection, execution.strategy_id)
    line = strategy.content.strategy_name
    return stops.find(
        in_force,
        line=line,
        account=limiting.account_of(execution.config, line),
        execution_id=execution.execution_id,
    )


async def less_tied(connection: AsyncConnection, wanted: Execution) -> Execution:
    """Return an execution that opens with the line's capital, but for what ended ones still tie.

    Raises
    ------
    ConflictError
        If nothing is left of it.
    """
    tied = await store.tied_in_line(connection, wanted.strategy_id)
    amount = sum((each.capital_left for each in tied), Decimal(0))
    if not amount:
        return wanted
    left = (wanted.capital - amount).quantize(_CENT, rounding=ROUND_DOWN)
    names = ", ".join(each.execution_id for each in tied)
    told = (
        f"{amount:f} of the line's capital of {wanted.capital:f} is tied in positions that were"
        f" held when an execution ended ({names});"
        f" POST /executions/{tied[0].execution_id}/flatten closes them"
    )
    if left <= 0:
        raise ConflictError(f"{told}: nothing is left to start with", execution_id=names)
    return replace(
        wanted,
        capital=left,
        config=replace(wanted.config, capital=float(left)),
        notices=(*wanted.notices, f"it opened with {left:f}: {told}"),
    )
