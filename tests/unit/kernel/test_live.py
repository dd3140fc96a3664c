from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from strategy_engine.kernel.child import Conversation
from strategy_engine.matching.account import Account
from strategy_engine.matching.model import Action, Decision, Rules, Terms
from strategy_engine.sandbox.protocol import messages

type Talk = Callable[..., Conversation]
type MakeBars = Callable[..., messages.Bars]
type Walk = Callable[..., np.ndarray[Any, Any]]

TERMS = Terms(symbol="X", tick_nanos=10_000_000, lot_nanos=10**9)
FLAT = messages.Holding(lots=0, entry_price=None, cash=100_000.0, equity=100_000.0)


def one_by_one(series: messages.Bars) -> Iterator[dict[str, Any]]:
    columns = [
        np.frombuffer(each).tolist()
        for each in (series.open, series.high, series.low, series.close, series.volume)
    ]
    opened = np.frombuffer(series.open_ns, dtype="<i8").tolist()
    for start, *ohlcv in zip(opened, *columns, strict=True):
        yield {
            "symbol": series.symbol,
            "open_ns": start,
            "close_ns": start + series.duration_ns,
            "ohlcv": tuple(ohlcv),
        }


def follow(
    conversation: Conversation, series: messages.Bars, holding: messages.Holding = FLAT
) -> list[messages.Decided]:
    answers = []
    for fields in one_by_one(series):
        answer = conversation.answer(messages.Bar(holding=holding, fills=[], **fields))
        assert isinstance(answer, messages.Decided), answer
        answers.append(answer)
    return answers


TRADING = """
class Trading:
    lookback = 30
    def __init__(self):
        self.fills = 0
    def on_fill(self, fill):
        self.fills += 1
    def save_state(self):
        return {'fills': self.fills}
    def load_state(self, state):
        self.fills = state['fills']
    def generate_signal(self, m):
        rsi = calculate_rsi(m['prices'], 5)
        seen = (m['position'], m['entry_price'], m['equity'], m['cash'], self.fills, str(m['time']))
        if rsi < 35:
            return Signal('BUY', stop_loss=0.02, reason=repr(seen))
        return Signal('SELL' if rsi > 65 else 'HOLD', reason=repr(seen))
"""


def test_live_decisions_are_those_of_a_backtest_of_the_same_bars(
    talk: Talk, bars: MakeBars, walk: Walk
) -> None:
    conversation, series = talk(TRADING), bars(walk(300))
    whole = conversation.answer(messages.Backtest(bars=[series]))
    assert isinstance(whole, messages.Backtested)
    told = {each.index: each for each in whole.decisions[0].details}

    account, book_fills = Account(100_000 * 10**9, [TERMS], Rules()), 0
    book = account.books["X"]
    for index, fields in enumerate(one_by_one(series)):
        ticks = tuple(round(price * 100) for price in fields["ohlcv"][:4])
        fills = account.on_bar("X", (fields["open_ns"], fields["close_ns"]), ticks)
        book_fills += len(fills)
        answer = conversation.answer(
            messages.Bar(
                holding=messages.Holding(
                    lots=book.lots,
                    entry_price=book.entry_price,
                    cash=account.cash / 10**9,
                    equity=account.equity() / 10**9,
                ),
                fills=[a_fill(each.side, each.lots) for each in fills],
                **fields,
            )
        )
        assert isinstance(answer, messages.Decided)
        assert answer.action == whole.decisions[0].actions[index]
        assert answer.detail == told[index]
        detail = answer.detail
        assert detail is not None
        decision = Decision(action=Action(answer.action), stop_loss_ppb=detail.stop_loss_ppb)
        account.submit(account.plan("X", decision, fields["close_ns"]))
    assert book_fills > 4


def a_fill(side: str, quantity: float) -> messages.Filled:
    return messages.Filled(
        side=side, quantity=quantity, price=1.0, fee=0.0, pnl=0.0, ts_ns=0, cause="signal"
    )


@pytest.mark.parametrize("warm", [0, 1, 10, 200])
def test_warm_up_bars_are_seen_but_not_decided_on(
    talk: Talk, bars: MakeBars, walk: Walk, warm: int
) -> None:
    code = """
class S:
    lookback = 25
    def generate_signal(self, m):
        return Signal('HOLD', reason=f"{len(m['close'])} {m['close'].sum():.6f}")
"""
    closes = walk(230)
    conversation = talk(code)
    before, after = bars(closes[:warm]), bars(closes[warm:], first_ns=warm * 3_600 * 10**9)
    assert conversation.answer(messages.WarmUp(bars=[before])) == messages.WarmedUp(bars=warm)
    for index, answer in enumerate(follow(conversation, after), start=warm):
        seen = closes[max(0, index - 24) : index + 1]
        assert answer.detail is not None
        assert answer.detail.index == index
        assert answer.detail.reason == f"{len(seen)} {seen.sum():.6f}"


def test_a_plain_word_has_no_detail_and_a_measured_time(talk: Talk, bars: MakeBars) -> None:
    code = "class S:\n    def generate_signal(self, m):\n        return 'BUY'\n"
    (answer,) = follow(talk(code), bars([100]))
    assert (answer.action, answer.detail, answer.state) == (Action.BUY, None, None)
    assert answer.cpu_ns > 0


