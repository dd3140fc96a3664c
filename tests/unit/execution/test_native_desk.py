"""The desk of a native execution, driven bar by bar by a strategy that counts what it is told."""

import asyncio
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from strategy_engine.core.clock import SystemClock
from strategy_engine.execution import history as histories
from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.execution.native_desk import NativeDesk
from strategy_engine.execution.rules import ContractBrokenError
from strategy_engine.execution.ticks import TickHistory
from strategy_engine.market.feeds import MarketEvent
from strategy_engine.market.model import Quotes, Trades
from strategy_engine.market.replay import MarketReplay
from strategy_engine.matching.model import Side
from strategy_engine.matching.ticket import (
    Cancel,
    Instruction,
    Modify,
    OrderType,
    Ticket,
    TimeInForce,
)
from strategy_engine.sandbox.protocol import messages
from strategy_engine.venue.model import BarProcessed, Head, OrderStatus
from strategy_engine.venue.rows import collect

sys.path.append(str(Path(__file__).parent))
from native_counting import (
    CATALOGUE,
    END_NS,
    EVENTS,
    HISTORY,
    QUARTER_NS,
    START_NS,
    SYMBOLS,
    UNIT,
    begun,
    desk,
    kept_of,
    play,
    rows_of,
)

_encode = msgspec.msgpack.Encoder().encode


def ticked() -> histories.History:
    """Return the history with quotes and trades of one of its instruments, some at bars' closes."""
    bars = HISTORY.series["EUR/USD.SIM"].bars
    first = HISTORY.series["EUR/USD.SIM"].closed_by(START_NS)
    every = [
        (int(bars.ts_ns[at]) + number * QUARTER_NS, float(price))
        for at in range(first, len(bars))
        for number, price in enumerate((bars.low[at], bars.high[at], bars.close[at]), start=2)
    ]
    times = np.array([ts_ns for ts_ns, _ in every])
    prices = np.array([price for _, price in every])
    sizes = np.full(times.size, 1e10)
    quotes = Quotes(ts_ns=times, bid=prices, ask=prices + 0.00002, bid_size=sizes, ask_size=sizes)
    trades = Trades(ts_ns=times[::2], price=prices[::2], size=sizes[::2])
    found = TickHistory(quotes={"EUR/USD.SIM": quotes}, trades={"EUR/USD.SIM": trades})
    part = histories.load(CATALOGUE, SYMBOLS, None, END_NS)
    return histories.begin(part, ExecutionConfig(start_ns=START_NS), 5, found)


TICKED = ticked()


async def happenings() -> list[MarketEvent]:
    feed = MarketReplay(
        bars=TICKED.bars(),
        quotes=TICKED.ticks.quotes,
        trades=TICKED.ticks.trades,
        start_after_ns=TICKED.start_after_ns,
        speed=0,
        clock=SystemClock(),
    )
    return [event async for event in feed]


def play_ticks(desk: NativeDesk, events: list[MarketEvent]) -> Iterator[BarProcessed]:
    known = begun(desk)
    for event in events:
        if not desk.tally.is_before(event):
            continue
        if not desk.tally.is_mid_bar and (entry := desk.mark(event)) is not None:
            yield entry
        told = desk.message(event)
        is_bar = isinstance(told, messages.NativeBar)
        acted = known.act(told) if is_bar else known.act_on_tick(told)
        if (entry := desk.conclude(event, acted)) is not None:
            yield entry


def test_from_whatever_tick_was_kept_last_the_same_entries_follow() -> None:
    events = asyncio.run(happenings())
    whole_desk = desk(past=TICKED, **LIMITED)
    whole = list(play_ticks(whole_desk, events))
    assert sum(len(each.fills) for each in whole) > 30
    assert len([each for each in whole if each.is_decided]) < len(events)  # quiet ticks have none
    assert any(each.fills and each.close_ns % (4 * QUARTER_NS) for each in whole)
    for cut in range(1, len(whole), 7):
        resumed = desk(kept_of(whole[:cut]), past=TICKED, **LIMITED)
        rest = list(play_ticks(resumed, events))
        assert [_plain(each) for each in rest] == [_plain(each) for each in whole[cut:]], cut
        assert resumed.observe(is_final=True).performance_metrics["sharpe_ratio"] == pytest.approx(
            whole_desk.observe(is_final=True).performance_metrics["sharpe_ratio"]
        )


LIMITED = {"max_position_size": 30_000}
WHOLE_DESK = desk(**LIMITED)
WHOLE = list(play(WHOLE_DESK))


def test_the_example_does_enough_to_mean_something() -> None:
    batch = rows_of(WHOLE)
    statuses = {row["new_status"] for row in batch.order_changes} | {
        row["status"] for row in batch.orders
    }
    assert sum(len(each.fills) for each in WHOLE) > 30
    assert {each.symbol for each in WHOLE} == set(SYMBOLS)
    assert {"filled", "partially_filled", "cancelled", "denied", "submitted"} <= statuses
    assert any(row["new_trigger"] for row in batch.order_changes)


