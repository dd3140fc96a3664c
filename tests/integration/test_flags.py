"""Feature flags as running strategies read them: a real node, real children, a real ledger."""

import asyncio
import importlib.util
import itertools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from strategy_engine.core.clock import SystemClock
from strategy_engine.execution.model import ExecutionConfig, ExecutionStatus
from strategy_engine.flags import rules
from strategy_engine.flags.model import Content as FlagContent
from strategy_engine.flags.model import FlagType, Rule
from strategy_engine.flags.service import Flags
from strategy_engine.infra import migrate
from strategy_engine.market.service import Catalogue
from strategy_engine.matching import settings
from strategy_engine.matching.model import Action
from strategy_engine.pipeline import trial
from strategy_engine.pipeline.children import Children
from strategy_engine.pipeline.model import Job, criteria
from strategy_engine.registry.model import Content, Trigger
from strategy_engine.sandbox.launcher import ChildLimits, Zygotes
from strategy_engine.sandbox.protocol import messages

PROGRAM = Path(__file__).parent / "runners" / "execution_node.py"
_spec = importlib.util.spec_from_file_location("flags_execution_node", PROGRAM)
world = importlib.util.module_from_spec(_spec)
sys.modules["flags_execution_node"] = world
_spec.loader.exec_module(world)

CLOCK = SystemClock()
END_NS = int(Catalogue(Path("/nonexistent")).bars("EUR/USD.SIM").close_ns[799])

# It enters where the flag is on, and fails if the flag turns off while it holds what it opened.
ENTERING = """
class Entering:
    lookback = 10

    def __init__(self):
        self.held = 0

    def generate_signal(self, market_data):
        is_on = market_data["flags"]["enter"]
        if market_data["position"]:
            assert is_on, "the flag has turned off under an open position"
            self.held += 1
            return "SELL" if self.held % 6 == 0 else "HOLD"
        return "BUY" if is_on else "HOLD"
"""
KEEPING = ENTERING.replace('"SELL" if self.held % 6 == 0 else "HOLD"', '"HOLD"')


@pytest.fixture
async def control(tmp_path: Path) -> Any:
    world.create_tables(tmp_path)
    async with world.control(tmp_path) as found:
        yield found


@pytest.fixture
async def on_both(
    tmp_path: Path, server: str | None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Any]:
    """A control whose rows are in files, and one whose rows are on a PostgreSQL server."""
    if server is not None:
        monkeypatch.setenv("DATABASE_URL", server)
    migrate.upgrade(tmp_path, server)
    async with world.control(tmp_path) as found:
        yield found


@pytest.fixture
def flags(control: Any) -> Flags:
    return Flags(control.database, CLOCK)


def enter(*given: Rule) -> FlagContent:
    expires_at = CLOCK.now() + timedelta(days=1)
    return FlagContent(
        type=FlagType.BOOLEAN, default=False, owner="alice", expires_at=expires_at, rules=given
    )


async def started(control: Any, code: str, config: ExecutionConfig) -> str:
    version = Content(strategy_name="Line", version="1.0.0", code=code)
    strategy, _ = await control.registry.create(version, actor="tester")
    for trigger in (Trigger.VALIDATE, Trigger.APPROVE, Trigger.DEPLOY):
        await control.registry.move(strategy.strategy_id, trigger, actor="tester")
    found = await control.executions.start(strategy.strategy_id, config, actor="tester")
    return str(found.execution_id)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await is_so():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.002)


async def test_a_share_of_decisions_is_read_once_a_bar_kept_and_sticky(on_both, tmp_path):
    control, flags = on_both, Flags(on_both.database, CLOCK)
    await flags.create("enter", enter(Rule(value=True, share_of_decisions=0.3)), actor="alice")
    async with world.node(tmp_path):
        name = await started(control, ENTERING, ExecutionConfig(speed=0, end_ns=END_NS))
        ended = await control.executions.wait_ended(name, 60)

    assert ended.end_reason == "completed", ended.error
    decisions = await control.records.decisions(name)
    readings = await control.records.flag_readings(name)
    buys = [each for each in decisions if each.action == Action.BUY]
    assert len(buys) > 20
    # What was bought on is what the rule says of that bar, and stays until it is sold.
    assert all(rules.place("enter", name, each.close_ns) < 0.3 for each in buys)
    assert all(each.flags == {"enter": True} for each in decisions)
    # A reading is kept where it differs from the one before, and so tells those of every bar.
    assert readings[0].close_ns <= decisions[0].close_ns
    values = [each.flags["enter"] for each in readings]
    assert all(one != other for one, other in itertools.pairwise(values))
    turned_on = {each.close_ns for each in readings if each.flags["enter"]}
    assert {each.close_ns for each in buys if each.close_ns in turned_on}


