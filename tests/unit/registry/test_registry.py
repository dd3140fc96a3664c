import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core import versions
from strategy_engine.core.clock import SteppedClock
from strategy_engine.core.errors import (
    ConflictError,
    IllegalTransitionError,
    InvalidError,
    NotFoundError,
    TooLargeError,
)
from strategy_engine.infra import audit, database
from strategy_engine.registry import rules
from strategy_engine.registry.model import ACTIVE, ARROWS, Content, Status, Strategy, Trigger
from strategy_engine.registry.service import Registry

CONTENT = Content(
    strategy_name="RSI",
    version="1.0.0",
    code="class S: ...",
    parameters={"b": 1, "a": 2},
    risk_limits={"max_position_size": 1000},
)
WAY_TO = {
    Status.DRAFT: [],
    Status.TESTING: [Trigger.VALIDATE],
    Status.APPROVED: [Trigger.VALIDATE, Trigger.APPROVE],
    Status.DEPLOYED: [Trigger.VALIDATE, Trigger.APPROVE, Trigger.DEPLOY],
    Status.RUNNING: [Trigger.VALIDATE, Trigger.APPROVE, Trigger.DEPLOY, Trigger.START],
    Status.PAUSED: [
        Trigger.VALIDATE,
        Trigger.APPROVE,
        Trigger.DEPLOY,
        Trigger.START,
        Trigger.PAUSE,
    ],
    Status.STOPPED: [Trigger.VALIDATE, Trigger.APPROVE, Trigger.DEPLOY, Trigger.STOP],
    Status.ERROR: [Trigger.VALIDATE, Trigger.APPROVE, Trigger.DEPLOY, Trigger.BREAK],
}


@pytest.fixture
async def registry(tmp_path, server):
    url = database.control_url(tmp_path, server)
    engine = database.sync_engine(url)
    database.control.create_all(engine)
    engine.dispose()
    opened = database.Database(url)
    yield Registry(opened, SteppedClock(datetime(2026, 1, 1, tzinfo=UTC)))
    await opened.aclose()


async def at(registry: Registry, status: Status) -> Strategy:
    strategy, _ = await registry.create(CONTENT, actor="ada")
    for trigger in WAY_TO[status]:
        strategy = await registry.move(strategy.strategy_id, trigger, actor="ada")
    assert strategy.status is status
    return strategy


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("trigger", Trigger)
def test_only_arrows_in_the_table_move_a_strategy(status, trigger):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    strategy = Strategy(
        strategy_id="s", content=CONTENT, status=status, created_at=now, updated_at=now
    )
    if (status, trigger) in ARROWS:
        assert strategy.on(trigger).status is ARROWS[status, trigger]
    else:
        with pytest.raises(IllegalTransitionError):
            strategy.on(trigger)


def test_every_state_can_be_reached_and_left():
    assert {*ARROWS.values()} == set(Status)
    assert {state for state, _ in ARROWS} == set(Status)


async def test_the_same_content_answers_the_same_strategy(registry):
    first, is_new = await registry.create(CONTENT, actor="ada")
    reordered = replace(CONTENT, parameters={"a": 2, "b": 1})
    again, is_new_again = await registry.create(reordered, actor="bob")
    assert again == first
    assert (is_new, is_new_again) == (True, False)
    assert (await registry.page(offset=0)).total == 1


@pytest.mark.parametrize(
    "change",
    [
        {"code": "class T: ..."},
        {"parameters": {}},
        {"risk_limits": {}},
        {"tests": {"test_a.py": "def test_a(): ..."}},
    ],
)
async def test_the_same_version_with_other_content_is_refused(registry, change):
    first, _ = await registry.create(CONTENT, actor="ada")
    with pytest.raises(ConflictError, match="other content") as caught:
        await registry.create(replace(CONTENT, **change), actor="ada")
    assert caught.value.facts["strategy_id"] == first.strategy_id


async def test_creating_at_once_makes_one_strategy(registry):
    made = await asyncio.gather(*(registry.create(CONTENT, actor="ada") for _ in range(20)))
    assert len({strategy.strategy_id for strategy, _ in made}) == 1
    assert sum(is_new for _, is_new in made) == 1


async def test_every_change_of_state_is_an_audit_row(registry):
    strategy = await at(registry, Status.PAUSED)
    rows = await registry.history(strategy.strategy_id)
    assert [(row.from_state, row.to_state) for row in rows] == [
        (None, "draft"),
        ("draft", "testing"),
        ("testing", "approved"),
        ("approved", "deployed"),
        ("deployed", "running"),
        ("running", "paused"),
    ]
    assert {row.actor for row in rows} == {"ada"}


