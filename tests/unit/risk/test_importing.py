"""Deeds brought into rows, each once; stops and resets of others obeyed. A real database."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from strategy_engine.core.clock import SystemClock
from strategy_engine.execution import stops
from strategy_engine.infra import audit, database
from strategy_engine.registry.service import Registry
from strategy_engine.risk import deed_store, importing
from strategy_engine.risk.hand import Hand
from strategy_engine.risk.importing import Importer
from strategy_engine.risk.logbook import Logbook
from strategy_engine.risk.model import Action, Deed
from strategy_engine.venue.limits import Scope

NOW = datetime(2025, 8, 24, 10, 0, tzinfo=UTC)
STOP = Deed(
    deed_id="stop_1",
    action=Action.EMERGENCY_STOP,
    scope=Scope.LINE,
    subject="RSI",
    reason="prices are wrong",
    actor="ann",
    at=NOW,
)


@pytest.fixture
async def opened(tmp_path):
    url = database.control_url(tmp_path)
    engine = database.sync_engine(url)
    database.control.create_all(engine)
    engine.dispose()
    made = database.Database(url)
    yield made
    await made.aclose()


def node(opened, tmp_path, name="local"):
    hand = Hand(Logbook(tmp_path / f"{name}.jsonl"), SystemClock())
    registry = Registry(opened, SystemClock())
    return hand, Importer(hand, opened, registry, SystemClock(), node_id=name)


async def rows(opened, table):
    async with opened.read() as connection:
        return (await connection.execute(sa.select(table))).all()


async def test_a_deed_becomes_rows_once_however_often_it_is_brought_in(opened, tmp_path):
    hand, importer = node(opened, tmp_path)
    hand.act(STOP)
    await importer.turn()
    assert hand.pending == []
    assert hand.settled() == {"stop_1"}

    # Killed between the commit and the line of the journal: the next process brings it in again.
    (tmp_path / "local.jsonl").unlink()
    hand, importer = node(opened, tmp_path)
    hand.act(STOP)
    await importer.turn()

    assert [each.stop_id for each in await rows(opened, stops.TABLE)] == ["stop_1"]
    assert [each.deed_id for each in await rows(opened, deed_store.TABLE)] == ["stop_1"]
    assert [each.action for each in await rows(opened, audit.TABLE)] == ["emergency_stop"]


async def test_a_stop_of_another_node_is_obeyed_and_its_reset_too(opened, tmp_path):
    hand, importer = node(opened, tmp_path)
    async with opened.write() as connection:
        await importing.keep_stop(connection, importing.stop_of(STOP))
    await importer.turn()
    assert hand.kill.find("exec_1", "RSI", "RSI") is not None

    async with opened.write() as connection:
        await stops.end(connection, "stop_1", actor="bob", why="they are back", at=NOW)
    await importer.turn()
    assert hand.kill.find("exec_1", "RSI", "RSI") is None
    assert node(opened, tmp_path)[0].stops == []


async def test_each_node_brings_its_own_part_of_one_stop_in(opened, tmp_path):
    for name in ("one", "two"):
        hand, importer = node(opened, tmp_path, name)
        hand.act(STOP)
        await importer.turn()
    found = await rows(opened, deed_store.TABLE)
    assert {(each.deed_id, each.node_id) for each in found} == {
        ("stop_1", "one"),
        ("stop_1", "two"),
    }
    assert len(await rows(opened, stops.TABLE)) == 1


@pytest.mark.parametrize(
    ("scope", "subject", "is_refused"),
    [
        (Scope.ENGINE, "", True),
        (Scope.LINE, "RSI", True),
        (Scope.ACCOUNT, "desk 7", True),
        (Scope.LINE, "MACD", False),
        (Scope.EXECUTION, "exec_1", False),  # a new one has another id
    ],
)
async def test_what_is_stopped_is_refused_with_who_why_and_how_to_reset(
    opened, scope, subject, is_refused
):
    stop = importing.stop_of(replace(STOP, scope=scope, subject=subject))
    async with opened.write() as connection:
        await stops.add(connection, stop)
    async with opened.read() as connection:
        if not is_refused:
            await stops.refuse(connection, line="RSI", account="desk 7")
            return
        with pytest.raises(stops.StoppedError) as refused:
            await stops.refuse(connection, line="RSI", account="desk 7")
    assert "ann: prices are wrong" in str(refused.value)
    assert "/risk/emergency-stops/stop_1/reset" in str(refused.value)
