"""Zygotes with real processes: how they start, die, and take their children with them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvloop

from strategy_engine.core.errors import InvalidError, UnavailableError
from strategy_engine.sandbox import launcher
from strategy_engine.sandbox.launcher import ChildDiedError, ChildLimits, ExitKind

sys.path.append(str(Path(__file__).parent / "runners"))
import watching

TIMEOUT_S = 10.0


@pytest.fixture
async def zygote() -> AsyncIterator[launcher.Zygote]:
    made = launcher.Zygote("lean", "acts:main", (watching.RUNNERS,))
    yield made
    await made.stop()


async def test_children_die_with_their_zygote_and_the_next_fork_works(
    zygote: launcher.Zygote,
) -> None:
    waiting = await zygote.fork(ChildLimits(), "waiting")
    looping = await zygote.fork(ChildLimits(), "looping")
    looping.send(b"loop_for_ever")
    assert zygote.pid is not None

    os.kill(zygote.pid, signal.SIGKILL)
    with pytest.raises(ChildDiedError, match="its zygote"):
        await waiting.receive(TIMEOUT_S)

    assert (await looping.exit).kind is ExitKind.KILLED
    assert watching.is_gone(waiting.pid)
    assert watching.is_gone(looping.pid)
    again = await zygote.fork(ChildLimits(), "again")
    again.send(b"echo")
    assert await again.request(b"alive", TIMEOUT_S) == b"alive"


async def test_a_zygote_killed_unnoticed_is_replaced_by_the_fork_that_finds_out(
    zygote: launcher.Zygote,
) -> None:
    await zygote.start()
    first = zygote.pid
    assert first is not None

    os.kill(first, signal.SIGKILL)
    child = await zygote.fork(ChildLimits(), "next")

    assert child.is_alive
    assert zygote.pid != first


async def test_stopping_ends_every_process_and_closes_every_descriptor() -> None:
    before = watching.descriptors()
    zygote = launcher.Zygote("lean", "acts:main", (watching.RUNNERS,))
    children = [await zygote.fork(ChildLimits(), f"child-{number}") for number in range(5)]
    pids = [zygote.pid, *(child.pid for child in children)]

    await zygote.stop()

    assert all(pid is not None and watching.is_gone(pid) for pid in pids)
    assert [(await child.exit).kind for child in children] == [ExitKind.KILLED] * 5
    assert watching.descriptors() == before


async def test_a_stopped_zygote_forks_only_after_a_start(zygote: launcher.Zygote) -> None:
    await zygote.start()
    await zygote.stop()

    with pytest.raises(UnavailableError, match="was stopped"):
        await zygote.fork(ChildLimits(), "early")
    await zygote.start()

    assert (await zygote.fork(ChildLimits(), "later")).is_alive


async def test_stopping_does_not_wait_for_a_zygote_that_warms_up() -> None:
    before = watching.descriptors()
    zygote = launcher.Zygote("lean", "acts:main", (watching.RUNNERS,))
    starting = asyncio.create_task(zygote.start())
    await watching.until(lambda: zygote.pid is not None)

    await zygote.stop()

    with pytest.raises(UnavailableError, match="SIGKILL"):
        await starting
    assert watching.descriptors() == before


async def test_a_cancelled_start_leaves_no_process() -> None:
    before = watching.descriptors()
    zygote = launcher.Zygote("lean", "acts:main", (watching.RUNNERS,))
    starting = asyncio.create_task(zygote.start())
    await watching.until(lambda: zygote.pid is not None)

    starting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await starting
    await watching.until(lambda: zygote.pid is None and watching.descriptors() == before)


async def test_a_zygote_that_does_not_answer_is_given_up(
    zygote: launcher.Zygote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strategy_engine.sandbox.life._FORK_S", 0.1)
    await zygote.start()
    assert zygote.pid is not None
    os.kill(zygote.pid, signal.SIGSTOP)

    with pytest.raises(UnavailableError, match=r"more than 0\.1 s to fork"):
        await zygote.fork(ChildLimits(), "never")

    assert (await zygote.fork(ChildLimits(), "next")).is_alive


async def test_a_runner_that_cannot_be_imported_says_why() -> None:
    zygote = launcher.Zygote("lean", "broken:main", (watching.RUNNERS,))

    with pytest.raises(UnavailableError, match="ImportError: no module named nonsense"):
        await zygote.start()


async def test_a_zygote_with_a_second_thread_refuses_to_fork() -> None:
    zygote = launcher.Zygote("lean", "threaded:main", (watching.RUNNERS,))

    with pytest.raises(UnavailableError, match="the zygote has 2 threads"):
        await zygote.fork(ChildLimits(), "copy")
    await zygote.stop()


async def test_a_kind_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(InvalidError, match="there are: lean, scientific, nautilus, tests"):
        launcher.Zygote("heavy")


async def test_zygotes_start_one_of_each_kind_when_it_is_asked_for() -> None:
    before = watching.descriptors()
    zygotes = launcher.Zygotes("pytest_inside:main", (watching.RUNNERS,))
    try:
        lean, tests, again = [
            await zygotes.child(kind, ChildLimits(), kind) for kind in ("lean", "tests", "lean")
        ]
        modules = [
            set(json.loads(await child.request(b"?", TIMEOUT_S))["modules"])
            for child in (lean, tests, again)
        ]
    finally:
        await zygotes.aclose()

    assert ["pytest" in each for each in modules] == [False, True, False]
    assert not {"hypothesis", "xdist", "pandas"} & modules[1]
    with pytest.raises(UnavailableError, match="closed"):
        await zygotes.child("lean", ChildLimits(), "late")
    assert watching.descriptors() == before


def test_everything_dies_with_an_engine_that_is_killed() -> None:
    host = Path(watching.RUNNERS) / "host.py"
    with subprocess.Popen([sys.executable, str(host)], stdout=subprocess.PIPE) as engine:
        assert engine.stdout is not None
        pids = [int(each) for each in engine.stdout.readline().split()]
        alive = [not watching.is_gone(pid) for pid in pids]

        engine.kill()

    assert alive == [True] * 5
    assert watching.wait_until(lambda: all(watching.is_gone(pid) for pid in pids))


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_both_event_loops_serve(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def engine() -> list[object]:
        zygote = launcher.Zygote("lean", "acts:main", (watching.RUNNERS,))
        try:
            child = await zygote.fork(ChildLimits(), "child")
            child.send(b"echo")
            body = bytes(3 << 20)
            echoed = await child.request(body, TIMEOUT_S) == body
            doomed = await zygote.fork(ChildLimits(), "doomed")
            doomed.kill("why not")
            return [echoed, (await child.close()).kind, (await doomed.exit).kind]
        finally:
            await zygote.stop()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(engine()) == [True, ExitKind.EXITED, ExitKind.KILLED]
