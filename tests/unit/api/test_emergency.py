"""The door to the kill switch, where no node runs: what is left for one, listed and reset."""

import pytest

from strategy_engine.api import emergency
from strategy_engine.core.clock import SystemClock
from strategy_engine.risk.hand import Hand
from strategy_engine.risk.logbook import NAME, Logbook
from strategy_engine.risk.stopping import Stopping

WISH = {"scope": "line", "subject": "RSI", "reason": "prices are wrong"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr("strategy_engine.risk.calling.REPLACED_S", 0.0)


async def test_without_a_node_a_stop_is_left_for_one_and_recorded(client, tmp_path):
    answer = (await client.post("/risk/emergency-stop", json=WISH)).json()

    assert answer["done"] is None
    assert "journal" in answer["note"]
    listed = (await client.get("/risk/emergency-stops")).json()
    assert [each["stop_id"] for each in listed["stops"]] == [answer["stop"]["stop_id"]]
    assert listed["stops"][0]["in_force"]
    (waiting,) = Hand(Logbook(tmp_path / NAME), SystemClock()).stops
    assert (waiting.subject, waiting.actor) == ("RSI", "local")


async def test_without_keys_a_reset_says_that_nobody_checked_who_it_was(client):
    stop = (await client.post("/risk/emergency-stop", json=WISH)).json()["stop"]
    path = f"/risk/emergency-stops/{stop['stop_id']}/reset"

    first = (await client.post(path, json={"comment": "they are back"})).json()
    again = (await client.post(path, json={"comment": "once more"})).json()

    assert "no keys are in use" in first["note"]
    assert not first["stop"]["in_force"]
    assert first["stop"] == again["stop"]
    assert not first["confirmed"]  # no node runs that could


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({}, "reason"),
        (WISH | {"scope": "version"}, "scope"),
        (WISH | {"scope": "engine"}, "subject"),
        (WISH | {"subject": ""}, "subject"),
        (WISH | {"drill": True}, "is_drill"),
        (WISH | {"reason": " "}, "reason"),
    ],
)
async def test_a_stop_that_makes_no_sense_is_refused_and_nothing_stops(
    client, tmp_path, wish, field
):
    answer = await client.post("/risk/emergency-stop", json=wish)

    assert answer.status_code == 422
    assert answer.json()["field"] == field
    assert not (tmp_path / NAME).exists()


async def test_a_stop_that_nobody_made_cannot_be_reset(client):
    answer = await client.post("/risk/emergency-stops/stop_x/reset", json={"comment": "why not"})
    assert answer.status_code == 404


async def test_who_stopped_does_not_reset_unless_it_was_a_drill(world, tmp_path):
    admin = {"Authorization": "Bearer an-administrators-key"}
    app = world.build(api_key="an-administrators-key")
    drill = {"scope": "execution", "subject": "exec_1", "reason": "a drill", "drill": True}
    async with world.client(app) as asked:
        stopped, drilled = [
            (await asked.post("/risk/emergency-stop", json=each, headers=admin)).json()["stop"]
            for each in (WISH, drill)
        ]
        comment = {"comment": "over"}
        refused, passed = [
            await asked.post(
                f"/risk/emergency-stops/{each['stop_id']}/reset", json=comment, headers=admin
            )
            for each in (stopped, drilled)
        ]
    assert refused.status_code == 403
    assert passed.status_code == 200
    assert isinstance(world.services.stopping, Stopping)


def test_every_example_is_what_its_shape_takes():
    for shape in (
        emergency.EmergencyStop,
        emergency.ResetStop,
        emergency.Stopped,
        emergency.Reset,
        emergency.Stops,
    ):
        for example in shape.model_config["json_schema_extra"]["examples"]:
            read = shape.model_validate(example)
            assert read.model_dump(mode="json", exclude_unset=True) == example
