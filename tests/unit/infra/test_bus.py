"""What goes over the bus: its fields, its payloads, their description, and signed commands."""

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core.errors import InvalidError
from strategy_engine.infra import outbox, relay
from strategy_engine.infra.bus import asyncapi, codec, commands, model, topics
from strategy_engine.infra.bus.broker import BusSettings
from strategy_engine.infra.bus.checks import Checking
from strategy_engine.infra.bus.commands import Command, Refusal, RefusedError, Signed
from strategy_engine.infra.bus.model import Encoding, Layout, Message, Received
from strategy_engine.infra.outbox import Waiting

NOW = datetime(2025, 8, 24, 10, 0, tzinfo=UTC)
SECRET = "a secret of more than thirty-two letters"
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.text(), PLAIN, max_size=20)


# --- entries


@given(payload=OBJECTS, encoding=st.sampled_from(Encoding))
def test_a_payload_comes_back_as_it_was_from_an_entrys_own_fields(payload, encoding):
    made = codec.encode("strategy.trade", payload, type_name="Test", encoding=encoding)
    fields = {
        name.encode(): value if isinstance(value, bytes) else value.encode()
        for name, value in codec.fields_of(made).items()
    }

    read = codec.message_of(fields)

    assert read == made
    assert codec.decode(read) == payload


@given(payload=OBJECTS)
def test_messagepack_is_read_where_nautilustrader_calls_it_json(payload):
    message = Message(
        topic="t", type_name="", payload=msgspec.msgpack.encode(payload), encoding="Json"
    )
    assert codec.decode(message) == payload


