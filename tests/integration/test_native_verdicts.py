"""Where NautilusTrader's own strategies end in validation, unmodified; and those that cheat."""

import importlib.util
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from strategy_engine.market.service import Catalogue
from strategy_engine.pipeline.model import STAGES, Request

PROGRAM = Path(__file__).parent / "test_pipeline_engine.py"
_spec = importlib.util.spec_from_file_location("native_verdicts_engine", PROGRAM)
world = importlib.util.module_from_spec(_spec)
sys.modules["native_verdicts_engine"] = world
_spec.loader.exec_module(world)

SHIPPED = resources.files("nautilus_trader.examples.strategies")
EMA = {"trade_size": 1000}
ATR = EMA | {"atr_period": 14}
TRAILING = ATR | {
    "trailing_atr_multiple": 3.0,
    "trailing_offset_type": "PRICE",
    "trigger_type": "LAST_PRICE",
}
TRADES = {
    "bb_mean_reversion": EMA,
    "ema_cross": EMA,
    "ema_cross_bracket": EMA,
    "ema_cross_bracket_algo": EMA,
    "ema_cross_hedge_mode": EMA | {"oms_type": "HEDGING"},
    "ema_cross_long_only": EMA,
    "ema_cross_stop_entry": TRAILING | {"trailing_offset": 0.001},
    "ema_cross_trailing_stop": TRAILING,
    "ema_cross_twap": EMA,
}
# What its backtest says that has no trade.
IDLE = {
    "blank": ({}, "it asked for no order; loosen its entry condition"),
    "grid_market_maker": (EMA | {"max_position": 5000}, "it wants quotes of EUR/USD.SIM"),
    "market_maker": (EMA | {"max_size": 5000}, "it wants an order book of EUR/USD.SIM"),
    "orderbook_imbalance": ({"max_trade_size": 1000}, "it wants an order book of EUR/USD.SIM"),
    "signal_strategy": ({}, "it wants quotes of EUR/USD.SIM"),
    "simpler_quoter": ({}, "it wants quotes of EUR/USD.SIM"),
    "subscribe": ({"book_type": "L2_MBP"}, "it wants an order book of EUR/USD.SIM"),
    "volatility_market_maker": (ATR | {"atr_multiple": 3.0}, "it wants quotes of EUR/USD.SIM"),
}
RUST = "market_buy_on_start"
SHORT = Request(duration_days=20)
LOW = {"min_sharpe_ratio": -100, "min_win_rate": 0, "min_alpha": -100, "accept_inconclusive": True}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory):
    async with world.engine(tmp_path_factory.mktemp("native")) as found:
        yield found


async def staged(running, strategy, *stages, request=SHORT):
    """Run stages until one fails, outside any pipeline."""
    results = []
    for stage in stages:
        results.append(await running.pipeline.run_stage(None, strategy, stage, request))
        if not results[-1].passed:
            break
    return results


async def shipped(running, name, parameters, **content):
    code = (SHIPPED / f"{name}.py").read_text()
    return await running.register(code, name=name, parameters=parameters, **content)


def test_every_shipped_strategy_has_its_verdict():
    names = {path.name.removesuffix(".py") for path in SHIPPED.iterdir() if path.suffix == ".py"}
    assert names - {"__init__"} == TRADES.keys() | IDLE.keys() | {RUST}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", sorted(TRADES))
async def test_a_shipped_strategy_that_trades_on_bars_is_backtested_unmodified(running, name):
    strategy = await shipped(running, name, TRADES[name])
    results = await staged(running, strategy, *STAGES[:3])
    assert [each.passed for each in results] == [True] * 3, results[-1].message
    facts = results[-1].evidence
    assert facts["fill_count"] > 0
    assert facts["orders"] > 0
    assert not [each for each in facts["lookahead"] if each["difference"]]
    assert not [each for each in results[-1].findings if "the engine books" in each.message]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", sorted(IDLE))
async def test_a_shipped_strategy_that_waits_for_what_there_is_not_says_so(running, name):
    parameters, word = IDLE[name]
    results = await staged(running, await shipped(running, name, parameters), *STAGES[:3])
    assert [each.stage for each in results] == list(STAGES[:3]), results[-1].message
    assert [each.passed for each in results] == [True, True, False]
    assert results[-1].message.startswith("no trade in ")
    assert word in results[-1].message


@pytest.mark.asyncio(loop_scope="module")
async def test_a_shipped_strategy_in_rust_s_vocabulary_is_told_what_to_derive_from(running):
    strategy = await shipped(running, RUST, {"trade_size": 1})
    (found,) = await staged(running, strategy, *STAGES[:3])
    assert "derive from nautilus_trader.trading.Strategy" in found.message


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "name",
    [
        "ema_cross",
        *(
            pytest.param(each, marks=pytest.mark.soak)
            for each in sorted(TRADES.keys() - {"ema_cross"})
        ),
    ],
)
async def test_a_shipped_strategy_goes_through_all_six_stages(running, name):
    strategy = await shipped(running, name, TRADES[name], version="2.0.0")
    asked = Request(duration_days=20, validation_criteria=LOW)
    results = await running.validate(strategy, f"pipe_{name}", request=asked)
    assert [each.stage for each in results] == list(STAGES), results[-1].message
    assert all(each.passed for each in results), [each.message for each in results]
    paper = {each.stage: each.evidence for each in results}["paper_trading"]
    assert paper["trades_executed"] > 0
    assert paper["fill_parity"]["share"] == paper["decision_parity"]["share"] == 1.0
    assert paper["decision_parity"]["live"] > 0
    assert 0 < paper["decision_cpu_ms"] < 8


