"""Whole histories through NautilusTrader's `BacktestEngine`: what the strategy did, by the bar."""

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from nautilus_trader.backtest.config import BacktestEngineConfig, SimulationModuleConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.backtest.modules import SimulationModule
from nautilus_trader.config import LoggingConfig
from nautilus_trader.core.data import Data
from nautilus_trader.examples.algorithms.twap import TWAPExecAlgorithm
from nautilus_trader.model.data import Bar, QuoteTick, TradeTick
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import Venue as VenueId

from strategy_engine.kernel import failures
from strategy_engine.kernel.native import desk, ticks
from strategy_engine.kernel.native.desk import Doors
from strategy_engine.kernel.native.instruments import Listing, Listings
from strategy_engine.kernel.native.record import Record, Wiring, packed
from strategy_engine.kernel.native.source import Plan
from strategy_engine.matching.exchange import Exchange, Prices
from strategy_engine.matching.model import Conditions, Rules
from strategy_engine.matching.ticket import OrderEvent
from strategy_engine.sandbox.protocol import messages

_ITEM_BYTES = 8
_START = -1  # the index of the bar before the first


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """What the venue meets of one instrument's bars: opens, and prices in ticks."""

    listing: Listing
    open_ns: list[int]
    prices: list[Prices]
    volume_lots: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """The capital, and by what rules and conditions orders fill."""

    capital_nanos: int
    rules: Rules
    conditions: Conditions

    @classmethod
    def of(cls, engine: messages.Engine) -> "Money":
        """Return it as the engine sent it."""
        return cls(
            capital_nanos=engine.capital_nanos,
            rules=Rules(**{name: getattr(engine, name) for name in Rules.__slots__}),
            conditions=Conditions(
                max_volume_share_ppm=engine.max_volume_share_ppm,
                leverage_ppm=engine.leverage_ppm,
            ),
        )


class Ear(SimulationModule):  # type: ignore[misc]  # compiled, without stubs
    """Hears every bar before the strategy does: the engine shows it to its modules first."""

    def __init__(self, replay: "Replay") -> None:
        super().__init__(SimulationModuleConfig())
        self._replay = replay

    def pre_process(self, data: Data) -> None:
        """Let the venue meet a bar or a tick."""
        self._replay.meet(data)

    def process(self, ts_now: int) -> None:
        """Do nothing: all is done before the bar."""

    def log_diagnostics(self, logger: object) -> None:
        """Do nothing: what happened is in the answer."""

    def reset(self) -> None:
        """Do nothing: a run has modules of its own."""


class Replay:
    """Before a bar reaches the strategy, the venue meets it, and its answers reach the strategy.

    So the strategy hears of fills, then of the bar, as it does live; and the simulated exchange,
    which would fill at the bar's own close, has nothing to do.
    """

    def __init__(
        self, series: dict[str, _Series], venue: Exchange, record: Record, doors: Doors
    ) -> None:
        self._series = {each.listing.bar_type: (name, each) for name, each in series.items()}
        self._venue = venue
        self._record = record
        self._doors = doors
        self._seen = dict.fromkeys(series, 0)
        self._last = next(iter(series)), _START
        self._last_ns = 0
        self.ticked: set[str] = set()  # whose quotes or trades are the market, not the bars
        self.met = 0
        self.steps: list[messages.Step] = []

    def open(self, start_ns: int) -> None:
        """Begin at a time: what is given until then belongs to the start."""
        self._last_ns = start_ns

    def meet(self, data: Data) -> None:
        """Let the venue meet a bar or a tick, and tell what came of it."""
        self.conclude()
        self._last_ns = data.ts_init
        self.met += 1
        for event in self._bar(data) if isinstance(data, Bar) else self._tick(data):
            self._doors.tell(event)

    def _bar(self, bar: Bar) -> list[OrderEvent]:
        name, series = self._series[bar.bar_type]
        index = self._seen[name]
        self._seen[name] = index + 1
        self._last = name, index
        if name in self.ticked:
            return []
        times = series.open_ns[index], bar.ts_init
        return self._venue.meet(name, times, series.prices[index], series.volume_lots[index])

    def _tick(self, tick: QuoteTick | TradeTick) -> list[OrderEvent]:
        listing = self._doors.listings.by_id[tick.instrument_id]
        name = listing.terms.symbol
        if isinstance(tick, TradeTick):
            price, lots = listing.ticks(tick.price), listing.lots(tick.size)
            return self._venue.meet_trade(name, tick.ts_init, price or 0, lots or 0)
        prices = listing.ticks(tick.bid_price) or 0, listing.ticks(tick.ask_price) or 0
        sizes = listing.lots(tick.bid_size) or 0, listing.lots(tick.ask_size) or 0
        return self._venue.meet_quote(name, tick.ts_init, prices, sizes)

    def conclude(self) -> None:
        """End a step: what was given until its bar closed is its own, the rest the next one's."""
        given = self._record.take(self._last_ns)
        if given:
            name, index = self._last
            asked = packed(given)
            step = messages.Step(symbol=name, index=index, asked=asked, met=self.met)
            self.steps.append(step)
            self._venue.ask(given)


