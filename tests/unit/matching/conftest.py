from typing import Any

import pytest

from strategy_engine.matching.account import Account
from strategy_engine.matching.model import NANOS, Conditions, Rules, Side, Terms
from strategy_engine.matching.orderbook import OrderBook
from strategy_engine.matching.ticket import (
    Cancel,
    Contingency,
    Executed,
    Modify,
    OrderEvent,
    OrderType,
    Ticket,
    TimeInForce,
)

CENTS = Terms(symbol="X", tick_nanos=10_000_000, lot_nanos=NANOS)
MIRROR = 20_000


class Market:
    """Bars one after the other into an account; a bar is (open, high, low, close) in ticks."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.now_ns = 0

    def bar(self, *ticks: int, symbol: str = "X"):
        opened, self.now_ns = self.now_ns, self.now_ns + 3_600 * NANOS
        return self.account.on_bar(symbol, (opened, self.now_ns), ticks)

    def decide(self, decision, symbol: str = "X") -> int:
        orders = self.account.plan(symbol, decision, self.now_ns)
        self.account.submit(orders)
        return len(orders)

    @property
    def book(self):
        return self.account.books["X"]


@pytest.fixture
def market():
    def market(capital: int = 100_000, terms=(CENTS,), **rules) -> Market:
        return Market(Account(capital * NANOS, terms, Rules(**rules)))

    return market


@pytest.fixture
def free_of_costs():
    return {"slippage_ppm": 0, "fee_ppm": 0}


class Exchange:
    """An order book, and the feed that it is met by: hours of bars, or prices now.

    `is_mirrored` turns the market upside down: what is asked for a buyer then happens to a seller.
    """

    def __init__(self, book: OrderBook, *, is_mirrored: bool = False) -> None:
        self.book = book
        self.now_ns = 0
        self.is_mirrored = is_mirrored
        self.log: list[OrderEvent] = []

    def price(self, ticks: int) -> int:
        return MIRROR - ticks if self.is_mirrored else ticks

    def buy(self, name: str, kind: str = "MARKET", lots: int = 10, **fields: Any):
        return self._submit(name, Side.SELL if self.is_mirrored else Side.BUY, kind, lots, fields)

    def sell(self, name: str, kind: str = "MARKET", lots: int = 10, **fields: Any):
        return self._submit(name, Side.BUY if self.is_mirrored else Side.SELL, kind, lots, fields)

    def modify(self, name: str, **changes: Any):
        change = Modify(client_order_id=name, **self._turned(changes))
        return self._said(self.book.modify(change, self.now_ns))

    def cancel(self, name: str):
        return self._said(self.book.cancel(Cancel(client_order_id=name), self.now_ns))

    def bar(self, *ticks: int, volume: int = 0, hours: int = 1, symbol: str = "X"):
        opened, self.now_ns = self.now_ns, self.now_ns + hours * 3_600 * NANOS
        open_, one, other, close = (self.price(each) for each in ticks)
        bar = open_, max(one, other), min(one, other), close
        return self._said(self.book.on_bar(symbol, (opened, self.now_ns), bar, volume))

    def flat_bar(self, ticks: int = 10_000, **fields: int):
        return self.bar(ticks, ticks, ticks, ticks, **fields)

    def quote(self, bid: int, ask: int, bid_lots: int = 100, ask_lots: int = 100):
        self.now_ns += NANOS
        return self._said(self.book.on_quote("X", self.now_ns, (bid, ask), (bid_lots, ask_lots)))

    def trade(self, price: int, lots: int = 100):
        self.now_ns += NANOS
        return self._said(self.book.on_trade("X", self.now_ns, price, lots))

    def session_end(self):
        return self._said(self.book.on_session_end(self.now_ns))

    @property
    def lots(self) -> int:
        lots = self.book.positions["X"].lots
        return -lots if self.is_mirrored else lots

    def fills(self, events: list[OrderEvent]) -> list[tuple[str, int, int]]:
        """Name, lots and price of the fills among events."""
        return [
            (each.client_order_id, each.lots, self.price(each.price_ticks))
            for each in events
            if isinstance(each, Executed)
        ]

    def _submit(self, name: str, side: Side, kind: str, lots: int, fields: dict[str, Any]):
        ticket = Ticket(
            client_order_id=name,
            symbol=fields.pop("symbol", "X"),
            side=side,
            type=OrderType(kind),
            lots=lots,
            **self._turned(fields),
        )
        return self._said(self.book.submit(ticket, self.now_ns))

    def _turned(self, fields: dict[str, Any]) -> dict[str, Any]:
        prices = {"limit_ticks", "trigger_ticks", "activation_ticks"}
        words = {"time_in_force": TimeInForce, "contingency": Contingency}
        turned = {
            name: self.price(value) if name in prices and value is not None else value
            for name, value in fields.items()
        }
        return turned | {name: kind(fields[name]) for name, kind in words.items() if name in fields}

    def _said(self, events: list[OrderEvent]) -> list[OrderEvent]:
        self.log += events
        return events


def words(events: list[OrderEvent]) -> list[str]:
    """What was said of whom, in a line each."""
    return [f"{each.client_order_id} {type(each).__name__.lower()}" for each in events]


@pytest.fixture
def exchange(free_of_costs):
    def exchange(
        capital: int = 1_000_000,
        terms=(CENTS,),
        conditions: Conditions | None = None,
        *,
        is_mirrored: bool = False,
        **rules,
    ) -> Exchange:
        how = Rules(**free_of_costs | {"allow_short": True} | rules)
        book = OrderBook(capital * NANOS, terms, how, conditions or Conditions())
        return Exchange(book, is_mirrored=is_mirrored)

    return exchange


@pytest.fixture(params=[False, True], ids=["upright", "mirrored"])
def both_ways(request, exchange):
    """An exchange at 10,000 ticks, and the same market upside down."""

    def both_ways(**fields) -> Exchange:
        made = exchange(is_mirrored=request.param, **fields)
        made.flat_bar()
        return made

    return both_ways


@pytest.fixture
def said():
    return words
