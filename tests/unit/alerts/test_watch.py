"""The watch: what is measured and what happens, judged once each, through deaths and outages."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from strategy_engine.alerts.judging import Reading
from strategy_engine.alerts.model import State
from strategy_engine.alerts.rules import Scope
from strategy_engine.alerts.ruling import Rules
from strategy_engine.alerts.watch import Watch
from strategy_engine.infra import audit
from strategy_engine.infra.outages import DatabaseAwayError

DEEP = {"metric": {"name": "max_drawdown", "below": -0.1, "clear": -0.05, "for_s": 20}}
FLAGS = {"event": {"topic": "flag"}, "resolve_after_s": 60}


@dataclass
class World:
    """What is measured is what a test says; events are nobody's."""

    values: dict[str, float | None] = field(default_factory=dict)

    async def read(self) -> Sequence[Reading]:
        return [
            Reading(scope=Scope.EXECUTION, subject_id=name, metrics={"max_drawdown": value})
            for name, value in self.values.items()
        ]

    async def told(self, events: Sequence[Any]) -> Sequence[Any]:
        return events


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def make_watch(opened: Any, clock: Any, world: World) -> Any:
    return lambda: Watch(database=opened, clock=clock, readings=world, whose=world, interval_s=10.0)


@pytest.fixture
def rules(opened: Any, clock: Any) -> Rules:
    return Rules(database=opened, clock=clock)


async def happen(opened: Any, clock: Any, *keys: str, kind: str = "flag") -> None:
    async with opened.write() as connection:
        for key in keys:
            entry = audit.Entry(
                at=clock.now(), actor="ada", subject_type=kind, subject_id=key, action="update"
            )
            await audit.record(connection, entry)


async def states(alerts: Any) -> list[str]:
    found, _ = await alerts.page(states=frozenset(State))
    return sorted(each.state.value for each in found)


async def test_a_rule_fires_after_its_time_once_and_resolves_though_the_watch_dies_between(
    make_watch, rules, alerts, world, clock
):
    await rules.create(DEEP, actor="ada")
    world.values["exec_1"] = -0.2
    seen = []
    for value in (-0.2, -0.2, -0.2, -0.07, None, -0.01):
        world.values["exec_1"] = value
        await make_watch().turn()  # another process each time: all it knows is in rows
        seen.append(await states(alerts))
        clock.advance(10)

    assert seen == [["pending"], ["pending"], *[["firing"]] * 3, ["resolved"]]


async def test_what_did_not_hold_for_long_enough_is_forgotten(
    make_watch, rules, alerts, world, clock
):
    await rules.create(DEEP, actor="ada")
    world.values["exec_1"] = -0.2
    await make_watch().turn()
    world.values["exec_1"] = 0.0
    await make_watch().turn()

    assert await states(alerts) == []


async def test_each_subject_has_an_alert_of_its_own(make_watch, rules, alerts, world, clock):
    await rules.create(DEEP | {"metric": DEEP["metric"] | {"for_s": 0}}, actor="ada")
    world.values |= {"exec_1": -0.2, "exec_2": -0.3, "exec_3": 0.0}
    await make_watch().turn()
    clock.advance(10)
    await make_watch().turn()

    found, _ = await alerts.page()
    assert {each.subject_id for each in found} == {"exec_1", "exec_2"}


async def test_an_event_raises_once_through_deaths_and_what_was_before_the_first_start_never(
    make_watch, rules, alerts, opened, clock
):
    await rules.create(FLAGS, actor="ada")
    await happen(opened, clock, "old")
    await make_watch().turn()
    await happen(opened, clock, "new_exit", "wide_stop", "new_exit")
    for _ in range(3):
        await make_watch().turn()

    found, _ = await alerts.page()
    told = sorted((each.subject_id, each.count) for each in found)
    assert told == [("new_exit", 2), ("wide_stop", 1)]


async def test_an_alert_of_an_event_resolves_when_none_came_for_its_time(
    make_watch, rules, alerts, opened, clock
):
    await rules.create(FLAGS, actor="ada")
    await make_watch().turn()
    await happen(opened, clock, "new_exit")
    await make_watch().turn()
    clock.advance(50)
    await happen(opened, clock, "new_exit")
    await make_watch().turn()
    clock.advance(50)
    await make_watch().turn()
    after_100_s = await states(alerts)
    clock.advance(11)
    await make_watch().turn()

    assert after_100_s == ["firing"]
    assert await states(alerts) == ["resolved"]


async def test_a_muted_rule_tells_nobody_until_it_is_muted_no_more(
    make_watch, rules, alerts, opened, channel
):
    clock = alerts.clock
    until = clock.now() + timedelta(seconds=30)
    await rules.create(FLAGS | {"muted_until": until.isoformat()}, actor="ada")
    await make_watch().turn()
    await happen(opened, clock, "new_exit")
    await make_watch().turn()
    quiet = (await alerts.deliveries({}))[1]
    clock.advance(31)
    await make_watch().turn()
    await make_watch().turn()

    (found,), _ = await alerts.page()
    assert (quiet, (await alerts.deliveries({}))[1]) == (0, 1)
    assert not found.is_muted


async def test_a_rule_that_is_removed_ends_what_it_has_raised(
    make_watch, rules, alerts, world, clock
):
    made = await rules.create(DEEP | {"metric": DEEP["metric"] | {"for_s": 0}}, actor="ada")
    world.values["exec_1"] = -0.2
    await make_watch().turn()
    await rules.remove(made.rule_id, actor="ada")

    assert await states(alerts) == ["resolved"]
    await make_watch().turn()
    assert await states(alerts) == ["resolved"]


async def test_a_rule_that_is_changed_begins_again(make_watch, rules, alerts, world, clock):
    made = await rules.create(DEEP | {"metric": DEEP["metric"] | {"for_s": 0}}, actor="ada")
    world.values["exec_1"] = -0.2
    await make_watch().turn()
    await rules.put(made.rule_id, {"metric": {"name": "max_drawdown", "below": -0.5}}, actor="ada")
    await make_watch().turn()

    assert await states(alerts) == ["resolved"]


async def test_an_outage_of_the_database_is_told_once_it_is_over(make_watch, alerts, opened):
    watch = make_watch()
    await watch.once()
    watch.database = Away()
    for _ in range(3):
        await watch.once()
    watch.database = opened
    await watch.once()
    await watch.once()

    (found,), _ = await alerts.page()
    assert (found.rule_id, found.count) == ("database_trouble", 1)
    assert "it was locked" in found.message


class Away:
    """A database that does not answer."""

    def read(self) -> Any:
        raise DatabaseAwayError("it was locked")

    write = read
