"""Orders that depend on each other."""

import pytest

from strategy_engine.matching.model import NANOS, Conditions, Terms
from strategy_engine.matching.ticket import Cancelled, Rejected, Updated

HALF = Conditions(max_volume_share_ppm=500_000)


def bracket(traded, *, entry: str = "MARKET", stop: int = 9_900, target: int = 10_100, **fields):
    """An entry, and its stop and its target: as NautilusTrader's order factory links them."""
    exits = {"parent_id": "in", "contingency": "OUO", "reduce_only": True}
    events = traded.buy("in", entry, contingency="OTO", linked_ids=("stop", "target"), **fields)
    events += traded.sell(
        "stop", "STOP_MARKET", trigger_ticks=stop, linked_ids=("target",), **exits
    )
    events += traded.sell("target", "LIMIT", limit_ticks=target, linked_ids=("stop",), **exits)
    return events


def test_the_exits_of_a_bracket_come_to_life_with_its_fill(both_ways, said):
    traded = both_ways()
    assert said(bracket(traded)) == ["in accepted"]
    assert [each.is_held for each in traded.book.working] == [False, True, True]
    assert said(traded.flat_bar()) == ["in executed", "stop accepted", "target accepted"]


@pytest.mark.parametrize(
    ("bar", "exit_"),
    [
        ((10_000, 10_050, 9_950, 10_000), []),
        ((10_000, 10_050, 9_850, 10_000), [("stop", 10, 9_900)]),
        ((10_000, 10_150, 9_950, 10_000), [("target", 10, 10_100)]),
        ((10_000, 10_150, 9_850, 10_000), [("stop", 10, 9_900)]),  # both: the stop
        ((9_800, 9_950, 9_700, 9_900), [("stop", 10, 9_800)]),  # the entry's own open is beyond it
        ((10_200, 10_250, 10_150, 10_200), [("target", 10, 10_200)]),
    ],
)
def test_the_bar_of_the_entry_can_already_end_it(both_ways, said, bar, exit_):
    traded = both_ways()
    bracket(traded)
    entry, *fills = traded.fills(traded.bar(*bar))
    assert (entry, fills) == (("in", 10, bar[0]), exit_)
    assert traded.lots == (0 if exit_ else 10)


@pytest.mark.parametrize(
    ("bar", "exit_"),
    [
        # The entry at 9,950 is inside the bar: what came before it is not known.
        ((10_000, 10_050, 9_940, 10_000), []),
        ((10_000, 10_150, 9_940, 10_000), []),  # the high may have been before
        ((10_000, 10_150, 9_940, 10_110), [("target", 10, 10_100)]),  # the close was after
        ((10_000, 10_050, 9_900, 10_000), [("stop", 10, 9_900)]),
        ((10_000, 10_150, 9_850, 10_150), [("stop", 10, 9_900)]),
    ],
)
def test_an_entry_inside_the_bar_counts_the_worse_answer(both_ways, bar, exit_):
    traded = both_ways()
    bracket(traded, entry="LIMIT", limit_ticks=9_950)
    entry, *fills = traded.fills(traded.bar(*bar))
    assert (entry, fills) == (("in", 10, 9_950), exit_)


def test_a_breakout_that_could_have_fallen_back_did(both_ways):
    traded = both_ways()
    bracket(traded, entry="STOP_MARKET", trigger_ticks=10_050, stop=9_990, target=10_090)
    fills = traded.fills(traded.bar(10_000, 10_100, 9_980, 10_060))
    assert fills == [("in", 10, 10_050), ("stop", 10, 9_990)]


def test_an_exit_that_fills_takes_the_other_with_it(both_ways, said):
    traded = both_ways()
    bracket(traded)
    traded.flat_bar()
    events = traded.bar(10_000, 10_150, 9_950, 10_000)
    assert said(events) == ["target executed", "stop cancelled"]
    assert traded.book.working == ()


def test_an_entry_that_is_taken_back_takes_its_exits_with_it(both_ways, said):
    traded = both_ways()
    bracket(traded, entry="LIMIT", limit_ticks=9_000)
    traded.flat_bar()
    events = traded.cancel("in")
    assert said(events) == ["in cancelled", "stop cancelled", "target cancelled"]
    assert {each.why for each in events if isinstance(each, Cancelled)} == {
        "requested",
        "parent_ended",
    }


def test_the_exits_of_an_entry_filled_in_part_never_do_more_than_it_did(both_ways, said):
    traded = both_ways(conditions=HALF)
    bracket(traded, lots=10)
    traded.flat_bar(volume=8)
    assert traded.lots == 4
    traded.cancel("in")
    assert [each.order_id for each in traded.book.working] == ["stop", "target"]
    events = traded.bar(9_800, 9_800, 9_800, 9_800, volume=100)
    assert traded.fills(events) == [("stop", 4, 9_800)]
    assert said(events) == ["stop updated", "stop executed", "target cancelled"]


def test_ouo_orders_share_one_quantity(both_ways, said):
    traded = both_ways(conditions=HALF)
    bracket(traded)
    traded.flat_bar(volume=100)
    events = traded.bar(10_100, 10_100, 10_100, 10_100, volume=6)
    assert said(events) == ["target executed", "stop updated"]
    assert [each.lots for each in events if isinstance(each, Updated)] == [7]
    assert traded.fills(traded.bar(9_800, 9_800, 9_800, 9_800, volume=100)) == [("stop", 7, 9_800)]


