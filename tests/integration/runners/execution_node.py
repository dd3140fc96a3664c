"""A node with nothing but executions: in a test's own process, or as one that can be killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from strategy_engine.core.clock import SystemClock
from strategy_engine.execution.journal import Journal
from strategy_engine.execution.reconciler import Reconciler
from strategy_engine.execution.runner import NodeSettings, Tools
from strategy_engine.execution.service import Executions
from strategy_engine.execution.veto import NoVeto, Veto
from strategy_engine.flags.live import LiveFlags
from strategy_engine.infra import database
from strategy_engine.infra.database import Database
from strategy_engine.infra.wakeup import WakeUp, poke
from strategy_engine.market.busbars import BusBars
from strategy_engine.market.service import Catalogue
from strategy_engine.performance.service import Snapshots
from strategy_engine.registry.service import Registry
from strategy_engine.sandbox.launcher import Zygotes
from strategy_engine.venue.ledger import Ledger
from strategy_engine.venue.oversight import Oversight
from strategy_engine.venue.service import Records

NODE_ID = "node-1"


def server() -> str | None:
    """Return the PostgreSQL database that the test wants, if it wants one."""
    return os.environ.get("DATABASE_URL")


def create_tables(data_dir: Path) -> None:
    for metadata, url in (
        (database.control, database.control_url(data_dir, server())),
        (database.ledger, database.ledger_url(data_dir, server())),
    ):
        engine = database.sync_engine(url)
        metadata.create_all(engine)
        engine.dispose()


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What control holds of executions."""

    registry: Registry
    executions: Executions
    records: Records
    database: Database
    snapshots: Snapshots


@asynccontextmanager
async def control(
    data_dir: Path, *, confirm_s: float = 10.0, feeds: tuple[str, ...] = ("replay",)
) -> AsyncIterator[Control]:
    clock = SystemClock()
    rows, ledger = database.open_both(data_dir, server())
    registry = Registry(rows, clock)
    yield Control(
        registry=registry,
        executions=Executions(
            database=rows,
            registry=registry,
            catalogue=Catalogue(data_dir),
            clock=clock,
            poke=lambda: poke(data_dir / "node.sock"),
            confirm_s=confirm_s,
            feeds=feeds,
        ),
        records=Records(ledger),
        database=rows,
        snapshots=Snapshots(ledger),
    )
    await rows.aclose()
    await ledger.aclose()


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node that runs."""

    reconciler: Reconciler
    ledger: Ledger
    zygotes: Zygotes
    flags: LiveFlags
    oversight: Oversight


@asynccontextmanager
async def node(
    data_dir: Path,
    settings: NodeSettings | None = None,
    node_id: str = NODE_ID,
    *,
    bars: BusBars | None = None,
    veto: Veto | None = None,
) -> AsyncIterator[Node]:
    clock = SystemClock()
    rows, ledger_rows = database.open_both(data_dir, server())
    registry = Registry(rows, clock)
    ledger = Ledger(database.ledger_url(data_dir, server()))
    zygotes = Zygotes()
    wake = WakeUp(data_dir / "node.sock")
    flags = LiveFlags(rows, clock)
    tools = Tools(
        journal=Journal(rows, registry, clock, node_id=node_id),
        registry=registry,
        ledger=ledger,
        records=Records(ledger_rows),
        catalogue=Catalogue(data_dir),
        launcher=zygotes,
        clock=clock,
        settings=settings or NodeSettings(),
        bars=bars,
        flags=flags,
        veto=veto or NoVeto(),
    )
    reconciler = Reconciler(tools, wake=wake, snapshots=Snapshots(ledger_rows))
    running, reading = asyncio.create_task(reconciler.run()), asyncio.create_task(flags.run())
    try:
        yield Node(
            reconciler=reconciler,
            ledger=ledger,
            zygotes=zygotes,
            flags=flags,
            oversight=tools.oversight,
        )
    finally:
        reconciler.stop()
        await running
        reading.cancel()
        wake.close()
        await ledger.aclose()
        await zygotes.aclose()
        await rows.aclose()
        await ledger_rows.aclose()


async def main(data_dir: Path) -> None:
    is_over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, is_over.set)
    async with node(data_dir):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await is_over.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
