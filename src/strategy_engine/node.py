"""The node process: every service of it is built here, once."""

import asyncio
import os
import signal

import uvloop
from sqlalchemy.exc import SQLAlchemyError

from strategy_engine.config import Settings
from strategy_engine.core.clock import SystemClock
from strategy_engine.core.errors import EngineError
from strategy_engine.execution.bus import NodeBus
from strategy_engine.execution.journal import Journal
from strategy_engine.execution.reconciler import Reconciler
from strategy_engine.execution.runner import NodeSettings, Tools
from strategy_engine.infra import database, logs, presence, wakeup
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.market.service import Catalogue
from strategy_engine.performance.service import Snapshots
from strategy_engine.performance.upkeep import Upkeep
from strategy_engine.registry.service import Registry
from strategy_engine.sandbox.launcher import ChildLimits, Zygotes
from strategy_engine.venue.ledger import Ledger
from strategy_engine.venue.service import Records

_log = logs.get("node")


def main(settings: Settings) -> int:
    """Run executions until SIGTERM; they are handed back as they stand."""
    logs.configure(as_json=settings.log_json)
    uvloop.run(_run(settings))
    return 0


async def _run(settings: Settings) -> None:
    clock = SystemClock()
    data_dir = settings.data_dir
    opened, kept = database.open_both(data_dir, settings.server, settings.database_timeout_s)
    ledger = Ledger(
        database.ledger_url(data_dir, settings.server), timeout_s=settings.database_timeout_s
    )
    registry = Registry(opened, clock)
    zygotes = Zygotes(confinement=settings.sandbox)
    wake = wakeup.WakeUp(wakeup.path_of(data_dir, "node"))
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
    )
    node_bus = NodeBus(
        settings.bus,
        (opened, kept),
        registry,
        clock=clock,
        node_id=settings.node_id,
        wake=wake.set,
    )
    reconciler = Reconciler(tools, wake=wake, snapshots=Snapshots(kept))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, reconciler.stop)
    async with asyncio.TaskGroup() as group:
        beating = group.create_task(_beat(opened, ledger, clock, settings.node_id))
        warming = group.create_task(_warm(zygotes))
        listening = group.create_task(wake.listen(settings.server))
        thinning = group.create_task(Upkeep(kept, clock).run())
        telling = group.create_task(node_bus.run())
        await reconciler.run()
        telling.cancel()
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
