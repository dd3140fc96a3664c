from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strategy_engine.kernel import strategy
from strategy_engine.kernel.child import Conversation
from strategy_engine.kernel.signal import to_decision
from strategy_engine.matching.account import Account
from strategy_engine.matching.model import Rules, Terms
from strategy_engine.sandbox.protocol import messages

type Talk = Callable[..., Conversation]
type MakeBars = Callable[..., messages.Bars]
type Walk = Callable[..., np.ndarray[Any, Any]]

TERMS = Terms(symbol="X", tick_nanos=10_000_000, lot_nanos=10**9)
CAPITAL = 100_000 * 10**9

CROSS = """
class Cross:
    def generate_signal(self, market_data):
        prices = market_data['prices']
        fast, slow = calculate_sma(prices, 3), calculate_sma(prices, 8)
        return 'BUY' if fast > slow else 'SELL' if fast < slow else 'HOLD'
"""

# Follows a plan, and says in the reason what it saw of its account.
PLANNED = """
class Planned:
    def __init__(self, plan):
        self.plan = plan
        self.step = -1

    def generate_signal(self, m):
        self.step += 1
        action = self.plan[self.step % len(self.plan)]
        seen = (m['position'], m['entry_price'], m['equity'], m['cash'])
        return Signal(action, reason=repr(seen))
"""

COUNTING = """
class Counting:
    def __init__(self):
        self.bars = 0
    {hooks}
    def generate_signal(self, market_data):
        self.bars += 1
        return 'BUY' if self.bars % 7 < 3 else 'SELL'
"""
SAVING = """
    def save_state(self):
        return {'bars': self.bars}
    def load_state(self, state):
        self.bars = state['bars']
"""


def backtest(conversation: Conversation, *bars: messages.Bars, **fields: Any) -> Any:
    return conversation.answer(messages.Backtest(bars=list(bars), **fields))


def actions(answer: messages.Backtested, index: int = 0) -> list[int]:
    return list(answer.decisions[index].actions)


def test_decisions_are_those_of_a_plain_loop_over_slices(
    talk: Talk, bars: MakeBars, walk: Walk
) -> None:
    closes = walk(3_000)
    answer = backtest(talk(CROSS), bars(closes))
    plain = strategy.blueprint(CROSS, {}).construct()
    words = {"HOLD": 0, "BUY": 1, "SELL": 2}
    expected = [
        words[plain.generate_signal({"prices": closes[max(0, i - 511) : i + 1]})]
        for i in range(len(closes))
    ]
    assert actions(answer) == expected
    assert answer.decisions[0].details == []
    assert answer.cpu_ns > 0


PLANS = st.lists(
    st.sampled_from(["BUY", "SELL", "HOLD", 0.0, 0.5, 1.0, -0.5]), min_size=1, max_size=12
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plan=PLANS, allow_short=st.booleans(), protected=st.booleans(), per_day=st.none() | st.just(2)
)
def test_the_strategy_sees_the_account_that_plain_matching_keeps(
    *,
    plan: list[Any],
    allow_short: bool,
    protected: bool,
    per_day: int | None,
    talk: Talk,
    bars: MakeBars,
    walk: Walk,
) -> None:
    how = Rules(
        stop_loss_ppb=2 * 10**7 if protected else None,
        take_profit_ppb=3 * 10**7 if protected else None,
        allow_short=allow_short,
        max_trades_per_day=per_day,
    )
    fields = {name: getattr(how, name) for name in Rules.__slots__}
    engine = messages.Engine(capital_nanos=CAPITAL, **fields)
    series = bars(walk(120, seed=5))
    answer = backtest(talk(PLANNED, parameters={"plan": plan}, engine=engine), series)
    assert isinstance(answer, messages.Backtested), answer

    account = Account(CAPITAL, [TERMS], how)
    book = account.books["X"]
    told = {each.index: each.reason for each in answer.decisions[0].details}
    for index, (times, bar) in enumerate(ticked(series)):
        account.on_bar("X", times, bar)
        seen = (
            float(book.lots),
            book.entry_price,
            account.equity() / 10**9,
            account.cash / 10**9,
        )
        assert told[index] == repr(seen)
        decision = to_decision(plan[index % len(plan)])
        account.submit(account.plan("X", decision, times[1]))


def ticked(series: messages.Bars) -> Any:
    columns = [
        np.rint(np.frombuffer(each) * 100).astype(int).tolist()
        for each in (series.open, series.high, series.low, series.close)
    ]
    opened = np.frombuffer(series.open_ns, dtype="<i8").tolist()
    for start, *bar in zip(opened, *columns, strict=True):
        yield (start, start + series.duration_ns), tuple(bar)


