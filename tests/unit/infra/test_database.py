import asyncio
import math
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import StatementError

from strategy_engine.core.errors import InvalidError
from strategy_engine.infra import database, wakeup
from strategy_engine.infra.outages import DatabaseAwayError

METADATA = sa.MetaData()
TABLE = sa.Table(
    "things",
    METADATA,
    sa.Column("thing_id", sa.Integer, primary_key=True),
    sa.Column("amount", database.ExactDecimal),
    sa.Column("at", database.UtcDateTime),
    sa.Column("count", sa.Integer, nullable=False, default=0),
    sa.Column("name", sa.Text),
    sa.Column("facts", sa.JSON),
    sa.Column("code", sa.String(10)),
)


@pytest.fixture
def url(tmp_path, server):
    url = database.control_url(tmp_path, server)
    engine = database.sync_engine(url)
    METADATA.create_all(engine)
    engine.dispose()
    return url


async def _increment(url: str, times: int) -> None:
    opened = database.Database(url)
    for _ in range(times):
        async with opened.write() as connection:
            count = await connection.scalar(sa.select(TABLE.c.count))
            await connection.execute(sa.update(TABLE).values(count=count + 1))
    await opened.aclose()


async def test_two_processes_lose_no_update(url, server):
    times = 50 if server is None else 300  # SQLite's waiters sleep longer and longer
    opened = database.Database(url)
    async with opened.write() as connection:
        await connection.execute(sa.insert(TABLE).values(thing_id=1, count=0))
    others = [subprocess.Popen([sys.executable, __file__, url, str(times)]) for _ in range(2)]
    codes = [await asyncio.to_thread(each.wait, 60) for each in others]
    async with opened.read() as connection:
        count = await connection.scalar(sa.select(TABLE.c.count))
    await opened.aclose()
    assert codes == [0, 0]
    assert count == 2 * times


async def test_amounts_and_times_come_back_as_they_went(url):
    opened = database.Database(url)
    amount, at = Decimal("12345678901234567890.000000001"), datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
    async with opened.write() as connection:
        await connection.execute(sa.insert(TABLE).values(thing_id=1, amount=amount, at=at))
    async with opened.read() as connection:
        row = (await connection.execute(sa.select(TABLE))).one()
    await opened.aclose()
    assert (row.amount, row.at) == (amount, at)


async def stored(url: str, **values: Any) -> Any:
    opened = database.Database(url)
    try:
        async with opened.write() as connection:
            await connection.execute(sa.insert(TABLE).values(thing_id=1, **values))
        async with opened.read() as connection:
            return (await connection.execute(sa.select(TABLE))).one()
    finally:
        await opened.aclose()


async def test_facts_come_back_as_they_went_and_what_is_no_number_as_nothing(url):
    facts = {"z": [1, 2.5, "\x00é"], "a": {"none": None, "big": 2**62}, "inf": [math.inf]}
    row = await stored(url, facts=facts)
    assert row.facts == facts | {"inf": [None]}
    assert list(row.facts) == ["z", "a", "inf"]


async def test_a_nul_in_a_text_is_no_error_of_the_database(url, server):
    row = await stored(url, name="a\x00b")
    assert row.name == ("a\x00b" if server is None else "a\N{REPLACEMENT CHARACTER}b")


async def test_a_text_longer_than_its_column_is_refused_by_postgresql_with_what_to_do(new_database):
    url = new_database()
    engine = database.sync_engine(url)
    METADATA.create_all(engine)
    engine.dispose()
    with pytest.raises(InvalidError, match=r"too long.*send a shorter"):
        await stored(url, code="x" * 11)
    assert (await stored(url, code="x" * 10)).code == "x" * 10


async def test_texts_are_ordered_as_python_orders_them(url):
    names = ["b", "A", "a", "Z", "é", "_", "/", "B.1", "B-1", "\U0001f600"]
    opened = database.Database(url)
    async with opened.write() as connection:
        rows = [{"thing_id": number, "name": name} for number, name in enumerate(names)]
        await connection.execute(sa.insert(TABLE), rows)
    async with opened.read() as connection:
        order = database.Bytewise(TABLE.c.name)
        found = await connection.scalars(sa.select(TABLE.c.name).order_by(order))
    await opened.aclose()
    assert list(found) == sorted(names)


async def test_a_read_sees_one_moment_however_much_is_written_meanwhile(url):
    opened = database.Database(url)
    async with opened.write() as connection:
        await connection.execute(sa.insert(TABLE).values(thing_id=1, count=1))
    async with opened.read() as reader:
        before = await reader.scalar(sa.select(TABLE.c.count))
        async with opened.write() as connection:
            await connection.execute(sa.update(TABLE).values(count=2))
        after = await reader.scalar(sa.select(TABLE.c.count))
    await opened.aclose()
    assert (before, after) == (1, 1)


