"""What a fresh process is shown of a transcript, and what counts as another answer."""

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core.money import NANOS
from strategy_engine.matching.model import Action, Decision, Side
from strategy_engine.matching.ticket import Cancel, Executed, Modify, OrderType, Ticket, Updated
from strategy_engine.rollout import parity
from strategy_engine.rollout.parity import Script, Shown
from strategy_engine.sandbox.protocol import messages
from strategy_engine.venue.model import Turn, TurnKind

A, B = "A.SIM", "B.SIM"
MINUTE_NS = 60 * NANOS
WARMED_UP = messages.WarmedUp(bars=0)
START, RESTART, ASKED = TurnKind.START, TurnKind.RESTART, TurnKind.ASKED


def frame(first: int, stop: int, symbol: str = A) -> messages.Bars:
    """Return bars by their numbers: number n opens at minute n."""
    numbers = np.arange(first, stop)
    column = (numbers + 0.5).astype("<f8").tobytes()
    return messages.Bars(
        symbol=symbol,
        duration_ns=MINUTE_NS,
        open_ns=(numbers * MINUTE_NS).astype("<i8").tobytes(),
        open=column,
        high=column,
        low=column,
        close=column,
        volume=column,
    )


def bar(number: int, symbol: str = A, **more: Any) -> messages.Bar:
    return messages.Bar(
        symbol=symbol,
        open_ns=number * MINUTE_NS,
        close_ns=(number + 1) * MINUTE_NS,
        ohlcv=(1.0, 1.0, 1.0, 1.0, 1.0),
        holding=messages.Holding(lots=0, entry_price=None, cash=1.0, equity=1.0),
        fills=[],
        **more,
    )


def native_bar(number: int, *events: Any) -> messages.NativeBar:
    return messages.NativeBar(
        symbol=A,
        open_ns=number * MINUTE_NS,
        close_ns=(number + 1) * MINUTE_NS,
        ohlcv=(1.0, 1.0, 1.0, 1.0, 1.0),
        events=msgspec.Raw(msgspec.msgpack.encode(events)),
    )


def turn(asked: messages.ToChild, kind: TurnKind = ASKED) -> Turn:
    return Turn(no=1, kind=kind, asked=messages.encode(asked), answered=b"")


def shown(script: Script, asked: messages.ToChild, kind: TurnKind = ASKED) -> Any:
    found = script.showing(turn(asked, kind))
    if found is None:
        return None
    assert messages.encode(messages.decode_for_child(found.frame)) == messages.encode(found.message)
    return found.message


