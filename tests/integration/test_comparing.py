"""A fresh process answers as the live one did, or the first decision that differs is named."""

import asyncio
import importlib.util
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from strategy_engine.execution.model import Execution, ExecutionConfig, Role
from strategy_engine.execution.runner import NodeSettings
from strategy_engine.infra import database
from strategy_engine.market.recorded import RecordedBars
from strategy_engine.market.service import Catalogue
from strategy_engine.registry.model import Content, Trigger
from strategy_engine.rollout.comparing import Comparer
from strategy_engine.rollout.fresh import Tools
from strategy_engine.rollout.parity import Compared
from strategy_engine.sandbox.launcher import Zygotes
from strategy_engine.venue.model import TurnKind

PROGRAM = Path(__file__).parent / "runners" / "native_world.py"
_spec = importlib.util.spec_from_file_location("native_world", PROGRAM)
native = importlib.util.module_from_spec(_spec)
sys.modules["native_world"] = native
_spec.loader.exec_module(native)
world = native.world

EURUSD = "EUR/USD.SIM"
WARM_UP, BARS = 40, 400
END_NS = int(Catalogue(Path("/nonexistent")).bars(EURUSD).close_ns[WARM_UP + BARS - 1])
FAST = ExecutionConfig(speed=0, end_ns=END_NS)
PACED = replace(FAST, speed=400)

# What it decides depends on every bar, and on every one of them exactly once.
COUNTING = """
import random
import time


class Counting:
    lookback = 40

    def __init__(self):
        self.bars = self.fills = 0

    def on_fill(self, fill):
        self.fills += 1

    def generate_signal(self, market_data):
        self.bars += 1
        rising = market_data["prices"][-1] > market_data["prices"].mean()
        if market_data["position"]:
            return "SELL" if (self.bars + 3 * self.fills) % 7 == 0 else "HOLD"
        return "BUY" if (self.bars + self.fills + rising) % 5 == 0 else "HOLD"

    def save_state(self):
        return {"bars": self.bars, "fills": self.fills}

    def load_state(self, state):
        self.bars, self.fills = state["bars"], state["fills"]
"""
RANDOM = COUNTING.replace("self.bars += 1", "self.bars += random.randrange(3)")
HASTY = COUNTING.replace("self.bars += 1", "self.bars += time.perf_counter_ns() % 3")
# One bar more or less in its window makes other decisions.
LOOKING = COUNTING.replace(
    'market_data["prices"][-1] > market_data["prices"].mean()',
    'int(market_data["prices"].sum() * 1e5) % 5',
)
FORGETFUL = COUNTING.replace('"bars": self.bars', '"bars": 0')


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    world.create_tables(tmp_path)
    return tmp_path


@pytest.fixture
async def control(data_dir: Path) -> AsyncIterator[Any]:
    async with world.control(data_dir, confirm_s=60.0) as found:
        yield found


@pytest.fixture
async def node(data_dir: Path) -> AsyncIterator[Any]:
    async with world.node(data_dir, NodeSettings(decision_timeout_s=5)) as running:
        yield running


@asynccontextmanager
async def comparing(control: Any, data_dir: Path, mine: Execution) -> AsyncIterator[Comparer]:
    """Give a comparer with zygotes of its own, as control has."""
    zygotes = Zygotes()
    kept = database.Database(database.ledger_url(data_dir, world.server()))
    content = (await control.registry.get(mine.strategy_id)).content
    tools = Tools(
        records=control.records,
        recorded=RecordedBars(kept),
        catalogue=Catalogue(data_dir),
        launcher=zygotes,
    )
    comparer = Comparer(tools, mine, content)
    try:
        yield comparer
    finally:
        await comparer.aclose()
        await zygotes.aclose()
        await kept.aclose()


async def compared(control: Any, data_dir: Path, mine: Execution) -> Compared:
    """Compare a whole transcript."""
    last = await control.records.last_turn(mine.execution_id)
    async with comparing(control, data_dir, mine) as comparer, asyncio.timeout(60):
        while (found := await comparer.advance()).up_to_no < last:
            assert found.trouble == ""
    return found


async def deployed(control: Any, code: str) -> str:
    strategy, _ = await control.registry.create(
        Content(strategy_name="Line", version="1.0.0", code=code), actor="tester"
    )
    for trigger in (Trigger.VALIDATE, Trigger.APPROVE, Trigger.DEPLOY):
        await control.registry.move(strategy.strategy_id, trigger, actor="tester")
    return strategy.strategy_id


async def started(
    control: Any, code: str, config: ExecutionConfig, role: Role = Role.CANDIDATE
) -> Execution:
    strategy_id = await deployed(control, code)
    found: Execution = await control.executions.start(
        strategy_id, config, actor="tester", role=role
    )
    return found


async def ended(control: Any, mine: Execution) -> Execution:
    found: Execution = await control.executions.wait_ended(mine.execution_id, 60)
    assert (found.end_reason, found.error) == ("completed", None)
    return found


def decided(control: Any, mine: Execution, bars: int) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        kept = await control.records.checkpoint(mine.execution_id)
        return kept is not None and kept.bar_no >= bars

    return is_so


def kill_its_process(node: Any, kind: str = "lean") -> None:
    children = list(node.zygotes._by_kind[kind]._life._children.values())
    for each in children:
        os.kill(each.pid, signal.SIGKILL)


