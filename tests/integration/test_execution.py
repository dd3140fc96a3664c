import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from strategy_engine.core import money
from strategy_engine.core.errors import ConflictError, IllegalTransitionError, InvalidError
from strategy_engine.execution import history as histories
from strategy_engine.execution import rules
from strategy_engine.execution.model import (
    ALWAYS_NUMBERS,
    UNENDED,
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Role,
)
from strategy_engine.execution.runner import NodeSettings
from strategy_engine.infra import audit
from strategy_engine.market.service import Catalogue
from strategy_engine.matching.account import Account
from strategy_engine.matching.model import Action, Decision
from strategy_engine.registry.model import Content, Status, Trigger

PROGRAM = Path(__file__).parent / "runners" / "execution_node.py"
_spec = importlib.util.spec_from_file_location("execution_node", PROGRAM)
world = importlib.util.module_from_spec(_spec)
sys.modules["execution_node"] = world
_spec.loader.exec_module(world)

EURUSD = "EUR/USD.SIM"
BARS = 1_500
END_NS = int(Catalogue(Path("/nonexistent")).bars(EURUSD).close_ns[BARS - 1])
FAST = ExecutionConfig(speed=0, end_ns=END_NS)

# What it decides depends on every bar and every fill it has been told of, each exactly once.
COUNTING = """
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


@pytest.fixture
async def node(data_dir: Path) -> AsyncIterator[Any]:
    async with world.node(data_dir, NodeSettings(decision_timeout_s=2)) as running:
        yield running


async def deployed(control: Any, code: str, name: str = "Line", **content: Any) -> str:
    version = Content(strategy_name=name, version="1.0.0", code=code, **content)
    strategy, _ = await control.registry.create(version, actor="tester")
    for trigger in (Trigger.VALIDATE, Trigger.APPROVE, Trigger.DEPLOY):
        await control.registry.move(strategy.strategy_id, trigger, actor="tester")
    return strategy.strategy_id


async def ran(control: Any, strategy_id: str, config: ExecutionConfig = FAST) -> Execution:
    started = await control.executions.start(strategy_id, config, actor="tester")
    return await control.executions.wait_ended(started.execution_id, 60)


async def trades_of(control: Any, execution_id: str) -> list[tuple[Any, ...]]:
    """Return an execution's trades without its name."""
    found = await control.records.trades(execution_id, limit=100_000)
    return [
        (each.seq, each.symbol, each.side, each.quantity, each.price, each.timestamp, each.pnl)
        for each in found
    ]


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await is_so():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.002)


def bars_done(control: Any, execution_id: str, count: int) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        kept = await control.records.checkpoint(execution_id)
        return kept is not None and kept.bar_no >= count

    return is_so


async def status_of(control: Any, strategy_id: str) -> Status:
    return (await control.registry.get(strategy_id)).status


async def test_an_execution_plays_its_history_and_ends_as_completed(control, node):
    strategy_id = await deployed(control, COUNTING)

    ended = await ran(control, strategy_id)

    assert (ended.status, ended.end_reason) == (ExecutionStatus.STOPPED, "completed")
    assert await status_of(control, strategy_id) is Status.STOPPED
    assert ended.performance_metrics["bar_count"] == BARS - 40
    assert ended.trade_count > 50
    assert ended.fill_count == await control.records.trade_row_count(ended.execution_id)
    assert ended.pnl == ended.final_pnl
    assert (await control.records.reconcile(ended.execution_id)).findings == ()


async def test_its_metrics_are_numbers_from_the_first_answer_on(control, node):
    strategy_id = await deployed(control, COUNTING)

    started = await control.executions.start(strategy_id, FAST, actor="tester")
    ended = await control.executions.wait_ended(started.execution_id, 60)

    for metrics in (started.performance_metrics, ended.performance_metrics):
        assert all(isinstance(metrics[name], float) for name in ALWAYS_NUMBERS)
    assert ended.performance_metrics["total_return"] == pytest.approx(
        float(ended.final_pnl) / 100_000
    )
    assert ended.performance_metrics["decision_cpu_ms"] > 0


