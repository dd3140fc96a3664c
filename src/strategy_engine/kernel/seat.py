"""One instrument's strategy instance: where the user's code is called and its answer converted."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from strategy_engine.kernel import failures, signal
from strategy_engine.kernel.failures import ContractError, StrategyFailedError
from strategy_engine.kernel.strategy import METHOD, Blueprint
from strategy_engine.kernel.window import MarketData, Standing, Window
from strategy_engine.matching.model import Decision
from strategy_engine.sandbox.protocol.messages import Detail, Filled

_WORDS = signal.WORDS


class Seat:
    """An instance of the strategy with its window; every exception leaves it as a failure."""

    __slots__ = ("_line", "_on_fill", "_save", "generate", "instance", "market", "window")

    def __init__(self, plan: Blueprint, symbol: str, window: Window, standing: Standing) -> None:
        self.window = window
        self.market = MarketData(symbol, window, standing, plan.parameters)
        self.market.see_flags(plan.flags)
        self.instance = plan.construct()
        self._line = plan.line
        self.generate: Callable[[MarketData], object] = getattr(self.instance, METHOD)
        self._on_fill = _hook(self.instance, "on_fill")
        self._save = _hook(self.instance, "save_state")

    def decide(self) -> Decision:
        """Ask the strategy for its decision on the last bar."""
        try:
            value = self.generate(self.market)
            known = _WORDS.get(value) if value.__class__ is str else None
            return known or signal.to_decision(value)
        except BaseException as error:
            raise self.undecided(error) from error

    def undecided(self, error: BaseException) -> StrategyFailedError:
        """Return what an exception of `generate`, or of reading its answer, becomes."""
        return self._failure(error, failures.DECIDE)

    @property
    def listens(self) -> bool:
        """Tell whether the strategy wants to hear of its fills."""
        return self._on_fill is not None

    def start(self, state: bytes | None = None) -> None:
        """Call `on_start`, then `load_state` with what `saved` gave."""
        self._call("on_start")
        if state is not None:
            self._call("load_state", msgspec.msgpack.decode(state))

    def stop(self) -> None:
        """Call `on_stop`."""
        self._call("on_stop")

    def tell(self, fill: Filled) -> None:
        """Call `on_fill`."""
        self._call("on_fill", fill)

    def saved(self) -> bytes | None:
        """Return what `save_state` gives, encoded; None without that hook."""
        if self._save is None:
            return None
        try:
            return _encoded(self._save())
        except BaseException as error:
            raise self._failure(error, failures.HOOK) from error

    def _call(self, name: str, *arguments: object) -> None:
        hook = _hook(self.instance, name)
        if hook is None:
            return
        try:
            hook(*arguments)
        except BaseException as error:
            raise self._failure(error, failures.HOOK) from error

    def _failure(self, error: BaseException, phase: str) -> StrategyFailedError:
        seen = self.window.seen
        return StrategyFailedError(
            failures.describe(
                error,
                phase,
                line=self._line if phase == failures.DECIDE else None,
                bar_index=seen - 1 if seen else None,
            )
        )


def told(index: int, decision: Decision) -> Detail:
    """Return what a decision says beyond its action."""
    return Detail(
        index=index,
        size_ppb=decision.size_ppb,
        stop_loss_ppb=decision.stop_loss_ppb,
        take_profit_ppb=decision.take_profit_ppb,
        reason=decision.reason,
    )


def _hook(instance: Any, name: str) -> Callable[..., object] | None:
    hook = getattr(instance, name, None)
    return hook if callable(hook) else None


def _encoded(state: object) -> bytes:
    if not isinstance(state, dict):
        raise ContractError(f"save_state returned {type(state).__name__}; it must return a dict")
    return _encode(state)


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(
        f"save_state returned a {type(value).__name__}; it may hold numbers, text, lists and dicts"
    )


_encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