PAUSED = range(20, 60)
PAUSED_WHOLE = list(play(desk(**LIMITED), paused=PAUSED))


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(20, 80))
def test_what_waits_to_be_told_in_a_pause_outlives_a_restart(cut: int) -> None:
    first = desk(kept_of(PAUSED_WHOLE[:cut]), **LIMITED)
    between = list(itertools.islice(play(first, paused=PAUSED), 3))
    resumed = desk(kept_of([*PAUSED_WHOLE[:cut], *between]), **LIMITED)
    rest = [*between, *play(resumed, paused=PAUSED)]
    assert [_plain(each) for each in rest] == [_plain(each) for each in PAUSED_WHOLE[cut:]]


@settings(max_examples=80, deadline=None)
@given(cut=st.integers(1, len(WHOLE) - 2), more=st.integers(0, 20))
def test_from_whatever_entry_was_kept_last_the_same_entries_follow(cut: int, more: int) -> None:
    again = min(cut + more, len(WHOLE) - 1)
    first = desk(kept_of(WHOLE[:cut]), **LIMITED)
    between = list(itertools.islice(play(first), again - cut))
    resumed = desk(kept_of([*WHOLE[:cut], *between]), **LIMITED)
    rest = [*between, *play(resumed)]
    assert [_plain(each) for each in rest] == [_plain(each) for each in WHOLE[cut:]]
    final, whole = resumed.observe(is_final=True), WHOLE_DESK.observe(is_final=True)
    assert final.pnl == whole.pnl
    assert (final.trade_count, final.fill_count) == (whole.trade_count, whole.fill_count)
    assert (
        final.performance_metrics["denial_count"] == whole.performance_metrics["denial_count"] > 0
    )


def _plain(entry: BarProcessed) -> dict[str, Any]:
    return {
        name: getattr(entry, name) for name in BarProcessed.__dataclass_fields__ if name != "terms"
    }


def test_a_bar_that_fills_is_kept_before_the_strategy_hears_of_it_and_again_after() -> None:
    place = next(n for n, each in enumerate(WHOLE) if each.fills)
    told, decided = WHOLE[place], WHOLE[place + 1]
    assert not told.is_decided
    assert len([each for each in told.undelivered if each["kind"] == "executed"]) == len(told.fills)
    assert decided.is_decided
    assert decided.fills == ()
    assert (decided.close_ns, decided.bar_no) == (told.close_ns, told.bar_no)


def test_while_paused_everything_waits_to_be_told_and_only_exits_work() -> None:
    paused = range(40, 90)
    going = desk()
    entries = list(play(going, paused=paused))
    quiet = [each for each in entries if each.is_decided][40:90]
    assert all(not each.placings for each in quiet)
    waiting = [len(each.undelivered) for each in quiet]
    assert waiting == sorted(waiting)
    assert waiting[-1] > 0
    orders = quiet[-1].account["book"]["working"]
    assert all(each["ticket"]["reduce_only"] for each in orders)


def test_a_resume_tells_first_what_happened_and_then_the_bars() -> None:
    going = desk()
    list(play(going, paused=range(60, len(EVENTS))))
    message = going.events_message()
    seen = EVENTS[59].close_ns, EVENTS[59].symbol
    catching_up = going.catch_up_message(seen)
    assert message is not None
    assert message.now_ns == EVENTS[59].close_ns
    assert catching_up.start_ns == EVENTS[-1].close_ns
    going.answered(messages.NativeActed(asked=[]))
    assert going.events_message() is None


def test_timers_wait_for_the_last_bar_of_an_instant() -> None:
    going = desk()
    strategy, flags = begun(going), []
    for event in EVENTS[:40]:
        going.mark(event)
        message = going.message(event)
        flags.append((event.close_ns, event.symbol, message.is_last))
        going.conclude(event, strategy.act(message))
    together = {at for at, symbol, _ in flags if symbol == "GOOGL.SIM"}
    assert together
    assert all(
        is_last is (symbol == "GOOGL.SIM" or at not in together) for at, symbol, is_last in flags
    )


def asking(*instructions: Instruction) -> messages.NativeActed:
    given = [
        messages.Asked(ts_ns=0, instruction=msgspec.Raw(_encode(each))) for each in instructions
    ]
    return messages.NativeActed(asked=given)


def in_and_out(going: NativeDesk, out: dict[str, int]) -> Iterator[BarProcessed]:
    """Buy on each instrument's first bar, and ask for the way out at a close on one of its bars."""
    begun(going)
    numbers = dict.fromkeys(SYMBOLS, 0)
    for event in EVENTS:
        symbol, number = event.symbol, numbers[event.symbol]
        numbers[symbol] += 1
        order = Ticket(
            client_order_id=f"O-{event.index}-{symbol}",
            symbol=symbol,
            side=Side.BUY,
            type=OrderType.MARKET,
            lots=1,  # more would take several bars of a share
        )
        asked = [order] if number == 0 else []
        if number == out[symbol]:
            close = TimeInForce.AT_THE_CLOSE
            asked = [replace(order, side=Side.SELL, time_in_force=close, reduce_only=True)]
        if (entry := going.mark(event)) is not None:
            yield entry
        if (entry := going.conclude(event, asking(*asked))) is not None:
            yield entry