async def test_its_trades_are_those_that_its_decisions_make_without_a_node(control, node):
    strategy_id = await deployed(control, COUNTING)
    ended = await ran(control, strategy_id)
    content = (await control.registry.get(strategy_id)).content
    settings = rules.settings_of(content, FAST)
    series = histories.load(Catalogue(Path("/nonexistent")), [EURUSD], None, END_NS)[EURUSD]
    decided = {
        row.close_ns: Decision(action=Action(row.action), reason=row.reason)
        for row in await control.records.decisions(ended.execution_id)
    }
    account = Account(settings.capital_nanos, [series.terms], settings.rules)
    fills = []

    for index, opened_ns in enumerate(series.bars.ts_ns.tolist()):
        closed_ns = opened_ns + series.bars.timeframe_ns
        fills += account.on_bar(EURUSD, (opened_ns, closed_ns), series.ticks_at(index))
        if closed_ns in decided:
            account.submit(account.plan(EURUSD, decided[closed_ns], closed_ns))

    shown = await control.records.trades(ended.execution_id, limit=100_000)
    assert [(each.side, money.to_nanos(each.pnl)) for each in shown] == [
        (fill.side, fill.pnl_nanos) for fill in fills
    ]
    assert ended.final_pnl == money.to_decimal(account.equity() - settings.capital_nanos)


async def test_every_change_of_state_leaves_an_audit_row(control, node):
    strategy_id = await deployed(control, COUNTING)

    ended = await ran(control, strategy_id)

    async with control.database.read() as connection:
        rows = await audit.history(connection, "execution", ended.execution_id)
    assert [(each.action, each.to_state) for each in rows] == [
        ("start", "starting"),
        ("take_over", "starting"),
        ("ready", "running"),
        ("complete", "stopped"),
    ]


async def test_a_node_that_is_killed_again_and_again_ends_with_the_trades_of_one_that_is_not(
    control, data_dir
):
    async with world.node(data_dir):
        whole = await ran(control, await deployed(control, COUNTING, name="Whole"))
    interrupted = await deployed(control, COUNTING, name="Interrupted")
    starting = asyncio.create_task(control.executions.start(interrupted, FAST, actor="tester"))
    execution_id = ""
    for bars in (150, 600, 603, 900, 1_200):
        process = await started_node(data_dir)
        execution_id = execution_id or (await starting).execution_id
        await until(bars_done(control, execution_id, bars))
        process.kill()
        await process.wait()
    killed = await control.executions.get(execution_id)

    async with world.node(data_dir):
        ended = await control.executions.wait_ended(execution_id, 60)

    assert killed.status in UNENDED
    assert ended.epoch >= 5  # one of the deaths may come before the claim
    assert (ended.end_reason, ended.final_pnl) == ("completed", whole.final_pnl)
    assert await trades_of(control, execution_id) == await trades_of(control, whole.execution_id)
    assert await equity_of(control, execution_id) == await equity_of(control, whole.execution_id)
    assert same_metrics(ended, whole)
    assert (await control.records.reconcile(execution_id)).findings == ()


async def started_node(data_dir: Path) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, PROGRAM, data_dir, stdout=asyncio.subprocess.PIPE
    )
    assert await process.stdout.readline() == b"ready\n"
    return process


async def equity_of(control: Any, execution_id: str) -> list[tuple[int, Decimal]]:
    return [(each.close_ns, each.equity) for each in await control.records.equity(execution_id)]


def same_metrics(one: Execution, other: Execution) -> bool:
    return all(
        one.performance_metrics[name] == pytest.approx(other.performance_metrics[name])
        for name in ALWAYS_NUMBERS
    )


