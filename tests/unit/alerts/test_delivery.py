"""Alerts on their way: signed, tried again, given up and then told by others, after a death too."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from strategy_engine.alerts import channel_store, delivery, moves
from strategy_engine.alerts.channels import Channels
from strategy_engine.alerts.delivery import DELAYS_S, MOST_ATTEMPTS, Deliverer
from strategy_engine.alerts.model import Kind, Notice, Outcome, Severity, State
from strategy_engine.alerts.sending import PUBLIC_SERVICES, Sender, Sent, check_service, shown
from strategy_engine.core.errors import ConflictError, InvalidError, NotBuiltError, NotFoundError
from strategy_engine.infra.webhooks.targets import Targets

URL = "http://127.0.0.1:9/hooks?token=t0ken"
OK = Sent(is_accepted=True, status_code=204)
BROKEN = Sent(is_accepted=False, status_code=500, error="answered 500")
GONE = Sent(is_accepted=False, is_gone=True, status_code=410, error="answered 410")
SAID: dict[str, Any] = {
    "key": "k",
    "severity": "warning",
    "subject_type": "execution",
    "subject_id": "exec_1",
    "title": "cut",
    "message": "drawdown is -0.12",
}


@dataclass
class Post:
    """Answers what a test says, by the channel's name, and keeps what it got."""

    answers: dict[str, list[Sent]] = field(default_factory=dict)
    got: list[tuple[str, str]] = field(default_factory=list)

    async def check(self, kind: Kind, url: str) -> None:
        pass

    async def send(self, channel: Any, given: Any) -> Sent:
        self.got.append((channel.name, given.event_id))
        told = self.answers.get(channel.name, [OK])
        return told.pop(0) if len(told) > 1 else told[0]


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def channels(opened: Any, clock: Any, post: Post) -> Channels:
    return Channels(database=opened, clock=clock, sender=post)


async def make(channels: Channels, name: str) -> Any:
    return await channels.create(
        kind=Kind.WEBHOOK, name=name, url=URL, severity=Severity.INFO, actor="ada"
    )


