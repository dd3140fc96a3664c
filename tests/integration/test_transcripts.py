"""Transcripts in a real ledger: kept with their bar or not at all, and forgotten in time."""

import importlib.util
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from strategy_engine.core.clock import SteppedClock, SystemClock
from strategy_engine.execution import store as executions
from strategy_engine.execution.model import (
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Role,
)
from strategy_engine.execution.transcript_upkeep import KEPT_DAYS, TranscriptUpkeep
from strategy_engine.infra import database, migrate
from strategy_engine.infra.database import Database
from strategy_engine.performance.rollups import PATIENCE_S
from strategy_engine.performance.upkeep import Pacing
from strategy_engine.registry import store as registry
from strategy_engine.venue.ledger import Ledger
from strategy_engine.venue.model import (
    BarProcessed,
    LedgerGapError,
    Opened,
    StaleEpochError,
    Turn,
    TurnKind,
)
from strategy_engine.venue.service import Records

PROGRAM = Path(__file__).parent / "runners" / "ledger_writer.py"
_spec = importlib.util.spec_from_file_location("ledger_writer", PROGRAM)
market = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(market)

NAME = market.EXECUTION
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def data_dir(tmp_path: Path, server: str | None) -> Path:
    migrate.upgrade(tmp_path, server)
    return tmp_path


@pytest.fixture
async def both(data_dir: Path, server: str | None) -> AsyncIterator[tuple[Database, Database]]:
    control, ledger = database.open_both(data_dir, server)
    yield control, ledger
    await control.aclose()
    await ledger.aclose()


@pytest.fixture
def records(both: tuple[Database, Database]) -> Records:
    return Records(both[1])


@pytest.fixture
async def ledger(data_dir: Path, server: str | None) -> AsyncIterator[Ledger]:
    writer = Ledger(database.ledger_url(data_dir, server), retry_delays_s=())
    yield writer
    await writer.aclose()


def opened(epoch: int = 1) -> Opened:
    return Opened(
        execution_id=NAME,
        epoch=epoch,
        capital_nanos=market.CAPITAL_NANOS,
        account=market.new_venue(epoch).dump(),
        at=SystemClock().now(),
    )


def spoken(count: int, epoch: int = 1) -> list[BarProcessed]:
    """Return entries with two turns each."""
    made = market.entries(market.new_venue(epoch), epoch, bars=0, fills=0)
    return [
        replace(entry, transcript=(turn(2 * number + 1), turn(2 * number + 2)))
        for number, entry in zip(range(count), made, strict=False)
    ]


def turn(no: int) -> Turn:
    kind = TurnKind.START if no == 1 else TurnKind.ASKED
    return Turn(no=no, kind=kind, asked=b"asked %d" % no, answered=b"\x00\xff%d" % no)


async def keep(ledger: Ledger, *entries: Any) -> None:
    for each in entries:
        await ledger.append(each)


async def test_turns_are_read_as_they_were_kept_a_page_at_a_time(ledger, records):
    await keep(ledger, opened(), *spoken(5))

    pages = [await records.transcript(NAME, after_no, 4) for after_no in (0, 4, 8, 10)]

    assert [len(page) for page in pages] == [4, 4, 2, 0]
    assert [each for page in pages for each in page] == [turn(no) for no in range(1, 11)]
    assert await records.last_turn(NAME) == 10
    assert await records.last_turn("exec_of_nobody") == 0


async def test_an_entry_that_is_kept_already_adds_no_turn(ledger, records):
    first, second = spoken(2)
    await keep(ledger, opened(), first, second, first, second)

    assert [each.no for each in await records.transcript(NAME, 0, 10)] == [1, 2, 3, 4]


async def test_an_entry_that_is_refused_leaves_no_turn(ledger, records):
    first, second, third = spoken(3)
    await keep(ledger, opened(), first)
    with pytest.raises(LedgerGapError):
        await keep(ledger, third)
    await keep(ledger, opened(epoch=2))
    with pytest.raises(StaleEpochError):
        await keep(ledger, second)

    assert await records.last_turn(NAME) == 2


async def stored(control: Database, status: ExecutionStatus, end_time: datetime | None) -> None:
    """Put an execution's row there, of a version of which only the key matters."""
    row = Execution(
        execution_id=NAME,
        strategy_id="strat_1",
        role=Role.CANDIDATE,
        status=status,
        desired=Desired.RUN,
        config=ExecutionConfig(),
        capital=Decimal(1),
        created_at=NOW,
        updated_at=NOW,
        end_time=end_time,
    )
    async with control.write() as connection:
        known = {"strategy_id": "strat_1", "strategy_name": "Line", "version": "1.0.0"}
        values = {
            column.name: known.get(column.name, _some(column))
            for column in registry.TABLE.columns
            if not column.nullable or column.name in known
        }
        await connection.execute(sa.insert(registry.TABLE).values(**values))
        await executions.insert(connection, row)


def _some(column: sa.Column[Any]) -> Any:
    if isinstance(column.type, database.UtcDateTime):
        return NOW
    if isinstance(column.type, sa.JSON):
        return {}
    return "draft" if column.name == "status" else "x"


LONG_AGO = NOW - timedelta(days=KEPT_DAYS)


@pytest.mark.parametrize(
    ("status", "end_time", "left"),
    [
        (ExecutionStatus.STOPPED, LONG_AGO - timedelta(seconds=1), 0),
        (ExecutionStatus.ERROR, LONG_AGO - timedelta(days=100), 0),
        (ExecutionStatus.STOPPED, LONG_AGO + timedelta(hours=1), 20),
        (ExecutionStatus.RUNNING, None, 20),
    ],
    ids=["ended-long-ago", "failed-long-ago", "ended-lately", "running"],
)
async def test_what_ended_long_ago_is_forgotten_and_nothing_else(
    both, ledger, status, end_time, left
):
    control, kept = both
    records = Records(kept)
    await keep(ledger, opened(), *spoken(10))
    await stored(control, status, end_time)
    clock = SteppedClock(NOW - timedelta(seconds=PATIENCE_S))
    upkeep = TranscriptUpkeep(control, kept, clock, Pacing(rest_s=0.0, batch=3))

    untrusted = await upkeep.round()
    clock.advance(PATIENCE_S)
    forgotten = await upkeep.round()

    assert (untrusted, forgotten) == (0, 20 - left)
    assert len(await records.transcript(NAME, 0, 100)) == left
    assert await records.trade_row_count(NAME) > 0