async def test_a_node_that_is_stopped_in_order_hands_its_executions_on_as_they_stand(
    control, data_dir
):
    async with world.node(data_dir):
        whole = await ran(control, await deployed(control, COUNTING, name="Whole"))
        strategy_id = await deployed(control, COUNTING, name="Handed")
        started = await control.executions.start(strategy_id, FAST, actor="tester")
        await until(bars_done(control, started.execution_id, 300))
    between = await control.executions.get(started.execution_id)

    async with world.node(data_dir):
        ended = await control.executions.wait_ended(started.execution_id, 60)

    assert (between.status, between.end_reason) == (ExecutionStatus.RUNNING, None)
    assert await trades_of(control, ended.execution_id) == await trades_of(
        control, whole.execution_id
    )


async def test_an_execution_outlives_the_zygote_of_its_process(control, node):
    whole = await ran(control, await deployed(control, COUNTING, name="Whole"))
    strategy_id = await deployed(control, COUNTING, name="Orphan")
    started = await control.executions.start(strategy_id, FAST, actor="tester")
    await until(bars_done(control, started.execution_id, 500))

    await node.zygotes._by_kind["lean"]._life.stop()

    ended = await control.executions.wait_ended(started.execution_id, 60)
    assert (ended.end_reason, ended.epoch) == ("completed", 2)
    assert await trades_of(control, ended.execution_id) == await trades_of(
        control, whole.execution_id
    )


async def test_a_second_copy_fences_the_first_one_off(control, data_dir):
    async with world.node(data_dir) as first:
        strategy_id = await deployed(control, COUNTING)
        slow = ExecutionConfig(speed=500)
        started = await control.executions.start(strategy_id, slow, actor="tester")
        await until(bars_done(control, started.execution_id, 50))
        async with world.node(data_dir) as second:
            await until(_runs_not(first, started.execution_id))
            taken_over = (await control.records.checkpoint(started.execution_id)).bar_no
            await until(bars_done(control, started.execution_id, taken_over + 100))
            survivors = set(second.reconciler.runners)

    found = await control.executions.get(started.execution_id)
    assert found.epoch == 2  # the first did not try to get it back
    assert survivors == {started.execution_id}
    assert (await control.records.reconcile(started.execution_id)).findings == ()


def _runs_not(node: Any, execution_id: str) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        return execution_id not in node.reconciler.runners

    return is_so


async def test_starting_a_running_version_answers_its_execution(control, node):
    strategy_id = await deployed(control, COUNTING)
    first = await control.executions.start(strategy_id, ExecutionConfig(speed=20), actor="tester")

    second = await control.executions.start(strategy_id, FAST, actor="tester")

    assert first.status is ExecutionStatus.RUNNING
    assert second.execution_id == first.execution_id


async def test_a_stopped_version_keeps_its_results_and_can_be_started_again(control, node):
    strategy_id = await deployed(control, COUNTING)
    await control.executions.start(strategy_id, ExecutionConfig(speed=20), actor="tester")

    answered = await control.executions.stop(strategy_id, actor="tester")
    again = await control.executions.start(strategy_id, FAST, actor="tester")

    (stopped,) = answered.executions
    assert answered.is_confirmed
    assert (stopped.status, stopped.end_reason) == (ExecutionStatus.STOPPED, "stopped")
    assert stopped.end_time is not None
    assert again.execution_id != stopped.execution_id


async def test_nothing_waits_to_fill_after_a_stop(control, node):
    strategy_id = await deployed(control, HOLDING)
    started = await control.executions.start(
        strategy_id, ExecutionConfig(speed=200), actor="tester"
    )
    await until(bars_done(control, started.execution_id, 20))

    await control.executions.stop(strategy_id, actor="tester")

    orders = await control.records.orders(started.execution_id)
    assert {each.status for each in orders} <= {"filled", "cancelled"}
    assert (await control.records.reconcile(started.execution_id)).findings == ()


