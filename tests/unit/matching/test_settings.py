from typing import Any

import pytest

from strategy_engine.core.errors import InvalidError
from strategy_engine.matching.model import NANOS, PPB, Rules
from strategy_engine.matching.settings import settings


def test_nothing_given_means_the_documented_defaults() -> None:
    found = settings({}, {}, {})
    assert found.rules == Rules()
    assert found.capital_nanos == 100_000 * NANOS
    assert found.symbols == ("EUR/USD.SIM",)
    assert (found.timeframe, found.lookback, found.daily_loss_limit_nanos) == (None, None, None)


def test_parameters_are_read_under_the_names_of_their_users() -> None:
    found = settings(
        {"position_size": 0.03, "stop_loss": -0.05, "take_profit": 0.1, "rsi_period": 14},
        {"max_position_size": 15_000, "daily_loss_limit": -2_000},
        {},
    )
    assert found.rules.position_size_ppb == 3 * PPB // 100
    assert (found.rules.stop_loss_ppb, found.rules.take_profit_ppb) == (PPB // 20, PPB // 10)
    assert found.rules.max_position_nanos == 15_000 * NANOS
    assert found.daily_loss_limit_nanos == -2_000 * NANOS


@pytest.mark.parametrize("field", ["stop_loss", "take_profit"])
def test_the_sign_of_a_distance_does_not_matter(field: str) -> None:
    assert settings({field: 0.07}, {}, {}) == settings({field: -0.07}, {}, {})


def test_an_executions_own_value_wins_unless_it_is_none() -> None:
    parameters = {"position_size": 0.03, "max_trades_per_day": 5}
    found = settings(parameters, {}, {"position_size": 0.02, "max_trades_per_day": None})
    assert found.rules.position_size_ppb == PPB // 50
    assert found.rules.max_trades_per_day == 5


def test_costs_are_basis_points() -> None:
    found = settings({"slippage_bps": 2.5, "fee_bps": 0}, {}, {})
    assert (found.rules.slippage_ppm, found.rules.fee_ppm) == (250, 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("position_size", 1.01),
        ("position_size", "0.1"),
        ("position_size", float("nan")),
        ("stop_loss", -1.5),
        ("allow_short", 1),
        ("max_trades_per_day", 2.5),
        ("max_trades_per_day", True),
        ("lookback", 0),
        ("timeframe", 60),
        ("capital", 0),
        ("symbols", []),
        ("symbols", ["A", "A"]),
        ("symbols", [1]),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_its_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidError, match=f"{field} is") as caught:
        settings({field: value}, {}, {})
    assert caught.value.facts["field"] == field


def test_a_native_version_may_be_short_unless_it_says_otherwise():
    assert not settings({}, {}, {}).rules.allow_short
    assert settings({}, {}, {}, is_native=True).rules.allow_short
    refused = settings({"allow_short": False}, {}, {}, is_native=True)
    assert not refused.rules.allow_short


def test_leverage_and_volume_share_become_conditions():
    found = settings({"leverage": 2.5, "max_volume_share": 0.1}, {}, {}).conditions

    assert (found.leverage_ppm, found.max_volume_share_ppm) == (2_500_000, 100_000)


@pytest.mark.parametrize(
    "given", [{"leverage": 0.5}, {"leverage": "2"}, {"max_volume_share": 0}, {"leverage": True}]
)
def test_conditions_out_of_range_are_refused_by_name(given):
    with pytest.raises(InvalidError, match=next(iter(given))):
        settings(given, {}, {})
