from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import TimeInForce
from nautilus_trader.model.identifiers import InstrumentId

from strategy_engine.kernel.failures import StrategyFailedError
from strategy_engine.kernel.native import source

ONE = source.Market(
    instrument_ids=[InstrumentId.from_str("EUR/USD.SIM")],
    bar_types=[BarType.from_str("EUR/USD.SIM-1-HOUR-LAST-EXTERNAL")],
)
TWO = source.Market(
    instrument_ids=[*ONE.instrument_ids, InstrumentId.from_str("GBP/USD.SIM")],
    bar_types=[*ONE.bar_types, BarType.from_str("GBP/USD.SIM-1-HOUR-LAST-EXTERNAL")],
)
HEAD = """
from decimal import Decimal
from nautilus_trader.config import PositiveInt, StrategyConfig
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import TimeInForce
from nautilus_trader.model.identifiers import InstrumentId, Venue
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.trading.strategy import Strategy
"""


def code(*fields: str, rest: str = "") -> str:
    body = "\n".join(f"    {each}" for each in fields) or "    pass"
    return f"""{HEAD}
class MyConfig(StrategyConfig, frozen=True):
{body}

class My(Strategy):
    def __init__(self, config: MyConfig) -> None:
        super().__init__(config)
{rest}
"""


def config_of(text: str, market: source.Market = ONE, **parameters: Any) -> Any:
    return source.plan(text, parameters, market).arguments["config"]


def failure_of(text: str, market: source.Market = ONE, **parameters: Any) -> str:
    with pytest.raises(StrategyFailedError) as caught:
        source.plan(text, parameters, market)
    return caught.value.failed.message


def test_parameters_become_the_config_in_its_own_types() -> None:
    text = code(
        "instrument_id: InstrumentId",
        "size: Decimal",
        "life: TimeInForce",
        "quantity: Quantity",
        "price: Price | None = None",
    )
    config = config_of(
        text, TWO, instrument_id="GBP/USD.SIM", size="0.5", life="ioc", quantity=7, price=1.25
    )
    assert config.instrument_id == InstrumentId.from_str("GBP/USD.SIM")
    assert config.size == Decimal("0.5")
    assert config.life == TimeInForce.IOC
    assert str(config.quantity) == "7"
    assert str(config.price) == "1.25"


def test_the_engine_fills_in_instrument_and_bars_of_the_first_symbol() -> None:
    config = config_of(code("instrument_id: InstrumentId", "bar_type: BarType", "venue: Venue"))
    assert config.instrument_id == ONE.instrument_ids[0]
    assert config.bar_type == ONE.bar_types[0]
    assert config.venue == ONE.instrument_ids[0].venue


def test_fields_for_many_get_every_symbol() -> None:
    config = config_of(code("bar_types: tuple[BarType, ...]", "ids: list[InstrumentId]"), TWO)
    assert config.bar_types == tuple(TWO.bar_types)
    assert config.ids == list(TWO.instrument_ids)


def test_two_legs_get_one_symbol_each_in_order() -> None:
    config = config_of(code("first: InstrumentId", "second: InstrumentId"), TWO)
    assert [config.first, config.second] == list(TWO.instrument_ids)


def test_two_legs_and_one_symbol_are_left_to_the_user() -> None:
    message = failure_of(code("first: InstrumentId", "second: InstrumentId"))
    assert message == "MyConfig needs first, second, which the parameters do not give"


def test_a_field_spelt_as_text_gets_text() -> None:
    config = config_of(code("instrument_id: str", "bar_type: str"))
    assert config.instrument_id == "EUR/USD.SIM"
    assert config.bar_type == "EUR/USD.SIM-1-HOUR-LAST-EXTERNAL"


def test_an_optional_instrument_is_left_alone() -> None:
    assert config_of(code("hedge_id: InstrumentId | None = None")).hedge_id is None


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("period: PositiveInt", 0, "parameter period is 0: Expected `int` >= 1"),
        ("period: PositiveInt", "ten", "parameter period is 'ten': Expected `int`, got `str`"),
        ("size: Decimal", "much", "parameter size is 'much'"),
        ("of: InstrumentId", "EURUSD", "parameter of is 'EURUSD'"),
        ("life: TimeInForce", "SOON", "parameter life is 'SOON'"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_field(
    field: str, value: object, said: str
) -> None:
    assert failure_of(code(field), **{field.partition(":")[0]: value}).startswith(said)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("leg: InstrumentId", "GBP/USD.SIM"),
        ("leg: InstrumentId | None = None", "GBP/USD.SIM"),
        ("leg: list[InstrumentId]", ["EUR/USD.SIM", "GBP/USD.SIM"]),
        ("leg: BarType", "GBP/USD.SIM-1-HOUR-LAST-EXTERNAL"),
    ],
)
def test_an_instrument_that_is_not_among_the_symbols_is_named_with_what_to_do(
    field: str, value: object
) -> None:
    message = failure_of(code(field), leg=value)
    assert message.startswith("parameter leg is GBP/USD.SIM")
    assert "the strategy's symbols are EUR/USD.SIM" in message
    assert 'in the parameter symbols, such as ["GBP/USD.SIM"]' in message
    assert config_of(code(field), TWO, leg=value).leg


