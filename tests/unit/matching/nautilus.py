"""NautilusTrader's simulated exchange and our order book, fed with the same prices."""

from dataclasses import dataclass

from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.config import LoggingConfig, RiskEngineConfig
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import ClientOrderId, OrderListId
from nautilus_trader.model.objects import Money
from nautilus_trader.model.orders import OrderList
from nautilus_trader.trading.strategy import Strategy

from strategy_engine.kernel.native import orders
from strategy_engine.kernel.native.instruments import Listings
from strategy_engine.matching import rules
from strategy_engine.matching.model import NANOS, Rules
from strategy_engine.matching.orderbook import OrderBook
from strategy_engine.matching.ticket import (
    Cancel,
    Executed,
    Instruction,
    Modify,
    Ticket,
)
from strategy_engine.sandbox.protocol import messages

BAR_NS = 1_000_000
CAPITAL = 10**9
CENT = NANOS // 100
SIZE = 1_000_000
LISTINGS = Listings(
    [messages.Contract(symbol="X.SIM", tick_nanos=10_000_000, lot_nanos=NANOS, currency="USD")],
    "1-HOUR-LAST-EXTERNAL",
)
(LISTING,) = LISTINGS.all
FREE = Rules(slippage_ppm=0, fee_ppm=0, allow_short=True)

type Bar = tuple[int, int, int, int]
type Fills = list[tuple[int, str, int, int]]  # bar, name, lots, price


@dataclass(frozen=True, kw_only=True)
class Session:
    """Bars, and what is asked at the close of each but the last."""

    bars: list[Bar]
    asked: list[list[Instruction]]


class Replayed(Strategy):
    """Does what it is told at the last quote of each bar."""

    def __init__(self, asked: dict[int, list[Instruction]]) -> None:
        super().__init__()
        self.asked = asked
        self.fills: Fills = []

    def on_start(self) -> None:
        self.subscribe_quote_ticks(LISTING.id)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        given = self.asked.get(tick.ts_event, [])
        tickets = [each for each in given if isinstance(each, Ticket)]
        made = {each.client_order_id: self._order(each) for each in tickets}
        for each in tickets:
            family = [made[name] for name in each.linked_ids if each.contingency == "OTO"]
            if family:
                listed = [made[each.client_order_id], *family]
                self.submit_order_list(OrderList(OrderListId(each.client_order_id), listed))
            elif each.parent_id is None:
                self.submit_order(made[each.client_order_id])
        for each in given:
            self._change(each)

    def on_order_filled(self, event) -> None:
        price = LISTING.ticks(event.last_px)
        at = (event.ts_event - 1) // BAR_NS
        self.fills.append((at, event.client_order_id.value, int(event.last_qty), price))

    def _order(self, ticket: Ticket):
        who = self.trader_id, self.id
        return orders.to_order(ticket, LISTING, who, self.clock.timestamp_ns())

    def _change(self, instruction: Instruction) -> None:
        order = self.cache.order(ClientOrderId(instruction.client_order_id))
        if order is None or order.is_closed:
            return
        if isinstance(instruction, Cancel):
            self.cancel_order(order)
        elif isinstance(instruction, Modify):
            self.modify_order(order, price=LISTING.price(instruction.limit_ticks))


def ours(session: Session) -> tuple[Fills, int, list[tuple[int, int, int]]]:
    """Return the order book's fills, its cash, and the way that each bar took inside."""
    book = OrderBook(CAPITAL * NANOS, [LISTING.terms], FREE)
    fills: Fills = []
    ways = []
    for index, bar in enumerate(session.bars):
        times = index * BAR_NS, (index + 1) * BAR_NS
        at_open = OrderBook(CAPITAL * NANOS, [LISTING.terms], FREE)
        at_open.load(book.dump())
        at_open.on_bar("X.SIM", times, (bar[0],) * 4)
        ways.append(rules.path(bar, at_open.positions["X.SIM"].lots))
        events = book.on_bar("X.SIM", times, bar)
        fills += [
            (index, each.client_order_id, each.lots, each.price_ticks)
            for each in events
            if isinstance(each, Executed)
        ]
        for each in session.asked[index] if index < len(session.asked) else ():
            book.instruct(each, times[1])
    return whole(fills), book.equity(), ways


def theirs(session: Session, ways: list[tuple[int, int, int]]) -> tuple[Fills, int]:
    """Return NautilusTrader's fills and its equity in billionths."""
    quotes, asked = [], {}
    for index, bar in enumerate(session.bars):
        prices = laid_out(bar[0], ways[index])
        for step, price in enumerate(prices, start=1):
            quotes.append(quote(price, price, index * BAR_NS + step))
        if index < len(session.asked):
            asked[index * BAR_NS + len(prices)] = session.asked[index]
    return simulated(quotes, asked)


def simulated(quotes: list[QuoteTick], asked: dict[int, list[Instruction]]) -> tuple[Fills, int]:
    engine = BacktestEngine(
        BacktestEngineConfig(
            logging=LoggingConfig(bypass_logging=True),
            risk_engine=RiskEngineConfig(bypass=True),
            run_analysis=False,
        )
    )
    try:
        engine.add_venue(
            venue=LISTING.id.venue,
            oms_type=OmsType.NETTING,
            account_type=AccountType.MARGIN,
            base_currency=LISTINGS.currency,
            starting_balances=[Money(CAPITAL, LISTINGS.currency)],
            latency_model=LatencyModel(base_latency_nanos=1),
            reject_stop_orders=False,
        )
        engine.add_instrument(LISTING.instrument)
        engine.add_data(quotes)
        strategy = Replayed(asked)
        engine.add_strategy(strategy)
        engine.run()
        account = engine.cache.account_for_venue(LISTING.id.venue)
        open_ = sum(
            each.unrealized_pnl(quotes[-1].bid_price).as_decimal()
            for each in engine.cache.positions_open()
        )
        worth = account.balance_total(LISTINGS.currency).as_decimal() + open_
        return whole(strategy.fills), int(worth * NANOS)
    finally:
        engine.dispose()


def quote(bid: int, ask: int, ts_ns: int) -> QuoteTick:
    size = LISTING.quantity(SIZE)
    return QuoteTick(LISTING.id, LISTING.price(bid), LISTING.price(ask), size, size, ts_ns, ts_ns)


def laid_out(opened: int, way: tuple[int, int, int]) -> list[int]:
    prices = [opened]
    for end in way:
        step = 1 if end > prices[-1] else -1
        prices += list(range(prices[-1] + step, end + step, step)) if end != prices[-1] else []
    return prices


def whole(fills: Fills) -> Fills:
    """An order's fills in a bar as one: we tell closing from opening, NautilusTrader does not."""
    summed: dict[tuple[int, str, int], int] = {}
    for at, name, lots, price in fills:
        summed[at, name, price] = summed.get((at, name, price), 0) + lots
    return sorted((at, name, lots, price) for (at, name, price), lots in summed.items())
