"""How long an order lives, and how it is changed and taken back."""

import pytest

from strategy_engine.matching.model import DAY_NS, NANOS, Conditions
from strategy_engine.matching.ticket import Expired

HALF = Conditions(max_volume_share_ppm=500_000)
BY_CALLER = Conditions(ends_days=False)


def test_an_immediate_order_is_cancelled_where_the_next_price_leaves_it(both_ways, said):
    traded = both_ways()
    traded.buy("a", "LIMIT", limit_ticks=9_990, time_in_force="IOC")
    assert said(traded.bar(10_000, 10_000, 9_900, 9_950)) == ["a cancelled"]


def test_an_immediate_order_takes_what_there_is(both_ways, said):
    traded = both_ways(conditions=HALF)
    traded.buy("a", time_in_force="IOC")
    events = traded.flat_bar(volume=8)
    assert (traded.fills(events), said(events)) == (
        [("a", 4, 10_000)],
        ["a executed", "a cancelled"],
    )


@pytest.mark.parametrize(("volume", "fills"), [(19, []), (20, [("a", 10, 10_000)])])
def test_fill_or_kill_is_all_or_nothing(both_ways, volume, fills):
    traded = both_ways(conditions=HALF)
    traded.buy("a", time_in_force="FOK")
    assert traded.fills(traded.flat_bar(volume=volume)) == fills
    assert traded.book.working == ()


def test_fill_or_kill_counts_the_money_too(exchange, said):
    traded = exchange(capital=1_000)
    traded.flat_bar()
    traded.buy("all", time_in_force="FOK", lots=10)
    traded.buy("too much", time_in_force="FOK", lots=1)
    assert said(traded.flat_bar()) == ["all executed", "too much cancelled"]


@pytest.mark.parametrize(("lots", "is_whole"), [(20, True), (21, False)])
def test_fill_or_kill_that_turns_over_counts_what_closing_frees(exchange, lots, is_whole):
    traded = exchange(capital=1_000)
    traded.flat_bar()
    traded.buy("in", lots=10)
    traded.flat_bar()
    traded.sell("turn", lots=lots, time_in_force="FOK")
    assert bool(traded.fills(traded.flat_bar())) is is_whole
    assert traded.lots == (-10 if is_whole else 10)


def test_a_stop_may_be_immediate_once_it_is_triggered(both_ways, said):
    traded = both_ways(conditions=HALF)
    traded.buy("a", "STOP_MARKET", trigger_ticks=10_100, time_in_force="IOC")
    assert said(traded.flat_bar(volume=8)) == []
    assert said(traded.flat_bar(10_100, volume=8)) == ["a executed", "a cancelled"]


def test_an_order_good_till_a_date_meets_no_bar_that_opens_then(both_ways, said):
    traded = both_ways()
    expire_ns = traded.now_ns + 3_600 * NANOS
    traded.buy("a", "LIMIT", limit_ticks=9_900, time_in_force="GTD", expire_ns=expire_ns)
    assert said(traded.flat_bar()) == ["a expired"]
    assert traded.fills(traded.bar(9_800, 9_900, 9_700, 9_800)) == []


def test_time_passes_without_a_price_too(both_ways, said):
    traded = both_ways()
    expire_ns = traded.now_ns + 10
    traded.buy("a", "LIMIT", limit_ticks=9_900, time_in_force="GTD", expire_ns=expire_ns)
    assert said(traded.book.expire(expire_ns - 1)) == []
    assert said(traded.book.expire(expire_ns)) == ["a expired"]


@pytest.mark.parametrize(("opened", "fills"), [(10_000, []), (9_890, [("a", 10, 9_890)])])
def test_an_order_that_expires_inside_a_bar_meets_its_open_only(both_ways, opened, fills):
    traded = both_ways()
    expire_ns = traded.now_ns + 1_800 * NANOS
    traded.buy("a", "LIMIT", limit_ticks=9_900, time_in_force="GTD", expire_ns=expire_ns)
    events = traded.bar(opened, 10_000, 9_000, 9_950)
    assert traded.fills(events) == fills
    assert isinstance(events[-1], Expired) is (not fills)


def test_an_order_for_the_day_ends_when_the_next_day_opens(both_ways, said):
    traded = both_ways()
    traded.buy("day", "LIMIT", limit_ticks=9_000, time_in_force="DAY")
    traded.buy("gtc", "LIMIT", limit_ticks=9_000, time_in_force="GTC")
    for _ in range(23):
        assert said(traded.flat_bar()) == []
    assert traded.now_ns == DAY_NS
    assert said(traded.bar(8_900, 8_900, 8_900, 8_900)) == ["day expired", "gtc executed"]


def test_what_comes_as_a_day_ends_is_for_the_next(both_ways, said):
    traded = both_ways()
    traded.flat_bar(hours=23)
    traded.buy("day", "LIMIT", limit_ticks=9_000, time_in_force="DAY")
    assert said(traded.flat_bar(hours=24)) == []
    assert said(traded.flat_bar(hours=24)) == ["day expired"]


