"""Where a native strategy's process is replaced, and how long it may take to be the same again."""

from dataclasses import replace

import numpy as np
import pytest

from strategy_engine.market.model import Trades
from strategy_engine.pipeline import history
from strategy_engine.pipeline.native import questions
from strategy_engine.pipeline.native.steps import Steps

HOLDS = "while it holds a position"
HOLDS_NOTHING = "while it holds nothing"
BRIEFLY = np.array([0] * 40 + [5, 5, 5] + [0] * 157)


def with_trades(series, a_bar):
    """Return a series with so many trades in each of its bars."""
    at_ns = np.sort(np.concatenate([series.bars.ts_ns + 1 + each for each in range(a_bar)]))
    some = np.ones(at_ns.size)
    return replace(series, trades=Trades(ts_ns=at_ns, price=some, size=some))


def hand_overs(part, held):
    return questions.hand_overs(part, {each.symbol: held for each in part.series})


def test_a_process_is_replaced_after_the_bar_at_which_it_holds_something(make):
    points, end = hand_overs(make.history(make.wave(200)), BRIEFLY)
    assert (points[HOLDS], end) == (42, 200)
    assert BRIEFLY[points[HOLDS_NOTHING] - 1] == 0


def test_beside_another_symbol_and_with_ticks_it_is_replaced_at_the_same_bar(make):
    one, two = (make.series(make.wave(200), symbol=each) for each in ("A.SIM", "B.SIM"))
    points, end = hand_overs(history.history([with_trades(one, 2), two]), BRIEFLY)
    # Of every hour: two trades, and a bar of each symbol, which close together.
    assert (points[HOLDS], end) == (42 * 4, 200 * 4)


def test_where_bars_have_many_ticks_fewer_of_them_are_played(make, monkeypatch):
    monkeypatch.setattr(questions, "MOST_FED", 300)
    part = history.history([with_trades(make.series(make.wave(200)), 2)])
    points, end = hand_overs(part, np.array([0] * 10 + [5] * 190))
    assert end == 300
    assert points == {HOLDS: 3 * 36}


def test_a_symbol_without_bars_gives_no_place_to_be_replaced_at(make):
    part = make.history([])
    assert hand_overs(part, np.array([], dtype=np.int64)) == ({}, 0)


@pytest.mark.parametrize(
    ("trades_a_bar", "happenings", "settling"),
    [
        pytest.param(0, 500, 100, id="bars"),
        pytest.param(3, 1_600, 400, id="ticks"),
        pytest.param(3, 600, 200, id="half of what is left"),
        pytest.param(3, 220, 100, id="never less than as many ticks"),
    ],
)
def test_indicators_have_their_bars_again_however_many_ticks_there_are(
    make, trades_a_bar, happenings, settling
):
    one = make.series(make.wave(500))
    one = with_trades(one, trades_a_bar) if trades_a_bar else one
    run = Steps(steps=(), happenings=happenings, resumed=200)
    assert run.settling(history.history([one])) == range(201, 201 + settling)
