"""How the workflows of control begin: once their databases take writes, with what was pending."""

import asyncio
import os

from sqlalchemy.exc import SQLAlchemyError

from strategy_engine.config import Settings
from strategy_engine.control.delivery import Delivery
from strategy_engine.infra import database, durable, logs, outages
from strategy_engine.infra.database import Database
from strategy_engine.infra.lease import Lease
from strategy_engine.infra.outages import DatabaseAwayError

ADOPT_S = 5.0
AWAY_S = 10.0  # it serves for a while before it is forked again, where the database went away
EXECUTOR = "control"

_log = logs.get("control")


class Launching:
    """Launches the workflows, and takes over what this node's engines before left pending.

    Parameters
    ----------
    held : Lease or None
        What says which of the node's engines this one is; None: there is only one, ever.
    """

    def __init__(
        self, settings: Settings, home: Database, delivery: Delivery, held: Lease | None
    ) -> None:
        self._settings = settings
        self._database = home
        self._delivery = delivery
        self._lease = held
        self._adopting: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Launch them, or end the process; then adopt for ever, beside, until `cancel`."""
        held = self._lease
        executor = EXECUTOR if held is None else durable.executor_of(held.name, held.epoch)
        try:
            await self._until_written()
            # On the loop's own thread: the loop it is launched on is the one that workflows run on.
            durable.launch(self._settings.data_dir, self._settings.server, executor_id=executor)
            await self._delivery.workflows.register_queues(
                pipelines_at_once=self._settings.max_concurrent_deployments
            )
            await self._delivery.rollouts.resume_unstarted()
        except Exception as error:  # noqa: BLE001 - the edge of a process: said, then ended
            _log.exception("workflows not launched")
            if outages.find(error) is not None:
                await asyncio.sleep(AWAY_S)
            os._exit(1)  # without them it would take work that it never does; it is forked again
        if held is not None:
            self._adopting = asyncio.create_task(self._adopt(executor))

    def cancel(self) -> None:
        """Adopt no more."""
        if self._adopting is not None:
            self._adopting.cancel()

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
