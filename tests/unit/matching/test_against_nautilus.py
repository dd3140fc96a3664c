"""The order book against NautilusTrader's own matching engine, under our rule for bars.

Each bar is laid out for it as quotes, one tick after the other, along the path that `rules.path`
takes; what is asked at a bar's close arrives with the next quote, the next open. So both look at
the same prices in the same order, and must fill the same orders at the same prices.

What NautilusTrader does otherwise, and why we do not (the mixes below leave it out):

* Fed with bars it fills a market order at the very bar's close, which a strategy has just seen.
* It fills a resting limit at its limit where the open is better, and a triggered stop-limit at its
  trigger where the open is worse. We fill a gap at the open, for better and for worse.
* Inside a bar it meets open, high, low and close whatever is held, and a stop-limit or a trailing
  stop follows that order. We take the worse of what may have happened.
* It splits a bar's volume into four quarters and fills a market order beyond it a tick away. We
  fill a share of the bar's volume, and the rest at the next bar.
* A stop-limit that fills moves the market to its limit for the other orders of that instant; here
  limits in a mix lie at their trigger, and further only in an order alone.
* It cancels the reduce-only exits of an entry that turned a position over. We let them reduce it.
* One price meets arrivals after what rests. We let market orders go first, as the signal path does.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy_engine.matching.model import NANOS, Side
from strategy_engine.matching.orderbook import OrderBook
from strategy_engine.matching.ticket import (
    Cancel,
    Contingency,
    Executed,
    Instruction,
    Modify,
    OrderType,
    Ticket,
    TimeInForce,
)

from .nautilus import (
    BAR_NS,
    CAPITAL,
    CENT,
    FREE,
    LISTING,
    SIZE,
    Bar,
    Fills,
    Session,
    ours,
    quote,
    simulated,
    theirs,
)

# NautilusTrader 1.231 asks pandas for the time in a way that pandas 3 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Timestamp.utcnow is deprecated")


def bars_of(random: np.random.Generator, size: int, gap: int) -> list[Bar]:
    bars, price = [], 1_000
    for _ in range(size):
        opened = price + int(random.integers(-gap, gap + 1))
        close = opened + int(random.integers(-8, 9))
        high = max(opened, close) + int(random.integers(0, 6))
        low = min(opened, close) - int(random.integers(0, 6))
        bars.append((opened, high, low, close))
        price = close
    return bars


def single(
    random: np.random.Generator, name: str, price: int, kinds: list[OrderType], room: int = 1
) -> Ticket:
    """An order of some kind whose levels are near a price, on the side where they wait.

    A limit behind a trigger leaves less than `room` ticks.
    """
    kind, side = kinds[random.integers(len(kinds))], list(Side)[random.integers(2)]
    up = 1 if side is Side.BUY else -1
    far, more = int(random.integers(1, 12)), int(random.integers(1, 6))
    away = -up if kind in {OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED} else up
    trigger = price + away * far
    limit = price - up * far if kind is OrderType.LIMIT else trigger + up * (more % room)
    lives = [TimeInForce.GTC] * 3
    lives += [TimeInForce.IOC, TimeInForce.FOK] * (kind in {OrderType.LIMIT, OrderType.MARKET})
    if kind is OrderType.LIMIT and random.random() < 0.3:
        limit = price + up * more  # it takes at once
    return Ticket(
        client_order_id=name,
        symbol="X.SIM",
        side=side,
        type=kind,
        lots=int(random.integers(1, 20)),
        time_in_force=lives[random.integers(len(lives))],
        limit_ticks=limit if "LIMIT" in kind and kind != "MARKET_TO_LIMIT" else None,
        trigger_ticks=trigger if "STOP" in kind or "TOUCHED" in kind else None,
    )


def bracket(random: np.random.Generator, name: str, price: int, side: Side) -> list[Ticket]:
    other = Side.SELL if side is Side.BUY else Side.BUY
    up = 1 if side is Side.BUY else -1
    near, far = (int(each) for each in random.integers(1, 10, 2))
    names = name, f"{name}-stop", f"{name}-target"
    common = {"symbol": "X.SIM", "lots": int(random.integers(1, 20))}
    exits = {
        "side": other,
        "contingency": Contingency.OUO,
        "parent_id": name,
        "reduce_only": True,
    }
    return [
        Ticket(
            client_order_id=names[0],
            side=side,
            type=OrderType.MARKET,
            contingency=Contingency.OTO,
            linked_ids=names[1:],
            **common,
        ),
        Ticket(
            client_order_id=names[1],
            type=OrderType.STOP_MARKET,
            trigger_ticks=price - up * near,
            linked_ids=names[2:],
            **exits,
            **common,
        ),
        Ticket(
            client_order_id=names[2],
            type=OrderType.LIMIT,
            limit_ticks=price + up * far,
            linked_ids=names[1:2],
            **exits,
            **common,
        ),
    ]


def pair(random: np.random.Generator, name: str, price: int) -> list[Ticket]:
    """A breakout either way: the first to fill cancels the other."""
    names = f"{name}-up", f"{name}-down"
    far = [int(each) for each in random.integers(1, 10, 2)]
    return [
        Ticket(
            client_order_id=names[at],
            symbol="X.SIM",
            side=side,
            type=OrderType.STOP_MARKET,
            lots=5,
            trigger_ticks=price + sign * far[at],
            contingency=Contingency.OCO,
            linked_ids=(names[1 - at],),
        )
        for at, (side, sign) in enumerate(((Side.BUY, 1), (Side.SELL, -1)))
    ]


def change(random: np.random.Generator, limits: list[str], price: int) -> list[Instruction]:
    if not limits or random.random() < 0.5:
        return []
    name = limits[random.integers(len(limits))]
    if random.random() < 0.5:
        return [Cancel(client_order_id=name)]
    return [Modify(client_order_id=name, limit_ticks=price + int(random.integers(-10, 11)))]


def same(session: Session) -> Fills:
    fills, worth, ways = ours(session)
    their_fills, their_worth = theirs(session, ways)
    assert their_fills == fills
    # It rounds each profit to the cent, from an average price that is a float.
    assert abs(their_worth - worth) <= CENT * len(fills)
    return fills


ALONE = [OrderType.MARKET, OrderType.MARKET_TO_LIMIT, OrderType.LIMIT, OrderType.STOP_MARKET]
ALONE += [OrderType.STOP_LIMIT, OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED]
SEEDS = st.integers(0, 2**32)


@settings(max_examples=25)
@given(seed=SEEDS)
def test_any_mix_of_orders_fills_the_same(seed):
    random = np.random.default_rng(seed)
    bars = bars_of(random, 12, gap=0)
    asked, limits = [], []
    for index, bar in enumerate(bars[:-1]):
        tickets = [single(random, f"{index}-{each}", bar[3], ALONE) for each in range(3)]
        asked.append([*tickets, *change(random, limits, bar[3])])
        limits += [each.client_order_id for each in tickets if each.type is OrderType.LIMIT]
    same(Session(bars=bars, asked=asked))


@settings(max_examples=25)
@given(seed=SEEDS)
def test_an_order_alone_fills_the_same(seed):
    random = np.random.default_rng(seed)
    bars = bars_of(random, 8, gap=0)
    ticket = single(random, "a", bars[0][3], ALONE, room=6)
    session = Session(bars=bars, asked=[[ticket]])
    assert len(same(session)) <= 1


@settings(max_examples=15)
@given(seed=SEEDS)
def test_gaps_fill_stops_and_market_orders_the_same(seed):
    random = np.random.default_rng(seed)
    bars = bars_of(random, 12, gap=10)
    kinds = [OrderType.MARKET, OrderType.STOP_MARKET]
    asked = [
        [single(random, f"{index}-{each}", bar[3], kinds) for each in range(3)]
        for index, bar in enumerate(bars[:-1])
    ]
    same(Session(bars=bars, asked=asked))


@settings(max_examples=25)
@given(seed=SEEDS)
def test_brackets_fill_the_same(seed):
    random = np.random.default_rng(seed)
    bars = bars_of(random, 12, gap=0)
    asked: list[list[Instruction]] = [[] for _ in bars[:-1]]
    side = list(Side)[random.integers(2)]
    for index in range(0, len(asked), 3):
        asked[index] += bracket(random, f"b{index}", bars[index][3], side)
    same(Session(bars=bars, asked=asked))


@settings(max_examples=15)
@given(seed=SEEDS)
def test_of_two_linked_breakouts_the_same_one_happens(seed):
    random = np.random.default_rng(seed)
    bars = bars_of(random, 12, gap=0)
    asked = [pair(random, f"p{index}", bar[3]) for index, bar in enumerate(bars[:-1])]
    same(Session(bars=bars, asked=asked))


@settings(max_examples=40)
@given(seed=SEEDS)
def test_trailing_stops_follow_quotes_the_same(seed):
    random = np.random.default_rng(seed)
    # The quote after the order is the one before it: it starts from what it knew.
    bids = [1_000, 1_000, *(1_000 + np.cumsum(random.integers(-1, 2, 200))).tolist()]
    side = list(Side)[random.integers(2)]
    is_limit = random.random() < 0.5
    ticket = Ticket(
        client_order_id="trail",
        symbol="X.SIM",
        side=side,
        type=OrderType.TRAILING_STOP_LIMIT if is_limit else OrderType.TRAILING_STOP_MARKET,
        lots=5,
        trailing_ticks=int(random.integers(1, 6)),
        limit_offset_ticks=int(random.integers(1, 6)) if is_limit else None,
        activation_ticks=None if random.random() < 0.5 else 1_000 + (-5 if side is Side.BUY else 6),
    )
    book = OrderBook(CAPITAL * NANOS, [LISTING.terms], FREE)
    found, quotes = [], []
    for at, bid in enumerate(bids):
        ts_ns = at * BAR_NS + 1
        quotes.append(quote(bid, bid + 1, ts_ns))
        events = book.on_quote("X.SIM", ts_ns, (bid, bid + 1), (SIZE, SIZE))
        found += [
            (at, each.client_order_id, each.lots, each.price_ticks)
            for each in events
            if isinstance(each, Executed)
        ]
        if not at:
            book.submit(ticket, ts_ns)
    assert simulated(quotes, {1: [ticket]})[0] == found


@pytest.mark.parametrize(("opened", "price"), [(990, 990), (985, 985)])
def test_a_limit_at_a_gap_is_where_we_differ(opened, price):
    bars = [(1_000,) * 4, (1_000,) * 4, (opened,) * 4]
    waits = single(np.random.default_rng(0), "a", 1_000, [OrderType.LIMIT])
    ticket = Ticket(
        **{name: getattr(waits, name) for name in Ticket.__struct_fields__}
        | {"side": Side.BUY, "limit_ticks": 990, "time_in_force": TimeInForce.GTC, "lots": 5}
    )
    session = Session(bars=bars, asked=[[ticket]])
    fills, _, ways = ours(session)
    assert fills == [(2, "a", 5, price)]
    assert theirs(session, ways)[0] == [(2, "a", 5, 990)]
