"""One native strategy's part of the conversation, from its code to its stop."""

from typing import assert_never

from strategy_engine.kernel import failures
from strategy_engine.kernel.native import backtest, source
from strategy_engine.kernel.native.instruments import Listings
from strategy_engine.kernel.native.live import Live
from strategy_engine.sandbox.protocol import messages

DEFAULT_LOOKBACK = 512  # bars of history that a strategy may ask for at its start

type Question = (
    messages.NativeBacktest
    | messages.NativeWarmUp
    | messages.NativeBar
    | messages.NativeQuote
    | messages.NativeTrade
    | messages.OrderEvents
)


class Native:
    """What the child knows of a native strategy between two messages.

    Raises
    ------
    StrategyFailedError
        If the strategy's code failed, in any method.
    """

    def __init__(self, message: messages.LoadNative) -> None:
        with failures.reported(failures.CONSTRUCT):
            self._listings = Listings(
                message.contracts, message.timeframe, frozenset(message.offers)
            )
        self._plan = source.plan(message.code, message.parameters, self._listings.market)
        self._money = backtest.Money.of(message.engine)
        self._lookback = message.lookback or DEFAULT_LOOKBACK
        self._live = Live(self._plan, self._listings)

    def loaded(self) -> messages.Loaded:
        """Say what was found in the code."""
        return messages.Loaded(
            class_name=self._plan.kind.__name__,
            lookback=self._lookback,
            bound=self._plan.bound,
            unbound=self._plan.unbound,
            hooks=self._plan.hooks,
        )

    def answer(self, message: Question) -> messages.NativeBacktested | messages.NativeActed:
        """Return the answer to a message."""
        match message:
            case messages.NativeBacktest():
                return backtest.run(self._plan, self._listings, message, self._money)
            case messages.NativeWarmUp():
                return self._live.warm_up(message)
            case messages.NativeBar() | messages.NativeQuote() | messages.NativeTrade():
                return self._live.on_market(message)
            case messages.OrderEvents():
                return self._live.on_events(message)
            case _:
                assert_never(message)

    def stop(self) -> messages.NativeStopped:
        """Let the strategy end."""
        return self._live.stop()
