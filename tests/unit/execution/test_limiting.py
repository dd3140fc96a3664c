"""What limits an execution brings with it."""

from typing import Any

import pytest

from strategy_engine.core.errors import InvalidError
from strategy_engine.execution import limiting, rules
from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.registry.model import Content
from strategy_engine.venue import limits
from strategy_engine.venue.limits import Limits, Scope


def version(**risk_limits: Any) -> Content:
    return Content(strategy_name="RSI", version="1.0.0", code="", risk_limits=risk_limits)


def held(content: Content, **config: Any) -> Limits:
    return limits.tightest(
        limiting.own_sets(content, ExecutionConfig(**config), "strat_1", "exec_1")
    )


def given(found: Limits, name: str = "max_position_size") -> Any:
    limit = found.of(name)
    return None if limit is None else limit.given


def test_an_execution_tightens_what_its_version_says() -> None:
    content = version(max_position_size=1_000, daily_loss_limit=-100)

    found = held(content, risk_limits={"max_position_size": 500, "daily_loss_limit": -200})

    assert (given(found), given(found, "daily_loss_limit")) == (500, -100)


def test_an_execution_loosens_nothing_without_an_override() -> None:
    assert given(
        held(version(max_position_size=1_000), risk_limits={"max_position_size": 9e6})
    ) == (1_000)


def test_an_override_replaces_what_it_names_and_leaves_the_rest() -> None:
    content = version(max_position_size=1_000, daily_loss_limit=-100)

    found = held(content, risk_override=True, risk_limits={"max_position_size": 5_000})

    assert (given(found), given(found, "daily_loss_limit")) == (5_000, -100)
    limit = found.of("max_position_size")
    assert limit is not None
    assert limit.scope is Scope.EXECUTION


def test_an_override_that_names_nothing_lifts_the_days_loss_and_nothing_else() -> None:
    content = version(max_position_size=1_000, daily_loss_limit=-100)

    found = held(content, risk_override=True)

    assert (given(found), given(found, "daily_loss_limit")) == (1_000, None)


def test_sizing_clamps_to_the_tightest_of_its_own() -> None:
    content = version(max_position_size=1_000)
    config = ExecutionConfig(risk_limits={"max_position_size": 400})

    settings = rules.settings_of(content, config)

    assert settings.rules.max_position_nanos == 400 * 10**9


def test_the_account_is_the_lines_own_unless_it_is_named() -> None:
    assert limiting.account_of(ExecutionConfig(), "RSI") == "RSI"
    assert limiting.account_of(ExecutionConfig(account="main"), "RSI") == "main"


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"risk_limits": {"max_leverage": "much"}}, "max_leverage"),
        ({"risk_limits": {"max_leverge": 1}}, "max_leverge"),
        ({"risk_limits": {"allow_self_match": True}}, "allow_self_match"),
        ({"account": ""}, "account"),
        ({"account": "a\nb"}, "account"),
        ({"risk_override": 1}, "risk_override"),
    ],
)
def test_what_makes_no_sense_is_refused_before_it_runs(config: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidError) as raised:
        rules.settings_of(version(), ExecutionConfig(**config))

    assert raised.value.facts["field"] == field
