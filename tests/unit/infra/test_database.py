import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import StatementError

from strategy_engine.infra import database, wakeup

METADATA = sa.MetaData()
TABLE = sa.Table(
    "things",
    METADATA,
    sa.Column("thing_id", sa.Integer, primary_key=True),
    sa.Column("amount", database.ExactDecimal),
    sa.Column("at", database.UtcDateTime),
    sa.Column("count", sa.Integer, nullable=False, default=0),
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