def test_modifying_an_ouo_order_resizes_the_other(both_ways, said):
    traded = both_ways()
    bracket(traded)
    traded.flat_bar()
    events = traded.modify("stop", lots=6)
    assert said(events) == ["stop updated", "target updated"]
    assert [each.lots for each in traded.book.working] == [6, 6]


def test_the_first_fill_of_an_oco_order_ends_the_other(both_ways, said):
    traded = both_ways(conditions=HALF)
    traded.buy("a", "LIMIT", limit_ticks=9_900, contingency="OCO", linked_ids=("b",))
    traded.buy("b", "LIMIT", limit_ticks=9_800, contingency="OCO", linked_ids=("a",))
    events = traded.bar(10_000, 10_000, 9_700, 9_900, volume=6)
    assert said(events) == ["a executed", "b cancelled"]
    assert traded.lots == 3


def test_cancelling_one_of_linked_orders_cancels_all(both_ways, said):
    traded = both_ways()
    traded.buy("a", "LIMIT", limit_ticks=9_900, contingency="OCO", linked_ids=("b",))
    traded.buy("b", "LIMIT", limit_ticks=9_800, contingency="OCO", linked_ids=("a",))
    assert said(traded.cancel("b")) == ["b cancelled", "a cancelled"]


def test_a_child_that_comes_after_its_parents_fill_works_at_once(both_ways, said):
    traded = both_ways()
    traded.buy("in", contingency="OTO", linked_ids=("stop",))
    traded.flat_bar()
    late = {"parent_id": "in", "reduce_only": True}
    assert said(traded.sell("stop", "STOP_MARKET", trigger_ticks=9_900, **late)) == [
        "stop accepted"
    ]


def test_a_child_of_what_ended_or_never_was_is_rejected(both_ways):
    traded = both_ways()
    traded.buy("in", "LIMIT", limit_ticks=9_000, contingency="OTO")
    traded.cancel("in")
    for parent, code in (("in", "parent_ended"), ("nobody", "parent_unknown")):
        (event,) = traded.sell(f"of {parent}", parent_id=parent)
        assert isinstance(event, Rejected)
        assert event.code == code


def test_an_order_linked_with_one_that_has_ended_is_rejected(both_ways):
    traded = both_ways()
    traded.buy("a", "LIMIT", limit_ticks=9_900, contingency="OCO", linked_ids=("b",))
    traded.cancel("a")
    (event,) = traded.buy("b", "LIMIT", limit_ticks=9_800, contingency="OCO", linked_ids=("a",))
    assert event.code == "linked_ended"


def test_a_refused_exit_leaves_the_other_working(both_ways, said):
    traded = both_ways()
    exits = {"parent_id": "in", "contingency": "OUO", "reduce_only": True}
    traded.buy("in", contingency="OTO", linked_ids=("stop", "target"))
    traded.sell("stop", "STOP_MARKET", trigger_ticks=9_900, linked_ids=("target",), **exits)
    traded.sell(
        "target", "LIMIT", limit_ticks=10_050, post_only=True, linked_ids=("stop",), **exits
    )
    # The entry's open is beyond the target: it would take.
    events = traded.bar(10_100, 10_100, 10_100, 10_100)
    assert said(events) == ["in executed", "stop accepted", "target rejected"]
    assert [each.order_id for each in traded.book.working] == ["stop"]


def test_reduce_only_orders_end_with_the_position_they_would_reduce(both_ways, said):
    traded = both_ways()
    traded.buy("in")
    traded.flat_bar()
    traded.sell("stop", "STOP_MARKET", trigger_ticks=9_900, reduce_only=True)
    traded.flat_bar()
    traded.sell("out")
    assert said(traded.flat_bar()) == ["out executed", "stop cancelled"]


def test_a_reduce_only_order_is_cut_to_the_position(both_ways, said):
    traded = both_ways()
    traded.buy("in", lots=4)
    traded.flat_bar()
    traded.sell("out", lots=10, reduce_only=True)
    events = traded.flat_bar()
    assert said(events) == ["out updated", "out executed"]
    assert (events[0].lots, events[1].lots, events[1].leaves_lots, traded.lots) == (4, 4, 0, 0)


def test_a_child_in_another_instrument_meets_that_instruments_prices(exchange, said):
    pair = [Terms(symbol=symbol, tick_nanos=10_000_000, lot_nanos=NANOS) for symbol in "XY"]
    traded = exchange(terms=pair)
    traded.flat_bar()
    traded.flat_bar(5_000, symbol="Y")
    traded.buy("x", "LIMIT", limit_ticks=9_950, contingency="OTO", linked_ids=("y",))
    traded.buy("y", "LIMIT", limit_ticks=4_900, symbol="Y", parent_id="x")
    assert said(traded.bar(10_000, 10_000, 4_000, 10_000)) == ["x executed", "y accepted"]
    events = traded.bar(5_000, 5_010, 4_890, 5_000, symbol="Y")
    assert traded.fills(events) == [("y", 10, 4_900)]


def test_only_the_last_ended_orders_are_remembered(exchange):
    traded = exchange()
    traded.flat_bar()
    for count in range(100):
        traded.buy(f"a{count}", time_in_force="IOC")
        traded.cancel(f"a{count}")
    assert len(traded.book.dump()["ended"]) == 32