async def test_a_writer_that_waits_too_long_for_another_is_told_and_the_other_goes_on(url):
    patient, hasty = database.Database(url), database.Database(url, timeout_s=1.0)
    async with patient.write() as connection:
        await connection.execute(sa.insert(TABLE).values(thing_id=1))
        with pytest.raises(DatabaseAwayError, match="lock"):
            async with hasty.write():
                raise AssertionError("it is another writer's turn")
        assert "lock" in hasty.trouble
    async with hasty.write() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(TABLE)) == 1
    assert hasty.trouble == ""
    await patient.aclose()
    await hasty.aclose()


async def test_a_full_disk_is_over_when_something_was_written_and_not_before(tmp_path):
    url = database.control_url(tmp_path)
    opened = database.Database(url)
    async with opened.write() as connection:
        await connection.run_sync(METADATA.create_all)
        await connection.exec_driver_sql("PRAGMA max_page_count = 3")
    with pytest.raises(DatabaseAwayError, match="free space"):
        async with opened.write() as connection:
            await connection.execute(sa.insert(TABLE).values(thing_id=1, name="x" * 100_000))
    async with opened.write():
        pass  # which a full disk lets
    assert "free space" in opened.trouble
    await opened.takes_writes()
    assert opened.trouble == ""
    await opened.aclose()


async def test_writers_of_money_do_not_wait_for_those_of_desires_on_postgresql(new_database):
    control, ledger = database.open_both(Path("/nonexistent"), new_database(), timeout_s=5)
    async with control.write(), ledger.write() as connection:
        assert await connection.scalar(sa.select(1)) == 1
    await control.aclose()
    await ledger.aclose()


async def test_a_node_hears_of_rows_that_another_host_has_changed(tmp_path, new_database):
    server = new_database()
    opened = database.Database(server)
    wake = wakeup.WakeUp(tmp_path / "here.sock")
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        listening = group.create_task(wake.listen(server))
        await wake.wait(timeout_s=15)  # it wakes once when it has begun to listen
        bell = wakeup.Bell(tmp_path / "elsewhere.sock", opened)
        ringing = group.create_task(bell.run())
        started = asyncio.get_running_loop().time()
        bell.ring()
        await wake.wait(timeout_s=15)
        took_s = asyncio.get_running_loop().time() - started
        listening.cancel()
        ringing.cancel()
    wake.close()
    await opened.aclose()
    assert took_s < 15


async def test_a_naive_time_is_refused(url):
    opened = database.Database(url)
    naive = datetime(2026, 1, 1)
    with pytest.raises(StatementError, match="naive"):
        async with opened.write() as connection:
            await connection.execute(sa.insert(TABLE).values(thing_id=1, at=naive))
    await opened.aclose()


async def test_a_failing_block_writes_nothing(url):
    opened = database.Database(url)
    with pytest.raises(ZeroDivisionError):
        async with opened.write() as connection:
            await connection.execute(sa.insert(TABLE).values(thing_id=1))
            raise ZeroDivisionError
    async with opened.read() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(TABLE)) == 0
    await opened.aclose()


async def test_a_poke_wakes_the_waiter_long_before_its_timeout(tmp_path):
    path = tmp_path / "wake.sock"
    wake = wakeup.WakeUp(path)
    try:
        wakeup.poke(path)
        async with asyncio.timeout(5):
            await wake.wait(timeout_s=60)
    finally:
        wake.close()
    assert not path.exists()


async def test_a_data_directory_of_any_length_has_a_path_to_listen_at(tmp_path):
    deep = tmp_path / ("d" * 120)
    path = wakeup.path_of(deep, "node")
    assert wakeup.path_of(tmp_path, "node") == tmp_path / "run" / "node.sock"
    assert path != wakeup.path_of(tmp_path / ("e" * 120), "node")
    wake = wakeup.WakeUp(path)
    wake.close()


async def test_a_poke_at_nobody_is_no_error(tmp_path):
    wakeup.poke(tmp_path / "nobody.sock")
    assert not (tmp_path / "nobody.sock").exists()


async def test_a_waiter_that_nobody_pokes_looks_again_by_itself(tmp_path):
    wake = wakeup.WakeUp(tmp_path / "wake.sock")
    started = asyncio.get_running_loop().time()
    async with asyncio.timeout(5):
        await wake.wait(timeout_s=0.05)
    wake.close()
    assert asyncio.get_running_loop().time() - started >= 0.04


if __name__ == "__main__":  # a process of its own for the test of two writers
    asyncio.run(_increment(sys.argv[1], int(sys.argv[2])))
