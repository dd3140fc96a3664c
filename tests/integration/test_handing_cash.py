"""Cash that a fenced switch hands over: there before the taker's first decision, and only once."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from strategy_engine.core.errors import ConflictError, InvalidError
from strategy_engine.execution.journal import Journal
from strategy_engine.execution.model import Change, Desired, ExecutionConfig, Role, Switch
from strategy_engine.execution.runner import NodeSettings
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.registry.model import Content, Trigger

RUNNERS = Path(__file__).parent / "runners"
_spec = importlib.util.spec_from_file_location("handing_node", RUNNERS / "execution_node.py")
world = importlib.util.module_from_spec(_spec)
sys.modules["handing_node"] = world
_spec.loader.exec_module(world)

CAPITAL, SHOWN, SWEEP = Decimal(100_000), Decimal(40_000), Decimal(-(10**12))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
VERSIONS = {Role.STABLE: "1.0.0", Role.SHADOW: "2.0.0"}
NODE = NodeSettings(decision_timeout_s=2)
IDLE = """
class Idle:
    lookback = 10

    def generate_signal(self, market_data):
        return "HOLD"
"""
HOLDING = """
class Holding:
    lookback = 10

    def generate_signal(self, market_data):
        return "BUY"
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    world.create_tables(tmp_path)
    return tmp_path


@pytest.fixture
async def control(data_dir: Path) -> AsyncIterator[Any]:
    async with world.control(data_dir) as found:
        yield found


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(90):
        while not await is_so():  # noqa: ASYNC110 - what is waited for happens in another task
            await asyncio.sleep(0.002)


async def started(control: Any, role: Role, code: str, speed: float, capital: Decimal) -> str:
    content = Content(strategy_name="Line", version=VERSIONS[role], code=code)
    strategy, _ = await control.registry.create(content, actor="tester")
    for trigger in (Trigger.VALIDATE, Trigger.APPROVE, Trigger.DEPLOY):
        await control.registry.move(strategy.strategy_id, trigger, actor="tester")
    config = ExecutionConfig(speed=speed, capital=float(capital))
    found = await control.executions.start(
        strategy.strategy_id, config, actor="tester", role=role, key=f"the {role}"
    )
    return found.execution_id


async def two(control: Any, giver: str = IDLE, speed: float = 200) -> tuple[str, str]:
    """Start one that has the capital and one that is only shown some, and let them play."""
    blue = await started(control, Role.STABLE, giver, speed, CAPITAL)
    green = await started(control, Role.SHADOW, HOLDING, speed, SHOWN)

    async def is_on() -> bool:
        kept = [await control.records.checkpoint(each) for each in (blue, green)]
        return all(each is not None and each.bar_no >= 20 for each in kept)

    await until(is_on)
    return blue, green


def handing(giver: str, taker: str, whole: Decimal = CAPITAL) -> Switch:
    changes = {
        giver: Change(capital_target=SWEEP),
        taker: Change(role=Role.CANDIDATE, capital_target=whole),
    }
    return Switch(key="k", gives=(giver,), takes=(taker,), changes=changes, hands_cash=True)


async def ask(control: Any, asked: Switch) -> None:
    await control.executions.switch(asked, actor="tester", why="a test")


async def done(control: Any) -> int:
    async def is_done() -> bool:
        return (await control.executions.switched("k")).done_at is not None

    await until(is_done)
    return (await control.executions.switched("k")).at_ns


async def contributed(control: Any, *names: str) -> list[Decimal]:
    found = await control.records.accounts(names)
    return [found[each].contributed for each in names]


async def amounts(control: Any, execution_id: str) -> list[Decimal]:
    flows, _ = await control.records.capital_flows(execution_id)
    return sorted(each.amount for each in flows)


async def stop(control: Any, *names: str) -> None:
    wanted = dict.fromkeys(names, Change(desired=Desired.STOP))
    await control.executions.instruct(wanted, actor="tester", why="enough")
    for each in names:
        await control.executions.wait_ended(each, 60)
        assert (await control.records.reconcile(each)).findings == ()


def nanos(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1) * 1_000


@pytest.mark.parametrize("speed", [0, 200])
async def test_the_very_next_decision_of_who_takes_over_fills(control, data_dir, speed):
    async with world.node(data_dir, NODE):
        blue, green = await two(control, speed=speed)
        await ask(control, handing(blue, green))
        at_ns = await done(control)

        async def has_filled() -> bool:
            return bool(await control.records.trades(green))

        await until(has_filled)
        assert await contributed(control, blue, green) == [0, CAPITAL]
        await stop(control, blue, green)

    orders = await control.records.orders(green)
    served = [each for each in orders if nanos(each.decided_at) > at_ns]
    closes = sorted(each.close_ns for each in await control.records.decisions(green))
    first = min(served, key=lambda each: each.decided_at)
    assert nanos(first.decided_at) == min(each for each in closes if each > at_ns)
    assert (first.status, first.denial_code) == ("filled", None)
    (fill, *_) = await control.records.trades(green)
    assert fill.quantity * fill.price > SHOWN / 10  # a tenth of all that there was to be had


