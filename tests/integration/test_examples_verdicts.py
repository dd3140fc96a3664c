"""Every example strategy ends where its table says, judged by real children on the sample."""

import importlib.util
import sys
from pathlib import Path

import pytest
import pytest_asyncio

from strategy_engine.examples import EXAMPLES
from strategy_engine.pipeline.model import STAGES, Verdict

PROGRAM = Path(__file__).parent / "test_pipeline_engine.py"
_spec = importlib.util.spec_from_file_location("verdicts_engine", PROGRAM)
world = importlib.util.module_from_spec(_spec)
sys.modules["verdicts_engine"] = world
_spec.loader.exec_module(world)

# What the message of the stage that rejects it must say.
WORDS = {
    "ma_cross.py": "Sharpe ratio out of sample",
    "reads_the_future.py": "no trade in 5,913 bars",
    "non_deterministic.py": "in one process and",
    "never_trades.py": "no trade in 5,913 bars",
    "syntax_error.py": "line 2, column",
    "endless_loop.py": "look for an endless loop",
    "memory_hog.py": "memory",
    "raises_after_100_bars.py": "IndexError",
    "target_position.py": "Sharpe ratio",
    "stop_and_target.py": "Sharpe ratio",
    "stateful.py": "Sharpe ratio",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory):
    async with world.engine(tmp_path_factory.mktemp("verdicts"), decision_timeout_s=1.0) as found:
        yield found


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.file)
async def test_an_example_ends_where_its_table_says(running, example):
    strategy = await running.register(
        example.source(),
        name=example.name,
        parameters=dict(example.parameters),
        risk_limits=dict(example.risk_limits),
    )
    results = await running.validate(strategy, f"pipe_{example.file}")
    last = results[-1]
    rejected_at = None if last.passed else last.stage
    assert rejected_at == example.fails_at, last.message
    if example.fails_at is None:
        assert [each.stage for each in results] == list(STAGES)
    else:
        assert last.verdict is Verdict.FAILED
        assert WORDS[example.file].lower() in last.message.lower()


def test_every_rejected_example_has_its_words_checked():
    assert {each.file for each in EXAMPLES if each.fails_at} == WORDS.keys()
