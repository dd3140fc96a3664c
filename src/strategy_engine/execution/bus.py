"""Everything that the node does on the bus, built once: publish, hear commands, read bars."""

import asyncio
import contextlib
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import EngineError
from strategy_engine.execution.commands import Commands, Ear
from strategy_engine.infra import relay
from strategy_engine.infra.bus import broker
from strategy_engine.infra.bus.broker import BusSettings
from strategy_engine.infra.database import Database
from strategy_engine.infra.relay import Keeping, Relay
from strategy_engine.market.busbars import BusBars, Source
from strategy_engine.registry.service import Registry

_LAST_WORDS_S = 0.5


class NodeBus:
    """The node's part of the bus. Nothing that trades waits for any of it.

    Parameters
    ----------
    wake : callable
        Called when a command has changed what executions should do.
    """

    def __init__(
        self,
        settings: BusSettings,
        databases: tuple[Database, Database],
        registry: Registry,
        *,
        clock: Clock,
        node_id: str,
        wake: Callable[[], None],
    ) -> None:
        control, ledger = databases
        self._bus = broker.connect(settings)
        self._relay = Relay(
            name=relay.EXECUTIONS,
            holder=node_id,
            home=control,
            bus=self._bus,
            route=relay.executions(control, ledger),
            clock=clock,
            keeping=Keeping.of(settings),
        )
        self.bars: BusBars | None = None
        if settings.data_stream is not None:
            self.bars = BusBars(
                bus=self._bus,
                source=Source(
                    stream=settings.data_stream, name=f"bars {node_id}"[:40], holder=node_id
                ),
                record=ledger,
                home=control,
                clock=clock,
            )
        self._commands: Commands | None = None
        if settings.command_stream is not None and settings.command_secret is not None:
            self._commands = Commands(
                ear=Ear(
                    stream=settings.command_stream,
                    secret=settings.command_secret,
                    holder=node_id,
                ),
                bus=self._bus,
                database=control,
                registry=registry,
                clock=clock,
                wake=wake,
            )

    async def run(self) -> None:
        """Do all of it without end."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._relay.run())
            if self.bars is not None:
                group.create_task(self.bars.run())
            if self._commands is not None:
                group.create_task(self._commands.run())

    async def aclose(self) -> None:
        """Publish what is left, and let go of the bus; what cannot be told now is told later."""
        with contextlib.suppress(EngineError, SQLAlchemyError, TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                await self._relay.drain()
        await self._bus.aclose()
