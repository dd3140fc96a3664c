"""Everything that the node does on the bus, built once: publish, hear, read bars, ask."""

import asyncio
import contextlib
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import EngineError
from strategy_engine.execution.asking import BusVeto, Line
from strategy_engine.execution.commands import Commands, Ear
from strategy_engine.execution.veto import NoVeto, Veto
from strategy_engine.infra import relay
from strategy_engine.infra.bus import broker, checks
from strategy_engine.infra.bus.broker import BusSettings
from strategy_engine.infra.database import Database
from strategy_engine.infra.meters import NodeMeters
from strategy_engine.infra.relay import Keeping, Relay
from strategy_engine.market.busbars import BusBars, Source
from strategy_engine.registry.service import Registry

_LAST_WORDS_S = 0.5


class NodeBus:
    """The node's part of the bus. Nothing that trades waits for it, but for what it asks there.

    Parameters
    ----------
    wake : callable
        Called when a command has changed what executions should do.
    """

    def __init__(  # noqa: PLR0913 - what a part is wired with, each a thing of its own
        self,
        settings: BusSettings,
        databases: tuple[Database, Database],
        registry: Registry,
        *,
        clock: Clock,
        node_id: str,
        wake: Callable[[], None],
        meters: NodeMeters,
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
        self._asker = self._asking(settings, node_id, clock, meters)

    @property
    def veto(self) -> Veto:
        """Who is asked before an order goes."""
        return self._asker or NoVeto()

    def _asking(
        self, settings: BusSettings, node_id: str, clock: Clock, meters: NodeMeters
    ) -> BusVeto | None:
        if settings.checking is None or settings.command_secret is None:
            return None
        line = Line(
            checking=settings.checking,
            node_id=node_id,
            stream=settings.layout.own_stream_of(checks.ANSWERED),
            encoding=settings.layout.encoding,
            secret=settings.command_secret,
        )
        return BusVeto(line, self._bus, clock, meters)

    async def run(self) -> None:
        """Do all of it without end."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._relay.run())
            if self.bars is not None:
                group.create_task(self.bars.run())
            if self._commands is not None:
                group.create_task(self._commands.run())
            if self._asker is not None:
                group.create_task(self._asker.run())

    async def aclose(self) -> None:
        """Publish what is left, and let go of the bus; what cannot be told now is told later."""
        with contextlib.suppress(EngineError, SQLAlchemyError, TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                await self._relay.drain()
        await self._bus.aclose()