async def test_a_paused_execution_marks_bars_but_decides_nothing_until_it_is_resumed(control, node):
    strategy_id = await deployed(control, COUNTING)
    started = await control.executions.start(
        strategy_id, ExecutionConfig(speed=400), actor="tester"
    )
    await until(bars_done(control, started.execution_id, 60))

    paused = await control.executions.pause(strategy_id, actor="tester")
    first = (await control.records.checkpoint(started.execution_id)).bar_no
    await until(bars_done(control, started.execution_id, first + 60))
    quiet = await control.records.equity(started.execution_id)
    decisions = {row.close_ns for row in await control.records.decisions(started.execution_id)}
    resumed = await control.executions.resume(strategy_id, actor="tester")
    last = max(decisions)
    await until(_decides_after(control, started.execution_id, last))

    assert [each.status for each in paused.executions] == [ExecutionStatus.PAUSED]
    assert [each.status for each in resumed.executions] == [ExecutionStatus.RUNNING]
    assert await status_of(control, strategy_id) is Status.RUNNING
    assert not decisions & {each.close_ns for each in quiet if each.bar_index >= first}


def _decides_after(control: Any, execution_id: str, close_ns: int) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        found = await control.records.decisions(execution_id)
        return bool(found) and found[-1].close_ns > close_ns

    return is_so


async def test_a_paused_execution_still_watches_its_stops_and_targets(control, node):
    tight = {"stop_loss": -0.002, "take_profit": 0.002}  # one of them is met wherever it pauses
    strategy_id = await deployed(control, HOLDING, parameters=tight)
    started = await control.executions.start(
        strategy_id, ExecutionConfig(speed=300), actor="tester"
    )

    async def holds() -> bool:
        return any(each.quantity for each in await control.records.positions(started.execution_id))

    async def is_out() -> bool:
        found = await control.records.trades(started.execution_id, limit=100_000)
        return bool(found) and found[-1].cause in {"stop_loss", "take_profit"}

    await until(holds)
    await control.executions.pause(strategy_id, actor="tester")
    await until(is_out)

    positions = await control.records.positions(started.execution_id)
    assert [each.quantity for each in positions] == [0]


async def test_what_is_wanted_while_the_node_is_down_is_done_when_it_is_back(data_dir):
    async with world.control(data_dir, confirm_s=0.05) as control:
        strategy_id = await deployed(control, COUNTING)
        started = await control.executions.start(strategy_id, FAST, actor="tester")
        answered = await control.executions.stop(strategy_id, actor="tester")
        async with world.node(data_dir):
            ended = await control.executions.wait_ended(started.execution_id, 30)

    assert started.status is ExecutionStatus.STARTING
    assert not answered.is_confirmed
    assert "has not confirmed" in answered.note
    assert answered.executions[0].desired is Desired.STOP
    assert (ended.status, ended.end_reason) == (ExecutionStatus.STOPPED, "stopped")
    assert ended.fill_count == 0


RAISING = COUNTING.replace("self.bars += 1", "self.bars += 1\n        1 / (self.bars - 30)")
ENDLESS = COUNTING.replace("self.bars += 1", "self.bars += 1\n        while self.bars == 30: pass")
GREEDY = COUNTING.replace(
    "self.bars += 1", "self.bars += 1\n        self.hoard = [0] * (self.bars == 30) * 10**9"
)
SILENT = "class Broken:\n    def generate_signal(self, market_data:\n        return 'BUY'\n"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (RAISING, "ZeroDivisionError"),
        (ENDLESS, "2 s"),
        (GREEDY, "emory"),
        (SILENT, "SyntaxError"),
    ],
    ids=["raises", "never-answers", "hoards", "does-not-compile"],
)
async def test_a_strategy_that_fails_ends_in_error_with_the_reason(control, node, code, why):
    strategy_id = await deployed(control, code)

    ended = await ran(control, strategy_id)

    assert (ended.status, ended.end_reason) == (ExecutionStatus.ERROR, "error")
    assert why in ended.error
    assert await status_of(control, strategy_id) is Status.ERROR


