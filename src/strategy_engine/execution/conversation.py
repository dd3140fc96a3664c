"""What the node says to a strategy's process, and hears from it. Nothing heard is believed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from strategy_engine.core.errors import EngineError
from strategy_engine.execution import history as histories
from strategy_engine.execution import rules
from strategy_engine.execution.history import Series
from strategy_engine.execution.rules import ContractBrokenError
from strategy_engine.execution.transcript import Transcript
from strategy_engine.matching.model import Terms
from strategy_engine.matching.settings import Settings
from strategy_engine.registry.model import Content
from strategy_engine.sandbox.model import ChildExit, ChildLimits, ConfinementReport
from strategy_engine.sandbox.protocol import messages

WARM_UP_S = 30.0

type Happening = (
    messages.NativeBar | messages.NativeQuote | messages.NativeTrade | messages.OrderEvents
)


_ANSWERS: dict[type, type[messages.FromChild]] = {
    messages.WarmUp: messages.WarmedUp,
    messages.Bar: messages.Decided,
    messages.NativeWarmUp: messages.NativeActed,
    messages.NativeBar: messages.NativeActed,
    messages.NativeQuote: messages.NativeActed,
    messages.NativeTrade: messages.NativeActed,
    messages.OrderEvents: messages.NativeActed,
}


class StrategyFailedError(EngineError):
    """The strategy raised, or broke its contract."""

    kind = "strategy-failed"


class Process(Protocol):
    """A strategy's process as the node needs it; the sandbox's child is one."""

    @property
    def report(self) -> ConfinementReport:
        """Which layers of its wall stand."""
        ...

    @property
    def log_tail(self) -> str:
        """The last that it printed."""
        ...

    async def request(self, body: bytes, timeout_s: float | None) -> bytes:
        """Send a frame and return the next one that comes back."""
        ...

    async def close(self, grace_s: float = 1.0) -> ChildExit:
        """End it, and return how it ended."""
        ...


class Launcher(Protocol):
    """Where processes come from; the sandbox's zygotes are one."""

    async def child(self, kind: str, limits: ChildLimits, label: str) -> Process:
        """Return a confined process."""
        ...


class Conversation:
    """One strategy's process: a question, its answer.

    Every method raises `StrategyFailedError` if the strategy raised, `ContractBrokenError` if its
    process answers nonsense, and the sandbox's `ChildDiedError` if it is or falls silent.
    """

    def __init__(self, process: Process, *, decision_timeout_s: float) -> None:
        self.process = process
        self.transcript: Transcript | None = None  # where what follows is kept, if it is
        self._timeout_s = decision_timeout_s

    async def load(
        self, content: Content, settings: Settings, terms: Iterable[Terms]
    ) -> messages.Loaded:
        """Compile and construct a signal strategy."""
        message = messages.Load(
            code=content.code,
            parameters=content.parameters,
            engine=_engine(settings),
            contracts=[
                messages.Contract(
                    symbol=each.symbol, tick_nanos=each.tick_nanos, lot_nanos=each.lot_nanos
                )
                for each in terms
            ],
            lookback=settings.lookback,
        )
        return await self._ask(message, messages.Loaded, WARM_UP_S)

    async def warm_up(self, frames: list[messages.Bars], state: bytes | None) -> None:
        """Show it what was before, and give it back what it saved."""
        message = messages.WarmUp(bars=frames, state=state)
        await self._ask(message, messages.WarmedUp, WARM_UP_S)

    async def decide(self, bar: messages.Bar) -> messages.Decided:
        """Show it a bar with its fills, and return what it decides."""
        return await self._ask(bar, messages.Decided, self._timeout_s)

    async def stop(self) -> messages.Stopped:
        """Let it end by its own hook."""
        return await self._ask(messages.Stop(), messages.Stopped, self._timeout_s)

    async def load_native(
        self,
        content: Content,
        settings: Settings,
        series: Mapping[str, Series],
        offers: Sequence[str] = (),
    ) -> messages.Loaded:
        """Compile a native strategy and fill its config."""
        message = messages.LoadNative(
            code=content.code,
            parameters=content.parameters,
            engine=_engine(settings),
            contracts=[_contract(series[symbol]) for symbol in settings.symbols],
            timeframe=histories.timeframe_of(series),
            lookback=settings.lookback,
            offers=list(offers),
        )
        return await self._ask(message, messages.Loaded, WARM_UP_S)

    async def warm_up_native(self, message: messages.NativeWarmUp) -> messages.NativeActed:
        """Let a native strategy start, or catch up with what it has missed."""
        return await self._ask(message, messages.NativeActed, WARM_UP_S)

    async def act(self, message: Happening) -> messages.NativeActed:
        """Tell a native strategy what happened, and return what it asks for."""
        return await self._ask(message, messages.NativeActed, self._timeout_s)

    async def stop_native(self) -> messages.NativeStopped:
        """Let a native strategy end by its own hook."""
        return await self._ask(messages.Stop(), messages.NativeStopped, self._timeout_s)

    async def repeat(self, asked: bytes) -> messages.FromChild:
        """Ask what another process of the version was asked; return what this one answers."""
        message = messages.decode_for_child(asked)
        is_warm_up = isinstance(message, messages.WarmUp | messages.NativeWarmUp)
        timeout_s = WARM_UP_S if is_warm_up else self._timeout_s
        return _expect(await self.process.request(asked, timeout_s), _ANSWERS[type(message)])

    async def _ask[M: messages.FromChild](
        self, message: messages.ToChild, expected: type[M], timeout_s: float
    ) -> M:
        asked = messages.encode(message)
        answered = await self.process.request(asked, timeout_s)
        answer = _expect(answered, expected)
        if self.transcript is not None:
            self.transcript.hear(message, answer, (asked, answered))
        return answer


def _expect[M: messages.FromChild](body: bytes, expected: type[M]) -> M:
    try:
        answer = messages.decode_from_child(body)
    except msgspec.MsgspecError as error:
        raise ContractBrokenError(
            f"the strategy's process answered what is no message: {error}"
        ) from None
    if isinstance(answer, expected):
        return answer
    if isinstance(answer, messages.Failed):
        raise StrategyFailedError(rules.failure_line(answer), phase=answer.phase)
    raise ContractBrokenError(
        f"the strategy's process answered {type(answer).__name__};"
        f" {expected.__name__} was asked for"
    )


def _engine(settings: Settings) -> messages.Engine:
    how = settings.rules
    return messages.Engine(
        capital_nanos=settings.capital_nanos,
        position_size_ppb=how.position_size_ppb,
        stop_loss_ppb=how.stop_loss_ppb,
        take_profit_ppb=how.take_profit_ppb,
        slippage_ppm=how.slippage_ppm,
        fee_ppm=how.fee_ppm,
        allow_short=how.allow_short,
        max_trades_per_day=how.max_trades_per_day,
        max_position_nanos=how.max_position_nanos,
        max_volume_share_ppm=settings.conditions.max_volume_share_ppm,
        leverage_ppm=settings.conditions.leverage_ppm,
    )


def _contract(each: Series) -> messages.Contract:
    native = each.instrument.native
    return messages.Contract(
        symbol=each.terms.symbol,
        tick_nanos=each.terms.tick_nanos,
        lot_nanos=each.terms.lot_nanos,
        currency=each.instrument.currency,
        min_lots=each.terms.min_lots,
        native=None
        if native is None
        else messages.NativeInstrument(class_name=native.class_name, fields=native.fields),
    )
