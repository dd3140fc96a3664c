"""The ledger's writer: one thread that commits whatever queued during the previous commit.

An entry that somebody waits for is committed at once. Entries that nobody waits for may gather for
a moment: losing them costs nothing, since an execution goes on from what is kept.
"""

import asyncio
import contextlib
import functools
import threading
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from strategy_engine.core.clock import SystemClock
from strategy_engine.core.errors import EngineError, UnavailableError
from strategy_engine.infra import database, logs, outages, outbox
from strategy_engine.venue import outbox_rows, rows, store, succession
from strategy_engine.venue.model import Head, Kept, Opened, StaleEpochError

LARGEST_BATCH = 2_000
GATHER_S = 0.02  # how long entries that nobody waits for may gather
_GATHERED = 256  # entries that need not gather any longer
RETRY_DELAYS_S = (0.05, 0.2, 1.0, 3.0)

_log = logs.get("venue")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    entry: Kept
    loop: asyncio.AbstractEventLoop
    kept: asyncio.Future[None]


class Ledger:
    """Keeps entries in the order they were appended, each whole or not at all.

    Entries that are appended `Together` are kept together or not at all.

    Parameters
    ----------
    url : str
        The ledger's database.
    retry_delays_s : sequence of float
        How long to wait before each new try of a commit that failed; then its authors are told.
    timeout_s : float or None
        How long one try waits for a lock; None: as every other transaction does.
    fence : Fence or None
        What every commit passes first; an entry that does not is of a stale epoch.
    """

    def __init__(
        self,
        url: str,
        *,
        retry_delays_s: Iterable[float] = RETRY_DELAYS_S,
        timeout_s: float | None = None,
        fence: database.Fence | None = None,
    ) -> None:
        self._fence = fence
        self._engine = database.sync_engine(url, timeout_s=timeout_s)
        self._retry_delays_s = tuple(retry_delays_s)
        self._queue: list[_Waiting] = []
        self._changed = threading.Condition()
        self._is_closing = False
        self._is_awaited = False
        self._pause = threading.Event()  # never set: waiting for it is how the thread rests
        self._told: dict[str, str] = {}
        self.trouble = ""  # why the last commit was not taken, until one is
        self.commits = 0
        self.refused = 0
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many entries no commit has taken up yet."""
        return len(self._queue)

    def append(self, entry: Kept) -> asyncio.Future[None]:
        """Queue an entry that is waited for; the future is done when it is on the disk.

        Its error is `StaleEpochError` if another copy of the execution has taken over,
        `LedgerGapError` if an earlier entry of the execution was not kept, and `UnavailableError`
        if the database would not take it (`DatabaseAwayError` if it was away); then no later entry
        of the execution is kept either.
        """
        return self._put(entry, is_awaited=True)

    def post(self, entry: Kept) -> asyncio.Future[None]:
        """Queue an entry in the same order, with the same errors, that nobody waits for yet."""
        return self._put(entry, is_awaited=False)

    def _put(self, entry: Kept, *, is_awaited: bool) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        kept: asyncio.Future[None] = loop.create_future()
        kept.add_done_callback(_mark_seen)
        with self._changed:
            if self._is_closing:
                kept.set_exception(UnavailableError("the ledger is closed"))
                return kept
            self._queue.append(_Waiting(entry=entry, loop=loop, kept=kept))
            self._is_awaited = self._is_awaited or is_awaited
            if is_awaited or len(self._queue) in {1, _GATHERED}:
                self._changed.notify()
        return kept

    async def aclose(self) -> None:
        """Commit what is queued and end the thread."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)
        self._engine.dispose()

    def _run(self) -> None:
        while batch := self._next_batch():
            outcome = self._commit([each.entry for each in batch])
            _tell(batch, outcome)

    def _next_batch(self) -> list[_Waiting]:
        with self._changed:
            while not self._queue and not self._is_closing:
                self._changed.wait()
            self._changed.wait_for(self._is_urgent, timeout=GATHER_S)
            self._is_awaited = len(self._queue) > LARGEST_BATCH
            batch, self._queue = self._queue[:LARGEST_BATCH], self._queue[LARGEST_BATCH:]
        return batch

    def _is_urgent(self) -> bool:
        return self._is_awaited or self._is_closing or len(self._queue) >= _GATHERED

    def _commit(self, entries: list[Kept]) -> dict[int, EngineError]:
        """Keep entries; return the errors of those that were not, by their place."""
        for delay_s in (*self._retry_delays_s, None):
            try:
                return self._write(entries)
            except Exception as error:  # noqa: BLE001 - the thread's edge: the others must go on
                away = _away(error)
                if away is None:
                    return self._commit_apart(entries, error)
                self.trouble = f"the ledger: {away}"
                if delay_s is None:
                    _log.error("ledger_write_failed", error=str(away), entries=len(entries))
                    return dict.fromkeys(range(len(entries)), away)
                _log.warning("ledger_write_retried", error=str(away), entries=len(entries))
                self._pause.wait(delay_s)
        raise AssertionError("the last delay is None")

    def _commit_apart(self, entries: list[Kept], error: Exception) -> dict[int, EngineError]:
        """Keep each entry by itself, since one of them cannot be kept; tell the author of that."""
        where = "".join(traceback.format_exception(error, limit=-5))
        _log.error("ledger_entry_failed", entries=len(entries), where=where)
        if len(entries) == 1:
            return {0: UnavailableError(f"the ledger cannot keep this entry: {error}")}
        return self._commit_each(entries)

    def _commit_each(self, entries: list[Kept]) -> dict[int, EngineError]:
        outcomes = [self._commit([entry]) for entry in entries]
        return {place: failed[0] for place, failed in enumerate(outcomes) if failed}

    def _write(self, entries: list[Kept]) -> dict[int, EngineError]:
        with self._engine.begin() as connection:
            if self._fence is not None and connection.scalar(self._fence.statement) is None:
                self.refused += len(entries)
                stale = StaleEpochError(str(self._fence.error()))
                return dict.fromkeys(range(len(entries)), stale)
            heads = _locked_heads(connection, entries)
            batch, refusals = rows.collect(entries, heads)
            _insert(connection, batch)
            self._tell_others(connection, entries, batch)
            epochs = {name: head.epoch for name, head in heads.items()}
            _upsert(connection, batch, epochs)
        self.trouble = ""
        self.commits += 1
        self.refused += len(refusals)
        errors = {id(each.entry): each.error for each in refusals}
        return {
            place: errors[id(entry)] for place, entry in enumerate(entries) if id(entry) in errors
        }

    def _tell_others(self, connection: sa.Connection, kept: list[Kept], batch: rows.Batch) -> None:
        outbox_rows.hear(
            (entry for each in kept for entry in succession.entries_of(each)), self._told
        )
        has_news = batch.trades or batch.orders
        if has_news and (events := outbox_rows.events(batch, self._told)):
            outbox.add_sync(connection, events, at=SystemClock().now())


