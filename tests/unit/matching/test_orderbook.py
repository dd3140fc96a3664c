"""Each order type by hand. Every case is played upright and upside down, so for both sides."""

import pytest

from strategy_engine.matching.model import Conditions, Side
from strategy_engine.matching.ticket import Executed, as_fill

HALF = Conditions(max_volume_share_ppm=500_000)


def test_a_market_order_fills_at_the_next_open(both_ways):
    traded = both_ways()
    assert traded.fills(traded.buy("a")) == []
    events = traded.bar(10_050, 10_100, 10_000, 10_020)
    assert traded.fills(events) == [("a", 10, 10_050)]
    assert traded.lots == 10


@pytest.mark.parametrize(
    ("kind", "fields", "bar", "price"),
    [
        # a limit: at its price, at a better open, or not at all
        ("LIMIT", {"limit_ticks": 9_900}, (10_000, 10_050, 9_850, 10_000), 9_900),
        ("LIMIT", {"limit_ticks": 9_900}, (9_800, 9_950, 9_700, 9_900), 9_800),
        ("LIMIT", {"limit_ticks": 9_900}, (10_000, 10_050, 9_901, 10_000), None),
        ("LIMIT", {"limit_ticks": 9_900}, (10_000, 10_050, 9_900, 10_000), 9_900),
        ("LIMIT", {"limit_ticks": 10_100}, (10_050, 10_060, 10_040, 10_050), 10_050),
        # a stop: at its trigger, at a worse open, or not at all
        ("STOP_MARKET", {"trigger_ticks": 10_100}, (10_000, 10_150, 9_950, 10_000), 10_100),
        ("STOP_MARKET", {"trigger_ticks": 10_100}, (10_200, 10_250, 10_150, 10_200), 10_200),
        ("STOP_MARKET", {"trigger_ticks": 10_100}, (10_000, 10_099, 9_950, 10_000), None),
        # a stop-limit: triggered, then within its limit
        (
            "STOP_LIMIT",
            {"trigger_ticks": 10_100, "limit_ticks": 10_120},
            (10_000, 10_150, 9_950, 10_000),
            10_100,
        ),
        (
            "STOP_LIMIT",
            {"trigger_ticks": 10_100, "limit_ticks": 10_120},
            (10_110, 10_150, 10_105, 10_150),
            10_110,
        ),
        (
            "STOP_LIMIT",  # the gap is beyond the limit, and the bar comes back to it
            {"trigger_ticks": 10_100, "limit_ticks": 10_120},
            (10_200, 10_250, 10_110, 10_200),
            10_120,
        ),
        (
            "STOP_LIMIT",  # the gap is beyond the limit, and the bar stays there
            {"trigger_ticks": 10_100, "limit_ticks": 10_120},
            (10_200, 10_250, 10_150, 10_200),
            None,
        ),
        (
            "STOP_LIMIT",  # triggered inside: the low may have come before, the close has not
            {"trigger_ticks": 10_100, "limit_ticks": 10_050},
            (10_060, 10_150, 10_000, 10_060),
            None,
        ),
        (
            "STOP_LIMIT",
            {"trigger_ticks": 10_100, "limit_ticks": 10_050},
            (10_060, 10_150, 10_000, 10_040),
            10_050,
        ),
        # if touched: the other way round
        ("MARKET_IF_TOUCHED", {"trigger_ticks": 9_900}, (10_000, 10_050, 9_850, 10_000), 9_900),
        ("MARKET_IF_TOUCHED", {"trigger_ticks": 9_900}, (9_800, 9_950, 9_750, 9_900), 9_800),
        ("MARKET_IF_TOUCHED", {"trigger_ticks": 9_900}, (10_000, 10_050, 9_901, 10_000), None),
        (
            "LIMIT_IF_TOUCHED",
            {"trigger_ticks": 9_900, "limit_ticks": 9_920},
            (10_000, 10_050, 9_850, 10_000),
            9_900,
        ),
        (
            "LIMIT_IF_TOUCHED",  # touched, and its lower limit is met for certain by the close
            {"trigger_ticks": 9_900, "limit_ticks": 9_880},
            (10_000, 10_050, 9_850, 9_870),
            9_880,
        ),
        (
            "LIMIT_IF_TOUCHED",
            {"trigger_ticks": 9_900, "limit_ticks": 9_880},
            (10_000, 10_050, 9_850, 9_950),
            None,
        ),
    ],
)
def test_where_a_waiting_order_fills(both_ways, kind, fields, bar, price):
    traded = both_ways()
    traded.buy("a", kind, **fields)
    assert traded.fills(traded.bar(*bar)) == ([] if price is None else [("a", 10, price)])


