"""Flows in the ledger: kept like any entry, added up exactly, read back as accounts and returns."""

import asyncio
import importlib.util
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from strategy_engine.core import money
from strategy_engine.infra import database, migrate
from strategy_engine.infra.database import Database
from strategy_engine.venue import rows, store
from strategy_engine.venue.ledger import Ledger
from strategy_engine.venue.model import (
    BarProcessed,
    Entry,
    Flowed,
    Head,
    LedgerGapError,
    Opened,
    StaleEpochError,
)
from strategy_engine.venue.paper import PaperVenue
from strategy_engine.venue.service import Records

PROGRAM = Path(__file__).parent / "runners" / "ledger_writer.py"
_spec = importlib.util.spec_from_file_location("ledger_writer", PROGRAM)
market = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(market)
AT = datetime(2026, 1, 5, tzinfo=UTC)
CAPITAL = money.to_decimal(market.CAPITAL_NANOS)


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


class Run:
    """One execution's entries, with flows where a test wants them."""

    def __init__(self) -> None:
        self.venue: PaperVenue = market.new_venue(1)
        self.entries: list[Entry] = []
        self.flowed = 0
        self._bars = market.entries(self.venue, 1, bars=0, fills=0)

    def bars(self, count: int) -> "Run":
        for _ in range(count):
            self._add(next(self._bars))
        return self

    def flatten(self) -> "Run":
        """Close what is held at the next bar, as the engine does for itself."""
        placed = self.venue.flatten(market.SYMBOL, len(self.entries) * market.HOUR_NS)
        entry = next(self._bars)
        return self._add(replace(entry, orders=(*placed.orders, *entry.orders)))

    def flow(self, amount: float) -> "Run":
        moved = self.venue.purse.move(money.to_nanos(amount))
        self.flowed += moved
        last = [each.close_ns for each in self.entries if isinstance(each, BarProcessed)]
        return self._add(
            Flowed(
                execution_id=market.EXECUTION,
                epoch=1,
                entry_no=0,
                amount_nanos=moved,
                contributed_nanos=0,
                equity_nanos=self.venue.account.equity(),
                cash_nanos=self.venue.account.cash,
                at=AT,
                close_ns=last[-1] if last else None,
                account=self.venue.dump(),
            )
        )

    def _add(self, entry: Any) -> "Run":
        number, contributed = len(self.entries) + 1, market.CAPITAL_NANOS + self.flowed
        self.entries.append(replace(entry, entry_no=number, contributed_nanos=contributed))
        return self


def opened(epoch: int = 1) -> Opened:
    return Opened(
        execution_id=market.EXECUTION,
        epoch=epoch,
        capital_nanos=market.CAPITAL_NANOS,
        account=market.new_venue(epoch).dump(),
        at=AT,
    )


async def keep(ledger: Ledger, *entries: Entry) -> None:
    await asyncio.gather(*[ledger.append(each) for each in entries])


async def test_a_ledger_with_flows_adds_up_to_the_last_digit(ledger, records):
    run = Run().flow(1_000).bars(40).flow(-30_000).bars(5).flow(12_345.678901234)
    await keep(ledger, opened(), *run.entries)

    assert (await records.reconcile(market.EXECUTION)).findings == ()

    await keep(ledger, *run.bars(60).entries[-60:])
    assert (await records.reconcile(market.EXECUTION)).findings == ()


async def test_flows_are_kept_in_their_order_with_what_there_was_after_each(ledger, records):
    run = Run().flow(250).bars(3).flow(-100)
    await keep(ledger, opened(), *run.entries)

    (first, second), total = await records.capital_flows(market.EXECUTION)
    assert total == 2
    assert (await records.capital_flows(market.EXECUTION, limit=1, offset=1)) == ([second], 2)

    assert (first.entry_no, first.amount, first.close_ns) == (1, Decimal(250), None)
    assert first.contributed == first.cash == first.equity == CAPITAL + 250
    assert (second.entry_no, second.amount) == (5, Decimal(-100))
    assert second.contributed == CAPITAL + 150
    assert second.close_ns == 3 * market.HOUR_NS
    assert second.equity == money.to_decimal(run.venue.account.equity())
    assert second.at == AT


async def test_a_checkpoint_has_what_was_contributed_and_the_place_of_the_last_bar(ledger, records):
    run = Run().bars(3).flow(-100)
    await keep(ledger, opened(), *run.entries)

    kept = await records.checkpoint(market.EXECUTION)

    assert kept.capital_nanos == market.CAPITAL_NANOS - money.to_nanos(100)
    assert (kept.entry_no, kept.bar_no, kept.close_ns) == (4, 3, 3 * market.HOUR_NS)
    again = market.new_venue(2)
    again.load(kept.account)
    assert again.dump() == run.venue.dump()


