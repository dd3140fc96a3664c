"""Who is waited for where positions are handed over, and when nothing is."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from strategy_engine.core.clock import SystemClock
from strategy_engine.core.errors import ConflictError
from strategy_engine.execution.handing import Handing
from strategy_engine.execution.model import (
    Change,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Role,
    Switch,
)

NOW = SystemClock().now()
SWITCH = Switch(
    key="k",
    gives=("old",),
    takes=("new",),
    changes={"old": Change(capital_target=0), "new": Change(capital_target=100)},
    hands_cash=True,
    adopts=True,
)


class Rows:
    """What rows and ledgers say of two executions."""

    def __init__(self, *, is_flat: bool, status: ExecutionStatus = ExecutionStatus.RUNNING):
        self._is_flat, self._status = is_flat, status

    async def get_many(self, names):
        return [
            Execution(
                execution_id=name,
                strategy_id="strat",
                role=Role.STABLE,
                status=self._status if name == "old" else ExecutionStatus.RUNNING,
                desired="run",
                config=ExecutionConfig(),
                capital=100,
                created_at=NOW,
                updated_at=NOW,
            )
            for name in names
        ]

    async def accounts(self, names):
        return {name: SimpleNamespace(is_flat=self._is_flat or name == "new") for name in names}


def handing(rows: Rows) -> Handing:
    return Handing(SimpleNamespace(journal=rows, records=rows))


def runner(name: str, *, is_flat: bool):
    return SimpleNamespace(execution_id=name, desk=SimpleNamespace(is_flat=is_flat))


async def test_a_taker_that_has_not_begun_is_waited_for():
    rest = {"old": runner("old", is_flat=False)}
    with pytest.raises(ConflictError, match="new is not between two bars yet"):
        await handing(Rows(is_flat=False)).gather(SWITCH, rest)


async def test_a_giver_with_a_position_is_waited_for():
    rest = {"new": runner("new", is_flat=True)}
    with pytest.raises(ConflictError, match="old is not between two bars yet"):
        await handing(Rows(is_flat=False)).gather(SWITCH, rest)


@pytest.mark.parametrize(
    "rows", [Rows(is_flat=True), Rows(is_flat=False, status=ExecutionStatus.STOPPED)]
)
async def test_a_giver_with_nothing_to_give_is_not_waited_for(rows):
    rest = {"new": runner("new", is_flat=True)}
    await handing(rows).gather(SWITCH, rest)
    planned = await handing(rows).planned(SWITCH, rest, {})
    assert planned.adoption is None


async def test_without_positions_to_hand_over_nobody_is_asked_for():
    asked = replace(SWITCH, adopts=False)
    await handing(Rows(is_flat=False)).gather(asked, {})
    assert await handing(Rows(is_flat=False)).planned(asked, {}, {}) is asked
