"""What risk does to a native execution between two bars: taken back, cut, flattened, killed."""

import itertools
import sys
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy_engine.matching.model import Cause
from strategy_engine.venue.kill import KillState
from strategy_engine.venue.limits import Scope
from strategy_engine.venue.model import RiskState
from strategy_engine.venue.oversight import Oversight, Who

sys.path.append(str(Path(__file__).parent))
from native_counting import EVENTS, SYMBOLS, Counting, begun, desk, kept_of, play, rows_of

ALWAYS = range(10**6)
WHO = Who(execution_id="exec_1", strategy_id="strat_1", line="RSI", account="main")


def until(made, strategy, is_so):
    """Play until a bar has ended and something is so; return the entries."""
    entries = []
    for entry in play(made, strategy):
        entries.append(entry)
        if entry.is_decided and is_so(made):
            return entries
    raise AssertionError("it never is so")


def held(made):
    positions = made.venue.book.positions
    return {each: positions[each].lots for each in SYMBOLS if positions[each].lots}


def waits(made):
    return bool(made.venue.open_names)


def fills_of(entries):
    return [fill for each in entries for fill in each.fills]


def cuts_of(entries):
    """Return the lots of the engine's own orders by instrument."""
    found = dict.fromkeys(SYMBOLS, 0)
    for each in fills_of(entries):
        if each.cause is Cause.HANDOVER:
            found[each.symbol] += each.lots
    return {symbol: lots for symbol, lots in found.items() if lots}


def test_what_is_taken_back_is_told_to_the_ledger_at_once_and_never_fills():
    made = desk()
    strategy = begun(made)
    before = until(made, strategy, waits)

    gone = made.take_back(only_entries=False)
    assert gone
    assert made.venue.open_names == frozenset()
    assert made.owes
    owed = made.withdraw_entries(())

    assert owed is not None
    assert owed.entry_no == before[-1].entry_no + 1
    assert not made.owes
    rows = rows_of([*before, owed]).order_changes
    ended = {each["changed_id"] for each in rows if each["new_status"] == "cancelled"}
    assert {f"exec_1-{name}" for name in gone} <= ended
    rest = list(play(made, strategy))
    filled = {each.order_id for each in fills_of(rest)}
    assert filled  # it goes on trading: nothing but those was taken back
    assert all(each.startswith("exec_1-") for each in filled)
    assert not filled & {f"exec_1-{name}" for name in gone}


@settings(max_examples=25, deadline=None)
@given(bars=st.integers(5, len(EVENTS) - 10))
def test_after_the_kill_switch_nothing_is_accepted_and_nothing_fills(bars):
    kill = KillState()
    made = desk(seat=Oversight(kill).seat(WHO, {}))
    strategy = begun(made)
    before = list(itertools.islice(play(made, strategy), bars))
    denied = made.venue.tape.denials

    kill.stop(Scope.LINE, "RSI", "prices are wrong")
    made.take_back(only_entries=False)
    before += [each for each in [made.withdraw_entries(())] if each is not None]
    rest = list(play(made, strategy))

    assert fills_of([each for each in rest if each.is_decided]) == []
    assert {each.cause for each in fills_of(rest)} == set()
    assert made.venue.open_names == frozenset()
    assert made.venue.tape.denials > denied
    orders = rows_of([*before, *rest]).orders
    codes = [each["denial_code"] for each in orders if each["denial_code"]]
    assert codes.count("killed") == made.venue.tape.denials - denied


def test_what_is_taken_back_but_not_on_the_disk_is_taken_back_by_the_next_process():
    made = desk()
    entries = until(made, begun(made), waits)
    gone = made.take_back(only_entries=False)  # the ledger never hears of it

    resumed = desk(kept_of(entries))
    assert not resumed.owes
    assert set(gone) <= resumed.venue.open_names
    resumed.take_back_these({*gone, "of another"})

    assert not resumed.venue.open_names & set(gone)
    owed = resumed.withdraw_entries(())
    assert owed is not None
    assert owed.entry_no == entries[-1].entry_no + 1


@pytest.mark.parametrize(("factor", "left"), [("0.5", 0.5), ("0", 0.0), ("0.25", 0.25)])
def test_a_cut_leaves_a_share_of_each_position_once_and_at_its_next_price(factor, left):
    made = desk()
    strategy = begun(made)
    until(made, strategy, held)
    before = held(made)
    made.take_back(only_entries=False)

    made.cut("cut_1", Decimal(factor))
    made.cut("cut_1", Decimal(factor))  # heard twice
    rest = list(play(made, strategy, paused=ALWAYS))

    assert cuts_of(rest) == {
        symbol: abs(lots) - int(abs(lots) * left) for symbol, lots in before.items()
    }
    assert {symbol: abs(lots) for symbol, lots in held(made).items()} == {
        symbol: int(abs(lots) * left) for symbol, lots in before.items() if int(abs(lots) * left)
    }


def test_a_cut_that_is_on_the_disk_is_gone_on_with_by_the_next_process():
    made = desk()
    entries = until(made, begun(made), held)
    before = held(made)
    made.cut("cut_1", Decimal(0))
    owed = made.withdraw_entries(())
    assert owed is not None

    resumed = desk(kept_of([*entries, owed]))
    resumed.cut("cut_1", Decimal(0))
    rest = list(play(resumed, paused=ALWAYS))

    assert cuts_of(rest) == {symbol: abs(lots) for symbol, lots in before.items()}
    assert held(resumed) == {}


def test_a_halted_one_is_flattened_at_its_next_prices_while_its_gate_is_shut():
    kill = KillState()
    made = desk(seat=Oversight(kill).seat(WHO, {}))
    strategy: Counting = begun(made)
    until(made, strategy, held)
    before = held(made)
    kill.stop(Scope.ENGINE, "", "prices are wrong")
    made.venue.gate.risk_state = RiskState.HALTED
    made.take_back(only_entries=False)
    made.withdraw_entries(())

    entries = []
    for event in EVENTS:
        if made.is_flat:
            break
        if not made.tally.is_before(event):
            continue
        entry = made.mark(event, cancel_entries=True, closes=SYMBOLS)
        entries += [] if entry is None else [entry]
        ended = made.conclude(event, None)
        entries += [] if ended is None else [ended]

    assert made.is_flat
    assert cuts_of(entries) == {symbol: abs(lots) for symbol, lots in before.items()}
    assert {each.cause for each in fills_of(entries)} == {Cause.HANDOVER}


def test_what_is_taken_back_while_a_strategy_is_asked_it_hears_of_with_its_next_bar():
    made = desk()
    strategy: Counting = begun(made)
    until(made, strategy, waits)
    first, then = [each for each in EVENTS if made.tally.is_before(each)][:2]
    made.mark(first)
    answer = strategy.act(made.message(first))

    gone = made.take_back(only_entries=False)
    made.conclude(first, answer)
    made.mark(then)
    told = msgspec.msgpack.decode(made.message(then).events)

    assert gone
    cancelled = {each["client_order_id"] for each in told if each["kind"] == "cancelled"}
    assert {*gone} <= cancelled
