"""The desk of one execution, driven bar by bar by a strategy that counts what it is told."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy_engine.core import money
from strategy_engine.execution import history as histories
from strategy_engine.execution.desk import Desk
from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.execution.tally import Kept
from strategy_engine.market.feeds import BarEvent
from strategy_engine.market.service import Catalogue
from strategy_engine.matching.model import BUY, HOLD, SELL, Action, Cause, Decision, Fill, Rules
from strategy_engine.sandbox.protocol import messages
from strategy_engine.venue.model import BarProcessed, Checkpoint, OrderStatus
from strategy_engine.venue.paper import PaperVenue
from strategy_engine.venue.rows import Batch, collect
from strategy_engine.venue.service import EquityPoint, Trip

SYMBOLS = ("EUR/USD.SIM", "GOOGL.SIM")
CAPITAL_NANOS = money.to_nanos(100_000)
WARM_UP = 5
CATALOGUE = Catalogue(Path("/nonexistent"))
# The sample's instruments have bars on the same days; 1d and 1h bars close at the same instants.
SERIES = histories.load(CATALOGUE, SYMBOLS, None, None)
START_NS = int(SERIES["EUR/USD.SIM"].bars.close_ns[40])
END_NS = int(SERIES["EUR/USD.SIM"].bars.close_ns[160])


def history() -> histories.History:
    part = histories.load(CATALOGUE, SYMBOLS, None, END_NS)
    return histories.begin(part, ExecutionConfig(start_ns=START_NS), WARM_UP)


HISTORY = history()


def desk(kept: Kept | None = None) -> Desk:
    how = Rules(allow_short=True, position_size_ppb=200_000_000, stop_loss_ppb=1_000_000)
    venue = PaperVenue(
        "exec_1",
        capital_nanos=CAPITAL_NANOS,
        terms=[each.terms for each in HISTORY.series.values()],
        how=how,
        epoch=1,
    )
    made = Desk(venue, HISTORY, CAPITAL_NANOS)
    if kept is not None:
        made.restore(kept)
    return made


def events() -> Iterator[BarEvent]:
    places = sorted(
        (int(close_ns), symbol, index)
        for symbol, each in HISTORY.series.items()
        for index, close_ns in enumerate(each.bars.close_ns)
        if close_ns > HISTORY.start_after_ns
    )
    for close_ns, symbol, index in places:
        bars = HISTORY.series[symbol].bars
        yield BarEvent(
            symbol=symbol,
            index=index,
            ts_ns=int(bars.ts_ns[index]),
            close_ns=close_ns,
            open=float(bars.open[index]),
            high=float(bars.high[index]),
            low=float(bars.low[index]),
            close=float(bars.close[index]),
            volume=float(bars.volume[index]),
        )


EVENTS = list(events())


class Counting:
    """What it decides depends on each bar and each fill having been told exactly once."""

    def __init__(self, state: bytes | None = None) -> None:
        self.bars, self.fills = json.loads(state) if state else (0, 0)

    def decide(self, bar: messages.Bar) -> tuple[Decision, bytes]:
        self.bars += 1
        self.fills += len(bar.fills)
        turn = (self.bars + 2 * self.fills + bar.holding.lots) % 6
        decision = {0: BUY, 3: SELL}.get(turn, HOLD)
        return decision, json.dumps([self.bars, self.fills]).encode()


def play(desk: Desk, strategy: Counting, *, paused: range = range(0)) -> Iterator[BarProcessed]:
    for number, event in enumerate(EVENTS):
        if not desk.tally.is_before(event):
            continue
        if not desk.tally.is_mid_bar:
            entry = desk.mark(event, cancel_entries=number in paused)
            if entry is not None:
                yield entry
        if number in paused:
            yield desk.conclude(event, None, None)
            continue
        decision, state = strategy.decide(desk.bar_message(event))
        yield desk.conclude(event, decision, state)


def kept_of(entries: list[BarProcessed]) -> Kept:
    """Return what the ledger would have of entries."""
    last = entries[-1]
    batch = kept_rows(entries)
    states = [each.state for each in entries if each.state is not None]
    plain = json.loads(json.dumps([last.account, last.undelivered]))
    checkpoint = Checkpoint(
        execution_id="exec_1",
        epoch=1,
        entry_no=last.entry_no,
        fill_count=sum(len(each.fills) for each in entries),
        capital_nanos=CAPITAL_NANOS,
        account=plain[0],
        state=states[-1] if states else None,
        close_ns=last.close_ns,
        symbol=last.symbol,
        bar_no=last.bar_no,
        is_decided=last.is_decided,
        undelivered=plain[1],
        measured=batch.measured.get("exec_1"),
    )
    drop = {"execution_id"}
    equity = [{k: v for k, v in row.items() if k not in drop} for row in batch.equity.values()]
    trips = [{k: v for k, v in row.items() if k not in drop} for row in batch.round_trips]
    return Kept(
        checkpoint=checkpoint,
        equity=[EquityPoint(**row) for row in equity],
        trips=[Trip(**row) for row in trips],
    )


def kept_rows(entries: list[BarProcessed]) -> Batch:
    from strategy_engine.venue.model import Head

    batch, refusals = collect(entries, {"exec_1": Head(epoch=1, entry_no=0)})
    assert not refusals
    return batch


WHOLE_DESK = desk()
WHOLE = list(play(WHOLE_DESK, Counting()))


def test_the_example_fills_and_is_stopped_out_often_enough_to_mean_something():
    assert sum(len(each.fills) for each in WHOLE) > 30
    assert sum(not each.is_decided for each in WHOLE) > 20
    assert {each.symbol for each in WHOLE} == set(SYMBOLS)


@settings(max_examples=80, deadline=None)
@given(cut=st.integers(1, len(WHOLE) - 1))
def test_from_whatever_entry_was_kept_last_the_same_entries_follow(cut):
    kept = kept_of(WHOLE[:cut])

    resumed = desk(kept)
    rest = list(play(resumed, Counting(kept.checkpoint.state)))

    assert rest == WHOLE[cut:]
    final, whole = resumed.observe(is_final=True), WHOLE_DESK.observe(is_final=True)
    assert final.pnl == whole.pnl
    assert (final.trade_count, final.fill_count) == (whole.trade_count, whole.fill_count)
    for name in ("sharpe_ratio", "max_drawdown", "win_rate", "beta", "avg_trade_duration"):
        assert final.performance_metrics[name] == pytest.approx(whole.performance_metrics[name])


def test_a_bar_that_fills_is_kept_before_the_strategy_hears_of_it_and_again_after():
    place = next(n for n, each in enumerate(WHOLE) if each.fills)

    told, decided = WHOLE[place], WHOLE[place + 1]

    assert not told.is_decided
    assert len(told.undelivered) == len(told.fills)
    assert decided.is_decided
    assert decided.fills == ()
    assert decided.undelivered == ()
    assert (decided.close_ns, decided.bar_no) == (told.close_ns, told.bar_no)


def test_while_paused_nothing_is_decided_and_fills_wait_to_be_told():
    paused = range(40, 80)
    strategy = Counting()
    entries = list(play(desk(), strategy, paused=paused))

    undecided = [each for each in entries if each.is_decided and each.decision is None]
    last = undecided[-1]

    assert len(undecided) == len(paused)
    assert all(not each.orders for each in undecided)
    assert strategy.fills == sum(len(each.fills) for each in entries) - len(entries[-1].undelivered)
    assert len(last.undelivered) > 0  # the example is stopped out while it is paused


def test_what_waits_to_open_when_a_pause_comes_is_taken_back():
    place = next(n for n, each in enumerate(WHOLE) if any(o.opens for o in each.orders))
    first = WHOLE[place].bar_no

    entries = list(play(desk(), Counting(), paused=range(first, first + 30)))

    opened = {order.order_id for order in WHOLE[place].orders if order.opens}
    assert opened <= {name for each in entries for name in each.cancelled}


def test_closing_takes_back_what_waits():
    going = desk()
    steps = play(going, Counting())
    entry = next(each for each in steps if each.orders)

    closed = going.close()

    assert closed.cancelled == tuple(order.order_id for order in entry.orders)
    assert closed.entry_no == entry.entry_no + 1
    assert all(not book["pending"] for book in closed.account["books"].values())


def test_every_order_ends_as_filled_or_cancelled_once():
    going = desk()
    entries = [*play(going, Counting()), going.close()]
    batch = kept_rows(entries)

    placed = {row["order_id"] for row in batch.orders if row["status"] == OrderStatus.ACCEPTED}
    ended = [row["changed_id"] for row in batch.order_changes]

    assert sorted(ended) == sorted(placed)


def test_the_benchmark_is_what_holding_each_instrument_in_equal_parts_would_give():
    firsts, lasts = HISTORY.first_opens(), {}
    for event in EVENTS:
        lasts[event.symbol] = event.close

    expected = sum(lasts[name] / firsts[name] for name in SYMBOLS) / len(SYMBOLS)

    assert WHOLE[-1].benchmark == pytest.approx(expected)


def test_of_two_instruments_only_the_one_to_be_closed_is_and_the_others_orders_stay():
    going = desk()
    closed, other = SYMBOLS
    buy = Decision(action=Action.BUY, stop_loss_ppb=500_000_000, take_profit_ppb=500_000_000)
    bars = iter(EVENTS)
    held = set()
    while held != set(SYMBOLS):
        event = next(bars)
        going.mark(event)
        going.conclude(event, buy, None)
        held = {each for each in SYMBOLS if going.holds(each)}
    event = next(each for each in bars if each.symbol == other)
    going.mark(event)
    waiting = going.conclude(event, SELL, None).orders
    assert waiting

    first: dict[str, Fill] = {}
    while set(first) != set(SYMBOLS):
        event = next(bars)
        entry = going.mark(event, closes={closed})
        for fill in () if entry is None else entry.fills:
            first.setdefault(fill.symbol, fill)
        going.conclude(event, HOLD, None)

    assert first[closed].cause is Cause.HANDOVER
    assert first[other].order_id == waiting[0].order_id
    assert not going.holds(closed)


def until_it_waits(made: Desk, strategy: Counting) -> tuple[list[BarProcessed], str]:
    """Play until an order to open waits; return the entries so far, and the order's id."""
    entries: list[BarProcessed] = []
    for entry in play(made, strategy):
        entries.append(entry)
        opening = [each.order_id for each in entry.orders if each.opens]
        if entry.is_decided and opening:
            return entries, opening[0]
    raise AssertionError("it never orders")


