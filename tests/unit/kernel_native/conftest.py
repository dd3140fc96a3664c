"""A floor for native strategies: a child's conversation, and an engine that matches its orders."""

import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pytest

from strategy_engine.kernel.child import Conversation
from strategy_engine.matching.exchange import Exchange
from strategy_engine.matching.model import Rules, Terms
from strategy_engine.matching.ticket import Executed, Instruction, OrderEvent
from strategy_engine.sandbox.protocol import messages

HOUR_NS = 3_600 * 1_000_000_000
CAPITAL_NANOS = 100_000 * 10**9
SYMBOL = "EUR/USD.SIM"
TICK_NANOS = 10_000
LOT_NANOS = 10**9

_instruction = msgspec.msgpack.Decoder(Instruction).decode
_executed = msgspec.msgpack.Decoder(list[Executed]).decode

BASE = """
from datetime import timedelta
from nautilus_trader.config import StrategyConfig
from nautilus_trader.indicators import ExponentialMovingAverage
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy


class MyConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId
    bar_type: BarType


class Base(Strategy):
    def __init__(self, config: MyConfig) -> None:
        super().__init__(config)
        self.heard = []
        self.order = None

    @property
    def pair(self):
        return self.cache.instrument(self.config.instrument_id)

    def on_start(self):
        self.subscribe_bars(self.config.bar_type)

    def submit(self, kind, *prices, side=OrderSide.BUY, **more):
        make = getattr(self.order_factory, kind)
        order = make(self.config.instrument_id, side, self.pair.make_qty(1000),
                     *(self.pair.make_price(each) for each in prices), **more)
        self.submit_order(order)
        return order

    def say(self, *words):
        self.heard.append(" ".join(str(each) for each in words))

    def on_save(self):
        return {"heard": chr(10).join(self.heard).encode()}

    def on_load(self, state):
        self.heard = state["heard"].decode().splitlines()
"""

type Given = list[tuple[int, Instruction]]


def given(asked: Iterable[messages.Asked]) -> Given:
    return [(each.ts_ns, _instruction(each.instruction)) for each in asked]


def walk(size: int, seed: int = 1, symbol: str = SYMBOL, first_ns: int = 0) -> messages.Bars:
    """Return random bars whose open is the last close, on whole ticks."""
    chance = np.random.default_rng(seed)
    close = np.round(1.1 * np.exp(np.cumsum(chance.normal(0, 0.002, size))), 5)
    opened = np.concatenate([close[:1], close[:-1]])
    away = np.round(np.abs(chance.normal(0, 0.001, size)), 5)
    return messages.Bars(
        symbol=symbol,
        duration_ns=HOUR_NS,
        open_ns=(first_ns + np.arange(size, dtype="<i8") * HOUR_NS).tobytes(),
        open=opened.tobytes(),
        high=(np.maximum(opened, close) + away).tobytes(),
        low=(np.minimum(opened, close) - away).tobytes(),
        close=close.tobytes(),
        volume=np.full(size, 1000.0).tobytes(),
    )


def cut(bars: messages.Bars, start: int, end: int) -> messages.Bars:
    """Return some of the bars."""
    names = ("open_ns", "open", "high", "low", "close", "volume")
    return msgspec.structs.replace(
        bars, **{name: getattr(bars, name)[start * 8 : end * 8] for name in names}
    )


@dataclass(slots=True)
class Run:
    """What a strategy did: what it gave at each bar, its fills, its last words."""

    steps: dict[int, Given] = field(default_factory=dict)
    fills: list[Executed] = field(default_factory=list)
    stopping: Given = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    states: list[bytes] = field(default_factory=list)

    @property
    def instructions(self) -> list[Instruction]:
        return [each for step in self.steps.values() for _, each in step]


