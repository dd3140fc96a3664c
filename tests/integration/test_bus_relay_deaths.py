"""What the outboxes hold is published in order, though the broker or the relay dies meanwhile."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strategy_engine.infra.bus import topics
from strategy_engine.infra.bus.model import Layout
from strategy_engine.infra.bus.streams import RedisBus
from strategy_engine.infra.database import Database

RUNNERS = Path(__file__).parent / "runners"
_spec = importlib.util.spec_from_file_location("relay_world", RUNNERS / "relay_world.py")
world = importlib.util.module_from_spec(_spec)
sys.modules["relay_world"] = world
_spec.loader.exec_module(world)
_spec = importlib.util.spec_from_file_location("redis_server", RUNNERS / "redis_server.py")
servers = importlib.util.module_from_spec(_spec)
sys.modules["redis_server"] = servers
_spec.loader.exec_module(servers)


@pytest.fixture
async def files(tmp_path: Path, server: str | None) -> AsyncIterator[tuple[Database, Database]]:
    async with world.opened(tmp_path, server) as found:
        yield found


@pytest.fixture
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with servers.running(tmp_path_factory.mktemp("redis")) as running:
        yield running


def published(redis: Any) -> list[str]:
    return [
        msgspec.json.decode(each["payload"])["event_id"] for each in redis.entries(world.STREAM)
    ]


async def test_redis_killed_under_load_loses_nothing_and_keeps_the_order(files, redis):
    bus = RedisBus(redis.url, world.LAYOUT)
    publisher, lives = world.make(files, bus), {}
    async with world.running(publisher):
        for names in (("exec_a", "exec_b"), ("exec_c", "exec_d")):
            least = length(redis, world.LAYOUT) + 10
            living = {name: asyncio.create_task(world.live(files, name, 75)) for name in names}
            await world.until(lambda least=least: length(redis, world.LAYOUT) > least)
            redis.kill()
            await world.until(lambda: not publisher._state.is_connected)
            assert await world.kept(files, unpublished=True) > 0
            redis.start()
            lives |= {name: await each for name, each in living.items()}
        await world.all_published(files)
    await bus.aclose()

    told = published(redis)
    for name, happened in lives.items():
        assert world.of(name, told) == happened


async def test_a_relay_killed_again_and_again_loses_nothing_and_keeps_the_order(
    files, tmp_path, server, redis
):
    lives = {}
    for number in range(2):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, RUNNERS / "relay_process.py", tmp_path, redis.url, server or ""),
            stdout=asyncio.subprocess.PIPE,
        )
        assert await process.stdout.readline() == b"ready\n"
        name, seen = f"exec_{number}", length(redis)
        living = asyncio.create_task(world.live(files, name, TRADES))
        await world.until(lambda least=seen: length(redis) > least + 20)
        process.kill()
        await process.wait()
        assert not living.done()
        lives[name] = await living

    bus = RedisBus(redis.url, Layout())
    last = world.make(files, bus)
    await last._report()
    await last.drain()
    await bus.aclose()

    told = [msgspec.json.decode(each["payload"])["event_id"] for each in all_entries(redis)]
    assert set(told) == {event for happened in lives.values() for event in happened}
    for name, happened in lives.items():
        trades = [each for each in world.of(name, told) if each.endswith(".trade")]
        assert trades == happened[1:-1]


TRADES = 400  # more than are told until it is killed, however quick the database is
NAMES = (topics.STARTED, topics.TRADE, topics.STOPPED)


def all_entries(redis: Any) -> list[dict[str, bytes]]:
    return [each for name in NAMES for each in redis.entries(Layout().stream_of(name))]


def length(redis: Any, layout: Layout | None = None) -> int:
    streams = {(layout or Layout()).stream_of(name) for name in NAMES}
    with redis.client() as client:
        return sum(client.xlen(stream) for stream in streams)
