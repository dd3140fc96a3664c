"""Fenced switches in a running node: each bar close is served by exactly one, whatever happens."""

import asyncio
import importlib.util
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from strategy_engine.execution import store
from strategy_engine.execution.journal import Journal
from strategy_engine.execution.model import (
    Change,
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Exits,
    Role,
    Switch,
)
from strategy_engine.execution.runner import NodeSettings
from strategy_engine.infra import audit
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.market.service import Catalogue
from strategy_engine.registry.model import Content, Status, Trigger
from strategy_engine.venue.model import Span, Tenure

PROGRAM = Path(__file__).parent / "runners" / "execution_node.py"
_spec = importlib.util.spec_from_file_location("switching_node", PROGRAM)
world = importlib.util.module_from_spec(_spec)
sys.modules["switching_node"] = world
_spec.loader.exec_module(world)

EURUSD = "EUR/USD.SIM"
WARM_UP, BARS = 10, 900
CLOSES = Catalogue(Path("/nonexistent")).bars(EURUSD).close_ns[WARM_UP : WARM_UP + BARS].tolist()
FAST = ExecutionConfig(speed=0, end_ns=CLOSES[-1])
PACED = ExecutionConfig(speed=300, end_ns=CLOSES[-1])
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TO_SHADOW, TO_STABLE = Change(role=Role.SHADOW), Change(role=Role.STABLE)

# An order on every bar: in when flat, out when not.
BUSY = """
class Busy:
    lookback = 10

    def generate_signal(self, market_data):
        return "SELL" if market_data["position"] else "BUY"
"""
HOLDING = """
class Holding:
    lookback = 10

    def generate_signal(self, market_data):
        return "BUY"
"""
FAILING = """
class Failing:
    lookback = 10

    def __init__(self):
        self.bars = 0

    def generate_signal(self, market_data):
        self.bars += 1
        if self.bars > 20:
            raise ValueError("the twenty-first bar")
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


@pytest.fixture
async def node(data_dir: Path) -> AsyncIterator[Any]:
    async with world.node(data_dir, NodeSettings(decision_timeout_s=2)) as running:
        yield running


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await is_so():  # noqa: ASYNC110 - what is waited for happens in another task
            await asyncio.sleep(0.002)


async def started(
    control: Any,
    role: Role,
    config: ExecutionConfig = PACED,
    *,
    code: str = BUSY,
    version: str = "1.0.0",
) -> str:
    content = Content(strategy_name="Line", version=version, code=code)
    strategy, is_new = await control.registry.create(content, actor="tester")
    if is_new:
        for trigger in (Trigger.VALIDATE, Trigger.APPROVE, Trigger.DEPLOY):
            await control.registry.move(strategy.strategy_id, trigger, actor="tester")
    key = None if role is Role.STABLE else f"{version}/{role}"
    found = await control.executions.start(
        strategy.strategy_id, config, actor="tester", role=role, key=key
    )
    return found.execution_id


async def blue_and_green(control: Any, config: ExecutionConfig = PACED) -> tuple[str, str]:
    blue = await started(control, Role.STABLE, config)
    return blue, await started(control, Role.SHADOW, config, version="2.0.0")


def handing_over(key: str, giver: str, taker: str, **more: Any) -> Switch:
    changes = {giver: replace(TO_SHADOW, **more), taker: TO_STABLE}
    return Switch(key=key, gives=(giver,), takes=(taker,), changes=changes)


async def done(control: Any, key: str) -> int:
    async def is_done() -> bool:
        found = await control.executions.switched(key)
        return found is not None and found.done_at is not None

    await until(is_done)
    return (await control.executions.switched(key)).at_ns


async def switch(control: Any, asked: Switch) -> int:
    await control.executions.switch(asked, actor="tester", why="a test")
    return await done(control, asked.key)


async def bars_done(control: Any, execution_id: str, count: int) -> None:
    async def is_so() -> bool:
        kept = await control.records.checkpoint(execution_id)
        return kept is not None and kept.bar_no >= count

    await until(is_so)


async def ended(control: Any, *execution_ids: str) -> list[Execution]:
    return [await control.executions.wait_ended(each, 60) for each in execution_ids]


def nanos(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1) * 1_000


async def orders_of(control: Any, execution_id: str) -> dict[int, tuple[bool, str | None]]:
    """Return of each bar close whether the order decided on it opens, and why it was denied."""
    found = await control.records.orders(execution_id)
    return {
        nanos(each.decided_at): (each.opens, each.denial_code)
        for each in found
        if each.cause == "signal"
    }


async def assert_each_bar_has_one(
    control: Any, switches: list[tuple[int, str]], closes: list[int]
) -> None:
    """See that until the next switch its taker's orders could go, and nobody else's entries."""
    found = {name: await orders_of(control, name) for _, name in switches}
    assert len(found) == 2
    for close in closes:
        owner = [name for at_ns, name in switches if at_ns < close][-1]
        for name, orders in found.items():
            opens, code = orders[close]
            assert (code is not None) is (name != owner and opens), (close, name, owner, code)


@asynccontextmanager
async def killable_node(data_dir: Path) -> AsyncIterator["KillableNode"]:
    node = KillableNode(data_dir)
    await node.start()
    try:
        yield node
    finally:
        await node.end(signal.SIGTERM)


class KillableNode:
    """A node of its own, which is there again after it was killed."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, str(PROGRAM), str(self._data_dir), stdout=asyncio.subprocess.PIPE
        )
        assert await self._process.stdout.readline() == b"ready\n"

    async def end(self, how: signal.Signals) -> None:
        self._process.send_signal(how)
        await asyncio.wait_for(self._process.wait(), 30)

    async def kill(self) -> None:
        await self.end(signal.SIGKILL)
        await self.start()


