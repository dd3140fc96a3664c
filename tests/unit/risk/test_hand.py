"""The hand over leashes that note what they are told: at once, once, and again after a crash."""

import threading
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from strategy_engine.core.clock import SystemClock
from strategy_engine.core.errors import InvalidError
from strategy_engine.execution.guard import Subject
from strategy_engine.execution.restraint import Restraint
from strategy_engine.risk.hand import Hand
from strategy_engine.risk.logbook import Logbook
from strategy_engine.risk.model import Action, Deed
from strategy_engine.venue.limits import Scope

NOW = datetime(2025, 8, 24, 10, 0, tzinfo=UTC)
STOP = Deed(
    deed_id="stop_1",
    action=Action.EMERGENCY_STOP,
    scope=Scope.ENGINE,
    subject="",
    reason="prices are wrong",
    actor="ann",
    at=NOW,
)
SUBJECT = Subject(execution_id="exec_1", strategy_id="strat_1", line="RSI", account="desk 7")
LINE_STOP = replace(STOP, deed_id="stop_2", scope=Scope.LINE, subject="RSI")


class Leash:
    """One execution with orders that wait; None of them are known before it is ready."""

    def __init__(self, subject: Subject | None, orders: tuple[str, ...] | None) -> None:
        self.subject = subject
        self.orders = orders
        self.held: list[Restraint] = []
        self.is_flat = True

    def hold(self, held_to: Restraint) -> tuple[str, ...] | None:
        self.held.append(held_to)
        gone, self.orders = self.orders, None if self.orders is None else ()
        return gone


@pytest.fixture
def book(tmp_path):
    return Logbook(tmp_path / "journal")


def hand_over(book, **leashes):
    return Hand(book, SystemClock(), leashes=lambda: leashes)


def test_a_stop_shuts_the_gate_and_takes_back_what_waits_of_all_in_its_scope(book):
    one, other = Leash(SUBJECT, ("a", "b")), Leash(replace(SUBJECT, line="MACD"), ("c",))
    hand = hand_over(book, exec_1=one, exec_2=other)
    done = hand.act(LINE_STOP)
    assert (done.executions, done.cancelled, done.open) == (("exec_1",), 2, ())
    assert hand.kill.find("exec_1", "RSI", "desk 7") is not None
    assert hand.kill.find("exec_2", "MACD", "desk 7") is None
    assert other.held == []


def test_the_gate_is_shut_before_anybody_is_asked_for_what_waits(book):
    seen = []

    class Looking(Leash):
        def hold(self, held_to):
            seen.append(hand.kill.find("exec_1", "RSI", "desk 7"))
            return super().hold(held_to)

    hand = hand_over(book, exec_1=Looking(SUBJECT, ()))
    hand.act(STOP)
    assert seen == ["emergency stop of the whole engine by ann: prices are wrong"]


def test_who_is_still_prepared_is_said_to_be_open_and_who_holds_something_to_hold_it(book):
    one, other = Leash(SUBJECT, None), Leash(SUBJECT, ())
    other.is_flat = False
    done = hand_over(book, exec_1=one, exec_2=other).act(STOP)
    assert (done.open, done.holding) == (("exec_1",), ("exec_2",))


def test_a_stop_holds_in_the_next_process_too_and_so_does_what_was_taken_back(book):
    hand_over(book, exec_1=Leash(SUBJECT, ("a",))).act(STOP)
    after = hand_over(book)
    assert after.kill.find("exec_1", "RSI", "desk 7") is not None
    assert after.withdrawn("exec_1") == {"a"}
    (held_to,) = after.restraints(SUBJECT)
    assert held_to.kills
    assert [each.deed_id for each in after.pending] == ["stop_1"]


def test_a_stop_that_is_asked_for_twice_is_written_once_and_held_again(book):
    leash = Leash(SUBJECT, ("a",))
    hand = hand_over(book, exec_1=leash)
    assert hand.act(STOP).cancelled == 1
    leash.orders = ("b",)
    assert hand.act(STOP).cancelled == 1
    assert len(hand.pending) == 1
    assert hand.withdrawn("exec_1") == {"a", "b"}


def test_a_reset_opens_the_gate_once_nothing_else_has_shut_it(book):
    hand = hand_over(book)
    again = replace(STOP, deed_id="stop_3", reason="and that too")
    hand.act(STOP)
    hand.act(again)
    hand.release("stop_3")
    assert "prices are wrong" in (hand.kill.find("exec_1", "RSI", "desk 7") or "")
    hand.release("stop_1")
    assert hand.kill.find("exec_1", "RSI", "desk 7") is None
    assert hand_over(book).kill.find("exec_1", "RSI", "desk 7") is None


def test_a_stop_that_was_reset_is_not_done_when_it_is_heard_of_again(book):
    hand = hand_over(book)
    hand.act(STOP)
    hand.release("stop_1")
    assert hand.act(STOP).executions == ()
    assert hand.kill.find("exec_1", "RSI", "desk 7") is None


def test_a_deed_that_rows_say_holds_nobody_by_memory_any_more(book):
    hand = hand_over(book)
    halt = replace(STOP, deed_id="halt_1", action=Action.HALT)
    hand.act(halt)
    assert [each.deed_id for each in hand.restraints(SUBJECT)] == ["halt_1"]
    hand.note_imported("halt_1")
    assert hand.restraints(SUBJECT) == ()
    assert hand.settled() == {"halt_1"}


def test_a_cut_is_owed_to_those_who_were_there_even_when_rows_say_it(book):
    cut = replace(STOP, deed_id="cut_1", action=Action.REDUCE, factor=Decimal("0.5"))
    hand_over(book, exec_1=Leash(SUBJECT, ())).act(cut)
    after = hand_over(book)
    after.note_imported("cut_1")
    (owed,) = after.restraints(SUBJECT)
    assert str(owed.reduce_factor) == "0.5"
    assert not owed.withdraws_entries
    assert after.restraints(replace(SUBJECT, execution_id="exec_9")) == ()


def test_what_makes_no_sense_is_refused_and_nothing_is_done(book):
    hand = hand_over(book)
    with pytest.raises(InvalidError):
        hand.act(replace(STOP, reason=""))
    assert hand.stops == []
    assert hand.pending == []


def test_a_disk_that_takes_nothing_keeps_nobody_from_stopping(tmp_path):
    folder = tmp_path / "journal"
    hand = hand_over(Logbook(folder), exec_1=Leash(SUBJECT, ("a",)))
    folder.mkdir()  # what cannot be opened for writing
    done = hand.act(STOP)
    assert (done.cancelled, done.is_journaled) == (1, False)
    assert hand.kill.find("exec_1", "RSI", "desk 7") is not None


def test_many_threads_may_ask_at_once(book):
    hand = hand_over(book, exec_1=Leash(SUBJECT, ("a",)))
    stops = [replace(STOP, deed_id=f"stop_{number}") for number in range(8)]
    threads = [threading.Thread(target=hand.act, args=(each,)) for each in stops]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert {each.deed_id for each in hand.stops} == {each.deed_id for each in stops}
    assert {each.deed_id for each in hand_over(book).stops} == {each.deed_id for each in stops}
