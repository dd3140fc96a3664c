import linecache
import sys
from collections import Counter

import pytest

from strategy_engine.kernel import failures, strategy, warm
from strategy_engine.kernel.child import Conversation
from strategy_engine.sandbox.protocol import messages

type Said = list[tuple[messages.ToChild, messages.FromChild]]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    heard: Said = []
    answer = Conversation.answer

    def listening(self: Conversation, message: messages.ToChild) -> messages.FromChild:
        heard.append((message, answer(self, message)))
        return heard[-1][1]

    monkeypatch.setattr(Conversation, "answer", listening)
    warm.run()
    return heard


def test_a_warm_up_leaves_no_strategy_behind(said: Said) -> None:
    assert said
    assert strategy.MODULE not in sys.modules
    assert failures.STRATEGY_FILE not in linecache.cache


def test_a_warm_up_decides_in_every_way_that_a_strategy_may(said: Said) -> None:
    backtests = [answer for _, answer in said if isinstance(answer, messages.Backtested)]
    actions = Counter(action for each in backtests for action in each.decisions[0].actions)
    assert min(actions[action] for action in range(4)) >= 3, actions
    live = Counter(answer.action for _, answer in said if isinstance(answer, messages.Decided))
    assert min(live[action] for action in range(4)) >= 3, live


def test_a_warm_up_strategy_that_fails_stops_the_zygote(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "_PLAIN", "class Broken:\n    pass\n")
    with pytest.raises(TypeError, match="warms nothing"):
        warm.run()