@pytest.mark.parametrize("config", [PACED, FAST], ids=["paced", "as fast as it goes"])
async def test_a_switch_leaves_no_bar_unserved_and_none_served_twice(control, data_dir, config):
    async with world.node(data_dir, NodeSettings(decision_timeout_s=2)):
        blue, green = await blue_and_green(control, config)
        await bars_done(control, green, 30)
        at_ns = await switch(control, handing_over("k", blue, green))
        await ended(control, blue, green)

    await assert_each_bar_has_one(control, [(0, blue), (at_ns, green)], CLOSES[:-1])
    assert set(await control.records.denial_counts(blue)) == {"replaced"}
    assert set(await control.records.denial_counts(green)) == {"shadow"}
    for each in (blue, green):
        assert (await control.records.reconcile(each)).findings == ()


async def test_what_a_switch_changes_stands_in_the_rows_and_in_the_audit(control, node):
    blue, green = await blue_and_green(control)
    await bars_done(control, green, 5)
    at_ns = await switch(control, handing_over("k", blue, green, exits=Exits.FLATTEN))

    old, new = [await control.executions.get(each) for each in (blue, green)]
    assert (old.role, old.exits, old.serves) == (
        Role.SHADOW,
        Exits.FLATTEN,
        Tenure(others=Span(until_ns=at_ns)),
    )
    assert (new.role, new.serves) == (Role.STABLE, Tenure(others=Span(from_ns=at_ns)))
    async with control.database.read() as connection:
        *_, row = await audit.history(connection, "execution", green)
    assert (row.action, row.actor) == ("switch", "tester")
    assert (row.details["switch"], row.details["at_ns"]) == ("k", at_ns)


async def test_who_is_told_to_flatten_closes_at_the_next_price_and_decides_on(control, node):
    blue = await started(control, Role.STABLE, code=HOLDING)
    green = await started(control, Role.SHADOW, version="2.0.0")
    await bars_done(control, blue, 20)

    at_ns = await switch(control, handing_over("k", blue, green, exits=Exits.FLATTEN))

    async def is_flat() -> bool:
        (position,) = await control.records.positions(blue)
        return position.quantity == 0

    await until(is_flat)
    last = (await control.records.trades(blue))[-1]
    assert last.cause == "handover"
    bars = (await control.records.checkpoint(blue)).bar_no
    await bars_done(control, blue, bars + 20)
    later = [each for each in await control.records.decisions(blue) if each.close_ns > at_ns]
    assert len(later) >= 10
    assert (await control.executions.get(blue)).status is ExecutionStatus.RUNNING


