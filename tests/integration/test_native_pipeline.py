"""Native strategies through the six stages, on a real sandbox and a real node."""

import importlib.util
import sys
from importlib import resources
from pathlib import Path

import pytest

from strategy_engine.pipeline.model import STAGES, Request

PROGRAM = Path(__file__).parent / "test_pipeline_engine.py"
_spec = importlib.util.spec_from_file_location("native_pipeline_engine", PROGRAM)
world = importlib.util.module_from_spec(_spec)
sys.modules["native_pipeline_engine"] = world
_spec.loader.exec_module(world)

SHIPPED = resources.files("nautilus_trader.examples.strategies")
LOW = {
    "min_sharpe_ratio": -100,
    "min_win_rate": 0,
    "min_alpha": -100,
    "accept_inconclusive": True,
}
ATR = {
    "trade_size": 1000,
    "atr_period": 14,
    "trailing_atr_multiple": 3.0,
    "trailing_offset_type": "PRICE",
    "trailing_offset": 0.001,
    "trigger_type": "LAST_PRICE",
}


@pytest.fixture
async def running(tmp_path):
    async with world.engine(tmp_path) as found:
        yield found


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("ema_cross", {"trade_size": 1000}),
        ("ema_cross_bracket", {"trade_size": 1000}),
        ("ema_cross_stop_entry", ATR),
    ],
)
async def test_a_shipped_strategy_goes_through_all_six_stages_unmodified(running, name, parameters):
    code = (SHIPPED / f"{name}.py").read_text()
    strategy = await running.register(code, name=name, parameters=parameters)
    asked = Request(duration_days=30, validation_criteria=LOW)
    results = await running.validate(strategy, request=asked)
    assert [each.stage for each in results] == list(STAGES), results[-1].message
    assert all(each.passed for each in results), [each.message for each in results]
    facts = {each.stage: each.evidence for each in results}
    assert facts["backtest"]["trade_count"] > 5
    paper = facts["paper_trading"]
    assert paper["trades_executed"] > 2
    assert paper["fill_parity"]["share"] == paper["decision_parity"]["share"] == 1.0
    assert paper["decision_parity"]["live"] >= paper["trades_executed"] // 2
    assert 0 < paper["decision_cpu_ms"] < 8