def test_takers_slip_and_makers_do_not(exchange):
    traded = exchange(slippage_ppm=1_000)
    traded.flat_bar()
    traded.buy("market")
    traded.buy("stop", "STOP_MARKET", trigger_ticks=10_100)
    traded.buy("limit", "LIMIT", limit_ticks=9_900)
    events = traded.bar(10_000, 10_200, 9_800, 10_000)
    assert sorted(traded.fills(events)) == [
        ("limit", 10, 9_900),
        ("market", 10, 10_010),
        ("stop", 10, 10_111),
    ]
    slipped = {
        each.client_order_id: (each.slippage_ticks, each.is_maker)
        for each in events
        if isinstance(each, Executed)
    }
    assert slipped == {"market": (10, False), "stop": (11, False), "limit": (0, True)}


def test_a_limit_that_crosses_when_it_comes_takes_and_one_that_waited_makes(both_ways):
    traded = both_ways()
    traded.buy("takes", "LIMIT", limit_ticks=10_100)
    traded.buy("rests", "LIMIT", limit_ticks=9_900)
    events = traded.bar(9_800, 9_800, 9_800, 9_800)
    made = {each.client_order_id: each.is_maker for each in events if isinstance(each, Executed)}
    assert made == {"takes": False, "rests": True}


def test_one_price_meets_market_orders_then_stops_then_limits(both_ways, said):
    traded = both_ways()
    traded.buy("limit", "LIMIT", limit_ticks=10_200)
    traded.buy("stop", "STOP_MARKET", trigger_ticks=10_050)
    traded.buy("market")
    events = traded.bar(10_100, 10_100, 10_100, 10_100)
    assert [name for name, *_ in traded.fills(events)] == ["market", "stop", "limit"]


def test_inside_a_bar_the_nearest_level_is_met_first(both_ways):
    traded = both_ways()
    for name, limit in (("far", 9_800), ("near", 9_950), ("middle", 9_900)):
        traded.buy(name, "LIMIT", limit_ticks=limit)
    events = traded.bar(10_000, 10_000, 9_700, 9_900)
    assert [name for name, *_ in traded.fills(events)] == ["near", "middle", "far"]


def test_a_bar_that_touches_stop_and_target_counts_as_the_stop(both_ways):
    traded = both_ways()
    traded.buy("in")
    traded.flat_bar()
    links = {"contingency": "OCO", "reduce_only": True}
    traded.sell("target", "LIMIT", limit_ticks=10_100, linked_ids=("stop",), **links)
    traded.sell("stop", "STOP_MARKET", trigger_ticks=9_900, linked_ids=("target",), **links)
    assert traded.fills(traded.bar(10_000, 10_200, 9_800, 10_150)) == [("stop", 10, 9_900)]
    assert traded.lots == 0


def test_of_two_breakouts_the_nearer_one_happens(both_ways, said):
    traded = both_ways()
    traded.buy("up", "STOP_MARKET", trigger_ticks=10_100, contingency="OCO", linked_ids=("down",))
    traded.sell("down", "STOP_MARKET", trigger_ticks=9_900, contingency="OCO", linked_ids=("up",))
    events = traded.bar(10_000, 10_150, 9_700, 10_000)
    assert said(events) == ["up executed", "down cancelled"]