async def test_of_some_instruments_only_those_change_hands(control, node):
    both = replace(PACED, symbols=(EURUSD, "GOOGL.SIM"), end_ns=None, speed=100)
    old, new = await blue_and_green(control, both)
    await bars_done(control, new, 10)
    asked = Switch(key="k", gives=(old,), takes=(new,), symbols=(EURUSD,), changes={new: TO_STABLE})

    at_ns = await switch(control, asked)

    async def denied() -> set[tuple[str, str]]:
        return {
            (each.symbol, each.denial_code)
            for name in (old, new)
            for each in await control.records.orders(name)
            if nanos(each.decided_at) > at_ns and each.denial_code is not None
        }

    async def is_seen() -> bool:
        return {symbol for symbol, _ in await denied()} == set(both.symbols)

    await until(is_seen)
    assert await denied() == {(EURUSD, "replaced"), ("GOOGL.SIM", "shadow")}


async def test_who_gives_one_instrument_is_closed_in_that_and_goes_on_in_the_other(control, node):
    both = replace(PACED, symbols=(EURUSD, "GOOGL.SIM"), end_ns=None, speed=100)
    old = await started(control, Role.STABLE, both, code=HOLDING)
    new = await started(control, Role.SHADOW, both, version="2.0.0")

    async def held() -> set[str]:
        return {each.symbol for each in await control.records.positions(old) if each.quantity}

    async def is_in() -> bool:
        return await held() == set(both.symbols)

    await until(is_in)
    changes = {old: Change(exits=Exits.FLATTEN), new: Change(role=Role.CANDIDATE)}
    asked = Switch(key="k", gives=(old,), takes=(new,), symbols=(EURUSD,), changes=changes)
    at_ns = await switch(control, asked)

    async def has_decided_in_both() -> bool:
        found = await control.records.decisions(old)
        return {each.symbol for each in found if each.close_ns > at_ns} == set(both.symbols)

    await until(has_decided_in_both)
    assert await held() == {"GOOGL.SIM"}
    closing = [each for each in await control.records.trades(old) if each.cause == "handover"]
    assert [each.symbol for each in closing] == [EURUSD]
    assert (await control.executions.get(old)).exits is Exits.FLATTEN


async def test_a_switch_waits_for_somebody_who_can_take_over(control, node):
    blue, green = await blue_and_green(control)
    await bars_done(control, green, 5)
    await control.executions.instruct({green: Change(desired=Desired.STOP)}, actor="a", why="w")
    await ended(control, green)

    await control.executions.switch(handing_over("k", blue, green), actor="a", why="w")
    kept = await control.records.checkpoint(blue)
    await bars_done(control, blue, kept.bar_no + 30)

    assert (await control.executions.get(blue)).role is Role.STABLE
    assert await control.executions.take_back_switch("k") is None


async def test_one_that_has_ended_gives_at_its_ledgers_place(control, node):
    blue, green = await blue_and_green(control)
    await bars_done(control, green, 5)
    await control.executions.instruct({blue: Change(desired=Desired.STOP)}, actor="a", why="w")
    (stopped,) = await ended(control, blue)

    at_ns = await switch(control, handing_over("k", blue, green))

    assert at_ns >= (await control.records.checkpoint(blue)).close_ns
    assert await control.executions.get(blue) == stopped
    assert (await control.executions.get(green)).role is Role.STABLE


@pytest.mark.parametrize("is_committed", [False, True], ids=["before", "after"])
async def test_a_fault_around_the_commit_leaves_no_bar_to_two_or_to_none(
    control, node, monkeypatch, is_committed
):
    done_well = Journal.switch
    faults = []

    async def failing(self: Journal, *given: Any) -> Any:
        found = await done_well(self, *given) if is_committed else None
        if not faults:
            faults.append(found)
            raise DatabaseAwayError("the answer was lost")
        return found if is_committed else await done_well(self, *given)

    monkeypatch.setattr(Journal, "switch", failing)
    blue, green = await blue_and_green(control)
    await bars_done(control, green, 30)
    at_ns = await switch(control, handing_over("k", blue, green))
    await ended(control, blue, green)

    assert len(faults) == 1
    await assert_each_bar_has_one(control, [(0, blue), (at_ns, green)], CLOSES[:-1])


