"""The child's end of the conversation: receive, do, answer; the first failure ends it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from strategy_engine.kernel import backtest, strategy
from strategy_engine.kernel.failures import StrategyFailedError
from strategy_engine.kernel.live import Live
from strategy_engine.matching.account import Account
from strategy_engine.matching.model import Rules, Terms
from strategy_engine.sandbox.protocol import messages
from strategy_engine.sandbox.protocol.framing import Channel

if TYPE_CHECKING:
    from strategy_engine.kernel.native.conversation import Native

_NATIVE = (
    messages.NativeBacktest
    | messages.NativeWarmUp
    | messages.NativeBar
    | messages.NativeQuote
    | messages.NativeTrade
    | messages.OrderEvents
)
type _Signal = (
    messages.Load
    | messages.Backtest
    | messages.WarmUp
    | messages.Bar
    | messages.Stop
    | messages.RunTests
)
_LAST_WORDS = messages.Failed | messages.Stopped | messages.NativeStopped


def main(channel: Channel) -> None:
    """Answer the engine until it hangs up, says stop, or the strategy fails."""
    conversation = Conversation()
    while (frame := channel.receive()) is not None:
        answer = conversation.answer(messages.decode_for_child(frame))
        channel.send(messages.encode(answer))
        if isinstance(answer, _LAST_WORDS):
            return


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    plan: strategy.Blueprint
    engine: messages.Engine
    terms: dict[str, Terms]
    live: Live

    def account(self) -> Account:
        how = Rules(**{name: getattr(self.engine, name) for name in Rules.__slots__})
        return Account(self.engine.capital_nanos, self.terms.values(), how)


class Conversation:
    """What one child knows between two messages."""

    def __init__(self) -> None:
        self._loaded: _Loaded | None = None
        self._native: Native | None = None

    def answer(self, message: messages.ToChild) -> messages.FromChild:
        """Return the answer to a message; a failure of the user's code is an answer too."""
        try:
            return self._answer(message)
        except StrategyFailedError as error:
            return error.failed

    def _answer(self, message: messages.ToChild) -> messages.FromChild:
        if isinstance(message, messages.LoadNative):
            return self._load_native(message)
        if isinstance(message, _NATIVE):
            return _loaded(self._native).answer(message)
        return self._answer_signal(message)

    def _answer_signal(self, message: _Signal) -> messages.FromChild:
        match message:
            case messages.Load():
                return self._load(message)
            case messages.Backtest():
                loaded = self._ready()
                return backtest.run(loaded.plan, loaded.account(), message)
            case messages.WarmUp():
                return self._ready().live.warm_up(message)
            case messages.Bar():
                return self._ready().live.decide(message)
            case messages.Stop():
                return self._stop()
            case messages.RunTests():
                from strategy_engine.kernel import tests_runner  # noqa: PLC0415  (pytest is heavy)

                return tests_runner.run(message)
            case _:
                assert_never(message)

    def _load(self, message: messages.Load) -> messages.Loaded:
        plan = strategy.blueprint(
            message.code, message.parameters, lookback=message.lookback, flags=message.flags
        )
        terms = {
            each.symbol: Terms(
                symbol=each.symbol, tick_nanos=each.tick_nanos, lot_nanos=each.lot_nanos
            )
            for each in message.contracts
        }
        self._loaded = _Loaded(
            plan=plan, engine=message.engine, terms=terms, live=Live(plan, terms)
        )
        return messages.Loaded(
            class_name=plan.kind.__name__,
            lookback=plan.lookback,
            bound=list(plan.arguments),
            unbound=plan.unbound,
            hooks=plan.hooks,
        )

    def _load_native(self, message: messages.LoadNative) -> messages.Loaded:
        from strategy_engine.kernel.native import conversation  # noqa: PLC0415  (2 s, 320 MB)

        self._native = conversation.Native(message)
        return self._native.loaded()

    def _stop(self) -> messages.FromChild:
        if self._native is not None:
            return self._native.stop()
        return self._loaded.live.stop() if self._loaded else messages.Stopped()

    def _ready(self) -> _Loaded:
        return _loaded(self._loaded)


def _loaded[T](loaded: T | None) -> T:
    if loaded is None:
        raise RuntimeError("the engine must send Load before anything else")
    return loaded
