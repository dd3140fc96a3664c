"""The process wall with real processes: what a child can do, and what becomes of it."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from strategy_engine.core.errors import TooLargeError
from strategy_engine.sandbox import launcher, rules
from strategy_engine.sandbox.launcher import (
    Child,
    ChildDiedError,
    ChildExit,
    ChildLimits,
    ConfinementMode,
    ExitKind,
)

sys.path.append(str(Path(__file__).parent / "runners"))
import watching

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1 << 20
TIMEOUT_S = 10.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def zygote() -> AsyncIterator[launcher.Zygote]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRATEGY_SECRET", "hunter2")
        started = launcher.Zygote("lean", "acts:main", (watching.RUNNERS,))
        await started.start()
    yield started
    await started.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_zygote() -> AsyncIterator[launcher.Zygote]:
    """Give one whose children can look around in /proc, which a whole wall forbids them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRATEGY_SECRET", "hunter2")
        started = launcher.Zygote(
            "lean", "acts:main", (watching.RUNNERS,), confinement=ConfinementMode.OFF
        )
        await started.start()
    yield started
    await started.stop()


async def play(zygote: launcher.Zygote, act: str, limits: ChildLimits | None = None) -> Child:
    child = await zygote.fork(limits or ChildLimits(), act)
    child.send(act.encode())
    return child


async def end_of(zygote: launcher.Zygote, act: str, limits: ChildLimits | None = None) -> ChildExit:
    child = await play(zygote, act, limits)
    with pytest.raises(ChildDiedError) as died:
        while True:
            await child.receive(TIMEOUT_S)
    assert died.value.exit == await child.exit
    assert watching.is_gone(child.pid)
    return died.value.exit


async def test_a_child_answers_each_request(zygote: launcher.Zygote) -> None:
    child = await play(zygote, "echo")

    answers = [await child.request(b"%d" % number, TIMEOUT_S) for number in range(100)]

    assert answers == [b"%d" % number for number in range(100)]
    assert (await child.close()).kind is ExitKind.EXITED


async def test_a_frame_far_larger_than_the_socket_arrives_whole(zygote: launcher.Zygote) -> None:
    child = await play(zygote, "echo")
    body = bytes(range(256)) * (10 * MIB // 256)

    assert await child.request(body, TIMEOUT_S) == body
    await child.close()


async def test_frames_sent_at_once_come_back_in_order(zygote: launcher.Zygote) -> None:
    child = await play(zygote, "echo")
    bodies = [b"%d" % number * 1000 for number in range(500)]

    for body in bodies:
        child.send(body)

    assert [await child.receive(TIMEOUT_S) for _ in bodies] == bodies
    await child.close()


async def test_frames_that_nobody_takes_wait_in_the_child(zygote: launcher.Zygote) -> None:
    child = await play(zygote, "send_many", ChildLimits(frame_bytes=4096))

    numbers = [int(await child.receive(TIMEOUT_S)) for _ in range(20_000)]

    assert numbers == list(range(20_000))
    assert (await child.exit).status == 0


async def test_a_callback_gets_what_waited_and_what_comes(zygote: launcher.Zygote) -> None:
    child = await play(zygote, "echo")
    child.send(b"first")
    await watching.until(lambda: len(child._inbox) == 1)
    got: list[bytes] = []

    child.on_frame = got.append
    child.send(b"second")
    await watching.until(lambda: len(got) == 2)

    assert got == [b"first", b"second"]
    await child.close()


async def test_a_child_is_killed_when_the_engine_fails_on_its_frame(
    zygote: launcher.Zygote,
) -> None:
    child = await play(zygote, "echo")
    failures: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(str(context["exception"])))

    def fail(_: bytes) -> None:
        raise ValueError("not understood")

    child.on_frame = fail
    child.send(b"anything")
    ended = await child.exit
    loop.set_exception_handler(None)

    assert ended.kind is ExitKind.KILLED
    assert failures == ["not understood"]


async def test_an_exception_is_told_by_its_last_line(zygote: launcher.Zygote) -> None:
    ended = await end_of(zygote, "raise_error")

    assert ended.kind is ExitKind.EXCEPTION
    assert ended.reason == "raise_error: it raised ValueError: price of ACME is negative"
    assert ended.status == rules.EXIT_EXCEPTION
    assert ended.log_lines[-1] == "ValueError: price of ACME is negative"


async def test_sys_exit_is_an_exit_with_its_code(zygote: launcher.Zygote) -> None:
    ended = await end_of(zygote, "leave")

    assert (ended.kind, ended.status) == (ExitKind.EXITED, 3)


