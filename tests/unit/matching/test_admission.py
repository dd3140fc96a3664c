"""Which orders the venue takes."""

import msgspec
import pytest

from strategy_engine.matching.model import NANOS, Terms
from strategy_engine.matching.ticket import (
    Accepted,
    Cancel,
    Executed,
    Instruction,
    OrderEvent,
    Rejected,
    Ticket,
)

TENS = Terms(symbol="X", tick_nanos=10_000_000, lot_nanos=NANOS, min_lots=10)


@pytest.mark.parametrize(
    ("kind", "fields", "code"),
    [
        ("MARKET", {"symbol": "Y"}, "unknown_symbol"),
        ("MARKET", {"lots": 9}, "too_few_lots"),
        ("MARKET", {"lots": 0}, "too_few_lots"),
        ("LIMIT", {}, "invalid_price"),
        ("LIMIT", {"limit_ticks": 0}, "invalid_price"),
        ("STOP_MARKET", {}, "invalid_price"),
        ("STOP_LIMIT", {"trigger_ticks": 10_100}, "invalid_price"),
        ("LIMIT_IF_TOUCHED", {"limit_ticks": 9_900}, "invalid_price"),
        ("TRAILING_STOP_MARKET", {}, "invalid_price"),
        ("TRAILING_STOP_MARKET", {"trailing_ticks": 0}, "invalid_price"),
        ("TRAILING_STOP_LIMIT", {"trailing_ticks": 50}, "invalid_price"),
        ("MARKET", {"time_in_force": "GTD"}, "invalid_time_in_force"),
        ("MARKET", {"time_in_force": "GTD", "expire_ns": 1}, "invalid_time_in_force"),
        (
            "STOP_MARKET",
            {"trigger_ticks": 10_100, "time_in_force": "AT_THE_OPEN"},
            "invalid_time_in_force",
        ),
        ("MARKET", {"post_only": True}, "invalid_time_in_force"),
        (
            "LIMIT",
            {"limit_ticks": 9_900, "post_only": True, "time_in_force": "IOC"},
            "invalid_time_in_force",
        ),
        ("LIMIT", {"limit_ticks": 10_000, "post_only": True}, "post_only"),
        ("MARKET", {"reduce_only": True}, "reduce_only"),
    ],
)
def test_an_order_that_cannot_be_is_refused_and_says_why(exchange, kind, fields, code):
    traded = exchange(terms=(TENS,))
    traded.flat_bar()
    (event,) = traded.buy("a", kind, **fields)
    assert isinstance(event, Rejected)
    assert (event.code, event.denied, bool(event.message)) == (code, False, True)
    assert traded.book.working == ()


def test_a_short_is_refused_where_there_are_none(exchange):
    traded = exchange(allow_short=False)
    traded.flat_bar()
    (event,) = traded.sell("a")
    assert event.code == "short_not_allowed"


def test_an_exit_may_wait_beside_the_entry_it_is_for(exchange, said):
    traded = exchange(allow_short=False)
    traded.flat_bar()
    traded.buy("in")
    assert said(traded.sell("out", "LIMIT", limit_ticks=10_100)) == ["out accepted"]


def test_a_sale_beyond_the_position_is_cut_where_there_are_no_shorts(exchange, said):
    traded = exchange(allow_short=False)
    traded.flat_bar()
    traded.buy("in", lots=4)
    traded.flat_bar()
    traded.sell("out", lots=10)
    events = traded.flat_bar()
    assert (traded.fills(events), said(events)) == (
        [("out", 4, 10_000)],
        ["out executed", "out cancelled"],
    )
    assert (events[-1].why, traded.lots) == ("short_not_allowed", 0)


def test_a_post_only_order_rests_and_makes(exchange, said):
    traded = exchange()
    traded.flat_bar()
    assert said(traded.buy("a", "LIMIT", limit_ticks=9_999, post_only=True)) == ["a accepted"]
    (event,) = traded.bar(9_900, 9_900, 9_900, 9_900)
    assert (event.price_ticks, event.is_maker) == (9_900, True)


def test_a_post_only_stop_limit_that_would_take_is_rejected_once_triggered(exchange, said):
    traded = exchange()
    traded.flat_bar()
    traded.buy("a", "STOP_LIMIT", trigger_ticks=10_100, limit_ticks=10_150, post_only=True)
    events = traded.bar(10_000, 10_200, 10_000, 10_200)
    assert said(events) == ["a triggered", "a rejected"]


INSTRUCTIONS = msgspec.msgpack.Decoder(list[Instruction])
EVENTS = msgspec.msgpack.Decoder(list[OrderEvent])


def test_orders_and_events_survive_the_wire(exchange):
    traded = exchange()
    traded.flat_bar()
    traded.buy("a", linked_ids=("b", "c"), tags=("x",))
    traded.flat_bar()
    traded.sell("b")
    traded.flat_bar()
    assert EVENTS.decode(msgspec.msgpack.encode(traded.log)) == traded.log
    assert {type(each) for each in traded.log} == {Accepted, Executed}
    asked = [
        Ticket(client_order_id="a", symbol="X", side="BUY", type="MARKET", lots=1),
        Cancel(client_order_id="a"),
    ]
    assert INSTRUCTIONS.decode(msgspec.msgpack.encode(asked)) == asked
