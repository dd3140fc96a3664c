import asyncio

import pytest

from strategy_engine.pipeline.children import SLOWEST_BAR_S, Children, Pace, both
from strategy_engine.pipeline.model import (
    ForgedAnswerError,
    KilledFromOutsideError,
    StrategyFailedError,
)
from strategy_engine.sandbox.model import (
    ChildDiedError,
    ChildLimits,
    ExitKind,
)
from strategy_engine.sandbox.protocol import messages


def children(launcher, workers=2):
    return Children(launcher, limits=ChildLimits(), workers=workers)


async def ask(launcher, job, part):
    async with children(launcher).open("lean", "test") as talk:
        await talk.load(job, part)
        return await talk.backtest(part)


async def test_a_child_of_the_real_kernel_is_understood(make):
    part = make.history(make.wave(300))
    launcher = make.Inside()
    chosen = await ask(launcher, make.job(), part)
    assert {*chosen[make.SYMBOL].actions.tolist()} == {0, 1, 2}
    assert launcher.children[0].is_closed


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "no message"),
        (b"\xff\xff", "no message"),
        (messages.encode({"type": "loaded"}), "no message"),
        (messages.Stopped(), "Stopped where Loaded"),
        (messages.Loaded(class_name="S", lookback=0, bound=[], unbound=[], hooks=[]), "lookback"),
        (
            messages.Loaded(class_name="S", lookback=10**9, bound=[], unbound=[], hooks=[]),
            "lookback",
        ),
    ],
)
async def test_an_answer_that_makes_no_sense_is_forged(make, answer, why):
    part = make.history(make.wave(10))
    with pytest.raises(ForgedAnswerError, match=why):
        await ask(make.Scripted(lambda _: answer), make.job(), part)


async def test_decisions_are_checked_before_they_are_believed(make):
    part = make.history(make.wave(10))
    short = messages.Decisions(symbol=make.SYMBOL, actions=bytes(9), details=[])
    forged = messages.Backtested(decisions=[short], cpu_ns=0)

    def answer(message):
        return make.LOADED if isinstance(message, messages.Load) else forged

    with pytest.raises(ForgedAnswerError, match="9 decisions for 10 bars"):
        await ask(make.Scripted(answer), make.job(), part)


async def test_a_failure_is_told_with_its_bar_and_its_line(make):
    failed = messages.Failed(
        phase="decide", error="KeyError", message="'x'", where="line 7: d['x']", bar_index=3
    )
    with pytest.raises(StrategyFailedError) as raised:
        await ask(make.Scripted(lambda _: failed), make.job(), make.history([1.0, 1.1]))
    assert str(raised.value) == "it raised KeyError at bar 3: 'x' (line 7: d['x'])"
    assert raised.value.where == "line 7: d['x']"
    assert raised.value.facts["error"] == "KeyError"


async def test_what_a_child_says_at_length_is_cut(make):
    long = "x" * 100_000
    loaded = messages.Loaded(
        class_name=long, lookback=5, bound=[long] * 5_000, unbound=[], hooks=[]
    )
    async with children(make.Scripted(lambda _: loaded)).open("lean", "test") as talk:
        found = await talk.load(make.job(), make.history([1.0, 1.1]))
    assert len(found.class_name) == 200
    assert (len(found.bound), len(found.bound[0])) == (1_000, 200)


async def test_no_more_children_are_open_than_there_are_workers(make):
    launcher = make.Scripted(lambda _: make.LOADED)
    pool = children(launcher, workers=3)
    gate = asyncio.Event()

    async def one():
        async with pool.open("lean", "test"):
            await gate.wait()

    tasks = [asyncio.create_task(one()) for _ in range(10)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert launcher.open == 3
    gate.set()
    await asyncio.gather(*tasks)
    assert (launcher.open, launcher.most) == (0, 3)


async def test_the_first_error_of_two_ends_the_other_and_is_raised_itself(make):
    is_over = asyncio.Event()

    async def waits():
        try:
            await asyncio.Event().wait()
        finally:
            is_over.set()

    async def dies():
        raise make.died("it was silent")

    with pytest.raises(ChildDiedError, match="it was silent"):
        await both(waits(), dies())
    assert is_over.is_set()


@pytest.mark.parametrize(
    ("kind", "status", "raised"),
    [
        (ExitKind.SIGNAL, -9, KilledFromOutsideError),
        (ExitKind.KILLED, -9, KilledFromOutsideError),
        (ExitKind.KILLED, None, KilledFromOutsideError),
        (ExitKind.SIGNAL, -11, ChildDiedError),
        (ExitKind.SILENT, -9, ChildDiedError),
        (ExitKind.OUT_OF_MEMORY, 71, ChildDiedError),
    ],
)
async def test_a_kill_from_outside_is_told_from_an_end_of_the_strategy_s_own(
    make, kind, status, raised
):
    def answer(message):
        raise make.died("it ended", kind, status)

    with pytest.raises(raised, match="it ended"):
        await ask(make.Scripted(answer), make.job(), make.history([1.0, 1.1]))


async def test_a_child_that_is_not_born_gives_its_worker_back(make):
    class Barren:
        async def child(self, kind, limits, label):
            raise make.died("it died young", ExitKind.SIGNAL, -9)

    pool = children(Barren(), workers=1)
    for _ in range(2):
        with pytest.raises(KilledFromOutsideError, match="it died young"):
            async with pool.open("lean", "test"):
                pass


def test_what_a_strategy_may_take_follows_from_what_it_took():
    pace = Pace()
    assert pace.allowance_s(1_000) == 1_000 * SLOWEST_BAR_S
    pace.learn(200, 0.02)
    assert pace.allowance_s(1_000) == pytest.approx(1.0)
    pace.learn(1, 0.01)  # a short history measures the asking
    assert pace.allowance_s(1_000) == pytest.approx(1.0)
    pace.learn(1_000, 6.0)
    assert pace.allowance_s(1_000) == 1_000 * SLOWEST_BAR_S


async def test_a_fast_strategy_gets_hardly_more_than_one_decision_s_time(make):
    waits = []

    class Timed(make.Inside):
        async def child(self, kind, limits, label):
            born = await super().child(kind, limits, label)
            asked = born.request

            async def request(body, timeout_s):
                waits.append(timeout_s)
                return await asked(body, timeout_s)

            born.request = request
            return born

    pool = Children(Timed(), limits=ChildLimits(), workers=1, decision_timeout_s=5.0)
    pace = Pace()
    part = make.history(make.wave(1_000))
    async with pool.open("lean", "test", pace) as talk:
        await talk.load(make.job(), part)
        await talk.backtest(part.last(200))
    pace.learn(200, 0.002)
    async with pool.open("lean", "test", pace) as talk:
        await talk.load(make.job(), part)
        await talk.backtest(part)
    assert waits == [5.0, 9.0, 5.0, 5.1]