async def test_one_strategy_that_fails_leaves_the_others_alone(control, node):
    good = await deployed(control, COUNTING, name="Good")
    bad = await deployed(control, RAISING, name="Bad")
    started = await control.executions.start(good, FAST, actor="tester")

    await ran(control, bad)

    ended = await control.executions.wait_ended(started.execution_id, 60)
    assert ended.end_reason == "completed"


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (ExecutionConfig(symbols=("NOT/THERE.SIM",)), "symbols"),
        (ExecutionConfig(symbols=("nonsense",)), "symbols"),
        (ExecutionConfig(timeframe="3m"), "timeframe"),
        (ExecutionConfig(capital=-5), "capital"),
        (ExecutionConfig(position_size=1.5), "position_size"),
        (ExecutionConfig(max_trades_per_day=-1), "max_trades_per_day"),
        (ExecutionConfig(feed="oracle"), "feed"),
        (ExecutionConfig(mode="live"), "mode"),
        (ExecutionConfig(speed=float("nan")), "speed"),
        (ExecutionConfig(start_ns=5, end_ns=5), "end_ns"),
        (ExecutionConfig(warm_up=-1), "warm_up"),
    ],
)
async def test_a_config_that_makes_no_sense_is_refused_before_anything_is_written(
    control, config, field
):
    strategy_id = await deployed(control, COUNTING)

    with pytest.raises(InvalidError) as refused:
        await control.executions.start(strategy_id, config, actor="tester")

    assert refused.value.facts["field"] == field
    assert await status_of(control, strategy_id) is Status.DEPLOYED
    assert await control.executions.list(frozenset(ExecutionStatus)) == []


async def test_a_version_that_was_not_deployed_cannot_start(control):
    draft = Content(strategy_name="Draft", version="1.0.0", code=COUNTING)
    strategy, _ = await control.registry.create(draft, actor="tester")

    with pytest.raises(IllegalTransitionError):
        await control.executions.start(strategy.strategy_id, FAST, actor="tester")


async def test_a_running_version_without_an_execution_says_what_to_do(control):
    strategy_id = await deployed(control, COUNTING)
    await control.registry.move(strategy_id, Trigger.START, actor="tester")

    with pytest.raises(ConflictError, match="stop it, then start it again"):
        await control.executions.start(strategy_id, FAST, actor="tester")


async def test_a_validation_run_plays_its_range_and_moves_no_version(control, node, data_dir):
    bars = Catalogue(data_dir).bars(EURUSD)
    config = ExecutionConfig(start_ns=int(bars.ts_ns[-300]), end_ns=int(bars.close_ns[-101]))
    draft = Content(strategy_name="Draft", version="1.0.0", code=COUNTING)
    strategy, _ = await control.registry.create(draft, actor="tester")

    execution_id = await control.executions.start_validation(
        strategy.strategy_id, config, actor="tester"
    )
    ended = await control.executions.wait_ended(execution_id, 30)

    closes = [each.close_ns for each in await control.records.equity(execution_id)]
    assert closes == bars.close_ns[-300:-100].tolist()
    assert ended.end_reason == "completed"
    assert await status_of(control, strategy.strategy_id) is Status.DRAFT


async def test_several_instruments_are_one_account(control, node):
    both = ExecutionConfig(symbols=("GOOGL.SIM", EURUSD), speed=0, end_ns=END_NS)
    strategy_id = await deployed(control, COUNTING)

    ended = await ran(control, strategy_id, both)

    trades = await control.records.trades(ended.execution_id, limit=100_000)
    assert {each.symbol for each in trades} == {"GOOGL.SIM", EURUSD}
    assert (await control.records.reconcile(ended.execution_id)).findings == ()