@pytest.mark.parametrize("shorts", [False, True])
def test_plain_words_leave_the_account_as_plain_matching_does(
    talk: Talk, bars: MakeBars, walk: Walk, *, shorts: bool
) -> None:
    code = """
class Words:
    def __init__(self):
        self.step = -1
        self.seen = []
    def on_stop(self):
        raise RuntimeError(repr(self.seen[-40:]))
    def generate_signal(self, m):
        self.seen.append((m['position'], m['cash']))
        self.step += 1
        words = ('BUY', 'BUY', 'HOLD', 'SELL', 'SELL', 0.5, 'BUY', 0.5, 'SELL', 0.5)
        return words[self.step % 10]
"""
    words = ("BUY", "BUY", "HOLD", "SELL", "SELL", 0.5, "BUY", 0.5, "SELL", 0.5)
    how = Rules(stop_loss_ppb=10**7, take_profit_ppb=10**7, allow_short=shorts)
    fields = {name: getattr(how, name) for name in Rules.__slots__}
    engine = messages.Engine(capital_nanos=CAPITAL, **fields)
    series = bars(walk(400, seed=3))
    failed = backtest(talk(code, engine=engine), series)
    account = Account(CAPITAL, [TERMS], how)
    seen = []
    for index, (times, bar) in enumerate(ticked(series)):
        account.on_bar("X", times, bar)
        seen.append((float(account.books["X"].lots), account.cash / 10**9))
        account.submit(account.plan("X", to_decision(words[index % 10]), times[1]))
    assert (failed.phase, failed.message) == ("hook", repr(seen[-40:]))


def test_nothing_is_decided_before_the_warm_up_is_over(talk: Talk, bars: MakeBars) -> None:
    code = """
class S:
    def generate_signal(self, market_data):
        return 'BUY' if len(market_data['prices']) == 31 else 'SELL'
"""
    assert (
        actions(backtest(talk(code), bars(range(100, 140)), warm_up=30)) == [0] * 30 + [1] + [2] * 9
    )


def test_a_longer_lookback_shows_more_bars(talk: Talk, bars: MakeBars) -> None:
    code = """
class S:
    lookback = 5
    def generate_signal(self, market_data):
        return len(market_data['close']) / 100
"""
    for lookback, seen in ((None, 5), (10, 10)):
        answer = backtest(talk(code, lookback=lookback), bars(range(100, 120)))
        assert answer.decisions[0].details[-1].size_ppb == seen * 10**7


def test_every_backtest_starts_with_fresh_instances(talk: Talk, bars: MakeBars, walk: Walk) -> None:
    conversation = talk(COUNTING.format(hooks=""))
    series = bars(walk(50))
    assert actions(backtest(conversation, series)) == actions(backtest(conversation, series))


@pytest.mark.parametrize("at", [0, 1, 30, 49])
def test_a_restart_with_its_state_changes_no_decision(
    talk: Talk, bars: MakeBars, walk: Walk, at: int
) -> None:
    conversation = talk(COUNTING.format(hooks=SAVING))
    series = bars(walk(50))
    assert actions(backtest(conversation, series)) == actions(
        backtest(conversation, series, restart_at=at)
    )


def test_a_restart_without_its_state_shows_what_was_lost(
    talk: Talk, bars: MakeBars, walk: Walk
) -> None:
    conversation = talk(COUNTING.format(hooks=""))
    series = bars(walk(50))
    whole, restarted = (
        actions(backtest(conversation, series)),
        actions(backtest(conversation, series, restart_at=30)),
    )
    assert restarted[:30] == whole[:30]
    assert restarted[30:] == whole[:20]


def test_what_is_kept_in_the_class_does_not_survive_a_restart(talk: Talk, bars: MakeBars) -> None:
    code = """
class S:
    count = [0]
    def generate_signal(self, market_data):
        self.count[0] += 1
        return 'BUY' if self.count[0] > 10 else 'HOLD'
"""
    conversation = talk(code)
    assert (
        actions(backtest(conversation, bars(range(50, 70)), restart_at=15))
        == [0] * 10 + [1] * 5 + [0] * 5
    )


@pytest.mark.parametrize("at", [3, 20, 600, 1_900])
def test_a_restarted_window_shows_the_same_bars(
    talk: Talk, bars: MakeBars, walk: Walk, at: int
) -> None:
    conversation = talk(CROSS.replace("class Cross:", "class Cross:\n    lookback = 9"))
    series = bars(walk(2_000))
    assert actions(backtest(conversation, series)) == actions(
        backtest(conversation, series, restart_at=at)
    )


def test_instruments_share_one_account_in_the_order_of_closing_then_name(
    talk: Talk, bars: MakeBars
) -> None:
    code = """
order = []
class S:
    def generate_signal(self, m):
        order.append(m['symbol'])
        return Signal('BUY', size=0.6, reason=f"{''.join(order)} {m['cash']:.0f}")
"""
    first, second = bars([100.0] * 4, "A"), bars([100.0] * 4, "B")
    answer = backtest(talk(code, symbols=["B", "A"]), second, first)
    assert [each.symbol for each in answer.decisions] == ["B", "A"]
    # On the second bar A is filled, and seen, before B; the two together exceed the cash.
    told = [[d.reason for d in each.details] for each in answer.decisions]
    assert told[1][0] == "A 100000"
    assert told[0][0] == "AB 100000"
    assert told[1][1].startswith("ABA 39988")
    assert told[0][1] == "ABAB " + told[0][1].split()[1]
    assert float(told[0][1].split()[1]) < 100


