"""What follows from a look at a rollout, as a table."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from strategy_engine.execution import faults
from strategy_engine.execution.model import (
    COMPLETED,
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Role,
)
from strategy_engine.rollout import moves
from strategy_engine.rollout.durations import Duration
from strategy_engine.rollout.model import Options, Progress
from strategy_engine.rollout.moves import Look, Member
from strategy_engine.rollout.plans import Kind, Step
from strategy_engine.rollout.readiness import Readiness, Standing
from strategy_engine.rollout.rules import Bounds, Observation, Reason, Verdict
from strategy_engine.sandbox.model import ChildDiedError, ChildExit, ExitKind
from strategy_engine.sandbox.rules import silent
from strategy_engine.venue.model import RiskState

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOUND = Observation(
    elapsed_s=60.0,
    decisions=50,
    silence_s=0.0,
    orders=4,
    rejects=0,
    compared=50,
    mismatches=0,
    loss=0.0,
    restarts=0,
)
WEIGHT = Step(kind=Kind.WEIGHT, weight=0.1, lasts=Duration(seconds=30), min_decisions=20)


def execution(**changes):
    given = {
        "execution_id": "exec_new",
        "strategy_id": "strat_new",
        "role": Role.CANDIDATE,
        "status": ExecutionStatus.RUNNING,
        "desired": Desired.RUN,
        "config": ExecutionConfig(),
        "capital": Decimal(5_000),
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Execution(**given | changes)


def member(**changes):
    return Member(execution=execution(**changes), account=None)


def look(step, *, ago_s=60.0, at=None, **changes):
    progress = Progress(began_at=NOW - timedelta(seconds=ago_s), **(at or {}))
    given = {
        "step": step,
        "progress": progress,
        "options": Options(progress_deadline="10m", handover_deadline_s=300.0),
        "bounds": Bounds(),
        "now": NOW,
        "candidate": member(),
        "observation": SOUND,
        "is_in_place": True,
    }
    return Look(**given | changes)


def other(**changes):
    fields = {name: getattr(SOUND, name) for name in Observation.__slots__}
    return Observation(**fields | changes)


PREPARE, SHADOW = Step(kind=Kind.PREPARE), Step(kind=Kind.SHADOW, min_decisions=20)
SWITCH, HAND_OVER = Step(kind=Kind.SWITCH, weight=1.0), Step(kind=Kind.HAND_OVER, weight=1.0)
APPROVAL = Step(kind=Kind.APPROVAL)
NOT_YET = Readiness(standing=Standing.NOT_YET, message="3 of 20 decisions compared")
READY = Readiness(standing=Standing.READY, message="20 decisions compared")
NEVER = Readiness(standing=Standing.NEVER, message="2 of 20 decisions differ")

ROWS = {
    "a version that is being started is waited for": (
        look(PREPARE, candidate=None, observation=None),
        (Verdict.HOLD, Reason.WAITS),
    ),
    "one that is not ready is waited for": (
        look(PREPARE, ready=NOT_YET),
        (Verdict.HOLD, Reason.WAITS),
    ),
    "one that is ready goes on": (look(PREPARE, ready=READY), (Verdict.PROMOTE, Reason.READY)),
    "one that is never ready is undone": (
        look(PREPARE, ready=NOT_YET, ago_s=601),
        (Verdict.ABORT, Reason.NOT_READY),
    ),
    "one that can never be ready is undone at once": (
        look(PREPARE, ready=NEVER, ago_s=1),
        (Verdict.ABORT, Reason.NOT_READY),
    ),
    "one that has failed is undone, ready or not": (
        look(PREPARE, ready=READY, observation=other(failure="ValueError: x")),
        (Verdict.ABORT, Reason.FAILED),
    ),
    "a shadow that has decided enough goes on": (
        look(SHADOW),
        (Verdict.PROMOTE, Reason.NO_EVIDENCE_OF_HARM),
    ),
    "a weight that is not in place is waited for": (
        look(WEIGHT, is_in_place=False),
        (Verdict.HOLD, Reason.WAITS),
    ),
    "a weight that never comes holds for a person": (
        look(WEIGHT, is_in_place=False, ago_s=601),
        (Verdict.PAUSE, Reason.STALLED),
    ),
    "a weight too young is held": (
        look(WEIGHT, observation=other(elapsed_s=29.0)),
        (Verdict.HOLD, Reason.TOO_EARLY),
    ),
    "a weight with too few decisions is held": (
        look(WEIGHT, observation=other(decisions=19)),
        (Verdict.HOLD, Reason.TOO_EARLY),
    ),
    "one that decides nothing at all holds for a person": (
        look(WEIGHT, observation=other(decisions=0), ago_s=631),
        (Verdict.PAUSE, Reason.STALLED),
    ),
    "a loss beyond the budget undoes it at once": (
        look(WEIGHT, observation=other(elapsed_s=1.0, loss=0.03)),
        (Verdict.ABORT, Reason.LOSS_BUDGET),
    ),
    "what is not measured holds": (
        look(WEIGHT, observation=other(mismatches=None)),
        (Verdict.PAUSE, Reason.UNMEASURED),
    ),
    "an approval is waited for": (look(APPROVAL), (Verdict.HOLD, Reason.AWAITS_APPROVAL)),
    "an approval goes on": (
        look(APPROVAL, at={"approved": (0,)}),
        (Verdict.PROMOTE, Reason.APPROVED),
    ),
    "a switch is waited for": (look(SWITCH, is_in_place=False), (Verdict.HOLD, Reason.WAITS)),
    "a switch that is made goes on": (look(SWITCH), (Verdict.PROMOTE, Reason.SWITCHED)),
    "a switch that is never made is undone": (
        look(SWITCH, is_in_place=False, ago_s=601),
        (Verdict.ABORT, Reason.STUCK),
    ),
    "what is held is waited for": (look(HAND_OVER), (Verdict.HOLD, Reason.WAITS)),
    "capital that is not handed on is waited for": (
        look(HAND_OVER, is_let_go=True, is_in_place=False),
        (Verdict.HOLD, Reason.WAITS),
    ),
    "what is let go and handed on goes on": (
        look(HAND_OVER, is_let_go=True),
        (Verdict.PROMOTE, Reason.HANDED_OVER),
    ),
    "a position that does not close holds for a person": (
        look(HAND_OVER, ago_s=361),
        (Verdict.PAUSE, Reason.STUCK),
    ),
    "a feed that ends before the rollout undoes it": (
        look(
            WEIGHT,
            candidate=member(status=ExecutionStatus.STOPPED, end_reason=COMPLETED),
        ),
        (Verdict.ABORT, Reason.FEED_OVER),
    ),
    "a version that is paused proves nothing": (
        look(WEIGHT, still="the new version is paused"),
        (Verdict.HOLD, Reason.WAITS),
    ),
    "nor one that is about to be": (
        look(SHADOW, still="the new version is paused", at={"waived_by": "ann"}),
        (Verdict.HOLD, Reason.WAITS),
    ),
    "nor does one that is paused get the line": (
        look(SWITCH, still="the new version is paused", is_in_place=False, ago_s=601),
        (Verdict.HOLD, Reason.WAITS),
    ),
    "one that is paused and fails is undone": (
        look(
            WEIGHT,
            still="the new version is paused",
            observation=other(failure="ValueError: x"),
        ),
        (Verdict.ABORT, Reason.FAILED),
    ),
    "one that nothing is left beside holds for a person": (
        look(WEIGHT, gone="it was stopped"),
        (Verdict.PAUSE, Reason.STABLE_GONE),
    ),
    "who lets it go on all the same is heard": (
        look(WEIGHT, gone="it was stopped", at={"waived_by": "ann"}),
        (Verdict.PROMOTE, Reason.WAIVED),
    ),
    "once it has the line nothing needs to be beside it": (
        look(SHADOW, gone="it was stopped", at={"switched": (2,)}),
        (Verdict.PROMOTE, Reason.NO_EVIDENCE_OF_HARM),
    ),
    "one that all is handed to and nothing has come to is undone": (
        look(
            HAND_OVER,
            gone="it was stopped",
            is_let_go=True,
            candidate=member(capital=Decimal(0)),
        ),
        (Verdict.ABORT, Reason.STUCK),
    ),
}


@pytest.mark.parametrize(("seen", "expected"), ROWS.values(), ids=ROWS)
def test_what_follows_from_a_look(seen, expected):
    ruling = moves.next_move(seen)
    assert (ruling.verdict, ruling.reason) == expected


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("paused", [{"desired": Desired.PAUSE}, {"status": ExecutionStatus.PAUSED}])
def test_a_step_stands_still_while_what_it_watches_decides_nothing(kind, paused):
    step, before = Step(kind=kind, weight=0.5), member(execution_id="exec_old")
    watches = kind in moves.WAIVABLE

    assert moves.stands_still(step, member(), (before,)) == ""
    assert moves.stands_still(step, None, ()) == ""
    mine = moves.stands_still(step, member(**paused), ())
    assert ("new version is paused" in mine) is (watches or kind is Kind.SWITCH)
    told = moves.stands_still(
        step, member(), (before, member(execution_id="exec_base", role=Role.BASELINE, **paused))
    )
    assert "exec_base (baseline)" in told
    assert "exec_old" not in told


@pytest.mark.parametrize(
    ("held", "seen", "expected"),
    [
        ({"held_by": "engine", "held_for": "unmeasured"}, SOUND, True),
        ({"held_by": "engine", "held_for": "unmeasured"}, other(mismatches=None), False),
        ({"held_by": "engine", "held_for": "unmeasured"}, None, False),
        ({"held_by": "engine", "held_for": "inconclusive"}, SOUND, False),
        ({"held_by": "engine", "held_for": "stalled"}, SOUND, False),
        ({"held_by": "engine", "held_for": "loss_budget"}, SOUND, False),
        ({"held_by": "ann", "held_for": ""}, SOUND, False),
        ({}, SOUND, False),
    ],
)
def test_the_engine_lifts_only_its_own_hold_for_what_was_not_measured(held, seen, expected):
    assert moves.is_measured_again(Progress(**held), seen) is expected


@pytest.mark.parametrize("kind", Kind)
def test_harm_undoes_every_step(kind):
    step = Step(kind=kind, weight=0.5)
    harmed = look(step, observation=other(failure="it raised"), ready=READY, is_let_go=True)
    assert moves.next_move(harmed).verdict is Verdict.ABORT


@pytest.mark.parametrize("kind", sorted(moves.WAIVABLE))
def test_who_waives_a_gate_lets_the_step_go_on_but_not_past_harm(kind):
    step = Step(kind=kind, weight=0.5, lasts=Duration(seconds=3_600), min_decisions=500)
    waived = {"waived_by": "ann"}
    assert moves.next_move(look(step, at=waived)).reason is Reason.WAIVED
    assert moves.next_move(look(step, at=waived, is_in_place=False)).verdict is Verdict.HOLD
    harmed = look(step, at=waived, observation=other(loss=0.5))
    assert moves.next_move(harmed).reason is Reason.LOSS_BUDGET


@pytest.mark.parametrize("kind", [Kind.PREPARE, Kind.SWITCH, Kind.HAND_OVER])
def test_nobody_waives_what_must_be_so(kind):
    step = Step(kind=kind, weight=1.0)
    waived = look(step, at={"waived_by": "ann"}, is_in_place=False, ready=NOT_YET)
    assert moves.next_move(waived).verdict is Verdict.HOLD


def test_a_deadline_in_bars_counts_what_was_decided():
    options = Options(progress_deadline="100 bars")
    seen = look(PREPARE, options=options, ready=NOT_YET, ago_s=1e6)
    assert moves.next_move(seen).verdict is Verdict.HOLD
    late = look(PREPARE, options=options, ready=NOT_YET, observation=other(decisions=101))
    assert moves.next_move(late).reason is Reason.NOT_READY


FAILURES = {
    "a failure that is being cleared up": (member(failure="ValueError: x\nline 2"), "ValueError"),
    "an error": (member(status=ExecutionStatus.ERROR, error="it was killed"), "it was killed"),
    "a stop by somebody": (
        member(status=ExecutionStatus.STOPPED, end_reason="stopped"),
        "its execution was stopped: stopped",
    ),
    "the end of its feed is none": (
        member(status=ExecutionStatus.STOPPED, end_reason=COMPLETED),
        "",
    ),
    "running is none": (member(), ""),
}


@pytest.mark.parametrize(("one", "expected"), FAILURES.values(), ids=FAILURES)
def test_what_went_wrong_with_a_member(one, expected):
    assert one.failure.startswith(expected)
    assert bool(one.failure) is bool(expected)
    assert "\n" not in one.failure


@pytest.mark.parametrize(
    ("changes", "is_by_risk"),
    [
        ({"desired": Desired.PAUSE, "desired_why": "risk.pause: it lost too much"}, True),
        ({"desired": Desired.FLATTEN, "desired_why": "risk.halt: drawdown"}, True),
        ({"risk_state": RiskState.REDUCING}, True),
        ({"desired": Desired.PAUSE, "desired_why": "somebody looks at it"}, False),
        ({"desired": Desired.PAUSE}, False),
        (
            {
                "risk_state": RiskState.HALTED,
                "desired_why": "emergency stop of line RSI by ann: a test",
            },
            False,
        ),
        ({}, False),
    ],
)
def test_what_risk_holds_back_is_told_from_what_a_person_does(changes, is_by_risk):
    assert bool(member(**changes).risk) is is_by_risk


def test_a_process_that_gives_no_answer_is_mute_and_a_strategy_that_only_says_so_is_not():
    ended = ChildExit(
        kind=ExitKind.SILENT, reason=silent(1.0).reason, status=-9, rss_bytes=0, cpu_s=1.0
    )
    mute = member(failure=faults.explain(_labelled(ended), restarts=3))
    assert mute.is_mute
    assert not member(failure=f"decide: ValueError: x: {ended.reason}").is_mute
    assert not member(failure=f"decide: ValueError: {ended.reason}").is_mute
    assert not member().is_mute


def _labelled(ended):
    return ChildDiedError(replace(ended, reason=f"exec_new: {ended.reason}"))
