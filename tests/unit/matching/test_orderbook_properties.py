"""What holds for an order book whatever is asked of it and whatever the market does."""

import json

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from strategy_engine.matching import rules as matching
from strategy_engine.matching.model import NANOS, PPM, Conditions, Rules, Side, Terms
from strategy_engine.matching.orderbook import OrderBook
from strategy_engine.matching.ticket import (
    Accepted,
    Cancel,
    Cancelled,
    CancelRejected,
    Contingency,
    Executed,
    Expired,
    Modify,
    ModifyRejected,
    OrderType,
    Rejected,
    Ticket,
    TimeInForce,
    Updated,
)

HOUR_NS = 3_600 * NANOS
INSTRUMENTS = {
    "A": Terms(symbol="A", tick_nanos=10_000_000, lot_nanos=NANOS),  # cents, whole shares
    "B": Terms(symbol="B", tick_nanos=10_000, lot_nanos=1_000 * NANOS),  # a currency pair
    "C": Terms(symbol="C", tick_nanos=10_000_000, lot_nanos=10),  # a coin
}
SYMBOLS = st.sampled_from(sorted(INSTRUMENTS))
PRICES = st.integers(80, 120)
LOTS = st.sampled_from([1, 2, 7, 50, 1_000, 10**9])
RULES = st.builds(
    Rules,
    slippage_ppm=st.sampled_from([0, 100, 5_000]),
    fee_ppm=st.sampled_from([0, 100, 5_000]),
    allow_short=st.booleans(),
    max_position_nanos=st.none() | st.integers(0, 50_000 * NANOS),
)
CONDITIONS = st.builds(
    Conditions,
    max_volume_share_ppm=st.none() | st.sampled_from([10_000, 300_000, PPM]),
    leverage_ppm=st.none() | st.sampled_from([PPM, 3 * PPM, 20_500_000]),
    ends_days=st.booleans(),
)
ENDS = (Rejected, Cancelled, Expired)
BAR = st.tuples(PRICES, st.integers(0, 12), st.integers(0, 12), st.integers(-12, 12))
TICKETS = st.fixed_dictionaries(
    {
        "symbol": SYMBOLS,
        "side": st.sampled_from(Side),
        "type": st.sampled_from([OrderType.MARKET] * 4 + list(OrderType)),
        "lots": LOTS,
        "time_in_force": st.sampled_from([TimeInForce.GTC] * 8 + list(TimeInForce)),
        "limit_ticks": PRICES,
        "trigger_ticks": PRICES,
        "trailing_ticks": st.integers(1, 10),
        "limit_offset_ticks": st.integers(0, 10),
        "activation_ticks": st.none() | PRICES,
        "post_only": st.sampled_from([False] * 7 + [True]),
        "reduce_only": st.sampled_from([False] * 4 + [True]),
    }
)


def bar_of(opened: int, up: int, down: int, close: int) -> tuple[int, int, int, int]:
    high, low = opened + up, opened - down
    return opened, high, low, min(high, max(low, opened + close))


