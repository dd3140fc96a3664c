"""Histories without a catalogue, and children without a process."""

import textwrap
from collections.abc import Callable, Iterable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from strategy_engine.kernel.child import Conversation as Kernel
from strategy_engine.market.model import Bars, Calendar, Instrument, Timeframe
from strategy_engine.matching.settings import settings
from strategy_engine.pipeline import criteria, history
from strategy_engine.pipeline.decisions import Choices
from strategy_engine.pipeline.history import History, Series
from strategy_engine.pipeline.model import Job
from strategy_engine.pipeline.signals import Signals
from strategy_engine.registry.model import Content
from strategy_engine.sandbox.model import ChildDiedError, ChildExit, ChildLimits, ExitKind
from strategy_engine.sandbox.protocol import messages

HOUR_NS = 3_600_000_000_000
START_NS = 1_483_308_000_000_000_000  # 2017-01-01 22:00 UTC
SYMBOL = "EUR/USD.SIM"

RSI = """
class RSIStrategy:
    def __init__(self, rsi_period=14, oversold=30, overbought=70):
        self.rsi_period = rsi_period
        self.oversold = oversold
        self.overbought = overbought

    def generate_signal(self, market_data):
        rsi = calculate_rsi(market_data['prices'], self.rsi_period)
        if rsi < self.oversold:
            return 'BUY'
        elif rsi > self.overbought:
            return 'SELL'
        else:
            return 'HOLD'
"""


def make_series(
    closes: Iterable[float],
    *,
    symbol: str = SYMBOL,
    start_ns: int = START_NS,
    step_ns: int = HOUR_NS,
    tick: str = "0.00001",
    calendar: Calendar = Calendar.CONTINUOUS,
) -> Series:
    """Return bars that open at the last close and reach a tick beyond both."""
    grid = float(tick)
    close = np.rint(np.array(list(closes), dtype=np.float64) / grid) * grid
    open_ = np.concatenate((close[:1], close[:-1]))
    bars = Bars(
        ts_ns=start_ns + step_ns * np.arange(close.size, dtype=np.int64),
        open=open_,
        high=np.maximum(open_, close) + grid,
        low=np.minimum(open_, close) - grid,
        close=close,
        volume=np.full(close.size, 1_000.0),
        timeframe_ns=step_ns,
    )
    instrument = Instrument(
        symbol=symbol,
        venue=symbol.rpartition(".")[2],
        currency="USD",
        tick_size=Decimal(tick),
        lot_size=Decimal(1),
        calendar=calendar,
        default_timeframe=Timeframe.parse("1h"),
    )
    return history.series(instrument, bars, "1-HOUR-LAST-EXTERNAL")


def make_history(closes: Iterable[float], **how: Any) -> History:
    return history.history([make_series(closes, **how)])


def wave(size: int, seed: int = 7) -> list[float]:
    """Return prices that swing around 1.1 with noise: a mean-reverting strategy trades on them."""
    random = np.random.default_rng(seed)
    steps = np.arange(size)
    return list(1.1 + 0.02 * np.sin(steps / 9.0) + 0.001 * random.standard_normal(size))


def make_choices(actions: Iterable[int], symbol: str = SYMBOL, **details: Any) -> Choices:
    return Choices(
        symbol=symbol,
        actions=np.array(list(actions), dtype=np.int8),
        details=details.get("details", {}),
    )


def make_signals(*every: Choices) -> Signals:
    return Signals({each.symbol: each for each in every})


def make_job(code: str = RSI, **changes: Any) -> Job:
    parameters = {"position_size": 1.0} | changes.pop("parameters", {})
    limits = changes.pop("risk_limits", {"max_position_size": 200_000, "daily_loss_limit": -50_000})
    return Job(
        strategy_id="strat_1",
        content=Content(
            strategy_name="RSI",
            version="1.0.0",
            code=code,
            parameters=parameters,
            risk_limits=limits,
            tests=changes.pop("tests", {}),
        ),
        settings=settings(parameters, limits, {}),
        criteria=changes.pop("criteria", criteria.criteria({})),
        **changes,
    )