def test_a_trailing_stop_follows_complete_bars_and_never_goes_back(both_ways, said):
    traded = both_ways()
    traded.buy("in")
    traded.flat_bar()
    assert said(traded.sell("trail", "TRAILING_STOP_MARKET", trailing_ticks=100)) == [
        "trail accepted",
        "trail updated",
    ]
    levels = []
    for bar in (
        (10_000, 10_080, 9_950, 10_000),  # up 80: the stop to 9,980, which the close does not meet
        (10_000, 10_050, 9_990, 10_020),  # no new high: it stays
        (10_100, 10_200, 10_001, 10_150),  # the open is followed at once: 10,000; the high: 10,100
    ):
        traded.bar(*bar)
        levels.append(traded.price(traded.book.working[0].trigger))
    assert levels == [9_980, 9_980, 10_100]
    assert traded.fills(traded.bar(10_120, 10_300, 10_050, 10_290)) == [("trail", 10, 10_100)]


def test_the_open_that_a_trailing_stop_follows_can_be_its_undoing(both_ways):
    traded = both_ways()
    traded.buy("in")
    traded.sell("trail", "TRAILING_STOP_MARKET", trailing_ticks=100)
    events = traded.bar(10_300, 10_400, 10_199, 10_350)
    assert traded.fills(events)[-1] == ("trail", 10, 10_200)


def test_a_trailing_stop_waits_for_its_activation(both_ways):
    traded = both_ways()
    traded.buy("in")
    traded.sell("trail", "TRAILING_STOP_MARKET", trailing_ticks=50, activation_ticks=10_200)
    traded.bar(10_000, 10_199, 9_000, 10_000)
    assert (traded.book.working[0].trigger, traded.lots) == (None, 10)
    traded.bar(10_000, 10_200, 9_990, 10_180)
    assert traded.price(traded.book.working[0].trigger) == 10_150
    assert traded.fills(traded.bar(10_180, 10_190, 10_100, 10_150)) == [("trail", 10, 10_150)]


def test_a_trailing_stop_limit_carries_its_limit_along(both_ways, said):
    traded = both_ways()
    traded.buy("in")
    traded.sell("trail", "TRAILING_STOP_LIMIT", trailing_ticks=100, limit_offset_ticks=120)
    traded.bar(10_000, 10_100, 9_950, 10_100)
    (working,) = traded.book.working
    assert (traded.price(working.trigger), traded.price(working.limit)) == (10_000, 9_980)
    # The gap is beyond the limit: it is triggered, and the bar comes back to it.
    events = traded.bar(9_900, 9_990, 9_850, 9_900)
    assert said(events) == ["trail triggered", "trail executed"]
    assert traded.fills(events) == [("trail", 10, 9_980)]


def test_a_market_to_limit_order_rests_at_the_price_of_its_first_fill(both_ways, said):
    traded = both_ways(conditions=HALF)
    traded.buy("a", "MARKET_TO_LIMIT", lots=10)
    events = traded.bar(10_010, 10_050, 10_005, 10_040, volume=12)
    assert said(events) == ["a executed", "a updated"]
    assert traded.price(traded.book.working[0].limit) == 10_010
    assert traded.fills(traded.bar(10_040, 10_050, 10_011, 10_040, volume=100)) == []
    assert traded.fills(traded.bar(10_040, 10_050, 10_000, 10_040, volume=100)) == [
        ("a", 4, 10_010)
    ]


def test_a_bars_volume_is_shared_and_what_is_left_goes_on(both_ways):
    traded = both_ways(conditions=HALF)
    traded.buy("a", lots=30)
    traded.buy("b", lots=30)
    assert traded.fills(traded.bar(10_000, 10_000, 10_000, 10_000, volume=80)) == [
        ("a", 30, 10_000),
        ("b", 10, 10_000),
    ]
    assert traded.fills(traded.flat_bar(volume=0)) == []
    assert traded.fills(traded.flat_bar(10_020, volume=100)) == [("b", 20, 10_020)]


def test_a_stop_that_fills_in_part_is_a_market_order_from_then_on(both_ways):
    traded = both_ways(conditions=HALF)
    traded.buy("a", "STOP_MARKET", lots=30, trigger_ticks=10_100)
    assert traded.fills(traded.bar(10_000, 10_150, 9_990, 10_000, volume=20)) == [("a", 10, 10_100)]
    assert traded.fills(traded.bar(9_500, 9_500, 9_500, 9_500, volume=100)) == [("a", 20, 9_500)]


