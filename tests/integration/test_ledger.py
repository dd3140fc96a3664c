import asyncio
import importlib.util
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from strategy_engine.core import money
from strategy_engine.core.clock import SystemClock
from strategy_engine.core.errors import NotFoundError, UnavailableError
from strategy_engine.infra import database, urls
from strategy_engine.infra.database import Database
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.venue import store
from strategy_engine.venue.ledger import Ledger
from strategy_engine.venue.model import (
    BarProcessed,
    Closed,
    LedgerGapError,
    Opened,
    StaleEpochError,
)
from strategy_engine.venue.service import Records

PROGRAM = Path(__file__).parent / "runners" / "ledger_writer.py"
_spec = importlib.util.spec_from_file_location("ledger_writer", PROGRAM)
LOCK_TIMEOUT_S = 0.1
market = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(market)


@pytest.fixture
def url(tmp_path: Path, server: str | None) -> str:
    address = database.ledger_url(tmp_path, server)
    engine = database.sync_engine(address)
    database.ledger.create_all(engine)
    engine.dispose()
    return address


@pytest.fixture
async def records(url: str) -> AsyncIterator[Records]:
    reader = Database(url)
    yield Records(reader)
    await reader.aclose()


@pytest.fixture
async def ledger(url: str) -> AsyncIterator[Ledger]:
    writer = Ledger(url, retry_delays_s=())
    yield writer
    await writer.aclose()


@contextmanager
def held(url: str) -> Iterator[None]:
    """Hold the ledger so that nobody else can write it."""
    is_server = urls.is_server(url)
    lock = "LOCK TABLE checkpoints IN EXCLUSIVE MODE" if is_server else "BEGIN IMMEDIATE"
    holder = (
        psycopg.connect(url)
        if is_server
        else sqlite3.connect(url.removeprefix("sqlite+aiosqlite:///"), isolation_level=None)
    )
    holder.execute(lock)
    try:
        yield
    finally:
        holder.execute("ROLLBACK")
        holder.close()


def opened(epoch: int = 1) -> Opened:
    return Opened(
        execution_id=market.EXECUTION,
        epoch=epoch,
        capital_nanos=market.CAPITAL_NANOS,
        account=market.new_venue(epoch).dump(),
        at=SystemClock().now(),
    )


def some(count: int, epoch: int = 1) -> list[BarProcessed]:
    made = market.entries(market.new_venue(epoch), epoch, bars=0, fills=0)
    return [next(made) for _ in range(count)]


async def keep(ledger: Ledger, *entries: Any) -> None:
    await asyncio.gather(*[ledger.append(each) for each in entries])


async def test_what_was_kept_adds_up_to_the_last_digit(ledger, records):
    await keep(ledger, opened(), *some(200))

    found = await records.reconcile(market.EXECUTION)

    assert found.findings == ()
    assert found.trade_count > 50


async def test_a_trade_row_says_what_was_filled_in_exact_numbers(ledger, records):
    made = some(10)
    await keep(ledger, opened(), *made)
    fill = made[1].fills[0]

    (trade, *_) = await records.trades(market.EXECUTION)

    assert trade.trade_id == f"{market.EXECUTION}-1"
    assert trade.quantity == Decimal(fill.lots)
    assert trade.price == Decimal(fill.price_ticks) / 100_000
    assert trade.fee == money.to_decimal(fill.fee_nanos)
    assert trade.side == "BUY"
    assert trade.opens


async def test_a_standing_is_what_the_rows_of_fills_round_trips_and_equity_say(ledger, records):
    assert await records.standings([market.EXECUTION]) == {}
    await keep(ledger, opened())
    (fresh,) = (await records.standings([market.EXECUTION])).values()
    assert (fresh.fill_count, fresh.trade_count, fresh.pnl) == (0, 0, 0)

    await keep(ledger, *some(200))

    (standing,) = (await records.standings([market.EXECUTION, "exec_nobody"])).values()
    equity = await records.equity(market.EXECUTION)
    assert standing.fill_count == await records.trade_row_count(market.EXECUTION) > 50
    assert standing.trade_count == len(await records.round_trips(market.EXECUTION)) > 20
    assert standing.pnl == equity[-1].equity - money.to_decimal(market.CAPITAL_NANOS) != 0
    assert await records.standings([]) == {}


