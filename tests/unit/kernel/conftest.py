from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from strategy_engine.kernel.child import Conversation
from strategy_engine.sandbox.protocol import messages

HOUR_NS = 3_600 * 1_000_000_000
TICK_NANOS = 10_000_000  # a cent

type Talk = Callable[..., Conversation]


def _bars(closes: Sequence[float], symbol: str = "X", first_ns: int = 0) -> messages.Bars:
    close = np.round(np.asarray(closes, dtype="<f8"), 2)
    opened = np.concatenate([close[:1], close[:-1]])
    times = first_ns + np.arange(len(close), dtype="<i8") * HOUR_NS
    return messages.Bars(
        symbol=symbol,
        duration_ns=HOUR_NS,
        open_ns=times.tobytes(),
        open=opened.tobytes(),
        high=(np.maximum(opened, close) + 0.05).tobytes(),
        low=(np.minimum(opened, close) - 0.05).tobytes(),
        close=close.tobytes(),
        volume=np.full(len(close), 7.0).tobytes(),
    )


@pytest.fixture
def bars() -> Callable[..., messages.Bars]:
    return _bars


@pytest.fixture
def walk() -> Callable[..., np.ndarray[Any, Any]]:
    def walk(size: int, seed: int = 1) -> np.ndarray[Any, Any]:
        steps = np.random.default_rng(seed).normal(0, 0.01, size)
        return np.round(100 * np.exp(np.cumsum(steps)), 2)

    return walk


@pytest.fixture
def engine() -> messages.Engine:
    return messages.Engine(
        capital_nanos=100_000 * 10**9,
        position_size_ppb=10**8,
        stop_loss_ppb=5 * 10**7,
        take_profit_ppb=10**8,
        slippage_ppm=100,
        fee_ppm=100,
        allow_short=False,
        max_trades_per_day=None,
        max_position_nanos=None,
    )


@pytest.fixture
def load(engine: messages.Engine) -> Callable[..., messages.Load]:
    def load(code: str, symbols: Sequence[str] = ("X",), **fields: Any) -> messages.Load:
        fields = {"parameters": {}, "engine": engine} | fields
        contracts = [
            messages.Contract(symbol=each, tick_nanos=TICK_NANOS, lot_nanos=10**9)
            for each in symbols
        ]
        return messages.Load(code=code, contracts=contracts, **fields)

    return load


@pytest.fixture
def talk(load: Callable[..., messages.Load]) -> Talk:
    def talk(code: str, symbols: Sequence[str] = ("X",), **fields: Any) -> Conversation:
        conversation = Conversation()
        answer = conversation.answer(load(code, symbols, **fields))
        assert isinstance(answer, messages.Loaded), answer
        return conversation

    return talk
