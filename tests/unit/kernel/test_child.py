import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from strategy_engine import examples
from strategy_engine.kernel import child, strategy
from strategy_engine.sandbox.protocol import framing, messages

type MakeLoad = Callable[..., messages.Load]
type MakeBars = Callable[..., messages.Bars]

HOLDS = "class S:\n    def generate_signal(self, m):\n        return 'HOLD'\n"


@pytest.fixture
def ends() -> Iterator[tuple[framing.Channel, framing.Channel, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    with ours, theirs:
        yield framing.Channel(ours), framing.Channel(theirs), ours


def test_every_message_is_answered_until_stop(
    ends: tuple[framing.Channel, framing.Channel, socket.socket],
    load: MakeLoad,
    bars: MakeBars,
) -> None:
    ours, theirs, _ = ends
    for message in (load(HOLDS), messages.Backtest(bars=[bars([1, 2])]), messages.Stop()):
        ours.send(messages.encode(message))
    child.main(theirs)
    answers = [messages.decode_from_child(ours.receive() or b"") for _ in range(3)]
    assert [type(each).__name__ for each in answers] == ["Loaded", "Backtested", "Stopped"]


def test_a_hang_up_ends_the_child(
    ends: tuple[framing.Channel, framing.Channel, socket.socket], load: MakeLoad
) -> None:
    ours, theirs, sock = ends
    ours.send(messages.encode(load(HOLDS)))
    sock.shutdown(socket.SHUT_WR)
    child.main(theirs)
    assert isinstance(messages.decode_from_child(ours.receive() or b""), messages.Loaded)


def test_the_first_failure_ends_the_child(
    ends: tuple[framing.Channel, framing.Channel, socket.socket], load: MakeLoad
) -> None:
    ours, theirs, sock = ends
    ours.send(messages.encode(load("import nowhere")))
    ours.send(messages.encode(load(HOLDS)))
    child.main(theirs)
    sock.setblocking(False)
    failed = messages.decode_from_child(ours.receive() or b"")
    assert isinstance(failed, messages.Failed)
    assert (failed.phase, failed.error) == ("compile", "ModuleNotFoundError")
    with pytest.raises(BlockingIOError):
        sock.recv(1)


def test_loading_says_what_was_found_and_bound(load: MakeLoad) -> None:
    code = """
class Mine:
    lookback = 40
    def __init__(self, period=3):
        pass
    def on_fill(self, fill):
        pass
    def generate_signal(self, m):
        return 'HOLD'
"""
    answer = child.Conversation().answer(load(code, parameters={"period": 2, "perod": 3}))
    assert answer == messages.Loaded(
        class_name="Mine", lookback=40, bound=["period"], unbound=["perod"], hooks=["on_fill"]
    )


def test_a_conversation_must_begin_with_load(bars: MakeBars) -> None:
    with pytest.raises(RuntimeError, match="Load"):
        child.Conversation().answer(messages.Backtest(bars=[bars([1])]))


def test_stopping_before_anything_was_loaded_is_no_error() -> None:
    assert child.Conversation().answer(messages.Stop()) == messages.Stopped()


def test_importing_the_child_loads_neither_pytest_nor_data_frames() -> None:
    script = (
        "import sys; sys.modules['pandas'] = sys.modules['polars'] = None\n"
        "import strategy_engine.kernel.child\n"
        "heavy = {'pytest', '_pytest', 'sqlalchemy', 'pydantic', 'asyncio', 'pyarrow'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("example", examples.EXAMPLES, ids=lambda each: each.name)
def test_every_example_loads_unless_it_is_the_one_that_does_not_compile(
    load: MakeLoad, example: examples.Example
) -> None:
    answer = child.Conversation().answer(
        load(example.source(), parameters=dict(example.parameters))
    )
    expected = messages.Failed if example.fails_at == "syntax_check" else messages.Loaded
    assert isinstance(answer, expected)


def test_the_example_that_reads_the_future_finds_none(load: MakeLoad, bars: MakeBars) -> None:
    code = next(each for each in examples.EXAMPLES if "future" in each.file).source()
    conversation = child.Conversation()
    conversation.answer(load(code))
    closes = [100 + (i * 7919 % 101) / 10 for i in range(2_500)]
    answer = conversation.answer(messages.Backtest(bars=[bars(closes)]))
    assert isinstance(answer, messages.Backtested)
    assert set(answer.decisions[0].actions) == {0}


def test_the_example_that_reads_the_future_would_trade_on_memory_that_held_it() -> None:
    code = next(each for each in examples.EXAMPLES if "future" in each.file).source()
    history = np.array([1.0, 2.0, 3.0, 2.0])
    reader = strategy.blueprint(code, {}).construct()
    answers = [reader.generate_signal({"prices": history[: n + 1]}) for n in range(4)]
    assert answers == ["BUY", "BUY", "SELL", "HOLD"]
