"""A history made of two tables: nothing twice, nothing lost, whatever the clocks say."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core.errors import InvalidError
from strategy_engine.infra import audit
from strategy_engine.pipeline.model import StageResult, Verdict
from strategy_engine.rollout import events
from strategy_engine.rollout.events import BEGINNING, Cursor, Kind

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS = st.lists(st.integers(0, 50), max_size=8)


def entry(second: int, action: str = "begin", **fields) -> audit.Entry:
    usual = {"from_state": "queued", "to_state": "running"}
    return audit.Entry(
        at=NOW + timedelta(seconds=second),
        actor="alice (1a2b)",
        subject_type="deployment",
        subject_id="pipe_1",
        action=action,
        **usual | fields,
    )


def result(stage: str = "backtest") -> StageResult:
    return StageResult(
        stage=stage,
        passed=True,
        verdict=Verdict.PASSED,
        duration_ms=4.0,
        message="27 trades",
        evidence={"trade_count": 27},
    )


def tables(done: list[int], finished: list[int]):
    rows = [(number, entry(second)) for number, second in enumerate(done, 1)]
    stages = [
        (number, NOW + timedelta(seconds=second), result())
        for number, second in enumerate(finished, 1)
    ]
    return rows, stages


@given(SECONDS, SECONDS)
def test_each_table_keeps_its_order_whatever_its_times_say(done, finished):
    found = events.in_order(*tables(done, finished), BEGINNING)

    mine = [each.cursor.audit_id for each in found if each.kind is not Kind.STAGE]
    stages = [each.cursor.stage_id for each in found if each.kind is Kind.STAGE]
    assert mine == list(range(1, len(done) + 1))
    assert stages == list(range(1, len(finished) + 1))


@given(SECONDS.map(sorted), SECONDS.map(sorted))
def test_where_no_clock_jumped_the_history_is_in_the_order_of_time(done, finished):
    times = [each.at for each in events.in_order(*tables(done, finished), BEGINNING)]

    assert times == sorted(times)


@given(SECONDS, SECONDS, st.integers(0, 16))
def test_who_comes_back_with_an_events_id_misses_nothing_and_gets_nothing_twice(done, finished, at):
    rows, stages = tables(done, finished)
    whole = events.in_order(rows, stages, BEGINNING)
    known = whole[: min(at, len(whole))]
    cursor = known[-1].cursor if known else BEGINNING

    later = events.in_order(
        [each for each in rows if each[0] > cursor.audit_id],
        [each for each in stages if each[0] > cursor.stage_id],
        cursor,
    )

    def named(found):
        return [
            (each.kind is Kind.STAGE, each.cursor.stage_id)
            if each.kind is Kind.STAGE
            else (False, each.cursor.audit_id)
            for each in found
        ]

    assert sorted(named(known) + named(later)) == sorted(named(whole))
    assert [each for each in whole if each.is_after(cursor)] == whole[len(known) :]


def test_an_event_tells_who_why_and_the_evidence():
    details = {"message": "queued by a person", "options": {"deployment_type": "direct"}}
    asked = entry(0, "request", from_state=None, to_state="queued", details=details)
    answered = entry(2, "approve", from_state=None, details={"comment": "checked"})
    rows = [(4, asked), (9, entry(1)), (12, answered)]

    first, begun, stage, approved = events.in_order(
        rows, [(3, NOW + timedelta(seconds=1), result())], BEGINNING
    )

    assert (first.kind, first.actor, first.message) == (
        Kind.ACTION,
        "alice (1a2b)",
        "queued by a person",
    )
    assert first.evidence == {"options": {"deployment_type": "direct"}}
    assert (begun.kind, begun.from_state, begun.to_state) == (Kind.STATE, "queued", "running")
    assert (stage.kind, stage.stage, stage.passed, stage.evidence) == (
        Kind.STAGE,
        "backtest",
        True,
        {"trade_count": 27},
    )
    assert (str(stage.cursor), str(approved.cursor)) == ("9-3", "12-3")
    assert approved.message == "checked"


def test_a_step_is_told_with_its_weight_verdict_reason_and_evidence():
    details = {
        "step": "weight_10",
        "weight": 0.1,
        "verdict": "promote",
        "reason": "no_evidence_of_harm",
        "message": "its time and decisions are over",
        "observation": {"decisions": 20, "loss": 0.001},
    }
    ended = entry(1, "step_ends", from_state=None, to_state="rolling_out", details=details)
    (found,) = events.in_order([(3, ended)], [], BEGINNING)
    assert (found.kind, found.action) == (Kind.STEP, "step_ends")
    assert (found.step, found.weight) == ("weight_10", 0.1)
    assert (found.verdict, found.reason) == ("promote", "no_evidence_of_harm")
    assert found.message == "its time and decisions are over"
    assert found.evidence == {"observation": {"decisions": 20, "loss": 0.001}}


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        *[(each, Kind.STEP) for each in ("step_begins", "step_ends", "held", "undo", "restored")],
        *[(each, Kind.ACTION) for each in ("pause", "promote", "retry", "request", "approve")],
    ],
)
def test_what_the_controller_does_is_of_a_step_and_what_people_do_an_action(action, kind):
    row = entry(1, action, from_state=None, to_state="rolling_out")
    (found,) = events.in_order([(3, row)], [], BEGINNING)
    assert found.kind is kind


@given(st.integers(0, 10**17), st.integers(0, 10**17))
def test_a_cursor_is_read_as_it_was_written(audit_id, stage_id):
    cursor = Cursor(audit_id=audit_id, stage_id=stage_id)

    assert Cursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize(
    "text", ["", "1", "-1-2", "1-2-3", "a-b", "1-" + "9" * 40, "\u0661-\u0662"]
)
def test_what_is_no_cursor_is_refused_with_what_to_send(text):
    with pytest.raises(InvalidError, match="send the id of an event"):
        Cursor.parse(text)
