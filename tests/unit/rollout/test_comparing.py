"""Comparing with scripted processes: what it concludes, what holds it up, what it leaves behind."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from strategy_engine.execution.model import (
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Role,
)
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.market.service import Catalogue
from strategy_engine.registry.model import Content
from strategy_engine.rollout.comparing import Comparer
from strategy_engine.rollout.fresh import Tools
from strategy_engine.sandbox.model import ChildDiedError, ChildExit, ChildLimits, ExitKind
from strategy_engine.sandbox.protocol import messages
from strategy_engine.venue.model import Turn, TurnKind

EURUSD = "EUR/USD.SIM"
CATALOGUE = Catalogue(Path("/nonexistent"))
BARS = CATALOGUE.bars(EURUSD)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
CONTENT = Content(strategy_name="Line", version="1.0.0", code="class Any: ...")
DIED = ChildExit(
    kind=ExitKind.SIGNAL, reason="it was killed", status=-9, rss_bytes=0, cpu_s=0.0, log_lines=()
)
HOLD, BUY = messages.Decided(action=0), messages.Decided(action=1)

type Answer = messages.FromChild | BaseException
type Decide = Callable[[messages.Bar], Answer]


def execution(**config: Any) -> Execution:
    return Execution(
        execution_id="exec_1",
        strategy_id="strat_1",
        role=Role.CANDIDATE,
        status=ExecutionStatus.RUNNING,
        desired=Desired.RUN,
        config=ExecutionConfig(**config),
        capital=Decimal(1),
        created_at=NOW,
        updated_at=NOW,
    )


def bar(index: int) -> messages.Bar:
    opened = int(BARS.ts_ns[index])
    columns = (BARS.open, BARS.high, BARS.low, BARS.close, BARS.volume)
    opens, high, low, close, volume = (float(each[index]) for each in columns)
    return messages.Bar(
        symbol=EURUSD,
        open_ns=opened,
        close_ns=opened + BARS.timeframe_ns,
        ohlcv=(opens, high, low, close, volume),
        holding=messages.Holding(lots=0, entry_price=None, cash=1.0, equity=1.0),
        fills=[],
    )


def live(message: messages.Bar) -> messages.Decided:
    """Decide as the live process did: on every third bar something."""
    index = (message.open_ns // BARS.timeframe_ns) % 3
    return HOLD if index else BUY


def turns(shown: Iterable[messages.Bar]) -> list[Turn]:
    """Return a transcript that begins with a warm-up."""
    said: list[tuple[messages.ToChild, messages.FromChild]] = [
        (messages.WarmUp(bars=[]), messages.WarmedUp(bars=0)),
        *((each, live(each)) for each in shown),
    ]
    return [
        Turn(
            no=no,
            kind=TurnKind.ASKED if no > 1 else TurnKind.START,
            asked=messages.encode(asked),
            answered=messages.encode(answered),
        )
        for no, (asked, answered) in enumerate(said, start=1)
    ]


@dataclass(eq=False)
class Process:
    decide: Decide
    asked: list[messages.ToChild] = field(default_factory=list)
    is_closed: bool = False
    report: Any = None
    log_tail: str = ""

    async def request(self, body: bytes, timeout_s: float | None) -> bytes:
        assert not self.is_closed
        assert timeout_s is not None
        message = messages.decode_for_child(body)
        self.asked.append(message)
        if isinstance(message, messages.Load):
            names: dict[str, list[str]] = {"bound": [], "unbound": [], "hooks": []}
            return messages.encode(messages.Loaded(class_name="Any", lookback=5, **names))
        if isinstance(message, messages.WarmUp):
            return messages.encode(messages.WarmedUp(bars=0))
        answer = self.decide(message)
        if isinstance(answer, BaseException):
            raise answer
        return messages.encode(answer)

    async def close(self, grace_s: float = 1.0) -> ChildExit:
        self.is_closed = True
        return DIED

    @property
    def bars(self) -> int:
        return sum(isinstance(each, messages.Bar) for each in self.asked)


@dataclass
class World:
    """Records, recorded bars and a launcher; each process gets the next of `scripts`."""

    kept: Sequence[Turn]
    scripts: list[Decide] = field(default_factory=lambda: [live])
    processes: list[Process] = field(default_factory=list)
    trouble: Exception | None = None
    heard: dict[int, tuple[float, ...]] = field(default_factory=dict)
    wanted: set[str] = field(default_factory=set)
    largest_page: int = 0

    async def transcript(self, execution_id: str, after_no: int, limit: int) -> Sequence[Turn]:
        if self.trouble is not None:
            raise self.trouble
        self.largest_page = max(self.largest_page, limit)
        return [each for each in self.kept if each.no > after_no][:limit]

    async def between(self, bar_type: str, first_ns: int, last_ns: int) -> Any:
        self.wanted.add(bar_type)
        return {at: each for at, each in self.heard.items() if first_ns <= at <= last_ns}

    async def child(self, kind: str, limits: ChildLimits, label: str) -> Process:
        assert limits.cpu_s is None
        decide = self.scripts[min(len(self.processes), len(self.scripts) - 1)]
        self.processes.append(Process(decide))
        return self.processes[-1]

    @property
    def tools(self) -> Tools:
        return Tools(records=self, recorded=self, catalogue=CATALOGUE, launcher=self)

    def comparer(self, **config: Any) -> Comparer:
        return Comparer(self.tools, execution(**config), CONTENT)

    @property
    def open(self) -> int:
        return sum(not each.is_closed for each in self.processes)


def at_bar(index: int, answer: Answer) -> Decide:
    """Decide as live, but at one bar."""
    return lambda message: answer if message.open_ns == BARS.ts_ns[index] else live(message)


async def test_what_answers_the_same_matches_whole():
    world = World(turns(map(bar, range(30))))

    found = await world.comparer().advance()

    assert (found.compared, found.mismatches, found.wrong_bars) == (30, 0, 0)
    assert (found.up_to_no, found.trouble, found.first_mismatch) == (31, "", "")


async def test_the_first_of_several_mismatches_is_named():
    world = World(turns(map(bar, range(30))), [lambda _: HOLD])

    found = await world.comparer().advance()

    buys = [index for index in range(30) if live(bar(index)) == BUY]
    closed = datetime.fromtimestamp(bar(buys[0]).close_ns / 1e9, UTC).isoformat()
    assert (found.compared, found.mismatches) == (30, len(buys))
    assert found.first_mismatch == (
        f"{EURUSD}, the bar that closed {closed}: live it decided BUY; a fresh process: HOLD"
    )


async def test_only_what_is_new_is_asked():
    world = World(turns(map(bar, range(10))))
    comparer = world.comparer()
    await comparer.advance()
    world.kept = turns(map(bar, range(25)))

    found = await comparer.advance()

    assert found.compared == 25
    assert [each.bars for each in world.processes] == [25]


async def test_a_call_is_bounded_in_turns_and_in_time():
    world = World(turns(map(bar, range(400))))
    comparer = world.comparer()

    assert (await comparer.advance(most=150)).compared == 149
    assert (await comparer.advance(longest_s=-1.0)).compared == 149
    assert (await comparer.advance()).compared == 400
    assert world.largest_page <= 100


async def test_without_a_transcript_there_is_no_process():
    world = World([])

    found = await world.comparer().advance()

    assert (found.compared, found.trouble, world.processes) == (0, "", [])


async def test_one_that_dies_is_told_and_the_next_begins_anew_judging_nothing_twice():
    dying = at_bar(20, ChildDiedError(DIED))
    world = World(turns(map(bar, range(30))), [dying, lambda _: HOLD])
    comparer = world.comparer()

    first = await comparer.advance()
    second = await comparer.advance()

    assert (first.compared, first.mismatches) == (20, 0)
    assert first.trouble.endswith("it was killed")
    assert "the bar that closed" in first.trouble
    later = [index for index in range(20, 30) if live(bar(index)) == BUY]
    assert (second.compared, second.mismatches, second.trouble) == (30, len(later), "")
    assert [each.bars for each in world.processes] == [21, 30]
    assert world.open == 1


async def test_one_that_raises_is_a_mismatch_and_the_last_word():
    failed = messages.Failed(phase="decide", error="ValueError", message="by chance")
    world = World(turns(map(bar, range(30))), [at_bar(20, failed), live])
    comparer = world.comparer()

    found = await comparer.advance()

    assert (found.compared, found.mismatches) == (21, 1)
    assert "ValueError: by chance" in found.first_mismatch
    assert await comparer.advance() == found
    assert (len(world.processes), world.open) == (1, 0)


@pytest.mark.parametrize(
    ("nonsense", "said"),
    [(messages.Stopped(), "answered Stopped"), (messages.Decided(action=7), "action 7")],
)
async def test_nonsense_is_trouble_and_no_decision(nonsense, said):
    world = World(turns(map(bar, range(30))), [at_bar(20, nonsense)])

    found = await world.comparer().advance()

    assert (found.compared, found.mismatches) == (20, 0)
    assert said in found.trouble
    assert world.open == 0


@pytest.mark.parametrize("missing", [1, 15])
async def test_a_transcript_with_a_part_missing_proves_nothing(missing):
    whole = turns(map(bar, range(30)))
    world = World([each for each in whole if each.no != missing])

    found = await world.comparer().advance()

    assert found.compared == max(0, missing - 2)
    assert f"turn {missing + 1} of the transcript follows turn {missing - 1}" in found.trouble


async def test_a_database_that_is_away_costs_no_process():
    world = World(turns(map(bar, range(10))))
    comparer = world.comparer()
    await comparer.advance()
    world.trouble = DatabaseAwayError("it is away")

    away = await comparer.advance()
    world.trouble, world.kept = None, turns(map(bar, range(12)))
    back = await comparer.advance()

    assert (away.compared, away.trouble) == (10, "it is away")
    assert (back.compared, back.trouble) == (12, "")
    assert len(world.processes) == 1


async def test_a_bar_that_the_history_does_not_have_so_is_named():
    shown = [bar(index) for index in range(10)]
    opened, high, low, close, volume = shown[4].ohlcv
    shown[4] = replace_bar(shown[4], (opened, high, low, close + 1e-9, volume))
    world = World(turns(shown))

    found = await world.comparer().advance()

    assert (found.compared, found.mismatches, found.wrong_bars) == (10, 0, 1)
    assert f"it was shown {opened!r} {high!r} {low!r} {close + 1e-9!r}" in found.first_wrong_bar
    assert f"the history has {opened!r} {high!r} {low!r} {close!r}" in found.first_wrong_bar


def replace_bar(message: messages.Bar, ohlcv: tuple[float, ...]) -> messages.Bar:
    fields = {name: getattr(message, name) for name in messages.Bar.__struct_fields__}
    return messages.Bar(**fields | {"ohlcv": ohlcv})


async def test_a_bar_of_the_bus_is_held_against_the_record():
    shown = [bar(index) for index in range(10)]
    recorded = {each.close_ns: each.ohlcv for each in shown}
    recorded[shown[6].close_ns] = (1.0, 2.0, 0.5, 1.5, 3.0)
    world = World(turns(shown), heard=recorded)

    found = await world.comparer(feed="bus").advance()

    assert found.wrong_bars == 1
    assert "the history has 1.0 2.0 0.5 1.5 3.0" in found.first_wrong_bar
    assert [each.startswith(EURUSD) for each in world.wanted] == [True]


async def test_a_call_that_is_cancelled_leaves_no_process_that_owes_an_answer():
    world = World(turns(map(bar, range(10))), [at_bar(5, asyncio.CancelledError()), live])
    comparer = world.comparer()

    with pytest.raises(asyncio.CancelledError):
        await comparer.advance()

    assert world.open == 0
    assert (await comparer.advance()).compared == 10


async def test_how_long_it_is_held_up_is_counted_until_it_goes_on():
    world = World(turns(map(bar, range(10))), [at_bar(5, ChildDiedError(DIED))] * 3 + [live])
    comparer = world.comparer()

    counts = [(await comparer.advance()).held_up for _ in range(4)]

    assert counts == [1, 2, 3, 0]
    assert comparer.result.compared == 10


async def test_a_comparison_that_is_closed_leaves_no_process():
    world = World(turns(map(bar, range(10))))
    comparer = world.comparer()
    await comparer.advance()
    assert world.open == 1

    await comparer.aclose()

    assert world.open == 0
