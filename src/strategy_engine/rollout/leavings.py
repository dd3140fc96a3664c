"""What ended executions hold: people have it closed, and the line gets what that frees."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core.errors import ConflictError, EngineError
from strategy_engine.execution.model import UNENDED, Closing, Desired, Execution, Role
from strategy_engine.execution.service import Executions
from strategy_engine.infra import audit, logs
from strategy_engine.infra.database import Database
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.registry.service import Registry
from strategy_engine.rollout import exclusive, stakes
from strategy_engine.rollout import store as deployments
from strategy_engine.rollout.allocation import store as allocations
from strategy_engine.rollout.experiments import store as experiments
from strategy_engine.rollout.model import Deployment
from strategy_engine.venue.service import Records

_log = logs.get("rollout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flattened:
    """An execution, and what comes of having closed what it holds.

    Parameters
    ----------
    positions : mapping
        What it holds, in signed units by symbol.
    closes : bool
        Whether the engine closes that, or would: there is something, and nobody does already.
    told : str
        In a sentence.
    """

    execution: Execution
    positions: Mapping[str, Decimal]
    closes: bool
    told: str


class Leavings:
    """Asks for what ended executions hold to be closed, and hands on what that frees."""

    def __init__(
        self, *, database: Database, registry: Registry, executions: Executions, records: Records
    ) -> None:
        self._database = database
        self._registry = registry
        self._executions = executions
        self._records = records

    async def foresee(self, execution_id: str) -> Flattened:
        """Return what `flatten` would do.

        Raises
        ------
        NotFoundError
            If there is no such execution.
        ConflictError
            If it is a validation run.
        """
        execution = await self._executions.get(execution_id)
        if execution.role is Role.VALIDATION:
            raise ConflictError(
                f"{execution_id} is a validation run: it closes by itself, and is nobody's capital",
                execution_id=execution_id,
            )
        held = (await self._records.holdings([execution_id])).get(execution_id, {})
        closes, told = _foreseen(execution, held)
        return Flattened(execution=execution, positions=held, closes=closes, told=told)

    async def flatten(self, execution_id: str, *, actor: str) -> Flattened:
        """Close at the next prices what an execution holds, ended or not; twice is no error.

        Raises
        ------
        NotFoundError, ConflictError
            As `foresee` does.
        """
        found = await self.foresee(execution_id)
        if found.closes:
            line = await self._line(found.execution)
            async with self._database.read() as connection:
                mine = await _sharing(connection, line)
            how = Closing.CALLED_IN if execution_id in mine else Closing.ASKED
            await self._executions.flatten(execution_id, actor=actor, how=how)
        return found

    async def look_after_all(self) -> None:
        """Give what has been freed to the line's stable execution, once nothing else moves it."""
        for each, line in await self._executions.closed():
            try:
                await self._settle(each, line)
            except DatabaseAwayError:
                raise
            except EngineError as error:
                _log.warning("not settled", execution_id=each.execution_id, why=str(error))

    async def _settle(self, row: Execution, line: str) -> None:
        async with self._database.read() as connection:
            is_moved = await exclusive.movers(connection, line) or await _sharing(connection, line)
        if not is_moved:
            await self._executions.settle(row.execution_id, actor=audit.ENGINE)

    async def _line(self, execution: Execution) -> str:
        return (await self._registry.get(execution.strategy_id)).content.strategy_name


async def _sharing(connection: AsyncConnection, strategy_name: str) -> set[str]:
    """Return the executions whose money somebody counts who moves the line's."""
    rolling = [*await deployments.unfinished(connection), *await deployments.tended(connection)]
    found = {
        name
        for each in rolling
        if each.strategy_name == strategy_name and _moves(each)
        for name in (*each.replaces, *stakes.started(each))
    }
    for test in await experiments.unended(connection, strategy_name):
        found |= {*test.execution_ids}
    for sharing in await allocations.unended(connection, strategy_name):
        found |= {*sharing.executions.values()}
    return found


def _moves(deployment: Deployment) -> bool:
    return not deployment.is_tended or deployment.progress.undo is not None


def _foreseen(execution: Execution, held: Mapping[str, Decimal]) -> tuple[bool, str]:
    what = ", ".join(f"{quantity:f} {symbol}" for symbol, quantity in sorted(held.items()))
    if execution.status in UNENDED:
        return _foreseen_alive(execution, what)
    if not what:
        return False, "it has ended and holds nothing"
    if execution.is_closing:
        return False, f"a node is closing {what} already"
    again = f"; it could not before: {execution.notices[-1]}" if _is_stuck(execution) else ""
    return True, (
        f"a node closes {what} at the next price, without its strategy; it stays"
        f" {execution.status}, and its line gets what that frees{again}"
    )


def _foreseen_alive(execution: Execution, what: str) -> tuple[bool, str]:
    if execution.failure is not None or execution.desired is Desired.FLATTEN:
        return False, f"the engine closes what it holds already: {what or 'nothing'}"
    if execution.desired is Desired.STOP:
        return False, "it is being stopped; flatten it again once it has ended"
    if not what:
        return True, "it holds nothing; it ends at once"
    return True, f"the engine closes {what} at the next price, and it ends"


def _is_stuck(execution: Execution) -> bool:
    return execution.closing is Closing.STUCK and bool(execution.notices)
