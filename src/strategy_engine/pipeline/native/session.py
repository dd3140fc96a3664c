"""The engine's side of a live native strategy in validation: it shows bars, its venue fills."""

import msgspec

from strategy_engine.matching import ticket
from strategy_engine.matching.orderbook import OrderBook
from strategy_engine.matching.position import Position
from strategy_engine.matching.ticket import Instruction, OrderEvent
from strategy_engine.matching.working import Working
from strategy_engine.pipeline.children import Conversation
from strategy_engine.pipeline.history import History, Series
from strategy_engine.pipeline.model import ForgedAnswerError, Job
from strategy_engine.pipeline.native import answers, replay
from strategy_engine.pipeline.native.forms import Given, Step
from strategy_engine.pipeline.native.steps import Steps
from strategy_engine.pipeline.native.tape import Happening, Kind, Market, Tape
from strategy_engine.sandbox.protocol import messages
from strategy_engine.venue.tape import RESTARTED

_encode = msgspec.msgpack.Encoder().encode


class Session:
    """One strategy's bars, one after another; the process that decides on them may change.

    Of what comes later the process has nothing: no decision can depend on it.
    """

    def __init__(self, job: Job, part: History) -> None:
        self._tape = Tape(part)
        self._happenings = list(self._tape)
        self._market = Market(part)
        self._part = part
        self._venue = replay.exchange(part, job.settings)
        self._series = {each.symbol: each for each in part.series}
        self._symbols = frozenset(self._series)
        self._capital_nanos = job.settings.capital_nanos
        self._steps: list[Step] = []
        self._bars = self._tape.bars_met()
        self._state: bytes | None = None
        self._untold: list[OrderEvent] = []
        self.met = 0

    async def start(self, talk: Conversation) -> None:
        """Start the strategy at the beginning, without a history."""
        started = messages.NativeWarmUp(
            start_ns=self._tape.start_ns, bars=[], balance_nanos=self._capital_nanos
        )
        self._take(self._given(await talk.act(started), self._tape.start_ns))

    async def resume(self, talk: Conversation, lookback: int) -> None:
        """Start the strategy in the middle, as after a restart of its process.

        New orders of such a start are refused, as they are live: it has asked for them before.
        """
        now_ns = self.now_ns()
        acted = await talk.act(self._takeover(now_ns, lookback))
        given = self._given(acted, now_ns)
        self._untold = [_refused(each, now_ns) for _, each in given if _is_new(each)]
        self._take(tuple(each for each in given if not _is_new(each[1])))

    async def play(self, talk: Conversation, until: int) -> Steps:
        """Show bars and ticks until so many were met; return what was asked in all."""
        while self.met < min(until, len(self._happenings)):
            happening = self._happenings[self.met]
            events = self._market.meet(self._venue, happening)
            self.met += 1
            acted = await talk.act(self._message(happening, self._untold + events))
            self._untold = []
            self._take(self._given(acted, happening.ts_ns))
        return Steps(steps=tuple(self._steps), happenings=self.met)

    async def play_instant(self, talk: Conversation) -> None:
        """Show all bars and ticks of the next instant."""
        next_ns = self._tape.ts_ns[self.met : self.met + 1]
        await self.play(talk, int(self._tape.met_by(next_ns)[0]))

    def is_idle(self) -> bool:
        """Say whether everything that was asked has reached the venue."""
        return not self._venue.waiting

    def is_over(self) -> bool:
        """Say whether there is nothing more to show."""
        return self.met >= len(self._happenings)

    def now_ns(self) -> int:
        """Return when the last bar or tick was met."""
        return int(self._tape.ts_ns[self.met - 1]) if self.met else self._tape.start_ns

    def _given(self, acted: messages.NativeActed, now_ns: int) -> tuple[Given, ...]:
        if acted.state is not None:
            self._state = acted.state
        given = answers.given(acted.asked, self._symbols)
        if any(ts_ns > now_ns for ts_ns, _ in given):
            raise ForgedAnswerError(f"the child gave an instruction later than now, {now_ns}")
        return given

    def _take(self, given: tuple[Given, ...]) -> None:
        if not given:
            return
        symbol, index = self._bars[self.met]
        asked = given
        if self._steps and self._steps[-1].met == self.met:  # at a restart: after its last words
            asked = self._steps.pop().asked + given
        self._steps.append(Step(symbol=symbol, index=index, met=self.met, asked=asked))
        self._venue.ask(given)

    def _message(self, happening: Happening, events: list[OrderEvent]) -> messages.ToChild:
        series, index = self._series[happening.symbol], happening.index
        told = msgspec.Raw(_encode(events))
        is_last = (
            self.met == len(self._happenings) or self._happenings[self.met].ts_ns != happening.ts_ns
        )
        match happening.kind:
            case Kind.BAR:
                return _bar(series, index, told, is_last=is_last)
            case Kind.QUOTE:
                return _quote(series, index, told, is_last=is_last)
            case Kind.TRADE:
                return _trade(series, index, told, is_last=is_last)

    def _takeover(self, now_ns: int, lookback: int) -> messages.NativeWarmUp:
        book = self._venue.book
        given: list[Given] = [each for step in self._steps for each in step.asked]
        waiting = [each for _, each in self._venue.waiting if isinstance(each, ticket.Ticket)]
        working = [_left(each) for each in book.working] + waiting
        return messages.NativeWarmUp(
            start_ns=now_ns,
            bars=self._part.until(now_ns).last(lookback).frames(),
            balance_nanos=_balance(book),
            state=self._state,
            holdings=[
                _holding(symbol, each) for symbol, each in book.positions.items() if each.lots
            ],
            working=msgspec.Raw(_encode(working)),
            orders_made=sum(isinstance(each, ticket.Ticket) for _, each in given),
        )


