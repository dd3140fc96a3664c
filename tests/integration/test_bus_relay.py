"""What the outboxes hold is published: all of it, and in order for each execution."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from strategy_engine.core.clock import SteppedClock
from strategy_engine.infra import outbox, relay
from strategy_engine.infra.bus import codec, links
from strategy_engine.infra.bus.local import LocalBus
from strategy_engine.infra.bus.model import BEGINNING
from strategy_engine.infra.database import Database
from strategy_engine.infra.webhooks.service import Webhooks
from strategy_engine.infra.webhooks.targets import Targets

RUNNERS = Path(__file__).parent / "runners"
_spec = importlib.util.spec_from_file_location("relay_world", RUNNERS / "relay_world.py")
world = importlib.util.module_from_spec(_spec)
sys.modules["relay_world"] = world
_spec.loader.exec_module(world)


@pytest.fixture
async def files(tmp_path: Path, server: str | None) -> AsyncIterator[tuple[Database, Database]]:
    async with world.opened(tmp_path, server) as found:
        yield found


async def test_what_an_execution_did_is_told_in_its_order_though_two_files_hold_it(files):
    bus = world.Recorder()
    async with world.running(world.make(files, bus)):
        async with asyncio.TaskGroup() as group:
            lives = {
                name: group.create_task(world.live(files, name, 25))
                for name in ("exec_a", "exec_b", "exec_c")
            }
        await world.until(lambda: len(bus.messages) >= 3 * 27)

    for name, happened in lives.items():
        assert world.of(name, bus.ids()) == happened.result()
    assert len(bus.ids()) == 3 * 27


async def test_all_that_waited_is_told_in_order_however_much_there_is(files, monkeypatch):
    monkeypatch.setattr(relay, "AT_ONCE", 7)
    happened = {name: await world.live(files, name, 20) for name in ("exec_a", "exec_b")}
    bus = world.Recorder()

    async with world.running(world.make(files, bus)):
        await world.until(lambda: len(bus.messages) >= 2 * 22)

    for name, events in happened.items():
        assert [each for each in bus.ids() if each.startswith(name)] == events


async def test_an_ending_waits_for_the_fills_that_were_committed_before_it(files):
    bus = world.Recorder()
    publisher = world.make(files, bus)
    await publisher._report()
    reading = publisher._waiting
    left = [3, 2, 1]

    async def read_and_then_trade(queue: relay.Queue | None) -> Any:
        found = await reading(queue)
        if left and queue is publisher._route.middle:
            await world.tell(files[1], outbox.LEDGER, world.traded("exec_a", left.pop()))
            if not left:
                await world.tell(files[0], outbox.CONTROL, world.stopped("exec_a"))
        return found

    publisher._waiting = read_and_then_trade
    for _ in range(6):
        await publisher._pass()

    trades = [f"exec_a-{number}.trade" for number in (1, 2, 3)]
    assert bus.ids() == [*trades, "exec_a.stopped"]


async def test_while_the_broker_is_away_everything_waits_and_then_is_told(files):
    bus = world.Recorder()
    bus.is_away = True
    publisher = world.make(files, bus)
    async with world.running(publisher):
        happened = await world.live(files, "exec_a", 5)
        await world.until(lambda: not publisher._state.is_connected)
        assert await world.kept(files, unpublished=True) == len(happened)
        heard = await world.followed(files[0], len(happened))
        bus.is_away = False
        await world.all_published(files)

    assert bus.ids() == happened
    assert sorted(heard) == sorted(happened)
    assert await world.followed(files[0], len(happened)) == heard


async def test_an_event_that_cannot_be_published_is_told_of_and_counted(files):
    publisher = world.make(files, world.Recorder())
    await world.tell(files[1], outbox.LEDGER, world.traded("exec_a", 1))
    async with files[1].write() as connection:
        await connection.execute(sa.update(outbox.LEDGER).values(payload="{"))
    async with world.running(publisher):
        await world.until(lambda: publisher._state.failed >= 2)
    broken = await world.reported(files, publisher)

    async with files[1].write() as connection:
        await connection.execute(sa.update(outbox.LEDGER).values(payload="{}"))
    async with world.running(publisher):
        await world.all_published(files)
        await world.until(lambda: not publisher._state.failures)
    mended = await world.reported(files, publisher)

    assert (broken.is_connected, broken.waiting) == (True, 1)
    assert "truncated" in broken.detail
    assert broken.counts["publish_failures"] >= 2
    assert (mended.detail, mended.waiting, mended.counts["published"]) == ("", 0, 1)


async def test_how_it_is_connected_and_what_waits_is_reported(files):
    bus = world.Recorder()
    bus.is_away = True
    publisher = world.make(files, bus)
    await world.live(files, "exec_a", 3)

    link = await world.reported(files, publisher)

    assert (link.is_connected, link.waiting, link.oldest_at) == (False, 5, world.NOW)
    assert "away" in link.detail


async def test_what_was_published_stays_for_its_time_and_then_goes(files):
    clock = SteppedClock(world.NOW)
    publisher = world.make(files, world.Recorder(), clock=clock, published_s=3_600)
    await world.live(files, "exec_a", 3)
    await publisher._report()
    await publisher.drain()

    clock.advance(3_599)
    await publisher._trim()
    before = await world.kept(files)
    clock.advance(2)
    await publisher._trim()

    assert (before, await world.kept(files)) == (5, 0)


async def test_inside_one_process_nothing_published_is_kept(files):
    bus = LocalBus(world.LAYOUT)
    publisher = world.make(files, bus, published_s=0)
    happened = await world.live(files, "exec_a", 3)
    await publisher._report()
    await publisher.drain()

    found = await bus.read({world.STREAM: BEGINNING}, wait_s=0)

    assert [codec.decode(each.message)["event_id"] for each in found] == happened
    assert await world.kept(files) == 0


async def test_of_two_relays_one_publishes_until_it_is_silent(files):
    clock = SteppedClock(world.NOW)
    first = world.make(files, world.Recorder(), holder="node-1", clock=clock)
    second = world.make(files, world.Recorder(), holder="node-2", clock=clock)
    await first._report()
    await second._report()
    assert (first._holds, second._holds) == (True, False)

    clock.advance(links.SILENT_S + 1)
    await second._report()
    await first._report()

    assert (first._holds, second._holds) == (False, True)


async def test_the_same_event_written_twice_is_told_once(files):
    bus = world.Recorder()
    publisher = world.make(files, bus)
    await world.tell(files[1], outbox.LEDGER, world.traded("exec_a", 1))
    await world.tell(files[1], outbox.LEDGER, world.traded("exec_a", 1), world.traded("exec_a", 2))
    await publisher._report()

    await publisher.drain()

    assert bus.ids() == ["exec_a-1.trade", "exec_a-2.trade"]


async def test_a_webhook_is_queued_all_that_happens_after_it_was_made(files):
    clock = SteppedClock(world.NOW)
    publisher = world.make(files, world.Recorder(), clock=clock)
    webhooks = Webhooks(database=files[0], clock=clock, targets=Targets(private=True))
    await publisher._report()
    await world.live(files, "exec_before", 2)
    await publisher.drain()

    hook = await webhooks.create("http://127.0.0.1:9/", [], actor="a")
    happened = await world.live(files, "exec_after", 3)
    await publisher.drain()

    found, _ = await webhooks.deliveries(hook.webhook_id)
    assert [each.event_id for each in reversed(found)] == happened


async def test_webhooks_cost_a_relay_no_transaction_unless_one_wants_what_happened(files):
    clock = SteppedClock(world.NOW)
    publisher = world.make(files, world.Recorder(), clock=clock)
    webhooks = Webhooks(database=files[0], clock=clock, targets=Targets(private=True))
    await publisher._report()
    await webhooks.create("http://127.0.0.1:9/", ["pipeline.failed"], actor="a")
    counted: list[sa.Connection] = []
    sa.event.listen(files[0].engine.sync_engine, "begin", counted.append)

    async def pass_with_a_trade(number: int) -> int:
        await world.tell(files[1], outbox.LEDGER, world.traded("exec_a", number))
        counted.clear()
        await publisher._pass()
        return len(counted)

    unwanted = await pass_with_a_trade(1)
    await webhooks.create("http://127.0.0.1:9/", ["strategy.trade"], actor="a")
    wanted = await pass_with_a_trade(2)

    known = ("the beginnings, with the webhooks", "the ends", "what is kept for who follows")
    assert unwanted == len(known)
    assert wanted == unwanted  # both are kept in one
