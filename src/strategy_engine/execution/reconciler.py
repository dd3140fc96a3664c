"""The node's loop: read what should run, and make it so."""

import asyncio
from collections.abc import Mapping

from sqlalchemy.exc import SQLAlchemyError

from strategy_engine.core.errors import EngineError, UnavailableError
from strategy_engine.execution import faults, metering, restarts
from strategy_engine.execution.barrier import Barrier
from strategy_engine.execution.interruptions import Outage
from strategy_engine.execution.model import Desired, Execution
from strategy_engine.execution.runner import Outcome, Runner
from strategy_engine.execution.seating import Seating
from strategy_engine.execution.tools import Tools
from strategy_engine.infra import logs
from strategy_engine.infra.lease import LeaseLostError
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.infra.wakeup import WakeUp
from strategy_engine.performance.service import Snapshots
from strategy_engine.performance.store import Snapshot

_AWAY_S = 1.0  # how long an execution rests whose database is away

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
        self._seating = Seating(tools)
        self._barrier = Barrier(tools, self._runners)
        self._records: dict[str, restarts.Record] = {}
        self._outages: dict[str, Outage] = {}
        self._due_s: dict[str, float] = {}  # when what rests may be claimed again
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
        done, settled = self._barrier.done, self._tools.guard.settled()
        try:
            rows, asked = await self._tools.journal.wanted()
            self._tools.oversight.set_limits(await self._tools.journal.limits())
            await self._seating.seat(rows)
        except (SQLAlchemyError, DatabaseAwayError) as error:
            _log.warning("rows_not_read", why=str(error))  # the next pass reads them again
            return
        if self._barrier.done != done:  # these may be from before it
            self._wake.set()
            return
        for row in rows:
            runner = self._runners.get(row.execution_id)
            if runner is None:
                if row.execution_id not in self._fenced and self._is_due(row):
                    self._begin(group, row)
            elif runner.epoch and row.epoch > runner.epoch:
                self._fenced.add(row.execution_id)
                runner.supersede(row.epoch)
            else:
                runner.engage(row)
                runner.leash.settle(settled)
        self._barrier.attend(group, asked)

    def _is_due(self, row: Execution) -> bool:
        due_s = self._due_s.get(row.execution_id, 0.0)
        is_ending = row.desired is Desired.STOP and not row.is_closing
        return is_ending or self._tools.clock.monotonic_s() >= due_s

    def _begin(self, group: asyncio.TaskGroup, row: Execution) -> None:
        runner = Runner(row.execution_id, self._tools, self._outages.get(row.execution_id))
        self._runners[row.execution_id] = runner
        if self._barrier.holds(row.execution_id):
            runner.reins.hold()
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
        except (SQLAlchemyError, DatabaseAwayError) as error:
            self._rest(runner.execution_id, _AWAY_S)
            self._note(runner, error)
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours ends this execution, visibly
            await runner.fail(error)
            return
        self._outages.pop(runner.execution_id, None)
        if outcome is Outcome.SUPERSEDED:
            self._fenced.add(runner.execution_id)
        match outcome:
            case Outcome.CRASHED | Outcome.LOST:
                await self._restart(runner, outcome)
            case _:
                self._forget(runner.execution_id)

    async def _restart(self, runner: Runner, outcome: Outcome) -> None:
        name = runner.execution_id
        record = self._records.get(name, restarts.Record())
        if outcome is Outcome.CRASHED:
            record = restarts.after_crash(record, self._tools.clock.monotonic_s())
            cause = metering.Restart.CRASHED
        else:
            record = restarts.after_loss(record, has_played=runner.has_played)
            cause = metering.Restart.LOST
        self._tools.meters.restarts.labels(cause.value).inc()
        self._records[name] = record
        if not record.is_exhausted:
            self._rest(name, record.back_off_s)
            return
        if outcome is Outcome.CRASHED:
            await runner.fail(runner.error or _gone(record), restarts=record.crashes - 1)
        else:
            await runner.fail(_gone(record))
        self._forget(name)  # it has ended, or is claimed at once to close what it holds

    def _forget(self, execution_id: str) -> None:
        self._records.pop(execution_id, None)
        self._due_s.pop(execution_id, None)

    def _note(self, runner: Runner, error: Exception) -> None:
        """Keep since when nothing could be kept, to write it when it can be."""
        if runner.has_played:
            self._outages.pop(runner.execution_id, None)
        outage = Outage(at=self._tools.clock.now(), cause=faults.cause(error))
        self._outages.setdefault(runner.execution_id, outage)

    def _rest(self, execution_id: str, seconds: float) -> None:
        self._due_s[execution_id] = self._tools.clock.monotonic_s() + seconds

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._tools.settings.metrics_interval_s)
            try:
                await self._observe()
            except (SQLAlchemyError, DatabaseAwayError) as error:
                _log.warning("metrics_not_kept", why=str(error))
            except LeaseLostError:
                return  # whoever keeps the lease hears of it too, and ends everything

    async def _observe(self) -> None:
        seen = [each for runner in self._runners.values() if (each := runner.observe())]
        if not seen:
            return
        await self._tools.journal.observe(seen)
        now = self._tools.clock.now()
        told = {name: runner.told_as for name, runner in self._runners.items()}
        await self._snapshots.keep(
            (
                Snapshot(execution_id=each.execution_id, at=now, metrics=each.measured)
                for each in seen
            ),
            {name: version for name, version in told.items() if version is not None},
        )


def _gone(record: restarts.Record) -> EngineError:
    return UnavailableError(
        f"its process was lost {record.losses} times in a row; see the node's log"
    )