def run(
    plan: Plan, listings: Listings, how: messages.NativeBacktest, money: Money
) -> messages.NativeBacktested:
    """Run a fresh instance over whole histories; what it asked for is the result.

    Parameters
    ----------
    money : tuple
        The capital in billionths, and the rules of the account.

    Raises
    ------
    StrategyFailedError
        If the strategy raised.
    """
    started_ns = time.thread_time_ns()
    if all(len(each.open_ns) // _ITEM_BYTES <= how.warm_up for each in how.bars):
        nothing = msgspec.Raw(msgspec.msgpack.encode([]))
        return messages.NativeBacktested(steps=[], stopping=[], seen=nothing, notices=[], cpu_ns=0)
    bench = _Bench(plan, listings, how, money)
    try:
        bench.run()
    finally:
        bench.engine.dispose()
    return messages.NativeBacktested(
        steps=bench.replay.steps,
        stopping=packed(bench.record.take()),
        seen=msgspec.Raw(msgspec.msgpack.encode(bench.venue.seen)),
        notices=bench.record.take_notices(),
        cpu_ns=time.thread_time_ns() - started_ns,
    )


class _Bench:
    """An engine with one strategy in it, and our doors in place of its own."""

    def __init__(
        self,
        plan: Plan,
        listings: Listings,
        how: messages.NativeBacktest,
        money: Money,
    ) -> None:
        self.record = Record()
        self.engine = BacktestEngine(_config())
        kernel = self.engine.kernel
        wiring = Wiring(
            listings=listings,
            record=self.record,
            bus=kernel.msgbus,
            cache=kernel.cache,
            clock=kernel.clock,
        )
        self._doors = desk.doors(wiring)
        terms = [each.terms for each in listings.all]
        self.venue = Exchange(
            money.capital_nanos, terms, money.rules, money.conditions, latency_ns=how.latency_ns
        )
        series = {
            each.symbol: _series(listings.by_symbol[each.symbol], each, how) for each in how.bars
        }
        self.replay = Replay(series, self.venue, self.record, self._doors)
        self._connect(listings, money.capital_nanos)
        self._start_ns = self._load(listings, how)
        strategy = plan.construct()
        desk.name_strategy(strategy)
        self.engine.add_exec_algorithm(TWAPExecAlgorithm())
        self.engine.add_strategy(strategy)
        for gate in self._doors.gates.values():
            gate.strategy_id = strategy.id

    def run(self) -> None:
        """Run to the end of the bars, then let the strategy stop."""
        self.replay.open(self._start_ns)
        try:
            with warnings.catch_warnings():
                # NautilusTrader's own call, once a run; nothing that a strategy could mend.
                warnings.filterwarnings("ignore", r"Timestamp\.utcnow is deprecated")
                self.engine.run(start=self._start_ns, streaming=True)
                self.replay.conclude()
                self._refuse_part_of_it()
                self.engine.end()
        except BaseException as error:
            met = self.replay.met
            raise failures.StrategyFailedError(
                failures.describe(
                    error,
                    failures.DECIDE if met else failures.HOOK,
                    bar_index=met - 1 if met else None,
                )
            ) from error

    def _refuse_part_of_it(self) -> None:
        # The engine ends a run without a word; what was asked for until then would look whole.
        met, everything = self.replay.met, len(self.engine.data)
        if met < everything:
            raise RuntimeError(
                f"NautilusTrader ended the run after {met} of {everything} bars: the strategy shut"
                " the system down, or its account fell below zero"
            )

    def _connect(self, listings: Listings, capital_nanos: int) -> None:
        kernel = self.engine.kernel
        for venue, gate in self._doors.gates.items():
            kernel.data_engine.register_client(self._doors.feeds[venue])
            self._add_venue(venue, listings, capital_nanos)
            kernel.exec_engine.deregister_client(gate)  # the simulated one of the same name
            kernel.exec_engine.register_client(gate)
        for each in listings.all:
            self.engine.add_instrument(each.instrument)

    def _add_venue(self, venue: VenueId, listings: Listings, capital_nanos: int) -> None:
        self.engine.add_venue(
            venue=venue,
            oms_type=OmsType.NETTING,
            account_type=AccountType.MARGIN,
            base_currency=listings.currency,
            starting_balances=[listings.all[0].money(capital_nanos)],
            modules=[Ear(self.replay)],
            bar_execution=False,
        )

    def _load(self, listings: Listings, how: messages.NativeBacktest) -> int:
        starts: list[int] = []
        for columns in sorted(how.bars, key=lambda each: each.symbol):
            listing = listings.by_symbol[columns.symbol]
            bars = listing.bars(columns)
            self._doors.remember(listing, bars[: how.warm_up])
            if len(bars) > how.warm_up:
                self.engine.add_data(bars[how.warm_up :], sort=False)
                starts.append(bars[how.warm_up].ts_init - columns.duration_ns)
        for data in filter(None, self._ticks(listings, how)):
            self.engine.add_data(data, sort=False)
            starts.append(data[0].ts_init)
        self.engine.sort_data()
        return min(starts)

    def _ticks(
        self, listings: Listings, how: messages.NativeBacktest
    ) -> Iterator[list[QuoteTick] | list[TradeTick]]:
        for quotes in how.quotes:
            self.replay.ticked.add(quotes.symbol)
            yield ticks.quotes(listings.by_symbol[quotes.symbol], quotes)
        for trades in how.trades:
            self.replay.ticked.add(trades.symbol)
            yield ticks.trades(listings.by_symbol[trades.symbol], trades)


def _config() -> BacktestEngineConfig:
    return BacktestEngineConfig(
        trader_id=desk.TRADER_ID,
        logging=LoggingConfig(bypass_logging=True),
        risk_engine=desk.RISK,
        run_analysis=False,
    )


def _series(listing: Listing, bars: messages.Bars, how: messages.NativeBacktest) -> _Series:
    ticks = [
        listing.tick_prices(np.frombuffer(each, dtype="<f8")[how.warm_up :]).tolist()
        for each in (bars.open, bars.high, bars.low, bars.close)
    ]
    prices: list[Any] = list(zip(*ticks, strict=True))
    return _Series(
        listing=listing,
        open_ns=np.frombuffer(bars.open_ns, dtype="<i8")[how.warm_up :].tolist(),
        prices=prices,
        volume_lots=listing.whole_lots(np.frombuffer(bars.volume, dtype="<f8")[how.warm_up :]),
    )
