"""Alerts: told once while they are open, worse ones again, acknowledged, resolved; all audited."""

from itertools import product
from typing import Any

import pytest

from strategy_engine.alerts.model import (
    ARROWS,
    Notice,
    Severity,
    State,
    Trigger,
)
from strategy_engine.core.errors import IllegalTransitionError, NotFoundError
from strategy_engine.core.transitions import next_state
from strategy_engine.infra import audit

LIVES = {
    (State.PENDING, Trigger.FIRE): State.FIRING,
    (State.PENDING, Trigger.LAPSE): State.LAPSED,
    (State.FIRING, Trigger.ACKNOWLEDGE): State.ACKNOWLEDGED,
    (State.FIRING, Trigger.RESOLVE): State.RESOLVED,
    (State.ACKNOWLEDGED, Trigger.FIRE): State.FIRING,
    (State.ACKNOWLEDGED, Trigger.RESOLVE): State.RESOLVED,
}
SAID = {
    "key": "drawdown:exec_1",
    "severity": "warning",
    "subject_type": "execution",
    "subject_id": "exec_1",
    "title": "exec_1 is cut",
    "message": "drawdown is -0.12, beyond -0.1",
    "details": {"drawdown": -0.12},
}


async def told(alerts: Any) -> list[tuple[Notice, str]]:
    found, _ = await alerts.deliveries({})
    return [(each.notice, each.channel_id) for each in reversed(found)]


@pytest.mark.parametrize(("state", "trigger"), list(product(State, Trigger)))
def test_an_alert_moves_only_by_its_table(state: State, trigger: Trigger) -> None:
    if (state, trigger) in LIVES:
        assert next_state(ARROWS, state, trigger) is LIVES[state, trigger]
    else:
        with pytest.raises(IllegalTransitionError):
            next_state(ARROWS, state, trigger)


async def test_the_same_again_only_counts_and_is_told_once(alerts, channel, clock) -> None:
    first = await alerts.raise_alert(None, **SAID)
    clock.advance(10)
    again = await alerts.raise_alert(None, **SAID | {"message": "drawdown is -0.13"})

    assert (again.alert_id, again.count, again.message) == (first.alert_id, 2, "drawdown is -0.13")
    assert again.last_at == clock.now()
    assert await told(alerts) == [(Notice.FIRING, "chan_1")]


async def test_what_gets_worse_is_told_again_though_it_was_acknowledged(alerts, channel) -> None:
    first = await alerts.raise_alert(None, **SAID)
    await alerts.acknowledge(first.alert_id, comment="I look", actor="ada")
    milder = await alerts.raise_alert(None, **SAID | {"severity": "info"})
    worse = await alerts.raise_alert(None, **SAID | {"severity": "critical"})

    assert (milder.state, milder.severity) == (State.ACKNOWLEDGED, Severity.WARNING)
    assert (worse.state, worse.severity) == (State.FIRING, Severity.CRITICAL)
    assert await told(alerts) == [(Notice.FIRING, "chan_1")] * 2


async def test_the_end_is_told_once_and_the_next_time_is_another_alert(alerts, channel) -> None:
    first = await alerts.raise_alert(None, **SAID)
    ended = await alerts.resolve(SAID["key"])
    nothing = await alerts.resolve(SAID["key"])
    second = await alerts.raise_alert(None, **SAID)

    assert (ended.state, ended.alert_id, nothing) == (State.RESOLVED, first.alert_id, None)
    assert second.alert_id != first.alert_id
    assert [each for each, _ in await told(alerts)] == ["firing", "resolved", "firing"]


async def test_every_arrow_is_an_audit_row(alerts, opened, clock) -> None:
    alert = await alerts.raise_alert(None, **SAID)
    await alerts.acknowledge(alert.alert_id, comment="I look", actor="ada")
    await alerts.resolve(SAID["key"], why="it is over")
    async with opened.read() as connection:
        found = await audit.history(connection, "alert", alert.alert_id)

    arrows = [(each.actor, each.action, each.from_state, each.to_state) for each in found]
    assert arrows == [
        ("engine", "fire", "pending", "firing"),
        ("ada", "acknowledge", "firing", "acknowledged"),
        ("engine", "resolve", "acknowledged", "resolved"),
    ]
    assert [each.details["comment"] for each in found] == ["", "I look", "it is over"]


async def test_what_is_rolled_back_was_never_raised(alerts, opened, channel) -> None:
    async def raise_and_fail() -> None:
        async with opened.write() as connection:
            await alerts.raise_alert(connection, **SAID)
            raise KeyError

    with pytest.raises(KeyError):
        await raise_and_fail()

    assert await told(alerts) == []
    assert (await alerts.page())[1] == 0


async def test_a_channel_gets_only_what_is_severe_enough_for_it(alerts, channel) -> None:
    await alerts.raise_alert(None, **SAID | {"severity": "info"})

    assert await told(alerts) == []


async def test_alerts_are_found_by_what_they_are_about(alerts) -> None:
    kept = await alerts.raise_alert(None, **SAID)
    await alerts.raise_alert(None, **SAID | {"key": "other", "subject_id": "exec_2"})

    found, total = await alerts.page(filters={"subject_id": "exec_1", "severity": "warning"})

    assert ([each.alert_id for each in found], total) == ([kept.alert_id], 1)
    assert await alerts.get(kept.alert_id) == kept
    assert await alerts.counts() == {(State.FIRING, Severity.WARNING): 2}


async def test_what_there_is_not_is_named(alerts) -> None:
    with pytest.raises(NotFoundError, match="alert_0"):
        await alerts.acknowledge("alert_0", comment="", actor="ada")


async def test_an_alert_that_has_ended_is_not_acknowledged(alerts) -> None:
    alert = await alerts.raise_alert(None, **SAID)
    await alerts.resolve(SAID["key"])

    with pytest.raises(IllegalTransitionError, match="resolved"):
        await alerts.acknowledge(alert.alert_id, comment="", actor="ada")