def test_a_fill_in_another_instruments_bar_changes_the_position_of_its_own() -> None:
    going = desk()
    entries = list(in_and_out(going, dict.fromkeys(SYMBOLS, 1)))
    fills = [(entry.symbol, fill) for entry in entries for fill in entry.fills]
    positions = rows_of(entries).positions
    assert [fill.symbol for symbol, fill in fills if symbol != fill.symbol] == ["GOOGL.SIM"]
    assert {symbol: row["symbol"] for (_, symbol), row in positions.items()} == {
        symbol: symbol for symbol in SYMBOLS
    }
    assert [row["quantity"] for row in positions.values()] == [0, 0]


def test_what_the_end_of_the_session_fills_counts_in_the_metrics_as_in_the_result() -> None:
    going = desk()
    last = sum(each.symbol == SYMBOLS[0] for each in EVENTS) - 2
    list(in_and_out(going, {SYMBOLS[0]: last, "GOOGL.SIM": 1}))
    before = going.observe()
    entry = going.end_session()
    assert entry is not None
    assert [fill.symbol for fill in entry.fills] == [SYMBOLS[0]]
    ended = going.observe(is_final=True)
    assert ended.pnl != before.pnl
    assert ended.performance_metrics["total_return"] == pytest.approx(
        float(ended.pnl) / 100_000, rel=1e-9
    )


def test_closing_ends_every_order_and_says_so_to_the_ledger() -> None:
    going = desk()
    entries = list(play(going))
    closed = going.close()
    batch, _ = collect([*entries, closed], {"exec_1": Head(epoch=1, entry_no=0)})
    ends = {"filled", "cancelled", "expired", "rejected"}
    ended = [row["changed_id"] for row in batch.order_changes if row["new_status"] in ends]
    placed = [row["order_id"] for row in batch.orders if row["status"] == "submitted"]
    assert sorted(ended) == sorted(placed)
    assert closed.account["book"]["working"] == closed.account["waiting"] == []


def test_in_its_end_a_strategy_may_cancel_and_gets_no_new_order() -> None:
    going = desk()
    list(play(going))
    market = Ticket(
        client_order_id="O-last", symbol=SYMBOLS[0], side=Side.BUY, type=OrderType.MARKET, lots=3
    )
    asked = [
        messages.Asked(ts_ns=0, instruction=msgspec.Raw(_encode(each)))
        for each in (market, Modify(client_order_id="O", lots=3), Cancel(client_order_id="O"))
    ]
    going.stopping(asked)
    assert any("a new order, BUY 3 lots EUR/USD.SIM MARKET" in each for each in going.tally.notices)
    assert not going.venue.tape.has_news
    assert going.observe().performance_metrics["denial_count"] == 0


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (b"\x93\x01", "no instruction"),
        (_encode({"kind": "submit"}), "no instruction"),
        (
            _encode(
                Ticket(
                    client_order_id="O",
                    symbol="X",
                    side=Side.BUY,
                    type=OrderType.MARKET,
                    lots=1 << 60,
                )
            ),
            "lots",
        ),
    ],
)
def test_an_answer_that_is_no_order_ends_the_execution(asked: bytes, why: str) -> None:
    going = desk()
    acted = messages.NativeActed(asked=[messages.Asked(ts_ns=0, instruction=msgspec.Raw(asked))])
    with pytest.raises(ContractBrokenError, match=why):
        going.started(acted)


def test_of_two_instruments_only_the_one_to_be_closed_is_and_the_others_orders_stay() -> None:
    going = desk()
    begun(going)
    closed, other = SYMBOLS

    def buy(symbol: str, name: str, kind: OrderType, **more: Any) -> messages.Asked:
        order = Ticket(client_order_id=name, symbol=symbol, side=Side.BUY, type=kind, **more)
        return messages.Asked(ts_ns=EVENTS[0].close_ns, instruction=msgspec.Raw(_encode(order)))

    asked = [
        order
        for symbol in SYMBOLS
        for order in (
            buy(symbol, f"in-{symbol}", OrderType.MARKET, lots=12 * UNIT[symbol]),
            buy(symbol, f"low-{symbol}", OrderType.LIMIT, lots=UNIT[symbol], limit_ticks=1),
        )
    ]
    going.mark(EVENTS[0])
    going.conclude(EVENTS[0], messages.NativeActed(asked=asked))
    bars = iter(EVENTS[1:])
    while not all(going.holds(each) for each in SYMBOLS):
        event = next(bars)
        going.mark(event)
        going.conclude(event, None)

    entries = []
    for event in itertools.islice(bars, 4):
        entries += [going.mark(event, closes={closed}), going.conclude(event, None)]

    changes = [each for entry in entries if entry is not None for each in entry.changes]
    gone = [each for each in changes if each.status is OrderStatus.CANCELLED]
    assert [going.holds(each) for each in SYMBOLS] == [False, True]
    assert {each.symbol for each in gone} == {closed}
    assert {each.ticket.symbol for each in going.venue.book.working} == {other}