def test_what_is_taken_back_between_two_bars_is_in_the_next_entry_and_never_fills():
    made, strategy = desk(), Counting()
    before, name = until_it_waits(made, strategy)

    assert name in made.take_back(only_entries=False)
    assert made.owes
    owed = made.withdraw_entries(())

    assert owed is not None
    assert owed.entry_no == before[-1].entry_no + 1
    assert name in owed.cancelled
    assert not made.owes
    rest = list(play(made, strategy))
    assert name not in {fill.order_id for each in rest for fill in each.fills}
    assert not any(name in each.cancelled for each in rest)


def test_what_is_taken_back_while_a_bars_fills_wait_for_the_disk_is_in_the_entry_after_them():
    made = desk()
    for event in EVENTS:
        entry = made.mark(event)
        waiting = [o.order_id for b in made.venue.account.books.values() for o in b.pending]
        if entry is not None and waiting:
            break
        held = made.bar_message(event).holding.lots
        made.conclude(event, SELL if held else BUY, None)  # so that an order always waits
    else:
        raise AssertionError("no bar fills while an order waits")
    dumped = json.dumps(entry.account)

    gone = made.take_back(only_entries=False)  # by another thread: the fills are on their way
    concluded = made.conclude(event, None, None)

    assert set(gone) == set(waiting)
    assert json.dumps(entry.account) == dumped
    assert entry.cancelled == ()
    assert set(gone) <= set(concluded.cancelled)
    assert concluded.entry_no == entry.entry_no + 1
    assert not any(book["pending"] for book in concluded.account["books"].values())