@asynccontextmanager
async def delivering(channels: Channels) -> AsyncIterator[None]:
    deliverer = Deliverer(
        database=channels.database, clock=channels.clock, sender=channels.sender, look_s=0.01
    )
    task = asyncio.create_task(deliverer.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def until(alerts: Any, is_so: Callable[[list[Any]], bool]) -> list[Any]:
    async with asyncio.timeout(30):
        while True:
            found, _ = await alerts.deliveries({})
            if is_so(found):
                return found
            await asyncio.sleep(0.01)


def rests(attempts: int, until_at: datetime) -> Callable[[list[Any]], bool]:
    """Say whether the oldest delivery was tried so often, and is tried again at a time."""
    return lambda found: (found[-1].attempts, found[-1].next_at) == (attempts, until_at)


def all_ended(found: list[Any]) -> bool:
    return bool(found) and all(each.ended_at for each in found)


async def test_what_is_refused_three_times_arrives_by_the_fourth(alerts, channels, post, clock):
    await make(channels, "desk")
    post.answers["desk"] = [BROKEN, BROKEN, BROKEN, OK]
    await alerts.raise_alert(None, **SAID)

    async with delivering(channels):
        for number, wait in enumerate(DELAYS_S[:3], start=1):
            until_at = clock.now() + timedelta(seconds=wait)
            (found,) = await until(alerts, rests(number, until_at))
            assert (found.state, found.error) == (Outcome.PENDING, "answered 500")
            clock.advance(wait)
        (found,) = await until(alerts, all_ended)

    assert (found.state, found.status_code, found.error) == (Outcome.DELIVERED, 204, "")
    assert found.attempts == 4
    assert len(post.got) == 4
    assert len({event_id for _, event_id in post.got}) == 1


async def test_what_was_never_delivered_is_told_once_by_the_other_channels(
    alerts, channels, post, clock
):
    failing, _ = await make(channels, "failing"), await make(channels, "other")
    post.answers["failing"] = [GONE]
    await alerts.raise_alert(None, **SAID)
    await alerts.raise_alert(None, **SAID | {"key": "k2"})

    async with delivering(channels):
        await until(alerts, lambda found: len(found) == 5 and all_ended(found))

    (told,), _ = await alerts.page(filters={"rule_id": "undelivered"})
    assert (told.severity, told.subject_id, told.count) == (
        Severity.CRITICAL,
        failing.channel_id,
        2,
    )
    assert "answered 410" in told.message
    of_it, _ = await alerts.deliveries({"alert_id": told.alert_id})
    assert [(each.state, each.channel_id == failing.channel_id) for each in of_it] == [
        (Outcome.DELIVERED, False)
    ]


async def test_two_channels_that_both_fail_do_not_tell_of_each_other_without_end(
    alerts, channels, post
):
    await make(channels, "a")
    await make(channels, "b")
    post.answers |= {"a": [GONE], "b": [GONE]}
    await alerts.raise_alert(None, **SAID)

    async with delivering(channels):
        found = await until(alerts, lambda found: len(found) == 4 and all_ended(found))

    assert {each.state for each in found} == {Outcome.FAILED}
    assert (await alerts.page(filters={"rule_id": "undelivered"}))[1] == 2


async def test_a_channel_that_takes_alerts_again_ends_the_alert_about_it(alerts, channels, post):
    await make(channels, "desk")
    post.answers["desk"] = [GONE, OK]
    await alerts.raise_alert(None, **SAID)

    async with delivering(channels):
        await until(alerts, all_ended)
        await alerts.raise_alert(None, **SAID | {"key": "next"})
        await until(alerts, lambda found: len(found) == 2 and all_ended(found))

    (told,), _ = await alerts.page(filters={"rule_id": "undelivered"})
    assert told.state is State.RESOLVED


async def test_that_it_ended_is_not_sent_before_that_it_began(alerts, channels, post, clock):
    await make(channels, "desk")
    post.answers["desk"] = [BROKEN, OK]
    await alerts.raise_alert(None, **SAID)

    async with delivering(channels):
        await until(alerts, rests(1, clock.now() + timedelta(seconds=DELAYS_S[0])))
        await alerts.resolve("k")
        await alerts.raise_alert(None, **SAID | {"key": "another"})
        await until(alerts, lambda found: found[0].state is Outcome.DELIVERED)
        clock.advance(DELAYS_S[0])
        await until(alerts, all_ended)

    order = [event_id.split(".")[1] for _, event_id in post.got]
    assert order == ["firing", "firing", "firing", "resolved"]


async def test_who_dies_while_sending_leaves_it_to_the_next(alerts, channels, post, clock, opened):
    channel = await make(channels, "desk")
    await alerts.raise_alert(None, **SAID)
    async with opened.write() as connection:
        until_at = clock.now()
        claimed = await channel_store.claim(connection, channel.channel_id, clock.now(), until_at)
    assert claimed is not None

    async with delivering(channels):
        (found,) = await until(alerts, all_ended)

    assert (found.state, found.attempts) == (Outcome.DELIVERED, 2)


async def test_a_test_is_tried_once_and_raises_nothing(alerts, channels, post):
    channel = await make(channels, "desk")
    post.answers["desk"] = [BROKEN]
    event_id = await channels.try_out(channel.channel_id, actor="ada")

    async with delivering(channels):
        (found,) = await until(alerts, all_ended)

    assert (found.event_id, found.notice, found.state) == (event_id, Notice.TEST, Outcome.FAILED)
    assert (await alerts.page())[1] == 0


async def test_a_removed_channel_gets_nothing_and_nobody_waits_for_it(alerts, channels, post):
    channel = await make(channels, "desk")
    await alerts.raise_alert(None, **SAID)
    await channels.remove(channel.channel_id, actor="ada")
    await alerts.raise_alert(None, **SAID | {"key": "later"})

    (found,), _ = await alerts.deliveries({})
    assert (found.state, found.error) == (Outcome.FAILED, "the channel was removed")
    with pytest.raises(NotFoundError):
        await channels.remove(channel.channel_id, actor="ada")


async def test_there_are_not_more_channels_than_somebody_can_look_after(channels):
    for number in range(20):
        await make(channels, f"c{number}")
    with pytest.raises(ConflictError, match="20 channels"):
        await make(channels, "one more")


@pytest.mark.parametrize(
    ("sent", "tried", "notice", "expected"),
    [
        (OK, 1, Notice.FIRING, Outcome.DELIVERED),
        (BROKEN, 1, Notice.FIRING, Outcome.PENDING),
        (BROKEN, MOST_ATTEMPTS - 1, Notice.RESOLVED, Outcome.PENDING),
        (BROKEN, MOST_ATTEMPTS, Notice.RESOLVED, Outcome.FAILED),
        (GONE, 1, Notice.FIRING, Outcome.FAILED),
        (BROKEN, 1, Notice.TEST, Outcome.FAILED),
    ],
)
def test_where_a_delivery_is_after_an_attempt(sent, tried, notice, expected):
    given = SimpleNamespace(attempts=tried, notice=notice)
    assert delivery.outcome(given, sent) is expected


PRIVATE, PUBLIC = Targets(private=True), Targets(private=False)


@pytest.mark.parametrize(
    "url",
    [
        "json://10.0.0.1/",
        "mailto://user:pass@example.com",
        "ntfy://localhost/topic",
        "slack://a/b/c?template=/etc/passwd",
        "discord://1/2?avatar_url=http://169.254.169.254/",
        "slack:a/b/c",
        "slack://a b",
        "",
    ],
)
async def test_a_service_that_names_a_host_or_a_file_is_refused(url):
    with pytest.raises(InvalidError, match="url is no URL"):
        await check_service(url, PUBLIC)


async def test_public_services_are_allowed_and_others_where_the_operator_says_so():
    for scheme in PUBLIC_SERVICES:
        await check_service(f"{scheme}://token/other?to=x", PUBLIC)
    await check_service("json://127.0.0.1:9/", PRIVATE)
    with pytest.raises(InvalidError, match="link-local"):
        await check_service("json://169.254.169.254/", PRIVATE)


async def test_without_the_extra_a_channel_of_apprise_says_what_to_install(clock, monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(NotBuiltError, match=r"strategy-engine\[alerts\]"):
        await Sender(clock=clock, targets=PUBLIC).check(Kind.APPRISE, "slack://a/b/c")


async def test_apprise_is_given_the_title_and_the_message_and_follows_no_redirect(
    clock, monkeypatch, alerts, opened, channels
):
    said: list[Any] = []

    class Apprise:
        def __init__(self, *, asset: Any) -> None:
            said.append(asset)

        def add(self, url: str) -> bool:
            said.append(url)
            return True

        def notify(self, *, title: str, body: str, body_format: str) -> bool:
            said.append((title, body, body_format))
            return False

    fake = SimpleNamespace(Apprise=Apprise, AppriseAsset=lambda **options: options)
    monkeypatch.setitem(sys.modules, "apprise", fake)
    sender = Sender(clock=clock, targets=PUBLIC)
    real = Channels(database=opened, clock=clock, sender=sender)
    channel = await real.create(
        kind=Kind.APPRISE, name="chat", url="slack://a/b/c", severity=Severity.INFO, actor="ada"
    )
    await alerts.raise_alert(None, **SAID)
    (queued,), _ = await alerts.deliveries({})

    sent = await sender.send(channel, queued)

    assert said[0] == {"http_redirects": False}
    assert said[-1] == ("[FIRING warning] cut", "drawdown is -0.12", "text")
    assert (sent.is_accepted, sent.error) == (False, "the service did not take it")


def test_nothing_secret_of_a_channel_is_shown():
    assert shown(Kind.WEBHOOK, URL) == "http://127.0.0.1:9/…"
    assert shown(Kind.APPRISE, "tgram://t0ken/chat") == "tgram://…"


async def test_a_notice_says_all_of_its_alert(alerts, channels, opened):
    channel = await make(channels, "desk")
    raised = await alerts.raise_alert(None, **SAID)
    (queued,), _ = await alerts.deliveries({})
    body = json.loads(queued.body)

    assert (body["topic"], body["event_id"]) == ("alert.firing", queued.event_id)
    assert body["payload"]["alert_id"] == raised.alert_id
    assert channel.secret not in queued.body
    assert moves.SUBJECT == "alert"
