"""A native child's answer is believed only where an honest kernel could have given it."""

import msgspec
import pytest

from strategy_engine.matching.model import Side
from strategy_engine.matching.ticket import Cancel, Modify, OrderType, Ticket
from strategy_engine.pipeline.model import ForgedAnswerError
from strategy_engine.pipeline.native import answers
from strategy_engine.sandbox.protocol import messages

CLOSES = [1.1, 1.2, 1.15, 1.3]


def packed(value):
    return msgspec.Raw(msgspec.msgpack.encode(value))


def order(**fields):
    usual = {
        "client_order_id": "O-1",
        "symbol": "EUR/USD.SIM",
        "side": Side.BUY,
        "type": OrderType.MARKET,
        "lots": 1000,
    }
    return Ticket(**usual | fields)


def answered(make, *steps, seen=None, **fields):
    usual = {"stopping": [], "seen": packed(seen or []), "notices": [], "cpu_ns": 0}
    return messages.NativeBacktested(steps=list(steps), **usual | fields)


def close_ns(make, index):
    return make.START_NS + (index + 1) * make.HOUR_NS


def step(make, index, *asked, **fields):
    at_ns = close_ns(make, index)
    given = [messages.Asked(ts_ns=at_ns, instruction=packed(each)) for each in asked]
    usual = {"symbol": make.SYMBOL, "index": index, "asked": given, "met": index + 1}
    return messages.Step(**usual | fields)


def test_steps_in_order_with_legal_instructions_are_taken(make):
    asked = [order(), Modify(client_order_id="O-1", lots=5), Cancel(client_order_id="O-1")]
    found = answers.unpack(
        answered(make, step(make, -1, order(), met=0), step(make, 1, *asked)), make.history(CLOSES)
    )
    assert [each.index for each in found.steps] == [-1, 1]
    assert [each for _, each in found.steps[1].asked] == asked
    assert found.count() == 4
    assert found.happenings == 4


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ([(1, {}), (1, {})], "a step after 2 bars and ticks, and one after 2"),
        ([(2, {}), (0, {})], "they must rise"),
        ([(3, {"met": 9})], "4 are all there are"),
        ([(2, {"met": 2})], "a step at bar 2 .* the last bar is 1 of EUR/USD.SIM"),
        ([(1, {"symbol": "X.SIM"})], "a step at bar 1 of X.SIM"),
        ([(-1, {"met": 4})], "a step at bar -1 .* the last bar is 3"),
    ],
)
def test_steps_out_of_order_or_of_other_bars_are_forged(make, steps, why):
    given = [step(make, index, order(), **fields) for index, fields in steps]
    with pytest.raises(ForgedAnswerError, match=why):
        answers.unpack(answered(make, *given), make.history(CLOSES))


@pytest.mark.parametrize("shift", [1, -3])
def test_an_instruction_of_another_time_than_its_step_s_is_forged(make, shift):
    at_ns = close_ns(make, 2) + shift * make.HOUR_NS
    late = messages.Asked(ts_ns=at_ns, instruction=packed(order()))
    given = answered(make, step(make, 1, order()), step(make, 2, asked=[late]))
    with pytest.raises(ForgedAnswerError, match="gave an instruction at"):
        answers.unpack(given, make.history(CLOSES))


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"kind": "fill"}, "no instruction"),
        (7, "no instruction"),
        (order(symbol="X.SIM"), "an order of X.SIM, which it does not trade"),
        (order(lots=10**16), "lots; "),
        (order(lots=-1), "-1 lots"),
        (Modify(client_order_id="O-1", lots=10**16), "lots; "),
        (order(limit_ticks=10**16), "a price beyond"),
        (order(trailing_ticks=-(10**16)), "a price beyond"),
        (Modify(client_order_id="O-1", trigger_ticks=10**16), "a price beyond"),
        (order(linked_ids=("O",) * 101), "more than 100 links"),
        (order(tags=("t",) * 101), "more than 100 links"),
        (order(parent_id="x" * 201), "more than 200 characters"),
        (order(client_order_id="x" * 201), "a name of more than 200"),
        (Cancel(client_order_id="x" * 201), "a name of more than 200"),
        (order(expire_ns=-1), "expires at -1"),
        (order(expire_ns=1 << 63), "expires at"),
    ],
)
def test_what_no_kernel_asks_for_is_forged(make, asked, why):
    with pytest.raises(ForgedAnswerError, match=f"the child asked for .*{why}"):
        answers.unpack(answered(make, step(make, 0, asked)), make.history(CLOSES))


def test_what_it_asks_for_in_its_end_is_checked_too(make):
    stopping = step(make, 3, order(symbol="X.SIM")).asked
    with pytest.raises(ForgedAnswerError, match=r"an order of X\.SIM"):
        answers.unpack(answered(make, stopping=stopping), make.history(CLOSES))


def test_fills_that_are_none_are_forged(make):
    with pytest.raises(ForgedAnswerError, match="saw what is no fill"):
        answers.unpack(answered(make, seen=[1]), make.history(CLOSES))


def test_there_is_an_end_to_what_is_read(make, monkeypatch):
    monkeypatch.setattr(answers, "MOST_INSTRUCTIONS", 3)
    with pytest.raises(ForgedAnswerError, match="4 instructions; 3 are the most"):
        answers.unpack(answered(make, step(make, 0, *[order()] * 4)), make.history(CLOSES))


def test_notices_are_cut_to_what_can_be_shown(make):
    found = answers.unpack(answered(make, notices=["x" * 9_999] * 999), make.history(CLOSES))
    assert (len(found.notices), len(found.notices[0])) == (50, 500)
