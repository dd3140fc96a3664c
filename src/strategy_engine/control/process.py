"""Build the control process's services and serve its API on the supervisor's socket."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import uvicorn
import uvloop
from fastapi import FastAPI

from strategy_engine.api import app as api_app
from strategy_engine.api.services import Services
from strategy_engine.config import Settings
from strategy_engine.control.paper import PaperRuns, RunningNow
from strategy_engine.control.telemetry import Telemetry
from strategy_engine.core.clock import SystemClock
from strategy_engine.core.errors import EngineError, UnavailableError
from strategy_engine.execution.service import Executions
from strategy_engine.infra import database, durable, logs, memory, wakeup
from strategy_engine.market.service import Catalogue
from strategy_engine.performance.service import Snapshots
from strategy_engine.pipeline.children import Children
from strategy_engine.pipeline.service import Pipeline, Timeouts
from strategy_engine.pipeline.stages import Tools
from strategy_engine.registry.service import Registry
from strategy_engine.rollout.handover import Line
from strategy_engine.rollout.journal import Journal
from strategy_engine.rollout.model import Defaults
from strategy_engine.rollout.service import Rollouts
from strategy_engine.rollout.steps import Steps
from strategy_engine.rollout.workflows import Workflows
from strategy_engine.sandbox.launcher import ChildLimits, Zygotes
from strategy_engine.sandbox.model import ConfinementReport
from strategy_engine.venue.service import Records

GRACE_S = 2
EXECUTOR = "control"

_log = logs.get("control")


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """What the supervisor knows when it forks control: its socket, since when, behind what wall."""

    listener: socket.socket
    started_at: datetime
    wall: ConfinementReport


def main(settings: Settings, birth: Birth) -> int:
    """Serve until SIGTERM. What is unfinished then goes on at the next start."""
    logs.configure(as_json=settings.log_json)
    uvloop.run(_serve(settings, birth))
    return 0


async def _serve(settings: Settings, birth: Birth) -> None:
    control = Control(settings, birth)
    app = api_app.build(control.services, api_key=settings.api_key, lifespan=control.lifespan)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            lifespan="on",
        )
    )
    await server.serve(sockets=[birth.listener])
    # A pipeline in the middle of a stage is not wound down but cut off: it resumes from its last
    # finished step. Winding it down would tell it that its child died, and it would fail.
    sys.stderr.flush()
    os._exit(0 if server.started else 1)


def refuse_when_full(max_memory_bytes: int | None, child_bytes: int) -> None:
    """Refuse another execution when the engine would outgrow STRATEGY_MAX_MEMORY.

    Raises
    ------
    UnavailableError
        With what is used, what one more may use, and the limit.
    """
    if max_memory_bytes is None:
        return
    used = memory.engine_bytes(os.getppid())
    if used + child_bytes > max_memory_bytes:
        raise UnavailableError(
            f"the engine uses {used >> 20:,} MiB, one more execution may use {child_bytes >> 20:,}"
            f" MiB, and STRATEGY_MAX_MEMORY is {max_memory_bytes >> 20:,} MiB; stop an execution,"
            " lower STRATEGY_CHILD_MEMORY, or raise the limit",
            used_bytes=used,
            accepted=max_memory_bytes,
        )


class Control:
    """Every service of the control process."""

    def __init__(self, settings: Settings, birth: Birth) -> None:
        data_dir = settings.data_dir
        clock = SystemClock()
        self._settings = settings
        self._zygotes = Zygotes(confinement=settings.sandbox)
        opened = database.Database(database.control_url(data_dir))
        ledger = database.Database(database.ledger_url(data_dir))
        registry = Registry(opened, clock)
        catalogue = Catalogue(data_dir)
        records = Records(ledger)
        executions = Executions(
            database=opened,
            registry=registry,
            catalogue=catalogue,
            clock=clock,
            poke=partial(wakeup.poke, wakeup.path_of(data_dir, "node")),
            admit=partial(refuse_when_full, settings.max_memory_bytes, settings.child_memory_bytes),
        )
        limits = ChildLimits(
            memory_bytes=settings.child_memory_bytes, cpu_s=settings.pipeline_timeout_s
        )
        pipeline = Pipeline(
            opened,
            Tools(
                children=Children(
                    self._zygotes,
                    limits=limits,
                    workers=settings.workers,
                    decision_timeout_s=settings.decision_timeout_s,
                ),
                catalogue=catalogue,
                run_paper=PaperRuns(executions, records),
                running_returns=RunningNow(executions, records, registry),
                clock=clock,
            ),
            Timeouts(pipeline_s=settings.pipeline_timeout_s),
            clock,
        )
        journal = Journal(opened, registry, clock)
        line = Line(registry=registry, executions=executions, records=records, clock=clock)
        defaults = Defaults(
            stages=settings.stages,
            approval_required=settings.approval_required,
            auto_rollback=settings.auto_rollback,
        )
        steps = Steps(journal=journal, pipeline=pipeline, line=line, defaults=defaults)
        self._workflows = Workflows(steps)
        self.rollouts = Rollouts(
            journal=journal,
            pipeline=pipeline,
            line=line,
            carrier=self._workflows,
            defaults=defaults,
        )
        self.services = Services(
            registry=registry,
            rollouts=self.rollouts,
            pipeline=pipeline,
            executions=executions,
            records=records,
            snapshots=Snapshots(ledger),
            catalogue=catalogue,
            telemetry=Telemetry(
                database=opened,
                registry=registry,
                rollouts=self.rollouts,
                pipeline=pipeline,
                executions=executions,
                clock=clock,
                started_at=birth.started_at,
                wall=birth.wall,
            ),
            clock=clock,
        )

    @asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        """Launch the workflows, resume what was pending, and warm the zygotes up."""
        # On the loop's own thread: the loop it is launched on is the one that workflows run on.
        durable.launch(self._settings.data_dir, executor_id=EXECUTOR)
        await self._workflows.register_queues(
            pipelines_at_once=self._settings.max_concurrent_deployments
        )
        await self.rollouts.resume_unstarted()
        warming = asyncio.create_task(self._warm())
        _log.info("control serves")
        yield
        warming.cancel()

    async def _warm(self) -> None:
        try:
            await self._zygotes.warm("lean", "tests")
        except EngineError as error:
            _log.error("zygote did not start", why=str(error))  # the next fork tries again
