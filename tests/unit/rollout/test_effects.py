"""What a verb says beforehand that it would do to positions and orders."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core.errors import ConflictError
from strategy_engine.execution.model import (
    Closing,
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Role,
)
from strategy_engine.rollout import effects, plans, verbs
from strategy_engine.rollout.effects import Closes, Holder, Opens
from strategy_engine.rollout.model import (
    Deployment,
    DeploymentType,
    Handover,
    Options,
    Outcome,
    Progress,
    State,
)
from strategy_engine.rollout.verbs import Asked, Verb
from strategy_engine.venue.accounts import AccountNow

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ASKED = Asked(actor="alice", now=NOW)
SYMBOLS = ("A.SIM", "B.SIM")


def holder(name, role, equity=0, *, waiting=0, ended=False, **positions):
    execution = Execution(
        execution_id=name,
        strategy_id=f"strat_of_{name}",
        role=role,
        status=ExecutionStatus.STOPPED if ended else ExecutionStatus.RUNNING,
        desired=Desired.RUN,
        config=ExecutionConfig(),
        capital=Decimal(5_000),
        created_at=NOW,
        updated_at=NOW,
    )
    account = AccountNow(
        execution_id=name,
        contributed=Decimal(equity),
        equity=Decimal(equity),
        cash=Decimal(equity),
        free=Decimal(equity),
        is_flat=not positions,
        close_ns=1,
        bar_no=30,
        entry_no=30,
        fill_count=0,
        order_count=0,
        denied_count=0,
        slippage_bps=None,
        waiting_entries=waiting,
    )
    held = {f"{symbol}.SIM": Decimal(quantity) for symbol, quantity in positions.items()}
    return Holder(execution=execution, account=account, positions=held)


STABLE = holder("exec_old", Role.STABLE, 80_000, waiting=2, A=300, B=-5)
NEW = holder("exec_new", Role.CANDIDATE, 10_000, waiting=1, A=7)
BESIDE = holder("exec_base", Role.BASELINE, 10_000)
LINE = [STABLE, NEW, BESIDE]


def deployment(kind=DeploymentType.CANARY, *, index, state=State.ROLLING_OUT, **options):
    asked = Options(deployment_type=kind, **options)
    return Deployment(
        pipeline_id="pipe_1",
        strategy_id="strat_of_exec_new",
        strategy_name="RSI",
        options=asked,
        stages=(),
        left_out=(),
        requested_by="bob",
        created_at=NOW,
        state=state,
        plan=tuple(plans.to_plain(plans.plan(asked, SYMBOLS, replaces=True))),
        replaces=("exec_old",),
        progress=Progress(
            index=index,
            began_at=NOW,
            candidate="exec_new",
            baseline="exec_base",
            capital=Decimal(100_000),
        ),
    )


def foreseen(before, verb, holders=LINE):
    after = verbs.after(before, verb, ASKED)
    return effects.of(verb, before, after, holders)


def capital_of(found):
    return {each.execution_id: (each.capital_from, each.capital_to) for each in found.executions}


def test_promoting_a_share_tells_what_each_is_to_have_and_that_nothing_is_closed():
    found = foreseen(deployment(index=3), Verb.PROMOTE)  # at 10 %, the next step is 25 %
    assert capital_of(found) == {
        "exec_old": (80_000, 50_000),
        "exec_new": (10_000, 25_000),
        "exec_base": (10_000, 25_000),
    }
    assert {each.closes for each in found.executions} == {Closes.NOTHING}
    assert {each.opens for each in found.executions} == {Opens.YES}
    assert sum(each.cancels for each in found.executions) == 0
    told = " ".join(found.sentences)
    assert "weight_25" in told
    assert "of the line's 100,000.00 the new version has 25.00%, 25,000.00" in told
    assert "its baseline the same" in told


@pytest.mark.parametrize(
    ("handover", "closes", "how"),
    [
        (Handover.RUN_OFF, Closes.OWN_EXITS, "by its own exits"),
        (Handover.FLATTEN, Closes.NEXT_PRICE, "at the next price"),
    ],
)
def test_promoting_in_full_tells_what_the_old_version_cancels_and_closes(handover, closes, how):
    found = foreseen(deployment(index=2, handover=handover), Verb.PROMOTE_FULL)
    old, new, beside = found.executions
    assert (old.cancels, old.closes, old.opens) == (2, closes, Opens.NO)
    assert old.positions == {"A.SIM": 300, "B.SIM": -5}
    assert (new.cancels, new.closes, new.opens) == (0, Closes.NOTHING, Opens.YES)
    assert (beside.closes, beside.opens) == (Closes.NEXT_PRICE, Opens.NO)
    assert capital_of(found)["exec_new"] == (10_000, 100_000)
    assert capital_of(found)["exec_old"] == (80_000, 0)
    assert "exec_old (stable): cancels 2 waiting" in found.sentences
    assert f"exec_old (stable): closes 300 A.SIM, -5 B.SIM {how}" in found.sentences


def test_promoting_in_full_tells_what_the_new_version_takes_over():
    found = foreseen(deployment(index=2, handover=Handover.ADOPT), Verb.PROMOTE_FULL)
    old, new, beside = found.executions
    assert (old.closes, beside.closes) == (Closes.ADOPTED, Closes.ADOPTED)
    assert old.positions == {"A.SIM": 300, "B.SIM": -5}
    assert (new.closes, new.positions) == (Closes.NOTHING, {})
    assert (
        "exec_old (stable): hands 300 A.SIM, -5 B.SIM over at the last price; what the new version"
        " may not hold or cannot pay, it closes at the next price" in found.sentences
    )


def test_a_batch_is_told_by_its_instruments():
    rolling = deployment(DeploymentType.ROLLING, index=3)  # watches A
    steps = plans.plan(rolling.options, (*SYMBOLS, "C.SIM"), replaces=True)
    before = replace(rolling, plan=tuple(plans.to_plain(steps)))
    old, new = foreseen(before, Verb.PROMOTE, [STABLE, NEW]).executions  # B is switched
    assert (old.positions, old.opens, old.capital_to) == ({"B.SIM": -5}, Opens.SOME, 80_000)
    assert (new.opens, new.capital_to) == (Opens.YES, 10_000)
    last = replace(before, progress=replace(before.progress, index=6))
    old, new = foreseen(last, Verb.PROMOTE, [STABLE, NEW]).executions  # C is, the last one
    assert (old.positions, old.opens, old.capital_to) == ({}, Opens.NO, 0)
    assert (new.opens, new.capital_to) == (Opens.YES, 90_000)


@pytest.mark.parametrize("verb", [Verb.ABORT, Verb.ROLLBACK])
def test_undoing_tells_what_the_new_version_cancels_and_closes_and_who_goes_on(verb):
    found = foreseen(deployment(index=3), verb)
    new, beside, old = found.executions
    assert (new.cancels, new.closes, new.opens) == (1, Closes.NEXT_PRICE, Opens.NO)
    assert new.positions == {"A.SIM": 7}
    assert (beside.cancels, beside.capital_to) == (0, 0)
    assert (old.cancels, old.closes, old.opens) == (0, Closes.NOTHING, Opens.YES)
    assert capital_of(found)["exec_old"] == (80_000, 100_000)
    assert "exec_new (candidate): closes 7 A.SIM at the next price" in found.sentences


def test_a_new_version_in_shadow_has_nothing_to_give_back():
    shadow = holder("exec_new", Role.SHADOW, 5_000)
    found = foreseen(deployment(index=1), Verb.ABORT, [STABLE, shadow])
    assert capital_of(found) == {"exec_new": (0, 0), "exec_old": (80_000, 80_000)}


def test_taking_back_a_completed_one_tells_whether_the_version_before_is_still_there():
    before = replace(deployment(index=8, state=State.COMPLETED), outcome=Outcome.PROMOTED)
    now = holder("exec_new", Role.STABLE, 100_000, A=50)
    warm = foreseen(before, Verb.ROLLBACK, [holder("exec_old", Role.SHADOW), now])
    assert capital_of(warm) == {"exec_new": (100_000, 0), "exec_old": (0, 100_000)}
    cold = foreseen(before, Verb.ROLLBACK, [holder("exec_old", Role.STABLE, ended=True), now])
    assert capital_of(cold) == {"exec_new": (100_000, 0)}
    assert cold.sentences[1].endswith(
        "started again with what is free of the line's capital then, at the last prices 100,000.00"
    )
    assert "exec_old of strat_of_exec_old" in cold.sentences[1]


def ended(desired, *, why="", **positions):
    found = holder("exec_old", Role.STABLE, 80_000, ended=True, **positions)
    return replace(found, execution=replace(found.execution, desired=desired, desired_why=why))


@pytest.mark.parametrize(
    ("verb", "before", "told"),
    [
        (Verb.ABORT, ended(Desired.RUN), "started again with what is free"),
        (Verb.ABORT, ended(Desired.STOP, why="pipe_1"), "started again with what is free"),
        (Verb.ABORT, ended(Desired.STOP), "stays stopped"),
        (Verb.ABORT, ended(Desired.STOP, why="risk"), "stays stopped"),
        (Verb.ROLLBACK, ended(Desired.STOP), "started again with what is free"),
    ],
)
def test_undoing_tells_whether_a_version_that_has_ended_is_started_again(verb, before, told):
    found = foreseen(deployment(index=3), verb, [before, NEW])

    assert [each for each in found.sentences if told in each]
    assert capital_of(found) == {"exec_new": (10_000, 0)}


def test_a_rollout_that_has_counted_nothing_yet_starts_it_again_with_all_that_it_has():
    before = replace(deployment(index=0), progress=Progress())
    found = foreseen(before, Verb.ROLLBACK, [ended(Desired.STOP)])

    assert found.sentences[0] == "it ends; it has placed nothing yet"
    assert found.sentences[1].endswith("at the last prices 80,000.00")


def test_what_could_not_be_closed_is_not_begun_again_with():
    held = ended(Desired.RUN, A=100)
    stuck = replace(held, execution=replace(held.execution, closing=Closing.STUCK))
    worth = [
        foreseen(deployment(index=3), Verb.ABORT, [each, NEW]).sentences[1]
        for each in (held, stuck)
    ]

    assert worth[0].endswith("at the last prices 100,000.00")
    assert worth[1].endswith("at the last prices 20,000.00")


def test_a_version_that_cannot_be_started_is_not_promised_to_be():
    before = deployment(index=3)
    after = verbs.after(before, Verb.ABORT, ASKED)
    why = "the version before it, strat_1, is error and cannot be started"
    found = effects.of(Verb.ABORT, before, after, [ended(Desired.RUN), NEW], gone=why)

    assert found.sentences[1] == f"{why}: no version has the line then"


def test_with_nothing_free_nothing_is_started_again():
    poor = replace(NEW, account=replace(NEW.account, equity=Decimal(0)))
    before = deployment(index=3)
    before = replace(before, progress=replace(before.progress, capital=Decimal(10_000)))
    lost = ended(Desired.RUN)
    lost = replace(lost, account=replace(lost.account, contributed=Decimal(0), equity=Decimal(0)))
    found = foreseen(before, Verb.ABORT, [lost, poor])

    assert "not started again" in found.sentences[1]


@pytest.mark.parametrize(
    ("verb", "index", "told"),
    [
        (Verb.PAUSE, 2, "positions and orders are not touched"),
        (Verb.RESUME, 2, "nothing: it is so already"),
        (Verb.SKIP_STEP, 1, "weight_5 begins"),
    ],
)
def test_what_touches_nothing_says_so(verb, index, told):
    found = foreseen(deployment(index=index), verb)
    assert any(told in each for each in found.sentences)
    assert all(each.closes is Closes.NOTHING for each in found.executions)


def test_resuming_touches_nothing_by_itself():
    before = deployment(index=2)
    held = replace(before, progress=replace(before.progress, held_by="engine"))
    found = foreseen(held, Verb.RESUME)
    assert "touches no position and no order" in found.sentences[0]
    assert found.executions == ()


@pytest.mark.parametrize(
    ("verb", "told"),
    [(Verb.APPROVE, "its rollout begins"), (Verb.REJECT, "no position and no order is touched")],
)
def test_an_answer_after_validation_says_what_follows(verb, told):
    found = foreseen(deployment(index=0, state=State.AWAITING_APPROVAL), verb)
    assert told in found.sentences[0]


@pytest.mark.parametrize(
    ("state", "revalidates", "told"),
    [
        (State.QUEUED, False, "back to draft"),
        (State.RUNNING, False, "back to draft"),
        (State.RUNNING, True, "goes on as it does"),
        (State.AWAITING_APPROVAL, False, "stays approved"),
    ],
)
def test_ending_a_validation_tells_what_becomes_of_its_version(state, revalidates, told):
    before = replace(deployment(index=0, state=state), revalidates=revalidates)
    found = foreseen(before, Verb.ABORT)

    assert told in found.sentences[0]
    assert "no position and no order is touched" in found.sentences[0]
    assert found.executions == ()


def test_an_approved_step_tells_what_begins():
    before = deployment(DeploymentType.BLUE_GREEN, index=2, approve_switch=True)
    found = foreseen(before, Verb.APPROVE)
    assert found.sentences[0] == "its step is approved, and ends"
    assert "switch begins" in found.sentences[1]
    assert capital_of(found)["exec_new"] == (10_000, 100_000)


def test_trying_again_touches_nothing_before_it_is_validated():
    found = foreseen(deployment(index=3, state=State.FAILED), Verb.RETRY)
    assert "deployed anew" in found.sentences[0]
    assert found.executions == ()


AMOUNTS = st.decimals(0, 10**7, places=2)


@given(
    st.sampled_from(Verb),
    st.integers(0, 8),
    st.lists(AMOUNTS, min_size=3, max_size=3),
)
def test_no_verb_tells_of_more_capital_than_the_line_has(verb, index, amounts):
    roles = (Role.STABLE, Role.CANDIDATE, Role.BASELINE)
    names = ("exec_old", "exec_new", "exec_base")
    line = [holder(*each) for each in zip(names, roles, amounts, strict=True)]
    try:
        found = foreseen(deployment(index=index), verb, line)
    except ConflictError:
        return
    assert found.sentences
    assert sum(each.capital_to for each in found.executions) <= sum(amounts)
    assert all(each.capital_to >= 0 for each in found.executions)
