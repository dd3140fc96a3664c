"""Webhooks: signed, at least once, retried with patience, and only to where they may go."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core.clock import SteppedClock
from strategy_engine.core.errors import ConflictError, InvalidError, NotFoundError
from strategy_engine.infra import audit, database, outbox
from strategy_engine.infra.bus import topics
from strategy_engine.infra.database import Database
from strategy_engine.infra.outbox import Waiting
from strategy_engine.infra.webhooks import rules, service, store
from strategy_engine.infra.webhooks.delivery import CLAIM_S, Deliverer
from strategy_engine.infra.webhooks.model import ARROWS, Attempt, State, Trigger
from strategy_engine.infra.webhooks.service import Webhooks
from strategy_engine.infra.webhooks.targets import Targets

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANYWHERE = Targets(private=True)


def waiting(number: int = 1, topic: str = topics.PIPELINE_FAILED) -> Waiting:
    return Waiting(
        outbox_id=number,
        event_id=f"pipe_{number}.failed",
        topic=topic,
        payload=json.dumps({"pipeline_id": f"pipe_{number}", "message": "no trade – ß"}),
        created_at=NOW,
    )


@dataclass
class Receiver:
    """A real HTTP server that answers what a test says, and keeps what it got."""

    url: str = ""
    status: list[int] = field(default_factory=lambda: [200])
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    holds: asyncio.Event | None = None
    location: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers["content-length"]))
        if self.holds is not None:
            await self.holds.wait()
        raw = dict(line.split(": ", 1) for line in head[1:] if line)
        self.got.append(({name.lower(): value for name, value in raw.items()}, body))
        status = self.status.pop(0) if len(self.status) > 1 else self.status[0]
        place = f"location: {self.location}\r\n" if self.location else ""
        writer.write(f"HTTP/1.1 {status} X\r\n{place}content-length: 0\r\n\r\n".encode())
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()


@asynccontextmanager
async def receiving(**fields: object) -> AsyncIterator[Receiver]:
    receiver = Receiver(**fields)  # type: ignore[arg-type]
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    async with server:
        receiver.url = f"http://localhost:{server.sockets[0].getsockname()[1]}/hooks?x=1"
        yield receiver


@pytest.fixture
async def opened(tmp_path: Path, server: str | None) -> AsyncIterator[Database]:
    url = database.control_url(tmp_path, server)
    engine = database.sync_engine(url)
    database.control.create_all(engine)
    engine.dispose()
    found = Database(url)
    yield found
    await found.aclose()


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(NOW)


@pytest.fixture
def webhooks(opened: Database, clock: SteppedClock) -> Webhooks:
    return Webhooks(database=opened, clock=clock, targets=ANYWHERE)


@asynccontextmanager
async def delivering(
    opened: Database, clock: SteppedClock, targets: Targets = ANYWHERE
) -> AsyncIterator[None]:
    deliverer = Deliverer(database=opened, clock=clock, targets=targets, look_s=0.01)
    task = asyncio.create_task(deliverer.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def until(webhooks: Webhooks, webhook_id: str, is_so: Callable[[list], bool]) -> list:
    async with asyncio.timeout(20):
        while True:
            found, _ = await webhooks.deliveries(webhook_id)
            if is_so(found):
                return found
            await asyncio.sleep(0.01)


async def queue(opened: Database, clock: SteppedClock, events: list[Waiting]) -> None:
    async with opened.read() as connection:
        webhooks = await service.active(connection)
    async with opened.write() as connection:
        await service.queue(connection, webhooks, events, at=clock.now())


def ended(found: list) -> bool:
    return bool(found) and all(each.state is not State.PENDING for each in found)


# --- pure


def test_a_signature_is_that_of_the_standards_own_example() -> None:
    # docs.svix.com/receiving/verifying-payloads/how-manual
    body = b'{"test": 2432232314}'
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    sent = rules.headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)

    assert sent["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert (sent["webhook-id"], sent["webhook-timestamp"]) == (
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
    )


@given(st.binary(max_size=50), st.binary(max_size=50), st.integers(0, 2**40))
def test_another_body_or_time_or_secret_has_another_signature(
    body: bytes, other: bytes, at: int
) -> None:
    secret = rules.make_secret()
    signed = rules.signature(secret, "e", at, body)

    assert (rules.signature(secret, "e", at, other) == signed) == (body == other)
    assert rules.signature(secret, "e", at + 1, body) != signed
    assert rules.signature(rules.make_secret(), "e", at, body) != signed


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_only_addresses_of_the_internet_are_public(address: str, public: bool) -> None:
    assert rules.is_public(address) is public


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "0xa9fea9fe",
    ],
)
async def test_no_setting_lets_an_event_go_where_a_cloud_gives_credentials(host: str) -> None:
    with pytest.raises(InvalidError, match="never sent to"):
        await ANYWHERE.check(f"http://{host}/latest")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ops.example/hooks",
        "ftp://ops.example/",
        "file:///etc/passwd",
        "http://",
        "http://user:secret@ops.example/",
        "http://ops.example:99999/",
        "http://ops.example/a b",
        "http://[::1",
        "http://ops.example/" + "x" * 3_000,
        "http://ops.example/\n",
    ],
)
def test_what_is_no_target_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(InvalidError, match="http or https URL") as caught:
        rules.check_url(url)
    assert "secret" not in str(caught.value)


def test_tries_are_ten_within_a_day_and_further_and_further_apart() -> None:
    waits = [rules.delay(attempt) for attempt in range(1, rules.MOST_ATTEMPTS)]

    assert waits == sorted(set(waits))
    assert len(waits) == 9
    assert sum(waits, timedelta()) < timedelta(days=1)


@pytest.mark.parametrize(
    ("attempt", "attempts", "trigger"),
    [
        (Attempt(status_code=200), 1, Trigger.ACCEPT),
        (Attempt(status_code=299), 10, Trigger.ACCEPT),
        (Attempt(status_code=302), 1, Trigger.RETRY),
        (Attempt(status_code=410), 1, Trigger.GIVE_UP),
        (Attempt(status_code=503), 9, Trigger.RETRY),
        (Attempt(status_code=503), 10, Trigger.GIVE_UP),
        (Attempt(error="no answer"), 1, Trigger.RETRY),
        (Attempt(error="no answer"), 10, Trigger.GIVE_UP),
    ],
)
def test_what_an_attempt_comes_to(attempt: Attempt, attempts: int, trigger: Trigger) -> None:
    assert attempt.trigger(attempts, rules.MOST_ATTEMPTS) is trigger
    assert attempt.moved(State.PENDING, attempts, 10) is ARROWS[State.PENDING, trigger]


# --- making and queueing, on both databases


async def test_a_webhook_is_made_listed_and_removed(opened: Database, webhooks: Webhooks) -> None:
    made = await webhooks.create("https://127.0.0.1/x?token=t0ken", ["strategy.trade"], actor="a")
    assert [each.webhook_id for each in await webhooks.list()] == [made.webhook_id]
    assert made.secret not in repr(made)

    await webhooks.remove(made.webhook_id, actor="b")

    assert await webhooks.list() == []
    with pytest.raises(NotFoundError, match="no webhook"):
        await webhooks.remove(made.webhook_id, actor="b")
    async with opened.read() as connection:
        rows = await audit.history(connection, "webhook", made.webhook_id)
    assert [(each.action, each.actor) for each in rows] == [("create", "a"), ("remove", "b")]
    assert "t0ken" not in repr(rows)
    assert made.secret not in repr(rows)


async def test_a_topic_that_is_none_and_too_many_webhooks_are_refused(
    webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidError, match="there is no topic 'strategy'"):
        await webhooks.create("https://127.0.0.1/", ["strategy"], actor="a")
    monkeypatch.setattr(service, "MOST", 1)
    await webhooks.create("https://127.0.0.1/", [], actor="a")
    with pytest.raises(ConflictError, match="remove one"):
        await webhooks.create("https://127.0.0.1/", [], actor="a")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "10.1.2.3", "0x7f.1"])
async def test_a_private_target_is_refused_unless_the_setting_allows_it(host: str) -> None:
    with pytest.raises(InvalidError, match=r"STRATEGY_WEBHOOK_PRIVATE=true"):
        await Targets().check(f"http://{host}/")


async def test_a_host_that_nobody_knows_is_refused() -> None:
    with pytest.raises(InvalidError, match="cannot be looked up"):
        await ANYWHERE.check("http://nowhere.invalid/")


async def test_events_are_queued_once_for_whoever_wants_them(
    opened: Database, clock: SteppedClock, webhooks: Webhooks
) -> None:
    all_of = await webhooks.create("https://127.0.0.1/", [], actor="a")
    trades = await webhooks.create("https://127.0.0.1/", [topics.TRADE], actor="a")

    for _ in range(2):
        await queue(opened, clock, [waiting(1), waiting(2)])

    found, total = await webhooks.deliveries(all_of.webhook_id)
    assert (total, [each.event_id for each in found]) == (2, ["pipe_2.failed", "pipe_1.failed"])
    assert await webhooks.deliveries(trades.webhook_id) == ([], 0)
    assert json.loads(found[0].body) == {
        "event_id": "pipe_2.failed",
        "topic": "pipeline.failed",
        "created_at": "2026-01-01T00:00:00Z",
        "payload": {"pipeline_id": "pipe_2", "message": "no trade – ß"},
    }


async def test_a_claim_keeps_others_away_until_it_runs_out(
    opened: Database, clock: SteppedClock, webhooks: Webhooks
) -> None:
    hook = await webhooks.create("https://127.0.0.1/", [], actor="a")
    await queue(opened, clock, [waiting()])
    until_at = NOW + timedelta(seconds=CLAIM_S)

    async def claim(at: datetime):
        async with opened.write() as connection:
            return await store.claim(connection, hook.webhook_id, at, until_at)

    first = await claim(NOW)
    assert first is not None
    assert await claim(NOW) is None
    again = await claim(until_at)
    assert again is not None
    assert (first.attempts, again.attempts) == (1, 2)

    late = replace(first, state=State.DELIVERED, ended_at=NOW)
    async with opened.write() as connection:
        await store.settle(connection, late)
    (kept,), _ = await webhooks.deliveries(hook.webhook_id)
    assert kept.state is State.PENDING  # the second attempt is what counts now


async def test_what_waits_for_a_removed_webhook_is_dropped(
    opened: Database, clock: SteppedClock, webhooks: Webhooks
) -> None:
    hook = await webhooks.create("https://127.0.0.1/", [], actor="a")
    await queue(opened, clock, [waiting(1), waiting(2)])
    async with opened.write() as connection:
        await store.claim(connection, hook.webhook_id, NOW, NOW)

    await webhooks.remove(hook.webhook_id, actor="a")

    (left,), _ = await webhooks.deliveries(hook.webhook_id)
    assert (left.state, left.error) == (State.FAILED, "the webhook was removed")


async def test_what_is_queued_after_a_webhook_was_removed_is_not_sent(
    opened: Database, clock: SteppedClock, webhooks: Webhooks
) -> None:
    async with receiving() as receiver:
        hook = await webhooks.create(receiver.url, [], actor="a")
        async with opened.read() as connection:
            known = await service.active(connection)
        await webhooks.remove(hook.webhook_id, actor="a")
        async with opened.write() as connection:
            await service.queue(connection, known, [waiting()], at=NOW)
        async with delivering(opened, clock):
            await until(webhooks, hook.webhook_id, lambda found: not found)

    assert receiver.got == []


async def test_of_too_many_that_wait_the_oldest_are_given_up_and_of_those_that_ended_forgotten(
    opened: Database, clock: SteppedClock, webhooks: Webhooks
) -> None:
    hook = await webhooks.create("https://127.0.0.1/", [], actor="a")
    await queue(opened, clock, [waiting(number) for number in range(1, 6)])

    async with opened.write() as connection:
        await store.give_up(connection, hook.webhook_id, NOW, before=NOW, most=3)
    found, _ = await webhooks.deliveries(hook.webhook_id)
    told = {each.event_id: (each.state.value, each.error) for each in found}
    async with opened.write() as connection:
        await store.trim(connection, [hook.webhook_id], before=NOW, most=1)
    left, _ = await webhooks.deliveries(hook.webhook_id)

    assert told == {
        **{f"pipe_{number}.failed": ("pending", "") for number in (3, 4, 5)},
        **{f"pipe_{number}.failed": ("failed", "3 newer events waited") for number in (1, 2)},
    }
    assert [each.event_id for each in left] == [f"pipe_{number}.failed" for number in (5, 4, 3, 2)]


async def test_what_waited_for_a_day_is_given_up(
    opened: Database, clock: SteppedClock, webhooks: Webhooks
) -> None:
    async with receiving(status=[503]) as receiver:
        hook = await webhooks.create(receiver.url, [], actor="a")
        await queue(opened, clock, [waiting()])
        clock.advance(rules.LONGEST_WAIT.total_seconds() + 1)
        async with delivering(opened, clock):
            (given_up,) = await until(webhooks, hook.webhook_id, ended)

    assert (given_up.state, given_up.error) == (State.FAILED, "it waited for too long")


# --- sending, to a real server


async def test_an_event_arrives_signed_with_its_id_and_its_time(
    opened: Database, clock: SteppedClock, webhooks: Webhooks
) -> None:
    async with receiving() as receiver, delivering(opened, clock):
        hook = await webhooks.create(receiver.url, [], actor="a")
        await queue(opened, clock, [waiting(1), waiting(2)])
        found = await until(webhooks, hook.webhook_id, ended)

    assert [each.state for each in found] == [State.DELIVERED] * 2
    assert [each.status_code for each in found] == [200, 200]
    assert [headers["webhook-id"] for headers, _ in receiver.got] == [
        "pipe_1.failed",
        "pipe_2.failed",
    ]
    headers, body = receiver.got[0]
    assert headers["host"].startswith("localhost:")
    key = base64.b64decode(hook.secret.removeprefix("whsec_"))
    stamp = headers["webhook-timestamp"]
    signed = f"{headers['webhook-id']}.{stamp}.".encode() + body
    digest = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"
    assert int(stamp) == int(NOW.timestamp())
    assert json.loads(body)["payload"]["pipeline_id"] == "pipe_1"


async def test_what_is_refused_is_sent_again_after_a_while_with_the_same_id(
    opened: Database, clock: SteppedClock, webhooks: Webhooks
) -> None:
    async with receiving(status=[503, 200]) as receiver, delivering(opened, clock):
        hook = await webhooks.create(receiver.url, [], actor="a")
        await queue(opened, clock, [waiting()])
        (tried,) = await until(webhooks, hook.webhook_id, lambda found: found[0].error != "")
        assert (tried.state, tried.status_code, tried.error) == (
            State.PENDING,
            503,
            "answered 503",
        )
        assert tried.next_at == NOW + rules.delay(1)
        clock.advance(6)
        (sent,) = await until(webhooks, hook.webhook_id, ended)

    assert (sent.state, sent.attempts) == (State.DELIVERED, 2)
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1


async def test_a_redirect_is_no_acceptance_and_is_not_followed(
    opened: Database, clock: SteppedClock, webhooks: Webhooks
) -> None:
    async with receiving() as inside, receiving(status=[302]) as receiver:
        receiver.location = inside.url
        async with delivering(opened, clock):
            hook = await webhooks.create(receiver.url, [], actor="a")
            await queue(opened, clock, [waiting()])
            (tried,) = await until(webhooks, hook.webhook_id, lambda found: found[0].error != "")

    assert (tried.state, tried.error) == (State.PENDING, "answered 302")
    assert inside.got == []


async def test_a_name_that_turns_private_later_is_not_sent_to(
    opened: Database, clock: SteppedClock, webhooks: Webhooks
) -> None:
    async with receiving() as receiver, delivering(opened, clock, Targets()):
        hook = await webhooks.create(receiver.url, [], actor="a")
        await queue(opened, clock, [waiting()])
        (tried,) = await until(webhooks, hook.webhook_id, lambda found: found[0].error != "")

    assert "is not a public address" in tried.error
    assert receiver.got == []


async def test_one_that_does_not_answer_holds_up_no_other(
    opened: Database, clock: SteppedClock, webhooks: Webhooks
) -> None:
    stuck = asyncio.Event()
    async with (
        receiving(holds=stuck) as slow,
        receiving() as receiver,
        delivering(opened, clock),
    ):
        held = await webhooks.create(slow.url, [], actor="a")
        hook = await webhooks.create(receiver.url, [], actor="a")
        await queue(opened, clock, [waiting(1), waiting(2)])
        found = await until(webhooks, hook.webhook_id, ended)
        waits, _ = await webhooks.deliveries(held.webhook_id)
        stuck.set()

    assert [each.state for each in found] == [State.DELIVERED] * 2
    assert {each.state for each in waits} == {State.PENDING}


async def test_a_port_where_nobody_listens_is_an_error_that_is_kept(
    opened: Database, clock: SteppedClock, webhooks: Webhooks
) -> None:
    async with receiving() as receiver:
        url = receiver.url
    async with delivering(opened, clock):
        hook = await webhooks.create(url, [], actor="a")
        await queue(opened, clock, [waiting()])
        (tried,) = await until(webhooks, hook.webhook_id, lambda found: found[0].error != "")

    assert tried.error.startswith("ConnectError")
    assert tried.status_code is None


def test_the_relay_and_the_webhooks_name_the_same_fields() -> None:
    assert set(Waiting.__slots__) <= set(outbox.CONTROL.columns.keys())