async def test_an_endless_loop_meets_the_cpu_limit(zygote: launcher.Zygote) -> None:
    ended = await end_of(zygote, "loop_for_ever", ChildLimits(cpu_s=1))

    assert ended.kind is ExitKind.CPU_LIMIT
    assert ended.cpu_s > 0.3  # the kernel counts the limit by ticks, and this figure exactly
    assert "its 1 s of CPU" in ended.reason


async def test_an_endless_loop_meets_the_wall_limit(zygote: launcher.Zygote) -> None:
    ended = await end_of(zygote, "loop_for_ever", ChildLimits(wall_s=0.2))

    assert ended.kind is ExitKind.WALL_LIMIT
    assert "0.2 s" in ended.reason


async def test_ten_gigabytes_at_once_are_refused(zygote: launcher.Zygote) -> None:
    ended = await end_of(zygote, "allocate")

    assert ended.kind is ExitKind.OUT_OF_MEMORY
    assert "256 MiB" in ended.reason
    assert ended.rss_bytes < 256 * MIB


async def test_memory_is_limited_by_growth_since_the_fork(zygote: launcher.Zygote) -> None:
    at_birth = (await end_of(zygote, "leave")).rss_bytes

    ended = await end_of(zygote, "hoard", ChildLimits(memory_bytes=64 * MIB))

    assert ended.kind is ExitKind.OUT_OF_MEMORY
    assert 48 * MIB < ended.rss_bytes - at_birth < 72 * MIB


async def test_a_log_flood_is_cut_off(zygote: launcher.Zygote) -> None:
    ended = await end_of(zygote, "flood_the_log", ChildLimits(log_bytes=100_000))

    assert ended.kind is ExitKind.LOG_FLOOD
    assert "100000 bytes" in ended.reason


async def test_what_a_child_prints_is_kept_in_its_log(zygote: launcher.Zygote) -> None:
    child = await play(zygote, "say")

    assert await child.receive(TIMEOUT_S) == b"said"
    await watching.until(lambda: "second line" in child.log_tail)

    assert child.log_tail == "first line\nsecond line\n"
    assert (await child.close()).log_lines == ("first line", "second line")


async def test_garbage_is_no_frame(zygote: launcher.Zygote) -> None:
    ended = await end_of(zygote, "send_garbage")

    assert ended.kind is ExitKind.BAD_FRAME


async def test_a_frame_beyond_its_limit_is_not_read(zygote: launcher.Zygote) -> None:
    ended = await end_of(zygote, "send_too_much", ChildLimits(frame_bytes=MIB))

    assert ended.kind is ExitKind.OVERSIZED_FRAME
    assert f"{2 * MIB} bytes; the limit is {MIB}" in ended.reason


async def test_a_child_that_ends_within_a_frame_said_nothing_valid(
    zygote: launcher.Zygote,
) -> None:
    child = await play(zygote, "send_half")

    assert await child.receive(TIMEOUT_S) == b"whole"
    assert (await child.exit).kind is ExitKind.BAD_FRAME


async def test_frames_sent_before_a_death_are_still_received(zygote: launcher.Zygote) -> None:
    child = await play(zygote, "send_half")
    await child.exit

    assert await child.receive(TIMEOUT_S) == b"whole"
    with pytest.raises(ChildDiedError):
        await child.receive(TIMEOUT_S)


async def test_a_frame_its_reader_refuses_kills_the_child(zygote: launcher.Zygote) -> None:
    child = await play(zygote, "echo")

    child.refuse_frame("no such message")

    ended = await child.exit
    assert ended.kind is ExitKind.BAD_FRAME
    assert "no such message" in ended.reason


async def test_silence_kills(zygote: launcher.Zygote) -> None:
    child = await play(zygote, "say_nothing")

    with pytest.raises(ChildDiedError) as died:
        await child.request(b"a bar", 0.1)

    assert died.value.exit.kind is ExitKind.SILENT
    assert died.value.kind == "strategy-died"
    assert "0.1 s" in died.value.exit.reason


async def test_a_child_that_closes_its_socket_and_stays_is_killed(
    zygote: launcher.Zygote,
) -> None:
    ended = await end_of(zygote, "hang_up")

    assert ended.kind is ExitKind.SILENT
    assert "closed its socket" in ended.reason


