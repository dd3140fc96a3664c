"""Live bars for a native strategy: its orders go to the engine, its fills come from the ledger."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from nautilus_trader.core.data import Data
from nautilus_trader.trading.strategy import Strategy

from strategy_engine.kernel import failures
from strategy_engine.kernel.failures import ContractError
from strategy_engine.kernel.native import orders
from strategy_engine.kernel.native.desk import Desk
from strategy_engine.kernel.native.instruments import Listing, Listings
from strategy_engine.kernel.native.record import Record, packed
from strategy_engine.kernel.native.source import Plan
from strategy_engine.matching.ticket import (
    Cancel,
    CancelRejected,
    Instruction,
    Modify,
    ModifyRejected,
    OrderEvent,
    Rejected,
    Ticket,
)
from strategy_engine.sandbox.protocol import messages

type Market = messages.NativeBar | messages.NativeQuote | messages.NativeTrade


class Live:
    """One strategy from its warm-up to its stop."""

    def __init__(self, plan: Plan, listings: Listings) -> None:
        self._listings = listings
        self._record = Record()
        self._desk = Desk(plan.construct(), listings, self._record)
        self._state: bytes | None = None
        self._seen = 0
        self._is_started = False

    def warm_up(self, message: messages.NativeWarmUp) -> messages.NativeActed:
        """Take over what the ledger knows, and start the strategy, its history in hand.

        A second one only adds bars, those that were not decided on in a pause.
        """
        if self._is_started:
            return self._act(lambda: self._catch_up(message))
        return self._act(lambda: self._start(message))

    def on_market(self, message: Market) -> messages.NativeActed:
        """Tell what became of the orders, then the bar or tick, then what is due at its time."""
        return self._act(lambda: self._on_market(message))

    def on_events(self, message: messages.OrderEvents) -> messages.NativeActed:
        """Tell what became of the orders between two bars."""
        return self._act(lambda: self._between(message))

    def stop(self) -> messages.NativeStopped:
        """Let the strategy end; its last orders and state go with the answer."""
        if not self._is_started:
            return messages.NativeStopped(asked=[])
        with failures.reported(failures.HOOK):
            if self._desk.strategy.is_running:
                self._desk.strategy.stop()
        return messages.NativeStopped(asked=packed(self._record.take()), state=self._news())

    def _act(self, work: Callable[[], None]) -> messages.NativeActed:
        started_ns = time.thread_time_ns()
        try:
            work()
        except BaseException as error:
            raise self._failure(error) from error
        cpu_ns = time.thread_time_ns() - started_ns
        return messages.NativeActed(
            asked=packed(self._record.take()),
            notices=self._record.take_notices(),
            cpu_ns=cpu_ns,
            state=self._news(),
        )

    def _failure(self, error: BaseException) -> failures.StrategyFailedError:
        bar_index = self._seen - 1 if self._seen else None
        phase = failures.DECIDE if self._seen else failures.HOOK
        return failures.StrategyFailedError(failures.describe(error, phase, bar_index=bar_index))

    def _start(self, message: messages.NativeWarmUp) -> None:
        self._is_started = True
        desk = self._desk
        desk.open(self._listings.all[0].money(message.balance_nanos), message.start_ns)
        for columns in message.bars:
            listing = self._listings.by_symbol[columns.symbol]
            desk.doors.remember(listing, listing.bars(columns))
        self._take_over(message)
        if message.state is not None:
            self._state = message.state
            desk.strategy.load(_decode_state(message.state))
        with _counting_on(desk.strategy, message.orders_made):
            desk.strategy.start()

    def _take_over(self, message: messages.NativeWarmUp) -> None:
        for held in message.holdings:
            listing = self._listings.by_symbol[held.symbol]
            entry = round(held.entry_price * 1e9 / listing.terms.tick_nanos)
            self._desk.doors.gate(listing).hold(listing, held.lots, entry)
        for made in orders.decode_tickets(message.working):
            self._desk.doors.gate(self._listings.by_symbol[made.symbol]).adopt(made)

    def _catch_up(self, message: messages.NativeWarmUp) -> None:
        ahead = [
            (bar.ts_init, columns.symbol, bar)
            for columns in message.bars
            for bar in self._listings.by_symbol[columns.symbol].bars(columns)
        ]
        for ts_ns, _, bar in sorted(ahead, key=lambda each: each[:2]):
            self._desk.advance(ts_ns)
            self._desk.data.process(bar)
            self._desk.settle()
            for _, asked in self._record.take():  # in the pause: nobody was there to hear it
                self._desk.doors.tell(_refused(asked, ts_ns))

    def _on_market(self, message: Market) -> None:
        desk, listing = self._desk, self._listings.by_symbol[message.symbol]
        at_ns = message.close_ns if isinstance(message, messages.NativeBar) else message.ts_ns
        desk.advance(at_ns)
        self._tell(message)
        self._seen += 1
        desk.data.process(_as_data(message, listing))
        if message.is_last:
            desk.settle()

    def _between(self, message: messages.OrderEvents) -> None:
        self._desk.advance(message.now_ns)
        self._tell(message)
        self._desk.settle()

    def _tell(self, message: Market | messages.OrderEvents) -> None:
        for event in orders.decode_events(message.events):
            self._desk.doors.tell(event)
        if message.flowed_nanos:
            amount = self._listings.all[0].money(message.flowed_nanos)
            for gate in self._desk.doors.gates.values():
                gate.flow(amount)

    def _news(self) -> bytes | None:
        with failures.reported(failures.HOOK):
            state = _encoded(self._desk.strategy.save())
        if state == self._state:
            return None
        self._state = state
        return state


@contextmanager
def _counting_on(strategy: Strategy, made: int) -> Iterator[None]:
    # Names hold a time and a count: counting on keeps an old name from being given again. Just
    # before `on_start`, NautilusTrader sets the count to the orders that it knows of; there were
    # more.
    on_start = strategy.on_start

    def count_on() -> None:
        strategy.order_factory.set_client_order_id_count(made)
        on_start()

    strategy.on_start = count_on
    try:
        yield
    finally:
        del strategy.on_start


def _refused(asked: Instruction, ts_ns: int) -> OrderEvent:
    name, code = asked.client_order_id, "paused"
    message = "it was asked for while the execution was paused"
    match asked:
        case Ticket():
            return Rejected(
                client_order_id=name, ts_ns=ts_ns, code=code, message=message, denied=True
            )
        case Modify():
            return ModifyRejected(client_order_id=name, ts_ns=ts_ns, code=code, message=message)
        case Cancel():
            return CancelRejected(client_order_id=name, ts_ns=ts_ns, code=code, message=message)


def _as_data(message: Market, listing: Listing) -> Data:
    match message:
        case messages.NativeBar():
            return listing.bar(message.ohlcv, message.close_ns)
        case messages.NativeQuote():
            return listing.quote(message.ts_ns, message.quote)
        case messages.NativeTrade():
            return listing.trade(message.ts_ns, message.price, message.size)


def _encoded(state: object) -> bytes | None:
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(each, bytes) for key, each in state.items()
    ):
        raise ContractError("on_save must return a dict of str to bytes")
    return _encode(state) if state else None


_encode = msgspec.msgpack.Encoder(order="sorted").encode
_decode_state = msgspec.msgpack.Decoder(dict[str, bytes]).decode
