"""Both buses pass one suite; Redis's entries are NautilusTrader's own."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from strategy_engine.core.errors import UnavailableError
from strategy_engine.infra.bus import codec, model
from strategy_engine.infra.bus.local import LocalBus
from strategy_engine.infra.bus.model import BEGINNING, Bus, Encoding, Layout
from strategy_engine.infra.bus.streams import RedisBus, address_of

PROGRAM = Path(__file__).parent / "runners" / "redis_server.py"
_spec = importlib.util.spec_from_file_location("redis_server", PROGRAM)
servers = importlib.util.module_from_spec(_spec)
sys.modules["redis_server"] = servers
_spec.loader.exec_module(servers)

LAYOUT = Layout(trader_id="TESTER-001", max_length=500)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with servers.running(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def clean(server: Any) -> Any:
    with server.client() as client:
        client.flushall()
    return server


@pytest.fixture(params=["local", "redis"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    if request.param == "local":
        made: Bus = LocalBus(LAYOUT)
    else:
        made = RedisBus(request.getfixturevalue("clean").url, LAYOUT)
    yield made
    await made.aclose()


def message(topic: str, number: int = 0, encoding: Encoding = Encoding.JSON) -> model.Message:
    return codec.encode(topic, {"number": number}, type_name="Test", encoding=encoding)


def numbers(received: list[model.Received]) -> list[int]:
    return [codec.decode(each.message)["number"] for each in received]


async def test_what_is_published_is_read_in_its_order(bus):
    stream = LAYOUT.stream_of("strategy.trade")
    await bus.publish([message("strategy.trade", number) for number in range(20)])

    found = await bus.read({stream: BEGINNING})

    assert numbers(found) == list(range(20))
    assert {each.stream for each in found} == {stream}


async def test_reading_goes_on_after_a_position(bus):
    stream = LAYOUT.stream_of("strategy.trade")
    await bus.publish([message("strategy.trade", number) for number in range(5)])
    first = await bus.read({stream: BEGINNING}, limit=2)

    rest = await bus.read({stream: first[-1].entry_id})

    assert (numbers(first), numbers(rest)) == ([0, 1], [2, 3, 4])


async def test_a_reader_waits_for_what_is_not_there_yet(bus):
    stream = LAYOUT.stream_of("strategy.trade")
    reading = asyncio.create_task(bus.read({stream: BEGINNING}, wait_s=2))
    await asyncio.sleep(0)

    await bus.publish([message("strategy.trade", 7)])

    assert numbers(await reading) == [7]


async def test_a_reader_of_silence_gets_nothing_after_its_wait(bus):
    assert await bus.read({LAYOUT.stream_of("strategy.trade"): BEGINNING}, wait_s=0.05) == []


async def test_without_a_wait_it_does_not_wait(bus):
    async with asyncio.timeout(1):
        assert await bus.read({LAYOUT.stream_of("strategy.trade"): BEGINNING}, wait_s=0) == []


async def test_a_subscriber_gets_what_comes_from_then_on(bus):
    stream = LAYOUT.stream_of("strategy.trade")
    await bus.publish([message("strategy.trade", 1)])
    subscription = model.subscribe(bus, {stream: await bus.newest(stream)})

    await bus.publish([message("strategy.trade", 2), message("strategy.trade", 3)])

    async with asyncio.timeout(5):
        found = [await anext(subscription), await anext(subscription)]
    await subscription.aclose()
    assert numbers(found) == [2, 3]


async def test_several_streams_are_read_at_once(bus):
    streams = {LAYOUT.stream_of(topic): BEGINNING for topic in ("strategy.trade", "risk.pause")}
    await bus.publish([message("strategy.trade", 1), message("risk.pause", 2)])

    found = await bus.read(streams)

    assert sorted(numbers(found)) == [1, 2]


async def test_the_newest_of_an_empty_stream_is_the_beginning(bus):
    assert await bus.newest("trader-TESTER-001:stream:nothing") == BEGINNING


async def test_a_stream_keeps_about_as_many_entries_as_it_was_set_to(bus):
    stream = LAYOUT.stream_of("strategy.trade")
    for _ in range(10):
        await bus.publish([message("strategy.trade", number) for number in range(200)])

    found = await bus.read({stream: BEGINNING}, limit=5_000)

    assert 500 <= len(found) < 700  # Redis trims by whole nodes of a hundred entries
    assert numbers(found)[-1] == 199


@pytest.mark.parametrize("encoding", list(Encoding))
async def test_an_entry_has_nautilustraders_fields_in_its_order(clean, encoding):
    bus = RedisBus(clean.url, replace(LAYOUT, encoding=encoding))
    await bus.publish([message("strategy.trade", 1, encoding)])
    await bus.aclose()

    (entry,) = clean.entries("trader-TESTER-001:stream:strategy.trade")

    assert list(entry) == ["topic", "type", "payload", "encoding"]
    assert entry["topic"] == b"strategy.trade"
    assert entry["encoding"].decode() == encoding


async def test_one_stream_takes_every_topic_if_it_is_asked_to(clean):
    bus = RedisBus(clean.url, replace(LAYOUT, stream_per_topic=False))
    await bus.publish([message("strategy.trade", 1), message("pipeline.failed", 2)])
    await bus.aclose()

    found = clean.entries("trader-TESTER-001:stream")

    assert [each["topic"] for each in found] == [b"strategy.trade", b"pipeline.failed"]


async def test_an_entry_of_another_kind_is_handed_on_as_empty_so_that_reading_goes_on(clean):
    with clean.client() as client:
        client.xadd("strange", {"neither": "topic nor payload"})
        client.xadd("strange", {"topic": "t", "payload": "{}"})
    bus = RedisBus(clean.url, LAYOUT)

    found = await bus.read({"strange": BEGINNING})
    await bus.aclose()

    assert [each.message.topic for each in found] == ["", "t"]


async def test_a_server_that_is_away_is_an_error_that_names_it_and_no_password(clean):
    away = RedisBus("redis://:secret-word@127.0.0.1:1/3", LAYOUT)

    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1/3") as caught:
        await away.publish([message("strategy.trade")])
    await away.aclose()

    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://user:word@host:7000/2", "host:7000/2"),
        ("rediss://host", "host:6379"),
        ("unix:///run/redis.sock", "/run/redis.sock"),
    ],
)
def test_the_address_of_a_url_holds_no_secret(url, address):
    assert address_of(url) == address


async def test_with_the_rights_that_the_documentation_gives_each_side_may_do_its_part(clean):
    rights = {
        "engine": "~trader-* ~risk-commands +xadd +xread +xrevrange +ping +select",
        "risk": "~risk-commands +xadd +select",
    }
    with clean.client() as client:
        for user, given in rights.items():
            client.execute_command("ACL", "SETUSER", user, "on", ">word", *given.split())
    engine = RedisBus(clean.url.replace("//", "//engine:word@"), LAYOUT)
    risk = RedisBus(clean.url.replace("//", "//risk:word@"), LAYOUT)
    stream = LAYOUT.stream_of("strategy.trade")
    try:
        await engine.publish([message("strategy.trade", 1)])
        await engine.ping()
        found = await engine.read({stream: BEGINNING, "risk-commands": BEGINNING})
        assert await engine.newest(stream) == found[-1].entry_id
        for refused in (risk.read({"risk-commands": BEGINNING}), risk.publish([message("t")])):
            with pytest.raises(UnavailableError, match=r"(?i)permission"):
                await refused
    finally:
        await engine.aclose()
        await risk.aclose()
        with clean.client() as client:
            client.execute_command("ACL", "DELUSER", "engine", "risk")
