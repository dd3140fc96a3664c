"""Whole pipelines on a real sandbox and a real node."""

import asyncio
import importlib.util
import os
import signal
import sys
from pathlib import Path

import pytest

from strategy_engine.pipeline.model import HEADLINES, STAGES, Request, Verdict

PROGRAM = Path(__file__).parent / "test_pipeline_engine.py"
_spec = importlib.util.spec_from_file_location("pipeline_engine", PROGRAM)
world = importlib.util.module_from_spec(_spec)
sys.modules["pipeline_engine"] = world
_spec.loader.exec_module(world)

SPEC_PARAMETERS = {
    "rsi_period": 14,
    "oversold_threshold": 25,
    "overbought_threshold": 75,
    "position_size": 0.03,
}


@pytest.fixture
async def running(tmp_path):
    async with world.engine(tmp_path) as found:
        yield found


async def test_the_spec_s_own_strategy_passes_all_six_stages(running):
    strategy = await running.register(
        world.RSI,
        parameters=SPEC_PARAMETERS,
        tests={"test_rsi.py": "import strategy\n\ndef test_it(): strategy.RSIStrategy(9)\n"},
    )
    results = await running.validate(strategy)
    assert [each.stage for each in results] == list(STAGES), results[-1].message
    assert {each.verdict for each in results} == {Verdict.PASSED}
    by_stage = {each.stage: each for each in results}
    for stage, keys in HEADLINES.items():
        assert set(by_stage[stage].headline()) == set(keys)
    assert by_stage["unit_tests"].evidence["user_tests"]["passed"] == 1
    assert by_stage["syntax_check"].evidence["unbound"] == [
        "oversold_threshold",
        "overbought_threshold",
    ]
    assert by_stage["backtest"].evidence["trade_count"] == 27
    assert by_stage["performance_validation"].evidence["out_of_sample"]["trade_count"] == 12
    assert await running.pipeline.tests_completed() == 6


async def test_fully_invested_it_earns_what_is_known_of_the_sample(running):
    strategy = await running.register(world.RSI, parameters={"position_size": 1.0})
    # max_position_size clamps it to 15,000 of 100,000: every ratio but the scale stays.
    results = await running.validate(strategy)
    facts = {each.stage: each.evidence for each in results}["backtest"]
    assert facts["sharpe_ratio"] == pytest.approx(2.06, abs=0.05)
    assert facts["win_rate"] == pytest.approx(23 / 27)
    assert facts["max_drawdown"] == pytest.approx(-0.0238 * 0.15, rel=0.1)


async def test_the_same_pipeline_again_gives_the_same_evidence(running):
    strategy = await running.register(world.RSI)
    first = await running.validate(strategy, "pipe_1")
    again = await running.validate(strategy, "pipe_2")
    chosen = [
        {key: value for key, value in each.evidence.items() if key != "execution_id"}
        for results in (first, again)
        for each in results
        if each.stage in {"backtest", "risk_validation", "performance_validation"}
    ]
    assert chosen[:3] == chosen[3:]


async def test_limits_that_are_not_declared_stop_it_at_risk(running):
    strategy = await running.register(world.RSI, risk_limits={})
    last = (await running.validate(strategy))[-1]
    assert last.stage == "risk_validation"
    assert "max_position_size" in last.message
    assert "daily_loss_limit" in last.message


async def test_the_production_profile_refuses_one_good_year(running):
    strategy = await running.register(world.RSI)
    last = (await running.validate(strategy, request=Request(validation_profile="production")))[-1]
    assert (last.stage, last.verdict) == ("performance_validation", Verdict.FAILED)
    failed = {each["name"] for each in last.evidence["checks"] if each["verdict"] == Verdict.FAILED}
    assert {"total_trades", "years"} <= failed


async def test_a_shorter_test_is_inconclusive_until_that_is_accepted(running):
    strategy = await running.register(world.RSI)
    asked = Request(duration_days=25, validation_criteria={"min_sharpe_ratio": -100})
    found = await running.pipeline.run_stage(None, strategy, "performance_validation", asked)
    assert found.verdict is not Verdict.PASSED
    assert "are fewer than 30" in str(found.evidence["checks"])


async def test_an_answer_forged_on_the_child_s_own_socket_fails_the_stage(running):
    forger = """
import os

class Forger:
    def generate_signal(self, market_data):
        for descriptor in range(3, 40):
            try:
                os.write(descriptor, (5).to_bytes(4, 'little') + b'hello')
            except OSError:
                pass
        return 'HOLD'
"""
    strategy = await running.register(forger)
    checked = await running.pipeline.run_stage(None, strategy, "syntax_check", Request())
    assert "imports os" in checked.message
    found = await running.pipeline.run_stage(None, strategy, "backtest", Request())
    assert (found.passed, found.verdict) == (False, Verdict.FAILED)
    assert "what is no message" in found.message