@pytest.mark.parametrize("count", [6, pytest.param(100, marks=pytest.mark.soak)])
async def test_switched_to_and_fro_while_the_node_is_killed_each_bar_has_exactly_one(
    control, data_dir, count
):
    switches: list[tuple[int, str]] = []
    async with killable_node(data_dir) as running:
        blue, green = await blue_and_green(control, replace(PACED, speed=60))
        switches.append((0, blue))
        await bars_done(control, green, 5)
        for number in range(count):
            giver, taker = (blue, green) if number % 2 == 0 else (green, blue)
            asked = handing_over(f"k{number}", giver, taker)
            await control.executions.switch(asked, actor="tester", why="a test")
            if number % (count // 2) == 1:
                await running.kill()
            switches.append((await done(control, asked.key), taker))
            kept = await control.records.checkpoint(taker)
            await bars_done(control, taker, kept.bar_no + 3)
        stop = Change(desired=Desired.STOP)
        await control.executions.instruct({blue: stop, green: stop}, actor="tester", why="enough")
        await ended(control, blue, green)

    kept = [await control.records.checkpoint(each) for each in (blue, green)]
    last = min(each.close_ns for each in kept)
    await assert_each_bar_has_one(control, switches, [each for each in CLOSES if each < last])
    assert len(switches) == count + 1
    for each in (blue, green):
        assert (await control.records.reconcile(each)).findings == ()


async def test_a_candidate_that_fails_with_a_position_is_closed_and_then_ends_in_error(
    control, node
):
    await started(control, Role.STABLE)
    candidate = await started(control, Role.CANDIDATE, code=FAILING, version="2.0.0")

    (failed,) = await ended(control, candidate)

    (position,) = await control.records.positions(candidate)
    assert (failed.status, failed.end_reason) == (ExecutionStatus.ERROR, "error")
    assert "the twenty-first bar" in failed.failure
    assert failed.error == failed.failure
    assert position.quantity == 0
    assert (await control.records.trades(candidate))[-1].cause == "handover"
    assert (await control.records.reconcile(candidate)).findings == ()
    assert (await control.registry.get(failed.strategy_id)).status is Status.ERROR
    async with control.database.read() as connection:
        rows = await audit.history(connection, "execution", candidate)
    assert [each.action for each in rows][-2:] == ["fail", "break"]
    assert rows[-2].to_state == "running"


async def test_a_node_that_begins_again_closes_what_a_failed_candidate_holds(control, data_dir):
    async with world.node(data_dir, NodeSettings(decision_timeout_s=2)):
        candidate = await started(control, Role.CANDIDATE, replace(PACED, speed=100), code=HOLDING)
        await bars_done(control, candidate, 20)
    async with control.database.write() as connection:
        found = await store.get(connection, candidate)
        await store.update(connection, replace(found, failure="it raised"))

    async with world.node(data_dir, NodeSettings(decision_timeout_s=2)):
        (failed,) = await ended(control, candidate)

    (position,) = await control.records.positions(candidate)
    assert (failed.status, failed.error) == (ExecutionStatus.ERROR, "it raised")
    assert position.quantity == 0


async def test_a_baseline_that_fails_leaves_its_version_to_the_stable_one(control, node):
    slow = replace(PACED, speed=0.0001)
    stable = await started(control, Role.STABLE, slow, code=FAILING)
    baseline = await started(control, Role.BASELINE, code=FAILING)

    (failed,) = await ended(control, baseline)

    version = failed.strategy_id
    assert failed.status is ExecutionStatus.ERROR
    assert (await control.registry.get(version)).status is Status.RUNNING
    assert (await control.executions.get(stable)).status is ExecutionStatus.RUNNING


async def test_capital_follows_its_target_and_stands_in_the_row_at_once(control, node):
    stable = await started(control, Role.STABLE)
    await bars_done(control, stable, 5)

    async def has(capital: Decimal) -> None:
        async def is_so() -> bool:
            return (await control.executions.get(stable)).capital == capital

        await until(is_so)

    for wanted in (Decimal(150_000), Decimal("40000.5")):
        target = Change(capital_target=wanted)
        await control.executions.instruct({stable: target}, actor="tester", why="a step")
        await has(wanted)

    flows, _ = await control.records.capital_flows(stable)
    assert sum(each.amount for each in flows) == Decimal("40000.5") - 100_000
    assert (await control.records.reconcile(stable)).findings == ()