async def test_orders_end_as_filled_cancelled_or_denied(ledger, records):
    await keep(ledger, opened(), *some(12))
    last = some(12)[-1]
    waiting = [each for each in await records.orders(market.EXECUTION) if each.status == "accepted"]

    await keep(
        ledger,
        Closed(
            execution_id=market.EXECUTION,
            epoch=1,
            entry_no=13,
            cancelled=tuple(each.order_id for each in waiting),
            account=last.account,
        ),
    )

    statuses = {each.status for each in await records.orders(market.EXECUTION)}
    assert "filled" in statuses
    assert "accepted" not in statuses


async def test_an_entry_that_is_already_kept_changes_nothing(ledger, records):
    made = some(20)
    await keep(ledger, opened(), *made)
    before = await records.checkpoint(market.EXECUTION)

    await keep(ledger, opened(), *made)

    assert await records.checkpoint(market.EXECUTION) == before
    assert (await records.reconcile(market.EXECUTION)).is_exact


async def test_an_entry_of_an_older_epoch_is_refused_and_counted(ledger, records):
    made = some(6)
    await keep(ledger, opened(), *made[:5], opened(epoch=2))

    with pytest.raises(StaleEpochError, match="epoch 1 is stale, the ledger is at 2"):
        await ledger.append(made[5])

    assert ledger.refused == 1
    assert (await records.checkpoint(market.EXECUTION)).bar_no == 5


async def test_a_stale_entry_in_a_commit_does_not_hold_up_the_others(ledger, records):
    await keep(ledger, opened(epoch=2))
    stale, fresh = some(1)[0], some(1, epoch=2)[0]

    outcomes = await asyncio.gather(
        ledger.append(stale), ledger.append(fresh), return_exceptions=True
    )

    assert isinstance(outcomes[0], StaleEpochError)
    assert outcomes[1] is None


async def test_an_epoch_that_another_process_has_raised_is_seen_by_the_next_commit(
    url, ledger, records
):
    made = some(2)
    await keep(ledger, opened(), made[0])
    engine = database.sync_engine(url)
    with engine.begin() as connection:  # as another node's ledger does
        connection.execute(sa.update(store.CHECKPOINTS).values(epoch=5))
    engine.dispose()

    with pytest.raises(StaleEpochError, match="epoch 1 is stale, the ledger is at 5"):
        await ledger.append(made[1])

    assert (await records.checkpoint(market.EXECUTION)).bar_no == 1


async def test_of_two_ledgers_that_open_an_execution_at_once_the_higher_epoch_has_it(url, records):
    for number in range(20):
        first, second = Ledger(url), Ledger(url)
        name = f"exec_{number}"
        low, high = (replace(opened(epoch), execution_id=name) for epoch in (1, 2))
        outcomes = await asyncio.gather(
            first.append(low), second.append(high), return_exceptions=True
        )
        await first.aclose()
        await second.aclose()

        assert (await records.checkpoint(name)).epoch == 2
        assert outcomes[1] is None
        assert outcomes[0] is None or isinstance(outcomes[0], StaleEpochError)


async def test_an_entry_after_a_lost_one_is_refused(ledger, records):
    made = some(5)
    await keep(ledger, opened(), *made[:2])

    with pytest.raises(LedgerGapError, match="entry 4 cannot follow entry 2"):
        await ledger.append(made[3])


async def test_an_execution_must_be_opened_first(ledger, records):
    with pytest.raises(LedgerGapError, match="open it first"):
        await ledger.append(some(1)[0])
    with pytest.raises(NotFoundError):
        await records.reconcile(market.EXECUTION)


async def test_an_entry_that_cannot_be_stored_fails_alone(ledger, records):
    made = some(3)
    broken = replace(opened(), execution_id="exec_broken", account={"not": object()})

    outcomes = await asyncio.gather(
        *[ledger.append(each) for each in (opened(), made[0], broken, made[1], made[2])],
        return_exceptions=True,
    )

    assert [type(each) for each in outcomes if each is not None] == [UnavailableError]
    assert (await records.checkpoint(market.EXECUTION)).bar_no == 3


