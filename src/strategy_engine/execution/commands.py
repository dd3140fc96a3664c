"""The node's ear for risk commands: each is obeyed once, in the transaction that remembers it."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core.clock import Clock
from strategy_engine.execution import restraining, restraint, store
from strategy_engine.execution.model import Execution
from strategy_engine.execution.switching import By
from strategy_engine.infra import audit, logs
from strategy_engine.infra.bus import commands, inbox, links
from strategy_engine.infra.bus.commands import Command, Refusal, RefusedError
from strategy_engine.infra.bus.inbox import Obeyed
from strategy_engine.infra.bus.links import Link
from strategy_engine.infra.bus.model import Bus, Received
from strategy_engine.infra.database import Database
from strategy_engine.registry.service import Registry

CONSUMER = "commands"
ACTOR = "bus"
SUBJECT = "execution"
RETRY_S = 0.5

_log = logs.get("execution")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ear:
    """Where commands are heard, and whose signature counts."""

    stream: str
    secret: str
    holder: str


class Commands:
    """Obeys what stands in one stream and is signed; everything else there is refused and counted.

    Parameters
    ----------
    wake : callable
        Called when something has changed that executions should see at once.
    """

    def __init__(
        self,
        *,
        ear: Ear,
        bus: Bus,
        database: Database,
        registry: Registry,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self._ear = ear
        self._bus = bus
        self._database = database
        self._registry = registry
        self._clock = clock
        self._wake = wake
        self._counts: Counter[str] = Counter()
        self._trouble = ""
        self._reported_s = float("-inf")
        self._holds = False

    @property
    def counts(self) -> dict[str, int]:
        """How many commands were obeyed or refused and why, and how often none was heard."""
        return dict(self._counts)

    async def run(self) -> None:
        """Hear and obey without end."""
        while True:
            try:
                await self._report()
                if self._holds:
                    await self.turn()
                    self._trouble = ""
                else:
                    await asyncio.sleep(links.REPORT_S)
            except Exception as error:  # noqa: BLE001 - the task's edge: what trades must go on
                if not self._trouble:
                    _log.warning("commands_not_heard", why=repr(error))
                self._trouble = str(error) or repr(error)
                self._counts["command_failures"] += 1
                await asyncio.sleep(RETRY_S)

    async def turn(self, wait_s: float = links.REPORT_S / 2) -> None:
        """Obey what has come, waiting a little for it."""
        position = await self._position()
        for received in await self._bus.read({self._ear.stream: position}, wait_s=wait_s):
            await self._hear(received)

    async def _position(self) -> str:
        stream = self._ear.stream
        async with self._database.read() as connection:
            position = await inbox.position(connection, CONSUMER, stream)
        if position is not None:
            return position
        # What was said before anybody listened is not for what runs now.
        newest = await self._bus.newest(stream)
        async with self._database.write() as connection:
            await self._advance(connection, newest)
        return newest

    async def _hear(self, received: Received) -> None:
        try:
            command = commands.verify(received, self._ear.secret)
            affected = await self._obey(received, command)
        except RefusedError as error:
            self._counts[f"commands_refused_{error.refusal}"] += 1
            _log.warning("command_refused", entry=received.entry_id, why=str(error))
            async with self._database.write() as connection:
                await self._advance(connection, received.entry_id)
            return
        self._counts["commands_obeyed"] += 1
        self._wake()
        _log.warning(
            "command_obeyed",
            topic=received.message.topic,
            command=command.command_id,
            reason=command.reason,
            executions=affected,
        )

    async def _obey(self, received: Received, command: Command) -> list[str]:
        now, topic = self._clock.now(), received.message.topic
        async with self._database.write() as connection:
            if await inbox.is_obeyed(connection, command.command_id):
                raise RefusedError(Refusal.REPEATED, f"{command.command_id} was obeyed before")
            found = await store.unended_where(
                connection,
                execution_id=command.execution_id,
                strategy_name=command.strategy_name,
            )
            affected = [
                each.execution_id
                for each in found
                if await self._restrain(connection, each, topic, command)
            ]
            await restraining.move_versions(
                connection,
                self._registry,
                found,
                restraint.EFFECTS[topic],
                By(actor=ACTOR, at=now, why=f"{topic}: {command.reason}"),
            )
            await self._advance(connection, received.entry_id)
            await inbox.keep(
                connection,
                Obeyed(
                    command_id=command.command_id,
                    topic=topic,
                    issued_at=command.issued_at,
                    obeyed_at=now,
                    reason=command.reason,
                    affected=affected,
                ),
            )
        return affected

    async def _restrain(
        self, connection: AsyncConnection, execution: Execution, topic: str, command: Command
    ) -> bool:
        now = self._clock.now()
        wanted = restraint.restrain(execution, topic, command.reason, at=now)
        if wanted is None:
            return False
        await store.update(connection, wanted)
        await audit.record(
            connection,
            audit.Entry(
                at=now,
                actor=ACTOR,
                subject_type=SUBJECT,
                subject_id=execution.execution_id,
                action=topic,
                to_state=wanted.status.value,
                details={
                    "command_id": command.command_id,
                    "reason": command.reason,
                    "desired": wanted.desired.value,
                    "risk_state": wanted.risk_state.value,
                },
            ),
        )
        return True

    async def _advance(self, connection: AsyncConnection, entry_id: str) -> None:
        await inbox.advance(
            connection, CONSUMER, self._ear.stream, entry_id=entry_id, at=self._clock.now()
        )

    async def _report(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._reported_s < links.REPORT_S:
            return
        self._reported_s = now_s
        link = Link(
            name=CONSUMER,
            holder=self._ear.holder,
            is_connected=not self._trouble,
            detail=self._trouble,
            counts=self.counts,
            seen_at=self._clock.now(),
        )
        async with self._database.write() as connection:
            self._holds = await links.report(connection, link)
