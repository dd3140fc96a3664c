"""Which instruments a new version trades where another stands."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.execution.model import ExecutionConfig, Role
from strategy_engine.registry.model import Content, Status
from strategy_engine.rollout import instruments
from strategy_engine.rollout.line import Line
from strategy_engine.rollout.model import DeploymentType, Options


def content(version, symbols=None):
    parameters = {} if symbols is None else {"symbols": list(symbols)}
    return Content(strategy_name="Waves", version=version, code="pass", parameters=parameters)


A, B, AB = ("A.SIM",), ("B.SIM",), ("A.SIM", "B.SIM")


@pytest.mark.parametrize(
    ("new", "old", "at_start", "expected"),
    [
        (None, A, None, A),
        (None, A, B, B),
        (B, A, None, B),
        (B, A, A, B),
        (AB, A, B, AB),
        (A, A, B, A),
    ],
)
def test_a_version_trades_what_it_declares_and_else_what_it_replaces_trades(
    new, old, at_start, expected
):
    config = ExecutionConfig(symbols=at_start, speed=5.0)
    mine = instruments.config_of(content("2.0.0", new), content("1.0.0", old), config)

    assert instruments.traded(content("2.0.0", new), mine) == expected
    assert mine.speed == 5.0


def test_a_copy_of_a_version_trades_what_that_was_started_with():
    config = ExecutionConfig(symbols=B)
    assert instruments.config_of(content("1.0.0", A), content("1.0.0", A), config) == config


@pytest.mark.parametrize(
    ("new", "old", "told"),
    [
        (A, A, ""),
        (AB, tuple(reversed(AB)), ""),
        (AB, A, "it trades A.SIM, B.SIM, as it declares; the version before it A.SIM"),
        (B, A, "of which it takes A.SIM no further"),
    ],
)
def test_other_instruments_are_told_of(new, old, told):
    assert told in instruments.notice(new, old)
    assert bool(instruments.notice(new, old)) is bool(told)


NAMES = st.lists(st.sampled_from([f"{name}.SIM" for name in "ABCDE"]), min_size=1, unique=True)


@given(NAMES, NAMES)
def test_nothing_is_told_exactly_where_the_instruments_are_the_same(new, old):
    assert (instruments.notice(new, old) == "") is (set(new) == set(old))


class Running:
    """A line on which version 1 was started with instruments of its own, and who reads it."""

    def __init__(self, at_start) -> None:
        self.versions = [
            SimpleNamespace(
                strategy_id="strat_1", content=content("1.0.0", AB), status=Status.RUNNING
            )
        ]
        self.execution = SimpleNamespace(
            execution_id="exec_1",
            strategy_id="strat_1",
            role=Role.STABLE,
            config=ExecutionConfig(symbols=at_start),
            capital=100_000,
        )
        self.asked: list[list[str]] = []

    async def line(self, name):
        return self.versions

    async def get(self, strategy_id):
        return self.versions[0]

    async def unended_of(self, strategy_id):
        return [self.execution]

    async def accounts(self, names):
        return {}

    async def lots(self, symbols):
        self.asked.append(list(symbols))
        return []


@pytest.mark.parametrize(
    ("declared", "batches", "told"),
    [
        (None, ["switch_A.SIM"], ""),
        (AB, ["switch_A.SIM", "switch_B.SIM"], "it trades A.SIM, B.SIM"),
        (B, ["switch_A.SIM", "switch_B.SIM"], "takes A.SIM no further"),
    ],
)
async def test_a_rolling_one_goes_over_all_that_either_trades(declared, batches, told):
    running = Running(at_start=A)
    line = Line(registry=running, executions=running, records=running, lines=running)
    new = SimpleNamespace(
        strategy_id="strat_2", content=content("2.0.0", declared), status=Status.TESTING
    )
    steps, replaces = await line.plan(new, Options(deployment_type=DeploymentType.ROLLING))

    assert [each.name for each in steps if each.name.startswith("switch")] == batches
    assert replaces == ("exec_1",)
    assert running.asked == [list(declared or A)]
    assert told in await line.notice(new)