def test_an_order_turns_a_position_over_closing_first(both_ways):
    traded = both_ways()
    traded.buy("in", lots=10)
    traded.flat_bar()
    traded.sell("turn", lots=25)
    closed, opened = traded.bar(10_100, 10_100, 10_100, 10_100)
    assert (closed.lots, closed.opens, closed.leaves_lots) == (10, False, 15)
    assert (opened.lots, opened.opens, opened.leaves_lots) == (15, True, 0)
    assert closed.round_trip.pnl_nanos == closed.pnl_nanos == 10 * 100 * 10_000_000
    assert (opened.round_trip, traded.lots) == (None, -15)


def test_quotes_fill_buys_at_the_ask_and_sells_at_the_bid(exchange):
    traded = exchange()
    traded.quote(9_990, 10_010)
    traded.buy("a")
    traded.sell("b", "LIMIT", limit_ticks=10_000)
    assert traded.fills(traded.quote(9_999, 10_003)) == [("a", 10, 10_003)]
    assert traded.fills(traded.quote(10_001, 10_005)) == [("b", 10, 10_001)]


def test_quotes_trigger_sell_stops_by_the_bid_and_buy_stops_by_the_ask(exchange):
    traded = exchange()
    traded.quote(9_990, 10_010)
    traded.buy("buy", "STOP_MARKET", trigger_ticks=10_050)
    traded.sell("sell", "STOP_MARKET", trigger_ticks=9_950)
    assert traded.fills(traded.quote(9_951, 10_049)) == []
    assert traded.fills(traded.quote(9_951, 10_050)) == [("buy", 10, 10_050)]
    assert traded.fills(traded.quote(9_950, 10_000)) == [("sell", 10, 9_950)]


def test_each_side_of_a_quote_has_its_own_size(exchange):
    traded = exchange(conditions=HALF)
    traded.quote(9_990, 10_010)
    traded.buy("a", lots=50)
    traded.sell("b", lots=50)
    events = traded.quote(9_990, 10_010, bid_lots=20, ask_lots=60)
    assert traded.fills(events) == [("a", 30, 10_010), ("b", 10, 9_990)]


def test_a_trade_is_a_price_for_both_sides_and_one_size(exchange):
    traded = exchange(conditions=HALF)
    traded.trade(10_000)
    traded.buy("a", lots=50)
    traded.sell("b", "LIMIT", lots=50, limit_ticks=10_000)
    assert traded.fills(traded.trade(10_005, lots=110)) == [("a", 50, 10_005), ("b", 5, 10_005)]


def test_a_trailing_stop_follows_every_quote(exchange):
    traded = exchange()
    traded.quote(9_990, 10_010)
    traded.buy("in")
    traded.sell("trail", "TRAILING_STOP_MARKET", trailing_ticks=100)
    traded.quote(10_100, 10_120)
    assert traded.book.working[0].trigger == 10_000
    assert traded.fills(traded.quote(9_999, 10_020)) == [("trail", 10, 9_999)]


def test_a_fill_is_kept_as_any_fill(exchange):
    traded = exchange(fee_ppm=100)
    traded.flat_bar()
    traded.buy("a")
    (event,) = traded.bar(10_000, 10_000, 10_000, 10_000)
    fill = as_fill(event)
    assert (fill.order_id, fill.side, fill.lots, fill.lots_after) == ("a", Side.BUY, 10, 10)
    assert (fill.fee_nanos, fill.pnl_nanos, fill.opens) == (100_000_000, 0, True)


def test_orders_at_the_very_extreme_of_a_bar_all_fill(both_ways):
    traded = both_ways()
    for name in ("a", "b"):
        traded.buy(name, "STOP_MARKET", trigger_ticks=10_100)
    events = traded.bar(10_000, 10_100, 9_990, 10_000)
    assert traded.fills(events) == [("a", 10, 10_100), ("b", 10, 10_100)]
