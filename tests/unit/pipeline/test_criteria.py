import pytest

from strategy_engine.core.errors import InvalidError
from strategy_engine.pipeline.criteria import NAMES, PROFILES, criteria, with_declared


def test_without_a_word_the_spec_s_limits_hold():
    found = criteria({})
    assert (found.min_sharpe_ratio, found.max_drawdown, found.min_win_rate) == (1.0, -0.15, 0.55)
    assert (found.min_alpha, found.min_trades, found.min_daily_returns) == (1e-9, 10, 30)
    assert not found.accept_inconclusive
    assert found.overrides == ()


def test_a_request_overrides_and_says_which():
    found = criteria({"min_sharpe_ratio": 0.5, "accept_inconclusive": True, "min_trades": 10})
    assert found.min_sharpe_ratio == 0.5
    assert found.overrides == ("accept_inconclusive", "min_sharpe_ratio")


def test_the_production_profile_asks_for_more():
    found = criteria({}, "production")
    assert (found.min_psr, found.min_dsr, found.min_total_trades) == (0.95, 0.95, 100)
    assert (found.min_years, found.min_out_of_sample_ratio) == (2.0, 0.5)
    assert found.min_doubled_costs_sharpe == 0.0


def test_a_drawdown_may_be_written_with_either_sign():
    assert criteria({"max_drawdown": 0.2}) == criteria({"max_drawdown": -0.2})
    assert criteria({"max_drawdown": 0.2}).max_drawdown == -0.2


def test_an_unknown_name_is_refused_with_those_that_exist():
    with pytest.raises(InvalidError, match="has no 'min_sharp'") as raised:
        criteria({"min_sharp": 1})
    assert raised.value.facts["accepted"] == list(NAMES)
    assert raised.value.facts["field"] == "validation_criteria.min_sharp"


def test_an_unknown_profile_is_refused_with_those_that_exist():
    with pytest.raises(InvalidError, match="'strict' is unknown; it is one of default, production"):
        criteria({}, "strict")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_sharpe_ratio", "1"),
        ("min_sharpe_ratio", True),
        ("min_sharpe_ratio", float("nan")),
        ("min_win_rate", 1.1),
        ("min_win_rate", None),
        ("min_trades", 9.5),
        ("min_trades", 0),
        ("min_daily_returns", 1),
        ("accept_inconclusive", 1),
        ("payoff_profile", "yes"),
        ("max_correlation", 2),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_refused_by_name(name, value):
    with pytest.raises(InvalidError, match=rf"^{name} is .*; it must be ") as raised:
        criteria({name: value})
    assert raised.value.facts["field"] == f"validation_criteria.{name}"


def test_what_a_version_declares_counts_where_the_request_is_silent():
    declared = {"max_var": 0.02, "max_correlation": 0.9, "max_position_size": 1}
    found = with_declared(criteria({"max_correlation": 0.5}), declared)
    assert (found.max_var, found.max_correlation) == (0.02, 0.5)


def test_every_profile_shows_every_limit_as_plain_values():
    for each in PROFILES.values():
        assert set(NAMES) < set(each.to_dict())
        assert each.to_dict()["overrides"] == []
