"""Everything that happens, over HTTP: pages, filters, streams that go on where they were left."""

import asyncio
import json
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from strategy_engine.api import eventhub
from strategy_engine.api.eventhub import Hub
from strategy_engine.core.errors import UnavailableError
from strategy_engine.infra import audit, eventlog
from strategy_engine.infra.bus import topics
from strategy_engine.infra.eventlog import EventLog, Place
from strategy_engine.infra.outbox import Waiting

LONG_S = 30.0


def everything(_each: Any) -> bool:
    return True


@pytest.fixture
def log(world: Any) -> EventLog:
    return world.services.events


async def do(world: Any, *actions: str, kind: str = "execution", **details: Any) -> None:
    async with world.database.write() as connection:
        for action in actions:
            world.clock.advance(1)
            entry = audit.Entry(
                at=world.clock.now(),
                actor="ada",
                subject_type=kind,
                subject_id=f"{kind}_1",
                action=action,
                details=details,
            )
            await audit.record(connection, entry)


async def publish(world: Any, *numbers: int) -> None:
    world.clock.advance(1)
    found = [
        Waiting(
            outbox_id=number,
            event_id=f"e{number}",
            topic=topics.ERROR,
            payload=msgspec.json.encode(
                topics.StrategyError(
                    event_id=f"e{number}",
                    sequence=1,
                    execution_id=f"exec_{number}",
                    strategy_id="strat_1",
                    error="why",
                    at=world.clock.now(),
                )
            ).decode(),
            created_at=world.clock.now(),
        )
        for number in numbers
    ]
    async with world.database.write() as connection:
        await eventlog.keep(connection, found)