def quotes_of(bars):
    """Return three quotes a bar as the text of a file, around its close."""
    chance = np.random.default_rng(1)
    rows = ["timestamp,bid,ask,bid_size,ask_size"]
    for open_ns, close in zip(bars.ts_ns.tolist(), bars.close.tolist(), strict=True):
        for second in (600, 1_800, 3_000):
            bid = close + chance.normal(0, 2e-4)
            at = np.datetime64(open_ns + second * 10**9, "ns")
            rows.append(f"{at}Z,{bid:.5f},{bid + 2e-5:.5f},50000,50000")
    return "\n".join(rows) + "\n"


@pytest.mark.soak
@pytest.mark.parametrize(
    ("name", "parameters"), [("ema_cross", EMA), ("simpler_quoter", {})], ids=str
)
async def test_quotes_are_met_live_as_in_the_backtest(tmp_path, name, parameters):
    catalogue = Catalogue(tmp_path)
    file = tmp_path / "quotes.csv"
    file.write_text(quotes_of(catalogue.bars("EUR/USD.SIM").slice(-400)))
    assert catalogue.import_ticks(file, "EUR/USD.SIM", "quotes").accepted
    async with world.engine(tmp_path) as apart:
        strategy = await shipped(apart, name, parameters)
        (found,) = await staged(apart, strategy, "paper_trading", request=Request())
    assert found.passed, found.message
    assert found.evidence["fill_parity"]["share"] == 1.0
    assert found.evidence["trades_executed"] > 20


TESTS = """
import pytest
import strategy
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.data import BarType

def config(**more):
    name = InstrumentId.from_str("EUR/USD.SIM")
    bars = BarType.from_str("EUR/USD.SIM-1-HOUR-LAST-EXTERNAL")
    return strategy.EMACrossConfig(instrument_id=name, bar_type=bars, trade_size=1, **more)

def test_it_has_its_averages():
    assert strategy.EMACross(config()).fast_ema.period == 10

def test_it_refuses_averages_the_wrong_way_round():
    with pytest.raises(ValueError):
        strategy.EMACross(config(fast_ema_period=30))
"""


@pytest.mark.asyncio(loop_scope="module")
async def test_a_native_strategy_s_own_tests_run_beside_nautilus_trader(running):
    strategy = await shipped(
        running, "ema_cross", EMA, version="3.0.0", tests={"test_averages.py": TESTS}
    )
    (found,) = await staged(running, strategy, "unit_tests")
    assert found.passed, found.message
    assert found.evidence["user_tests"]["passed"] == 2
    wrong = TESTS.replace("period == 10", "period == 11")
    strategy = await shipped(
        running, "ema_cross", EMA, version="3.0.1", tests={"test_averages.py": wrong}
    )
    (found,) = await staged(running, strategy, "unit_tests")
    assert "assert 10 == 11" in found.message


CHEAT = """
{imports}
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy


class CheatConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId
    bar_type: BarType


class Cheat(Strategy):
    def __init__(self, config):
        super().__init__(config)
        self.later = None

    def on_start(self):
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar):
        if self.later is None:
            self.later = dict(self.look())
        close = float(bar.close)
        next_one = self.later.get(bar.ts_event + 3_600_000_000_000, close)
        held = self.portfolio.net_position(self.config.instrument_id)
        if (next_one > close and held <= 0) or (next_one < close and held > 0):
            pair = self.cache.instrument(self.config.instrument_id)
            side = OrderSide.BUY if next_one > close else OrderSide.SELL
            self.submit_order(self.order_factory.market(pair.id, side, pair.make_qty(1000)))
{look}
"""
BY_OBJECTS = """
    def look(self):
        for each in gc.get_objects():
            if type(each) is list and len(each) > 100 and type(each[-1]) is Bar:
                return [(bar.ts_event, float(bar.close)) for bar in each]
        return []
"""
BY_FRAMES = """
    def look(self):
        frame = sys._getframe()
        while frame is not None:
            bench = frame.f_locals.get("bench")
            if bench is not None:
                return [(bar.ts_event, float(bar.close)) for bar in bench.engine.data]
            frame = frame.f_back
        return []
"""
BY_MODULES = """
    def look(self):
        conversation = sys.modules["strategy_engine.kernel.native.backtest"]
        found = [each for each in gc.get_referrers(conversation._Bench) if hasattr(each, "engine")]
        return [(bar.ts_event, float(bar.close)) for each in found for bar in each.engine.data]
"""


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("look", "way"), [(BY_OBJECTS, "objects"), (BY_FRAMES, "frames"), (BY_MODULES, "modules")]
)
async def test_a_native_strategy_that_looks_ahead_in_its_process_is_caught(running, look, way):
    code = CHEAT.format(imports="import gc\nimport sys", look=look)
    strategy = await running.register(code, name=f"Cheat by {way}")
    (found,) = await staged(running, strategy, "backtest")
    checks = {each["name"]: each for each in found.evidence["checks"]}
    assert found.evidence["trade_count"] > 50  # it did find them
    assert checks["no_lookahead"]["verdict"] == "failed"
    assert "a decision may use only the bars up to its own" in found.message
    fed = found.evidence["lookahead"][-1]
    assert fed["difference"]  # bar by bar there is nothing to be found
    (checked,) = await staged(running, strategy, "syntax_check")
    assert "imports gc, which a strategy may not" in checked.message
