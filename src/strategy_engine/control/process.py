"""Build the control process's services and serve its API on the supervisor's socket."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import uvicorn
import uvloop
from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError

from strategy_engine.access.service import Keys
from strategy_engine.alerts import alerting
from strategy_engine.api import app as api_app
from strategy_engine.api.services import Services
from strategy_engine.config import Settings
from strategy_engine.control import sharing, sheets
from strategy_engine.control.buswatch import BusWatch
from strategy_engine.control.measuring import Measuring
from strategy_engine.control.paper import PaperRuns, RunningNow
from strategy_engine.control.readings import Measured
from strategy_engine.control.scraping import Scraping
from strategy_engine.control.telemetry import Telemetry
from strategy_engine.control.telling import Telling
from strategy_engine.control.whose import Whose
from strategy_engine.core.clock import SystemClock
from strategy_engine.core.errors import EngineError, UnavailableError
from strategy_engine.execution import rules as execution_rules
from strategy_engine.execution.service import Executions
from strategy_engine.flags.service import Flags
from strategy_engine.infra import database, durable, lease, logs, outages, processes, relay, wakeup
from strategy_engine.infra.bus import broker
from strategy_engine.infra.eventlog import EventLog
from strategy_engine.infra.lease import Lease, LeaseLostError
from strategy_engine.infra.meters import ControlMeters
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.infra.webhooks.delivery import Deliverer
from strategy_engine.infra.webhooks.service import Webhooks
from strategy_engine.infra.webhooks.targets import Targets
from strategy_engine.market.recorded import RecordedBars
from strategy_engine.market.service import Catalogue
from strategy_engine.matching import settings as matching
from strategy_engine.performance.service import Snapshots
from strategy_engine.pipeline.children import Children
from strategy_engine.pipeline.service import Pipeline, Timeouts
from strategy_engine.pipeline.stages import Tools
from strategy_engine.registry.model import Content
from strategy_engine.registry.service import Registry
from strategy_engine.risk.overseeing import Overseeing
from strategy_engine.risk.stopping import Stopping
from strategy_engine.rollout import fresh
from strategy_engine.rollout.acting import Acting
from strategy_engine.rollout.acts import Acts
from strategy_engine.rollout.comparisons import Comparisons
from strategy_engine.rollout.controller import Controller
from strategy_engine.rollout.journal import Journal
from strategy_engine.rollout.line import Line
from strategy_engine.rollout.model import Defaults
from strategy_engine.rollout.observing import Observer
from strategy_engine.rollout.service import Rollouts, refuse_while_deployed
from strategy_engine.rollout.steps import Steps
from strategy_engine.rollout.tending import Tending
from strategy_engine.rollout.workflows import Workflows
from strategy_engine.sandbox.launcher import ChildLimits, Zygotes
from strategy_engine.sandbox.model import ConfinementReport
from strategy_engine.venue import limits
from strategy_engine.venue.curves import Curves
from strategy_engine.venue.limit_book import LimitBook
from strategy_engine.venue.pages import Pages
from strategy_engine.venue.service import Records

GRACE_S = 2
ADOPT_S = 5.0
AWAY_S = 10.0  # it serves for a while before it is forked again, where the database went away
LAUNCH_S = 5.0  # then it serves without its workflows: each of them needs the database
EXECUTOR = "control"

_log = logs.get("control")


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """What the supervisor knows when it forks control: its socket, its wall, and what it holds."""

    listener: socket.socket
    started_s: float
    wall: ConfinementReport
    lease: Lease | None = None


def main(settings: Settings, birth: Birth) -> int:
    """Serve until SIGTERM. What is unfinished then goes on at the next start."""
    logs.configure(as_json=settings.log_json)
    uvloop.run(_serve(settings, birth))
    return 0


async def _serve(settings: Settings, birth: Birth) -> None:
    control = Control(settings, birth)
    app = api_app.build(control.services, lifespan=control.lifespan)
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
    logs.flush()
    os._exit(0 if server.started else 1)


def _end(error: LeaseLostError) -> None:
    """End at once: a step that went on would tell the workflow engine how it ended."""
    _log.error("lease lost", why=str(error))
    logs.flush()
    os._exit(lease.LOST_STATUS)


def refuse_when_full(max_memory_bytes: int | None, child_bytes: int) -> None:
    """Refuse another execution when the engine would outgrow STRATEGY_MAX_MEMORY.

    Raises
    ------
    UnavailableError
        With what is used, what one more may use, and the limit.
    """
    if max_memory_bytes is None:
        return
    used = processes.engine_bytes(os.getppid())
    if used + child_bytes > max_memory_bytes:
        raise UnavailableError(
            f"the engine uses {used >> 20:,} MiB, one more execution may use {child_bytes >> 20:,}"
            f" MiB, and STRATEGY_MAX_MEMORY is {max_memory_bytes >> 20:,} MiB; stop an execution,"
            " lower STRATEGY_CHILD_MEMORY, or raise the limit",
            used_bytes=used,
            accepted=max_memory_bytes,
        )


def check_trading(content: Content) -> None:
    """Refuse parameters and limits that the engine could not trade by.

    Raises
    ------
    InvalidError
        With the field, its value and what is accepted.
    """
    limits.parse(content.risk_limits, names=limits.OWN, tolerant=True)
    matching.settings(content.parameters, content.risk_limits, {}, is_native=content.is_native)


class Control:
    """Every service of the control process."""

    def __init__(self, settings: Settings, birth: Birth) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._meters = ControlMeters()
        self._targets = Targets(private=settings.webhook_private)
        self._zygotes = Zygotes(confinement=settings.sandbox)
        self._lease = birth.lease
        self._adopting: asyncio.Task[None] | None = None
        fence = None if birth.lease is None else lease.fence(birth.lease, _end)
        self._database, ledger = database.open_both(
            settings.data_dir, settings.server, settings.database_timeout_s, fence
        )
        self._bell = wakeup.Bell(wakeup.path_of(settings.data_dir, "node"), self._database)
        self._registry = Registry(self._database, self._clock, check_trading, refuse_while_deployed)
        self._catalogue = Catalogue(settings.data_dir, settings.catalogs)
        self._records = Records(ledger)
        self._executions = self._make_executions()
        self._comparisons = self._make_comparisons(RecordedBars(ledger))
        self._flags = Flags(self._database, self._clock)
        self._alerting = alerting.make(self._database, self._clock, self._targets)
        self._keys = Keys(self._database, self._clock, engine_key=settings.api_key)
        pipeline = self._make_pipeline()
        self.rollouts, self._workflows = self._make_rollouts(pipeline)
        self._whose = Whose(
            registry=self._registry, executions=self._executions, rollouts=self.rollouts
        )
        telemetry = Telemetry(
            database=self._database,
            registry=self._registry,
            rollouts=self.rollouts,
            pipeline=pipeline,
            executions=self._executions,
            clock=self._clock,
            started_s=birth.started_s,
            wall=birth.wall,
            bus=BusWatch(database=self._database, settings=settings.bus),
            scraping=Scraping(
                database=self._database,
                meters=self._meters,
                clock=self._clock,
                executions=self._executions,
                registry=self._registry,
                pipeline=pipeline,
            ),
        )
        snapshots = Snapshots(ledger, interval_s=settings.metrics_interval_s)
        self._telling = Telling(
            database=self._database,
            clock=self._clock,
            alerting=self._alerting,
            readings=Measured(
                database=self._database,
                executions=self._executions,
                snapshots=snapshots,
                registry=self._registry,
                telemetry=telemetry,
                clock=self._clock,
            ),
            whose=self._whose,
            interval_s=settings.metrics_interval_s,
        )
        reader = Curves(ledger)
        self._measuring = Measuring(
            reader=reader,
            executions=self._executions,
            registry=self._registry,
            catalogue=self._catalogue,
            snapshots=snapshots,
            clock=self._clock,
            interval_s=settings.metrics_interval_s,
        )
        self.services = Services(
            meters=self._meters,
            webhooks=Webhooks(database=self._database, clock=self._clock, targets=self._targets),
            keys=self._keys,
            flags=self._flags,
            registry=self._registry,
            rollouts=self.rollouts,
            pipeline=pipeline,
            executions=self._executions,
            records=self._records,
            snapshots=snapshots,
            measuring=self._measuring,
            sheets=sheets.Sheets(
                measuring=self._measuring,
                reader=reader,
                executions=self._executions,
                pipeline=pipeline,
                registry=self._registry,
            ),
            pages=Pages(ledger),
            catalogue=self._catalogue,
            telemetry=telemetry,
            lines=self._sharing.lines,
            experiments=self._sharing.experiments,
            allocations=self._sharing.allocations,
            leavings=self._sharing.leavings,
            limits=LimitBook(self._database, self._clock, self._bell.ring),
            stopping=Stopping(self._database, settings.data_dir, self._clock),
            overseeing=Overseeing(database=self._database, clock=self._clock, poke=self._bell.ring),
            alerting=self._alerting,
            events=EventLog(database=self._database, whose=self._whose),
            clock=self._clock,
            bus=settings.bus,
        )
        self._bus = broker.connect(settings.bus)

    def _make_executions(self) -> Executions:
        settings = self._settings
        return Executions(
            database=self._database,
            registry=self._registry,
            catalogue=self._catalogue,
            clock=self._clock,
            poke=self._bell.ring,
            admit=partial(refuse_when_full, settings.max_memory_bytes, settings.child_memory_bytes),
            feeds=execution_rules.offered(settings.bus.data_stream),
        )

    def _make_comparisons(self, recorded: RecordedBars) -> Comparisons:
        settings = self._settings
        tools = fresh.Tools(
            records=self._records,
            recorded=recorded,
            catalogue=self._catalogue,
            launcher=self._zygotes,
            limits=ChildLimits(memory_bytes=settings.child_memory_bytes, cpu_s=None),
            decision_timeout_s=settings.decision_timeout_s,
        )
        return Comparisons(tools, self._registry)

    def _make_pipeline(self) -> Pipeline:
        settings = self._settings
        children = Children(
            self._zygotes,
            limits=ChildLimits(
                memory_bytes=settings.child_memory_bytes, cpu_s=settings.pipeline_timeout_s
            ),
            workers=settings.workers,
            decision_timeout_s=settings.decision_timeout_s,
        )
        tools = Tools(
            children=children,
            catalogue=self._catalogue,
            run_paper=PaperRuns(self._executions, self._records),
            running_returns=RunningNow(self._executions, self._records, self._registry),
            clock=self._clock,
            allowed_imports=settings.allowed_imports,
        )
        timeouts = Timeouts(pipeline_s=settings.pipeline_timeout_s)
        return Pipeline(self._database, tools, timeouts, self._clock, self._flags)

    def _make_observer(self, pipeline: Pipeline) -> Observer:
        return Observer(
            results=pipeline.results,
            executions=self._executions,
            records=self._records,
            registry=self._registry,
            catalogue=self._catalogue,
            comparing=self._comparisons,
            clock=self._clock,
            replay_speed=self._settings.replay_speed,
        )

    def _make_sharing(self, observer: Observer) -> sharing.Sharing:
        return sharing.make(
            database=self._database,
            registry=self._registry,
            executions=self._executions,
            records=self._records,
            catalogue=self._catalogue,
            observer=observer,
            clock=self._clock,
        )

    def _make_rollouts(self, pipeline: Pipeline) -> tuple[Rollouts, Workflows]:
        settings = self._settings
        journal = Journal(self._database, self._registry, self._clock, node_id=settings.node_id)
        defaults = Defaults(
            stages=settings.stages,
            approval_required=settings.approval_required,
            auto_rollback=settings.auto_rollback,
        )
        observer = self._make_observer(pipeline)
        self._sharing = self._make_sharing(observer)
        line = Line(
            registry=self._registry,
            executions=self._executions,
            records=self._records,
            lines=self._sharing.lines,
        )
        acts = Acts(executions=self._executions, registry=self._registry)
        self._tending = Tending(journal=journal, acts=acts, observer=observer)
        controller = Controller(
            journal=journal, acts=acts, observer=observer, auto_rollback=settings.auto_rollback
        )
        steps = Steps(
            journal=journal,
            pipeline=pipeline,
            line=line,
            controller=controller,
            defaults=defaults,
            end_run=PaperRuns(self._executions, self._records).end,
        )
        workflows = Workflows(steps)
        rollouts = Rollouts(
            journal=journal,
            pipeline=pipeline,
            line=line,
            acting=Acting(journal=journal, executions=self._executions, records=self._records),
            carrier=workflows,
            defaults=defaults,
        )
        return rollouts, workflows

    @asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        """Launch the workflows, resume what was pending, and warm the zygotes up."""
        watching = asyncio.create_task(self._database.watch())
        launching = asyncio.create_task(self._launch())
        await asyncio.wait({launching}, timeout=LAUNCH_S)
        warming = asyncio.create_task(self._warm())
        timing = asyncio.create_task(self._meters.watch_loop())
        ringing = asyncio.create_task(self._bell.run())
        knowing = asyncio.create_task(self._keys.watch())
        telling = asyncio.create_task(self._relay().run())
        tending = asyncio.create_task(self._tending.run())
        balancing = asyncio.create_task(self._sharing.balance.run())
        sending = asyncio.create_task(self._deliverer().run())
        measuring = asyncio.create_task(self._measuring.run())
        alarming = [asyncio.create_task(each) for each in self._telling.tasks()]
        _log.info("control serves")
        yield
        timing.cancel()
        knowing.cancel()
        telling.cancel()
        measuring.cancel()
        sending.cancel()
        for each in alarming:
            each.cancel()
        tending.cancel()
        balancing.cancel()
        ringing.cancel()
        warming.cancel()
        launching.cancel()
        if self._adopting is not None:
            self._adopting.cancel()
        watching.cancel()

    async def _launch(self) -> None:
        held = self._lease
        executor = EXECUTOR if held is None else durable.executor_of(held.name, held.epoch)
        try:
            await self._until_written()
            # On the loop's own thread: the loop it is launched on is the one that workflows run on.
            durable.launch(self._settings.data_dir, self._settings.server, executor_id=executor)
            await self._workflows.register_queues(
                pipelines_at_once=self._settings.max_concurrent_deployments
            )
            await self.rollouts.resume_unstarted()
        except Exception as error:  # noqa: BLE001 - the edge of a process: said, then ended
            _log.exception("workflows not launched")
            if outages.find(error) is not None:
                await asyncio.sleep(AWAY_S)
            os._exit(1)  # without them it would take work that it never does; it is forked again
        if held is not None:
            self._adopting = asyncio.create_task(self._adopt(executor))

    async def _until_written(self) -> None:
        """Wait until both databases that the workflows write to take what is written."""
        while True:
            try:
                await self._database.takes_writes()
                await asyncio.to_thread(
                    durable.takes_writes, self._settings.data_dir, self._settings.server
                )
            except DatabaseAwayError as error:
                _log.warning("workflows wait for the database", why=str(error))
            else:
                return
            await asyncio.sleep(database.WATCH_S)

    async def _adopt(self, executor: str) -> None:
        """Take over what this node's engines before left pending, or one that woke up takes."""
        while True:
            try:
                await asyncio.to_thread(durable.adopt, executor)
            except SQLAlchemyError as error:
                _log.warning("workflows not adopted", why=str(error))
            await asyncio.sleep(ADOPT_S)

    def _deliverer(self) -> Deliverer:
        return Deliverer(database=self._database, clock=self._clock, targets=self._targets)

    def _relay(self) -> relay.Relay:
        return relay.Relay(
            name=relay.PIPELINES,
            holder=self._settings.node_id,
            home=self._database,
            bus=self._bus,
            route=relay.pipelines(self._database),
            clock=self._clock,
            keeping=relay.Keeping.of(self._settings.bus),
        )

    async def _warm(self) -> None:
        try:
            await self._zygotes.warm("lean", "tests")
        except EngineError as error:
            _log.error("zygote did not start", why=str(error))  # the next fork tries again
