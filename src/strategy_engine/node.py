"""The node process: every service of it is built here, once."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine
from typing import Any

import uvloop
from sqlalchemy.exc import SQLAlchemyError

from strategy_engine.alerts.service import Alerts
from strategy_engine.config import Settings
from strategy_engine.core.clock import SystemClock
from strategy_engine.core.errors import EngineError
from strategy_engine.execution import metering
from strategy_engine.execution.bus import NodeBus
from strategy_engine.execution.journal import Journal
from strategy_engine.execution.leash import Leash
from strategy_engine.execution.reconciler import Reconciler
from strategy_engine.execution.runner import NodeSettings, Tools
from strategy_engine.execution.transcript_upkeep import TranscriptUpkeep
from strategy_engine.flags.live import LiveFlags
from strategy_engine.infra import audit, database, lease, logs, meters, presence, wakeup
from strategy_engine.infra.meters import NodeMeters
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.market.service import Catalogue
from strategy_engine.performance.service import Snapshots
from strategy_engine.performance.upkeep import Upkeep
from strategy_engine.registry.service import Registry
from strategy_engine.risk import door, logbook
from strategy_engine.risk.eyes import Eyes
from strategy_engine.risk.hand import Hand
from strategy_engine.risk.importing import Importer
from strategy_engine.risk.knowledge import Knowledge
from strategy_engine.risk.logbook import Logbook
from strategy_engine.risk.monitor import Monitor
from strategy_engine.risk.reading import Reader
from strategy_engine.risk.reporting import Reports
from strategy_engine.sandbox.launcher import ChildLimits, Zygotes
from strategy_engine.venue.ledger import Ledger
from strategy_engine.venue.service import Records

_log = logs.get("node")


def main(settings: Settings, held: lease.Lease | None = None) -> int:
    """Run executions until SIGTERM, or until the lease is lost; hand them back as they stand."""
    logs.configure(as_json=settings.log_json)
    return uvloop.run(_run(settings, held))


async def _run(settings: Settings, held: lease.Lease | None) -> int:
    return await Node(settings, held).run()


class Node:
    """Every service of the node process. Must be made inside the running loop."""

    def __init__(self, settings: Settings, held: lease.Lease | None) -> None:
        self._settings = settings
        self._held = held
        self._clock = SystemClock()
        data_dir, server = settings.data_dir, settings.server
        timeout_s = settings.database_timeout_s
        fence = None if held is None else lease.fence(held)
        self._opened, self._kept = database.open_both(data_dir, server, timeout_s, fence)
        self._ledger = Ledger(
            database.ledger_url(data_dir, server), timeout_s=timeout_s, fence=fence
        )
        self._registry = Registry(self._opened, self._clock)
        self._zygotes = Zygotes(confinement=settings.sandbox)
        self._wake = wakeup.WakeUp(wakeup.path_of(data_dir, "node"))
        self._meters = NodeMeters()
        self._bus = NodeBus(
            settings.bus,
            (self._opened, self._kept),
            self._registry,
            clock=self._clock,
            node_id=settings.node_id,
            wake=self._wake.set,
            meters=self._meters,
        )
        self._flags = LiveFlags(self._opened, self._clock)
        self._hand = Hand(Logbook(data_dir / logbook.NAME), self._clock)
        self._importer = Importer(
            self._hand, self._opened, self._registry, self._clock, node_id=settings.node_id
        )
        self._monitor = self._watching()
        self._shared = self._tools()
        self._reconciler = Reconciler(
            self._shared, wake=self._wake, snapshots=Snapshots(self._kept)
        )
        self._hand.wake = self._importer.wake
        self._hand.leashes = self._leashes
        self._door = door.Door(self._hand, data_dir)

    def _leashes(self) -> dict[str, Leash]:
        """Return what may be held back of what runs here; whichever thread asks."""
        return {name: each.leash for name, each in list(self._reconciler.runners.items())}

    async def run(self) -> int:
        """Run executions until SIGTERM, or until the lease is lost; return the exit status."""
        stop = self._reconciler.stop
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(each) for each in self._beside()]
            holding = group.create_task(self._hold())
            await _while_held(self._importer.first())
            await self._reconciler.run()
            for each in (holding, *beside):
                each.cancel()
        await self._aclose()
        if not holding.cancelled() and holding.result():
            await _tell_of_refusals(self._settings, self._clock, self._ledger.refused)
            return lease.LOST_STATUS
        return 0

    def _tools(self) -> Tools:
        settings = self._settings
        return Tools(
            journal=Journal(self._opened, self._registry, self._clock, node_id=settings.node_id),
            registry=self._registry,
            ledger=self._ledger,
            records=Records(self._kept),
            catalogue=Catalogue(settings.data_dir, settings.catalogs),
            launcher=self._zygotes,
            clock=self._clock,
            settings=NodeSettings(
                decision_timeout_s=settings.decision_timeout_s,
                metrics_interval_s=settings.metrics_interval_s,
                replay_speed=settings.replay_speed,
                limits=ChildLimits(memory_bytes=settings.child_memory_bytes, cpu_s=None),
            ),
            bars=self._bus.bars,
            flags=self._flags,
            guard=self._hand,
            watch=self._monitor,
            veto=self._bus.veto,
            meters=self._meters,
        )

    def _watching(self) -> Monitor:
        """Return the monitor of what runs here, once it does."""
        settings, clock = self._settings, self._clock
        reader = Reader(
            database=self._opened,
            ledger=self._kept,
            records=Records(self._kept),
            registry=self._registry,
            catalogue=Catalogue(settings.data_dir, settings.catalogs),
            node_id=settings.node_id,
        )
        alerts = Alerts(database=self._opened, clock=clock)
        return Monitor(
            Eyes(
                runners=lambda: self._reconciler.runners,
                shared=lambda: self._shared.oversight.sets,
                knowledge=Knowledge(reader),
                clock=clock,
                default_speed=settings.replay_speed,
            ),
            self._hand,
            reader,
            Reports(self._opened, alerts, clock, node_id=settings.node_id),
            interval_s=settings.metrics_interval_s,
        )

    def _beside(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """Return what goes on beside the executions, for as long as there are any to run."""
        return (
            _while_held(_beat(self._opened, self._ledger, self._clock, self._settings.node_id)),
            _warm(self._zygotes),
            self._wake.listen(self._settings.server),
            _while_held(Upkeep(self._kept, self._clock).run()),
            _while_held(TranscriptUpkeep(self._opened, self._kept, self._clock).run()),
            _while_held(self._bus.run()),
            _while_held(self._importer.run()),
            _while_held(self._monitor.run()),
            self._flags.run(),
            self._shared.meters.watch_loop(),
            _while_held(_tell(self._opened, self._shared.meters, self._clock, self._settings)),
        )

    async def _hold(self) -> bool:
        """Keep the lease; say that it is lost, once every execution was told to end."""
        if self._held is None:
            return False
        try:
            await lease.keep(self._opened, self._held)
        except lease.LeaseLostError as error:
            _log.error("lease lost", why=str(error))
            self._reconciler.stop()
        return True

    async def _aclose(self) -> None:
        await asyncio.to_thread(self._door.close)
        await self._ledger.aclose()
        await self._zygotes.aclose()
        self._wake.close()
        await self._bus.aclose()
        await self._kept.aclose()
        await self._opened.aclose()


async def _while_held(work: Coroutine[None, None, None]) -> None:
    with contextlib.suppress(lease.LeaseLostError):  # `_hold` hears of it, and ends everything
        await work


async def _tell_of_refusals(settings: Settings, clock: SystemClock, refused: int) -> None:
    """Leave an audit row of what this copy still wanted to write when another had taken over."""
    opened = database.Database(database.control_url(settings.data_dir, settings.server))
    entry = audit.Entry(
        at=clock.now(),
        actor=audit.ENGINE,
        subject_type="node",
        subject_id=settings.node_id,
        action="refused_stale_epoch",
        details={"pid": os.getpid(), "entries": refused},
    )
    try:
        async with opened.write() as connection:
            await audit.record(connection, entry)
    except DatabaseAwayError as error:
        _log.error("refusals not told", entries=refused, why=str(error))
    await opened.aclose()


async def _warm(zygotes: Zygotes) -> None:
    try:
        await zygotes.warm("lean")
    except EngineError as error:
        _log.error("zygote did not start", why=str(error))  # the next fork tries again, and says so


async def _tell(
    opened: database.Database, mine: NodeMeters, clock: SystemClock, settings: Settings
) -> None:
    """Let control have what is measured here, every little while."""
    metering.from_nought(mine)
    while True:
        try:
            async with opened.write(in_turn=False) as connection:
                await meters.keep(connection, settings.node_id, mine.exposition(), clock.now())
        except (SQLAlchemyError, DatabaseAwayError) as error:
            _log.warning("meters not kept", why=str(error))
        await asyncio.sleep(min(meters.TOLD_S, settings.metrics_interval_s))


async def _beat(
    opened: database.Database, ledger: Ledger, clock: SystemClock, node_id: str
) -> None:
    started_at = clock.now()
    while True:
        here = presence.Presence(
            node_id=node_id,
            pid=os.getpid(),
            started_at=started_at,
            heartbeat_at=clock.now(),
            trouble=ledger.trouble,
        )
        try:
            async with opened.write(in_turn=False) as connection:
                await presence.beat(connection, here)
        except (SQLAlchemyError, DatabaseAwayError) as error:
            _log.warning("heartbeat not written", why=str(error))
        await asyncio.sleep(presence.HEARTBEAT_S)
