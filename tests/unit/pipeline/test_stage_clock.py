"""What counts against a stage's limit. The loop's time is the test's: nothing waits for a clock."""

import asyncio

import pytest

from strategy_engine.pipeline import stage_clock
from strategy_engine.pipeline.children import Children, both
from strategy_engine.sandbox.model import ChildLimits


class Deadline:
    """A limit's time left, by a loop whose time stands still unless a test moves it."""

    def __init__(self, monkeypatch):
        loop = asyncio.get_running_loop()
        self._now_s = loop.time()
        monkeypatch.setattr(loop, "time", lambda: self._now_s)

    def advance(self, seconds):
        self._now_s += seconds

    def left_s(self, limit):
        when = limit.when()
        return None if when is None else round(when - self._now_s)


@pytest.fixture
async def deadline(monkeypatch):
    return Deadline(monkeypatch)


async def test_work_counts(deadline):
    async with stage_clock.limited(100) as limit:
        deadline.advance(30)
        assert deadline.left_s(limit) == 70


async def test_waiting_for_a_worker_with_none_at_work_does_not_count(deadline):
    async with stage_clock.limited(100) as limit:
        deadline.advance(30)
        with stage_clock.waiting():
            assert deadline.left_s(limit) is None
            deadline.advance(1_000)
        assert deadline.left_s(limit) == 70


async def test_waiting_for_a_second_worker_counts_while_the_first_works(deadline):
    async with stage_clock.limited(100) as limit:
        with stage_clock.waiting():
            with stage_clock.holding():
                deadline.advance(30)
                assert deadline.left_s(limit) == 70
            deadline.advance(1_000)
            assert deadline.left_s(limit) is None
        assert deadline.left_s(limit) == 70


async def test_two_that_wait_are_one_stage_that_waits(deadline):
    async with stage_clock.limited(100) as limit:
        with stage_clock.waiting(), stage_clock.waiting():
            deadline.advance(500)
        deadline.advance(1)
        assert deadline.left_s(limit) == 99


async def test_a_limit_that_ran_out_stays_so_while_its_workers_are_let_go():
    async def stage():
        async with stage_clock.limited(0.01):
            with stage_clock.holding():
                try:
                    await asyncio.Event().wait()
                finally:
                    with stage_clock.waiting():
                        await asyncio.sleep(0)

    with pytest.raises(TimeoutError):
        await stage()


async def test_outside_any_stage_nothing_is_counted():
    with stage_clock.waiting(), stage_clock.holding():
        assert stage_clock._CURRENT.get() is None


async def test_a_stage_that_waits_for_workers_is_not_failed_by_those_that_hold_them(make, deadline):
    pool = Children(make.Scripted(lambda _: make.LOADED), limits=ChildLimits(), workers=2)
    is_over, is_held = asyncio.Event(), asyncio.Semaphore(0)

    async def hog():
        async with pool.open("lean", "hog"):
            is_held.release()
            await is_over.wait()

    async def ask():
        async with pool.open("lean", "innocent"):
            return True

    async def innocent():
        async with stage_clock.limited(24) as limit:
            waiting = asyncio.create_task(both(ask(), ask()))
            while limit.when() is not None:  # noqa: ASYNC110 - no event tells of a deadline lifted
                await asyncio.sleep(0)
            deadline.advance(1_000)
            is_over.set()
            return await waiting

    hogs = [asyncio.create_task(hog()) for _ in range(2)]
    for _ in hogs:
        await is_held.acquire()
    assert await innocent() == (True, True)
    await asyncio.gather(*hogs)
