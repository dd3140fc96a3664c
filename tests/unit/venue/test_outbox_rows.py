"""What others are told of a commit: every fill of the executions that are told of, in order."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from strategy_engine.infra.bus import topics
from strategy_engine.venue import outbox_rows
from strategy_engine.venue.model import Opened
from strategy_engine.venue.rows import Batch

NOW = datetime(2025, 8, 24, 10, 0, tzinfo=UTC)
TOLD = {"exec_a": "strat_a", "exec_b": "strat_b"}


def trade(execution_id: str, number: int, symbol: str = "EUR/USD.SIM") -> dict[str, Any]:
    return {
        "trade_id": f"{execution_id}-{number}",
        "execution_id": execution_id,
        "symbol": symbol,
        "side": "BUY",
        "quantity": Decimal("100.5"),
        "price": Decimal("1.06275"),
        "timestamp": NOW,
        "pnl": Decimal("-0.25"),
        "order_id": "order",
        "fee": Decimal("0.01"),
        "slippage": Decimal("0.002"),
        "cause": "signal",
        "opens": True,
        "closes_round_trip": False,
        "seq": number,
    }


def position(execution_id: str, symbol: str = "EUR/USD.SIM") -> dict[str, Any]:
    return {
        "execution_id": execution_id,
        "symbol": symbol,
        "quantity": Decimal("201.0"),
        "entry_price": None,
        "mark": Decimal("1.07"),
        "updated_at": NOW,
    }


def batch(trades: list[dict[str, Any]], positions: list[dict[str, Any]]) -> Batch:
    return Batch(
        trades=trades,
        positions={(each["execution_id"], each["symbol"]): each for each in positions},
    )


def ids(made: Batch) -> list[str]:
    return [each.event_id for each in outbox_rows.events(made, TOLD)]


def test_a_fill_is_told_with_its_own_number_and_numbers_that_json_has():
    (event, _) = outbox_rows.events(batch([trade("exec_a", 7)], [position("exec_a")]), TOLD)
    assert isinstance(event, topics.StrategyTrade)
    assert (event.event_id, event.sequence) == ("exec_a-7.trade", 7)
    assert (event.execution_id, event.strategy_id) == ("exec_a", "strat_a")
    assert (event.trade.quantity, event.trade.price, event.trade.pnl) == (100.5, 1.06275, -0.25)


def test_a_position_is_told_once_a_commit_after_the_last_fill_that_made_it():
    made = batch([trade("exec_a", 1), trade("exec_a", 2)], [position("exec_a")])
    assert ids(made) == ["exec_a-1.trade", "exec_a-2.trade", "exec_a-2.position"]


def test_positions_of_several_instruments_are_told_each_after_its_own_fill():
    trades = [trade("exec_a", 1, "A.SIM"), trade("exec_a", 2, "B.SIM")]
    positions = [position("exec_a", "A.SIM"), position("exec_a", "B.SIM")]
    assert ids(batch(trades, positions)) == [
        "exec_a-1.trade",
        "exec_a-1.position",
        "exec_a-2.trade",
        "exec_a-2.position",
    ]


def test_a_position_that_only_a_price_has_moved_is_not_told():
    assert ids(batch([], [position("exec_a")])) == []


def test_what_nobody_is_told_of_is_told_to_nobody():
    made = batch([trade("exec_v", 1), trade("exec_b", 1)], [position("exec_v")])
    assert ids(made) == ["exec_b-1.trade"]


def order(execution_id: str, order_id: str, status: str = "denied") -> dict[str, Any]:
    return {
        "order_id": order_id,
        "execution_id": execution_id,
        "symbol": "EUR/USD.SIM",
        "side": "BUY",
        "quantity": Decimal("100.5"),
        "opens": True,
        "cause": "signal",
        "status": status,
        "denial_code": "max_position_size" if status == "denied" else None,
        "reason": "max_position_size of line RSI is 100",
        "decided_at": NOW,
        "type": "market",
    }


def test_a_denial_is_told_with_its_code_and_its_reason_and_nothing_else_of_orders():
    orders = [order("exec_a", "1", "accepted"), order("exec_a", "2"), order("exec_v", "3")]
    (event,) = outbox_rows.events(Batch(orders=orders), TOLD)
    assert isinstance(event, topics.OrderDenied)
    assert (event.execution_id, event.strategy_id) == ("exec_a", "strat_a")
    assert (event.order.order_id, event.order.denial_code) == ("2", "max_position_size")
    assert event.order.reason == "max_position_size of line RSI is 100"


def test_a_denials_event_is_the_same_each_time_and_fits_whatever_the_orders_id_is():
    made = Batch(orders=[order("exec_a", "o" * 200), order("exec_a", "p" * 200)])
    assert ids(made) == ids(made)
    assert len(set(ids(made))) == 2
    assert all(len(each) <= 160 for each in ids(made))


def opened(execution_id: str, strategy_id: str | None) -> Opened:
    return Opened(
        execution_id=execution_id,
        epoch=1,
        capital_nanos=1,
        account={},
        at=NOW,
        strategy_id=strategy_id,
    )


def test_an_opening_says_as_which_version_an_execution_is_told_of():
    told: dict[str, str] = {}
    outbox_rows.hear([opened("exec_a", "strat_a"), opened("exec_v", None)], told)
    assert told == {"exec_a": "strat_a"}
