"""The paper exchange of one execution: every order type, on bars, quotes and trades. No I/O.

How a bar is met. What waited meets the **open** first, at the time the bar opened: market orders in
the order they came, then stops, then limits. A gap beyond a level fills at the open. Then the price
is taken to go to the extreme that is **adverse** to the position, to the **favourable** one, and to
the **close** (`rules.path`), and fills at each level on its way, at the time the bar closed. So a
bar that touches a stop and a target counts as the stop, and linked orders never both fill.

What comes to life inside a bar (a bracket's exits after its entry, a stop-limit's limit) cannot
know which extreme came before it, and is met by the worse answer: its stop by the whole bar, its
limit by the close only. An order that expires inside a bar meets only its open.

Trailing stops follow the open, and a complete bar's favourable extreme once the bar has ended; in
the bar that brought them to life they follow the close. Quotes and trades are single prices: buys
look at the ask, sells at the bid.

Limits fill at their level or, beyond a gap, at the better open: without slippage. Everything else
slips. Fills may take `max_volume_share_ppm` of what a bar, quote or trade offers; the rest of the
order goes on working.

A session that ends with the feed's day is known to have ended only when the next one's first price
comes; who ends a feed says so by `on_session_end`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from strategy_engine.matching import admission, offer, rules
from strategy_engine.matching import pit as pits
from strategy_engine.matching import working as orders
from strategy_engine.matching.admission import Code, Refusal
from strategy_engine.matching.funds import Funds
from strategy_engine.matching.model import DAY_NS, Conditions, Rules, Terms
from strategy_engine.matching.offer import Market
from strategy_engine.matching.pit import Pit
from strategy_engine.matching.position import Position
from strategy_engine.matching.ticket import (
    Cancel,
    CancelRejected,
    Contingency,
    Instruction,
    Modify,
    ModifyRejected,
    OrderEvent,
    Ticket,
    TimeInForce,
)
from strategy_engine.matching.working import Phase, Working

_STANDARD = Conditions()

type Bar = tuple[int, int, int, int]  # open, high, low, close, ticks


class OrderBook:
    """Working orders, positions and cash of one execution over its instruments.

    The account is a cash account: what is opened never takes more than the cash, and a short needs
    `allow_short` and pledges its value; or, with leverage, a margin account: what is opened needs
    its initial margin. An order that finds less room fills as far as it goes and is cancelled.
    """

    __slots__ = ("_conditions", "_day", "_pit", "funds")

    def __init__(
        self,
        capital_nanos: int,
        terms: Iterable[Terms],
        how: Rules,
        conditions: Conditions = _STANDARD,
    ) -> None:
        self.funds = Funds(capital_nanos, terms, how, conditions.leverage_ppm)
        self._pit = Pit(self.funds)
        self._conditions = conditions
        self._day = -1

    @property
    def cash(self) -> int:
        """Return the cash, billionths."""
        return self.funds.cash

    @property
    def positions(self) -> Mapping[str, Position]:
        """Return the position in every instrument."""
        return self.funds.positions

    @property
    def working(self) -> tuple[Working, ...]:
        """Return the orders that have not ended, oldest first."""
        return tuple(self._pit.working.values())

    def equity(self) -> int:
        """Return cash and positions at their marks, billionths."""
        return self.funds.equity()

    def instruct(self, instruction: Instruction, now_ns: int) -> list[OrderEvent]:
        """Do what a strategy asks."""
        match instruction:
            case Ticket():
                return self.submit(instruction, now_ns)
            case Modify():
                return self.modify(instruction, now_ns)
            case Cancel():
                return self.cancel(instruction, now_ns)

    def submit(self, ticket: Ticket, now_ns: int) -> list[OrderEvent]:
        """Take an order, to be met by the next price; or refuse it.

        The child of an order that has not filled is held without an event until it does. A name
        that was used changes nothing: its order's own events are the answer.
        """
        pit = self._pit
        pit.ts_ns = now_ns
        if ticket.client_order_id in pit.working or ticket.client_order_id in pit.ended:
            return []
        refusal = admission.judge(ticket, pit.facts(ticket)) or self._judge_links(ticket)
        if refusal is not None:
            pit.refuse(ticket, refusal)
            return pit.drain()
        pit.seq += 1
        working = Working(ticket, pit.seq, now_ns)
        pit.working[working.order_id] = working
        parent = None if ticket.parent_id is None else pit.working.get(ticket.parent_id)
        if parent is not None and not parent.filled:
            working.is_held = True
        else:
            pit.begin(working)
        return pit.drain()

    def modify(self, change: Modify, now_ns: int) -> list[OrderEvent]:
        """Change what is left of a working order, or refuse to."""
        pit = self._pit
        pit.ts_ns = now_ns
        working = pit.working.get(change.client_order_id)
        refusal = _not_found(change.client_order_id)
        if working is not None:
            change_refusal = admission.judge_change(working, change, pit.facts(working.ticket))
            if change_refusal is None:
                pit.change(working, change)
                return pit.drain()
            refusal = change_refusal
        return [
            ModifyRejected(
                client_order_id=change.client_order_id,
                ts_ns=now_ns,
                code=refusal.code,
                message=refusal.message,
            )
        ]

    def cancel(self, request: Cancel, now_ns: int) -> list[OrderEvent]:
        """Take an order back, with those linked to it; or say that there is none."""
        self._pit.ts_ns = now_ns
        working = self._pit.working.get(request.client_order_id)
        if working is None:
            refusal = _not_found(request.client_order_id)
            return [
                CancelRejected(
                    client_order_id=request.client_order_id,
                    ts_ns=now_ns,
                    code=refusal.code,
                    message=refusal.message,
                )
            ]
        self._pit.cancel(working, "requested")
        return self._pit.drain()

    def cancel_all(
        self, now_ns: int, *, symbol: str | None = None, why: str = "requested"
    ) -> list[OrderEvent]:
        """Take every order back, of one instrument or of all."""
        self._pit.ts_ns = now_ns
        for working in self.working:
            if self._pit.works(working) and symbol in (None, working.ticket.symbol):
                self._pit.cancel(working, why)
        return self._pit.drain()

    def on_bar(
        self, symbol: str, times: tuple[int, int], bar: Bar, volume_lots: int = 0
    ) -> list[OrderEvent]:
        """Meet a bar: its open, then the way to its close.

        Parameters
        ----------
        times : tuple of int
            When the bar opened and closed, nanoseconds since 1970.
        bar : tuple of int
            Open, high, low and close, ticks.
        volume_lots : int
            What was traded in the bar; counts where `max_volume_share_ppm` is set.
        """
        pit, market = self._pit, self._pit.markets[symbol]
        self._pass_time(times[0])
        market.liquidity = offer.liquidity(self._conditions.max_volume_share_ppm, volume_lots)
        self._meet(market, symbol, (bar[0], bar[0]))
        if pit.working:
            pit.ts_ns, pit.is_inside = times[1], True
            self._walk(market, symbol, bar)
            pit.is_inside = False
            self._trail_after(symbol, bar)
            self._expire(times[1], symbol)
            self._age(symbol)
        market.see(bar[3], bar[3])
        return pit.drain()

    def on_quote(
        self, symbol: str, ts_ns: int, prices: tuple[int, int], sizes: tuple[int, int]
    ) -> list[OrderEvent]:
        """Meet a quote: bid and ask, ticks, and the lots at each."""
        share = self._conditions.max_volume_share_ppm
        self._pit.markets[symbol].liquidity = offer.liquidity(share, sizes[1], sizes[0])
        return self._on_price(symbol, ts_ns, prices)

    def on_trade(self, symbol: str, ts_ns: int, price: int, lots: int) -> list[OrderEvent]:
        """Meet a trade of somebody else's."""
        share = self._conditions.max_volume_share_ppm
        self._pit.markets[symbol].liquidity = offer.liquidity(share, lots)
        return self._on_price(symbol, ts_ns, (price, price))

    def on_session_end(self, now_ns: int) -> list[OrderEvent]:
        """End the session: orders at the close fill at the last price, orders for the day expire.

        What came at this very instant belongs to the next session.
        """
        self._end_session(now_ns)
        return self._pit.drain()

    def expire(self, now_ns: int) -> list[OrderEvent]:
        """End what was good until now."""
        self._expire(now_ns)
        return self._pit.drain()

    def dump(self) -> dict[str, Any]:
        """Return everything that changes as plain values, to be kept and loaded again."""
        return pits.dump(self._pit) | {"day": self._day}

    def load(self, state: Mapping[str, Any]) -> None:
        """Put what `dump` returned into a book of the same instruments and rules."""
        pits.load(self._pit, state)
        self._day = state["day"]

    def _judge_links(self, ticket: Ticket) -> Refusal | None:
        pit, parent = self._pit, ticket.parent_id
        if parent is not None and parent not in pit.working and not pit.ended.get(parent):
            code = Code.PARENT_ENDED if parent in pit.ended else Code.PARENT_UNKNOWN
            return Refusal(code=code, message=f"the parent {parent} does not work and has no fill")
        if ticket.contingency not in (Contingency.OCO, Contingency.OUO):
            return None
        for each in ticket.linked_ids:
            if each in pit.ended:
                return Refusal(code=Code.LINKED_ENDED, message=f"the linked {each} has ended")
        return None

    def _on_price(self, symbol: str, ts_ns: int, prices: tuple[int, int]) -> list[OrderEvent]:
        pit, market = self._pit, self._pit.markets[symbol]
        self._pass_time(ts_ns)
        self._meet(market, symbol, prices)
        self._age(symbol)
        return pit.drain()

    def _meet(self, market: Market, symbol: str, prices: tuple[int, int]) -> None:
        pit = self._pit
        market.see(*prices)
        if pit.working:
            for working in pit.of(symbol):
                if pit.works(working) and _meets(working, market):
                    pit.touch(working, market.price_for(working.ticket.side))
            while pit.born:
                born = pit.born.pop(0)
                if pit.works(born) and _meets(born, market):
                    pit.touch(born, market.price_for(born.ticket.side))
            self._end_opening(market, symbol)
            for working in pit.of(symbol):
                pit.trail(working, market.price_for(working.ticket.side))
        market.opens = False

    def _end_opening(self, market: Market, symbol: str) -> None:
        if not market.opens:
            return
        for working in self._pit.of(symbol):
            if working.ticket.time_in_force is TimeInForce.AT_THE_OPEN:
                self._pit.expire(working)

    def _walk(self, market: Market, symbol: str, bar: Bar) -> None:
        tried: set[int] = set()
        start = bar[0]
        for end in rules.path(bar, market.position.lots):
            rises, price = end > start, start
            while (working := self._nearest(symbol, (price, end), tried, rises=rises)) is not None:
                tried.add(working.seq)
                price = working.level or end
                market.see(price, price)
                self._pit.touch(working, price)
                self._bear(price, bar)
            start = end
        market.see(bar[3], bar[3])
        for working in self._pit.of(symbol):
            if working.is_late and self._pit.works(working) and working.reached(bar[3]):
                self._pit.touch(working, working.level or bar[3])
                self._bear(bar[3], bar)

    def _nearest(
        self, symbol: str, leg: tuple[int, int], tried: set[int], *, rises: bool
    ) -> Working | None:
        low, high = min(leg), max(leg)
        best: tuple[int, tuple[int, int]] | None = None
        found = None
        for working in self._pit.of(symbol):
            level = working.level
            if level is None or working.seq in tried or not self._meets_inside(working):
                continue
            if low <= level <= high and working.rises is rises:
                turn = abs(level - leg[0]), working.rank()
                if best is None or turn < best:
                    best, found = turn, working
        return found

    def _meets_inside(self, working: Working) -> bool:
        if working.is_late or working.ticket.time_in_force in orders.AUCTIONS:
            return False
        expires = working.ticket.expire_ns
        return expires is None or expires > self._pit.ts_ns

    def _bear(self, price: int, bar: Bar) -> None:
        pit = self._pit
        while pit.born:
            born = pit.born.pop(0)
            if not pit.works(born) or born.ticket.time_in_force in orders.AUCTIONS:
                continue
            pit.touch(born, price)
            worst = bar[1] if born.rises else bar[2]
            if pit.works(born) and born.is_stop and born.reached(worst):
                pit.touch(born, born.level or price)

    def _trail_after(self, symbol: str, bar: Bar) -> None:
        for working in self._pit.of(symbol):
            best = bar[2] if working.is_buy else bar[1]
            self._pit.trail(working, bar[3] if working.is_late else best)

    def _age(self, symbol: str) -> None:
        for working in self._pit.of(symbol):
            working.is_fresh = working.is_late = False
            if working.phase is Phase.LIMIT:
                working.is_taker = False

    def _pass_time(self, now_ns: int) -> None:
        day = now_ns // DAY_NS
        if self._conditions.ends_days and day > self._day:
            if self._day >= 0:
                self._end_session(day * DAY_NS)
            self._day = day
        if self._pit.working:
            self._expire(now_ns)
        self._pit.ts_ns = now_ns

    def _end_session(self, now_ns: int) -> None:
        pit = self._pit
        pit.ts_ns = now_ns
        for working in self.working:
            life = working.ticket.time_in_force
            if working.is_held or not pit.works(working) or working.accepted_ns >= now_ns:
                continue
            if life is TimeInForce.AT_THE_CLOSE and not working.is_fresh:
                self._auction(working)
            if life is TimeInForce.DAY:
                pit.expire(working)
        for market in pit.markets.values():
            market.opens = True

    def _auction(self, working: Working) -> None:
        pit = self._pit
        pit.touch(working, pit.markets[working.ticket.symbol].price_for(working.ticket.side))
        pit.born.clear()  # its children meet the next price
        if pit.works(working):
            pit.expire(working)

    def _expire(self, now_ns: int, symbol: str | None = None) -> None:
        self._pit.ts_ns = now_ns
        for working in self.working:
            expires = working.ticket.expire_ns
            if working.is_held or expires is None or not self._pit.works(working):
                continue
            if expires <= now_ns and symbol in (None, working.ticket.symbol):
                self._pit.expire(working)


def _not_found(order_id: str) -> Refusal:
    return Refusal(code=Code.NOT_FOUND, message=f"no order {order_id} works")


def _meets(working: Working, market: Market) -> bool:
    match working.ticket.time_in_force:
        case TimeInForce.AT_THE_CLOSE:
            return False
        case TimeInForce.AT_THE_OPEN:
            return market.opens
        case _:
            return True
