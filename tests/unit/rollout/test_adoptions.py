"""Which versions can take over what another holds; the others are refused with what to use."""

import pytest

from strategy_engine.core.errors import InvalidError
from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.registry.model import Content
from strategy_engine.rollout import adoptions

CODE = "class Mine:\n    def generate_signal(self, market_data):\n        return 'HOLD'\n"
NATIVE = """
from nautilus_trader.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy


class MineConfig(StrategyConfig, frozen=True):
    period: int = 5


class Mine(Strategy):
    pass
"""


def trade(version="1.0.0", code=CODE, config=None, **parameters):
    content = Content(strategy_name="Line", version=version, code=code, parameters=parameters)
    return adoptions.trade_of(content, config or ExecutionConfig())


def test_who_is_shown_the_same_bars_may_take_over():
    old = trade(symbols=["A.SIM", "B.SIM"], timeframe="1h", stop_loss=-0.1)
    new = trade("2.0.0", symbols=["B.SIM", "A.SIM"], timeframe="1h", position_size=0.5)
    adoptions.check(new, [old])
    adoptions.check(new, [])


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ({}, {"symbols": ["A.SIM"]}, "version 2.0.0 trades A.SIM, version 1.0.0 EUR/USD.SIM"),
        ({"timeframe": "1h"}, {}, "of the usual length, version 1.0.0 of 1h"),
        ({}, {"code": NATIVE}, "version 2.0.0 is a NautilusTrader strategy"),
        ({"code": NATIVE}, {}, "version 1.0.0 is a NautilusTrader strategy"),
    ],
)
def test_who_cannot_take_over_is_refused_with_why_and_what_to_use_instead(old, new, why):
    with pytest.raises(InvalidError, match=r"use run_off .* or flatten") as refused:
        adoptions.check(trade("2.0.0", **new), [trade(**old)])
    assert why in str(refused.value)
    assert refused.value.facts["field"] == "handover"
    assert refused.value.facts["accepted"] == ["run_off", "flatten"]


def test_the_config_that_runs_says_what_both_trade():
    config = ExecutionConfig(symbols=("A.SIM",), timeframe="1d")
    old = trade(config=config, symbols=["B.SIM"])
    new = trade("2.0.0", config=config, symbols=["C.SIM"])
    adoptions.check(new, [old])
