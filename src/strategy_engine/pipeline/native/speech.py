"""The questions that the native kernel answers."""

from collections.abc import Sequence

from strategy_engine.core.errors import InvalidError
from strategy_engine.pipeline.chosen import Advice, Chosen
from strategy_engine.pipeline.history import History, Series
from strategy_engine.pipeline.model import ForgedAnswerError, Job
from strategy_engine.pipeline.native import answers, steps
from strategy_engine.pipeline.signal_speech import engine
from strategy_engine.sandbox.protocol import messages


class NativeSpeech:
    """A NautilusTrader strategy, one instance for all instruments."""

    @property
    def advice(self) -> Advice:
        """What to tell its author."""
        return steps.ADVICE

    @property
    def idle_parameters(self) -> frozenset[str]:
        """The engine's parameters that change nothing for it: its orders say all that."""
        return frozenset({"position_size", "stop_loss", "take_profit"})

    @property
    def answer(self) -> type[messages.FromChild]:
        """What a backtest is answered by."""
        return messages.NativeBacktested

    def load(self, job: Job, part: History, lookback: int | None) -> messages.ToChild:
        """Return the question that compiles the strategy and fills its config.

        Raises
        ------
        InvalidError
            If its symbols have bars of different lengths.
        """
        return messages.LoadNative(
            code=job.content.code,
            parameters=job.content.parameters,
            engine=engine(job.settings),
            contracts=[contract(each) for each in part.series],
            timeframe=timeframe(part),
            lookback=lookback,
            offers=offers(part),
        )

    def backtest(
        self,
        part: History,
        *,
        warm_up: int,
        restart_at: int | None,
        shown: Sequence[messages.FlagsShown] = (),
    ) -> messages.ToChild:
        """Return the question for its instructions over a history; it reads no flags."""
        del shown
        if restart_at is not None:
            raise ValueError("a native strategy is restarted by another process")
        traded = part.skip(warm_up)
        return messages.NativeBacktest(
            bars=part.frames(),
            warm_up=warm_up,
            quotes=[quotes(each) for each in traded.series if each.quotes],
            trades=[trades(each) for each in traded.series if each.trades],
        )

    def unpack(self, answer: messages.FromChild, part: History, *, warm_up: int) -> Chosen:
        """Return the instructions of an answer on the bars after the warm-up, checked."""
        if not isinstance(answer, messages.NativeBacktested):
            raise ForgedAnswerError(f"the child answered {type(answer).__name__}")
        return answers.unpack(answer, part.skip(warm_up))


def contract(each: Series) -> messages.Contract:
    """Return an instrument as the child needs it."""
    native = each.native
    return messages.Contract(
        symbol=each.symbol,
        tick_nanos=each.terms.tick_nanos,
        lot_nanos=each.terms.lot_nanos,
        currency=each.currency,
        min_lots=each.terms.min_lots,
        native=None
        if native is None
        else messages.NativeInstrument(class_name=native.class_name, fields=native.fields),
    )


def timeframe(part: History) -> str:
    """Return the timeframe that all symbols share.

    Raises
    ------
    InvalidError
        If they have different ones.
    """
    found = {each.timeframe for each in part.series}
    if len(found) > 1:
        raise InvalidError(
            f"the symbols have bars of {' and '.join(sorted(found))}; a native strategy gets bars"
            " of one timeframe: say which in the parameter timeframe",
            field="timeframe",
            value=sorted(found),
        )
    return found.pop()


def offers(part: History) -> list[str]:
    """Return what a history has beside bars."""
    found = []
    if any(each.quotes for each in part.series):
        found.append("quotes")
    if any(each.trades for each in part.series):
        found.append("trades")
    return found


def quotes(each: Series) -> messages.Quotes:
    """Return a symbol's quotes as the child reads them."""
    found = each.quotes
    if found is None:
        raise ValueError(f"{each.symbol} has no quotes")
    return messages.Quotes(
        symbol=each.symbol,
        ts_ns=found.ts_ns.astype("<i8").tobytes(),
        bid=found.bid.astype("<f8").tobytes(),
        ask=found.ask.astype("<f8").tobytes(),
        bid_size=found.bid_size.astype("<f8").tobytes(),
        ask_size=found.ask_size.astype("<f8").tobytes(),
    )


def trades(each: Series) -> messages.Trades:
    """Return a symbol's trades as the child reads them."""
    found = each.trades
    if found is None:
        raise ValueError(f"{each.symbol} has no trades")
    return messages.Trades(
        symbol=each.symbol,
        ts_ns=found.ts_ns.astype("<i8").tobytes(),
        price=found.price.astype("<f8").tobytes(),
        size=found.size.astype("<f8").tobytes(),
    )