def _away(error: Exception) -> outages.DatabaseAwayError | None:
    return outages.find(error) if isinstance(error, SQLAlchemyError) else None


def _locked_heads(connection: sa.Connection, kept: list[Kept]) -> dict[str, Head]:
    """Return where the executions' ledgers stand, each locked until the transaction ends.

    A row that is not there cannot be locked: an execution's first opening is put there before,
    and whoever comes second, on another node, waits for it and then sees its epoch.
    """
    entries = [entry for each in kept for entry in succession.entries_of(each)]
    heads = store.heads(connection, {each.execution_id for each in entries})
    first = {
        each.execution_id: each
        for each in reversed(entries)
        if isinstance(each, Opened) and each.execution_id not in heads
    }
    if first:
        statement = _open_statement(connection.dialect.name)
        connection.execute(statement, [rows.opening(each) for each in first.values()])
        heads |= store.heads(connection, first)
    return heads


def _mark_seen(future: asyncio.Future[None]) -> None:
    if not future.cancelled():
        future.exception()


def _tell(batch: list[_Waiting], errors: dict[int, EngineError]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[None], Any]]] = {}
    for place, each in enumerate(batch):
        by_loop.setdefault(each.loop, []).append((each.kept, errors.get(place)))
    for loop, outcomes in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, outcomes)