async def test_a_child_that_does_not_read_is_killed(zygote: launcher.Zygote) -> None:
    child = await play(zygote, "never_read", ChildLimits(send_buffer_bytes=MIB))
    assert await child.receive(TIMEOUT_S) == b"ready"

    for _ in range(4):
        child.send(bytes(MIB // 2))

    assert (await child.exit).kind is ExitKind.SLOW_READER


async def test_a_frame_that_could_never_wait_is_refused_to_the_engine(
    zygote: launcher.Zygote,
) -> None:
    child = await play(zygote, "echo", ChildLimits(send_buffer_bytes=MIB))

    with pytest.raises(TooLargeError, match="at most 1048576"):
        child.send(bytes(MIB + 1))

    assert await child.request(b"still here", TIMEOUT_S) == b"still here"
    await child.close()


async def test_a_signal_of_its_own_is_named(zygote: launcher.Zygote) -> None:
    ended = await end_of(zygote, "die_by_segfault")

    assert ended.kind is ExitKind.SIGNAL
    assert "SIGSEGV" in ended.reason


async def test_a_kill_from_outside_is_not_taken_for_the_engines(zygote: launcher.Zygote) -> None:
    child = await play(zygote, "echo")

    os.kill(child.pid, 9)

    assert (await child.exit).kind is ExitKind.SIGNAL


async def test_what_an_open_child_forked_dies_with_it(open_zygote: launcher.Zygote) -> None:
    child = await play(open_zygote, "leave_a_grandchild")
    grandchild = int(await child.receive(TIMEOUT_S))
    assert not watching.is_gone(grandchild)

    await child.close()

    await watching.until(lambda: watching.is_gone(grandchild))


@pytest.mark.parametrize("act", ["end_as_if_unconfined", "close_everything"])
async def test_a_child_that_ran_cannot_say_that_it_never_did(
    zygote: launcher.Zygote, act: str
) -> None:
    ended = await end_of(zygote, act)

    assert "never ran" not in ended.reason


async def test_a_killed_child_tells_why(zygote: launcher.Zygote) -> None:
    child = await play(zygote, "loop_for_ever")

    child.kill("the kill switch was pulled")
    child.kill("again")

    ended = await child.exit
    assert ended.kind is ExitKind.KILLED
    assert ended.reason == "loop_for_ever: the kill switch was pulled"


async def test_closing_gives_time_and_then_none(zygote: launcher.Zygote) -> None:
    willing = await play(zygote, "say_nothing")
    unwilling = await play(zygote, "never_read")
    await unwilling.receive(TIMEOUT_S)

    ends = await asyncio.gather(willing.close(), unwilling.close(grace_s=0.05))

    assert [each.kind for each in ends] == [ExitKind.EXITED, ExitKind.KILLED]
    assert await willing.close() == ends[0]


async def test_closing_lets_what_was_sent_arrive_first(zygote: launcher.Zygote) -> None:
    child = await play(zygote, "echo")
    got: list[int] = []
    child.on_frame = lambda frame: got.append(len(frame))

    child.send(bytes(5 * MIB))
    await child.close(grace_s=TIMEOUT_S)

    assert got == [5 * MIB]


async def test_a_dead_child_drops_frames_and_keeps_its_figures(zygote: launcher.Zygote) -> None:
    child = await play(zygote, "echo")
    assert child.rss_bytes() > MIB
    ended = await child.close()

    child.send(b"too late")

    assert (child.rss_bytes(), child.cpu_s()) == (ended.rss_bytes, ended.cpu_s)
    assert ended.rss_bytes > MIB
    assert ended.cpu_s > 0


async def test_a_request_given_up_halfway_kills_the_child(zygote: launcher.Zygote) -> None:
    child = await play(zygote, "say_nothing")
    asking = asyncio.create_task(child.request(b"a bar", TIMEOUT_S))
    await watching.until(lambda: len(child._inbox._waiters) == 1)

    asking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (await child.exit).kind is ExitKind.KILLED


async def test_cancelling_one_who_waits_for_the_end_disturbs_nobody(
    zygote: launcher.Zygote,
) -> None:
    child = await play(zygote, "echo")

    child.exit.cancel()

    assert await child.request(b"alive", TIMEOUT_S) == b"alive"
    assert (await child.close()).kind is ExitKind.EXITED


async def test_every_layer_stands(zygote: launcher.Zygote) -> None:
    child = await play(zygote, "echo")

    assert child.report.missing == ()
    assert [layer.name for layer in child.report.layers][-1] == "seccomp"
    await child.close()


async def test_a_child_sees_nothing_of_the_engine(open_zygote: launcher.Zygote) -> None:
    child = await play(open_zygote, "tell")
    facts = json.loads(await child.receive(TIMEOUT_S))
    await child.close()

    assert facts["environment"] == {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
        "PYTHONHASHSEED": "0",
    }
    assert facts["cwd"] == "/"
    assert "" not in facts["path"]
    assert facts["stdin"] == ""


async def test_a_child_holds_four_descriptors(open_zygote: launcher.Zygote) -> None:
    others = [await play(open_zygote, "echo") for _ in range(3)]
    child = await play(open_zygote, "tell")
    facts = json.loads(await child.receive(TIMEOUT_S))
    for each in (*others, child):
        await each.close()

    kinds = {fd: target.partition(":")[0] for fd, target in facts["descriptors"].items()}
    assert kinds == {"0": "/dev/null", "1": "pipe", "2": "pipe", "3": "socket"}


async def test_a_child_behind_a_whole_wall_holds_as_few(zygote: launcher.Zygote) -> None:
    child = await play(zygote, "count_descriptors")

    assert await child.receive(TIMEOUT_S) == b"[0, 1, 2, 3]"
    await child.close()


async def test_a_child_is_alone_humble_and_without_new_rights(
    open_zygote: launcher.Zygote,
) -> None:
    child = await play(open_zygote, "tell")
    facts = json.loads(await child.receive(TIMEOUT_S))
    await child.close()

    status = dict(line.split(":\t", 1) for line in facts["status"].splitlines() if ":\t" in line)
    assert (facts["session"], facts["scheduler"]) == (True, os.SCHED_BATCH)
    assert (facts["nice"], facts["oom_score"]) == (os.nice(0) + 5, "1000")
    assert (status["NoNewPrivs"], status["Threads"], status["Name"]) == ("1", "1", "tell")
    assert facts["gc"] is True


async def test_warm_modules_are_there_and_heavy_ones_are_not(
    open_zygote: launcher.Zygote,
) -> None:
    child = await play(open_zygote, "tell")
    modules = set(json.loads(await child.receive(TIMEOUT_S))["modules"])
    await child.close()

    assert {"numpy", "talib"} <= modules
    assert not {"pandas", "polars", "asyncio", "sqlalchemy", "pytest"} & modules


async def test_a_child_cannot_write_a_file(zygote: launcher.Zygote) -> None:
    target = Path("/tmp/strategy-engine-child")
    try:
        ended = await end_of(zygote, "write_a_file")
        assert ended.kind is ExitKind.EXCEPTION
        assert "Operation not permitted" in ended.reason
        assert not target.exists()
    finally:
        target.unlink(missing_ok=True)


async def test_a_file_that_a_child_could_open_would_not_grow(open_zygote: launcher.Zygote) -> None:
    target = Path("/tmp/strategy-engine-child")
    try:
        ended = await end_of(open_zygote, "write_a_file")
        assert "File too large" in ended.reason
    finally:
        target.unlink(missing_ok=True)


async def test_a_child_cannot_open_many_descriptors(zygote: launcher.Zygote) -> None:
    ended = await end_of(zygote, "open_many", ChildLimits(open_files=16))

    assert "Too many open files" in ended.reason


async def test_twenty_children_answer_at_once(zygote: launcher.Zygote) -> None:
    async def one(number: int) -> bytes:
        child = await play(zygote, "echo")
        answer = await child.request(b"%d" % number, TIMEOUT_S)
        await child.close()
        return answer

    answers = await asyncio.gather(*(one(number) for number in range(20)))

    assert answers == [b"%d" % number for number in range(20)]


async def test_two_hundred_forks_leak_nothing(zygote: launcher.Zygote) -> None:
    assert zygote.pid is not None
    before = watching.descriptors()
    before_in_zygote = watching.descriptors(zygote.pid)

    for _ in range(200):
        child = await zygote.fork(ChildLimits(), "short")
        child.kill("enough")
        await child.exit

    assert watching.descriptors() == before
    assert watching.descriptors(zygote.pid) == before_in_zygote
    assert watching.offspring(zygote.pid) == set()


@pytest.mark.parametrize("steps", range(8))
async def test_a_fork_cancelled_on_its_way_leaves_nothing(
    zygote: launcher.Zygote, steps: int
) -> None:
    before = watching.descriptors()
    forking = asyncio.create_task(zygote.fork(ChildLimits(), "unwanted"))

    for _ in range(steps):
        await asyncio.sleep(0)
    if not forking.cancel():
        forking.result().kill("it was faster than its cancelling")

    await asyncio.wait([forking])
    await until_nothing_is_left(zygote, before)


async def test_a_child_that_comes_after_its_cancelling_is_killed(zygote: launcher.Zygote) -> None:
    assert zygote.pid is not None
    before = watching.descriptors()
    os.kill(zygote.pid, signal.SIGSTOP)
    forking = asyncio.create_task(zygote.fork(ChildLimits(), "unwanted"))
    await watching.until(lambda: watching.descriptors() > before)

    forking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await forking
    os.kill(zygote.pid, signal.SIGCONT)

    await until_nothing_is_left(zygote, before)


async def until_nothing_is_left(zygote: launcher.Zygote, descriptors: int) -> None:
    pid = zygote.pid
    assert pid is not None
    await watching.until(
        lambda: watching.offspring(pid) == set() and watching.descriptors() == descriptors
    )
