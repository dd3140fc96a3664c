"""After a rollout's end: the version before stays warm for a while, and may be asked back."""

import asyncio

from sqlalchemy.exc import SQLAlchemyError

from strategy_engine.core.errors import EngineError
from strategy_engine.infra import logs
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.rollout import stakes
from strategy_engine.rollout.acts import Acts
from strategy_engine.rollout.journal import Journal
from strategy_engine.rollout.model import Deployment
from strategy_engine.rollout.observing import Observer
from strategy_engine.rollout.undoing import Undoing

LOOK_S = 0.2

_log = logs.get("rollout")


class Tending:
    """Looks after deployments that have ended and are not over. One a control process."""

    def __init__(self, *, journal: Journal, acts: Acts, observer: Observer) -> None:
        self._journal = journal
        self._acts = acts
        self._observer = observer
        self._undoing = Undoing(journal=journal, acts=acts, observer=observer)

    async def run(self) -> None:
        """Look without end."""
        while True:
            try:
                await self.turn()
            except (SQLAlchemyError, DatabaseAwayError) as error:
                _log.warning("deployments not tended", why=str(error))
            await asyncio.sleep(LOOK_S)

    async def turn(self) -> None:
        """Look once at each."""
        for deployment in await self._journal.tended():
            try:
                await self._tend(deployment)
            except DatabaseAwayError:
                raise
            except EngineError as error:  # the others are looked after all the same
                _log.warning("not tended", pipeline_id=deployment.pipeline_id, why=str(error))
            except Exception:  # noqa: BLE001 - the task's edge: without it nobody is looked after
                _log.exception("not tended", pipeline_id=deployment.pipeline_id)

    async def _tend(self, deployment: Deployment) -> None:
        if await self._acts.stopped(deployment) is not None:
            return
        progress = deployment.progress
        names = [*deployment.replaces, *stakes.started(deployment)]
        if progress.undo is not None:
            await self._undoing.turn(deployment, await self._observer.members(names))
        elif progress.warm_until is not None and self._journal.clock.now() >= progress.warm_until:
            members = await self._observer.members(deployment.replaces)
            await self._acts.end(deployment, members.values())
            await self._journal.cooled(deployment)