def test_instruments_with_different_hours_keep_their_own_bars(talk: Talk, bars: MakeBars) -> None:
    code = "class S:\n    def generate_signal(self, m):\n        return len(m['close']) / 100\n"
    long, short = bars(range(50, 60), "A"), bars(range(50, 53), "B", 5 * 3_600 * 10**9)
    answer = backtest(talk(code, symbols=["A", "B"]), long, short)
    sizes = [[d.size_ppb for d in each.details] for each in answer.decisions]
    assert sizes[0] == [i * 10**7 for i in range(1, 11)]
    assert sizes[1] == [i * 10**7 for i in range(1, 4)]


def test_hooks_are_called_in_their_order_and_hear_of_every_fill(talk: Talk, bars: MakeBars) -> None:
    code = """
class S:
    def __init__(self):
        self.said = []
    def on_start(self):
        self.said.append('start')
    def on_fill(self, fill):
        self.said.append((fill.side, fill.quantity, fill.price, fill.cause))
    def on_stop(self):
        raise RuntimeError(repr([*self.said, 'stop']))
    def generate_signal(self, m):
        return 'BUY' if len(m['close']) == 1 else 'HOLD'
"""
    failed = backtest(talk(code), bars([100, 100, 80, 80]))
    assert failed.phase == "hook"
    assert failed.error == "RuntimeError"
    assert failed.where == "line 10: raise RuntimeError(repr([*self.said, 'stop']))"
    # Filled at the next open and a hundredth of a percent; stopped 5 % below, and as much less.
    buy, sell = ("BUY", 100.0, 100.01, "signal"), ("SELL", 100.0, 95.0, "stop_loss")
    assert failed.message == repr(["start", buy, sell, "stop"])


@pytest.mark.parametrize(
    ("body", "error", "where"),
    [
        ("1 / 0", "ZeroDivisionError", "line 5: 1 / 0"),
        ("raise SystemExit(0)", "SystemExit", "line 5: raise SystemExit(0)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", "line 5: raise KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit", "line 5: raise GeneratorExit"),
        ("m['tomorrow']", "KeyError", "line 5: m['tomorrow']"),
        ("return 'LONG'", "ContractError", "line 3: def generate_signal(self, m):"),
        ("return None", "ContractError", "line 3: def generate_signal(self, m):"),
    ],
)
def test_a_failing_decision_is_told_with_its_line_and_its_bar(
    talk: Talk, bars: MakeBars, body: str, error: str, where: str
) -> None:
    code = (
        "\nclass S:\n    def generate_signal(self, m):\n"
        f"        if len(m['close']) == 4:\n            {body}\n        return 'HOLD'\n"
    )
    failed = backtest(talk(code), bars(range(50, 60)))
    assert (failed.phase, failed.error, failed.bar_index) == ("decide", error, 3)
    assert failed.where == where


def test_running_out_of_memory_says_so_and_where(talk: Talk, bars: MakeBars) -> None:
    code = "class S:\n    def generate_signal(self, m):\n        return bytes(1 << 62)\n"
    failed = backtest(talk(code), bars([1]))
    assert failed.error == "MemoryError"
    assert failed.message == "it asked for more memory than it may have"
    assert failed.where == "line 3: return bytes(1 << 62)"


def test_the_bar_of_a_failure_is_counted_through_a_restart(talk: Talk, bars: MakeBars) -> None:
    code = """
class S:
    lookback = 4
    def generate_signal(self, m):
        if m['close'][-1] == 65:
            raise ValueError('here')
        return 'HOLD'
"""
    assert backtest(talk(code), bars(range(50, 70)), restart_at=12).bar_index == 15


@pytest.mark.parametrize(
    ("state", "says"),
    [("[1]", "must return a dict"), ("{'x': object()}", "numbers, text, lists and dicts")],
)
def test_a_state_that_cannot_be_kept_is_refused(
    talk: Talk, bars: MakeBars, state: str, says: str
) -> None:
    code = (
        f"class S:\n    def save_state(self):\n        return {state}\n"
        "    def generate_signal(self, m):\n        return 'HOLD'\n"
    )
    failed = backtest(talk(code), bars(range(50, 60)), restart_at=5)
    assert failed.phase == "hook"
    assert says in failed.message


def test_numpy_values_and_sets_may_be_kept(talk: Talk, bars: MakeBars) -> None:
    code = """
import numpy as np
class S:
    def __init__(self):
        self.state = None
    def save_state(self):
        return {'a': np.float64(1.5), 'b': np.arange(3), 'c': {3, 1}, 'd': (1, 2), 5: None}
    def load_state(self, state):
        self.state = state
    def generate_signal(self, m):
        if self.state is None:
            return 'HOLD'
        raise ValueError(repr(self.state))
"""
    failed = backtest(talk(code), bars(range(50, 60)), restart_at=5)
    kept = {"a": 1.5, "b": [0, 1, 2], "c": [1, 3], "d": [1, 2], 5: None}
    assert failed.message == repr(kept)
