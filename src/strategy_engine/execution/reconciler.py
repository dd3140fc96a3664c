"""The node's loop: read what should run, and make it so."""

import asyncio
from collections import Counter
from collections.abc import Mapping

from sqlalchemy.exc import SQLAlchemyError

from strategy_engine.core.errors import UnavailableError
from strategy_engine.execution.model import Execution
from strategy_engine.execution.runner import Outcome, Runner, Tools
from strategy_engine.infra import logs
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.infra.wakeup import WakeUp
from strategy_engine.performance.service import Snapshots
from strategy_engine.performance.store import Snapshot

_MOST_LOSSES = 5  # in a row, before the execution is failed instead of claimed again

_log = logs.get("execution")


class Reconciler:
    """Runs the executions that rows say should run here. One a node.

    Nothing is remembered but what runs: after a restart the rows and the ledger tell the rest.
    """

    def __init__(self, tools: Tools, *, wake: WakeUp, snapshots: Snapshots) -> None:
        self._tools = tools
        self._wake = wake
        self._snapshots = snapshots
        self._runners: dict[str, Runner] = {}
        self._losses: Counter[str] = Counter()
        self._fenced: set[str] = set()  # another copy has them; claiming back would never end
        self._is_stopping = asyncio.Event()

    @property
    def runners(self) -> Mapping[str, Runner]:
        """What runs here now, by execution."""
        return self._runners

    def stop(self) -> None:
        """Let every execution end its bar, and hand all of them back as they stand."""
        self._is_stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Make it so, until `stop`."""
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(self._watch())
            while not self._is_stopping.is_set():
                await self._reconcile(group)
                await self._wake.wait()
            watcher.cancel()
            for runner in self._runners.values():
                runner.drain()

    async def _reconcile(self, group: asyncio.TaskGroup) -> None:
        try:
            rows = await self._tools.journal.unended()
        except (SQLAlchemyError, DatabaseAwayError) as error:
            _log.warning("rows_not_read", why=str(error))  # the next pass reads them again
            return
        for row in rows:
            runner = self._runners.get(row.execution_id)
            if runner is None:
                if row.execution_id not in self._fenced:
                    self._begin(group, row)
            elif runner.epoch and row.epoch > runner.epoch:
                self._fenced.add(row.execution_id)
                runner.supersede(row.epoch)
            else:
                runner.desire(row.desired, row.desired_why)
                runner.restrict(row.risk_state)

    def _begin(self, group: asyncio.TaskGroup, row: Execution) -> None:
        runner = Runner(row.execution_id, self._tools)
        self._runners[row.execution_id] = runner
        group.create_task(self._supervise(runner), name=f"execution {row.execution_id}")

    async def _supervise(self, runner: Runner) -> None:
        is_away = False
        try:
            await self._run(runner)
        except Exception as error:  # noqa: BLE001 - the task's edge: the others must go on
            # Its row still says that it should run, so the next pass claims it again.
            _log.error("execution_interrupted", execution=runner.execution_id, why=repr(error))
            is_away = isinstance(error, DatabaseAwayError)
        finally:
            del self._runners[runner.execution_id]
            if not is_away:  # or that pass would come at once, and again
                self._wake.set()

    async def _run(self, runner: Runner) -> None:
        try:
            outcome = await runner.run()
        except (SQLAlchemyError, DatabaseAwayError):
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours ends this execution, visibly
            await runner.fail(error)
            return
        if outcome is Outcome.SUPERSEDED:
            self._fenced.add(runner.execution_id)
        if outcome is not Outcome.LOST:
            self._losses.pop(runner.execution_id, None)
            return
        if runner.has_played:  # it got on since it was lost last
            self._losses.pop(runner.execution_id, None)
        self._losses[runner.execution_id] += 1
        if self._losses[runner.execution_id] >= _MOST_LOSSES:
            why = f"its process was lost {_MOST_LOSSES} times in a row; see the node's log"
            await runner.fail(UnavailableError(why))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._tools.settings.metrics_interval_s)
            try:
                await self._observe()
            except (SQLAlchemyError, DatabaseAwayError) as error:
                _log.warning("metrics_not_kept", why=str(error))

    async def _observe(self) -> None:
        seen = [each for runner in self._runners.values() if (each := runner.observe())]
        if not seen:
            return
        await self._tools.journal.observe(seen)
        now = self._tools.clock.now()
        told = {name: runner.told_as for name, runner in self._runners.items()}
        await self._snapshots.keep(
            (
                Snapshot(execution_id=each.execution_id, at=now, metrics=each.performance_metrics)
                for each in seen
            ),
            {name: version for name, version in told.items() if version is not None},
        )
