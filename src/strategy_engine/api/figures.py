"""What the door asks for figures: of executions, versions, lines and the engine."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

from strategy_engine.execution.model import Execution
from strategy_engine.performance.composite import Asked, Measured
from strategy_engine.performance.rollups import Resolution, Span
from strategy_engine.performance.service import Point


class Snapshots(Protocol):
    """The metrics of executions as they were."""

    def choose(self, asked: Span, *, now: datetime) -> Resolution:
        """Return the finest resolution that still has a whole span, in as few points as asked."""
        ...

    async def history(
        self,
        execution_id: str,
        resolution: Resolution,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 100,
    ) -> Sequence[Point]:
        """Return the last `limit` points of [start, end), oldest first."""
        ...

    def pages(
        self,
        execution_id: str,
        resolution: Resolution,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> AsyncIterator[Sequence[Point]]:
        """Yield every point of [start, end), oldest first."""
        ...


class Measuring(Protocol):
    """What executions, versions, lines and the engine come to."""

    async def of_execution(self, execution: Execution, asked: Asked) -> Measured:
        """Measure an execution by its bars."""
        ...

    async def of_version(self, strategy_id: str, asked: Asked) -> Measured:
        """Measure all executions that a version ever had."""
        ...

    async def of_line(self, strategy_name: str, asked: Asked) -> Measured:
        """Measure all executions of a line."""
        ...

    async def of_engine(self, asked: Asked) -> Measured:
        """Measure everything that ever had capital."""
        ...


class Sheets(Protocol):
    """Tearsheets, as HTML."""

    async def of_execution(self, execution_id: str) -> str:
        """Return the tearsheet of an execution."""
        ...

    async def of_version(
        self,
        strategy_id: str,
        of: Literal["auto", "live", "paper", "backtest"],
        against: str | None,
    ) -> str:
        """Return the tearsheet of a version, beside another one's if that is named."""
        ...


class Pages(Protocol):
    """Whole ledgers, a page at a time."""

    def trades(
        self, execution_id: str, *, start_ns: int | None, end_ns: int | None
    ) -> AsyncIterator[Sequence[Sequence[Any]]]:
        """Yield fills, oldest first, with `venue.pages.TRADE_COLUMNS`."""
        ...

    def equity(
        self, execution_id: str, *, start_ns: int | None, end_ns: int | None
    ) -> AsyncIterator[Sequence[Sequence[Any]]]:
        """Yield equity, oldest first, with `venue.pages.EQUITY_COLUMNS`."""
        ...
