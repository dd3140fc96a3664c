"""The local journal: what it tells after any history, and after a line that was torn."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core.errors import InvalidError
from strategy_engine.risk import past
from strategy_engine.risk.logbook import Logbook
from strategy_engine.risk.model import Action, Deed
from strategy_engine.risk.past import Past
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
HALT = replace(STOP, deed_id="halt_1", action=Action.HALT)


def told(*lines):
    found = Past()
    for each in lines:
        found = past.after(found, each)
    return found


def test_a_stop_is_in_force_until_it_is_reset_whether_rows_say_it_or_not():
    lines = [past.deed_line(STOP)]
    assert told(*lines).stops == [STOP]
    lines.append(past.mark_line(past.IMPORTED, "stop_1"))
    assert told(*lines).stops == [STOP]
    lines.append(past.mark_line(past.RESET, "stop_1"))
    assert told(*lines).stops == []


def test_a_deed_is_pending_until_rows_say_it():
    lines = [past.deed_line(STOP), past.deed_line(HALT)]
    assert told(*lines).pending == [STOP, HALT]
    assert told(*lines, past.mark_line(past.IMPORTED, "stop_1")).pending == [HALT]


def test_orders_that_were_taken_back_add_up_over_what_was_done_again():
    found = told(
        past.deed_line(STOP),
        past.done_line("stop_1", ["exec_1"], {"exec_1": ["a"]}),
        past.done_line("stop_1", ["exec_1", "exec_2"], {"exec_1": ["b"], "exec_2": ["c"]}),
        past.deed_line(HALT),
        past.done_line("halt_1", ["exec_1"], {"exec_1": ["d"]}),
    )
    assert found.withdrawn_of("exec_1") == {"a", "b", "d"}
    assert found.named["stop_1"] == {"exec_1", "exec_2"}


@pytest.mark.parametrize(
    "line", [None, [], {}, {"line": "deed"}, {"line": "done", "deed_id": "x"}, {"line": "x"}]
)
def test_what_is_no_line_is_refused(line):
    with pytest.raises(InvalidError):
        past.after(Past(), line)


def test_a_line_that_was_torn_is_passed_over_and_what_follows_it_is_read(tmp_path):
    book = Logbook(tmp_path / "journal")
    book.append(past.deed_line(STOP))
    with (tmp_path / "journal").open("ab") as torn:
        torn.write(json.dumps(past.deed_line(HALT)).encode()[:40])
    assert book.read().pending == [STOP]
    book.append(past.mark_line(past.RESET, "stop_1"))
    assert book.read().stops == []


@given(cut=st.integers(min_value=0))
def test_whatever_is_cut_off_the_end_what_was_whole_before_is_still_told(cut):
    lines = [past.deed_line(STOP), past.deed_line(HALT), past.mark_line(past.IMPORTED, "stop_1")]
    whole = [json.dumps(each).encode() + b"\n" for each in lines]
    text = b"".join(whole)
    kept = text[: len(text) - cut % (len(whole[-1]) + 1)]
    found, _ = past.read(kept)
    assert found.deeds == {"stop_1": STOP, "halt_1": HALT}


def test_a_journal_that_nobody_has_written_tells_nothing(tmp_path):
    assert Logbook(tmp_path / "journal").read() == Past()


def test_a_journal_is_nobody_elses_to_read_or_write(tmp_path):
    Logbook(tmp_path / "journal").append(past.deed_line(STOP))
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o600


def test_a_journal_that_is_written_anew_tells_the_same_of_what_matters(tmp_path):
    book = Logbook(tmp_path / "journal")
    over = replace(STOP, deed_id="stop_0")
    for line in (
        past.deed_line(over),
        past.mark_line(past.IMPORTED, "stop_0"),
        past.mark_line(past.RESET, "stop_0"),
        past.deed_line(STOP),
        past.done_line("stop_1", ["exec_1"], {"exec_1": ["a"]}),
        past.mark_line(past.IMPORTED, "stop_1"),
        past.deed_line(HALT),
    ):
        book.append(line)
    before = book.read()
    book.replace(past.compact(before, 1))
    after = book.read()
    assert (after.stops, after.pending) == (before.stops, before.pending)
    assert after.withdrawn_of("exec_1") == {"a"}
    assert "stop_0" not in after.deeds
