"""Every verb in every state at every kind of step."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core.errors import ConflictError
from strategy_engine.rollout import plans, verbs
from strategy_engine.rollout.durations import Duration
from strategy_engine.rollout.model import (
    Approval,
    Deployment,
    DeploymentType,
    Options,
    Outcome,
    Progress,
    State,
    Undo,
)
from strategy_engine.rollout.plans import Kind, Step
from strategy_engine.rollout.verbs import Asked, Standing, Verb

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
ASKED = Asked(actor="alice", now=LATER, comment="because")
_K, _V = Kind, Verb

# One of each kind, in an order that a canary could have.
STEPS = (
    Step(kind=_K.PREPARE),
    Step(kind=_K.SHADOW, min_decisions=20),
    Step(kind=_K.WEIGHT, weight=0.1, lasts=Duration(seconds=30)),
    Step(kind=_K.ANALYSIS, weight=0.1, requires_analysis=True),
    Step(kind=_K.APPROVAL, weight=0.1),
    Step(kind=_K.SWITCH, weight=1.0),
    Step(kind=_K.HAND_OVER, weight=1.0),
    Step(kind=_K.PAUSE, weight=1.0, lasts=Duration(seconds=60)),
    Step(kind=_K.FINISH, weight=1.0),
)
AT = {step.kind: number for number, step in enumerate(STEPS)}
UNDO = Undo(reason="mismatch", why="2 of 50 differ", actor="engine", decided_at=NOW)


def deployment(state=State.ROLLING_OUT, *, steps=STEPS, **progress):
    return Deployment(
        pipeline_id="pipe_1",
        strategy_id="strat_2",
        strategy_name="RSI",
        options=Options(),
        stages=("syntax_check",),
        left_out=(),
        requested_by="bob",
        created_at=NOW,
        state=state,
        plan=tuple(plans.to_plain(steps)),
        replaces=("exec_1",),
        progress=Progress(began_at=NOW, candidate="exec_2", **progress),
    )


def at(kind, **progress):
    return deployment(index=AT[kind], **progress)


def done_by(before, verb, asked=ASKED):
    """Return in one word what a verb does: refused, same, or what changed."""
    try:
        after = verbs.after(before, verb, asked)
    except ConflictError:
        return "refused"
    return "same" if after == before else changed(before, after)


def changed(before, after):
    was, now = before.progress, after.progress
    if now.undo is not None:
        return f"undo {now.undo.reason}"
    if now.index != was.index:
        return f"to {now.index}"
    if now.approved != was.approved or after.approval is not None:
        return "answered"
    if now.waived_by != was.waived_by:
        return "waived"
    return f"held by {now.held_by}" if now.held_by else "lifted"


# What each verb does at each step of STEPS, in its order:
# prepare, shadow, weight, analysis, approval, switch, hand_over, pause, finish
_NO, _SAME = "refused", "same"
ROLLING = {
    _V.PROMOTE: (_NO, "waived", "waived", "waived", _NO, _NO, _NO, "waived", _NO),
    _V.PROMOTE_FULL: (_NO, _NO, _NO, _NO, _NO, _SAME, _SAME, _SAME, _SAME),
    _V.SKIP_STEP: (_NO, "to 2", "to 3", "to 4", _NO, _NO, _NO, "to 8", _NO),
    _V.PAUSE: ("held by alice",) * 9,
    _V.RESUME: (_SAME,) * 9,
    _V.ABORT: ("undo aborted",) * 9,
    _V.ROLLBACK: ("undo rolled_back",) * 9,
    _V.RETRY: (_NO,) * 9,
    _V.APPROVE: (_NO, _NO, _NO, _NO, "answered", _NO, _NO, _NO, _NO),
    _V.REJECT: (_NO, _NO, _NO, _NO, "undo rejected", _NO, _NO, _NO, _NO),
}
APPROVED = {  # the same, with the approval given already
    **ROLLING,
    _V.PROMOTE_FULL: (_NO, "to 5", "to 5", "to 5", "to 5", _SAME, _SAME, _SAME, _SAME),
    _V.APPROVE: (_NO, _NO, _NO, _NO, _SAME, _NO, _NO, _NO, _NO),
    _V.REJECT: (_NO,) * 9,
}
HELD = {  # the same, held by the engine
    **ROLLING,
    _V.RESUME: ("lifted",) * 9,
}
UNDONE = {  # while it is being undone
    verb: (_SAME if verb in {_V.ABORT, _V.ROLLBACK} else _NO,) * 9 for verb in Verb
}


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize(
    ("table", "progress"),
    [
        (ROLLING, {}),
        (APPROVED, {"approved": (AT[_K.APPROVAL],)}),
        (HELD, {"held_by": "engine", "held_why": "not measured: loss"}),
        (UNDONE, {"undo": UNDO}),
    ],
    ids=["rolling", "approved", "held", "undone"],
)
def test_what_a_verb_does_at_each_step_of_a_rollout(table, progress, verb):
    found = [done_by(deployment(index=number, **progress), verb) for number in range(9)]
    assert found == list(table[verb])


# Before, and after, it rolls out: queued, running, awaiting_approval, completed, failed
STATES = (State.QUEUED, State.RUNNING, State.AWAITING_APPROVAL, State.COMPLETED, State.FAILED)
ELSEWHERE = dict.fromkeys(Verb, (_NO,) * 5) | {
    _V.ABORT: ("undo aborted", "undo aborted", "undo aborted", _NO, _NO),
    _V.APPROVE: (_NO, _NO, "answered", _NO, _NO),
    _V.REJECT: (_NO, _NO, "answered", _NO, _NO),
    _V.RETRY: (_NO, _NO, _NO, _NO, _SAME),
}


@pytest.mark.parametrize("verb", Verb)
def test_what_a_verb_does_where_nothing_rolls_out(verb):
    assert [done_by(deployment(state), verb) for state in STATES] == list(ELSEWHERE[verb])


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.AWAITING_APPROVAL])
def test_an_abort_before_anything_is_placed_ends_it_at_once_and_once(state):
    ended = verbs.after(deployment(state), _V.ABORT, ASKED)

    assert (ended.state, ended.outcome) == (State.FAILED, Outcome.ABORTED)
    assert (ended.message, ended.ended_at) == ("aborted by alice: because", LATER)
    assert ended.progress.undo.restored_at == LATER
    assert verbs.after(ended, _V.ABORT, replace(ASKED, actor="bob")) == ended


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize("index", range(9))
def test_a_verb_that_is_said_again_changes_nothing_more(verb, index):
    before = deployment(index=index)
    if done_by(before, verb) == "refused":
        return
    named = replace(ASKED, step=index)
    once = verbs.after(before, verb, named)
    assert verbs.after(once, verb, replace(named, now=LATER + timedelta(hours=1))) == once


@pytest.mark.parametrize("verb", [_V.PROMOTE, _V.SKIP_STEP, _V.PROMOTE_FULL, _V.APPROVE])
def test_a_verb_that_comes_after_its_step_has_passed_does_nothing_to_the_next(verb):
    before = at(_K.ANALYSIS, approved=(AT[_K.APPROVAL],))
    assert verbs.after(before, verb, replace(ASKED, step=AT[_K.WEIGHT])) == before


@pytest.mark.parametrize("verb", [_V.PROMOTE, _V.SKIP_STEP, _V.PROMOTE_FULL, _V.APPROVE])
def test_a_verb_for_a_step_to_come_is_refused(verb):
    with pytest.raises(ConflictError, match=r"is at step 2 \(weight_10\), not at 4"):
        verbs.after(at(_K.WEIGHT), verb, replace(ASKED, step=4))


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize("state", State)
def test_a_refusal_says_what_is_possible_and_that_is(verb, state):
    before = deployment(state, index=AT[_K.WEIGHT])
    try:
        verbs.after(before, verb, ASKED)
    except ConflictError as refused:
        accepted = [Verb(each) for each in refused.facts["accepted"]]
        assert refused.facts["state"] == state.value
        assert verb not in accepted
        for each in accepted:
            assert each.value in str(refused)
            assert done_by(before, each) != "refused"
    else:
        assert done_by(before, verb) != "refused"


def test_a_promoted_step_lifts_its_hold_and_says_who_waived_its_gate():
    held = at(_K.ANALYSIS, held_by="engine", held_why="inconclusive")
    progress = verbs.after(held, _V.PROMOTE, ASKED).progress
    assert (progress.waived_by, progress.held_by, progress.held_why) == ("alice", "", "")


@pytest.mark.parametrize(("held_by", "stays"), [("engine", ""), ("carol", "carol"), ("", "")])
def test_a_skipped_step_begins_the_next_anew_and_a_persons_hold_stays(held_by, stays):
    before = at(
        _K.WEIGHT,
        reached_at=NOW,
        bars_at=7,
        message="30 of 60 s",
        baseline="exec_3",
        switched=(1,),
        held_by=held_by,
    )
    progress = verbs.after(before, _V.SKIP_STEP, ASKED).progress
    assert progress == Progress(
        index=3,
        candidate="exec_2",
        baseline="exec_3",
        switched=(1,),
        skipped=(2,),
        held_by=stays,
    )


def test_promoting_in_full_leaves_out_every_step_before_the_switch():
    before = at(_K.WEIGHT, approved=(AT[_K.APPROVAL],))
    after = verbs.after(before, _V.PROMOTE_FULL, ASKED)
    assert after.progress.index == AT[_K.SWITCH]
    assert after.progress.skipped == (2, 3, 4)
    assert after.plan == before.plan


def test_promoting_a_rolling_one_in_full_waives_every_gate_but_switches_batch_by_batch():
    asked = Options(deployment_type=DeploymentType.ROLLING, requires_analysis=True)
    steps = plans.plan(asked, ("A.SIM", "B.SIM"), replaces=True)
    before = deployment(steps=steps, index=3)
    after = verbs.after(before, _V.PROMOTE_FULL, ASKED)
    plan = plans.from_plain(after.plan)
    assert [each.name for each in plan] == [each.name for each in steps]
    watched = [each for each in plan if each.kind is _K.PAUSE]
    assert len(watched) == 2
    for each in watched:
        assert each.lasts.is_over(elapsed_s=0, bars=0)
        assert (each.min_decisions, each.requires_analysis) == (0, False)
    assert (after.progress.index, after.progress.waived_by) == (3, "alice")
    assert verbs.after(after, _V.PROMOTE_FULL, ASKED) == after


def test_an_approval_on_the_way_is_not_jumped_over():
    with pytest.raises(ConflictError, match="approval at step 4 that nobody has given"):
        verbs.after(at(_K.WEIGHT), _V.PROMOTE_FULL, ASKED)


def test_resuming_gives_what_it_waits_for_its_whole_time_again():
    held = at(_K.HAND_OVER, held_by="engine", held_why="still holds a position")
    progress = verbs.after(held, _V.RESUME, ASKED).progress
    assert (progress.held_by, progress.held_why, progress.began_at) == ("", "", LATER)


def test_a_persons_pause_stands_over_the_engines_but_not_over_anothers():
    held = at(_K.WEIGHT, held_by="engine", held_why="not measured")
    mine = verbs.after(held, _V.PAUSE, ASKED)
    assert (mine.progress.held_by, mine.progress.held_why) == ("alice", "because")
    assert verbs.after(mine, _V.PAUSE, replace(ASKED, actor="carol")) == mine
    silent = verbs.after(held, _V.PAUSE, replace(ASKED, comment=""))
    assert silent.progress.held_why == "paused by alice"


def test_an_undo_says_who_why_and_when():
    after = verbs.after(at(_K.WEIGHT, held_by="bob"), _V.ABORT, ASKED)
    assert (after.current_stage, after.progress.message) == ("undo", "aborted by alice: because")
    assert after.progress.undo == Undo(
        reason="aborted", why="aborted by alice: because", actor="alice", decided_at=LATER
    )


BEFORE_STEPS = deployment(State.AWAITING_APPROVAL)


@pytest.mark.parametrize("before", [BEFORE_STEPS, at(_K.APPROVAL)], ids=["validated", "step"])
def test_who_asked_does_not_approve_where_keys_are_in_use(before):
    own = replace(ASKED, actor="bob")
    with pytest.raises(ConflictError, match="who asks does not approve"):
        verbs.after(before, _V.APPROVE, own)
    assert done_by(before, _V.APPROVE, replace(own, is_local=True)) == "answered"
    assert done_by(before, _V.REJECT, own) in {"answered", "undo rejected"}


def test_an_answer_says_whose_it_is_and_whether_anybody_could_tell():
    assert verbs.after(BEFORE_STEPS, _V.APPROVE, replace(ASKED, is_local=True)).approval == (
        Approval(approved=True, actor="alice", comment="because", at=LATER, is_unchecked=True)
    )


@pytest.mark.parametrize(
    ("given_answer", "again", "other"),
    [(_V.APPROVE, _V.APPROVE, _V.REJECT), (_V.REJECT, _V.REJECT, _V.APPROVE)],
)
@pytest.mark.parametrize("before", [BEFORE_STEPS, at(_K.APPROVAL)], ids=["validated", "step"])
def test_the_same_answer_again_is_no_error_and_the_other_one_is(before, given_answer, again, other):
    once = verbs.after(before, given_answer, ASKED)
    assert verbs.after(once, again, replace(ASKED, actor="carol")) == once
    assert done_by(once, other) == "refused"


COMPLETED = replace(deployment(State.COMPLETED), outcome=Outcome.PROMOTED)
WARM = replace(COMPLETED, progress=Progress(warm_until=LATER + timedelta(seconds=1)))
COLD = replace(COMPLETED, progress=Progress(warm_until=LATER))


@pytest.mark.parametrize(
    ("before", "standing", "why"),
    [
        (WARM, Standing(), ""),
        (WARM, Standing(gone="its version is archived"), ""),
        (WARM, Standing(superseded="version 3 runs"), "version 3 runs"),
        (COLD, Standing(), ""),
        (COLD, Standing(gone="its version is archived"), "its version is archived"),
        (COMPLETED, Standing(gone="its version is archived"), "its version is archived"),
        (replace(COMPLETED, replaces=()), Standing(), "replaced no version"),
        (replace(COMPLETED, outcome=Outcome.REVALIDATED), Standing(), "replaced no version"),
    ],
)
def test_a_completed_one_is_taken_back_while_the_version_before_it_can_take_over(
    before, standing, why
):
    if why:
        with pytest.raises(ConflictError, match=why):
            verbs.after(before, _V.ROLLBACK, ASKED, standing)
        return
    after = verbs.after(before, _V.ROLLBACK, ASKED, standing)
    assert (after.state, after.outcome) == (State.COMPLETED, Outcome.PROMOTED)
    assert after.progress.undo.reason == "rolled_back"
    assert verbs.after(after, _V.ROLLBACK, ASKED, Standing(superseded="any")) == after


def test_what_was_taken_back_after_its_end_can_be_tried_again_once_that_is_done():
    going_on = replace(COMPLETED, progress=Progress(undo=UNDO))
    assert done_by(going_on, _V.RETRY) == "refused"
    assert done_by(replace(going_on, outcome=Outcome.ROLLED_BACK), _V.RETRY) == "same"


def test_before_there_is_a_plan_a_rollout_can_be_held_and_undone_only():
    before = deployment(steps=())
    able = {verb for verb in Verb if done_by(before, verb) not in {"refused", "same"}}
    assert able == {_V.PAUSE, _V.ABORT, _V.ROLLBACK}


@given(st.lists(st.sampled_from(Verb), max_size=12), st.integers(0, 8))
def test_whatever_is_said_no_verb_makes_a_switch_or_passes_what_must_be_done(said, index):
    now = deployment(index=index)
    for verb in said:
        try:
            after = verbs.after(now, verb, ASKED)
        except ConflictError:
            continue
        passed = {STEPS[number].kind for number in range(now.progress.index, after.progress.index)}
        assert after.progress.index >= now.progress.index
        assert not passed & {_K.PREPARE, _K.SWITCH, _K.HAND_OVER, _K.FINISH}
        if _K.APPROVAL in passed:
            assert AT[_K.APPROVAL] in after.progress.approved
        assert after.progress.switched == now.progress.switched
        assert after.state is now.state
        now = after
