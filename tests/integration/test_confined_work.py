"""Behind the whole wall a child still does its work, lazy imports and all."""

import importlib.util
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from strategy_engine.examples import EXAMPLES
from strategy_engine.sandbox.launcher import ChildLimits, Zygotes
from strategy_engine.sandbox.protocol import messages

pytestmark = pytest.mark.asyncio(loop_scope="module")

TIMEOUT_S = 30.0
HOUR_NS = 3_600 * 1_000_000_000
SYMBOL = "EUR/USD.SIM"
ENGINE = messages.Engine(
    capital_nanos=100_000 * 10**9,
    position_size_ppb=10**8,
    stop_loss_ppb=None,
    take_profit_ppb=None,
    slippage_ppm=100,
    fee_ppm=100,
    allow_short=False,
    max_trades_per_day=None,
    max_position_nanos=None,
)
CONTRACTS = [messages.Contract(symbol=SYMBOL, tick_nanos=10_000, lot_nanos=10**9)]

IMPORTS = """
import {modules}
from zoneinfo import ZoneInfo

class Reader:
    def generate_signal(self, market_data):
        {use}
        return "BUY" if len(str(ZoneInfo("America/New_York"))) == 16 else "HOLD"
"""
LINEAR = "assert abs(numpy.linalg.solve(numpy.eye(90) * 2, numpy.ones(90)).sum() - 45) < 1e-9"
PANDAS = "import pandas; assert pandas.Series(market_data['prices']).rolling(2).mean().size"
SCIPY = "import scipy.integrate; assert abs(scipy.integrate.quad(abs, -1, 1)[0] - 1) < 1e-9"
NATIVE = """
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy

class FlipConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId
    bar_type: BarType

class Flip(Strategy):
    def on_start(self):
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar):
        instrument = self.cache.instrument(self.config.instrument_id)
        if self.portfolio.is_flat(instrument.id):
            quantity = instrument.make_qty(1000)
            self.submit_order(self.order_factory.market(instrument.id, OrderSide.BUY, quantity))
        else:
            self.close_all_positions(instrument.id)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def zygotes() -> AsyncIterator[Zygotes]:
    opened = Zygotes()
    yield opened
    await opened.aclose()


async def said(zygotes: Zygotes, kind: str, *asked: messages.ToChild) -> list[messages.FromChild]:
    child = await zygotes.child(kind, ChildLimits(), kind)
    assert child.report.is_complete
    answers = [await child.request(messages.encode(each), TIMEOUT_S) for each in asked]
    await child.close()
    return [messages.decode_from_child(answer) for answer in answers]


def bars(size: int) -> messages.Bars:
    close = np.round(1.1 + 0.05 * np.sin(np.arange(size) / 7), 5)
    opened = np.concatenate([close[:1], close[:-1]])
    return messages.Bars(
        symbol=SYMBOL,
        duration_ns=HOUR_NS,
        open_ns=(np.arange(size, dtype="<i8") * HOUR_NS).tobytes(),
        open=opened.tobytes(),
        high=(np.maximum(opened, close) + 0.001).tobytes(),
        low=(np.minimum(opened, close) - 0.001).tobytes(),
        close=close.tobytes(),
        volume=np.full(size, 1000.0).tobytes(),
    )


def load(code: str, parameters: dict[str, Any] | None = None) -> messages.Load:
    return messages.Load(code=code, parameters=parameters or {}, engine=ENGINE, contracts=CONTRACTS)


async def test_an_example_strategy_is_loaded_and_backtested(zygotes: Zygotes) -> None:
    example = next(each for each in EXAMPLES if each.name == "RSI mean reversion")
    loading = load(example.source(), {"rsi_period": 14})

    loaded, tested = await said(
        zygotes, "lean", loading, messages.Backtest(bars=[bars(500)], warm_up=20)
    )

    assert isinstance(loaded, messages.Loaded), loaded
    assert isinstance(tested, messages.Backtested), tested
    assert set(np.frombuffer(tested.decisions[0].actions, dtype=np.int8)) > {0}


@pytest.mark.parametrize(
    ("kind", "modules", "use"),
    [
        ("lean", "statistics, decimal, fractions, sqlite3, ssl, lzma, numpy", LINEAR),
        ("scientific", "numpy.polynomial, numpy.fft", f"{PANDAS}; {SCIPY}"),
    ],
)
async def test_what_a_strategy_imports_late_is_there(
    zygotes: Zygotes, kind: str, modules: str, use: str
) -> None:
    if kind == "scientific" and importlib.util.find_spec("scipy") is None:
        pytest.skip("scipy is not installed")
    code = IMPORTS.format(modules=modules, use=use)

    loaded, tested = await said(zygotes, kind, load(code), messages.Backtest(bars=[bars(30)]))

    assert isinstance(loaded, messages.Loaded), loaded
    assert isinstance(tested, messages.Backtested), tested


async def test_pytest_runs_and_explains_a_failing_assertion(zygotes: Zygotes) -> None:
    tests = {"test_it.py": "def test_sum():\n    assert sum([1, 2]) == 4\ndef test_ok(): pass\n"}

    (tested,) = await said(zygotes, "tests", messages.RunTests(code="", tests=tests))

    assert isinstance(tested, messages.Tested), tested
    told = {each.name: (each.passed, each.message) for each in tested.outcomes}
    assert [passed for passed, _ in told.values()] == [False, True]
    assert "3 == 4" in told["test_it.py::test_sum"][1]


async def test_a_native_strategy_is_backtested(zygotes: Zygotes) -> None:
    if importlib.util.find_spec("nautilus_trader") is None:
        pytest.skip("nautilus_trader is not installed")
    loading = messages.LoadNative(
        code=NATIVE,
        parameters={},
        engine=ENGINE,
        contracts=CONTRACTS,
        timeframe="1-HOUR-LAST-EXTERNAL",
    )

    loaded, tested = await said(
        zygotes, "nautilus", loading, messages.NativeBacktest(bars=[bars(100)])
    )

    assert isinstance(loaded, messages.Loaded), loaded
    assert isinstance(tested, messages.NativeBacktested), tested
    assert len(tested.steps) > 50