async def replayed(control: Any, name: str, flags: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return what the version decides on the same bars when it is shown the same flags."""
    strategy_id = (await control.executions.get(name)).strategy_id
    content = (await control.registry.get(strategy_id)).content
    job = Job(
        strategy_id=strategy_id,
        content=content,
        settings=settings.settings(content.parameters, {}, {}),
        criteria=criteria({}, "default"),
        flags=flags,
    )
    whole = (await trial.data_of(job, Catalogue(Path("/nonexistent")))).whole.until(END_NS)
    zygotes = Zygotes()
    children = Children(zygotes, limits=ChildLimits(), workers=1)
    shown = [
        messages.FlagsShown(symbol=each.symbol, close_ns=each.close_ns, flags=dict(each.flags))
        for each in await control.records.flag_readings(name)
    ]
    async with children.open(content.warm, "replay") as talk:
        lookback = (await talk.load(job, whole)).lookback
        chosen = await talk.backtest(whole, warm_up=lookback, shown=shown)
    await zygotes.aclose()
    return list(chosen.rows(whole.skip(lookback)))


async def test_a_flag_is_read_as_it_was_made_and_audited_on_both_databases(on_both):
    flags = Flags(on_both.database, CLOCK)
    for kind, value, other in (
        (FlagType.BOOLEAN, True, False),
        (FlagType.STRING, "null", "ß"),
        (FlagType.NUMBER, 0, -1.5),
    ):
        content = replace(enter(Rule(value=other, versions="<1.0.0")), type=kind, default=value)
        made, _ = await flags.create(kind.value, content, actor="alice")
        read = await flags.get(kind.value)
        assert read == made
        assert type(read.content.default) is type(value)
    ended = await flags.archive("number", actor="bob")

    assert [each.key for each in await flags.list()] == ["boolean", "string"]
    assert await flags.get("number") == ended
    assert [each.actor for each in await flags.history("number")] == ["alice", "bob"]
    assert await flags.defaults() == {"boolean": True, "number": 0, "string": "null"}


async def test_what_is_kept_repeats_a_run_whose_flags_changed(control, flags, tmp_path):
    await flags.create("enter", enter(Rule(value=True, share_of_decisions=0.3)), actor="alice")
    async with world.node(tmp_path):
        name = await started(control, ENTERING, ExecutionConfig(speed=0, end_ns=END_NS))
        await control.executions.wait_ended(name, 60)

    live = [
        (each.close_ns, each.symbol, Action(each.action).name)
        for each in await control.records.decisions(name)
    ]
    assert len(live) > 40
    assert await replayed(control, name, {"enter": False}) == live


async def test_a_position_keeps_its_flags_through_a_change_and_a_restart(control, flags, tmp_path):
    await flags.create("enter", enter(Rule(value=True)), actor="alice")

    async def has_bars(count: int) -> bool:
        kept = await control.records.checkpoint(name)
        return kept is not None and kept.bar_no >= count

    async with world.node(tmp_path):
        name = await started(control, KEEPING, ExecutionConfig(speed=400))
        await until(lambda: has_bars(20))
        await flags.archive("enter", actor="alice")
    before = await control.records.checkpoint(name)
    async with world.node(tmp_path) as node:
        await until(lambda: has_bars(before.bar_no + 20))
        assert node.flags.provider.is_ready
        execution = await control.executions.get(name)
        await control.executions.stop(execution.strategy_id, actor="tester")

    assert execution.status is ExecutionStatus.RUNNING, execution.error
    assert before.account["flags"] == {"EUR/USD.SIM": {"enter": True}}
    assert [each.flags for each in await control.records.flag_readings(name)] == [{"enter": True}]
    assert (await control.records.reconcile(name)).is_exact


async def test_a_strategy_that_reads_a_flag_that_there_is_not_says_which(control, tmp_path):
    async with world.node(tmp_path):
        name = await started(control, ENTERING, ExecutionConfig(speed=0, end_ns=END_NS))
        ended = await control.executions.wait_ended(name, 60)

    assert ended.status is ExecutionStatus.ERROR
    assert "KeyError" in ended.error
    assert "enter" in ended.error


async def test_without_flags_nothing_is_kept_of_them(control, tmp_path):
    code = ENTERING.replace('market_data["flags"]["enter"]', 'not market_data["flags"]')
    async with world.node(tmp_path):
        name = await started(control, code, ExecutionConfig(speed=0, end_ns=END_NS))
        await control.executions.wait_ended(name, 60)

    decisions = await control.records.decisions(name)
    assert decisions
    assert {each.flags for each in decisions} == {None}
    assert await control.records.flag_readings(name) == []
    assert "flags" not in (await control.records.checkpoint(name)).account
