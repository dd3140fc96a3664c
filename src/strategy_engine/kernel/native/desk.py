"""Bare NautilusTrader components around one strategy: what its live node has, without the node."""

from collections.abc import Iterable
from dataclasses import dataclass

from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.data.engine import DataEngine
from nautilus_trader.examples.algorithms.twap import TWAPExecAlgorithm
from nautilus_trader.execution.emulator import OrderEmulator
from nautilus_trader.execution.engine import ExecutionEngine
from nautilus_trader.model.data import Bar
from nautilus_trader.model.identifiers import ClientOrderId, StrategyId, TraderId, Venue
from nautilus_trader.model.objects import Money
from nautilus_trader.portfolio.portfolio import Portfolio
from nautilus_trader.risk.config import RiskEngineConfig
from nautilus_trader.risk.engine import RiskEngine
from nautilus_trader.trading.strategy import Strategy

from strategy_engine.kernel.native.feed import Feed
from strategy_engine.kernel.native.gate import Gate
from strategy_engine.kernel.native.instruments import Listing, Listings
from strategy_engine.kernel.native.record import Record, Wiring
from strategy_engine.matching import ticket

TRADER_ID = TraderId("TRADER-001")
# How many orders a second is the engine's gate to limit; here time stands still within a bar.
RISK = RiskEngineConfig(
    max_order_submit_rate="1000000/00:00:01", max_order_modify_rate="1000000/00:00:01"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What stands between NautilusTrader and the engine, venue by venue."""

    gates: dict[Venue, Gate]
    feeds: dict[Venue, Feed]
    cache: Cache
    listings: Listings

    def gate(self, listing: Listing) -> Gate:
        """Return the gate of an instrument's venue."""
        return self.gates[listing.id.venue]

    def tell(self, event: ticket.OrderEvent) -> None:
        """Tell the gate that knows the order what became of it."""
        order = self.cache.order(ClientOrderId(event.client_order_id))
        if order is not None:
            self.gates[order.instrument_id.venue].tell(event)
        elif isinstance(event, ticket.Executed):
            self.gate(self.listings.by_symbol[event.symbol]).tell(event)

    def remember(self, listing: Listing, bars: list[Bar]) -> None:
        """Keep bars from before the start, for a strategy that asks for them."""
        history = self.feeds[listing.id.venue].history
        history.setdefault(listing.bar_type, []).extend(bars)


def doors(wiring: Wiring) -> Doors:
    """Return a gate and a feed for every venue of the listings."""
    venues = dict.fromkeys(each.id.venue for each in wiring.listings.all)
    return Doors(
        gates={venue: Gate(venue, wiring) for venue in venues},
        feeds={venue: Feed(venue, wiring) for venue in venues},
        cache=wiring.cache,
        listings=wiring.listings,
    )


class Desk:
    """One strategy at work: its components, its doors, and clocks that follow the data."""

    def __init__(self, strategy: Strategy, listings: Listings, record: Record) -> None:
        self.strategy = strategy
        self.clock = TestClock()
        self._clocks = [self.clock]
        bus = MessageBus(trader_id=TRADER_ID, clock=self.clock)
        self.cache = Cache()
        portfolio = Portfolio(msgbus=bus, cache=self.cache, clock=self.clock)
        core = {"msgbus": bus, "cache": self.cache, "clock": self.clock}
        self.data = DataEngine(**core)
        self._risk = RiskEngine(portfolio=portfolio, config=RISK, **core)
        self._execution = ExecutionEngine(**core)
        self._emulator = OrderEmulator(portfolio=portfolio, **core)
        self.doors = doors(
            Wiring(listings=listings, record=record, bus=bus, cache=self.cache, clock=self.clock)
        )
        for each in listings.all:
            self.cache.add_instrument(each.instrument)
        for venue, gate in self.doors.gates.items():
            self._execution.register_client(gate)
            self.data.register_client(self.doors.feeds[venue])
        self._register(strategy, portfolio, bus)

    def _register(self, strategy: Strategy, portfolio: Portfolio, bus: MessageBus) -> None:
        self._algorithm = TWAPExecAlgorithm()
        name_strategy(strategy)
        for each in (self._algorithm, strategy):
            clock = TestClock()  # of its own, as a trader gives it: names of timers may repeat
            self._clocks.append(clock)
            each.register(
                trader_id=TRADER_ID, portfolio=portfolio, msgbus=bus, cache=self.cache, clock=clock
            )
        self._execution.register_oms_type(strategy)
        self._execution.register_external_order_claims(strategy)
        for gate in self.doors.gates.values():
            gate.strategy_id = strategy.id

    def open(self, balance: Money, now_ns: int) -> None:
        """Start the components at a time, with an account."""
        self._set(now_ns)
        for gate in self.doors.gates.values():
            gate.open_account(balance)
        for each in (self.data, self._risk, self._execution, self._emulator, self._algorithm):
            each.start()

    def advance(self, now_ns: int) -> None:
        """Let time pass up to an instant; what is due at the instant itself waits for `settle`."""
        self._fire(now_ns - 1)
        self._set(now_ns)

    def settle(self) -> None:
        """Fire what is due now, after the data of this instant."""
        now_ns = self.clock.timestamp_ns()
        self._fire(now_ns)
        self._set(now_ns)

    def _fire(self, until_ns: int) -> None:
        # One instant at a time over all clocks: a handler may set a timer before the next one.
        while (due := _next(self._clocks)) is not None and due <= until_ns:
            handlers = [each for clock in self._clocks for each in clock.advance_time(due)]
            for handler in handlers:
                handler.handle()

    def _set(self, now_ns: int) -> None:
        for clock in self._clocks:
            clock.set_time(now_ns)


def name_strategy(strategy: Strategy) -> None:
    """Give a strategy without a tag the first one, as a trader does."""
    if strategy.order_id_tag in {None, str(None)}:
        strategy.change_id(StrategyId(f"{strategy.id.value.partition('-')[0]}-000"))
        strategy.change_order_id_tag("000")


def _next(clocks: Iterable[TestClock]) -> int | None:
    times = [clock.next_time_ns(name) for clock in clocks for name in clock.timer_names]
    return min(times, default=None)
