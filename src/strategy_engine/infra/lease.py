"""Who does a node's work: one engine at a time, by a lease whose epoch every write of it checks.

Two engines that share a PostgreSQL database can both believe that they are the same node: one was
frozen, the other was started in its place. Times alone cannot tell them apart, because the frozen
one does not know how long it slept. So the lease is an epoch: taking it over raises the epoch, and
a transaction of an older one is refused by the database itself, whenever it comes.

A row is locked shared by whoever writes under it (`fence`), and exclusively by whoever takes it
over. The beats are kept apart from it, so that a heartbeat never waits for a writer.
"""

import asyncio
import dataclasses
import os
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from strategy_engine.core.errors import UnavailableError
from strategy_engine.infra import database, logs, outages
from strategy_engine.infra.outages import DatabaseAwayError

LASTS_S = 5.0
BEAT_S = 1.0
LOST_STATUS = 75  # of a process that lost its lease, as the supervisor knows it (EX_TEMPFAIL)

_log = logs.get("lease")
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_START_FIELD = 19  # of /proc/PID/stat after the name: when it started, ticks since the boot

LEASES = sa.Table(
    "leases",
    database.control,
    sa.Column("name", sa.String(80), primary_key=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("host", sa.String(100), nullable=False),
    sa.Column("boot_id", sa.String(40), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("pid_started", sa.BigInteger, nullable=False),
)
BEATS = sa.Table(
    "lease_beats",
    database.control,
    sa.Column("name", sa.String(80), primary_key=True),
    sa.Column("expires_at", database.UtcDateTime, nullable=False),
)


class LeaseLostError(UnavailableError):
    """Another engine does this node's work now; nothing of this one may be written any more."""

    kind = "lease-lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process among all that ever were: pids are given again, and machines restart."""

    host: str
    boot_id: str
    pid: int
    pid_started: int

    def is_gone(self, here: "Process") -> bool:
        """Say whether it certainly runs no more, as far as `here` can see."""
        if (self.host, self.boot_id) != (here.host, here.boot_id):
            return False  # another machine, or another life of this one: only its beats tell
        return _started(self.pid) != self.pid_started


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What an engine holds until it is taken over: a name, and the epoch it took it in."""

    name: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Whose a lease is that cannot be taken yet, and when it ends if that one falls silent."""

    name: str
    host: str
    pid: int
    expires_at: datetime

    def __str__(self) -> str:
        return (
            f"the engine of pid {self.pid} on {self.host} does the work of {self.name} in this"
            f" database. This one takes over when that stops, or is silent for {LASTS_S:g} s. To"
            " run both, give this one another STRATEGY_NODE_ID"
        )


def this_process() -> Process:
    """Return the process that asks."""
    return Process(
        host=socket.gethostname()[:100],
        boot_id=_boot_id(),
        pid=os.getpid(),
        pid_started=_started(os.getpid()) or 0,
    )


def name_of(node_id: str) -> str:
    """Return the name of a node's lease."""
    return f"node {node_id}"


def acquire(
    engine: sa.Engine, name: str, wait: Callable[[Standing | DatabaseAwayError], None]
) -> Lease:
    """Take a lease over as soon as nobody beats for it; `wait` is called while it cannot be taken.

    The lease of a process of this machine that is gone is taken at once. Whoever waits looks
    without a lock, so that the holder's writes never wait for it; a write that a frozen holder was
    in the middle of is waited for, until the server ends it.
    """
    here = this_process()
    while True:
        try:
            with outages.told():
                found = _look(engine, name, here) or _take(engine, name, here)
        except DatabaseAwayError as error:
            wait(error)
            continue
        if isinstance(found, Lease):
            return found
        wait(found)


def release(engine: sa.Engine, lease: Lease) -> None:
    """Let the next one take the lease at once."""
    with engine.begin() as connection:
        connection.execute(_beat(lease, timedelta(0)))


def fence(lease: Lease, lost: Callable[[LeaseLostError], None] | None = None) -> database.Fence:
    """Return what every transaction under a lease passes before it writes anything.

    Parameters
    ----------
    lost : callable, optional
        Told of the error first; a process whose work must not go on a moment longer ends there.
    """
    statement = (
        sa.select(LEASES.c.epoch)
        .where(LEASES.c.name == lease.name, LEASES.c.epoch == lease.epoch)
        .with_for_update(read=True)
    )

    def error() -> LeaseLostError:
        found = _lost(lease)
        if lost is not None:
            lost(found)
        return found

    return database.Fence(statement=statement, error=error)


def _lost(lease: Lease) -> LeaseLostError:
    return LeaseLostError(
        f"the lease of {lease.name} was taken over in epoch {lease.epoch + 1} or later: another"
        " engine does its work now, and this one stops; start it again and it stands by",
        epoch=lease.epoch,
    )


async def keep(held: database.Database, lease: Lease) -> None:
    """Beat until the lease is lost; a database that is away takes no beats.

    Raises
    ------
    LeaseLostError
        When another engine has taken it over.
    """
    while True:
        try:
            async with held.write(in_turn=False) as connection:
                await connection.execute(_beat(lease, timedelta(seconds=LASTS_S)))
        except DatabaseAwayError as error:
            _log.warning("lease not kept", name=lease.name, why=str(error))
        await asyncio.sleep(BEAT_S)


def _beat(lease: Lease, lasts: timedelta) -> sa.Update:
    is_mine = (
        sa.select(LEASES.c.name)
        .where(LEASES.c.name == lease.name, LEASES.c.epoch == lease.epoch)
        .exists()
    )
    return sa.update(BEATS).where(BEATS.c.name == lease.name, is_mine).values(expires_at=_in(lasts))


def _look(engine: sa.Engine, name: str, here: Process) -> Standing | None:
    with engine.connect() as connection:
        return _standing(connection, name, here)


def _take(engine: sa.Engine, name: str, here: Process) -> Lease | Standing:
    with engine.begin() as connection:
        connection.execute(_nobodys(name))
        connection.execute(_no_beat(name))
        mine = sa.select(LEASES.c.epoch).where(LEASES.c.name == name).with_for_update()
        epoch = connection.scalars(mine).one() + 1
        standing = _standing(connection, name, here)  # another may have been quicker
        return standing or _hold(connection, Lease(name=name, epoch=epoch), here)


def _standing(connection: sa.Connection, name: str, here: Process) -> Standing | None:
    """Return whose the lease is, or None if nobody beats for it, or only who is gone."""
    found = connection.execute(
        sa.select(LEASES, BEATS.c.expires_at)
        .join(BEATS, BEATS.c.name == LEASES.c.name)
        .where(LEASES.c.name == name, BEATS.c.expires_at > _in(timedelta(0)))
    ).one_or_none()
    if found is None:
        return None
    holder = Process(
        host=found.host, boot_id=found.boot_id, pid=found.pid, pid_started=found.pid_started
    )
    if holder.is_gone(here):
        return None
    return Standing(name=name, host=found.host, pid=found.pid, expires_at=found.expires_at)


def _hold(connection: sa.Connection, mine: Lease, here: Process) -> Lease:
    connection.execute(
        sa.update(LEASES)
        .where(LEASES.c.name == mine.name)
        .values(epoch=mine.epoch, **dataclasses.asdict(here))
    )
    connection.execute(_beat(mine, timedelta(seconds=LASTS_S)))
    return mine


def _nobodys(name: str) -> sa.Insert:
    nobody = {"host": "", "boot_id": "", "pid": 0, "pid_started": 0}
    values = {"name": name, "epoch": 0, **nobody}
    return postgresql.insert(LEASES).values(values).on_conflict_do_nothing()


def _no_beat(name: str) -> sa.Insert:
    values = {"name": name, "expires_at": _LONG_AGO}
    return postgresql.insert(BEATS).values(values).on_conflict_do_nothing()


def _in(lasts: timedelta) -> sa.ColumnElement[datetime]:
    now = sa.func.clock_timestamp(type_=sa.DateTime(timezone=True))  # the server's, not a host's
    return now + sa.literal(lasts, sa.Interval())


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # no Linux: nobody is then ever known to be gone, and beats decide
        return uuid.uuid4().hex


def _started(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[_START_FIELD])