async def taken(stream: Any, count: int) -> list[dict[str, Any]]:
    """Return so many events of a stream; what only tells a place is passed over."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        lines = (await anext(stream)).decode().splitlines()
        told = dict(line.split(": ", 1) for line in lines if line and not line.startswith(":"))
        if "data" in told:
            found.append({"id": told["id"], **json.loads(told["data"])})
    return found


async def test_what_happens_in_both_tables_is_told_in_its_order(world, client) -> None:
    await do(world, "start")
    await publish(world, 1)
    await do(world, "stop")

    page = (await client.get("/events")).json()

    told = [(each["topic"], each["event_id"]) for each in page["events"]]
    assert told == [
        ("execution.start", "audit-1"),
        ("strategy.error", "event-1"),
        ("execution.stop", "audit-2"),
    ]
    assert (page["next"], page["forgotten"]) == ("2-1", 0)
    assert page["events"][1]["execution_id"] == "exec_1"


async def test_pages_follow_each_other_without_loss_or_repeat(world, client) -> None:
    await do(world, *(f"do_{number}" for number in range(7)))
    await publish(world, 1, 2, 3)

    seen, after = [], "0-0"
    for _ in range(5):
        page = (await client.get("/events", params={"after": after, "limit": 3})).json()
        seen += [each["event_id"] for each in page["events"]]
        after = page["next"]

    assert seen == [f"audit-{n}" for n in range(1, 8)] + [f"event-{n}" for n in range(1, 4)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"topic": "execution"}, ["execution.start"]),
        ({"topic": ["flag", "strategy.error"]}, ["flag.update", "strategy.error"]),
        ({"topic": "exec"}, []),
        ({"execution_id": "exec_1"}, ["strategy.error"]),
        ({"strategy_id": "strat_1"}, ["strategy.error"]),
        ({"line": "RSI"}, ["alert.fire"]),
        ({"severity": "warning"}, ["alert.fire"]),
        ({"severity": "critical"}, []),
    ],
)
async def test_only_what_is_asked_for_is_told(world, client, query, expected) -> None:
    await do(world, "start")
    await do(world, "update", kind="flag")
    await do(world, "fire", kind="alert", severity="warning", line="RSI")
    await publish(world, 1)

    page = (await client.get("/events", params=query)).json()

    assert [each["topic"] for each in page["events"]] == expected


async def test_what_happens_to_keys_and_webhooks_is_nobodys(world, client) -> None:
    await do(world, "create", kind="api_key")
    await do(world, "create", kind="webhook")

    assert (await client.get("/events", params={"after": "0-0"})).json()["events"] == []


async def test_the_same_event_published_again_is_told_once(world, client) -> None:
    await publish(world, 1)
    await publish(world, 1)

    assert (await client.get("/events")).json()["count"] == 1


async def test_a_stream_begins_now_and_tells_what_comes(world, log) -> None:
    await do(world, "before")
    hub = Hub(reread_s=0.001)
    async with aclosing(hub.follow(log, None, everything)) as stream:
        head = await anext(stream)
        await do(world, "after")
        (told,) = await taken(stream, 1)

    assert head == b"retry: 1000\nid: 1-0\n\n"
    assert (told["topic"], told["id"]) == ("execution.after", "2-0")
    assert hub.readers == 0


async def test_nothing_is_read_any_more_once_the_last_reader_has_left(world, log) -> None:
    before = asyncio.all_tasks()
    hub = Hub(reread_s=LONG_S)
    async with aclosing(hub.follow(log, None, everything)) as stream:
        await anext(stream)
        reading = asyncio.all_tasks() - before
        assert len(reading) == 1

    assert [task.cancelled() for task in reading] == [False]
    assert asyncio.all_tasks() == before


async def test_a_stream_goes_on_after_the_place_that_it_was_left_at(world, log) -> None:
    await do(world, "a", "b")
    await publish(world, 1)
    await do(world, "c")
    hub = Hub(reread_s=0.001)
    async with aclosing(hub.follow(log, eventlog.BEGINNING, everything)) as stream:
        before = await taken(stream, 2)
    await publish(world, 2)
    async with aclosing(
        Hub(reread_s=0.001).follow(log, Place.parse(before[-1]["id"]), everything)
    ) as stream:
        after = await taken(stream, 3)

    told = [each["event_id"] for each in before + after]
    assert told == ["audit-1", "audit-2", "event-1", "audit-3", "event-2"]


async def test_many_followers_at_different_places_each_get_everything_once(world, log) -> None:
    await do(world, *(f"do_{number}" for number in range(20)))
    hub = Hub(reread_s=0.001)

    async def follow(after: int) -> list[str]:
        async with aclosing(hub.follow(log, Place(audit_id=after), everything)) as stream:
            found = await taken(stream, 20 - after)
            return [each["event_id"] for each in found + await taken(stream, 5)]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(follow(after)) for after in range(10)]
        await asyncio.sleep(0)
        await do(world, *(f"later_{number}" for number in range(5)))

    for after, task in enumerate(tasks):
        assert task.result() == [f"audit-{number}" for number in range(after + 1, 26)]


async def test_in_a_silence_the_place_is_told_and_moves_past_what_nobody_wants(world, log) -> None:
    hub = Hub(reread_s=0.001, heartbeat_s=0.01)
    async with aclosing(hub.follow(log, None, lambda _: False)) as stream:
        await anext(stream)
        await do(world, "unwanted")
        async with asyncio.timeout(LONG_S):
            while b"id: 1-0" not in (told := await anext(stream)):
                pass

    assert told == b": still here\nid: 1-0\n\n"


async def test_a_reader_slower_than_the_buffer_is_let_go(world, log, monkeypatch) -> None:
    monkeypatch.setattr(eventhub, "BUFFERED", 2)
    hub = Hub(reread_s=0.001)
    slow = hub.follow(log, None, everything)
    quick = hub.follow(log, None, everything)
    async with aclosing(slow), aclosing(quick):
        await anext(slow)
        await anext(quick)
        await do(world, "first")
        (first,) = await taken(slow, 1)
        for number in range(10):
            await do(world, f"more_{number}")
            await taken(quick, 1 if number else 2)
        rest = [each async for each in slow]

    assert first["id"] == "1-0"
    assert rest == []


async def test_who_was_away_for_too_long_is_told_how_much_is_gone(world, log) -> None:
    await publish(world, 1, 2, 3)
    later = world.clock.now() + timedelta(seconds=1)
    async with world.database.write() as connection:
        await eventlog.trim(connection, later)
    await publish(world, 4)
    async with aclosing(Hub().follow(log, Place(event_no=1), everything)) as stream:
        await anext(stream)
        gap = await anext(stream)

    assert gap == b'event: gap\ndata: {"forgotten": 2}\n\n'


async def test_too_many_streams_are_refused(log) -> None:
    hub = Hub(most=1)
    async with aclosing(hub.follow(log, None, everything)) as stream:
        await anext(stream)
        with pytest.raises(UnavailableError, match="1 streams"):
            hub.refuse_when_full()


async def test_a_place_that_is_none_is_refused(client) -> None:
    answer = await client.get("/events", headers={"last-event-id": "yesterday"})

    assert answer.status_code == 422
