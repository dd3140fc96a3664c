"""What runs now, as the risk gate of another line's deployment compares itself with it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from strategy_engine.control.paper import RunningNow
from strategy_engine.execution.model import (
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Role,
)
from strategy_engine.matching.model import DAY_NS
from strategy_engine.venue.service import EquityPoint

AT = datetime(2026, 1, 5, tzinfo=UTC)
JOB: Any = SimpleNamespace(content=SimpleNamespace(strategy_name="another"))


class Running:
    def __init__(self, capital: Decimal, points: list[tuple[int, int]]) -> None:
        self._capital, self._points = capital, points

    async def line(self, name: str) -> Sequence[Any]:
        assert name == "another"
        return []

    async def list(self, statuses: Any) -> Sequence[Execution]:
        return [
            Execution(
                execution_id="exec_1",
                strategy_id="strat_1",
                role=Role.STABLE,
                status=ExecutionStatus.RUNNING,
                desired=Desired.RUN,
                config=ExecutionConfig(),
                capital=self._capital,
                created_at=AT,
                updated_at=AT,
            )
        ]

    async def equity(self, execution_id: str) -> Sequence[EquityPoint]:
        assert execution_id == "exec_1"
        return [
            EquityPoint(
                close_ns=(day + 1) * DAY_NS,
                equity=Decimal(equity),
                cash=Decimal(equity),
                bar_index=day,
                benchmark=1.0,
                contributed=Decimal(contributed),
            )
            for day, (equity, contributed) in enumerate(self._points)
        ]


async def now(capital: int, *points: tuple[int, int]) -> list[Any]:
    running: Any = Running(Decimal(capital), list(points))
    return list(await RunningNow(running, running, running)(JOB))


async def test_capital_that_flowed_is_no_return_of_a_day() -> None:
    (found,) = await now(600, (100, 100), (110, 100), (611, 600), (550, 600))

    assert found.returns.tolist() == pytest.approx([0.1, 0.01 / 1.1, 550 / 611 - 1])
    assert found.days.tolist() == [1, 2, 3]
    assert found.capital == 600.0


async def test_one_whose_profit_was_withdrawn_has_no_capital_below_zero() -> None:
    (found,) = await now(-50, (100, 100), (150, 100), (10, -50))

    assert found.returns.tolist() == pytest.approx([0.5, 10 / 150])
    assert found.capital == 0.0


async def test_one_that_began_with_nothing_is_left_out() -> None:
    assert await now(0, (0, 0), (0, 0)) == []
