"""The same decisions as signals and as native orders come to the same fills, to the digit."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy_engine.matching import rules
from strategy_engine.matching.account import Account
from strategy_engine.matching.model import (
    BUY,
    HOLD,
    NANOS,
    PPB,
    SELL,
    Fill,
    Order,
    Rules,
    Side,
    Terms,
)
from strategy_engine.matching.orderbook import OrderBook
from strategy_engine.matching.ticket import (
    Contingency,
    Executed,
    OrderType,
    Ticket,
    as_fill,
)

HOUR_NS = 3_600 * NANOS
TERMS = (
    Terms(symbol="X", tick_nanos=10_000_000, lot_nanos=NANOS),
    Terms(symbol="X", tick_nanos=10_000, lot_nanos=1_000 * NANOS),
    Terms(symbol="X", tick_nanos=10_000_000, lot_nanos=1_000),
)
DISTANCES = st.none() | st.integers(0, PPB // 20)
RULES = st.builds(
    Rules,
    position_size_ppb=st.integers(0, PPB),
    stop_loss_ppb=DISTANCES,
    take_profit_ppb=DISTANCES,
    slippage_ppm=st.integers(0, 5_000),
    fee_ppm=st.integers(0, 5_000),
    allow_short=st.booleans(),
    max_position_nanos=st.none() | st.integers(0, 50_000 * NANOS),
)

type Bar = tuple[int, int, int, int]


def path(seed: int, size: int) -> list[Bar]:
    random = np.random.default_rng(seed)
    opened = 10_000 + np.cumsum(random.integers(-150, 151, size))
    close = opened + random.integers(-200, 201, size)
    high = np.maximum(opened, close) + random.integers(0, 200, size)
    low = np.minimum(opened, close) - random.integers(0, 200, size)
    return [tuple(row) for row in np.column_stack([opened, high, low, close]).tolist()]


class Native:
    """Plays planned signal orders as a native strategy would: entries with brackets, and exits.

    The signal path's protection lies at a distance from the price paid; a native strategy gives
    prices, so here it knows the next open.
    """

    def __init__(self, capital: int, terms: Terms, how: Rules) -> None:
        self.book = OrderBook(capital, [terms], how)
        self.how = how
        self.count = 0

    def submit(self, orders: list[Order], now_ns: int, next_open: int) -> None:
        for order in orders:
            for ticket in self._tickets(order, next_open):
                self.book.submit(ticket, now_ns)

    def meet(self, times: tuple[int, int], bar: Bar) -> list[Fill]:
        events = self.book.on_bar("X", times, bar)
        return [as_fill(each) for each in events if isinstance(each, Executed)]

    def _tickets(self, order: Order, next_open: int) -> list[Ticket]:
        self.count += 1
        names = f"{self.count}", f"{self.count}-stop", f"{self.count}-target"
        common = {"symbol": "X", "lots": order.lots}
        if not order.opens:
            return [self._ticket(names[0], order.side, reduce_only=True, **common)]
        price = rules.slipped(next_open, order.side, self.how.slippage_ppm)
        sign, out = (1, Side.SELL) if order.side is Side.BUY else (-1, Side.BUY)
        stop, target = rules.protection(price, sign, order.stop_loss_ppb, order.take_profit_ppb)
        link = {"contingency": Contingency.OUO, "parent_id": names[0], "reduce_only": True}
        tickets = [
            self._ticket(
                names[0], order.side, contingency=Contingency.OTO, linked_ids=names[1:], **common
            )
        ]
        if stop is not None:
            kind = OrderType.STOP_MARKET
            tickets.append(
                self._ticket(
                    names[1], out, kind, trigger_ticks=stop, linked_ids=names[2:], **link, **common
                )
            )
        if target is not None:
            kind = OrderType.LIMIT
            tickets.append(
                self._ticket(
                    names[2], out, kind, limit_ticks=target, linked_ids=names[1:2], **link, **common
                )
            )
        return tickets

    def _ticket(
        self, name: str, side: Side, kind: OrderType = OrderType.MARKET, **fields
    ) -> Ticket:
        return Ticket(client_order_id=name, side=side, type=kind, **fields)


def facts(fills: list[Fill]) -> list[tuple]:
    """Everything of a fill that money sees; names and causes are each path's own.

    The signal path dates whatever protection does in a bar with the bar's close; the order book
    dates an exit by a gap with the open, where it happened.
    """
    return [
        (
            fill.side,
            fill.lots,
            fill.price_ticks,
            fill.slippage_ticks,
            fill.fee_nanos,
            fill.pnl_nanos,
            fill.opens,
            fill.lots_after,
            fill.round_trip and (fill.round_trip.entry_ns, fill.round_trip.pnl_nanos),
        )
        for fill in fills
    ]


@settings(max_examples=300)
@given(
    seed=st.integers(0, 2**32),
    words=st.lists(st.sampled_from([HOLD, HOLD, BUY, SELL]), min_size=2, max_size=60),
    how=RULES,
    terms=st.sampled_from(TERMS),
    capital=st.integers(NANOS, 200_000 * NANOS),
)
def test_signals_and_native_orders_come_to_the_same_fills(*, seed, words, how, terms, capital):
    account, native = Account(capital, [terms], how), Native(capital, terms, how)
    bars = path(seed, len(words) + 1)
    for index, word in enumerate(words):
        times = index * HOUR_NS, (index + 1) * HOUR_NS
        assert facts(native.meet(times, bars[index])) == facts(
            account.on_bar("X", times, bars[index])
        )
        assert (native.book.cash, native.book.equity()) == (account.cash, account.equity())
        orders = account.plan("X", word, times[1])
        account.submit(orders)
        native.submit(orders, times[1], bars[index + 1][0])
