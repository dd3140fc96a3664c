"""The node process: every service of it is built here, once."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine

import uvloop
from sqlalchemy.exc import SQLAlchemyError

from strategy_engine.config import Settings
from strategy_engine.core.clock import SystemClock
from strategy_engine.core.errors import EngineError
from strategy_engine.execution.bus import NodeBus
from strategy_engine.execution.journal import Journal
from strategy_engine.execution.reconciler import Reconciler
from strategy_engine.execution.runner import NodeSettings, Tools
from strategy_engine.flags.live import LiveFlags
from strategy_engine.infra import audit, database, lease, logs, presence, wakeup
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.market.service import Catalogue
from strategy_engine.performance.service import Snapshots
from strategy_engine.performance.upkeep import Upkeep
from strategy_engine.registry.service import Registry
from strategy_engine.sandbox.launcher import ChildLimits, Zygotes
from strategy_engine.venue.ledger import Ledger
from strategy_engine.venue.service import Records

_log = logs.get("node")


def main(settings: Settings, held: lease.Lease | None = None) -> int:
    """Run executions until SIGTERM, or until the lease is lost; hand them back as they stand."""
    logs.configure(as_json=settings.log_json)
    return uvloop.run(_run(settings, held))


async def _run(settings: Settings, held: lease.Lease | None) -> int:
    clock = SystemClock()
    data_dir = settings.data_dir
    fence = None if held is None else lease.fence(held)
    opened, kept = database.open_both(data_dir, settings.server, settings.database_timeout_s, fence)
    ledger = Ledger(
        database.ledger_url(data_dir, settings.server),
        timeout_s=settings.database_timeout_s,
        fence=fence,
    )
    registry = Registry(opened, clock)
    zygotes = Zygotes(confinement=settings.sandbox)
    wake = wakeup.WakeUp(wakeup.path_of(data_dir, "node"))
    node_bus = NodeBus(
        settings.bus,
        (opened, kept),
        registry,
        clock=clock,
        node_id=settings.node_id,
        wake=wake.set,
    )
    flags = LiveFlags(opened, clock)
    tools = Tools(
        journal=Journal(opened, registry, clock, node_id=settings.node_id),
        registry=registry,
        ledger=ledger,
        records=Records(kept),
        catalogue=Catalogue(data_dir, settings.catalogs),
        launcher=zygotes,
        clock=clock,
        settings=NodeSettings(
            decision_timeout_s=settings.decision_timeout_s,
            metrics_interval_s=settings.metrics_interval_s,
            replay_speed=settings.replay_speed,
            limits=ChildLimits(memory_bytes=settings.child_memory_bytes, cpu_s=None),
        ),
        bars=node_bus.bars,
        flags=flags,
    )
    reconciler = Reconciler(tools, wake=wake, snapshots=Snapshots(kept))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, reconciler.stop)
    async with asyncio.TaskGroup() as group:
        beating = group.create_task(_while_held(_beat(opened, ledger, clock, settings.node_id)))
        warming = group.create_task(_warm(zygotes))
        listening = group.create_task(wake.listen(settings.server))
        thinning = group.create_task(_while_held(Upkeep(kept, clock).run()))
        telling = group.create_task(_while_held(node_bus.run()))
        reading = group.create_task(flags.run())
        holding = group.create_task(_hold(opened, held, reconciler))
        await reconciler.run()
        holding.cancel()
        telling.cancel()
        reading.cancel()
        beating.cancel()
        warming.cancel()
        listening.cancel()
        thinning.cancel()
    await ledger.aclose()
    await zygotes.aclose()
    wake.close()
    await node_bus.aclose()
    await kept.aclose()
    await opened.aclose()
    if not holding.cancelled() and holding.result():
        await _tell_of_refusals(settings, clock, ledger.refused)
        return lease.LOST_STATUS
    return 0


async def _hold(
    opened: database.Database, held: lease.Lease | None, reconciler: Reconciler
) -> bool:
    """Keep the lease; say that it is lost, once every execution was told to end."""
    if held is None:
        return False
    try:
        await lease.keep(opened, held)
    except lease.LeaseLostError as error:
        _log.error("lease lost", why=str(error))
        reconciler.stop()
    return True


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