NATIVE = """
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId
from nautilus_trader.trading.strategy import Strategy


class MineConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId
    bar_type: BarType


class Base(Strategy):
    def __init__(self, config: MineConfig):
        super().__init__(config)
        self.bars = 0

    def on_start(self):
        self.subscribe_bars(self.config.bar_type)

    def submit(self, kind, *prices, side=OrderSide.BUY, lots=1000, **more):
        pair = self.cache.instrument(self.config.instrument_id)
        prices = [pair.make_price(each) for each in prices]
        make = getattr(self.order_factory, kind)
        self.submit_order(make(pair.id, side, pair.make_qty(lots), *prices, **more))

    def turn(self):
        held = self.portfolio.net_position(self.config.instrument_id)
        self.submit("market", side=OrderSide.SELL if held > 0 else OrderSide.BUY)
"""


def native_code(body: str) -> str:
    """Return a native strategy of which only some methods are told."""
    return f"{NATIVE}\n\nclass Mine(Base):\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"


def make_native(body: str, **changes: Any) -> Job:
    """Return the job of such a strategy, or of one whose whole code is given."""
    code = body if "nautilus_trader" in body else native_code(body)
    parameters = changes.pop("parameters", {})
    limits = changes.pop("risk_limits", {"max_position_size": 200_000, "daily_loss_limit": -50_000})
    content = Content(
        strategy_name="Mine",
        version="1.0.0",
        code=code,
        parameters=parameters,
        risk_limits=limits,
        tests=changes.pop("tests", {}),
    )
    return Job(
        strategy_id="strat_1",
        content=content,
        settings=settings(parameters, limits, {}, is_native=True),
        criteria=changes.pop("criteria", criteria.criteria({})),
        **changes,
    )


class InsideChild:
    """A child without a process: the real kernel answers in the test's own."""

    def __init__(self) -> None:
        self._kernel = Kernel()
        self.is_closed = False

    async def request(self, body: bytes, timeout_s: float | None) -> bytes:
        return messages.encode(self._kernel.answer(messages.decode_for_child(body)))

    async def close(self) -> object:
        self.is_closed = True
        return None


class Inside:
    """Gives such children, and remembers them."""

    def __init__(self) -> None:
        self.children: list[InsideChild] = []

    async def child(self, kind: str, limits: ChildLimits, label: str) -> InsideChild:
        self.children.append(InsideChild())
        return self.children[-1]


class Scripted:
    """Gives children that answer each kind of question as they are told, or die."""

    def __init__(self, answers: Callable[[messages.ToChild], bytes | messages.FromChild]) -> None:
        self._answers = answers
        self.open = 0
        self.most = 0

    async def child(self, kind: str, limits: ChildLimits, label: str) -> "Scripted":
        self.open += 1
        self.most = max(self.most, self.open)
        return self

    async def request(self, body: bytes, timeout_s: float | None) -> bytes:
        answer = self._answers(messages.decode_for_child(body))
        return answer if isinstance(answer, bytes) else messages.encode(answer)

    async def close(self) -> object:
        self.open -= 1
        return None


LOADED = messages.Loaded(class_name="S", lookback=50, bound=[], unbound=[], hooks=[])


def died(
    reason: str, kind: ExitKind = ExitKind.SILENT, status: int | None = None
) -> ChildDiedError:
    return ChildDiedError(
        ChildExit(
            kind=kind,
            reason=reason,
            status=status,
            rss_bytes=0,
            cpu_s=0.0,
            log_lines=("its last words",),
        )
    )


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """What tests build their facts with."""
    return SimpleNamespace(
        series=make_series,
        history=make_history,
        choices=make_choices,
        signals=make_signals,
        job=make_job,
        native=make_native,
        wave=wave,
        died=died,
        Inside=Inside,
        Scripted=Scripted,
        LOADED=LOADED,
        RSI=RSI,
        SYMBOL=SYMBOL,
        HOUR_NS=HOUR_NS,
        START_NS=START_NS,
    )