async def test_who_holds_a_position_gives_what_is_free_and_the_rest_as_it_closes(control, data_dir):
    async with world.node(data_dir, NODE):
        blue, green = await two(control, giver=HOLDING)
        await ask(control, handing(blue, green))
        await done(control)
        (flow,), _ = await control.records.capital_flows(blue)
        left = CAPITAL + flow.amount

        async def is_there() -> bool:
            return await contributed(control, blue, green) == [left, CAPITAL - left]

        await until(is_there)
        assert 0 < left < CAPITAL
        assert (await control.executions.get(green)).capital_target == CAPITAL - left
        await stop(control, blue, green)


async def test_killed_between_the_ledger_and_the_switch_the_same_is_handed_over(control, data_dir):
    program = RUNNERS / "dies_at_switch.py"
    dying = await asyncio.create_subprocess_exec(
        sys.executable, str(program), str(data_dir), stdout=asyncio.subprocess.PIPE
    )
    assert await dying.stdout.readline() == b"ready\n"
    blue, green = await two(control)
    await ask(control, handing(blue, green))
    assert await asyncio.wait_for(dying.wait(), 60) == -9

    assert await contributed(control, blue, green) == [0, SHOWN]
    assert (await control.executions.get(green)).role is Role.SHADOW
    async with world.node(data_dir, NODE):
        await done(control)

        async def is_there() -> bool:
            return await contributed(control, blue, green) == [0, CAPITAL]

        await until(is_there)
        assert await amounts(control, blue) == [-CAPITAL]
        await stop(control, blue, green)


@pytest.mark.parametrize("error", [DatabaseAwayError("no answer"), ConflictError("not now")])
async def test_a_switch_that_is_not_done_leaves_the_cash_where_it_was(
    control, data_dir, monkeypatch, error
):
    done_well = Journal.switch
    is_over = asyncio.Event()

    async def failing(self: Journal, *given: Any) -> Any:
        if is_over.is_set():
            return await done_well(self, *given)
        raise error

    monkeypatch.setattr(Journal, "switch", failing)
    async with world.node(data_dir, NODE):
        blue, green = await two(control)
        await ask(control, handing(blue, green))

        async def has_come_back() -> bool:
            return CAPITAL in await amounts(control, blue)

        await until(has_come_back)
        assert (await control.executions.get(green)).role is Role.SHADOW
        is_over.set()
        await done(control)

        async def is_there() -> bool:
            return await contributed(control, blue, green) == [0, CAPITAL]

        await until(is_there)
        assert sum(await amounts(control, blue)) == -CAPITAL
        await stop(control, blue, green)


async def test_a_switch_that_is_taken_back_leaves_the_cash_where_it_was(
    control, data_dir, monkeypatch
):
    done_well = Journal.switch

    async def late(self: Journal, *given: Any) -> Any:
        await control.executions.take_back_switch("k")
        return await done_well(self, *given)

    monkeypatch.setattr(Journal, "switch", late)
    async with world.node(data_dir, NODE):
        blue, green = await two(control)
        await ask(control, handing(blue, green))

        async def has_come_back() -> bool:
            return await amounts(control, blue) == [-CAPITAL, CAPITAL]

        await until(has_come_back)
        assert await control.executions.switched("k") is None
        assert (await control.executions.get(green)).role is Role.SHADOW
        await stop(control, blue, green)


@pytest.mark.parametrize("commits", [True, False])
async def test_an_answer_that_was_lost_hands_nothing_over_twice(
    control, data_dir, monkeypatch, commits
):
    done_well = Journal.switch
    faults: list[str] = []

    async def failing(self: Journal, *given: Any) -> Any:
        found = await done_well(self, *given) if commits or faults else None
        if not faults:
            faults.append("lost")
            raise DatabaseAwayError("the answer was lost")
        return found

    monkeypatch.setattr(Journal, "switch", failing)
    async with world.node(data_dir, NODE):
        blue, green = await two(control)
        await ask(control, handing(blue, green))
        await done(control)

        async def is_there() -> bool:
            return await contributed(control, blue, green) == [0, CAPITAL]

        await until(is_there)
        assert len(await amounts(control, blue)) == (1 if commits else 3)
        await stop(control, blue, green)


@pytest.mark.soak
async def test_cash_for_two_takers_or_without_a_sum_is_refused(control):
    blue = await started(control, Role.STABLE, IDLE, 1, CAPITAL)
    green = await started(control, Role.SHADOW, HOLDING, 1, SHOWN)
    asked = handing(blue, green)
    for wrong in (
        replace(asked, takes=(green, blue)),
        replace(asked, takes=()),
        replace(asked, changes={blue: Change(capital_target=SWEEP)}),
    ):
        with pytest.raises(InvalidError, match="one execution"):
            await ask(control, wrong)
    assert await control.executions.switched("k") is None
