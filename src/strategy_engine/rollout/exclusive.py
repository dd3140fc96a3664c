"""Who moves the capital of a line: one deployment, one experiment or one allocation at a time."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core.errors import ConflictError
from strategy_engine.rollout import store as deployments
from strategy_engine.rollout.allocation import store as allocations
from strategy_engine.rollout.capital import Account
from strategy_engine.rollout.experiments import store as experiments
from strategy_engine.rollout.lines import Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """What moves capital on a line; `state` as it says itself."""

    kind: str
    key: str
    state: str


HOW_TO_END = {
    "deployment": "wait for it, or POST /deployments/{key}/abort",
    "experiment": "POST /experiments/{key}/stop first",
    "allocation": "DELETE /lines/{line}/allocation first",
}


async def movers(connection: AsyncConnection, strategy_name: str) -> list[Mover]:
    """Return what moves capital on a line; more than one only for an instant."""
    rollouts = [
        Mover(kind="deployment", key=each.pipeline_id, state=each.state.value)
        for each in await deployments.unfinished(connection)
        if each.strategy_name == strategy_name and not each.revalidates
    ]
    return rollouts + await sharers(connection, strategy_name)


async def sharers(connection: AsyncConnection, strategy_name: str) -> list[Mover]:
    """Return what shares a line's capital between versions: experiments and allocations."""
    return [
        *(
            Mover(kind="experiment", key=each.experiment_id, state=each.state.value)
            for each in await experiments.unended(connection, strategy_name)
        ),
        *(
            Mover(kind="allocation", key=each.allocation_id, state=each.state.value)
            for each in await allocations.unended(connection, strategy_name)
        ),
    ]


async def account(connection: AsyncConnection, line: Line) -> Account | None:
    """Return a line's money as the experiment or the allocation that shares it counts it."""
    for sharing in await allocations.unended(connection, line.strategy_name):
        return line.account(sharing.capital, sharing.executions.values())
    for test in await experiments.unended(connection, line.strategy_name):
        return line.account(test.capital, test.execution_ids)
    return None


async def refuse_while_moved(connection: AsyncConnection, strategy_name: str, what: str) -> None:
    """Refuse that something else moves capital on a line that is moved already.

    Raises
    ------
    ConflictError
        It names what moves it, and what to do.
    """
    _refuse(await movers(connection, strategy_name), strategy_name, what)


async def refuse_while_shared(connection: AsyncConnection, strategy_name: str, what: str) -> None:
    """Refuse what takes the whole capital of a line that versions share.

    Raises
    ------
    ConflictError
        It names who shares it, and what to do.
    """
    _refuse(await sharers(connection, strategy_name), strategy_name, what)


def _refuse(found: list[Mover], strategy_name: str, what: str) -> None:
    for each in found:
        how = HOW_TO_END[each.kind].format(key=each.key, line=strategy_name)
        raise ConflictError(
            f"the capital of line {strategy_name!r} is moved by {each.kind} {each.key}"
            f" ({each.state}), so {what} is refused: {how}",
            mover=each.kind,
            key=each.key,
        )
