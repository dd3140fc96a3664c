"""What a native execution leaves in the ledger, on both databases."""

import importlib.util
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from strategy_engine.core.clock import SystemClock
from strategy_engine.infra import database
from strategy_engine.infra.database import Database
from strategy_engine.venue.ledger import Ledger
from strategy_engine.venue.model import Opened
from strategy_engine.venue.service import Records

EXAMPLE = Path(__file__).parents[1] / "unit" / "execution" / "native_counting.py"
_spec = importlib.util.spec_from_file_location("native_desk_example", EXAMPLE)
example = importlib.util.module_from_spec(_spec)
sys.modules["native_desk_example"] = example
_spec.loader.exec_module(example)


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


async def kept(url: str) -> tuple[Any, list[Any]]:
    """Keep the whole example, to its end; return its last entry and the others."""
    desk = example.desk(max_position_size=30_000)
    opened = Opened(
        execution_id="exec_1",
        epoch=1,
        capital_nanos=example.CAPITAL_NANOS,
        account=desk.dump(),
        at=SystemClock().now(),
    )
    entries = [opened, *example.play(desk), desk.close()]
    ledger = Ledger(url, retry_delays_s=())
    for entry in entries[:-1]:
        ledger.post(entry)
    await ledger.append(entries[-1])
    await ledger.aclose()
    return entries[-1], entries[1:-1]


async def test_a_native_executions_ledger_adds_up_order_by_order(url: str, records: Any) -> None:
    _, entries = await kept(url)
    found = await records.reconcile("exec_1")
    orders = await records.orders("exec_1")
    trades = await records.trades("exec_1", limit=100_000)
    filled: Counter[str] = Counter()
    for each, fill in zip(trades, [f for entry in entries for f in entry.fills], strict=True):
        assert each.order_id == fill.order_id
        filled[each.order_id] += fill.lots
    assert found.findings == ()
    assert {each.order_id: each.filled_lots for each in orders if each.filled_lots} == filled
    assert {each.status for each in orders} == {"filled", "cancelled", "denied"}
    assert all(each.lots == each.filled_lots for each in orders if each.status == "filled")
    assert all(each.denial_code for each in orders if each.status == "denied")


async def test_the_terms_of_an_order_follow_its_changes(url: str, records: Any) -> None:
    _, entries = await kept(url)
    changes = [each for entry in entries for each in entry.changes]
    trailed = {each.order_id: each for each in changes if each.trigger_ticks is not None}
    resized = {each.order_id: each for each in changes if each.lots is not None}
    assert trailed
    assert resized
    for order in await records.orders("exec_1"):
        terms = example.HISTORY.series[order.symbol].terms
        if order.order_id in trailed:
            last = trailed[order.order_id].trigger_ticks * terms.tick_nanos
            assert int(order.trigger_price * 10**9) == last
        if order.order_id in resized:
            assert order.lots == resized[order.order_id].lots
            assert order.quantity == order.lots * terms.lot_nanos // 10**9


async def test_orders_are_read_in_pages(url: str, records: Any) -> None:
    await kept(url)
    everything = await records.orders("exec_1")
    first, total = await records.orders_page("exec_1", limit=7)
    rest, _ = await records.orders_page("exec_1", limit=10_000, offset=7)
    assert [*first, *rest] == everything
    assert total == len(everything)
    assert await records.order_symbols("exec_1") == {
        each.order_id: each.symbol for each in everything
    }