class Witness:
    """Everything that events say, kept apart from the book that says it."""

    def __init__(self, capital: int, how: Rules, conditions: Conditions) -> None:
        self.cash = capital
        self.how, self.conditions = how, conditions
        self.tickets: dict[str, Ticket] = {}
        self.lots: dict[str, int] = {}
        self.filled: dict[str, int] = {}
        self.ended: set[str] = set()
        self.trades = 0
        self.held = dict.fromkeys(INSTRUMENTS, 0)
        self.marks = dict.fromkeys(INSTRUMENTS, 0)
        self.pnl = 0

    def ask(self, ticket: Ticket) -> None:
        self.tickets[ticket.client_order_id] = ticket
        self.lots[ticket.client_order_id] = ticket.lots
        self.filled[ticket.client_order_id] = 0

    def hear(self, event) -> None:
        if isinstance(event, ModifyRejected | CancelRejected):
            return
        name = event.client_order_id
        assert name not in self.ended, f"{event} after the end of its order"
        if isinstance(event, Updated):
            self.lots[name] = event.lots
            assert event.lots > self.filled[name]
        elif isinstance(event, Executed):
            self._hear_fill(event)
        if isinstance(event, ENDS) or self.lots[name] == self.filled[name]:
            self.ended.add(name)

    def _hear_fill(self, event: Executed) -> None:
        name, ticket = event.client_order_id, self.tickets[event.client_order_id]
        sign = 1 if event.side is Side.BUY else -1
        self.trades += 1
        assert event.trade_no == self.trades
        self.filled[name] += event.lots
        assert event.lots > 0
        assert event.leaves_lots == self.lots[name] - self.filled[name] >= 0
        before, after = self.held[event.symbol], self.held[event.symbol] + sign * event.lots
        assert event.position_lots == after
        assert (abs(after) > abs(before)) is event.opens
        assert before * after >= 0, "a fill closes or opens, never both"
        if ticket.reduce_only:
            assert not event.opens
        if ticket.contingency is Contingency.OCO:
            assert not any(self.filled[each] for each in ticket.linked_ids)
        self.held[event.symbol] = after
        self._hear_money(event, sign)

    def _hear_money(self, event: Executed, sign: int) -> None:
        terms = INSTRUMENTS[event.symbol]
        self.cash -= sign * terms.nanos(event.lots * event.price_ticks) + event.fee_nanos
        self.pnl += event.pnl_nanos
        self.marks[event.symbol] = event.price_ticks
        if not event.opens:
            return
        if self.conditions.leverage_ppm is not None:
            assert self._free_margin(self.conditions.leverage_ppm) >= 0
        elif not self.how.allow_short:
            assert self.cash >= 0
            assert all(lots >= 0 for lots in self.held.values())

    def _free_margin(self, leverage: int) -> int:
        values = [
            INSTRUMENTS[each].nanos(lots * self.marks[each]) for each, lots in self.held.items()
        ]
        return self.cash + sum(values) - sum(-(-abs(value) * PPM // leverage) for value in values)


class Trading(RuleBasedStateMachine):
    """Two books are asked the same; one is put down and taken up again at any moment."""

    @initialize(how=RULES, conditions=CONDITIONS, capital=st.integers(1, 100_000))
    def open(self, how: Rules, conditions: Conditions, capital: int) -> None:
        self.capital = capital * NANOS
        self.make = lambda: OrderBook(self.capital, INSTRUMENTS.values(), how, conditions)
        self.book, self.twin = self.make(), self.make()
        self.witness = Witness(self.capital, how, conditions)
        self.now_ns = 0
        self.count = 0

    def both(self, do) -> list:
        events = do(self.book)
        assert do(self.twin) == events
        for event in events:
            self.witness.hear(event)
        for symbol, position in self.book.positions.items():
            self.witness.marks[symbol] = position.mark
        return events

    def name(self) -> str:
        self.count += 1
        return f"o{self.count}"

    def submit(self, fields: dict, **links) -> None:
        ticket = Ticket(**{"client_order_id": self.name(), **fields, **links})
        if ticket.time_in_force is TimeInForce.GTD:
            ticket = Ticket(
                **{name: getattr(ticket, name) for name in ticket.__struct_fields__}
                | {"expire_ns": self.now_ns + HOUR_NS * (1 + self.count % 3) // 2}
            )
        self.witness.ask(ticket)
        events = self.both(lambda book: book.submit(ticket, self.now_ns))
        assert len(events) <= 2
        assert all(isinstance(each, Accepted | Rejected | Updated) for each in events)

    @rule(fields=TICKETS)
    def one(self, fields: dict) -> None:
        self.submit(fields)

    @rule(first=TICKETS, second=TICKETS)
    def either(self, first: dict, second: dict) -> None:
        names = f"o{self.count + 1}", f"o{self.count + 2}"
        self.submit(first, contingency=Contingency.OCO, linked_ids=(names[1],))
        self.submit(second, contingency=Contingency.OCO, linked_ids=(names[0],))

    @rule(entry=TICKETS, stop=PRICES, goal=PRICES)
    def bracket(self, entry: dict, stop: int, goal: int) -> None:
        parent, first, second = (f"o{self.count + each}" for each in (1, 2, 3))
        self.submit(
            entry | {"reduce_only": False},
            contingency=Contingency.OTO,
            linked_ids=(first, second),
        )
        exits = {
            "symbol": entry["symbol"],
            "side": Side.SELL if entry["side"] is Side.BUY else Side.BUY,
            "lots": entry["lots"],
            "parent_id": parent,
            "contingency": Contingency.OUO,
            "reduce_only": True,
        }
        self.submit(
            exits | {"type": OrderType.STOP_MARKET, "trigger_ticks": stop}, linked_ids=(second,)
        )
        self.submit(exits | {"type": OrderType.LIMIT, "limit_ticks": goal}, linked_ids=(first,))

    @precondition(lambda self: self.count)
    @rule(
        which=st.integers(0, 99),
        lots=st.none() | LOTS,
        limit=st.none() | PRICES,
        trigger=st.none() | PRICES,
    )
    def modify(self, which: int, lots: int | None, limit: int | None, trigger: int | None) -> None:
        change = Modify(
            client_order_id=self.some(which), lots=lots, limit_ticks=limit, trigger_ticks=trigger
        )
        self.both(lambda book: book.modify(change, self.now_ns))

    @precondition(lambda self: self.count)
    @rule(which=st.integers(0, 99))
    def cancel(self, which: int) -> None:
        request = Cancel(client_order_id=self.some(which))
        self.both(lambda book: book.cancel(request, self.now_ns))
        assert self.some(which) not in {each.order_id for each in self.book.working}

    def some(self, which: int) -> str:
        return f"o{max(1, self.count - which % 8)}"

    @rule(symbol=SYMBOLS, shape=BAR, volume=st.sampled_from([0, 10, 1_000, 10**10]))
    def bar(self, symbol: str, shape: tuple[int, int, int, int], volume: int) -> None:
        bar = bar_of(*shape)
        times = self.now_ns, self.now_ns + HOUR_NS
        self.now_ns = times[1]
        events = self.both(lambda book: book.on_bar(symbol, times, bar, volume))
        fills = [each for each in events if isinstance(each, Executed) and each.symbol == symbol]
        share = self.witness.conditions.max_volume_share_ppm
        if share is not None:
            assert sum(each.lots for each in fills) <= volume * share // PPM
        for each in fills:
            slippage = self.witness.how.slippage_ppm
            lowest = matching.slipped(bar[2], Side.SELL, slippage)
            assert lowest <= each.price_ticks <= matching.slipped(bar[1], Side.BUY, slippage)
            if each.is_maker:
                assert each.slippage_ticks == 0

    @rule(symbol=SYMBOLS, bid=PRICES, spread=st.integers(0, 3), sizes=st.tuples(LOTS, LOTS))
    def quote(self, symbol: str, bid: int, spread: int, sizes: tuple[int, int]) -> None:
        self.now_ns += NANOS
        prices = bid, bid + spread
        self.both(lambda book: book.on_quote(symbol, self.now_ns, prices, sizes))

    @rule(symbol=SYMBOLS, price=PRICES, lots=LOTS)
    def trade(self, symbol: str, price: int, lots: int) -> None:
        self.now_ns += NANOS
        self.both(lambda book: book.on_trade(symbol, self.now_ns, price, lots))

    @rule()
    def end_session(self) -> None:
        self.both(lambda book: book.on_session_end(self.now_ns))

    @rule()
    def reload(self) -> None:
        kept = json.loads(json.dumps(self.book.dump()))
        self.book = self.make()
        self.book.load(kept)
        assert json.loads(json.dumps(self.book.dump())) == kept

    @invariant()
    def cash_is_what_the_fills_left(self) -> None:
        if hasattr(self, "book"):
            assert self.book.cash == self.witness.cash
            assert {each: p.lots for each, p in self.book.positions.items()} == self.witness.held

    @invariant()
    def equity_is_capital_and_profits_and_what_is_open(self) -> None:
        if not hasattr(self, "book"):
            return
        held = [each for each in self.book.positions.values() if each.lots]
        unrealised = sum(
            each.value_nanos() - (1 if each.lots > 0 else -1) * each.entry_nanos for each in held
        )
        fees = sum(each.fees_open for each in held)
        assert self.book.equity() == self.capital + self.witness.pnl + unrealised - fees

    @invariant()
    def every_order_works_or_has_ended(self) -> None:
        if hasattr(self, "book"):
            working = {each.order_id: each for each in self.book.working}
            assert working.keys() | self.witness.ended == self.witness.tickets.keys()
            assert not working.keys() & self.witness.ended
            for name, each in working.items():
                assert (each.lots, each.filled) == (
                    self.witness.lots[name],
                    self.witness.filled[name],
                )


TestTrading = pytest.mark.timeout(300)(Trading.TestCase)
TestTrading.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