@pytest.mark.parametrize(
    ("payload", "encoding"),
    [
        (b"{", "json"),
        (b"\xc1", "msgpack"),
        (b"[]", "json"),
        (b"{}", "morse"),
        (b"", "json"),
        (b'{"a":' * 100_000, "json"),
        (b"\x81\xa1a" * 100_000, "msgpack"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_object_of_its_encoding_is_refused(payload, encoding):
    with pytest.raises(InvalidError):
        codec.decode(Message(topic="t", type_name="", payload=payload, encoding=encoding))


@pytest.mark.parametrize("fields", [{}, {b"topic": b"t"}, {b"topic": b"\xff", b"payload": b"{}"}])
def test_an_entry_without_its_fields_is_refused(fields):
    with pytest.raises(InvalidError):
        codec.message_of(fields)


def test_a_topic_has_its_own_stream_or_shares_the_traders():
    apart = Layout(trader_id="DESK-007")
    assert apart.stream_of("strategy.trade") == "trader-DESK-007:stream:strategy.trade"
    together = replace(apart, stream_per_topic=False)
    assert together.stream_of("strategy.trade") == "trader-DESK-007:stream"


@given(st.tuples(st.integers(0, 10**13), st.integers(0, 99)), st.integers(0, 99))
def test_entries_are_ordered_by_time_and_then_by_number(first, number):
    entry = f"{first[0]}-{first[1]}"
    assert model.is_after(f"{first[0] + 1}-{number}", entry)
    assert model.is_after(f"{first[0]}-{first[1] + 1}", entry)
    assert not model.is_after(entry, entry)


# --- payloads and their description


PLAIN_VALUES = {
    msgspec.inspect.StrType: "text",
    msgspec.inspect.IntType: 1,
    msgspec.inspect.FloatType: 1.5,
    msgspec.inspect.BoolType: True,
    msgspec.inspect.DateTimeType: NOW,
    msgspec.inspect.DictType: {"sharpe_ratio": 1.5},
}


def example(kind: Any) -> Any:
    """Return one value of a type, every optional field set."""
    return _value(msgspec.inspect.type_info(kind))


def _value(info: Any) -> Any:
    if isinstance(info, msgspec.inspect.StructType):
        return info.cls(**{each.name: _value(each.type) for each in info.fields})
    if isinstance(info, msgspec.inspect.UnionType):
        return _value(next(each for each in info.types if each != msgspec.inspect.NoneType()))
    return PLAIN_VALUES[type(info)]


@pytest.mark.parametrize("topic", topics.TOPICS, ids=lambda topic: topic.name)
def test_what_is_published_is_what_the_asyncapi_document_says(topic):
    document = asyncapi.document(BusSettings())
    schema = asyncapi.schema_of(topic, document["components"]["schemas"])
    (row,) = outbox.rows([example(topic.payload)], NOW)

    payload = json.loads(row["payload"])

    jsonschema_rs.validate(schema, payload)
    assert row["topic"] == topic.name
    assert row["subject"] == "text"
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(schema, payload | {"event_id": 7})


@pytest.mark.parametrize("topic", topics.TOPICS, ids=lambda topic: topic.name)
def test_no_payload_has_a_name_that_stock_nautilustrader_would_read_as_a_time_or_a_type(topic):
    names = {each.name for each in msgspec.structs.fields(topic.payload)}
    assert not [name for name in names if name.startswith("ts_")]
    assert "type" not in names


def test_the_seven_topics_of_the_contract_are_there_and_three_for_other_engines():
    assert {each.name for each in topics.TOPICS} == {
        "strategy.deployed",
        "strategy.execution.started",
        "strategy.execution.stopped",
        "strategy.trade",
        "strategy.order.denied",
        "strategy.error",
        "pipeline.stage.completed",
        "pipeline.failed",
        "portfolio.position.updated",
        "analytics.metrics.updated",
    }


def test_a_trade_has_the_fields_of_the_contracts_example():
    payload = json.loads(outbox.rows([example(topics.StrategyTrade)], NOW)[0]["payload"])
    assert payload.keys() >= {"execution_id", "strategy_id", "trade"}
    assert payload["trade"].keys() >= {"symbol", "side", "quantity", "price", "timestamp"}
    assert payload["trade"]["timestamp"] == "2025-08-24T10:00:00Z"
    assert isinstance(payload["trade"]["price"], float)


@pytest.mark.parametrize("encoding", list(Encoding))
@pytest.mark.parametrize("topic", topics.TOPICS, ids=lambda topic: topic.name)
def test_an_event_that_waited_is_published_as_it_was_in_both_encodings(topic, encoding):
    event = example(topic.payload)
    (row,) = outbox.rows([event], NOW)
    waiting = Waiting(
        outbox_id=1, **{name: row[name] for name in Waiting.__slots__ if name != "outbox_id"}
    )

    message = relay.message_of(waiting, encoding)

    assert (message.topic, message.encoding) == (topic.name, encoding)
    assert message.type_name == topic.payload.__name__
    assert msgspec.convert(codec.decode(message), topic.payload) == event


SETTINGS = [
    BusSettings(),
    BusSettings(layout=Layout(stream_per_topic=False, encoding=Encoding.MSGPACK)),
    BusSettings(
        url="redis://h",
        data_stream="bars",
        command_stream="orders",
        command_secret="s",
        checking=Checking(is_open=False, deadline_s=0.25),
    ),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=["default", "one stream", "inbound"])
def test_every_reference_of_the_asyncapi_document_leads_somewhere(settings):
    document = asyncapi.document(settings)
    found = list(references(document))
    for reference in found:
        target: Any = document
        for name in reference.removeprefix("#/").split("/"):
            target = target[name]
        assert target
    assert len(found) > 30


def references(node: Any) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for each in node.values():
            yield from references(each)
    elif isinstance(node, list):
        for each in node:
            yield from references(each)


@pytest.mark.parametrize("settings", SETTINGS, ids=["default", "one stream", "inbound"])
def test_every_topic_is_in_a_channel_with_the_stream_that_it_is_written_to(settings):
    document = asyncapi.document(settings)
    for topic in topics.TOPICS:
        operation = document["operations"][f"publish.{topic.name}"]
        channel = document["channels"][operation["channel"]["$ref"].rpartition("/")[2]]
        assert channel["address"] == settings.layout.stream_of(topic.name)
        assert topic.name in channel["messages"]


def test_what_is_heard_is_described_where_it_is_heard():
    silent, hearing = asyncapi.document(SETTINGS[0]), asyncapi.document(SETTINGS[2])
    assert "commands" not in silent["channels"]
    assert hearing["channels"]["commands"]["address"] == "orders"
    assert hearing["operations"]["obey.risk.halt"]["action"] == "receive"
    assert hearing["channels"]["bars"]["address"] == "bars"


def test_who_is_asked_before_an_order_reads_where_and_how_to_answer_where_it_is_asked():
    silent, asking = asyncapi.document(SETTINGS[0]), asyncapi.document(SETTINGS[2])
    operation = asking["operations"]["ask.risk.check.requested"]
    reply = operation["reply"]["channel"]["$ref"].rpartition("/")[2]

    assert "ask.risk.check.requested" not in silent["operations"]
    assert operation["action"] == "send"
    assert asking["channels"][reply]["address"] == (
        "trader-STRATEGY-ENGINE-001:stream:risk.check.answered"
    )


def test_the_document_never_holds_a_secret():
    settings = BusSettings(
        url="redis://:word-of-redis@h",
        command_stream="orders",
        command_secret="word-of-the-commands",
    )
    text = json.dumps(asyncapi.document(settings)) + repr(settings)
    assert "word-of" not in text


# --- commands


def command(**changes: Any) -> Command:
    wanted = {"command_id": "c-1", "issued_at": NOW, "reason": "drawdown", "all": True}
    return Command(**wanted | changes)


def arrived(topic: str, payload: dict[str, Any], *, later_s: float = 1) -> Received:
    at_ms = int((NOW + timedelta(seconds=later_s)).timestamp() * 1_000)
    message = codec.encode(topic, payload, type_name="", encoding=Encoding.JSON)
    return Received(stream="orders", entry_id=f"{at_ms}-0", message=message)


def signed(topic: str, wanted: Command, secret: str = SECRET) -> dict[str, Any]:
    return msgspec.to_builtins(commands.sign(secret, topic, wanted))


def refusal_of(received: Received) -> Refusal:
    with pytest.raises(RefusedError) as caught:
        commands.verify(received, SECRET)
    return caught.value.refusal


@pytest.mark.parametrize("topic", commands.COMMANDS)
@pytest.mark.parametrize(
    "target",
    [
        {"all": True},
        {"all": False, "execution_id": "exec_1"},
        {"all": False, "strategy_name": "Line"},
    ],
    ids="-".join,
)
def test_a_signed_command_is_read_as_it_was_written(topic, target):
    wanted = command(**target)
    assert commands.verify(arrived(topic, signed(topic, wanted)), SECRET) == wanted


def test_a_command_can_be_signed_without_this_program():
    text = json.dumps(
        {"command_id": "c-2", "issued_at": NOW.isoformat(), "reason": "by hand", "all": True}
    )
    digest = hmac.new(SECRET.encode(), f"risk.halt\n{text}".encode(), hashlib.sha256)
    payload = {"signed": text, "signature": digest.hexdigest().upper()}

    assert commands.verify(arrived("risk.halt", payload), SECRET).command_id == "c-2"


@given(place=st.integers(0, 10_000), character=st.characters(codec="ascii"))
def test_a_command_with_any_letter_changed_is_refused(place, character):
    payload = signed("risk.halt", command())
    text = payload["signed"]
    index = place % len(text)
    changed = text[:index] + character + text[index + 1 :]
    received = arrived("risk.halt", payload | {"signed": changed})
    if changed == text:
        assert commands.verify(received, SECRET) == command()
    else:
        assert refusal_of(received) is Refusal.BAD_SIGNATURE


def test_a_signature_for_one_topic_is_none_for_another():
    assert refusal_of(arrived("risk.halt", signed("risk.pause", command()))) is (
        Refusal.BAD_SIGNATURE
    )


def test_a_signature_by_another_secret_is_refused():
    other = signed("risk.halt", command(), secret="another secret of thirty-two letters")
    assert refusal_of(arrived("risk.halt", other)) is Refusal.BAD_SIGNATURE


@pytest.mark.parametrize(
    "payload",
    [
        {"command_id": "c-1", "all": True},
        {"signed": "{}"},
        {"signed": "{}", "signature": 7},
        {},
    ],
)
def test_what_is_not_signed_is_refused(payload):
    assert refusal_of(arrived("risk.halt", payload)) is Refusal.UNSIGNED


@pytest.mark.parametrize("signature", ["", "é" * 64, "0" * 64])
def test_a_signature_that_is_none_is_refused(signature):
    payload = signed("risk.halt", command()) | {"signature": signature}
    assert refusal_of(arrived("risk.halt", payload)) is Refusal.BAD_SIGNATURE


@pytest.mark.parametrize("name", ["signed", "signature"])
@pytest.mark.parametrize(
    "strange", [b'"\\ud800"', b'"\xed\xa0\x80"', b"[" * 100_000], ids=["escaped", "raw", "deep"]
)
def test_what_cannot_be_read_is_refused_like_everything_unsigned(name, strange):
    received = arrived("risk.halt", {"signed": "{}", "signature": "0"} | {name: "HERE"})
    payload = received.message.payload.replace(b'"HERE"', strange)
    strangely = replace(received, message=replace(received.message, payload=payload))
    assert refusal_of(strangely) in {Refusal.UNREADABLE, Refusal.BAD_SIGNATURE}


@pytest.mark.parametrize(
    "changes",
    [
        {"all": False},
        {"execution_id": "exec_1"},
        {"all": False, "execution_id": "exec_1", "strategy_name": "Line"},
        {"command_id": ""},
        {"command_id": "c" * 101},
        {"issued_at": NOW.replace(tzinfo=None)},
        {"command_id": "c\0"},
        {"reason": "a \0"},
        {"all": False, "strategy_name": "Line\0"},
    ],
)
def test_a_signed_command_that_is_not_clear_is_refused(changes):
    wanted = command(**changes)
    assert refusal_of(arrived("risk.halt", signed("risk.halt", wanted))) is Refusal.MALFORMED


@pytest.mark.parametrize("text", ["", "[]", '{"command_id": "c-1"}'])
def test_a_signed_text_that_is_no_command_is_refused(text):
    digest = hmac.new(SECRET.encode(), f"risk.halt\n{text}".encode(), hashlib.sha256).hexdigest()
    payload = msgspec.to_builtins(Signed(signed=text, signature=digest))
    assert refusal_of(arrived("risk.halt", payload)) is Refusal.MALFORMED


@pytest.mark.parametrize("topic", ["risk.resume", "strategy.trade", ""])
def test_a_topic_that_is_no_command_is_refused(topic):
    assert refusal_of(arrived(topic, signed(topic, command()))) is Refusal.UNKNOWN_TOPIC


@pytest.mark.parametrize("later_s", [-61, 61, 86_400])
def test_a_command_that_arrives_far_from_its_own_time_is_refused(later_s):
    received = arrived("risk.halt", signed("risk.halt", command()), later_s=later_s)
    assert refusal_of(received) is Refusal.OUT_OF_TIME


@pytest.mark.parametrize("later_s", [-60, 0, 60])
def test_a_command_that_arrives_in_time_is_obeyed_whatever_our_own_clock_says(later_s):
    received = arrived("risk.halt", signed("risk.halt", command()), later_s=later_s)
    assert commands.verify(received, SECRET) == command()


def test_no_refusal_repeats_what_an_unsigned_entry_says():
    received = arrived("risk.halt", {"signed": "words-of-a-stranger", "signature": "x"})
    with pytest.raises(RefusedError) as caught:
        commands.verify(received, SECRET)
    assert "stranger" not in str(caught.value)
