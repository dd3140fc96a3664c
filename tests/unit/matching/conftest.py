import pytest

from strategy_engine.matching.account import Account
from strategy_engine.matching.model import NANOS, Rules, Terms

CENTS = Terms(symbol="X", tick_nanos=10_000_000, lot_nanos=NANOS)


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
