"""Control's side of the kill switch: the node is asked at once, rows hear of it when they can."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from strategy_engine.access.model import ForbiddenError, Principal
from strategy_engine.core import ids
from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import InvalidError, NotFoundError, UnavailableError
from strategy_engine.execution import stops
from strategy_engine.execution.stops import Stop
from strategy_engine.infra import audit, logs
from strategy_engine.infra.database import Database
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.risk import calling, deeds, importing
from strategy_engine.risk.model import Action, Deed, Done
from strategy_engine.venue.limits import Scope

RESET = "reset"
CONFIRM_S = 2.0
_RECORD_S = 0.1  # how long an answer waits for the row
_RETRY_S = 0.5
_LOOK_S = 0.02
_AT_ONCE = 4

_log = logs.get("risk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants stopped."""

    scope: Scope
    subject: str
    reason: str
    flattens: bool = False
    is_drill: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What came of it.

    Parameters
    ----------
    done : Done or None
        None: no node of this machine answered; the note says what holds then.
    is_recorded : bool
        False: the database has not taken its row yet; this is tried until it does.
    """

    stop: Stop
    done: Done | None
    is_recorded: bool
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """A stop that is over. `is_confirmed`: the node of this machine has let go."""

    stop: Stop
    is_confirmed: bool
    note: str


class Stopping:
    """Emergency stops: made without the database, listed and reset with it."""

    def __init__(self, database: Database, data_dir: Path, clock: Clock) -> None:
        self._database = database
        self._data_dir = data_dir
        self._clock = clock
        # Its own threads: those that others wait in for a database are none of its business.
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="stopping")
        self._recording: set[asyncio.Task[None]] = set()

    async def stop(self, wish: Wish, *, actor: str) -> Stopped:
        """Stop all in a scope: no order passes from now on, and what waits is taken back.

        Raises
        ------
        InvalidError
            If the scope, the subject or the reason makes no sense; nothing is done.
        UnavailableError
            If neither the node nor its journal can be reached.
        """
        deed = deeds.check(
            Deed(
                deed_id=ids.new_id("stop"),
                action=Action.EMERGENCY_STOP,
                scope=wish.scope,
                subject=wish.subject,
                reason=wish.reason,
                actor=actor,
                at=self._clock.now(),
                flattens=wish.flattens,
                is_drill=wish.is_drill,
            )
        )
        stop = importing.stop_of(deed)
        recording = asyncio.create_task(self._record(stop))
        self._recording.add(recording)
        recording.add_done_callback(self._recording.discard)
        loop = asyncio.get_running_loop()
        reached = await loop.run_in_executor(self._threads, calling.stop, self._data_dir, deed)
        await asyncio.wait({recording}, timeout=_RECORD_S)
        return Stopped(
            stop=stop, done=reached.done, is_recorded=recording.done(), note=reached.note
        )

    async def page(self, *, limit: int, offset: int) -> tuple[list[Stop], int]:
        """Return emergency stops, the newest first, and how many there ever were."""
        async with self._database.read() as connection:
            return await stops.page(connection, limit=limit, offset=offset)

    async def reset(self, stop_id: str, *, by: Principal, why: str) -> Reset:
        """Let what was stopped start and trade again; reset twice is no error.

        Raises
        ------
        NotFoundError
            If the rows have no such stop.
        ForbiddenError
            If who stopped it is who asks, and keys are in use.
        """
        if not why.strip() or len(why) > deeds.LONGEST_REASON or not why.isprintable():
            raise InvalidError(
                f"comment must be 1 to {deeds.LONGEST_REASON} printable characters: say why it may"
                " trade again",
                field="comment",
            )
        now = self._clock.now()
        async with self._database.write() as connection:
            stop = await stops.get(connection, stop_id)
            if stop is None:
                raise NotFoundError(
                    f"the database has no emergency stop {stop_id}; one that was made while it was"
                    " away is there as soon as the node has told it",
                    value=stop_id,
                )
            _check_another(stop, by)
            if stop.reset_at is None:
                await stops.end(connection, stop_id, actor=by.name, why=why, at=now)
                await audit.record(
                    connection,
                    audit.Entry(
                        at=now,
                        actor=by.name,
                        subject_type=importing.SUBJECT,
                        subject_id=stop_id,
                        action=RESET,
                        details={"comment": why, "stopped_by": stop.actor},
                    ),
                )
            over = await stops.get(connection, stop_id)
        return Reset(
            stop=over or stop, is_confirmed=await self._is_let_go(stop_id), note=_told(stop, by)
        )

    async def _record(self, stop: Stop) -> None:
        while True:
            try:
                async with self._database.write() as connection:
                    await importing.keep_stop(connection, stop)
            except (SQLAlchemyError, DatabaseAwayError) as error:
                _log.warning("emergency_stop_not_recorded", stop=stop.stop_id, why=str(error))
            else:
                return
            await asyncio.sleep(_RETRY_S)

    async def _is_let_go(self, stop_id: str) -> bool:
        """Wait a little until the node of this machine lets its orders through again."""
        loop, deadline_s = asyncio.get_running_loop(), self._clock.monotonic_s() + CONFIRM_S
        while True:
            try:
                told = await loop.run_in_executor(self._threads, calling.reread, self._data_dir)
            except UnavailableError:
                return False
            if all(each["deed_id"] != stop_id for each in told["stops"]):
                return True
            if self._clock.monotonic_s() >= deadline_s:
                return False
            await asyncio.sleep(_LOOK_S)


def _check_another(stop: Stop, by: Principal) -> None:
    if by.is_local or stop.is_drill or stop.actor != by.name:
        return
    raise ForbiddenError(
        f"{by.name} made the emergency stop {stop.stop_id}; another person resets it",
        stop_id=stop.stop_id,
        actor=stop.actor,
    )


def _told(stop: Stop, by: Principal) -> str:
    if by.is_local:
        return "no keys are in use, so nobody checked that another person resets it"
    return "a drill: whoever made it may reset it" if stop.is_drill else ""
