"""Everything that happened, in an order that who comes back can go on from.

Two tables of the control database, each with a number that only rises: the audit, and what
relays publish, which is kept here before it is published. What is in the ledger's file comes by its
outbox, so one database holds the order of both files. Two tables have no common order: each keeps
its own, and between the two the times decide. A place is therefore a place in each.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from heapq import merge
from operator import attrgetter
from typing import Any, Protocol, Self

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core.errors import InvalidError
from strategy_engine.infra import audit, database
from strategy_engine.infra.bus import topics
from strategy_engine.infra.outbox import Waiting

AT_ONCE = 500
SECRETIVE = ("api_key", "webhook")  # who holds keys, and where events go, is nobody else's
LEFT_OUT = frozenset({topics.METRICS, topics.POSITION})  # read them where they are kept
_PLACE = re.compile(r"(\d{1,18})-(\d{1,18})", re.ASCII)
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TABLE = sa.Table(
    "events",
    database.control,
    sa.Column("event_no", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("event_id", sa.String(160), nullable=False, unique=True),
    sa.Column("topic", sa.String(60), nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("at", database.UtcDateTime, nullable=False),
    sa.Index("ix_events_at", "at"),
    sqlite_autoincrement=True,  # a number is never given again, whatever is forgotten
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Up to where somebody knows what happened: the last row of each table."""

    audit_id: int = 0
    event_no: int = 0

    def __str__(self) -> str:
        return f"{self.audit_id}-{self.event_no}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the place that was written as `12-3`.

        Raises
        ------
        InvalidError
            If it is none.
        """
        found = _PLACE.fullmatch(text.strip())
        if found is None:
            raise InvalidError(
                f"Last-Event-ID is {text[:60]!r}; send the id of an event, such as 12-3",
                field="Last-Event-ID",
                value=text[:60],
                accepted="the id of an event",
            )
        return cls(audit_id=int(found[1]), event_no=int(found[2]))


BEGINNING = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened. `place` is what is known of it all once this is known.

    Parameters
    ----------
    number : int
        In its own table: `is_published` says which one.
    topic : str
        The bus's, or the subject and what was done to it, such as `flag.update`.
    line, strategy_id, execution_id : str or None
        Whose it is, as far as it is anybody's.
    """

    place: Place
    number: int
    is_published: bool
    topic: str
    at: datetime
    actor: str = audit.ENGINE
    subject_type: str = ""
    subject_id: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict)
    line: str | None = None
    strategy_id: str | None = None
    execution_id: str | None = None

    def is_after(self, known: Place) -> bool:
        """Say whether who knows all up to a place does not know this."""
        last = known.event_no if self.is_published else known.audit_id
        return self.number > last

    @property
    def severity(self) -> str | None:
        """How much it matters, if somebody has said so."""
        found = self.payload.get("severity")
        return found if isinstance(found, str) else None


async def keep(connection: AsyncConnection, found: Iterable[Waiting]) -> None:
    """Keep what is about to be published; the same again is no change.

    The caller writes in turn, so that a lower number is never seen after a higher one.
    """
    rows = [
        {
            "event_id": each.event_id,
            "topic": each.topic,
            "payload": each.payload,
            "at": each.created_at,
        }
        for each in found
        if each.topic not in LEFT_OUT
    ]
    if rows:
        make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        await connection.execute(
            make(TABLE).on_conflict_do_nothing(index_elements=["event_id"]), rows
        )


async def trim(connection: AsyncConnection, before: datetime) -> None:
    """Forget what was published before a time; the audit is kept for ever."""
    await connection.execute(sa.delete(TABLE).where(TABLE.c.at < before))


async def end(connection: AsyncConnection) -> Place:
    """Return the place after all that has happened."""
    audit_id = await connection.scalar(sa.select(sa.func.max(audit.TABLE.c.audit_id)))
    event_no = await connection.scalar(sa.select(sa.func.max(TABLE.c.event_no)))
    return Place(audit_id=audit_id or 0, event_no=event_no or 0)


async def first_kept(connection: AsyncConnection) -> int | None:
    """Return the number of the oldest published event that is kept; None: there is none."""
    found: int | None = await connection.scalar(sa.select(sa.func.min(TABLE.c.event_no)))
    return found