def test_the_state_is_sent_only_when_it_changed(talk: Talk, bars: MakeBars) -> None:
    code = """
class S:
    def __init__(self):
        self.high = 0.0
    def save_state(self):
        return {'high': self.high}
    def load_state(self, state):
        self.high = state['high']
    def generate_signal(self, m):
        self.high = max(self.high, m['close'][-1])
        return Signal('HOLD', reason=str(self.high))
"""
    conversation = talk(code)
    answers = follow(conversation, bars([50, 60, 55, 58, 61]))
    assert [each.state is not None for each in answers] == [True, True, False, False, True]
    assert conversation.answer(messages.Stop()) == messages.Stopped(state=None)

    again = talk(code)
    again.answer(messages.WarmUp(bars=[bars([50])], state=answers[-1].state))
    (resumed,) = follow(again, bars([40]))
    assert resumed.detail is not None
    assert resumed.detail.reason == "61.0"
    assert resumed.state is None


def test_the_state_holds_that_of_every_instrument(talk: Talk, bars: MakeBars) -> None:
    code = """
class S:
    def __init__(self):
        self.bars = 0
    def save_state(self):
        return {'bars': self.bars}
    def load_state(self, state):
        self.bars = state['bars']
    def generate_signal(self, m):
        self.bars += 1
        return self.bars / 10
"""
    conversation = talk(code, symbols=["A", "B"])
    follow(conversation, bars([1] * 5, "A"))
    state = follow(conversation, bars([1] * 2, "B"))[-1].state
    again = talk(code, symbols=["A", "B"])
    again.answer(messages.WarmUp(bars=[], state=state))
    sizes = [
        follow(again, bars([1], each))[0].detail.size_ppb  # type: ignore[union-attr]
        for each in ("A", "B")
    ]
    assert sizes == [6 * 10**8, 3 * 10**8]


def test_stopping_calls_the_hook_and_returns_the_last_state(talk: Talk, bars: MakeBars) -> None:
    code = """
class S:
    state = 'new'
    def on_start(self):
        self.state = 'started'
    def on_stop(self):
        self.state = 'stopped'
    def save_state(self):
        return {'state': self.state}
    def generate_signal(self, m):
        return 'HOLD'
"""
    conversation = talk(code)
    (answer,) = follow(conversation, bars([1]))
    assert answer.state is not None
    assert b"started" in answer.state
    stopped = conversation.answer(messages.Stop())
    assert isinstance(stopped, messages.Stopped)
    assert stopped.state is not None
    assert b"stopped" in stopped.state


def test_the_state_is_loaded_after_the_start_hook(talk: Talk, bars: MakeBars) -> None:
    code = """
class S:
    def on_start(self):
        self.count = 0
    def save_state(self):
        return {'count': self.count}
    def load_state(self, state):
        self.count = state['count']
    def generate_signal(self, m):
        self.count += 1
        return self.count / 10
"""
    first = talk(code)
    state = follow(first, bars([1, 2]))[-1].state
    second = talk(code)
    second.answer(messages.WarmUp(bars=[], state=state))
    (answer,) = follow(second, bars([3]))
    assert answer.detail is not None
    assert answer.detail.size_ppb == 3 * 10**8


def test_a_backtest_sees_the_flags_that_it_was_loaded_with_after_a_restart_too(
    talk: Talk, bars: MakeBars
) -> None:
    code = (
        "class S:\n    lookback = 2\n"
        "    def generate_signal(self, m):\n"
        "        return 'BUY' if m['flags']['go'] else 'HOLD'\n"
    )
    series = bars([1, 2, 3, 4])
    for is_on in (True, False):
        answer = talk(code, flags={"go": is_on}).answer(
            messages.Backtest(bars=[series], restart_at=2)
        )
        assert isinstance(answer, messages.Backtested), answer
        assert answer.decisions[0].actions == bytes([1 if is_on else 0] * 4)


@pytest.mark.parametrize("restart_at", [None, 1, 2, 4])
def test_a_backtest_repeats_what_flags_said_bar_by_bar(
    talk: Talk, bars: MakeBars, restart_at: int | None
) -> None:
    code = (
        "class S:\n    lookback = 2\n"
        "    def generate_signal(self, m):\n"
        "        return 'BUY' if m['flags']['go'] else 'HOLD'\n"
    )
    series = bars([1, 2, 3, 4, 5, 6])
    closes = [each["close_ns"] for each in one_by_one(series)]
    shown = [
        messages.FlagsShown(symbol="X", close_ns=closes[at], flags={"go": go})
        for at, go in ((1, True), (3, False), (4, True))
    ]

    answer = talk(code, flags={"go": False}).answer(
        messages.Backtest(bars=[series], restart_at=restart_at, shown=shown)
    )

    assert isinstance(answer, messages.Backtested), answer
    assert list(answer.decisions[0].actions) == [0, 1, 1, 0, 1, 1]


def test_flags_reach_the_strategy_and_stay(talk: Talk, bars: MakeBars) -> None:
    code = (
        "class S:\n    def generate_signal(self, m):\n"
        "        return 'BUY' if m['flags'].get('go') else 'HOLD'\n"
    )
    conversation = talk(code)
    found = []
    for flags, fields in zip((None, {"go": True}, None), one_by_one(bars([1, 2, 3])), strict=True):
        answer = conversation.answer(messages.Bar(holding=FLAT, fills=[], flags=flags, **fields))
        assert isinstance(answer, messages.Decided)
        found.append(answer.action)
    assert found == [Action.HOLD, Action.BUY, Action.BUY]


def test_a_failing_hook_is_a_failure(talk: Talk, bars: MakeBars) -> None:
    code = (
        "class S:\n    def on_fill(self, fill):\n        raise ValueError(fill.cause)\n"
        "    def generate_signal(self, m):\n        return 'HOLD'\n"
    )
    (fields,) = one_by_one(bars([1]))
    failed = talk(code).answer(messages.Bar(holding=FLAT, fills=[a_fill("BUY", 1)], **fields))
    assert failed == messages.Failed(
        phase="hook",
        error="ValueError",
        message="signal",
        where="line 3: raise ValueError(fill.cause)",
        bar_index=0,
    )