async def test_a_flow_that_is_kept_already_is_kept_once(ledger, records):
    run = Run().bars(2).flow(500)
    await keep(ledger, opened(), *run.entries, run.entries[-1])
    await keep(ledger, run.entries[-1])

    assert (await records.capital_flows(market.EXECUTION))[1] == 1
    assert (await records.reconcile(market.EXECUTION)).findings == ()


async def test_a_flow_after_a_gap_or_of_a_stale_epoch_is_refused(ledger, records):
    run = Run().bars(2).flow(500)
    await keep(ledger, opened(), *run.entries[:1])

    with pytest.raises(LedgerGapError):
        await ledger.append(run.entries[2])
    await ledger.append(opened(epoch=2))
    with pytest.raises(StaleEpochError):
        await ledger.append(run.entries[1])

    assert await records.capital_flows(market.EXECUTION) == ([], 0)
    assert (await records.checkpoint(market.EXECUTION)).capital_nanos == market.CAPITAL_NANOS


async def test_another_opening_leaves_what_was_contributed(ledger, records):
    await keep(ledger, opened(), *Run().flow(-40_000).entries, opened(epoch=2))

    kept = await records.checkpoint(market.EXECUTION)

    assert (kept.epoch, kept.capital_nanos) == (2, money.to_nanos(60_000))


async def test_a_flow_that_somebody_changed_is_found(ledger, records, url):
    run = Run().bars(2).flow(500).bars(1).flow(-20).bars(1)
    await keep(ledger, opened(), *run.entries)
    engine = database.sync_engine(url)
    with engine.begin() as connection:
        first = store.CAPITAL_FLOWS.c.entry_no == 3
        connection.execute(sa.update(store.CAPITAL_FLOWS).where(first).values(contributed=1))
    engine.dispose()

    (finding,) = (await records.reconcile(market.EXECUTION)).findings

    assert finding.startswith("1")
    assert "were contributed before entry 5, which adds -20" in finding


async def test_an_account_is_what_the_last_entry_left(ledger, records):
    assert await records.accounts([market.EXECUTION]) == {}
    await keep(ledger, opened())
    fresh = (await records.accounts([market.EXECUTION, "exec_none"]))[market.EXECUTION]
    assert (fresh.equity, fresh.free, fresh.contributed, fresh.pnl) == (
        CAPITAL,
        CAPITAL,
        CAPITAL,
        0,
    )
    assert (fresh.is_flat, fresh.close_ns, fresh.slippage_bps) == (True, None, None)

    run = Run().bars(2).flow(-500).bars(120).flow(2_000)
    await keep(ledger, *run.entries)
    now = (await records.accounts([market.EXECUTION]))[market.EXECUTION]

    account = run.venue.account
    assert now.contributed == CAPITAL + 1_500
    assert now.cash == money.to_decimal(account.cash)
    assert now.equity == money.to_decimal(account.equity())
    assert now.free == money.to_decimal(account.unpledged())
    assert now.pnl == now.equity - now.contributed
    assert now.is_flat == (not account.books[market.SYMBOL].lots)
    assert (now.bar_no, now.entry_no, now.close_ns) == (122, 124, 122 * market.HOUR_NS)
    bars = [each for each in run.entries if isinstance(each, BarProcessed)]
    assert now.fill_count == sum(len(each.fills) for each in bars)
    orders = await records.orders(market.EXECUTION)
    assert now.order_count == len(orders)
    assert now.denied_count == len([each for each in orders if each.denial_code])
    # The rule's slippage is rounded up to a tick, which is at most a tick beyond it.
    assert 0.0 <= now.slippage_bps < 10_000 / 110_000
    assert (await records.standings([market.EXECUTION]))[market.EXECUTION].pnl == now.pnl


async def test_what_many_hold_is_read_at_one_look(ledger, records):
    assert await records.holdings([]) == {}
    run = Run().bars(1)
    while not run.venue.account.books[market.SYMBOL].lots:
        run.bars(1)
    await keep(ledger, opened(), *run.entries)
    (position,) = await records.positions(market.EXECUTION)
    held = await records.holdings([market.EXECUTION, "exec_none"])

    run.flatten()
    await keep(ledger, run.entries[-1])

    assert position.quantity
    assert not run.venue.account.books[market.SYMBOL].lots
    assert held == {market.EXECUTION: {market.SYMBOL: position.quantity}, "exec_none": {}}
    assert await records.holdings([market.EXECUTION]) == {market.EXECUTION: {}}


async def test_an_account_counts_the_entries_that_wait_for_a_price(ledger, records):
    run = Run().bars(1)
    while not any(order.opens for order in run.entries[-1].orders):
        run.bars(1)
    await keep(ledger, opened(), *run.entries)

    now = (await records.accounts([market.EXECUTION]))[market.EXECUTION]

    assert now.waiting_entries == 1


