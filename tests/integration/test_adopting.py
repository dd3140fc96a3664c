"""Positions that a fenced switch hands over: both ledgers have it or none, whoever is killed."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from strategy_engine.core.errors import InvalidError
from strategy_engine.execution import model
from strategy_engine.execution.journal import Journal
from strategy_engine.execution.model import Change, Desired, ExecutionConfig, Exits, Role, Switch
from strategy_engine.execution.runner import NodeSettings
from strategy_engine.infra import database
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.market.recorded import RecordedBars
from strategy_engine.registry.model import Content, Trigger
from strategy_engine.rollout.comparing import Comparer
from strategy_engine.rollout.fresh import Tools
from strategy_engine.sandbox.launcher import Zygotes
from strategy_engine.venue.ledger import Ledger
from strategy_engine.venue.model import Together

RUNNERS = Path(__file__).parent / "runners"
_spec = importlib.util.spec_from_file_location("adopting_node", RUNNERS / "execution_node.py")
world = importlib.util.module_from_spec(_spec)
sys.modules["adopting_node"] = world
_spec.loader.exec_module(world)

CAPITAL, SHOWN, SWEEP = Decimal(100_000), Decimal(40_000), Decimal(-(10**12))
VERSIONS = {Role.STABLE: "1.0.0", Role.SHADOW: "2.0.0"}
NODE = NodeSettings(decision_timeout_s=2)
HOLDING = """
class Holding:
    lookback = 10

    def generate_signal(self, market_data):
        return "BUY"
"""
# It says on which bar it heard of a fill, and closes what it did not open once it holds it.
TAKING = """
class Taking:
    lookback = 10

    def __init__(self):
        self.heard = 0

    def on_fill(self, fill):
        self.heard += 1

    def generate_signal(self, market_data):
        if market_data["position"] > 0 and self.heard == 1:
            assert market_data["entry_price"] > 0
            return "SELL"
        return "HOLD"
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
    content = Content(
        strategy_name="Line",
        version=VERSIONS[role],
        code=code,
        parameters={"stop_loss": 0, "take_profit": 0},
    )
    strategy, _ = await control.registry.create(content, actor="tester")
    for trigger in (Trigger.VALIDATE, Trigger.APPROVE, Trigger.DEPLOY):
        await control.registry.move(strategy.strategy_id, trigger, actor="tester")
    config = ExecutionConfig(speed=speed, capital=float(capital))
    found = await control.executions.start(
        strategy.strategy_id, config, actor="tester", role=role, key=f"the {role}"
    )
    return found.execution_id


async def two(control: Any, taker: str = TAKING, speed: float = 200) -> tuple[str, str]:
    """Start one that holds a position and one that is only shown some capital."""
    blue = await started(control, Role.STABLE, HOLDING, speed, CAPITAL)
    green = await started(control, Role.SHADOW, taker, speed, SHOWN)

    async def is_on() -> bool:
        kept = [await control.records.checkpoint(each) for each in (blue, green)]
        return all(each is not None and each.bar_no >= 20 for each in kept)

    await until(is_on)
    return blue, green


def handing(giver: str, taker: str) -> Switch:
    changes = {
        giver: Change(capital_target=SWEEP, exits=Exits.FLATTEN),
        taker: Change(role=Role.CANDIDATE, capital_target=CAPITAL),
    }
    return Switch(
        key="k", gives=(giver,), takes=(taker,), changes=changes, hands_cash=True, adopts=True
    )


async def ask(control: Any, asked: Switch) -> None:
    await control.executions.switch(asked, actor="tester", why="a test")


async def done(control: Any) -> Switch:
    async def is_done() -> bool:
        return (await control.executions.switched("k")).done_at is not None

    await until(is_done)
    return await control.executions.switched("k")


async def handed(control: Any, blue: str, green: str) -> None:
    """See that one has given at the mark just what the other has taken, and every cent with it."""
    (_, gone), (come, *_) = [await control.records.trades(each) for each in (blue, green)]
    assert (gone.cause, come.cause) == ("handover", "handover")
    assert (gone.side, come.side) == ("SELL", "BUY")
    assert (gone.quantity, gone.price, gone.timestamp) == (
        come.quantity,
        come.price,
        come.timestamp,
    )
    assert {gone.fee, come.fee, gone.slippage, come.slippage, come.pnl} == {Decimal(0)}
    accounts = await control.records.accounts([blue, green])
    assert (accounts[blue].equity, accounts[blue].is_flat) == (0, True)
    assert accounts[blue].contributed + accounts[green].contributed == CAPITAL
    assert accounts[blue].pnl == gone.pnl  # what it had won to that instant, and it stays its own
    assert accounts[green].free >= 0


async def stop(control: Any, *names: str) -> None:
    wanted = dict.fromkeys(names, Change(desired=Desired.STOP))
    await control.executions.instruct(wanted, actor="tester", why="enough")
    for each in names:
        await control.executions.wait_ended(each, 60)
        assert (await control.records.reconcile(each)).findings == ()


