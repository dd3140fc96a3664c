"""Leases of a node in a real PostgreSQL: one engine at a time, and no write of an older one."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest
import sqlalchemy as sa

from strategy_engine.infra import database, lease, migrate
from strategy_engine.infra.database import Database
from strategy_engine.infra.lease import LeaseLostError


class GaveUpError(Exception):
    """The lease was somebody else's."""


def give_up(standing):
    raise GaveUpError(standing)


@pytest.fixture(scope="module")
def url(tmp_path_factory, new_database):
    made = new_database()
    migrate.upgrade(tmp_path_factory.mktemp("lease"), made)
    return made


@pytest.fixture
def name(request):
    """A lease of the test's own: they share a database."""
    return lease.name_of(request.node.name)[:80]


@pytest.fixture
def engine(url):
    made = database.sync_engine(url)
    yield made
    made.dispose()


@pytest.fixture
def process():
    made = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield made
    made.kill()
    made.communicate()


def give_to(engine, name, pid, *, expires_in_s):
    """Let another process of this machine hold the lease."""
    started = lease._started(pid)
    with engine.begin() as connection:
        connection.execute(
            sa.update(lease.LEASES)
            .where(lease.LEASES.c.name == name)
            .values(pid=pid, pid_started=started)
        )
        soon = lease._in(timedelta(seconds=expires_in_s))
        connection.execute(
            sa.update(lease.BEATS).where(lease.BEATS.c.name == name).values(expires_at=soon)
        )


def test_every_taking_raises_the_epoch(engine, name):
    first = lease.acquire(engine, name, give_up)
    lease.release(engine, first)

    second = lease.acquire(engine, name, give_up)

    assert (first.epoch, second.epoch) == (1, 2)


def test_a_lease_that_is_beaten_for_is_not_taken(engine, process, name):
    lease.acquire(engine, name, give_up)
    give_to(engine, name, process.pid, expires_in_s=60)

    with pytest.raises(GaveUpError) as told:
        lease.acquire(engine, name, give_up)

    assert told.value.args[0].pid == process.pid


def test_a_lease_whose_beats_have_ended_is_taken(engine, process, name):
    before = lease.acquire(engine, name, give_up)
    give_to(engine, name, process.pid, expires_in_s=-0.001)

    assert lease.acquire(engine, name, give_up).epoch == before.epoch + 1


def test_the_lease_of_a_process_that_is_gone_is_taken_at_once(engine, process, name):
    before = lease.acquire(engine, name, give_up)
    give_to(engine, name, process.pid, expires_in_s=3_600)
    process.kill()
    process.communicate()

    assert lease.acquire(engine, name, give_up).epoch == before.epoch + 1


def test_a_process_that_got_the_same_pid_is_another(engine, name):
    before = lease.acquire(engine, name, give_up)
    with engine.begin() as connection:
        connection.execute(
            sa.update(lease.LEASES).where(lease.LEASES.c.name == name).values(pid_started=1)
        )

    assert lease.acquire(engine, name, give_up).epoch == before.epoch + 1


def test_a_process_of_another_machine_is_never_known_to_be_gone(engine, process, name):
    lease.acquire(engine, name, give_up)
    give_to(engine, name, process.pid, expires_in_s=60)
    process.kill()
    process.communicate()
    with engine.begin() as connection:
        connection.execute(
            sa.update(lease.LEASES).where(lease.LEASES.c.name == name).values(host="elsewhere")
        )

    with pytest.raises(GaveUpError):
        lease.acquire(engine, name, give_up)


def test_two_nodes_hold_a_lease_each(engine, name):
    one = lease.acquire(engine, f"{name} a", give_up)
    other = lease.acquire(engine, f"{name} b", give_up)

    assert (one.epoch, other.epoch) == (1, 1)


async def test_what_an_older_epoch_writes_is_refused(engine, url, name):
    old = lease.acquire(engine, name, give_up)
    fenced = Database(url, fence=lease.fence(old))
    async with fenced.write() as connection:
        await connection.execute(sa.text("CREATE TABLE IF NOT EXISTS written (n int)"))
    lease.release(engine, old)
    lease.acquire(engine, name, give_up)

    with pytest.raises(LeaseLostError, match="epoch 2"):
        async with fenced.write() as connection:
            await connection.execute(sa.text("INSERT INTO written VALUES (1)"))

    async with fenced.read() as connection:
        assert await connection.scalar(sa.text("SELECT count(*) FROM written")) == 0
    await fenced.aclose()


async def test_a_lease_is_not_taken_in_the_middle_of_a_write(engine, url, name):
    old = lease.acquire(engine, name, give_up)
    lease.release(engine, old)
    fenced = Database(url, fence=lease.fence(old))
    impatient = database.sync_engine(url, timeout_s=0.2)
    async with fenced.write():
        with pytest.raises(GaveUpError, match="lock timeout"):
            lease.acquire(impatient, name, give_up)

    assert lease.acquire(impatient, name, give_up).epoch == old.epoch + 1
    impatient.dispose()
    await fenced.aclose()


async def test_whoever_waits_for_a_lease_holds_up_no_write_of_its_holder(
    engine, url, name, process
):
    mine = lease.acquire(engine, name, give_up)
    give_to(engine, name, process.pid, expires_in_s=60)
    fenced = Database(url, fence=lease.fence(mine))
    looks = []

    def look_on(standing):
        looks.append(standing)
        if len(looks) == 3:
            raise GaveUpError(standing)

    async with fenced.write():  # what a take-over would have to wait for
        with pytest.raises(GaveUpError):
            lease.acquire(engine, name, look_on)
        async with fenced.write(in_turn=False):
            pass

    assert [each.pid for each in looks] == [process.pid] * 3
    await fenced.aclose()


async def test_keeping_a_lease_ends_when_another_has_it(engine, url, name):
    old = lease.acquire(engine, name, give_up)
    fenced = Database(url, fence=lease.fence(old))
    lease.release(engine, old)
    lease.acquire(engine, name, give_up)

    with pytest.raises(LeaseLostError):
        await lease.keep(fenced, old)
    await fenced.aclose()


def test_an_old_holder_cannot_give_back_what_is_anothers(engine, name):
    old = lease.acquire(engine, name, give_up)
    lease.release(engine, old)
    new = lease.acquire(engine, name, give_up)

    lease.release(engine, old)

    with engine.connect() as connection:
        left = connection.scalar(
            sa.select(lease.BEATS.c.expires_at > lease._in(timedelta(0))).where(
                lease.BEATS.c.name == name
            )
        )
    assert left, new


def test_a_second_engine_waits_says_so_and_takes_over_from_one_that_stops(
    start_engine, new_database
):
    url = new_database()
    first = start_engine(database_url=url)
    second = start_engine(database_url=url, wait=False)
    deadline = time.monotonic() + 60
    while "waiting: the engine of pid" not in second.tail():
        assert time.monotonic() < deadline, second.tail()
        time.sleep(0.05)
    assert str(first.process.pid) in second.tail()

    assert first.stop() == 0
    health = second.until("/health", lambda each: each["status"] == "healthy")

    assert health["status"] == "healthy"
    assert second.process.poll() is None
    os.kill(second.process.pid, signal.SIGTERM)
    assert second.process.wait(15) == 0