async def test_a_database_that_cannot_be_written_is_an_error_and_leaves_no_gap(url, records):
    ledger = Ledger(url, retry_delays_s=(0.001,), timeout_s=LOCK_TIMEOUT_S)
    made = some(3)
    await keep(ledger, opened(), made[0])

    with held(url), pytest.raises(DatabaseAwayError, match=r"lock.*: end"):
        await ledger.append(made[1])

    with pytest.raises(LedgerGapError):
        await ledger.append(made[2])
    await ledger.aclose()
    assert (await records.checkpoint(market.EXECUTION)).bar_no == 1


async def test_a_lock_that_passes_is_waited_for(url, records):
    ledger = Ledger(url, retry_delays_s=(0.02,) * 500, timeout_s=LOCK_TIMEOUT_S)
    await keep(ledger, opened())
    with held(url):
        kept = ledger.append(some(1)[0])
        await asyncio.to_thread(_wait_for, lambda: ledger.waiting == 0)
    await kept

    await ledger.aclose()
    assert (await records.checkpoint(market.EXECUTION)).bar_no == 1


async def test_closing_commits_what_is_queued_and_refuses_what_comes_after(url, records):
    ledger = Ledger(url)
    made = some(101)
    ledger.append(opened())
    for entry in made[:100]:
        ledger.append(entry)

    await ledger.aclose()

    assert (await records.checkpoint(market.EXECUTION)).bar_no == 100
    with pytest.raises(UnavailableError, match="closed"):
        await ledger.append(made[100])


async def test_entries_that_queue_during_a_commit_share_the_next_one(ledger):
    await keep(ledger, opened(), *some(500))

    assert ledger.commits < 100


async def test_a_long_equity_curve_is_thinned_and_keeps_its_ends(ledger, records):
    await keep(ledger, opened(), *some(300))

    thin = await records.equity(market.EXECUTION, max_points=10)
    part = await records.equity(
        market.EXECUTION, start_ns=10 * market.HOUR_NS, end_ns=20 * market.HOUR_NS
    )

    assert len(thin) <= 10
    assert (thin[0].bar_index, thin[-1].bar_index) == (0, 299)
    assert [each.bar_index for each in part] == list(range(9, 19))


@pytest.mark.parametrize(
    ("spoil", "finding"),
    [
        (sa.delete(store.TRADES).where(store.TRADES.c.seq == 2), "numbered"),
        (sa.update(store.TRADES).where(store.TRADES.c.seq == 1).values(quantity=1), "add up to"),
        (sa.update(store.TRADES).where(store.TRADES.c.seq == 1).values(fee=1), "leave cash"),
        (sa.update(store.EQUITY).values(equity=5), "are worth"),
    ],
)
async def test_reconciling_finds_what_was_tampered_with(url, ledger, records, spoil, finding):
    await keep(ledger, opened(), *some(40))
    engine = database.sync_engine(url)
    with engine.begin() as connection:
        connection.execute(spoil)
    engine.dispose()

    found = await records.reconcile(market.EXECUTION)

    assert any(finding in each for each in found.findings)


async def test_a_writer_that_is_killed_leaves_a_whole_prefix_and_loses_nothing_it_was_told_of(
    url, records
):
    acknowledged = (0, 0)
    for epoch in (1, 2):
        acknowledged = await asyncio.to_thread(_write_and_kill, url, epoch)
        kept = await records.checkpoint(market.EXECUTION)
        replayed = market.new_venue(1)
        again = market.entries(replayed, 1, bars=0, fills=0)
        fills = sum(len(next(again).fills) for _ in range(kept.bar_no))

        assert (kept.bar_no, kept.fill_count) >= acknowledged
        assert kept.epoch == epoch
        assert kept.fill_count == fills
        assert kept.account == replayed.dump()
        assert (await records.reconcile(market.EXECUTION)).findings == ()


def _write_and_kill(url: str, epoch: int) -> tuple[int, int]:
    with subprocess.Popen(
        [sys.executable, PROGRAM, url, str(epoch)], stdout=subprocess.PIPE, text=True
    ) as writer:
        lines = [writer.stdout.readline() for _ in range(60)]
        writer.kill()
        lines += [line for line in writer.stdout if line.endswith("\n")]
    bars, fills = lines[-1].split()
    return int(bars), int(fills)


def _wait_for(condition: Any) -> None:
    while not condition():
        pass
