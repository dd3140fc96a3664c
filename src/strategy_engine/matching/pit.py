"""Working orders meet a price: triggers, fills, and what a fill does to linked orders.

Which prices there are, and in which order, is the order book's; money is `funds`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from strategy_engine.matching import admission, rules
from strategy_engine.matching import funds as money
from strategy_engine.matching import working as orders
from strategy_engine.matching.admission import Code, Facts, Refusal
from strategy_engine.matching.funds import Funds
from strategy_engine.matching.offer import Liquidity, Market
from strategy_engine.matching.position import Position
from strategy_engine.matching.ticket import (
    Accepted,
    Cancelled,
    Contingency,
    Executed,
    Expired,
    Modify,
    OrderEvent,
    OrderType,
    Rejected,
    Ticket,
    TimeInForce,
    Triggered,
    Updated,
)
from strategy_engine.matching.working import Phase, Working

_LINKED = frozenset({Contingency.OCO, Contingency.OUO})
# How many ended orders are remembered, so that a child that comes late finds its parent's fate.
_REMEMBERED = 32

type _Trade = tuple[int, int, int]  # lots, fill price and price before slippage, ticks


class Pit:
    """The working orders of one execution. Events gather in `events` until they are drained.

    `born` are children that came to life at the price that is being met, and have still to meet
    it; `is_inside` a bar, between its open and its close.
    """

    __slots__ = (
        "born",
        "ended",
        "events",
        "funds",
        "is_inside",
        "markets",
        "seq",
        "trade_no",
        "ts_ns",
        "working",
    )

    def __init__(self, funds: Funds) -> None:
        self.funds = funds
        self.markets = {symbol: Market(each) for symbol, each in funds.positions.items()}
        self.working: dict[str, Working] = {}
        self.ended: dict[str, int] = {}
        self.events: list[OrderEvent] = []
        self.born: list[Working] = []
        self.is_inside = False
        self.seq = 0
        self.trade_no = 0
        self.ts_ns = 0

    def drain(self) -> list[OrderEvent]:
        """Return what happened since the last time."""
        events, self.events = self.events, []
        return events

    def works(self, working: Working) -> bool:
        """Return whether an order has not ended."""
        return self.working.get(working.order_id) is working

    def of(self, symbol: str) -> list[Working]:
        """Return the orders of an instrument that prices meet, in the order of their turns."""
        alive = [
            each
            for each in self.working.values()
            if each.ticket.symbol == symbol and not each.is_held
        ]
        return sorted(alive, key=Working.rank) if len(alive) > 1 else alive

    def facts(self, ticket: Ticket) -> Facts:
        """Return what decides whether an order is taken now."""
        market = self.markets.get(ticket.symbol)
        return Facts(
            terms=market.position.terms if market else None,
            now_ns=self.ts_ns,
            opposite_ticks=market.price_for(ticket.side) if market else 0,
            held_lots=market.position.lots if market else 0,
            has_opposite=any(
                each.ticket.side is not ticket.side and not each.ticket.reduce_only
                for each in self.of(ticket.symbol)
            ),
            allow_short=self.funds.rules.allow_short,
        )

    def begin(self, working: Working) -> None:
        """Let an order work from now on, or refuse it."""
        refusal = admission.judge_at_life(working.ticket, self.facts(working.ticket))
        if refusal is not None:
            self._reject(working, refusal.code, refusal.message)
            return
        working.is_held = False
        working.accepted_ns = self.ts_ns
        self.events.append(Accepted(client_order_id=working.order_id, ts_ns=self.ts_ns))
        price = self.markets[working.ticket.symbol].price_for(working.ticket.side)
        if price:
            working.is_taker = working.phase is Phase.LIMIT and working.reached(price)
            self.trail(working, price)

    def trail(self, working: Working, extreme: int) -> None:
        """Let a trailing stop follow the market."""
        if working.trail(extreme):
            self._updated(working)

    def change(self, working: Working, change: Modify) -> None:
        """Give an order the terms that a judged change asks for."""
        working.lots = working.lots if change.lots is None else change.lots
        working.limit = working.limit if change.limit_ticks is None else change.limit_ticks
        working.trigger = working.trigger if change.trigger_ticks is None else change.trigger_ticks
        price = self.markets[working.ticket.symbol].price_for(working.ticket.side)
        working.is_taker = working.phase is Phase.LIMIT and price > 0 and working.reached(price)
        self._updated(working)
        if change.lots is not None and working.ticket.contingency is Contingency.OUO:
            for sibling in self._linked(working):
                self.resize(sibling, sibling.filled + working.leaves)

    def resize(self, working: Working, lots: int) -> None:
        """Give an order another quantity."""
        if working.lots != lots:
            working.lots = lots
            self._updated(working)

    def refuse(self, ticket: Ticket, refusal: Refusal) -> None:
        """Say that an order is not taken."""
        self._remember(ticket.client_order_id, 0)
        self.events.append(self._rejected(ticket.client_order_id, refusal.code, refusal.message))

    def cancel(self, working: Working, why: str, *, alone: bool = False) -> None:
        """End an order as taken back, with those that depend on it unless `alone`."""
        event = Cancelled(client_order_id=working.order_id, ts_ns=self.ts_ns, why=why)
        self.end(working, event, alone=alone)

    def expire(self, working: Working) -> None:
        """End an order whose time is over."""
        self.end(working, Expired(client_order_id=working.order_id, ts_ns=self.ts_ns))

    def end(
        self, working: Working, event: Cancelled | Expired | Rejected, *, alone: bool = False
    ) -> None:
        """End an order without another fill, and those that depend on it."""
        self._forget(working)
        self.events.append(event)
        if not working.filled:
            for child in self._children(working):
                self.cancel(child, "parent_ended", alone=True)
        if not alone:
            for sibling in self._linked(working):
                self.cancel(sibling, "linked_ended", alone=True)

    def touch(self, working: Working, price: int) -> None:
        """Let an order meet a price; a stop, or an order at the market, slips from it."""
        if working.phase is Phase.TRIGGER and working.reached(price):
            self._trigger(working, price)
        if not self.works(working) or working.phase is Phase.TRIGGER:
            return
        if working.phase is Phase.MARKET:
            side, slippage = working.ticket.side, self.funds.rules.slippage_ppm
            self._execute(working, rules.slipped(price, side, slippage), price)
        elif working.reached(price):
            self._execute(working, price, price)
        if self.works(working) and working.ticket.time_in_force in orders.IMMEDIATE:
            self.cancel(working, working.ticket.time_in_force.lower())

    def _trigger(self, working: Working, price: int) -> None:
        working.is_triggered = True
        if working.limit is None:
            return
        self.events.append(Triggered(client_order_id=working.order_id, ts_ns=self.ts_ns))
        working.is_taker, working.is_late = working.reached(price), self.is_inside
        if working.is_taker and working.ticket.post_only:
            message = f"post_only at {working.limit} ticks would have taken at {price}"
            self._reject(working, Code.POST_ONLY, message)

    def _execute(self, working: Working, price: int, quoted: int) -> None:
        ticket, market = working.ticket, self.markets[working.ticket.symbol]
        wanted = self._wanted(working, market.position)
        left = market.liquidity.left(ticket.side)
        lots = wanted if left is None else min(wanted, left)
        if not lots:
            return
        signed = lots if working.is_buy else -lots
        if ticket.time_in_force is TimeInForce.FOK and not (
            lots == wanted and self.funds.holds_whole(ticket.symbol, signed, price)
        ):
            return
        closing = money.reducible(market.position, signed)
        if closing:
            self._close(working, (closing, price, quoted))
        opening = lots - closing
        short = opening - self._open(working, (opening, price, quoted)) if opening else 0
        self._settle(working, price)
        if short and self.works(working):
            self.cancel(working, self._why_no_room(working, lots=opening, price=price))

    def _wanted(self, working: Working, position: Position) -> int:
        if not working.ticket.reduce_only:
            return working.leaves
        most = money.reducible(position, working.leaves if working.is_buy else -working.leaves)
        if not most:
            self.cancel(working, Code.REDUCE_ONLY)
        else:
            self.resize(working, working.filled + most)
        return most

    def _close(self, working: Working, trade: _Trade) -> None:
        position = self.markets[working.ticket.symbol].position
        fee, pnl = self.funds.reduce(position, trade[0], trade[1])
        self._executed(working, trade, (fee, pnl), opens=False)

    def _open(self, working: Working, trade: _Trade) -> int:
        position = self.markets[working.ticket.symbol].position
        lots, price, quoted = trade
        sign = 1 if working.is_buy else -1
        room = self.funds.room_for(position, sign * lots, price)
        if room:
            fee = self.funds.enlarge(position, sign * room, price, self.ts_ns)
            self._executed(working, (room, price, quoted), (fee, 0), opens=True)
        return room

    def _executed(
        self, working: Working, trade: _Trade, outcome: tuple[int, int], *, opens: bool
    ) -> None:
        ticket, market = working.ticket, self.markets[working.ticket.symbol]
        lots, price, quoted = trade
        is_maker = working.phase is Phase.LIMIT and not working.is_taker
        working.filled += lots
        market.liquidity.take(ticket.side, lots)
        self.trade_no += 1
        self.events.append(
            Executed(
                client_order_id=working.order_id,
                trade_no=self.trade_no,
                symbol=ticket.symbol,
                side=ticket.side,
                lots=lots,
                price_ticks=price,
                fee_nanos=outcome[0],
                pnl_nanos=outcome[1],
                ts_ns=self.ts_ns,
                leaves_lots=working.leaves,
                position_lots=market.position.lots,
                is_maker=is_maker,
                opens=opens,
                slippage_ticks=abs(price - quoted),
                round_trip=None if opens else market.position.round_trip(self.ts_ns),
            )
        )

    def _settle(self, working: Working, price: int) -> None:
        if not working.filled:
            return
        if not working.leaves:
            self._forget(working)
        elif working.ticket.type is OrderType.MARKET_TO_LIMIT and working.limit is None:
            working.limit = price
            self._updated(working)
        for child in self._children(working):
            self.begin(child)
            if self.works(child) and child.ticket.symbol == working.ticket.symbol:
                child.is_late = self.is_inside
                self.born.append(child)
        self._settle_linked(working)
        self._settle_flat(working)

    def _settle_linked(self, working: Working) -> None:
        for sibling in self._linked(working):
            if working.ticket.contingency is Contingency.OCO or not working.leaves:
                self.cancel(sibling, "linked_filled", alone=True)
            else:
                self.resize(sibling, sibling.filled + working.leaves)

    def _settle_flat(self, working: Working) -> None:
        symbol = working.ticket.symbol
        if self.markets[symbol].position.lots:
            return
        for each in self.of(symbol):
            if each is working or each.is_fresh or not each.ticket.reduce_only:
                continue
            if self.works(each):
                self.cancel(each, Code.REDUCE_ONLY)

    def _why_no_room(self, working: Working, *, lots: int, price: int) -> Code:
        how = self.funds.rules
        position = self.markets[working.ticket.symbol].position
        if not working.is_buy and not how.allow_short:
            return Code.SHORT_NOT_ALLOWED
        value = position.entry_nanos + position.terms.nanos(lots * price)
        if how.max_position_nanos is not None and value > how.max_position_nanos:
            return Code.MAX_POSITION_SIZE
        return (
            Code.INSUFFICIENT_CASH if self.funds.leverage_ppm is None else Code.INSUFFICIENT_MARGIN
        )

    def _children(self, working: Working) -> list[Working]:
        return [
            each
            for each in self.working.values()
            if each.is_held and each.ticket.parent_id == working.order_id
        ]

    def _linked(self, working: Working) -> Iterator[Working]:
        if working.ticket.contingency not in _LINKED:
            return
        for order_id in working.ticket.linked_ids:
            sibling = self.working.get(order_id)
            if sibling is not None and sibling is not working:
                yield sibling

    def _updated(self, working: Working) -> None:
        self.events.append(
            Updated(
                client_order_id=working.order_id,
                ts_ns=self.ts_ns,
                lots=working.lots,
                limit_ticks=working.limit,
                trigger_ticks=working.trigger,
            )
        )

    def _reject(self, working: Working, code: Code, message: str) -> None:
        self.end(working, self._rejected(working.order_id, code, message), alone=True)

    def _rejected(self, order_id: str, code: Code, message: str) -> Rejected:
        return Rejected(client_order_id=order_id, ts_ns=self.ts_ns, code=code, message=message)

    def _forget(self, working: Working) -> None:
        del self.working[working.order_id]
        self._remember(working.order_id, working.filled)

    def _remember(self, order_id: str, filled: int) -> None:
        self.ended[order_id] = filled
        if len(self.ended) > _REMEMBERED:
            del self.ended[next(iter(self.ended))]


def dump(pit: Pit) -> dict[str, Any]:
    """Return everything that changes, as plain values."""
    return money.dump(pit.funds) | {
        "trade_no": pit.trade_no,
        "seq": pit.seq,
        "working": [orders.dump(each) for each in pit.working.values()],
        "ended": [list(each) for each in pit.ended.items()],
        "markets": {
            symbol: [each.bid, each.ask, each.opens, list(each.liquidity.lots)]
            for symbol, each in pit.markets.items()
        },
    }


def load(pit: Pit, plain: Mapping[str, Any]) -> None:
    """Put what `dump` returned into a pit of the same instruments and rules."""
    money.load(pit.funds, plain)
    pit.trade_no, pit.seq = plain["trade_no"], plain["seq"]
    found = [orders.load(each) for each in plain["working"]]
    pit.working = {each.order_id: each for each in found}
    pit.ended = dict(plain["ended"])
    for symbol, (bid, ask, opens, lots) in plain["markets"].items():
        market = pit.markets[symbol]
        market.bid, market.ask, market.opens = bid, ask, opens
        market.liquidity = Liquidity(tuple(lots))
