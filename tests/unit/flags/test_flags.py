"""Flags in a database: made, changed, archived, read by a node, answered by the provider."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
import structlog
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from strategy_engine.core.clock import SteppedClock
from strategy_engine.core.errors import ConflictError, InvalidError, NotFoundError
from strategy_engine.flags import provider, service, store
from strategy_engine.flags.live import LiveFlags
from strategy_engine.flags.model import Content, FlagType, Rule, Subject
from strategy_engine.flags.service import Flags
from strategy_engine.infra import database

NOW = datetime(2026, 1, 5, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
BOOLEAN = Content(type=FlagType.BOOLEAN, default=False, owner="alice", expires_at=LATER)
SIZE = Content(
    type=FlagType.NUMBER,
    default=0.5,
    owner="alice",
    expires_at=LATER,
    description="how much",
    rules=(Rule(value=2, strategy_name="RSI"), Rule(value=0.75, share_of_executions=0.25)),
)
SUBJECT = Subject(
    execution_id="exec_1", strategy_id="strat_1", strategy_name="RSI", version="1.0.0"
)
RSI = EvaluationContext("exec_1", {"strategy_name": "RSI"})


@pytest.fixture
async def opened(tmp_path):
    url = database.control_url(tmp_path)
    engine = database.sync_engine(url)
    database.control.create_all(engine)
    engine.dispose()
    made = database.Database(url)
    yield made
    await made.aclose()


@pytest.fixture
def clock():
    return SteppedClock(NOW)


@pytest.fixture
def flags(opened, clock):
    return Flags(opened, clock)


@pytest.fixture
def live(opened, clock):
    return LiveFlags(opened, clock)


# -- the service


async def test_a_flag_is_read_as_it_was_made(flags):
    made, is_new = await flags.create("size", SIZE, actor="alice")

    assert is_new
    assert await flags.get("size") == made
    assert made.content == SIZE


@pytest.mark.parametrize(
    ("kind", "value"),
    [(FlagType.BOOLEAN, True), (FlagType.STRING, "null"), (FlagType.NUMBER, 0)],
)
async def test_a_value_keeps_its_type_in_the_database(flags, kind, value):
    await flags.create("x", replace(BOOLEAN, type=kind, default=value), actor="alice")

    kept = (await flags.get("x")).content.default

    assert (kept, type(kept)) == (value, type(value))


async def test_the_same_content_again_answers_the_flag_that_there_is(flags):
    made, _ = await flags.create("size", SIZE, actor="alice")

    assert await flags.create("size", SIZE, actor="bob") == (made, False)
    with pytest.raises(ConflictError, match="default"):
        await flags.create("size", replace(SIZE, default=0.6), actor="bob")


async def test_what_is_not_named_in_a_change_stays(flags, clock):
    await flags.create("size", SIZE, actor="alice")
    clock.advance(60)

    changed = await flags.update("size", {"default": 1.5, "rules": ()}, actor="bob")

    assert changed.content == replace(SIZE, default=1.5, rules=())
    assert changed.updated_at == clock.now()
    assert await flags.get("size") == changed


@pytest.mark.parametrize("changes", [{}, {"type": FlagType.STRING}, {"key": "other"}])
async def test_a_flags_type_and_key_never_change(flags, changes):
    await flags.create("size", SIZE, actor="alice")

    with pytest.raises(InvalidError, match="cannot be changed"):
        await flags.update("size", changes, actor="bob")


async def test_a_change_to_another_type_of_value_is_refused(flags):
    await flags.create("size", SIZE, actor="alice")

    with pytest.raises(InvalidError, match="number"):
        await flags.update("size", {"default": "big"}, actor="bob")
    assert (await flags.get("size")).content == SIZE


async def test_an_expired_flag_can_be_described_and_prolonged(flags, clock):
    await flags.create("size", SIZE, actor="alice")
    clock.advance(31 * 86_400)

    described = await flags.update("size", {"description": "over"}, actor="bob")
    prolonged = await flags.update(
        "size", {"expires_at": clock.now() + timedelta(days=1)}, actor="bob"
    )

    assert not described.is_live(clock.now())
    assert prolonged.is_live(clock.now())


async def test_an_archived_flag_says_its_default_for_ever(flags):
    await flags.create("size", SIZE, actor="alice")

    first = await flags.archive("size", actor="bob")

    assert not first.is_live(NOW)
    assert await flags.archive("size", actor="carol") == first
    assert await flags.list() == []
    assert [each.key for each in await flags.list(with_archived=True)] == ["size"]
    assert await flags.defaults() == {"size": 0.5}
    with pytest.raises(ConflictError, match="archived"):
        await flags.update("size", {"default": 1}, actor="bob")
    with pytest.raises(ConflictError, match="archived"):
        await flags.create("size", SIZE, actor="bob")


async def test_an_unknown_flag_is_not_found(flags):
    for ask in (
        flags.get("x"),
        flags.archive("x", actor="a"),
        flags.update("x", {"owner": "b"}, actor="a"),
    ):
        with pytest.raises(NotFoundError, match="no flag x"):
            await ask


async def test_there_are_no_more_flags_than_are_read(flags, monkeypatch):
    monkeypatch.setattr(service, "MOST_FLAGS", 1)
    await flags.create("a", BOOLEAN, actor="alice")

    with pytest.raises(ConflictError, match="1 flags"):
        await flags.create("b", BOOLEAN, actor="alice")


async def test_every_change_is_in_the_audit_with_what_it_changed(flags):
    await flags.create("size", SIZE, actor="alice")
    await flags.update("size", {"default": 1.5}, actor="bob")
    await flags.update("size", {"default": 1.5}, actor="bob")  # changes nothing
    await flags.archive("size", actor="carol")

    rows = await flags.history("size")

    assert [(row.actor, row.action) for row in rows] == [
        ("alice", "create"),
        ("bob", "update"),
        ("carol", "archive"),
    ]
    assert rows[0].details["rules"][0] == {"value": 2, "strategy_name": "RSI"}
    assert rows[1].details == {"default": {"from": 0.5, "to": 1.5}}


# -- the node's reading of them


async def test_a_node_reads_flags_before_its_first_decision(flags, live):
    await flags.create("size", SIZE, actor="alice")

    await live.prepare()
    read = live.reader(SUBJECT)

    assert read(1) == {"size": 2}


async def test_a_node_hears_of_a_change_when_it_reads_again(flags, live):
    await flags.create("size", SIZE, actor="alice")
    await live.prepare()
    read = live.reader(SUBJECT)
    await flags.update("size", {"rules": ()}, actor="alice")
    assert read(1) == {"size": 2}

    await live.refresh()

    assert read(1) == {"size": 0.5}


async def test_rules_end_when_a_flag_expires(flags, live, clock):
    await flags.create("size", SIZE, actor="alice")
    await live.prepare()
    read = live.reader(SUBJECT)
    clock.advance(31 * 86_400)

    assert read(1) == {"size": 0.5}


async def test_while_flags_cannot_be_read_a_node_goes_on_with_the_last_known(flags, live, opened):
    await flags.create("size", SIZE, actor="alice")
    await live.prepare()
    read = live.reader(SUBJECT)
    async with opened.write() as connection:
        await connection.execute(sa.text("ALTER TABLE flags RENAME TO gone"))

    await live.refresh()

    assert live.provider.is_stale
    assert read(1) == {"size": 2}
    found = live.provider.resolve_float_details("size", 9.0, RSI)
    assert (found.value, found.reason) == (2.0, Reason.STALE)
    async with opened.write() as connection:
        await connection.execute(sa.text("ALTER TABLE gone RENAME TO flags"))
    await live.refresh()
    assert not live.provider.is_stale


async def test_a_node_that_never_read_flags_reads_nothing(live, opened):
    async with opened.write() as connection:
        await connection.execute(sa.text("DROP TABLE flags"))

    with structlog.testing.capture_logs() as logged:
        await live.prepare()
        await live.refresh()
    read = live.reader(SUBJECT)

    assert read(1) is None
    assert [(each["event"], each["known"]) for each in logged] == [("flags_not_read", False)]
    assert (
        live.provider.resolve_boolean_details("x", True).error_code is ErrorCode.PROVIDER_NOT_READY
    )


# -- the provider, as OpenFeature's clients use it


@pytest.fixture
async def client(flags, live):
    name = Content(type=FlagType.STRING, default="slow", owner="alice", expires_at=LATER)
    await flags.create("size", SIZE, actor="alice")
    await flags.create("on", replace(BOOLEAN, rules=(Rule(value=True),)), actor="alice")
    await flags.create("name", name, actor="alice")
    await live.refresh()
    api.set_provider_and_wait(live.provider, "test")
    yield api.get_client("test")
    api.shutdown()


async def test_an_openfeature_client_reads_every_type(client):
    assert client.get_boolean_value("on", False) is True
    assert client.get_string_value("name", "fast") == "slow"
    assert client.get_integer_value("size", 9, RSI) == 2
    assert client.get_float_value("size", 9.0) == 0.5
    assert api.get_provider_metadata("test").name == provider.NAME


async def test_a_client_gets_its_own_default_for_what_there_is_not(client):
    unknown = client.get_boolean_details("unknown", True)
    mistyped = client.get_boolean_details("name", True)
    broken = client.get_integer_details("size", 9)
    an_object = client.get_object_details("on", {"a": 1})

    assert (unknown.value, unknown.error_code) == (True, ErrorCode.FLAG_NOT_FOUND)
    assert (mistyped.value, mistyped.error_code) == (True, ErrorCode.TYPE_MISMATCH)
    assert (broken.value, broken.error_code) == (9, ErrorCode.TYPE_MISMATCH)
    assert (an_object.value, an_object.error_code) == ({"a": 1}, ErrorCode.TYPE_MISMATCH)


async def test_a_client_is_told_why_a_flag_says_what_it_says(client):
    by_rule = client.get_float_details("size", 9.0, RSI)
    by_default = client.get_string_details("name", "fast", RSI)

    assert (by_rule.reason, by_rule.variant) == (Reason.TARGETING_MATCH, "rule 0")
    assert (by_default.reason, by_default.variant) == (Reason.DEFAULT, None)
    assert by_rule.flag_metadata == {"owner": "alice"}


async def test_a_node_is_told_what_a_client_is_told(flags, client, live):
    half = replace(BOOLEAN, rules=(Rule(value=True, share_of_decisions=0.5, versions="1.0.0"),))
    await flags.create("half", half, actor="alice")
    await live.refresh()
    read = live.reader(SUBJECT)
    known = {"strategy_name": "RSI", "strategy_id": "strat_1", "version": "1.0.0"}
    seen = set()
    for close_ns in range(20):
        context = EvaluationContext("exec_1", known | {provider.CLOSE_NS: close_ns})
        assert read(close_ns) == {
            "half": client.get_boolean_value("half", False, context),
            "name": client.get_string_value("name", "?", context),
            "on": client.get_boolean_value("on", False, context),
            "size": client.get_float_value("size", 9.0, context),
        }
        seen.add(read(close_ns)["half"])
    assert seen == {True, False}


async def test_a_provider_tells_of_changes_of_going_stale_and_of_coming_back(flags, live):
    heard = []
    live.provider.attach(lambda _, event, details: heard.append(event))
    await flags.create("size", SIZE, actor="alice")
    await live.refresh()
    await live.refresh()  # nothing has changed
    await flags.update("size", {"default": 1}, actor="alice")
    await live.refresh()
    live.provider.go_stale("away")
    live.provider.go_stale("still away")
    await live.refresh()

    assert heard == [
        ProviderEvent.PROVIDER_READY,
        ProviderEvent.PROVIDER_CONFIGURATION_CHANGED,
        ProviderEvent.PROVIDER_STALE,
        ProviderEvent.PROVIDER_READY,
    ]


async def test_a_row_has_every_field_of_a_flag(flags, opened):
    await flags.create("size", SIZE, actor="alice")

    async with opened.read() as connection:
        (kept,) = await store.all_of(connection)

    assert kept == await flags.get("size")