def _is_new(asked: Instruction) -> bool:
    return isinstance(asked, ticket.Ticket)


def _refused(asked: Instruction, now_ns: int) -> OrderEvent:
    name, message = asked.client_order_id, "it asked for orders at its first start"
    return ticket.Rejected(client_order_id=name, ts_ns=now_ns, code=RESTARTED, message=message)


def _left(working: Working) -> ticket.Ticket:
    made = working.ticket
    return msgspec.structs.replace(
        made,
        lots=working.leaves,
        limit_ticks=made.limit_ticks if working.limit is None else working.limit,
        trigger_ticks=made.trigger_ticks if working.trigger is None else working.trigger,
    )


def _holding(symbol: str, position: Position) -> messages.NativeHolding:
    return messages.NativeHolding(
        symbol=symbol, lots=position.lots, entry_price=position.entry_price or 0.0
    )


def _balance(book: OrderBook) -> int:
    held = book.positions.values()
    return book.cash + sum(
        each.entry_nanos if each.lots > 0 else -each.entry_nanos for each in held
    )


def _bar(series: Series, index: int, events: msgspec.Raw, *, is_last: bool) -> messages.NativeBar:
    bars = series.bars
    columns = bars.open, bars.high, bars.low, bars.close, bars.volume
    open_ns = int(bars.ts_ns[index])
    first, high, low, last, volume = (float(each[index]) for each in columns)
    return messages.NativeBar(
        symbol=series.symbol,
        open_ns=open_ns,
        close_ns=open_ns + bars.timeframe_ns,
        ohlcv=(first, high, low, last, volume),
        events=events,
        is_last=is_last,
    )


def _quote(
    series: Series, index: int, events: msgspec.Raw, *, is_last: bool
) -> messages.NativeQuote:
    quotes = series.quotes
    if quotes is None:
        raise ValueError(f"{series.symbol} has no quotes")
    columns = quotes.bid, quotes.ask, quotes.bid_size, quotes.ask_size
    bid, ask, bid_size, ask_size = (float(each[index]) for each in columns)
    return messages.NativeQuote(
        symbol=series.symbol,
        ts_ns=int(quotes.ts_ns[index]),
        quote=(bid, ask, bid_size, ask_size),
        events=events,
        is_last=is_last,
    )


def _trade(
    series: Series, index: int, events: msgspec.Raw, *, is_last: bool
) -> messages.NativeTrade:
    trades = series.trades
    if trades is None:
        raise ValueError(f"{series.symbol} has no trades")
    return messages.NativeTrade(
        symbol=series.symbol,
        ts_ns=int(trades.ts_ns[index]),
        price=float(trades.price[index]),
        size=float(trades.size[index]),
        events=events,
        is_last=is_last,
    )