def numbers(message: messages.WarmUp) -> dict[str, list[int]]:
    return {
        each.symbol: (np.frombuffer(each.open_ns, dtype="<i8") // MINUTE_NS).tolist()
        for each in message.bars
    }


def begun(*frames: messages.Bars, state: bytes | None = None) -> Script:
    script = Script()
    first = messages.WarmUp(bars=list(frames), state=state)
    assert shown(script, first, START) == first
    return script


def test_the_first_warm_up_is_shown_with_its_state_whatever_it_is_called():
    for kind in (START, RESTART):
        first = messages.WarmUp(bars=[frame(0, 5)], state=b"saved")
        assert shown(Script(), first, kind) == first


def test_a_later_warm_up_is_not_shown_to_a_process_that_knows_its_bars():
    script = begun(frame(0, 5))
    shown(script, bar(5))

    again = messages.WarmUp(bars=[frame(1, 6)], state=b"what was saved")

    assert shown(script, again, RESTART) is None


def test_of_a_later_warm_up_the_bars_are_shown_that_nobody_was_asked_about():
    script = begun(frame(0, 5), frame(0, 5, B))
    shown(script, bar(5))

    again = messages.WarmUp(bars=[frame(3, 9), frame(2, 8, B)], state=b"what was saved")
    message = shown(script, again, RESTART)

    assert numbers(message) == {A: [6, 7, 8], B: [5, 6, 7]}
    assert message.state is None
    assert shown(script, messages.WarmUp(bars=[frame(4, 9)]), RESTART) is None


def test_a_native_strategy_is_not_told_again_what_it_holds():
    script = Script()
    first = messages.NativeWarmUp(start_ns=0, bars=[frame(0, 5)], balance_nanos=7)
    assert shown(script, first, START) == first
    held = [messages.NativeHolding(symbol=A, lots=1, entry_price=1.0)]
    again = messages.NativeWarmUp(
        start_ns=9, bars=[frame(0, 9)], balance_nanos=8, holdings=held, orders_made=3
    )

    message = shown(script, again, RESTART)

    assert numbers(message) == {A: [5, 6, 7, 8]}
    assert (message.start_ns, message.balance_nanos) == (9, 8)
    assert (message.holdings, message.orders_made) == ([], 0)


def test_a_catch_up_is_shown_as_it_was():
    script = begun(frame(0, 5))
    catch_up = messages.WarmUp(bars=[frame(5, 8)])

    assert shown(script, catch_up) == catch_up


@given(st.lists(st.tuples(st.sampled_from(["bar", "restart", "catch up"]), st.integers(0, 4))))
def test_no_bar_is_shown_twice_and_none_is_left_out(happenings):
    known, seen = 5, list(range(5))
    script = begun(frame(0, known))
    for happened, count in happenings:
        if happened == "bar":
            shown(script, bar(known))
            seen.append(known)
            known += 1
            continue
        known += count  # bars that passed in a pause
        is_restart = happened == "restart"
        first = max(0, known - 50) if is_restart else known - count
        message = shown(
            script, messages.WarmUp(bars=[frame(first, known)]), RESTART if is_restart else ASKED
        )
        if message is not None:
            seen += numbers(message)[A]
    assert seen == list(range(known))


def test_flags_that_ceased_while_a_process_was_started_again_cease():
    script = begun(frame(0, 5), frame(0, 5, B))
    shown(script, bar(5, flags={"fast": True}))
    shown(script, messages.WarmUp(bars=[frame(1, 6)]), RESTART)

    assert shown(script, bar(6)).flags == {}
    assert shown(script, bar(7)).flags is None
    assert shown(script, bar(5, B, flags={"fast": False})).flags == {"fast": False}
    assert shown(script, bar(6, B)).flags is None


def executed(name: str, lots: int) -> Executed:
    return Executed(
        client_order_id=name,
        trade_no=1,
        symbol=A,
        side=Side.BUY,
        lots=lots,
        price_ticks=1,
        fee_nanos=0,
        pnl_nanos=0,
        ts_ns=1,
        leaves_lots=10 - lots,
        position_lots=lots,
    )


def test_lots_of_an_order_that_was_taken_over_are_told_whole():
    script = Script()
    first = messages.NativeWarmUp(start_ns=0, bars=[frame(0, 5)], balance_nanos=7)
    shown(script, first, START)
    shown(script, native_bar(5, executed("O-1", 4)))
    acted = answer(Modify(client_order_id="O-1", lots=5), Cancel(client_order_id="O-2"))
    assert script.answered(acted) == parity.said_by(acted)
    shown(script, first, RESTART)

    message = shown(
        script, native_bar(6, Updated(client_order_id="O-1", ts_ns=1, lots=6), executed("O-1", 1))
    )

    updated, _ = msgspec.msgpack.decode(message.events)
    assert updated["lots"] == 10
    assert script.answered(acted) == (
        (1, Modify(client_order_id="O-1", lots=9)),
        (1, Cancel(client_order_id="O-2")),
    )


def answer(*asked: Any) -> messages.NativeActed:
    return messages.NativeActed(
        asked=[
            messages.Asked(ts_ns=1, instruction=msgspec.Raw(msgspec.msgpack.encode(each)))
            for each in asked
        ]
    )


BUYING = Ticket(client_order_id="O-1", symbol=A, side=Side.BUY, type=OrderType.MARKET, lots=3)


def test_time_taken_states_and_reasons_are_no_decisions():
    detail = {"index": 1, "size_ppb": 5, "stop_loss_ppb": None, "take_profit_ppb": 7}
    one = messages.Decided(
        action=1, cpu_ns=1, state=b"a", detail=messages.Detail(**detail, reason="x")
    )
    other = messages.Decided(
        action=1, cpu_ns=2, detail=messages.Detail(**detail | {"index": 9}, reason="y")
    )

    assert parity.said_by(one) == parity.said_by(other)
    assert parity.said_by(one) == Decision(action=Action.BUY, size_ppb=5, take_profit_ppb=7)


@pytest.mark.parametrize("name", ["size_ppb", "stop_loss_ppb", "take_profit_ppb"])
def test_another_size_or_stop_is_another_decision(name):
    fields = {"index": 1, "size_ppb": 5, "stop_loss_ppb": 6, "take_profit_ppb": 7, "reason": ""}
    one, other = (
        messages.Decided(action=1, detail=messages.Detail(**each))
        for each in (fields, fields | {name: 8})
    )

    assert parity.said_by(one) != parity.said_by(other)


def test_a_bar_is_a_decision_and_a_tick_is_where_something_is_asked():
    quote = messages.NativeQuote(symbol=A, ts_ns=1, quote=(1.0, 1.0, 1.0, 1.0))
    asked = parity.said_by(answer(BUYING))

    assert parity.is_decision(bar(1), Decision(action=Action.HOLD), Decision(action=Action.HOLD))
    assert parity.is_decision(native_bar(1), (), ())
    assert not parity.is_decision(quote, (), ())
    assert parity.is_decision(quote, asked, ())
    assert parity.is_decision(quote, (), asked)
    assert not parity.is_decision(messages.WarmUp(bars=[]), None, None)


def test_what_differs_is_said_with_both_answers_and_the_bar():
    live = Decision(action=Action.TARGET, size_ppb=-250_000_000, stop_loss_ppb=20_000_000)

    assert parity.told(bar(1), live, Decision(action=Action.HOLD)) == (
        "A.SIM, the bar that closed 1970-01-01T00:02:00+00:00: live it decided TARGET, size -0.25,"
        " stop loss 0.02; a fresh process: HOLD"
    )
    assert parity.told(native_bar(1), parity.said_by(answer(BUYING)), ()) == (
        "A.SIM, the bar that closed 1970-01-01T00:02:00+00:00: live it decided submit"
        " client_order_id=O-1 symbol=A.SIM side=BUY type=MARKET lots=3 time_in_force=GTC"
        " contingency=NONE; a fresh process: nothing"
    )


def test_every_bar_that_a_message_shows_is_looked_at():
    warm_up = messages.WarmUp(bars=[frame(3, 5), frame(7, 8, B)])

    assert parity.bars_of(warm_up) == [
        Shown(symbol=A, open_ns=3 * MINUTE_NS, ohlcv=(3.5,) * 5),
        Shown(symbol=A, open_ns=4 * MINUTE_NS, ohlcv=(4.5,) * 5),
        Shown(symbol=B, open_ns=7 * MINUTE_NS, ohlcv=(7.5,) * 5),
    ]
    assert parity.bars_of(native_bar(2))[0].open_ns == 2 * MINUTE_NS
    assert parity.bars_of(messages.OrderEvents(now_ns=1)) == []


def test_an_unknown_volume_is_the_same_as_an_unknown_volume():
    unknown = (1.0, 1.0, 1.0, 1.0, math.nan)

    assert parity.is_same_bar(unknown, unknown)
    assert not parity.is_same_bar(unknown, (1.0, 1.0, 1.0, 1.0, 0.0))
    assert not parity.is_same_bar(unknown, (1.0, 1.0, 1.0, math.nextafter(1.0, 2.0), math.nan))
