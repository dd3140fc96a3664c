from pathlib import Path

import numpy as np
import pytest

from strategy_engine.core.errors import InvalidError
from strategy_engine.execution import benchmarks
from strategy_engine.execution.benchmarks import Benchmark
from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.market.model import Bars
from strategy_engine.market.service import Catalogue

HOUR_NS = 3_600 * 10**9
CATALOGUE = Catalogue(Path("/nonexistent"))
BARS = Bars(
    ts_ns=np.arange(4, dtype=np.int64) * HOUR_NS,
    open=np.array([10.0, 20.0, 30.0, 40.0]),
    high=np.full(4, 99.0),
    low=np.full(4, 1.0),
    close=np.array([11.0, 22.0, 33.0, 44.0]),
    volume=np.ones(4),
    timeframe_ns=HOUR_NS,
)


def test_it_is_bought_at_the_open_of_the_first_bar_and_held():
    found = Benchmark(bars=BARS, first_close_ns=2 * HOUR_NS)
    at = [found.index_at(hour * HOUR_NS + 1) for hour in range(1, 6)]
    assert at == pytest.approx([1.0, 22 / 20, 33 / 20, 44 / 20, 44 / 20])


def test_an_instrument_that_begins_later_is_cash_until_then():
    found = Benchmark(bars=BARS, first_close_ns=-5 * HOUR_NS)
    assert found.index_at(0) == 1.0
    assert found.index_at(HOUR_NS) == pytest.approx(1.1)


def test_cash_earns_nothing_and_what_is_traded_is_left_to_the_tally():
    cash = benchmarks.load(CATALOGUE, ExecutionConfig(benchmark="cash"), 0)
    assert cash is not None
    assert cash.index_at(10**18) == 1.0
    for name in (None, "traded"):
        assert benchmarks.load(CATALOGUE, ExecutionConfig(benchmark=name), 0) is None


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ExecutionConfig(benchmark="NONE.SUCH"), "or the symbol of an instrument"),
        (ExecutionConfig(benchmark="EUR/USD.SIM", feed="bus"), "the feed is the bus"),
    ],
)
def test_what_nothing_can_be_compared_with_is_refused(config, message):
    with pytest.raises(InvalidError, match=message):
        benchmarks.check(config, CATALOGUE)


@pytest.mark.parametrize("name", [None, "traded", "cash", "EUR/USD.SIM"])
def test_what_there_is_is_accepted(name):
    benchmarks.check(ExecutionConfig(benchmark=name), CATALOGUE)