def test_bars_of_another_length_are_left_to_the_feed() -> None:
    made = config_of(code("of: BarType"), of="EUR/USD.SIM-1-MINUTE-LAST-EXTERNAL")
    assert str(made.of) == "EUR/USD.SIM-1-MINUTE-LAST-EXTERNAL"


def test_parameters_that_nobody_takes_are_listed_and_engine_parameters_are_not() -> None:
    plan = source.plan(code("period: int = 3"), {"period": 4, "perid": 5, "fee_bps": 1}, ONE)
    assert plan.bound == ["period"]
    assert plan.unbound == ["perid"]


def test_order_names_repeat_whatever_the_config_says() -> None:
    config = config_of(code(), use_uuid_client_order_ids=True)
    assert not config.use_uuid_client_order_ids


def test_a_constructor_with_arguments_of_its_own_is_filled_by_name() -> None:
    text = f"""{HEAD}
class My(Strategy):
    def __init__(self, instrument_id: InstrumentId, size: Decimal, depth: int = 3) -> None:
        super().__init__()
"""
    plan = source.plan(text, {"size": 2}, ONE)
    assert plan.arguments == {"size": Decimal(2), "instrument_id": ONE.instrument_ids[0]}
    plan.construct()


def test_a_constructor_without_arguments_needs_none() -> None:
    text = f"{HEAD}\nclass My(Strategy):\n    def __init__(self):\n        super().__init__()\n"
    assert source.plan(text, {}, ONE).arguments == {}


def test_a_strategy_without_a_constructor_takes_the_one_config_there_is() -> None:
    text = f"""{HEAD}
class Wishes(StrategyConfig, frozen=True):
    period: int

class My(Strategy):
    pass
"""
    config = config_of(text, period=4)
    assert config.period == 4
    assert isinstance(config, StrategyConfig)


@pytest.mark.parametrize("name", ["config", "cfg"])
def test_a_config_is_found_by_its_name_among_several(name: str) -> None:
    text = f"""{HEAD}
class OtherConfig(StrategyConfig, frozen=True):
    other: int

class MyConfig(StrategyConfig, frozen=True):
    period: int

class My(Strategy):
    def __init__(self, {name}) -> None:
        super().__init__({name})
"""
    assert source.plan(text, {"period": 4}, ONE).arguments[name].period == 4


def test_the_base_of_a_strategy_is_not_a_second_one() -> None:
    text = code("period: int = 3", rest="\nclass Better(My):\n    pass\n")
    assert source.plan(text, {}, ONE).kind.__name__ == "Better"


def test_a_config_that_could_be_any_of_several_must_be_annotated() -> None:
    text = f"""{HEAD}
class OneConfig(StrategyConfig, frozen=True):
    pass

class TwoConfig(StrategyConfig, frozen=True):
    pass

class My(Strategy):
    def __init__(self, config) -> None:
        super().__init__(config)
"""
    assert failure_of(text).startswith("My may take any of OneConfig, TwoConfig; annotate")


def test_annotations_kept_as_text_are_read_too() -> None:
    text = "from __future__ import annotations\n" + code("period: PositiveInt", "of: InstrumentId")
    config = config_of(text, period=3)
    assert (config.period, config.of) == (3, ONE.instrument_ids[0])


def test_two_strategies_are_one_too_many() -> None:
    text = code(rest="\nclass Other(Strategy):\n    pass\n")
    assert failure_of(text) == "2 classes are strategies (My, Other); keep exactly one"


def test_code_without_a_strategy_says_what_it_has() -> None:
    said = failure_of("class Mine:\n    pass\n")
    assert said.endswith(
        "derives from nautilus_trader.trading.Strategy; classes defined here: Mine"
    )


def test_a_missing_import_fails_in_compile_and_names_the_line() -> None:
    with pytest.raises(StrategyFailedError) as caught:
        source.plan("import nothing_of_that_name\n", {}, ONE)
    assert caught.value.failed.phase == "compile"
    assert caught.value.failed.where == "line 1: import nothing_of_that_name"


def test_a_constructor_that_raises_is_an_answer() -> None:
    text = code(rest="        raise ValueError('not today')\n")
    with pytest.raises(StrategyFailedError) as caught:
        source.plan(text, {}, ONE).construct()
    assert caught.value.failed.phase == "construct"
    assert caught.value.failed.message == "not today"


def test_only_hooks_of_the_class_itself_are_told() -> None:
    text = code(rest="\n    def on_bar(self, bar):\n        pass\n")
    assert source.plan(text, {}, ONE).hooks == ["on_bar"]