async def test_a_forbidden_change_writes_nothing(registry):
    strategy = await at(registry, Status.DEPLOYED)
    before = await registry.history(strategy.strategy_id)
    with pytest.raises(IllegalTransitionError, match="the arrows are: start, stop"):
        await registry.move(strategy.strategy_id, Trigger.RESUME, actor="ada")
    assert await registry.history(strategy.strategy_id) == before
    assert (await registry.get(strategy.strategy_id)).status is Status.DEPLOYED


@pytest.mark.parametrize("status", [each for each in Status if each is not Status.DRAFT])
async def test_only_a_draft_is_edited(registry, status):
    strategy = await at(registry, status)
    with pytest.raises(ConflictError, match="only a draft"):
        await registry.edit(strategy.strategy_id, {"code": "x = 1"}, actor="ada")


async def test_an_edit_changes_content_and_digest_and_leaves_a_trace(registry):
    strategy = await at(registry, Status.DRAFT)
    edited = await registry.edit(strategy.strategy_id, {"code": "x = 1"}, actor="bob")
    assert (await registry.get(strategy.strategy_id)).content == edited.content
    assert edited.content.digest != strategy.content.digest
    assert (await registry.history(strategy.strategy_id))[-1].details["fields"] == ["code"]


async def test_an_edit_cannot_take_another_versions_number(registry):
    strategy = await at(registry, Status.DRAFT)
    await registry.create(replace(CONTENT, version="2.0.0"), actor="ada")
    with pytest.raises(ConflictError, match="exists already"):
        await registry.edit(strategy.strategy_id, {"version": "2.0.0"}, actor="ada")


@pytest.mark.parametrize("status", Status)
async def test_archiving_is_refused_while_a_version_is_active(registry, status):
    strategy = await at(registry, status)
    if status in ACTIVE:
        with pytest.raises(ConflictError, match="stop it"):
            await registry.archive(strategy.strategy_id, actor="ada")
    else:
        await registry.archive(strategy.strategy_id, actor="ada")
        with pytest.raises(NotFoundError, match="archived"):
            await registry.get(strategy.strategy_id)
        assert (await registry.page(offset=0)).total == 0


async def test_a_page_filters_by_status_and_by_a_part_of_the_name(registry):
    await at(registry, Status.DEPLOYED)
    await registry.create(replace(CONTENT, strategy_name="MA 100%"), actor="ada")
    await registry.create(replace(CONTENT, strategy_name="MA 1000"), actor="ada")
    drafts = await registry.page(status=Status.DRAFT, offset=0)
    percent = await registry.page(name="100%", offset=0)
    second = await registry.page(limit=1, offset=1)
    assert drafts.total == 2
    assert [each.content.strategy_name for each in percent.strategies] == ["MA 100%"]
    assert (len(second.strategies), second.total) == (1, 3)


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        ({"strategy_name": ""}, InvalidError, "strategy_name"),
        ({"strategy_name": " x"}, InvalidError, "strategy_name"),
        ({"strategy_name": "a\nb"}, InvalidError, "strategy_name"),
        ({"strategy_name": "x" * 101}, InvalidError, "strategy_name"),
        ({"version": "1.0"}, InvalidError, "version"),
        ({"version": "01.0.0"}, InvalidError, "version"),
        ({"code": " \n"}, InvalidError, "code"),
        ({"code": "x" * ((1 << 20) + 1)}, TooLargeError, "code"),
        ({"code": "a\x00b"}, InvalidError, "code"),
        ({"code": "\ud800"}, InvalidError, "code"),
        ({"parameters": {"x": float("nan")}}, InvalidError, "parameters"),
        ({"tests": {"../x.py": ""}}, InvalidError, "tests"),
    ],
)
def test_content_that_breaks_a_rule_is_refused_by_its_field(change, error, field):
    with pytest.raises(error) as caught:
        rules.check(replace(CONTENT, **change))
    assert caught.value.facts["field"] == field


def test_versions_sort_by_precedence_as_semver_org_gives_it():
    ordered = [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "1.0.1",
        "1.10.0",
        "2.0.0",
    ]
    assert sorted(ordered, key=versions.order) == ordered


@given(st.text(max_size=20))
def test_any_text_is_a_version_or_a_clear_refusal(text):
    try:
        rules.check(replace(CONTENT, version=text))
    except InvalidError as error:
        assert error.facts["field"] == "version"


async def test_an_audit_row_keeps_who_what_and_when(registry):
    strategy = await at(registry, Status.DRAFT)
    (row,) = await registry.history(strategy.strategy_id)
    assert row == audit.Entry(
        at=datetime(2026, 1, 1, tzinfo=UTC),
        actor="ada",
        subject_type="strategy",
        subject_id=strategy.strategy_id,
        action="create",
        to_state="draft",
        details={"digest": CONTENT.digest},
    )
