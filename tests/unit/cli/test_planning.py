"""What a manifest comes to against what an engine has: every state, and no change twice."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.cli import planning
from strategy_engine.cli.manifest import Wanted
from strategy_engine.cli.planning import Kind, LastDeployment, LastExecution, Observed
from strategy_engine.registry.model import Content, Status

CODE = "class A: ...\n"


def content(version: str = "1.0.0", **changes: Any) -> Content:
    return Content(**{"strategy_name": "rsi", "version": version, "code": CODE} | changes)


def wanted(version: str = "1.0.0", **fields: Any) -> Wanted:
    return Wanted(content=content(version), **fields)


def observed(status: Status, version: str = "1.0.0", **fields: Any) -> Observed:
    usual: dict[str, Any] = {
        "strategy_id": f"strat_{version}",
        "name": "rsi",
        "version": version,
        "status": status,
        "content": content(version),
    }
    return Observed(**usual | fields)


def deployment(status: str = "completed", outcome: str | None = "promoted") -> LastDeployment:
    is_open = status not in {"completed", "failed"}
    return LastDeployment(
        pipeline_id="pipe_1", status=status, is_open=is_open, outcome=outcome, message="why"
    )


def kinds(want: list[Wanted], have: list[Observed], **how: Any) -> list[Kind]:
    return [each.kind for each in planning.plan(want, have, **how)]


K, S = Kind, Status


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [K.CREATE, K.DEPLOY]),
        ({"deploy": None}, [K.CREATE]),
        ({"runs": True}, [K.CREATE, K.DEPLOY, K.START]),
        ({"runs": False}, [K.CREATE, K.DEPLOY]),
    ],
)
def test_a_version_that_is_not_there_is_created(
    fields: dict[str, Any], expected: list[Kind]
) -> None:
    assert kinds([wanted(**fields)], []) == expected


@pytest.mark.parametrize(
    ("status", "left", "runs", "stops"),
    [
        (S.DRAFT, [K.DEPLOY], [K.DEPLOY, K.START], [K.DEPLOY]),
        (S.TESTING, [K.UNCHANGED], [K.UNCHANGED], [K.UNCHANGED]),
        (S.APPROVED, [K.DEPLOY], [K.DEPLOY, K.START], [K.DEPLOY]),
        (S.DEPLOYED, [K.UNCHANGED], [K.START], [K.UNCHANGED]),
        (S.RUNNING, [K.UNCHANGED], [K.UNCHANGED], [K.STOP]),
        (S.PAUSED, [K.UNCHANGED], [K.UNCHANGED], [K.STOP]),
        (S.STOPPED, [K.UNCHANGED], [K.START], [K.UNCHANGED]),
        (S.ERROR, [K.CONFLICT], [K.CONFLICT], [K.CONFLICT]),
    ],
)
def test_each_state_with_the_same_content(
    status: Status, left: list[Kind], runs: list[Kind], stops: list[Kind]
) -> None:
    have = [observed(status)]
    assert kinds([wanted()], have) == left
    assert kinds([wanted(runs=True)], have) == runs
    assert kinds([wanted(runs=False)], have) == stops


@pytest.mark.parametrize("status", sorted(set(Status) - {S.DRAFT}))
def test_other_content_of_a_tested_version_is_a_conflict(status: Status) -> None:
    have = observed(status, content=content(parameters={"period": 21}))
    (action,) = planning.plan([wanted()], [have])

    assert action.kind is Kind.CONFLICT
    assert "with other parameters" in action.detail
    assert "raise the version" in action.detail


def test_other_content_of_a_draft_is_edited_and_deployed() -> None:
    have = observed(S.DRAFT, content=content(code="class B: ...\n"))
    actions = planning.plan([wanted()], [have])

    assert [each.kind for each in actions] == [K.EDIT, K.DEPLOY]
    assert actions[0].detail == "code"


@pytest.mark.parametrize("status", [S.TESTING, S.APPROVED])
def test_an_open_deployment_is_followed_instead_of_repeated(status: Status) -> None:
    have = observed(status, deployment=deployment("awaiting_approval", None))
    actions = planning.plan([wanted(runs=True)], [have])

    assert [each.kind for each in actions] == [K.FOLLOW, K.START]
    assert actions[0].pipeline_id == "pipe_1"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(S.APPROVED, "rejected"), (S.STOPPED, "rolled_back"), (S.STOPPED, "aborted")],
)
def test_what_a_person_or_a_rollback_decided_is_not_decided_again(
    status: Status, outcome: str
) -> None:
    have = observed(status, deployment=deployment("failed", outcome), newest_role="candidate")
    (action,) = planning.plan([wanted(runs=True)], [have])

    assert action.kind is Kind.CONFLICT
    assert "pipe_1" in action.detail
    assert "(why)" in action.detail


def test_a_version_that_was_stable_after_an_aborted_revalidation_is_started() -> None:
    have = observed(S.STOPPED, deployment=deployment("failed", "aborted"), newest_role="stable")

    assert kinds([wanted(runs=True)], [have]) == [K.START]


def test_how_it_is_rolled_out_is_told_in_the_plan() -> None:
    deploy = {
        "deployment_type": "canary",
        "approval_required": True,
        "steps": [{"shadow": "20 bars"}, {"weight": 0.05, "min_time": "30m"}, {"approval": True}],
        "loss_budget": 0.01,
        "bounds": {},
    }
    have = [observed(S.DRAFT), observed(S.RUNNING, "0.9.0")]
    (action,) = planning.plan([wanted(deploy=deploy)], have)

    assert action.detail == (
        "canary, waits for approval, steps shadow 20 bars → weight 0.05 min_time 30m → approval"
        " true, loss_budget 0.01; it is draft; takes over from 0.9.0 (running)"
    )


def test_a_draft_whose_pipeline_failed_is_deployed_again_with_why() -> None:
    have = observed(S.DRAFT, deployment=deployment("failed", "rejected"))
    (action,) = planning.plan([wanted()], [have])

    assert action.kind is Kind.DEPLOY
    assert "pipe_1 ended rejected" in action.detail


def test_a_new_version_takes_over_and_is_not_started_besides() -> None:
    have = [observed(S.RUNNING, "1.0.0")]
    actions = planning.plan([wanted("2.0.0", runs=True)], have)

    assert [each.kind for each in actions] == [K.CREATE, K.DEPLOY]
    assert "takes over from 1.0.0 (running)" in actions[1].detail


def test_an_old_version_takes_over_from_the_newer_one() -> None:
    have = [observed(S.STOPPED, "1.0.0"), observed(S.RUNNING, "2.0.0")]

    assert kinds([wanted("1.0.0", runs=True)], have) == [K.DEPLOY]


def test_a_deployed_version_waits_for_the_one_that_runs() -> None:
    have = [observed(S.DEPLOYED, "2.0.0"), observed(S.RUNNING, "1.0.0")]

    assert kinds([wanted("2.0.0", runs=True)], have) == [K.CONFLICT]
    both = [wanted("2.0.0", runs=True), wanted("1.0.0", runs=False)]
    assert kinds(both, have) == [K.START, K.STOP]


def test_a_replay_that_came_to_its_end_is_not_started_again() -> None:
    ended = LastExecution(execution_id="exec_1", config={"speed": 5.0}, end_reason="completed")
    have = [observed(S.STOPPED, execution=ended)]

    assert kinds([wanted(runs=True, execution_config={"speed": 5})], have) == [K.UNCHANGED]
    assert kinds([wanted(runs=True, execution_config={"speed": 9})], have) == [K.START]


def test_a_replay_that_a_rollout_went_on_with_is_not_started_again_for_its_config() -> None:
    config = {"speed": 5.0, "capital": 987.65, "start_ns": 1}
    ended = LastExecution(execution_id="exec_1", config=config, end_reason="completed")
    want = [wanted(runs=True, execution_config={"capital": 1_000})]

    assert kinds(want, [observed(S.STOPPED, execution=ended)]) == [K.UNCHANGED]


def test_a_running_version_keeps_its_config_and_says_so() -> None:
    now = LastExecution(execution_id="exec_1", config={"capital": 1_000.0})
    have = [observed(S.RUNNING, execution=now)]
    (action,) = planning.plan([wanted(runs=True, execution_config={"capital": 2_000})], have)

    assert action.kind is Kind.UNCHANGED
    assert "capital 1000.0, not 2000" in action.detail


def test_what_is_not_named_is_left_alone_unless_pruned() -> None:
    have = [
        observed(S.RUNNING, "0.9.0"),
        replace(observed(S.DRAFT), name="other"),
        observed(S.DEPLOYED),
    ]

    assert kinds([wanted()], have) == [K.UNCHANGED]
    pruned = planning.plan([wanted()], have, prune=True)
    assert [(each.kind, each.name, each.version) for each in pruned[1:]] == [
        (K.STOP, "rsi", "0.9.0"),
        (K.ARCHIVE, "rsi", "0.9.0"),
        (K.ARCHIVE, "other", "1.0.0"),
    ]


def test_what_is_being_deployed_is_not_pruned() -> None:
    have = [observed(S.TESTING, "0.9.0", deployment=deployment("running", None))]

    assert kinds([wanted("1.0.0", deploy=None)], have, prune=True) == [K.CREATE, K.CONFLICT]


AFTER = {
    K.DEPLOY: S.DEPLOYED,
    K.FOLLOW: S.DEPLOYED,
    K.START: S.RUNNING,
    K.STOP: S.STOPPED,
    K.CREATE: S.DRAFT,
}
OPEN = deployment("running", None)


@given(
    status=st.sampled_from(Status),
    runs=st.sampled_from([None, True, False]),
    deploys=st.booleans(),
    last=st.sampled_from([None, deployment(), deployment("failed", "aborted"), OPEN]),
    other=st.sampled_from([None, S.RUNNING, S.PAUSED, S.STOPPED]),
)
def test_a_plan_that_was_carried_out_plans_no_change(
    status: Status,
    runs: bool | None,
    deploys: bool,
    last: LastDeployment | None,
    other: Status | None,
) -> None:
    want = [wanted("2.0.0", deploy={} if deploys else None, runs=runs if deploys else None)]
    have = {"2.0.0": observed(status, "2.0.0", deployment=last)}
    if other is not None:
        have["1.0.0"] = observed(other, "1.0.0")

    first = planning.plan(want, have.values())
    if planning.conflicts(first):
        return
    for action in first:
        mine = have[action.version]
        took_over = action.kind in {K.DEPLOY, K.FOLLOW} and other in {S.RUNNING, S.PAUSED}
        if took_over:
            have["1.0.0"] = replace(have["1.0.0"], status=S.STOPPED)
        after = S.RUNNING if took_over else AFTER.get(action.kind, mine.status)
        ended = deployment() if action.kind in {K.DEPLOY, K.FOLLOW} else mine.deployment
        have[action.version] = replace(mine, status=after, deployment=ended)

    again = planning.plan(want, have.values())
    assert not planning.has_changes(again) or runs is False  # what took over then stops
    assert not planning.conflicts(again)