async def killed_twice(control: Any, node: Any, mine: Execution, kind: str = "lean") -> None:
    for epoch, bars in ((2, 80), (3, 200)):
        await native.until(decided(control, mine, bars))
        kill_its_process(node, kind)
        await native.until(native.epoch_of(control, mine.execution_id, epoch))


@pytest.mark.parametrize("role", [Role.SHADOW, Role.CANDIDATE, Role.BASELINE])
async def test_every_decision_of_an_honest_strategy_is_made_again(control, node, data_dir, role):
    mine = await ended(control, await started(control, COUNTING, FAST, role))

    found = await compared(control, data_dir, mine)

    assert (found.compared, found.mismatches, found.wrong_bars) == (BARS, 0, 0)
    assert len(await control.records.decisions(mine.execution_id)) > 50


async def test_what_is_never_compared_is_not_kept(control, node):
    mine = await ended(control, await started(control, COUNTING, FAST, Role.STABLE))

    assert await control.records.transcript(mine.execution_id, 0, 10) == []


async def test_an_honest_strategy_is_matched_across_deaths_of_its_process(control, node, data_dir):
    mine = await started(control, COUNTING, PACED)
    await killed_twice(control, node, mine)
    await ended(control, mine)

    found = await compared(control, data_dir, mine)

    turns = await control.records.transcript(mine.execution_id, 0, 10_000)
    assert [each.no for each in turns] == list(range(1, len(turns) + 1))
    kinds = [each.kind for each in turns if each.kind is not TurnKind.ASKED]
    assert kinds == [TurnKind.START, TurnKind.RESTART, TurnKind.RESTART]
    assert (found.compared, found.mismatches, found.wrong_bars) == (BARS, 0, 0)


@pytest.mark.parametrize("code", [RANDOM, HASTY], ids=["randomness", "wall-time"])
async def test_decisions_that_do_not_follow_from_what_is_shown_are_found(
    control, node, data_dir, code
):
    mine = await ended(control, await started(control, code, FAST))

    found = await compared(control, data_dir, mine)

    assert found.compared == BARS
    assert found.mismatches > BARS // 20
    assert found.first_mismatch.startswith(f"{EURUSD}, the bar that closed 20")
    assert "live it decided" in found.first_mismatch


async def test_a_state_that_is_not_saved_is_found_once_its_process_died(control, node, data_dir):
    mine = await started(control, FORGETFUL, PACED)
    await killed_twice(control, node, mine)
    await ended(control, mine)
    turns = await control.records.transcript(mine.execution_id, 0, 10_000)
    restarted = next(each.no for each in turns if each.kind is TurnKind.RESTART)

    found = await compared(control, data_dir, mine)

    assert (found.compared, found.wrong_bars) == (BARS, 0)
    assert found.mismatches > 0
    async with comparing(control, data_dir, mine) as comparer:
        before = await comparer.advance(most=restarted)
    assert (before.compared, before.mismatches) == (restarted - 2, 0)


async def test_bars_that_passed_in_a_pause_with_a_death_in_it_are_known_to_both(
    control, node, data_dir
):
    mine = await started(control, LOOKING, PACED)
    await native.until(decided(control, mine, 60))
    await control.executions.pause(mine.strategy_id, actor="tester")
    paused = (await control.records.checkpoint(mine.execution_id)).bar_no
    await native.until(decided(control, mine, paused + 60))
    kill_its_process(node)  # nobody hears of it before something is asked of it
    await control.executions.resume(mine.strategy_id, actor="tester")
    assert (await ended(control, mine)).epoch == 2

    found = await compared(control, data_dir, mine)

    assert 60 < found.compared < BARS - 50
    assert (found.mismatches, found.wrong_bars, found.trouble) == (0, 0, "")


async def test_a_comparers_process_that_dies_is_replaced_and_judges_nothing_twice(
    control, node, data_dir
):
    mine = await ended(control, await started(control, COUNTING, FAST))
    async with comparing(control, data_dir, mine) as comparer:
        half = await comparer.advance(most=200)
        kill_its_process(_Own(comparer))
        held_up = await comparer.advance(most=1)
        whole = await comparer.advance(most=10_000, longest_s=60)

    assert (half.compared, half.trouble) == (199, "")
    assert (held_up.compared, held_up.mismatches) == (199, 0)
    assert "the bar that closed" in held_up.trouble
    assert (whole.compared, whole.mismatches, whole.trouble) == (BARS, 0, "")


class _Own:
    def __init__(self, comparer: Comparer) -> None:
        self.zygotes = comparer._tools.launcher


@pytest.mark.timeout(300)  # two zygotes take seconds to warm
async def test_a_native_strategy_is_matched_across_a_death_of_its_process(control, node, data_dir):
    strategy_id = await native.deployed(control, "Native", native.REMEMBERING)
    config = native.until_bar(BARS, speed=400.0)
    mine = await control.executions.start(strategy_id, config, actor="tester", role=Role.CANDIDATE)
    await native.until(native.in_the_middle(control, mine.execution_id, 60))
    kill_its_process(node, "nautilus")
    await native.until(native.epoch_of(control, mine.execution_id, 2))
    await ended(control, mine)

    found = await compared(control, data_dir, mine)

    assert found.first_mismatch == ""
    assert found.compared >= BARS
    assert found.wrong_bars == 0
    assert len(await control.records.orders(mine.execution_id)) > 20