def test_the_caller_may_say_when_a_session_ends(both_ways, said):
    traded = both_ways(conditions=BY_CALLER)
    traded.buy("day", "LIMIT", limit_ticks=9_000, time_in_force="DAY")
    for _ in range(30):
        assert said(traded.flat_bar()) == []
    assert said(traded.session_end()) == ["day expired"]


def test_an_order_at_the_close_fills_at_the_sessions_last_price(both_ways, said):
    traded = both_ways(conditions=BY_CALLER)
    traded.buy("market", time_in_force="AT_THE_CLOSE")
    traded.buy("limit", "LIMIT", limit_ticks=9_950, time_in_force="AT_THE_CLOSE")
    assert said(traded.bar(10_000, 10_100, 9_800, 10_010)) == []
    events = traded.session_end()
    assert traded.fills(events) == [("market", 10, 10_010)]
    assert said(events)[1:] == ["limit expired"]


def test_an_order_at_the_close_never_fills_at_a_close_that_it_has_seen(both_ways):
    traded = both_ways()
    traded.flat_bar(hours=23)
    traded.buy("a", time_in_force="AT_THE_CLOSE")
    assert traded.fills(traded.bar(10_100, 10_200, 10_050, 10_150, hours=24)) == []
    assert traded.fills(traded.flat_bar(10_300, hours=24)) == [("a", 10, 10_150)]


def test_an_order_at_the_open_waits_for_the_next_sessions_first_price(both_ways, said):
    traded = both_ways(conditions=BY_CALLER)
    traded.buy("market", time_in_force="AT_THE_OPEN")
    traded.buy("limit", "LIMIT", limit_ticks=10_040, time_in_force="AT_THE_OPEN")
    assert said(traded.flat_bar()) == []
    traded.session_end()
    events = traded.bar(10_050, 10_060, 10_000, 10_050)
    assert traded.fills(events) == [("market", 10, 10_050)]
    assert said(events) == ["market executed", "limit expired"]


def test_a_change_is_a_new_price_or_quantity_of_what_is_left(both_ways, said):
    traded = both_ways(conditions=HALF)
    traded.buy("a", "LIMIT", limit_ticks=10_000)
    traded.flat_bar(volume=8)
    (event,) = traded.modify("a", lots=6, limit_ticks=9_950)
    assert (event.lots, traded.price(event.limit_ticks)) == (6, 9_950)
    assert traded.fills(traded.bar(10_000, 10_000, 9_950, 9_960, volume=100)) == [("a", 2, 9_950)]


@pytest.mark.parametrize(
    ("kind", "fields", "change", "code"),
    [
        ("LIMIT", {"limit_ticks": 10_000}, {"lots": 4}, "too_few_lots"),
        ("LIMIT", {"limit_ticks": 10_000}, {"trigger_ticks": 9_900}, "invalid_price"),
        ("LIMIT", {"limit_ticks": 10_000}, {}, "nothing_to_modify"),
        ("MARKET", {}, {"lots": 20}, "nothing_to_modify"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(both_ways, kind, fields, change, code):
    traded = both_ways(conditions=HALF)
    traded.buy("a", kind, **fields)
    traded.flat_bar(volume=8)
    before = traded.book.dump()
    (event,) = traded.modify("a", **change)
    assert (event.code, traded.book.dump()) == (code, before)


def test_a_post_only_order_is_never_changed_into_a_taker(both_ways):
    traded = both_ways()
    traded.buy("a", "LIMIT", limit_ticks=9_900, post_only=True)
    (event,) = traded.modify("a", limit_ticks=10_000)
    assert event.code == "post_only"


def test_a_trigger_that_was_reached_cannot_move_and_may_be_repeated(both_ways, said):
    traded = both_ways()
    traded.buy("a", "STOP_LIMIT", trigger_ticks=10_100, limit_ticks=10_050)
    assert said(traded.flat_bar(10_150)) == ["a triggered"]
    (refused,) = traded.modify("a", trigger_ticks=10_200)
    assert refused.code == "invalid_price"
    assert said(traded.modify("a", trigger_ticks=10_100, limit_ticks=10_060)) == ["a updated"]


def test_what_has_ended_can_be_neither_changed_nor_taken_back(both_ways):
    traded = both_ways()
    traded.buy("a")
    traded.flat_bar()
    (changed,) = traded.modify("a", lots=5)
    (cancelled,) = traded.cancel("a")
    assert (changed.code, cancelled.code) == ("not_found", "not_found")


def test_all_orders_are_taken_back_at_once(both_ways, said):
    traded = both_ways()
    traded.buy("a")
    traded.buy("b", "LIMIT", limit_ticks=9_000)
    assert traded.book.cancel_all(traded.now_ns, symbol="Y") == []
    events = traded.book.cancel_all(traded.now_ns, why="halted")
    assert (said(events), events[0].why) == (["a cancelled", "b cancelled"], "halted")
    assert traded.fills(traded.flat_bar()) == []


def test_a_name_that_was_used_changes_nothing(both_ways):
    traded = both_ways()
    traded.buy("a")
    assert traded.buy("a", lots=99) == []
    traded.flat_bar()
    assert traded.buy("a") == []
    assert traded.lots == 10