async def test_an_account_that_an_older_version_kept_says_what_its_last_bar_said(
    ledger, records, url
):
    run = Run().bars(7)
    await keep(ledger, opened(), *run.entries)
    account = {key: value for key, value in run.venue.dump().items() if key != "now"}
    engine = database.sync_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.update(store.CHECKPOINTS).values(account=account))
    engine.dispose()

    now = (await records.accounts([market.EXECUTION]))[market.EXECUTION]

    assert now.equity == money.to_decimal(run.venue.account.equity())
    assert now.free == (now.cash if now.is_flat else 0)


async def test_returns_know_no_flows(ledger, records):
    still, flowing = Run().bars(30), Run()
    flowing.flow(77_000).bars(10).flow(-20_000).bars(5).flow(3).flow(4).bars(15)
    await keep(ledger, opened(), *flowing.entries)

    closes, simple = await records.returns(market.EXECUTION, 0)

    bars = [each for each in flowing.entries if isinstance(each, BarProcessed)]
    assert closes.tolist() == [each.close_ns for each in bars]
    before, given = market.CAPITAL_NANOS, market.CAPITAL_NANOS
    for bar, found in zip(bars, simple, strict=True):
        moved = bar.contributed_nanos - given
        assert found == pytest.approx((bar.equity_nanos - moved) / before - 1.0, abs=1e-15)
        before, given = bar.equity_nanos, bar.contributed_nanos
    assert len([each for each in still.entries if each.fills]) > 5
    assert np.abs(simple).max() < 0.05  # the largest flow was three quarters of the capital


async def test_returns_read_part_by_part_are_those_of_the_whole(ledger, records):
    run = Run().bars(12).flow(-5_000).bars(12)
    await keep(ledger, opened(), *run.entries)
    closes, simple = await records.returns(market.EXECUTION, 0)

    parts = [await records.returns(market.EXECUTION, int(after)) for after in (0, *closes)]

    assert [part[1][0] for part in parts[:-1]] == simple.tolist()
    assert parts[-1][1].size == 0
    assert (await records.returns("exec_none", 0))[0].size == 0


async def test_accounts_and_returns_read_no_whole_history(ledger, records, url):
    if not url.startswith("sqlite"):
        pytest.skip("SQLite's own plans are looked at")
    await keep(ledger, opened(), *Run().bars(5).flow(1).entries)
    with closing(sqlite3.connect(url.removeprefix("sqlite+aiosqlite:///"))) as connection:
        for query in (
            "SELECT count(*) FROM orders WHERE execution_id = 'x'",
            "SELECT count(*) FROM orders WHERE execution_id = 'x' AND denial_code IS NOT NULL",
            "SELECT max(close_ns) FROM equity WHERE execution_id = 'x'",
        ):
            plan = " ".join(
                str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")
            )
            assert "INDEX" in plan
            assert "SCAN orders" not in plan


def upgraded_to_0002(file: str, folder: Path, server: str | None) -> sa.Engine:
    engine = database.migration_engine(migrate.url_of(file, folder, server))
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    with engine.begin() as connection:
        table = migrate.version_table(engine.dialect.name, file)
        config.attributes.update(connection=connection, file=file, version_table=table)
        command.upgrade(config, "0002")
    return engine


async def test_what_an_older_version_kept_was_given_what_it_was_opened_with(tmp_path, server):
    upgraded_to_0002(migrate.CONTROL, tmp_path, server).dispose()
    engine = upgraded_to_0002(migrate.LEDGER, tmp_path, server)
    run = Run().bars(4)
    with engine.begin() as connection:
        kept = rows.opening(opened()) | {"capital": Decimal("50000.5")}
        connection.execute(sa.insert(store.CHECKPOINTS), kept)
        heads = {market.EXECUTION: Head(epoch=1, entry_no=0)}
        for row in rows.collect(run.entries, heads)[0].equity.values():
            del row["contributed"]
            names = [column for column in store.EQUITY.columns if column.name in row]
            old = sa.table("equity", *(sa.column(each.name, each.type) for each in names))
            connection.execute(sa.insert(old), row)
    engine.dispose()

    await asyncio.to_thread(migrate.upgrade, tmp_path, server)

    reader = Database(migrate.url_of(migrate.LEDGER, tmp_path, server))
    points = await Records(reader).equity(market.EXECUTION)
    standing = (await Records(reader).standings([market.EXECUTION]))[market.EXECUTION]
    await reader.aclose()
    assert [each.contributed for each in points] == [Decimal("50000.5")] * 4
    assert standing.pnl == points[-1].equity - Decimal("50000.5")
