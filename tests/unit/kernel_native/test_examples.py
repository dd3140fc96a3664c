"""Every strategy that NautilusTrader ships, its file's text submitted as it is."""

from pathlib import Path
from typing import Any

import nautilus_trader.examples.strategies as shipped
import pytest

from strategy_engine.kernel.child import Conversation
from strategy_engine.sandbox.protocol import messages

FOLDER = Path(shipped.__file__).parent
EMA = {"trade_size": 1000}
ATR = EMA | {"atr_period": 14}

# What each needs to be told; instrument and bars the engine fills in.
TRADES_ON_BARS: dict[str, dict[str, Any]] = {
    "bb_mean_reversion": EMA,
    "ema_cross": EMA,
    "ema_cross_bracket": EMA,
    "ema_cross_bracket_algo": EMA,
    "ema_cross_hedge_mode": EMA | {"oms_type": "HEDGING"},
    "ema_cross_long_only": EMA,
    "ema_cross_stop_entry": ATR
    | {
        "trailing_atr_multiple": 3.0,
        "trailing_offset_type": "PRICE",
        "trailing_offset": 0.001,
        "trigger_type": "LAST_PRICE",
    },
    "ema_cross_trailing_stop": ATR
    | {
        "trailing_atr_multiple": 3.0,
        "trailing_offset_type": "PRICE",
        "trigger_type": "LAST_PRICE",
    },
    "ema_cross_twap": EMA | {"twap_horizon_secs": 30.0, "twap_interval_secs": 3.0},
}
WAITS_FOR: dict[str, tuple[dict[str, Any], str]] = {
    "grid_market_maker": ({"trade_size": 1000, "max_position": 5000}, "quotes"),
    "market_maker": ({"trade_size": 1000, "max_size": 5000}, "an order book"),
    "orderbook_imbalance": ({"max_trade_size": 1000}, "an order book"),
    "signal_strategy": ({}, "quotes"),
    "simpler_quoter": ({}, "quotes"),
    "subscribe": ({"book_type": "L2_MBP"}, "an order book"),
    "volatility_market_maker": (ATR | {"atr_multiple": 3.0}, "quotes"),
}
IDLE = {"blank"}  # a template without a decision
RUST = {"market_buy_on_start"}


def source(name: str) -> str:
    return (FOLDER / f"{name}.py").read_text()


def test_every_shipped_strategy_is_spoken_for() -> None:
    shipped_names = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    assert shipped_names == set(TRADES_ON_BARS) | set(WAITS_FOR) | IDLE | RUST


@pytest.mark.parametrize("name", sorted(TRADES_ON_BARS))
def test_it_trades_on_bars_and_does_live_what_it_did_in_the_backtest(
    name: str, bars: Any, floor: Any
) -> None:
    history = bars(300)
    place = floor(source(name), **TRADES_ON_BARS[name])
    tested = place.backtest(history, warm_up=30)
    lived = place.live(history, warm_up=30)
    assert tested.fills
    assert lived.steps == tested.steps
    assert lived.fills == tested.fills
    assert lived.stopping == tested.stopping


@pytest.mark.parametrize("name", sorted(WAITS_FOR))
def test_it_runs_without_a_trade_and_says_what_the_feed_lacks(
    name: str, bars: Any, floor: Any
) -> None:
    parameters, missing = WAITS_FOR[name]
    place = floor(source(name), **parameters)
    tested = place.backtest(bars(100))
    lived = place.live(bars(100))
    assert tested.instructions == lived.instructions == []
    assert any(f"it wants {missing} of EUR/USD.SIM" in each for each in tested.notices)
    assert lived.notices == tested.notices


@pytest.mark.parametrize("name", sorted(IDLE))
def test_a_template_runs_and_does_nothing(name: str, bars: Any, floor: Any) -> None:
    assert floor(source(name)).backtest(bars(50)).instructions == []


@pytest.mark.parametrize("name", sorted(RUST))
def test_a_strategy_in_rusts_vocabulary_is_told_what_to_derive_from(name: str, floor: Any) -> None:
    place = floor(source(name), trade_size=1)
    answer = Conversation().answer(place.load_message())
    assert isinstance(answer, messages.Failed)
    assert "derive from nautilus_trader.trading.Strategy" in answer.message