async def matched(control: Any, data_dir: Path, execution_id: str) -> None:
    """See that a fresh process, told the same, decides as the live one did."""
    mine = await control.executions.get(execution_id)
    content = (await control.registry.get(mine.strategy_id)).content
    last = await control.records.last_turn(execution_id)
    zygotes = Zygotes()
    recorded = database.Database(database.ledger_url(data_dir, world.server()))
    tools = Tools(
        records=control.records,
        recorded=RecordedBars(recorded),
        catalogue=world.Catalogue(data_dir),
        launcher=zygotes,
    )
    comparer = Comparer(tools, mine, content)
    async with asyncio.timeout(60):
        while (found := await comparer.advance()).up_to_no < last:
            assert found.trouble == ""
    assert (found.mismatches, found.wrong_bars) == (0, 0)
    assert found.compared > 20
    await comparer.aclose()
    await zygotes.aclose()
    await recorded.aclose()


@pytest.mark.parametrize("speed", [0, 200])
async def test_the_new_version_has_the_position_at_the_mark_and_decides_with_it(
    control, data_dir, speed
):
    async with world.node(data_dir, NODE):
        blue, green = await two(control, speed=speed)
        await ask(control, handing(blue, green))
        found = await done(control)
        assert (found.adoption.taker, found.adoption.legs[0].giver) == (green, blue)

        async def has_sold() -> bool:
            return len(await control.records.trades(green)) == 2

        await until(has_sold)  # its process was told of the fill, the position and its price
        await handed(control, blue, green)
        bought, sold = await control.records.trades(green)
        assert (sold.cause, sold.quantity) == ("signal", bought.quantity)
        await stop(control, blue, green)
        await matched(control, data_dir, green)


@pytest.mark.parametrize("where", ["before", "after"])
async def test_killed_around_the_ledgers_commit_it_goes_on_to_the_same(control, data_dir, where):
    program = RUNNERS / "dies_at_adoption.py"
    dying = await asyncio.create_subprocess_exec(
        sys.executable, str(program), str(data_dir), where, stdout=asyncio.subprocess.PIPE
    )
    assert await dying.stdout.readline() == b"ready\n"
    blue, green = await two(control)
    await ask(control, handing(blue, green))
    assert await asyncio.wait_for(dying.wait(), 60) == -9

    found = await control.executions.switched("k")
    assert (found.done_at, found.adoption.taker) == (None, green)
    assert (await control.executions.get(green)).role is Role.CANDIDATE
    assert len(await control.records.trades(green)) == (0 if where == "before" else 1)
    assert await control.executions.take_back_switch("k") == found  # it is too late for that
    async with world.node(data_dir, NODE):
        await done(control)
        await handed(control, blue, green)
        await stop(control, blue, green)


@pytest.mark.parametrize("is_kept", [True, False])
async def test_an_answer_of_the_ledger_that_was_lost_hands_nothing_over_twice(
    control, data_dir, monkeypatch, is_kept
):
    append, faults = Ledger.append, []

    def failing(self: Ledger, entry: Any) -> asyncio.Future[None]:
        if not isinstance(entry, Together) or faults:
            return append(self, entry)
        faults.append(entry)
        if is_kept:
            return asyncio.ensure_future(_lost(append(self, entry)))
        return asyncio.ensure_future(_lost(None))

    monkeypatch.setattr(Ledger, "append", failing)
    async with world.node(data_dir, NODE):
        blue, green = await two(control)
        await ask(control, handing(blue, green))
        await done(control)
        await handed(control, blue, green)
        assert len(faults) == 1
        await stop(control, blue, green)


async def _lost(kept: asyncio.Future[None] | None) -> None:
    if kept is not None:
        await kept
    raise DatabaseAwayError("the answer was lost")


async def test_a_switch_that_is_taken_back_leaves_the_position_where_it_was(
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

        async def is_gone() -> bool:
            return await control.executions.switched("k") is None

        await until(is_gone)
        at = (await control.records.checkpoint(blue)).bar_no

        async def goes_on() -> bool:
            return (await control.records.checkpoint(blue)).bar_no > at + 20

        await until(goes_on)
        accounts = await control.records.accounts([blue, green])
        assert [accounts[each].is_flat for each in (blue, green)] == [False, True]
        assert [accounts[each].contributed for each in (blue, green)] == [CAPITAL, SHOWN]
        await stop(control, blue, green)


async def test_where_the_old_version_has_ended_meanwhile_the_new_one_is_promised_no_more(
    control, data_dir
):
    program = RUNNERS / "dies_at_adoption.py"
    dying = await asyncio.create_subprocess_exec(
        sys.executable, str(program), str(data_dir), "before", stdout=asyncio.subprocess.PIPE
    )
    assert await dying.stdout.readline() == b"ready\n"
    blue, green = await two(control)
    await ask(control, handing(blue, green))
    assert await asyncio.wait_for(dying.wait(), 60) == -9
    journal = Journal(
        control.database, control.registry, world.SystemClock(), node_id=world.NODE_ID
    )
    row = await journal.claim(blue)
    await journal.end(row, model.Trigger.BREAK, None, end_reason="error", error="it ended")

    async with world.node(data_dir, NODE):
        await done(control)
        assert (await control.executions.get(green)).capital_target == 0
        assert await control.records.trades(green) == []
        await stop(control, green)


async def test_positions_without_their_cash_are_refused(control):
    blue = await started(control, Role.STABLE, HOLDING, 1, CAPITAL)
    green = await started(control, Role.SHADOW, TAKING, 1, SHOWN)
    with pytest.raises(InvalidError, match="without the cash"):
        await ask(control, replace(handing(blue, green), hands_cash=False))
