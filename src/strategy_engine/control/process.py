"""The control process: it serves the API on the supervisor's socket, and tends what it began."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI

from strategy_engine.api import app as api_app
from strategy_engine.config import Settings
from strategy_engine.control import delivery, front, ground
from strategy_engine.control.launching import Launching
from strategy_engine.core.errors import EngineError
from strategy_engine.flags.service import Flags
from strategy_engine.infra import lease, logs, relay
from strategy_engine.infra.bus import broker
from strategy_engine.infra.lease import Lease, LeaseLostError
from strategy_engine.infra.webhooks.delivery import Deliverer
from strategy_engine.sandbox.model import ConfinementReport

GRACE_S = 2
LAUNCH_S = 5.0  # then it serves without its workflows: each of them needs the database

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


class Control:
    """Every service of the control process, and what runs as long as it serves."""

    def __init__(self, settings: Settings, birth: Birth) -> None:
        fence = None if birth.lease is None else lease.fence(birth.lease, _end)
        self._settings = settings
        self._ground = ground.make(settings, fence)
        flags = Flags(self._ground.database, self._ground.clock)
        self._delivery = delivery.make(self._ground, flags)
        self._front = front.make(
            self._ground, self._delivery, flags, started_s=birth.started_s, wall=birth.wall
        )
        self.services = front.services(self._ground, self._delivery, self._front)
        self._launching = Launching(settings, self._ground.database, self._delivery, birth.lease)
        self._bus = broker.connect(settings.bus)

    @asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        """Launch the workflows, resume what was pending, and warm the zygotes up."""
        watching = asyncio.create_task(self._ground.database.watch())
        launching = asyncio.create_task(self._launching.run())
        await asyncio.wait({launching}, timeout=LAUNCH_S)
        tasks = [asyncio.create_task(each) for each in self._beside()]
        _log.info("control serves")
        yield
        for each in tasks:
            each.cancel()
        launching.cancel()
        self._launching.cancel()
        watching.cancel()

    def _beside(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """Return what runs beside the door until it is cancelled."""
        return (
            self._warm(),
            self._front.meters.watch_loop(),
            self._ground.bell.run(),
            self._front.keys.watch(),
            self._relay().run(),
            self._delivery.tending.run(),
            self._delivery.sharing.balance.run(),
            self._deliverer().run(),
            self._front.measuring.run(),
            *self._front.telling.tasks(),
        )

    def _deliverer(self) -> Deliverer:
        return Deliverer(
            database=self._ground.database, clock=self._ground.clock, targets=self._front.targets
        )

    def _relay(self) -> relay.Relay:
        return relay.Relay(
            name=relay.PIPELINES,
            holder=self._settings.node_id,
            home=self._ground.database,
            bus=self._bus,
            route=relay.pipelines(self._ground.database),
            clock=self._ground.clock,
            keeping=relay.Keeping.of(self._settings.bus),
        )

    async def _warm(self) -> None:
        try:
            await self._ground.zygotes.warm("lean", "tests")
        except EngineError as error:
            _log.error("zygote did not start", why=str(error))  # the next fork tries again