async def after(connection: AsyncConnection, place: Place, *, limit: int = AT_ONCE) -> list[Event]:
    """Return what came after a place, oldest first; at most so much of each table."""
    done = await connection.execute(
        sa.select(audit.TABLE)
        .where(
            audit.TABLE.c.audit_id > place.audit_id,
            audit.TABLE.c.subject_type.not_in(SECRETIVE),
        )
        .order_by(audit.TABLE.c.audit_id)
        .limit(limit)
    )
    told = await connection.execute(
        sa.select(TABLE)
        .where(TABLE.c.event_no > place.event_no)
        .order_by(TABLE.c.event_no)
        .limit(limit)
    )
    return in_order([_done(row) for row in done], [_published(row) for row in told], place)


async def before(connection: AsyncConnection, *, limit: int) -> Place:
    """Return the place after which about so many events are left."""
    newest = await end(connection)
    return Place(audit_id=max(0, newest.audit_id - limit), event_no=max(0, newest.event_no - limit))


def in_order(done: Sequence[Event], told: Sequence[Event], place: Place) -> list[Event]:
    """Return the rows of both tables, each in its order, each with the place after it."""
    found = []
    for each in merge(done, told, key=attrgetter("at")):
        moved = {"event_no" if each.is_published else "audit_id": each.number}
        place = replace(place, **moved)
        found.append(replace(each, place=place))
    return found


def _done(row: sa.Row[Any]) -> Event:
    return Event(
        place=BEGINNING,
        number=row.audit_id,
        is_published=False,
        topic=f"{row.subject_type}.{row.action}",
        at=row.at,
        actor=row.actor,
        subject_type=row.subject_type,
        subject_id=row.subject_id,
        payload={**row.details, "from_state": row.from_state, "to_state": row.to_state},
        **_whose(row.subject_type, row.subject_id, row.details),
    )


def _published(row: sa.Row[Any]) -> Event:
    payload = msgspec.json.decode(row.payload)
    subject = topics.named(row.topic).subject if is_known(row.topic) else "execution_id"
    return Event(
        place=BEGINNING,
        number=row.event_no,
        is_published=True,
        topic=row.topic,
        at=row.at,
        subject_type=_TYPES.get(subject, subject),
        subject_id=str(payload.get(subject, "")),
        payload=payload,
        line=payload.get("strategy_name"),
        strategy_id=payload.get("strategy_id"),
        execution_id=payload.get("execution_id"),
    )


def is_known(topic: str) -> bool:
    """Say whether anything is published on a topic."""
    return any(each.name == topic for each in topics.TOPICS)


class Whose(Protocol):
    """Knows whose an event is."""

    async def told(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return events with their version and line, as far as they have them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLog:
    """What happened, as doors see it."""

    database: database.Database
    whose: Whose

    async def after(self, place: Place, *, limit: int = AT_ONCE) -> Sequence[Event]:
        """Return what came after a place, oldest first; at most so much of each table."""
        async with self.database.read() as connection:
            found = await after(connection, place, limit=limit)
        return await self.whose.told(found)

    async def end(self) -> Place:
        """Return the place after all that has happened."""
        async with self.database.read() as connection:
            return await end(connection)

    async def forgotten(self, place: Place) -> int:
        """Return how many published events after a place are not kept any more."""
        async with self.database.read() as connection:
            first = await first_kept(connection)
            last = (await end(connection)).event_no
        kept_from = last + 1 if first is None else first
        return max(0, kept_from - 1 - place.event_no) if place.event_no < last else 0

    async def before_end(self, limit: int) -> Place:
        """Return the place after which at least so many events are, if there are as many."""
        async with self.database.read() as connection:
            return await before(connection, limit=limit)


_TYPES = {
    "execution_id": "execution",
    "strategy_id": "strategy",
    "pipeline_id": "deployment",
}
_NAMED = {"execution": "execution_id", "strategy": "strategy_id", "version": "strategy_id"}
_LINES: Collection[str] = ("line", "allocation")


def _whose(kind: str, subject_id: str, details: Mapping[str, Any]) -> dict[str, str | None]:
    found = {
        "execution_id": details.get("execution_id"),
        "strategy_id": details.get("strategy_id"),
        "line": details.get("strategy_name") or details.get("line"),
    }
    for type_, name in (
        (kind, subject_id),
        (details.get("subject_type"), details.get("subject_id")),
    ):
        if type_ in _NAMED:
            found[_NAMED[type_]] = found[_NAMED[type_]] or name
        elif type_ in _LINES:
            found["line"] = found["line"] or name
    return found
