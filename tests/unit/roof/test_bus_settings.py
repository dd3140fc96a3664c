"""How the bus is set from outside: clear refusals, NautilusTrader's names, no secret shown."""

from typing import Any

import pytest

from strategy_engine import config
from strategy_engine.core.errors import InvalidError
from strategy_engine.infra.bus.checks import Checking
from strategy_engine.infra.bus.model import Encoding

SECRET = "s" * 32


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Any:
    def give(**values: str) -> config.Settings:
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        return config.load()

    return give


def test_without_a_server_the_bus_stays_inside_the_process(environment):
    bus = environment(REDIS_URL=" ").bus
    assert not bus.is_remote
    assert bus.layout.stream_of("t") == "trader-STRATEGY-ENGINE-001:stream:t"


def test_every_setting_of_the_bus_is_read(environment):
    bus = environment(
        REDIS_URL="rediss://user:word@host:7000/2",
        TRADER_ID="DESK-EU-007",
        STRATEGY_BUS_ENCODING="msgpack",
        STRATEGY_BUS_STREAM_PER_TOPIC="false",
        STRATEGY_BUS_MAXLEN="0",
        STRATEGY_BUS_KEEP_HOURS="0.5",
        STRATEGY_BUS_DATA_STREAM="trader-MARKET-DATA-001:stream",
        STRATEGY_BUS_COMMAND_STREAM="risk-commands",
        STRATEGY_BUS_COMMAND_SECRET=SECRET,
    ).bus
    assert bus.url == "rediss://user:word@host:7000/2"
    assert bus.layout.stream_of("t") == "trader-DESK-EU-007:stream"
    assert (bus.layout.encoding, bus.layout.max_length) == (Encoding.MSGPACK, 0)
    assert bus.keep_s == 1_800
    assert bus.data_stream == "trader-MARKET-DATA-001:stream"
    assert (bus.command_stream, bus.command_secret) == ("risk-commands", SECRET)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"REDIS_URL": "http://:word-of@host"}, "REDIS_URL"),
        ({"TRADER_ID": "NOHYPHEN"}, "TRADER_ID"),
        ({"TRADER_ID": "A B-001"}, "TRADER_ID"),
        ({"STRATEGY_BUS_ENCODING": "xml"}, "STRATEGY_BUS_ENCODING"),
        ({"STRATEGY_BUS_MAXLEN": "-1"}, "STRATEGY_BUS_MAXLEN"),
        ({"STRATEGY_BUS_KEEP_HOURS": "0"}, "STRATEGY_BUS_KEEP_HOURS"),
        ({"STRATEGY_BUS_DATA_STREAM": "bars"}, "STRATEGY_BUS_DATA_STREAM"),
        (
            {"REDIS_URL": "redis://host", "STRATEGY_BUS_COMMAND_STREAM": "risk"},
            "STRATEGY_BUS_COMMAND_STREAM",
        ),
        ({"STRATEGY_BUS_COMMAND_SECRET": "word-of-few"}, "STRATEGY_BUS_COMMAND_SECRET"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name_and_no_secret_is_repeated(
    environment, values, named
):
    with pytest.raises(InvalidError, match=named) as caught:
        environment(**values)
    assert "word-of" not in str(caught.value)


def test_no_secret_of_the_bus_is_in_what_settings_show_of_themselves(environment):
    settings = environment(
        REDIS_URL="redis://:word-of-redis@host",
        STRATEGY_BUS_COMMAND_STREAM="risk",
        STRATEGY_BUS_COMMAND_SECRET="word-of-the-commands-and-some-more",
    )
    assert "word-of" not in repr(settings) + repr(settings.bus)


def test_nobody_is_asked_before_an_order_unless_that_is_wanted(environment):
    assert environment(REDIS_URL="redis://host").bus.checking is None


@pytest.mark.parametrize("mode", ["open", "closed"])
def test_a_risk_engine_is_asked_with_a_deadline(environment, mode):
    asked = environment(
        REDIS_URL="redis://host", STRATEGY_BUS_COMMAND_SECRET=SECRET, RISK_VETO=mode
    ).bus.checking
    assert asked == Checking(is_open=mode == "open", deadline_s=0.25)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"RISK_VETO": "maybe"}, "RISK_VETO.*off, open, closed"),
        ({"RISK_VETO": "open"}, "RISK_VETO.*needs REDIS_URL"),
        (
            {"RISK_VETO": "closed", "STRATEGY_BUS_COMMAND_SECRET": SECRET},
            "RISK_VETO.*needs REDIS_URL",
        ),
        (
            {"RISK_VETO": "closed", "REDIS_URL": "redis://host"},
            "RISK_VETO.*signed with STRATEGY_BUS_COMMAND_SECRET",
        ),
        ({"RISK_VETO_DEADLINE_MS": "0"}, "RISK_VETO_DEADLINE_MS"),
        ({"RISK_VETO_DEADLINE_MS": "5001"}, "RISK_VETO_DEADLINE_MS"),
    ],
)
def test_a_veto_that_could_not_be_heard_is_refused_at_start(environment, values, why):
    with pytest.raises(InvalidError, match=why):
        environment(**values)
