"""A native strategy that counts what it is told, and the desk that it trades at, bar by bar."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from strategy_engine.core import money
from strategy_engine.execution import history as histories
from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.execution.native_desk import NativeDesk
from strategy_engine.execution.tally import Kept
from strategy_engine.market.feeds import BarEvent
from strategy_engine.market.service import Catalogue
from strategy_engine.matching.model import Conditions, Rules, Side
from strategy_engine.matching.ticket import (
    Cancel,
    Cancelled,
    Executed,
    Expired,
    Instruction,
    Modify,
    OrderEvent,
    OrderType,
    Rejected,
    Ticket,
    Updated,
)
from strategy_engine.sandbox.protocol import messages
from strategy_engine.venue import oversight
from strategy_engine.venue.model import BarProcessed, Checkpoint, Head
from strategy_engine.venue.native import NativeVenue
from strategy_engine.venue.rows import Batch, collect
from strategy_engine.venue.service import EquityPoint, Trip

SYMBOLS = ("EUR/USD.SIM", "GOOGL.SIM")
CAPITAL_NANOS = money.to_nanos(100_000)
SHARE_PPM = 1  # so that an order may take several bars
UNIT = {"EUR/USD.SIM": 1_000, "GOOGL.SIM": 1}
CATALOGUE = Catalogue(Path("/nonexistent"))
SERIES = histories.load(CATALOGUE, SYMBOLS, None, None)
START_NS = int(SERIES["EUR/USD.SIM"].bars.close_ns[40])
END_NS = int(SERIES["EUR/USD.SIM"].bars.close_ns[160])
HISTORY = histories.begin(
    histories.load(CATALOGUE, SYMBOLS, None, END_NS), ExecutionConfig(start_ns=START_NS), 5
)
QUARTER_NS = 900 * 1_000_000_000
_events = msgspec.msgpack.Decoder(list[OrderEvent]).decode
_tickets = msgspec.msgpack.Decoder(list[Ticket]).decode
_encode = msgspec.msgpack.Encoder().encode


def desk(
    kept: Kept | None = None,
    past: histories.History = HISTORY,
    *,
    seat: oversight.Seat | None = None,
    **limits: Any,
) -> NativeDesk:
    how = Rules(allow_short=True)
    venue = NativeVenue(
        "exec_1",
        capital_nanos=CAPITAL_NANOS,
        terms=[each.terms for each in HISTORY.series.values()],
        how=how,
        conditions=Conditions(max_volume_share_ppm=SHARE_PPM),
        epoch=1,
        seat=seat or oversight.alone(**limits),
    )
    made = NativeDesk(venue, past, CAPITAL_NANOS)
    if kept is not None:
        made.restore(kept)
    return made


def bar_events() -> Iterator[BarEvent]:
    places = sorted(
        (int(close_ns), symbol, index)
        for symbol, each in HISTORY.series.items()
        for index, close_ns in enumerate(each.bars.close_ns)
        if close_ns > HISTORY.start_after_ns
    )
    for close_ns, symbol, index in places:
        bars = HISTORY.series[symbol].bars
        yield BarEvent(
            symbol=symbol,
            index=index,
            ts_ns=int(bars.ts_ns[index]),
            close_ns=close_ns,
            open=float(bars.open[index]),
            high=float(bars.high[index]),
            low=float(bars.low[index]),
            close=float(bars.close[index]),
            volume=float(bars.volume[index]),
        )


EVENTS = list(bar_events())


class Counting:
    """What it asks for depends on each bar, event and holding having been told exactly once.

    It counts only what it may count on after a restart: what it is told, and what it saved.
    """

    def __init__(self, start: messages.NativeWarmUp) -> None:
        saved = json.loads(start.state) if start.state else [0, 0, 0]
        self.bars, self.fills, self.refusals = saved
        self.made = start.orders_made
        self.lots = {each.symbol: each.lots for each in start.holdings}
        self.working = {each.client_order_id: each for each in _tickets(start.working)}

    def act(self, bar: messages.NativeBar) -> messages.NativeActed:
        for event in _events(bar.events):
            self.hear(event)
        self.bars += 1
        asked = [
            messages.Asked(ts_ns=bar.close_ns, instruction=msgspec.Raw(_encode(each)))
            for each in self.ask(bar)
        ]
        state = json.dumps([self.bars, self.fills, self.refusals]).encode()
        return messages.NativeActed(asked=asked, state=state)

    def act_on_tick(
        self, tick: messages.NativeQuote | messages.NativeTrade
    ) -> messages.NativeActed:
        """Do on a quote now and then what is done on a bar; on a trade, nothing."""
        before = self.fills, self.refusals
        for event in _events(tick.events):
            self.hear(event)
        asked = []
        if isinstance(tick, messages.NativeQuote) and (tick.ts_ns // QUARTER_NS) % 5 == 0:
            like = messages.NativeBar(
                symbol=tick.symbol,
                open_ns=tick.ts_ns,
                close_ns=tick.ts_ns,
                ohlcv=(*tick.quote[:1] * 4, 0.0),
            )
            asked = [
                messages.Asked(ts_ns=tick.ts_ns, instruction=msgspec.Raw(_encode(each)))
                for each in self.ask(like)
            ]
        news = None
        if before != (self.fills, self.refusals):
            news = json.dumps([self.bars, self.fills, self.refusals]).encode()
        return messages.NativeActed(asked=asked, state=news)

    def hear(self, event: OrderEvent) -> None:
        if isinstance(event, Executed):
            signed = event.lots if event.side is Side.BUY else -event.lots
            self.lots[event.symbol] = self.lots.get(event.symbol, 0) + signed
            assert self.lots[event.symbol] == event.position_lots
            self.fills += 1
        if isinstance(event, Rejected):
            assert event.client_order_id in self.working
            self.refusals += 1
        if isinstance(event, Updated):
            known = self.working[event.client_order_id]
            self.working[event.client_order_id] = replace(known, lots=event.lots)
        is_filled = isinstance(event, Executed) and not event.leaves_lots
        if is_filled or isinstance(event, Rejected | Cancelled | Expired):
            self.working.pop(event.client_order_id)

    def ask(self, bar: messages.NativeBar) -> Iterator[Instruction]:
        held, unit = self.lots.get(bar.symbol, 0), UNIT[bar.symbol]
        close = round(bar.ohlcv[3] * 1e9 / HISTORY.series[bar.symbol].terms.tick_nanos)
        match (self.bars + 3 * self.fills + 5 * self.refusals + held // unit) % 7:
            case 0:
                yield self.order(bar, Side.BUY, OrderType.MARKET, lots=12 * unit)
            case 2:
                yield self.order(bar, Side.SELL, OrderType.MARKET, lots=10 * unit)
            case 3:
                yield self.order(
                    bar,
                    Side.BUY,
                    OrderType.LIMIT,
                    lots=16 * unit,
                    limit_ticks=close - close // 2_000,
                )
            case 4 if held:
                side = Side.SELL if held > 0 else Side.BUY
                yield self.order(
                    bar,
                    side,
                    OrderType.TRAILING_STOP_MARKET,
                    lots=abs(held),
                    trailing_ticks=max(1, close // 500),
                    reduce_only=True,
                )
            case 5 if self.working:
                known = self.working[min(self.working)]  # by what was left when it was taken over
                yield Modify(client_order_id=known.client_order_id, lots=known.lots + 5)
            case 6 if self.working:
                yield Cancel(client_order_id=min(self.working))

    def order(self, bar: messages.NativeBar, side: Side, kind: OrderType, **more: Any) -> Ticket:
        self.made += 1
        name = f"O-{bar.close_ns}-{self.made}"
        made = Ticket(client_order_id=name, symbol=bar.symbol, side=side, type=kind, **more)
        self.working[name] = made
        return made


def play(
    desk: NativeDesk, strategy: Counting | None = None, *, paused: range = range(0)
) -> Iterator[BarProcessed]:
    known = strategy or begun(desk)
    for number, event in enumerate(EVENTS):
        if not desk.tally.is_before(event):
            continue
        if not desk.tally.is_mid_bar:
            entry = desk.mark(event, cancel_entries=number in paused)
            if entry is not None:
                yield entry
        if number in paused:
            yield desk.conclude(event, None)
            continue
        yield desk.conclude(event, known.act(desk.message(event)))


def begun(desk: NativeDesk) -> Counting:
    message = desk.warm_up_message()
    desk.started(messages.NativeActed(asked=[]))
    return Counting(message)


def rows_of(entries: list[BarProcessed]) -> Batch:
    batch, refusals = collect(entries, {"exec_1": Head(epoch=1, entry_no=0)})
    assert not refusals
    return batch


def kept_of(entries: list[BarProcessed]) -> Kept:
    """Return what the ledger would have of entries."""
    last, batch = entries[-1], rows_of(entries)
    states = [each.state for each in entries if each.state is not None]
    account, undelivered = json.loads(json.dumps([last.account, last.undelivered]))
    drop = {"execution_id"}
    equity = [{k: v for k, v in row.items() if k not in drop} for row in batch.equity.values()]
    trips = [{k: v for k, v in row.items() if k not in drop} for row in batch.round_trips]
    return Kept(
        checkpoint=Checkpoint(
            execution_id="exec_1",
            epoch=1,
            entry_no=last.entry_no,
            fill_count=sum(len(each.fills) for each in entries),
            capital_nanos=CAPITAL_NANOS,
            account=account,
            state=states[-1] if states else None,
            close_ns=last.close_ns,
            symbol=last.symbol,
            bar_no=last.bar_no,
            is_decided=last.is_decided,
            undelivered=undelivered,
        ),
        equity=[EquityPoint(**row) for row in equity],
        trips=[Trip(**row) for row in trips],
        orders={row["order_id"]: row["symbol"] for row in batch.orders},
    )
