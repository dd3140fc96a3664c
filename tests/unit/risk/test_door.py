"""The node's door and who knocks at it: real sockets, a real journal, no engine."""

import socket
import stat
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from strategy_engine.core.clock import SystemClock
from strategy_engine.core.errors import InvalidError, UnavailableError
from strategy_engine.risk import calling, door
from strategy_engine.risk.door import Door
from strategy_engine.risk.hand import Hand
from strategy_engine.risk.logbook import NAME, Logbook
from strategy_engine.risk.model import Action, Deed
from strategy_engine.venue.limits import Scope

STOP = Deed(
    deed_id="stop_1",
    action=Action.EMERGENCY_STOP,
    scope=Scope.ENGINE,
    subject="",
    reason="prices are wrong",
    actor="ann",
    at=datetime(2025, 8, 24, 10, 0, tzinfo=UTC),
)


@pytest.fixture
def open_door(tmp_path):
    made = []

    def make(folder=tmp_path):
        hand = Hand(Logbook(folder / NAME), SystemClock())
        made.append(Door(hand, folder))
        return hand

    yield make
    for each in made:
        each.close()


def test_a_stop_is_done_by_the_node_that_answers(tmp_path, open_door):
    hand = open_door()
    reached = calling.stop(tmp_path, STOP)
    assert reached.done is not None
    assert reached.done.deed_id == "stop_1"
    assert hand.stops == [STOP]


def test_without_a_node_a_stop_waits_in_the_journal_for_the_next_one(tmp_path, open_door):
    reached = calling.stop(tmp_path, STOP, patience_s=0)
    assert reached.done is None
    assert open_door().stops == [STOP]


def test_a_stop_that_the_journal_has_already_is_not_written_again(tmp_path):
    calling.stop(tmp_path, STOP, patience_s=0)
    size = (tmp_path / NAME).stat().st_size
    calling.stop(tmp_path, STOP, patience_s=0)
    assert (tmp_path / NAME).stat().st_size == size


def test_a_stop_that_makes_no_sense_is_refused_before_anybody_is_asked(tmp_path):
    with pytest.raises(InvalidError):
        calling.stop(tmp_path, replace(STOP, reason=""))
    assert not (tmp_path / NAME).exists()


def test_the_socket_is_nobody_elses(tmp_path, open_door):
    open_door()
    mode = (tmp_path / door.NAME).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_a_path_that_is_too_long_for_an_address_is_reached_all_the_same(tmp_path, open_door):
    folder = tmp_path / ("a" * 100) / ("b" * 100)
    folder.mkdir(parents=True)
    open_door(folder)
    assert calling.status(folder)["stops"] == []


def test_the_next_node_takes_the_name_over(tmp_path, open_door):
    open_door()
    second = open_door()
    calling.stop(tmp_path, STOP)
    assert second.stops == [STOP]


@pytest.mark.parametrize("line", [b"", b"nonsense", b"[]", b'{"ask": "dance"}', b'{"ask": "act"}'])
def test_what_asks_for_nothing_known_is_told_so_and_the_door_stays_open(tmp_path, open_door, line):
    open_door()
    with (
        door.short_path(tmp_path) as path,
        closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as asker,
    ):
        asker.connect(path)
        asker.sendall(line + b"\n")
        with asker.makefile("rb") as answer:
            assert b'"kind": "invalid"' in answer.readline()
    assert calling.status(tmp_path)["stops"] == []


def test_who_knocks_and_says_nothing_keeps_nobody_waiting(tmp_path, open_door):
    open_door()
    with (
        door.short_path(tmp_path) as path,
        closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as silent,
    ):
        silent.connect(path)
        assert calling.stop(tmp_path, STOP).done is not None


def test_a_node_that_is_not_there_is_said_to_be_unreachable(tmp_path):
    with pytest.raises(UnavailableError):
        calling.status(tmp_path)