def _resolve(outcomes: list[tuple[asyncio.Future[None], EngineError | None]]) -> None:
    for kept, error in outcomes:
        if kept.done():
            continue
        if error is None:
            kept.set_result(None)
        else:
            kept.set_exception(error)


_INSERTS: tuple[tuple[sa.Table, Callable[[rows.Batch], list[rows.Row]]], ...] = (
    (store.ORDERS, lambda batch: batch.orders),
    (store.TRADES, lambda batch: batch.trades),
    (store.ROUND_TRIPS, lambda batch: batch.round_trips),
    (store.DECISIONS, lambda batch: batch.decisions),
    (store.FLAG_READINGS, lambda batch: batch.flag_readings),
    (store.TRANSCRIPTS, lambda batch: batch.transcripts),
    (store.CAPITAL_FLOWS, lambda batch: batch.flows),
)
_ORDERS = store.ORDERS.c
_CHANGED = {
    "status": "new_status",
    "lots": "new_lots",
    "quantity": "new_quantity",
    "limit_price": "new_limit",
    "trigger_price": "new_trigger",
    "reason": "new_reason",
}
_CHANGE_ORDER = (
    sa.update(store.ORDERS)
    .where(_ORDERS.order_id == sa.bindparam("changed_id"))
    .values(
        {
            name: sa.func.coalesce(sa.bindparam(new, type_=_ORDERS[name].type), _ORDERS[name])
            for name, new in _CHANGED.items()
        }
        | {"filled_lots": _ORDERS.filled_lots + sa.bindparam("more_lots", type_=sa.BigInteger)}
    )
)


def _insert(connection: sa.Connection, batch: rows.Batch) -> None:
    for table, pick in _INSERTS:
        if found := pick(batch):
            connection.execute(sa.insert(table), found)
    if batch.order_changes:
        connection.execute(_CHANGE_ORDER, batch.order_changes)


def _upsert(connection: sa.Connection, batch: rows.Batch, epochs: dict[str, int]) -> None:
    dialect = connection.dialect.name
    if batch.openings:
        statement = _upsert_statement(store.CHECKPOINTS, dialect, only="epoch")
        connection.execute(statement, list(batch.openings.values()))
    if batch.equity:
        statement = _upsert_statement(store.EQUITY, dialect)
        connection.execute(statement, list(batch.equity.values()))
    if batch.positions:
        statement = _upsert_statement(store.POSITIONS, dialect)
        connection.execute(statement, list(batch.positions.values()))
    for execution_id, values in batch.checkpoints.items():
        changed = {name: value for name, value in values.items() if name != "execution_id"}
        changed["epoch"] = epochs[execution_id]
        if execution_id in batch.states:
            changed["state"] = batch.states[execution_id]
        if execution_id in batch.measured:
            changed["measured"] = batch.measured[execution_id]
        connection.execute(
            _checkpoint_statement(frozenset(changed)), changed | {"changed_id": execution_id}
        )


# Built once: building a statement costs more than the database does to run it.
@functools.cache
def _upsert_statement(table: sa.Table, dialect: str, *, only: str | None = None) -> sa.Executable:
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = make(table)
    keys = [column.name for column in table.primary_key.columns]
    others = [column.name for column in table.columns if column.name not in keys]
    names = others if only is None else [only]
    return statement.on_conflict_do_update(
        index_elements=keys, set_={name: statement.excluded[name] for name in names}
    )


@functools.cache
def _open_statement(dialect: str) -> sa.Executable:
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return make(store.CHECKPOINTS).on_conflict_do_nothing(index_elements=["execution_id"])


@functools.cache
def _checkpoint_statement(names: frozenset[str]) -> sa.Executable:
    return (
        sa.update(store.CHECKPOINTS)
        .where(store.CHECKPOINTS.c.execution_id == sa.bindparam("changed_id"))
        .values({name: sa.bindparam(name) for name in sorted(names)})
    )
