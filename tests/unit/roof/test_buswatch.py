"""How the bus is, from what its processes report: connected is who is heard of, and says so."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from strategy_engine.control import buswatch
from strategy_engine.infra.bus.links import SILENT_S, Link

NOW = datetime(2025, 8, 24, 10, 0, tzinfo=UTC)


def link(name: str, **changes: object) -> Link:
    made = Link(name=name, holder="node", is_connected=True, seen_at=NOW, counts={"published": 2})
    return replace(made, **changes)


BOTH = [link("executions"), link("pipelines")]


def test_it_is_connected_while_both_publishers_are():
    bus = buswatch.read(BOTH, NOW, is_remote=True)
    assert (bus.is_connected, bus.detail, bus.waiting) == (True, "", 0)
    assert bus.counts == {"published": 4}


@pytest.mark.parametrize(
    "found",
    [
        [],
        BOTH[:1],
        [BOTH[0], link("pipelines", is_connected=False, detail="refused")],
        [BOTH[0], link("pipelines", seen_at=NOW - timedelta(seconds=SILENT_S + 1))],
        [*BOTH, link("commands", is_connected=False, detail="refused")],
    ],
    ids=["nobody", "one missing", "one away", "one silent", "no commands"],
)
def test_it_is_not_connected_while_one_is_away_silent_or_missing(found):
    bus = buswatch.read(found, NOW, is_remote=True)
    assert not bus.is_connected
    assert bus.detail


def test_a_process_that_was_once_does_not_keep_it_from_being_connected():
    gone = link("bars node-7", is_connected=False, seen_at=NOW - timedelta(days=3))
    assert buswatch.read([*BOTH, gone], NOW, is_remote=True).is_connected


def test_the_same_trouble_of_several_is_told_once_with_their_names():
    found = [replace(each, is_connected=False, detail="refused") for each in BOTH]
    assert buswatch.read(found, NOW, is_remote=True).detail == "executions, pipelines: refused"


def test_what_waits_is_told_with_the_age_of_the_oldest():
    found = [
        link("executions", waiting=3, oldest_at=NOW - timedelta(seconds=7)),
        link("pipelines", waiting=1, oldest_at=NOW - timedelta(seconds=12)),
    ]
    bus = buswatch.read(found, NOW, is_remote=True)
    assert (bus.waiting, bus.oldest_s) == (4, 12.0)
    assert bus.detail == "4 events wait to be published, the oldest for 12 s"


def test_a_bus_inside_the_process_cannot_be_away():
    assert buswatch.read([], NOW, is_remote=False).is_connected