class Floor:
    """One strategy's code and how it is traded, in a backtest and live."""

    def __init__(self, code: str, parameters: dict[str, Any], rules: Rules) -> None:
        self.code = code
        self.parameters = parameters
        self.rules = rules
        self.symbols = [SYMBOL]
        self.offers: list[str] = []

    def load_message(self) -> messages.LoadNative:
        how = self.rules
        engine = messages.Engine(
            capital_nanos=CAPITAL_NANOS,
            **{name: getattr(how, name) for name in Rules.__slots__},
        )
        contracts = [
            messages.Contract(symbol=each, tick_nanos=TICK_NANOS, lot_nanos=LOT_NANOS)
            for each in self.symbols
        ]
        return messages.LoadNative(
            code=self.code,
            parameters=self.parameters,
            engine=engine,
            contracts=contracts,
            timeframe="1-HOUR-LAST-EXTERNAL",
            offers=self.offers,
        )

    def talk(self) -> Conversation:
        conversation = Conversation()
        answer = conversation.answer(self.load_message())
        assert isinstance(answer, messages.Loaded), answer
        return conversation

    def venue(self, latency_ns: int = 0) -> Exchange:
        terms = [
            Terms(symbol=each, tick_nanos=TICK_NANOS, lot_nanos=LOT_NANOS) for each in self.symbols
        ]
        return Exchange(CAPITAL_NANOS, terms, self.rules, latency_ns=latency_ns)

    def backtest(self, *bars: messages.Bars, **how: Any) -> Run:
        answer = self.talk().answer(messages.NativeBacktest(bars=list(bars), **how))
        assert isinstance(answer, messages.NativeBacktested), answer
        return Run(
            steps={each.index: given(each.asked) for each in answer.steps},
            fills=_executed(answer.seen),
            stopping=given(answer.stopping),
            notices=answer.notices,
        )

    def live(self, bars: messages.Bars, *, warm_up: int = 0) -> Run:
        session = Session(self, bars)
        session.start(warm_up)
        session.play(warm_up, len(bars.open_ns) // 8)
        session.stop()
        return session.run


class Session:
    """The engine's side of a live strategy."""

    def __init__(self, floor: Floor, bars: messages.Bars) -> None:
        self.floor = floor
        self.bars = bars
        self.venue = floor.venue()
        self.talk = floor.talk()
        self.run = Run()
        self._open_ns = np.frombuffer(bars.open_ns, dtype="<i8").tolist()
        self._prices = np.stack(
            [
                np.frombuffer(getattr(bars, name), dtype="<f8")
                for name in ("open", "high", "low", "close", "volume")
            ],
            axis=1,
        )
        self._first = 0

    def start(self, at: int = 0, **takeover: Any) -> messages.NativeActed:
        """Start before bar `at`, the bars before it in hand."""
        self._first = at
        self.talk = self.floor.talk() if takeover else self.talk
        message = messages.NativeWarmUp(
            start_ns=self._open_ns[at],
            bars=[cut(self.bars, 0, at)] if at else [],
            **{"balance_nanos": CAPITAL_NANOS} | takeover,
        )
        return self.hear(self.talk.answer(message), -1)

    def play(self, start: int, end: int) -> None:
        """Show bars, each after what it did to the orders."""
        for index in range(start, end):
            self.bar(index)

    def bar(self, index: int, **fields: Any) -> messages.NativeActed:
        times = self._open_ns[index], self._open_ns[index] + HOUR_NS
        row = self._prices[index]
        ticks = np.rint(row[:4] * 1e9 / TICK_NANOS).astype(int).tolist()
        if "events" not in fields:
            met = self.venue.meet(SYMBOL, times, tuple(ticks), int(row[4]))
            fields = {"events": encoded(met)} | fields
        message = messages.NativeBar(
            symbol=SYMBOL,
            open_ns=times[0],
            close_ns=times[1],
            ohlcv=tuple(row.tolist()),
            **fields,
        )
        return self.hear(self.talk.answer(message), index)

    def tell(self, now_ns: int, *events: OrderEvent) -> messages.NativeActed:
        """Say something between two bars."""
        message = messages.OrderEvents(now_ns=now_ns, events=encoded(list(events)))
        answer = self.talk.answer(message)
        assert isinstance(answer, messages.NativeActed), answer
        return answer

    def hear(self, answer: messages.FromChild, index: int) -> messages.NativeActed:
        assert isinstance(answer, messages.NativeActed), answer
        self.run.notices += answer.notices
        if answer.state is not None:
            self.run.states.append(answer.state)
        if answer.asked:
            at = index if index < 0 else index - self._first
            self.run.steps[at] = given(answer.asked)
            self.venue.ask(given(answer.asked))
        return answer

    def stop(self) -> messages.NativeStopped:
        answer = self.talk.answer(messages.Stop())
        assert isinstance(answer, messages.NativeStopped), answer
        self.run.stopping = given(answer.asked)
        self.run.fills = self.venue.seen
        return answer


def encoded(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(value))


@pytest.fixture
def bars() -> Callable[..., messages.Bars]:
    return walk


@pytest.fixture
def floor() -> Callable[..., Floor]:
    def floor(code: str, rules: Rules | None = None, **parameters: Any) -> Floor:
        return Floor(code, parameters, rules or Rules(allow_short=True))

    return floor


@pytest.fixture
def session() -> Callable[[Floor, messages.Bars], Session]:
    return Session


@pytest.fixture
def raw() -> Callable[[object], msgspec.Raw]:
    return encoded


@pytest.fixture
def acting(floor: Callable[..., Floor]) -> Callable[[str], Floor]:
    """Return a floor for a strategy of which only some methods are told."""

    def acting(body: str) -> Floor:
        return floor(f"{BASE}\nclass My(Base):\n{textwrap.indent(body.strip(), '    ')}\n")

    return acting


@pytest.fixture
def said() -> Callable[[bytes | None], list[str]]:
    """Return what such a strategy has noted, from the state that it saved."""

    def said(state: bytes | None) -> list[str]:
        assert state is not None
        return msgspec.msgpack.decode(state, type=dict[str, bytes])["heard"].decode().splitlines()

    return said
