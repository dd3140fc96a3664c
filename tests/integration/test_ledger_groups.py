"""Entries of several executions that the ledger keeps as one: all of them or none, whatever is."""

import asyncio
import importlib.util
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from strategy_engine.core.clock import SystemClock
from strategy_engine.core.errors import UnavailableError
from strategy_engine.infra import database
from strategy_engine.infra.database import Database
from strategy_engine.venue.ledger import Ledger
from strategy_engine.venue.model import (
    BarProcessed,
    LedgerGapError,
    Opened,
    StaleEpochError,
    Together,
)
from strategy_engine.venue.service import Records

PROGRAM = Path(__file__).parent / "runners" / "ledger_writer.py"
_spec = importlib.util.spec_from_file_location("grouping_writer", PROGRAM)
market = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(market)

ONE, OTHER = "exec_one", "exec_other"


@pytest.fixture
async def records(tmp_path: Path, server: str | None) -> AsyncIterator[Records]:
    address = database.ledger_url(tmp_path, server)
    engine = database.sync_engine(address)
    database.ledger.create_all(engine)
    engine.dispose()
    reader = Database(address)
    yield Records(reader)
    await reader.aclose()


@pytest.fixture
async def ledger(tmp_path: Path, records: Records, server: str | None) -> AsyncIterator[Ledger]:
    writer = Ledger(database.ledger_url(tmp_path, server), retry_delays_s=())
    for name in (ONE, OTHER):
        await writer.append(opened(name))
    yield writer
    await writer.aclose()


def opened(name: str, epoch: int = 1) -> Opened:
    return Opened(
        execution_id=name,
        epoch=epoch,
        capital_nanos=market.CAPITAL_NANOS,
        account=market.new_venue(epoch).dump(),
        at=SystemClock().now(),
    )


def bars(name: str, count: int) -> list[BarProcessed]:
    made = market.entries(market.new_venue(1), 1, bars=0, fills=0)
    return [replace(next(made), execution_id=name, orders=(), decision=None) for _ in range(count)]


async def kept(records: Records) -> list[int]:
    return [(await records.checkpoint(each)).entry_no for each in (ONE, OTHER)]


async def test_what_goes_together_is_kept_together(ledger, records):
    (first, second), (third,) = bars(ONE, 2), bars(OTHER, 1)

    await ledger.append(Together(entries=(first, second, third)))

    assert await kept(records) == [2, 1]


async def test_kept_again_a_group_changes_nothing(ledger, records):
    group = Together(entries=(*bars(ONE, 1), *bars(OTHER, 1)))
    await ledger.append(group)
    await ledger.append(group)

    assert await kept(records) == [1, 1]


@pytest.mark.parametrize("is_first", [True, False])
async def test_one_that_may_not_be_kept_keeps_the_others_out(ledger, records, is_first):
    mine, (_, gapped) = bars(ONE, 2), bars(OTHER, 2)
    entries = (gapped, mine[0]) if is_first else (mine[0], gapped)

    outcomes = await asyncio.gather(
        ledger.append(Together(entries=entries)), ledger.append(mine[0]), return_exceptions=True
    )

    assert isinstance(outcomes[0], LedgerGapError)
    assert outcomes[1] is None
    assert await kept(records) == [1, 0]


async def test_a_copy_that_was_taken_over_hands_nothing_on(ledger, records):
    (mine,), (theirs,) = bars(ONE, 1), bars(OTHER, 1)
    await ledger.append(opened(OTHER, epoch=2))

    with pytest.raises(StaleEpochError):
        await ledger.append(Together(entries=(mine, theirs)))

    assert await kept(records) == [0, 0]


async def test_an_entry_that_cannot_be_stored_takes_its_group_with_it_and_no_other(ledger, records):
    mine, (theirs,) = bars(ONE, 2), bars(OTHER, 1)
    broken = replace(theirs, account={**theirs.account, "not": object()})
    group = Together(entries=(mine[0], broken))

    outcomes: list[Any] = await asyncio.gather(
        ledger.append(group), ledger.append(mine[0]), ledger.append(mine[1]), return_exceptions=True
    )

    assert [type(each) for each in outcomes] == [UnavailableError, type(None), type(None)]
    assert await kept(records) == [2, 0]
