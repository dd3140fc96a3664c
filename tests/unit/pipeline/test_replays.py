"""The quick way through a history against the plain one, which visits the account at every bar."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy_engine.core import money
from strategy_engine.market.model import Bars
from strategy_engine.matching.account import Account
from strategy_engine.matching.model import Action, Decision
from strategy_engine.matching.settings import settings as traded_by
from strategy_engine.pipeline import backtest, history, paper, rules
from strategy_engine.pipeline.model import PaperRun

NAMES = ("A.SIM", "B.SIM")
SIZES = st.one_of(st.none(), st.integers(0, 10**9))
DISTANCES = st.one_of(st.none(), st.integers(0, 2 * 10**7))


def plainly(chosen, part, how):
    """Return equity, fills, their slots and what was held, one bar after another."""
    account = Account(how.capital_nanos, [each.terms for each in part.series], how.rules)
    times = part.timeline().tolist()
    bars = sorted(
        (close_ns, each.symbol, at, each)
        for each in part.series
        for at, close_ns in enumerate(each.bars.close_ns.tolist())
    )
    ticks = {each.symbol: [column.tolist() for column in each.ticks()] for each in part.series}
    equity, fills, slots = [how.capital_nanos] * len(times), [], []
    held = {each.symbol: [] for each in part.series}
    for close_ns, symbol, at, each in bars:
        slot = times.index(close_ns)
        bar = tuple(column[at] for column in ticks[symbol])
        for fill in account.on_bar(symbol, (int(each.bars.ts_ns[at]), close_ns), bar):
            fills.append(fill)
            slots.append(slot)
        account.submit(account.plan(symbol, chosen[symbol].at(at), close_ns))
        held[symbol].append(account.books[symbol].lots)
        equity[slot] = account.equity()
    return [float(each) / money.NANOS for each in equity], tuple(fills), tuple(slots), held


@st.composite
def decided(draw, make, symbol, size):
    actions = draw(st.lists(st.sampled_from([0, 0, 0, 0, 1, 2, 3]), min_size=size, max_size=size))
    details = {
        at: Decision(
            action=Action(action),
            size_ppb=draw(st.integers(-(10**9), 10**9)) if action == Action.TARGET else draw(SIZES),
            stop_loss_ppb=draw(DISTANCES),
            take_profit_ppb=draw(DISTANCES),
        )
        for at, action in enumerate(actions)
        if action == Action.TARGET or (action and draw(st.booleans()))
    }
    return make.choices(actions, symbol, details=details)


@pytest.mark.parametrize("count", [1, 2])
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_what_is_skipped_changes_nothing(make, count, data):
    seed, step = data.draw(st.integers(0, 99)), data.draw(st.integers(1, 2))
    part = history.history(
        [
            make.series(
                1.1 + 0.01 * np.random.default_rng(seed + at).standard_normal(60).cumsum() / 8,
                symbol=name,
                start_ns=make.START_NS + at * 7 * make.HOUR_NS,
                step_ns=make.HOUR_NS * (step if at else 1),
            )
            for at, name in enumerate(NAMES[:count])
        ]
    )
    parameters = {
        "position_size": data.draw(st.sampled_from([0.1, 0.6, 1.0])),
        "stop_loss": data.draw(st.sampled_from([-0.05, -0.004])),
        "take_profit": data.draw(st.sampled_from([0.1, 0.003])),
        "allow_short": data.draw(st.booleans()),
        "max_trades_per_day": data.draw(st.sampled_from([None, 1])),
    }
    how = traded_by({key: each for key, each in parameters.items() if each is not None}, {}, {})
    chosen = {each.symbol: data.draw(decided(make, each.symbol, 60)) for each in part.series}
    found = backtest.replay(chosen, part, how)
    equity, fills, slots, held = plainly(chosen, part, how)
    assert found.equity.tolist() == equity
    assert (found.fills, found.fill_slots) == (fills, slots)
    assert {symbol: each.tolist() for symbol, each in found.held.items()} == held


def test_lots_that_are_worth_no_whole_billionth_are_marked_exactly(make):
    each = make.series(make.wave(50), tick="0.0000001")
    odd = history.history(
        [
            type(each)(
                symbol=each.symbol,
                timeframe=each.timeframe,
                calendar=each.calendar,
                terms=type(each.terms)(symbol=each.symbol, tick_nanos=100, lot_nanos=1_234_567),
                bars=each.bars,
            )
        ]
    )
    chosen = make.signals(make.choices([1, 0, 0, 2, 0] * 10))
    how = traded_by({"position_size": 0.5}, {}, {})
    found = backtest.replay(chosen, odd, how)
    equity, fills, _, _ = plainly(chosen, odd, how)
    assert len(found.fills) == len(fills) > 10
    assert found.equity.tolist() == equity


def test_a_fortune_beyond_64_bits_is_still_counted(make):
    part = make.history([1.0, 1.0, 1_000.0, 1_000_000.0, 50_000_000.0, 50_000_000.0])
    far = Decision(action=Action.BUY, take_profit_ppb=10**18)
    chosen = make.signals(make.choices([1, 0, 0, 0, 2, 0], details={0: far}))
    how = traded_by({"position_size": 1.0}, {}, {"capital": 1e6})
    found = backtest.replay(chosen, part, how)
    equity, fills, _, _ = plainly(chosen, part, how)
    assert found.equity.tolist() == equity
    assert found.pnl * money.NANOS > 2**63
    assert len(fills) == 2


def test_closing_times_are_computed_once_and_not_at_every_decision(make, monkeypatch):
    # They are a sum over the whole history: at every decision they made long histories hopeless.
    counted, plain = [], Bars.close_ns.fget
    part = make.history(make.wave(400))
    chosen = make.signals(make.choices([1, 0, 2, 0] * 100))
    run = PaperRun(
        execution_id="exec_1",
        trades=(),
        round_trips=(),
        denials=(),
        reconciled=True,
        decision_cpu_ms=0.1,
        status="completed",
        decisions=(),
    )
    monkeypatch.setattr(Bars, "close_ns", property(lambda bars: counted.append(1) or plain(bars)))
    assert len(rules.cuts_at_decisions(chosen, part, "digest")) == rules.DECISION_CUTS
    assert paper.decision_parity(run, chosen, part).replayed == 200
    assert len(counted) <= 2