async def test_decisions_forged_in_a_real_answer_fail_the_stage(running):
    # A whole answer, well formed, with fewer decisions than there are bars.
    forger = """
import os
from strategy_engine.sandbox.protocol import framing, messages

class Forger:
    def generate_signal(self, market_data):
        decisions = messages.Decisions(symbol='EUR/USD.SIM', actions=b'\\x01' * 9, details=[])
        answer = messages.encode(messages.Backtested(decisions=[decisions], cpu_ns=1))
        for descriptor in range(3, 40):
            try:
                os.write(descriptor, framing.encode(answer))
            except OSError:
                pass
        while True:
            pass
"""
    strategy = await running.register(forger)
    found = await running.pipeline.run_stage(None, strategy, "backtest", Request())
    assert found.verdict is Verdict.FAILED
    assert "9 decisions for 5,913 bars" in found.message


async def test_a_strategy_that_prints_without_end_is_a_failed_result(running):
    strategy = await running.register(
        world.RSI.replace("rsi = calc", "print('x' * 5_000); rsi = calc")
    )
    found = await running.pipeline.run_stage(None, strategy, "backtest", Request())
    assert found.verdict is Verdict.FAILED
    assert "it printed more than" in found.message


ENDLESS = """
class Endless:
    def generate_signal(self, market_data):
        while len(market_data['prices']) > 100:
            pass
        return 'HOLD'
"""


async def test_endless_loops_do_not_fail_an_innocent_that_waits_for_their_worker(tmp_path):
    # Each holds the one worker for a decision's time, the innocent's limits are a fraction of it.
    async with world.engine(tmp_path, workers=1, decision_timeout_s=1.5) as running:
        hurried = world.Pipeline(
            running.pipeline._database,
            running.pipeline._tools,
            world.Timeouts(pipeline_s=20.0),
            running.clock,
        )
        loops = [await running.register(ENDLESS, f"Endless {number}") for number in range(3)]
        innocent = await running.register(world.RSI)
        looping = [
            asyncio.create_task(running.pipeline.run_stage(None, each, "unit_tests", Request()))
            for each in loops
        ]
        await asyncio.sleep(0)
        found = await hurried.run_stage(None, innocent, "syntax_check", Request())
        assert found.passed, found.message
        for each in await asyncio.gather(*looping):
            assert each.verdict is Verdict.FAILED
            assert "it gave no answer within" in each.message
            checks = {one["name"]: one["verdict"] for one in each.evidence["checks"]}
            assert checks["short_history"] == "passed"
            assert list(checks.values()).count("failed") == 1
            assert each.duration_ms < 30_000


async def test_a_process_killed_from_outside_is_tried_again_and_then_no_fault_of_the_strategy(
    tmp_path, monkeypatch
):
    born = []

    async def fork(self, kind, limits, label):
        child = await forked(self, kind, limits, label)
        born.append(child)
        if len(born) <= deaths:
            os.kill(child.pid, signal.SIGKILL)
        return child

    forked = world.Zygotes.child
    monkeypatch.setattr(world.Zygotes, "child", fork)
    async with world.engine(tmp_path) as running:
        strategy = await running.register(world.RSI)
        deaths = 1
        found = await running.pipeline.run_stage(None, strategy, "syntax_check", Request())
        assert found.passed, found.message
        assert len(born) == 2
        deaths = 4
        found = await running.pipeline.run_stage(None, strategy, "syntax_check", Request())
        assert (found.passed, found.verdict) == (False, Verdict.INCONCLUSIVE)
        assert "killed from outside" in found.message
        assert found.is_engines_fault
        assert len(born) == 4


async def test_two_symbols_go_through_every_stage(running):
    parameters = {"symbols": ["EUR/USD.SIM", "GOOGL.SIM"], "timeframe": None}
    strategy = await running.register(world.RSI, parameters=parameters)
    results = await running.validate(strategy)
    by_stage = {each.stage: each for each in results}
    assert by_stage["backtest"].passed, results[-1].message
    symbols = [each["symbol"] for each in by_stage["backtest"].evidence["history"]["symbols"]]
    assert symbols == ["EUR/USD.SIM", "GOOGL.SIM"]
    assert by_stage["paper_trading"].passed, results[-1].message
    assert "risk_validation" in by_stage