def test_one_that_begins_again_without_its_ledger_having_heard_takes_back_what_was_named():
    made, strategy = desk(), Counting()
    entries, name = until_it_waits(made, strategy)
    made.take_back(only_entries=False)

    resumed = desk(kept_of(entries))  # the cancel never reached the disk
    assert not resumed.owes
    resumed.take_back_these({name, "of another"})

    owed = resumed.withdraw_entries(())
    assert owed is not None
    assert owed.cancelled == (name,)


@pytest.mark.parametrize(("factor", "left"), [("0.5", 0.5), ("0", 0.0), ("0.25", 0.25)])
def test_a_cut_leaves_a_share_of_each_position_once_and_at_its_next_price(factor, left):
    made, strategy = desk(), Counting()
    for entry in play(made, strategy):
        held = {s: b.lots for s, b in made.venue.account.books.items() if b.lots}
        if entry.is_decided and held:
            break
    made.take_back(only_entries=False)
    made.cut("cut_1", Decimal(factor))
    made.cut("cut_1", Decimal(factor))  # heard twice
    made.withdraw_entries(())

    entries = list(play(made, strategy, paused=range(10**6)))

    cuts = [f for e in entries for f in e.fills if f.cause is Cause.HANDOVER]
    assert {each.symbol for each in cuts} <= set(held)
    for each in cuts:
        lots = abs(held[each.symbol])
        assert each.lots == lots - int(lots * left)
    assert len(cuts) == len({each.symbol for each in cuts}) > 0
    assert not made.tally.is_mid_bar


def test_a_cut_that_is_on_the_disk_is_gone_on_with_by_the_next_process():
    made, strategy = desk(), Counting()
    entries = []
    for entry in play(made, strategy):
        entries.append(entry)
        if entry.is_decided and any(b.lots for b in made.venue.account.books.values()):
            break
    made.cut("cut_1", Decimal(0))
    owed = made.withdraw_entries(())
    assert owed is not None

    resumed = desk(kept_of([*entries, owed]))
    resumed.cut("cut_1", Decimal(0))
    rest = list(play(resumed, strategy, paused=range(10**6)))

    assert any(f.cause is Cause.HANDOVER for each in rest for f in each.fills)
    assert resumed.is_flat
