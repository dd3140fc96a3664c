"""The questions that the signal kernel answers."""

from collections.abc import Sequence

from strategy_engine.matching.settings import Settings
from strategy_engine.pipeline import decisions, signals
from strategy_engine.pipeline.chosen import Advice, Chosen
from strategy_engine.pipeline.history import History
from strategy_engine.pipeline.model import ForgedAnswerError, Job
from strategy_engine.pipeline.signals import Signals
from strategy_engine.sandbox.protocol import messages


class SignalSpeech:
    """A class with `generate_signal`, one instance an instrument."""

    @property
    def advice(self) -> Advice:
        """What to tell its author."""
        return signals.ADVICE

    @property
    def idle_parameters(self) -> frozenset[str]:
        """The engine's parameters that change nothing for it: those of native orders."""
        return frozenset({"leverage", "max_volume_share"})

    @property
    def answer(self) -> type[messages.FromChild]:
        """What a backtest is answered by."""
        return messages.Backtested

    def load(self, job: Job, part: History, lookback: int | None) -> messages.ToChild:
        """Return the question that compiles and constructs the strategy."""
        return messages.Load(
            code=job.content.code,
            parameters=job.content.parameters,
            engine=engine(job.settings),
            contracts=[
                messages.Contract(
                    symbol=each.symbol,
                    tick_nanos=each.terms.tick_nanos,
                    lot_nanos=each.terms.lot_nanos,
                )
                for each in part.series
            ],
            lookback=lookback,
            flags=dict(job.flags),
        )

    def backtest(
        self,
        part: History,
        *,
        warm_up: int,
        restart_at: int | None,
        shown: Sequence[messages.FlagsShown] = (),
    ) -> messages.ToChild:
        """Return the question for its decisions over a history, flags saying what they said."""
        return messages.Backtest(
            bars=part.frames(), warm_up=warm_up, restart_at=restart_at, shown=list(shown)
        )

    def unpack(self, answer: messages.FromChild, part: History, *, warm_up: int) -> Chosen:
        """Return the decisions of an answer on the bars after the warm-up, checked."""
        if not isinstance(answer, messages.Backtested):
            raise ForgedAnswerError(f"the child answered {type(answer).__name__}")
        found = decisions.unpack(answer, part, warm_up)
        if warm_up:
            found = {symbol: each.slice(warm_up) for symbol, each in found.items()}
        return Signals(found)


def engine(settings: Settings) -> messages.Engine:
    """Return what a child needs of the settings."""
    rules, conditions = settings.rules, settings.conditions
    return messages.Engine(
        capital_nanos=settings.capital_nanos,
        position_size_ppb=rules.position_size_ppb,
        stop_loss_ppb=rules.stop_loss_ppb,
        take_profit_ppb=rules.take_profit_ppb,
        slippage_ppm=rules.slippage_ppm,
        fee_ppm=rules.fee_ppm,
        allow_short=rules.allow_short,
        max_trades_per_day=rules.max_trades_per_day,
        max_position_nanos=rules.max_position_nanos,
        max_volume_share_ppm=conditions.max_volume_share_ppm,
        leverage_ppm=conditions.leverage_ppm,
    )
