"""The pipeline on a real sandbox, a real node and real databases, and what paper trading adds."""

import importlib.util
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from strategy_engine.control.paper import PaperRuns, RunningNow
from strategy_engine.core.clock import SystemClock
from strategy_engine.flags.model import Content as FlagContent
from strategy_engine.flags.model import FlagType, Rule
from strategy_engine.flags.service import Flags
from strategy_engine.market.service import Catalogue
from strategy_engine.pipeline.children import Children
from strategy_engine.pipeline.model import STAGES, Request, StageResult
from strategy_engine.pipeline.service import Pipeline, Timeouts
from strategy_engine.pipeline.stages import Tools
from strategy_engine.registry.model import Content, Strategy
from strategy_engine.registry.service import Registry
from strategy_engine.sandbox.launcher import ChildLimits, Zygotes

PROGRAM = Path(__file__).parent / "runners" / "execution_node.py"
_spec = importlib.util.spec_from_file_location("pipeline_execution_node", PROGRAM)
world = importlib.util.module_from_spec(_spec)
sys.modules["pipeline_execution_node"] = world
_spec.loader.exec_module(world)

RSI = """
class RSIStrategy:
    def __init__(self, rsi_period=14, oversold=30, overbought=70):
        self.rsi_period = rsi_period
        self.oversold = oversold
        self.overbought = overbought

    def generate_signal(self, market_data):
        rsi = calculate_rsi(market_data['prices'], self.rsi_period)

        if rsi < self.oversold:
            return 'BUY'
        elif rsi > self.overbought:
            return 'SELL'
        else:
            return 'HOLD'
"""
LIMITS = {"max_position_size": 15_000, "daily_loss_limit": -2_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A control's pipeline beside a node that runs."""

    pipeline: Pipeline
    flags: Flags
    registry: Registry
    records: object
    clock: SystemClock

    async def register(self, code: str, name: str = "RSI", **content: object) -> Strategy:
        base = Content(strategy_name=name, version="1.0.0", code=code, risk_limits=LIMITS)
        strategy, _ = await self.registry.create(replace(base, **content), actor="test")
        return strategy

    async def validate(
        self, strategy: Strategy, pipeline_id: str = "pipe_1", request: Request | None = None
    ) -> list[StageResult]:
        """Run the stages until one fails."""
        for stage in STAGES:
            asked = request or Request()
            found = await self.pipeline.run_stage(pipeline_id, strategy, stage, asked)
            if not found.passed:
                break
        return await self.pipeline.results(pipeline_id)


@asynccontextmanager
async def engine(
    data_dir: Path, *, workers: int = 2, decision_timeout_s: float = 5.0
) -> AsyncIterator[Engine]:
    world.create_tables(data_dir)
    clock, zygotes = SystemClock(), Zygotes()
    async with world.node(data_dir), world.control(data_dir) as control:
        tools = Tools(
            children=Children(
                zygotes,
                limits=ChildLimits(),
                workers=workers,
                decision_timeout_s=decision_timeout_s,
            ),
            catalogue=Catalogue(data_dir),
            run_paper=PaperRuns(control.executions, control.records),
            running_returns=RunningNow(control.executions, control.records, control.registry),
            clock=clock,
        )
        flags = Flags(control.database, clock)
        try:
            yield Engine(
                pipeline=Pipeline(control.database, tools, Timeouts(), clock, flags),
                flags=flags,
                registry=control.registry,
                records=control.records,
                clock=clock,
            )
        finally:
            await zygotes.aclose()


@pytest.fixture
async def running(tmp_path):
    async with engine(tmp_path) as found:
        yield found


async def test_the_live_path_does_to_the_digit_what_the_backtest_says(running):
    strategy = await running.register(RSI, parameters={"position_size": 1.0})
    found = await running.pipeline.run_stage(None, strategy, "paper_trading", Request())
    assert found.passed, found.message
    facts = found.evidence
    assert facts["fill_parity"]["share"] == facts["decision_parity"]["share"] == 1.0
    assert facts["decision_parity"]["live"] > 0
    trades = await running.records.trades(facts["execution_id"])
    assert facts["trades_executed"] == len(trades) > 0
    assert facts["pnl"] == pytest.approx(float(sum(each.pnl for each in trades)))
    assert 0 < facts["decision_cpu_ms"] < 8


async def test_validation_shows_flags_at_their_defaults_in_the_backtest_and_on_the_live_path(
    running,
):
    flag = FlagContent(
        type=FlagType.NUMBER,
        default=30,
        owner="alice",
        expires_at=running.clock.now() + timedelta(days=1),
        rules=(Rule(value=0),),  # with it, it would never buy
    )
    await running.flags.create("oversold", flag, actor="alice")
    code = RSI.replace("self.oversold:", "market_data['flags']['oversold']:")
    strategy = await running.register(code, parameters={"position_size": 1.0})

    tested = await running.pipeline.run_stage(None, strategy, "backtest", Request())
    found = await running.pipeline.run_stage(None, strategy, "paper_trading", Request())

    assert tested.passed, tested.message
    assert found.passed, found.message
    assert found.evidence["decision_parity"]["share"] == 1.0
    assert found.evidence["decision_parity"]["live"] > 0
    told = {"shown": "defaults", "values": {"oversold": 30}}
    assert tested.evidence["feature_flags"] == found.evidence["feature_flags"] == told
    decisions = await running.records.decisions(found.evidence["execution_id"])
    assert {each.flags["oversold"] for each in decisions} == {30}


async def test_a_strategy_that_knows_when_it_is_watched_is_not_at_parity(running):
    # It looks for the backtest's loop among its callers, and trades otherwise where it is live.
    code = RSI.replace(
        "        if rsi < self.oversold",
        "        if not self.is_backtest():\n"
        "            rsi = 100 - rsi\n"
        "        if rsi < self.oversold",
    )
    code += """
    def is_backtest(self):
        try:
            raise KeyError
        except KeyError as error:
            frame = error.__traceback__.tb_frame
        while frame is not None and 'runs' not in frame.f_locals:
            frame = frame.f_back
        return frame is not None
"""
    strategy = await running.register(code)
    tested = await running.pipeline.run_stage(None, strategy, "backtest", Request())
    assert tested.passed, tested.message
    found = await running.pipeline.run_stage(None, strategy, "paper_trading", Request())
    assert not found.passed
    assert "at least 99% must be" in found.message


async def test_a_strategy_that_raises_only_live_fails_paper_trading_with_its_reason(running):
    code = RSI.replace(
        "rsi = calc",
        "if market_data['timestamps'][-1].astype('int64') > 1513900800000000000: 1 / 0\n"
        "        rsi = calc",
    )
    strategy = await running.register(code)
    found = await running.pipeline.run_stage(None, strategy, "paper_trading", Request())
    assert not found.passed
    assert "ZeroDivisionError" in found.message
