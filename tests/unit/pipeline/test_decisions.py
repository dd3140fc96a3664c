import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.matching.model import BUY, HOLD, PPB, SELL, Action, Decision
from strategy_engine.pipeline import decisions
from strategy_engine.pipeline.model import ForgedAnswerError
from strategy_engine.sandbox.protocol.messages import Backtested, Decisions, Detail

ACTIONS = st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=60)


def answered(symbol, actions, details=()):
    packed = np.array(actions, dtype=np.int8).tobytes()
    return Backtested(
        decisions=[Decisions(symbol=symbol, actions=packed, details=list(details))], cpu_ns=1
    )


def detail(index, size=None, stop=None, target=None, reason=""):
    return Detail(
        index=index, size_ppb=size, stop_loss_ppb=stop, take_profit_ppb=target, reason=reason
    )


@pytest.fixture
def part(make):
    return make.history([1.1, 1.2, 1.3, 1.4])


def test_honest_decisions_come_through(make, part):
    answer = answered(make.SYMBOL, [0, 1, 2, 3], [detail(1, PPB // 2), detail(3, -PPB)])
    chosen = decisions.unpack(answer, part)[make.SYMBOL]
    assert chosen.listed() == [
        HOLD,
        Decision(action=Action.BUY, size_ppb=PPB // 2),
        SELL,
        Decision(action=Action.TARGET, size_ppb=-PPB),
    ]
    assert [chosen.at(index) for index in range(4)] == chosen.listed()


@pytest.mark.parametrize(
    ("actions", "details", "why"),
    [
        ([0, 1, 2], [], "3 decisions for 4 bars"),
        ([0, 1, 2, 0, 0], [], "5 decisions for 4 bars"),
        ([0, 1, 2, 4], [], "decided 4 at bar 3"),
        ([-1, 1, 2, 0], [], "decided -1 at bar 0"),
        ([3, 0, 0, 0], [], "target at bar 0 of EUR/USD.SIM has no size"),
        ([3, 0, 0, 0], [detail(0)], "has size None"),
        ([3, 0, 0, 0], [detail(0, PPB + 1)], f"has size {PPB + 1}"),
        ([1, 0, 0, 0], [detail(0, -1)], "has size -1"),
        ([1, 0, 0, 0], [detail(0, PPB, -1)], r"distances \(-1, None\)"),
        ([1, 0, 0, 0], [detail(4, PPB)], "details of bar 4"),
        ([1, 1, 0, 0], [detail(1, PPB), detail(0, PPB)], "details of bar 0 .* after bar 1"),
        ([1, 0, 0, 0], [detail(0, PPB), detail(0, PPB)], "details of bar 0 .* after bar 0"),
    ],
)
def test_what_no_honest_kernel_says_is_refused(make, part, actions, details, why):
    with pytest.raises(ForgedAnswerError, match=why):
        decisions.unpack(answered(make.SYMBOL, actions, details), part)


@pytest.mark.parametrize("symbols", [[], ["X.SIM"], ["EUR/USD.SIM", "EUR/USD.SIM"]])
def test_decisions_for_other_symbols_than_asked_are_refused(part, symbols):
    answer = Backtested(
        decisions=[Decisions(symbol=each, actions=bytes(4), details=[]) for each in symbols],
        cpu_ns=0,
    )
    with pytest.raises(ForgedAnswerError, match=r"asked was EUR/USD\.SIM"):
        decisions.unpack(answer, part)


def test_a_decision_before_the_warm_up_is_over_is_refused(make, part):
    answer = answered(make.SYMBOL, [0, 1, 0, 0])
    assert decisions.unpack(answer, part, 1)[make.SYMBOL].acting().tolist() == [1]
    with pytest.raises(ForgedAnswerError, match="before its 2 bars of warm-up"):
        decisions.unpack(answer, part, 2)


def test_a_hold_with_a_reason_and_a_size_is_harmless(make, part):
    answer = answered(make.SYMBOL, [0, 0, 0, 0], [detail(2, PPB // 10, reason="r" * 9_999)])
    chosen = decisions.unpack(answer, part)[make.SYMBOL]
    assert chosen.at(2).action is Action.HOLD
    assert len(chosen.at(2).reason) == 500


@given(actions=ACTIONS, data=st.data())
def test_the_first_difference_is_where_one_was_changed(make, actions, data):
    at = data.draw(st.integers(0, len(actions) - 1))
    changed = list(actions)
    changed[at] = (changed[at] + 1) % 3
    one, other = make.choices(actions), make.choices(changed)
    assert decisions.first_difference(one, one) is None
    assert decisions.first_difference(one, other) == at
    assert decisions.first_difference(other, one) == at
    assert decisions.digest({"A": one}) != decisions.digest({"A": other})


@given(actions=ACTIONS, bars=st.integers(0, 70))
def test_a_prefix_never_differs(make, actions, bars):
    whole = make.choices(actions)
    assert decisions.first_difference(whole, whole.slice(0, bars)) is None


@given(actions=ACTIONS, bars=st.integers(0, 70))
def test_a_delay_moves_every_decision_and_makes_none(make, actions, bars):
    moved = make.choices(actions).delayed(bars)
    expected = ([0] * bars + actions)[: len(actions)]
    assert moved.actions.tolist() == expected


def test_details_move_with_their_bars(make):
    sized = Decision(action=Action.BUY, size_ppb=5)
    whole = make.choices([0, 1, 0, 1], details={1: sized, 3: sized})
    assert whole.delayed(1).details == {2: sized}
    assert whole.slice(1).details == {0: sized, 2: sized}
    assert whole.slice(2).details == {1: sized}


def test_a_reason_is_no_difference_but_a_size_is(make):
    def one(**more):
        return make.choices([1], details={0: Decision(action=Action.BUY, **more)})

    assert decisions.first_difference(one(size_ppb=5, reason="a"), one(size_ppb=5)) is None
    assert decisions.first_difference(one(size_ppb=5), one(size_ppb=6)) == 0
    assert decisions.first_difference(one(size_ppb=5), make.choices([1])) == 0
    assert decisions.mismatches(one(size_ppb=5), make.choices([1])) == (1, 1)


def test_mismatches_are_counted_from_a_bar_on(make):
    one, other = make.choices([1, 0, 2, 0, 0]), make.choices([0, 0, 2, 0, 1])
    assert decisions.mismatches(one, other) == (2, 3)
    assert decisions.mismatches(one, other, 1) == (1, 2)


def test_decisions_are_told_in_words():
    assert decisions.said(BUY) == "BUY"
    assert decisions.said(Decision(action=Action.SELL, size_ppb=PPB // 4)) == "SELL of 0.25"
    assert decisions.said(Decision(action=Action.TARGET, size_ppb=-PPB // 2)) == "target -0.5"