async def test_the_days_loss_limit_holds_and_an_override_lifts_only_it(control, node):
    limits = {"daily_loss_limit": -0.01, "max_position_size": 10_000}
    strategy_id = await deployed(control, COUNTING, risk_limits=limits)

    held = await ran(control, strategy_id)
    lifted = await ran(control, strategy_id, replace(FAST, risk_override=True))

    assert set(await control.records.denial_counts(held.execution_id)) == {"daily_loss_limit"}
    assert await control.records.denial_counts(lifted.execution_id) == {}
    assert held.performance_metrics["denial_count"] > 0


async def test_a_shadow_decides_beside_the_stable_execution_and_trades_nothing(control, node):
    strategy_id = await deployed(control, COUNTING)
    slow = ExecutionConfig(speed=20)
    stable = await control.executions.start(strategy_id, slow, actor="tester")

    shadow = await control.executions.start(strategy_id, FAST, actor="tester", role=Role.SHADOW)
    ended = await control.executions.wait_ended(shadow.execution_id, 30)

    assert shadow.execution_id != stable.execution_id
    assert ended.fill_count == 0
    assert len(await control.records.decisions(ended.execution_id)) > 50
    assert set(await control.records.denial_counts(ended.execution_id)) == {"shadow"}
    assert await status_of(control, strategy_id) is Status.RUNNING  # the stable one goes on


async def test_executions_stopped_for_a_handover_say_that_they_were_replaced(control, node):
    strategy_id = await deployed(control, COUNTING)
    slow = ExecutionConfig(speed=20)
    started = await control.executions.start(strategy_id, slow, actor="tester")

    answered = await control.executions.stop_for_handover([started.execution_id], actor="engine")

    (stopped,) = answered.executions
    assert (stopped.status, stopped.end_reason) == (ExecutionStatus.STOPPED, "replaced")
    assert await status_of(control, strategy_id) is Status.RUNNING


async def test_metrics_are_kept_as_they_were(control, data_dir):
    async with world.node(data_dir, NodeSettings(metrics_interval_s=0.02)):
        strategy_id = await deployed(control, COUNTING)
        slow = ExecutionConfig(speed=500)
        started = await control.executions.start(strategy_id, slow, actor="tester")

        async def has_snapshots() -> bool:
            return len(await control.snapshots.latest(started.execution_id)) >= 3

        await until(has_snapshots)
        seen = await control.executions.get(started.execution_id)

    found = await control.snapshots.latest(started.execution_id)
    assert seen.performance_metrics["bar_count"] > 0
    counts = [each.metrics["bar_count"] for each in found]
    assert counts == sorted(counts)
    assert [each.at for each in found] == sorted(each.at for each in found)


async def test_a_child_whose_wall_lacks_a_layer_is_refused_where_the_wall_is_required(
    control, data_dir, monkeypatch
):
    from strategy_engine.sandbox.model import ConfinementReport, Layer

    missing = Layer(name="landlock", is_on=False, why="the kernel is too old")
    monkeypatch.setattr(
        "strategy_engine.sandbox.child.Child.report", ConfinementReport(layers=(missing,))
    )
    async with world.node(data_dir, NodeSettings()):
        ended = await ran(control, await deployed(control, COUNTING))

    assert ended.status is ExecutionStatus.ERROR
    assert "landlock" in ended.error
    assert "the kernel is too old" in ended.error
    assert ended.fill_count == 0


async def test_a_feed_that_lets_wait_holds_up_neither_a_pause_nor_a_stop(control, node):
    strategy_id = await deployed(control, COUNTING)
    hours = ExecutionConfig(speed=0.0001)  # the second bar comes in a little under three hours
    await control.executions.start(strategy_id, hours, actor="tester")

    paused = await control.executions.pause(strategy_id, actor="tester")
    resumed = await control.executions.resume(strategy_id, actor="tester")
    stopped = await control.executions.stop(strategy_id, actor="tester")

    assert [each.is_confirmed for each in (paused, resumed, stopped)] == [True, True, True]
    assert stopped.executions[0].status is ExecutionStatus.STOPPED
