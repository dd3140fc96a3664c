"""Capital that flows through both desks: bars, fills, flows and deaths in any order."""

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from strategy_engine.core import money
from strategy_engine.execution import history as histories
from strategy_engine.execution import sums, tally
from strategy_engine.execution.desk import Desk
from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.execution.native_desk import NativeDesk
from strategy_engine.execution.tally import Kept
from strategy_engine.market.feeds import BarEvent
from strategy_engine.market.service import Catalogue
from strategy_engine.matching.model import BUY, HOLD, SELL, Conditions, Rules, Side
from strategy_engine.matching.ticket import OrderType, Ticket
from strategy_engine.sandbox.protocol import messages
from strategy_engine.venue.model import BarProcessed, Checkpoint, Entry, Flowed, Head
from strategy_engine.venue.native import NativeVenue
from strategy_engine.venue.paper import PaperVenue
from strategy_engine.venue.rows import Batch, collect
from strategy_engine.venue.service import EquityPoint, Trip

SYMBOLS = ("EUR/USD.SIM", "GOOGL.SIM")
CAPITAL_NANOS = money.to_nanos(100_000)
SWEEP_NANOS = money.to_nanos(Decimal(-(10**12)))
AT = datetime(2026, 1, 5, tzinfo=UTC)
SERIES = histories.load(Catalogue(Path("/nonexistent")), SYMBOLS, None, None)
START_NS = int(SERIES["EUR/USD.SIM"].bars.close_ns[40])
END_NS = int(SERIES["EUR/USD.SIM"].bars.close_ns[110])
HISTORY = histories.begin(
    histories.load(Catalogue(Path("/nonexistent")), SYMBOLS, None, END_NS),
    ExecutionConfig(start_ns=START_NS),
    5,
)
TERMS = {symbol: each.terms for symbol, each in HISTORY.series.items()}
UNIT = {"EUR/USD.SIM": 9_000, "GOOGL.SIM": 70}

type Targets = dict[int, int | None]  # what is wanted from an event on


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
WANTED = st.one_of(
    st.none(),
    st.just(SWEEP_NANOS),
    st.just(0),
    st.integers(-50_000, 300_000).map(money.to_nanos),
    st.integers(1, 250_000 * 10**9),
)
TARGETS = st.dictionaries(st.integers(0, len(EVENTS) - 1), WANTED, max_size=8)


class Signals:
    """A signal desk, and a strategy that looks at all that it is told of its money."""

    def __init__(self, kept: Kept | None) -> None:
        how = Rules(allow_short=True, position_size_ppb=700_000_000, stop_loss_ppb=2_000_000)
        venue = PaperVenue(
            "exec_1",
            capital_nanos=CAPITAL_NANOS,
            terms=TERMS.values(),
            how=how,
            epoch=1,
        )
        self.desk = Desk(venue, HISTORY, CAPITAL_NANOS)
        self.money = venue.account
        if kept is not None:
            self.desk.restore(kept)
        state = self.desk.tally.state
        self._told, self._cash = json.loads(state) if state else (0, CAPITAL_NANOS / 1e9)

    def step(self, event: BarEvent) -> BarProcessed:
        bar = self.desk.bar_message(event)
        self._told += 1 + 2 * len(bar.fills) + (bar.holding.cash != self._cash)
        self._cash = bar.holding.cash
        turn = (self._told + bar.holding.lots) % 5
        state = json.dumps([self._told, self._cash]).encode()
        return self.desk.conclude(event, {0: BUY, 3: SELL}.get(turn, HOLD), state)


class Natives:
    """A native desk, and a strategy that keeps its own balance by what it is told."""

    def __init__(self, kept: Kept | None, leverage_ppm: int | None) -> None:
        how = Rules(allow_short=True)
        venue = NativeVenue(
            "exec_1",
            capital_nanos=CAPITAL_NANOS,
            terms=TERMS.values(),
            how=how,
            conditions=Conditions(leverage_ppm=leverage_ppm),
            epoch=1,
        )
        self.desk = NativeDesk(venue, HISTORY, CAPITAL_NANOS)
        self.money = venue.book.funds
        if kept is not None:
            self.desk.restore(kept)
        warm_up = self.desk.warm_up_message()
        self._is_exact = True  # until it hears of fills: their P&L it would have to work out
        self._balance = warm_up.balance_nanos
        self._told = json.loads(warm_up.state) if warm_up.state else 0
        self.desk.started(messages.NativeActed(asked=[]))

    def step(self, event: BarEvent) -> BarProcessed:
        bar = self.desk.message(event)
        assert isinstance(bar, messages.NativeBar)
        self._hear(bar)
        lots = UNIT[event.symbol] * (1 + self._told % 3)
        side = {0: Side.BUY, 3: Side.SELL, 4: Side.SELL}.get(self._told % 6)
        asked = []
        if side is not None:
            name = f"O-{event.close_ns}-{event.symbol}-{self._told}"
            order = Ticket(
                client_order_id=name,
                symbol=event.symbol,
                side=side,
                type=OrderType.MARKET,
                lots=lots,
            )
            body = msgspec.Raw(msgspec.msgpack.encode(order))
            asked.append(messages.Asked(ts_ns=event.close_ns, instruction=body))
        state = json.dumps(self._told).encode()
        entry = self.desk.conclude(event, messages.NativeActed(asked=asked, state=state))
        assert entry is not None
        return entry

    def _hear(self, bar: messages.NativeBar) -> None:
        events = msgspec.msgpack.decode(bar.events, type=list[Any])
        self._told += 1 + len(events) + (bar.flowed_nanos != 0)
        self._is_exact = self._is_exact and not events
        self._balance += bar.flowed_nanos
        if self._is_exact:
            assert self._balance == self.desk.venue.view().balance_nanos


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    leverage_ppm: int | None = None

    def begin(self, kept: Kept | None = None) -> Signals | Natives:
        return Signals(kept) if self.name == "signal" else Natives(kept, self.leverage_ppm)


KINDS = [Kind("signal"), Kind("native"), Kind("native", 4_000_000)]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=["signal", "native", "margin"])


def flow(going: Signals | Natives, target: int | None) -> Iterator[Flowed]:
    """Ask for a target, and see that what moved is what may."""
    before, desk = going.money.unpledged(), going.desk
    entry = desk.flow(target, AT)
    contributed, reserve = desk.tally.contributed_nanos, going.money.reserve_nanos
    missing = 0 if target is None else target - contributed
    assert reserve == max(0, -missing)  # what could not leave, all of it and no more
    assert missing <= 0  # all that was to enter is there
    if reserve:
        assert going.money.unpledged() <= 0 or not desk.tally.may_move
        assert going.money.free() == 0 or not desk.tally.may_move
    if entry is not None:
        assert entry.amount_nanos >= -max(0, before)
        yield entry


def play(
    going: Signals | Natives, targets: Targets, withdrawn: Collection[int] = ()
) -> Iterator[Entry]:
    """Flow between two bars and after their fills, as the node does; take back entries at some."""
    target: int | None = None
    desk = going.desk
    for number, event in enumerate(EVENTS):
        target = targets.get(number, target)
        if not desk.tally.is_before(event):
            continue
        yield from flow(going, target)
        if number in withdrawn and (entry := desk.withdraw_entries(SYMBOLS)) is not None:
            yield entry
        if not desk.tally.is_mid_bar and (entry := desk.mark(event)) is not None:
            yield entry
            yield from flow(going, target)
        yield going.step(event)


def kept_of(entries: list[Entry]) -> Kept:
    """Return what the ledger would have of entries."""
    batch = rows_of(entries)
    row = batch.checkpoints["exec_1"]
    account, undelivered = json.loads(json.dumps([row["account"], list(row["undelivered"])]))
    drop = {"execution_id"}
    equity = [{k: v for k, v in each.items() if k not in drop} for each in batch.equity.values()]
    trips = [{k: v for k, v in each.items() if k not in drop} for each in batch.round_trips]
    found = sums.decoded(batch.measured.get("exec_1"))
    if found is not None:  # what is in the sums is not read again
        equity = [each for each in equity if each["close_ns"] >= found.measured_ns]
    return Kept(
        checkpoint=Checkpoint(
            execution_id="exec_1",
            epoch=1,
            entry_no=row["entry_no"],
            fill_count=row.get("seq", 0),
            capital_nanos=money.to_nanos(row.get("capital", Decimal(100_000))),
            account=account,
            state=batch.states.get("exec_1"),
            close_ns=row.get("close_ns"),
            symbol=row.get("symbol"),
            bar_no=row.get("bar_no", 0),
            is_decided=row.get("is_decided", True),
            undelivered=undelivered,
            measured=batch.measured.get("exec_1"),
        ),
        equity=[EquityPoint(**each) for each in equity],
        trips=[Trip(**each) for each in trips],
        orders={each["order_id"]: each["symbol"] for each in batch.orders},
    )


def rows_of(entries: Iterable[Entry]) -> Batch:
    batch, refusals = collect(entries, {"exec_1": Head(epoch=1, entry_no=0)})
    assert not refusals
    return batch


def plain(entry: Entry) -> dict[str, Any]:
    found = {name: getattr(entry, name) for name in type(entry).__slots__}
    found["account"] = json.loads(json.dumps(found["account"]))
    return found


def results(going: Signals | Natives) -> dict[str, Any]:
    """Return everything that does not depend on the machine, to the last digit."""
    final = going.desk.observe(is_final=True)
    numbers = {k: v for k, v in final.performance_metrics.items() if not k.startswith("decision_")}
    numbers.pop("denial_count")  # of this process
    return numbers | {"pnl": final.pnl, "capital": final.capital, "fills": final.fill_count}


def cash_of(entries: Iterable[Entry]) -> int:
    """Return what capital, flows and fills leave as cash."""
    cash = CAPITAL_NANOS
    for entry in entries:
        if isinstance(entry, Flowed):
            cash += entry.amount_nanos
        elif isinstance(entry, BarProcessed):
            for fill in entry.fills:
                value = TERMS[fill.symbol].nanos(fill.price_ticks * fill.lots)
                cash += (-value if fill.side is Side.BUY else value) - fill.fee_nanos
    return cash


@pytest.fixture(scope="module", autouse=True)
def sums_every_few_bars() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tally, "SUMS_EVERY", 7)
        yield


@each_kind
def test_the_sums_of_metrics_are_kept_every_so_many_bars(kind):
    entries = [each for each in play(kind.begin(), {}) if isinstance(each, BarProcessed)]
    kept = [each.bar_no for each in entries if each.measured is not None]
    assert kept == list(range(7, entries[-1].bar_no + 1, 7))


@pytest.mark.parametrize("kept", [None, b"", b"something else"])
def test_sums_of_another_kind_are_not_gone_on_from(kept):
    assert sums.decoded(kept) is None


@each_kind
@settings(max_examples=25, deadline=None)
@given(
    targets=TARGETS,
    withdrawn=st.sets(st.integers(0, len(EVENTS) - 1), max_size=20),
    cuts=st.sets(st.integers(1, 200), max_size=3),
)
@example(targets={0: SWEEP_NANOS}, withdrawn=set(), cuts={1})
@example(targets={0: 0, 40: 10**14, 60: SWEEP_NANOS}, withdrawn=set(), cuts={2, 90})
@example(
    targets={n: 10**14 * (1 + n % 3) for n in range(60)}, withdrawn=set(range(60)), cuts={50, 71}
)
def test_what_is_resumed_after_flows_is_as_what_was_never_disturbed(kind, targets, withdrawn, cuts):
    whole_desk = kind.begin()
    whole = list(play(whole_desk, targets, withdrawn))

    going, entries = kind.begin(), []
    rest = play(going, targets, withdrawn)
    for cut in sorted(each for each in cuts if each <= len(whole)):
        while len(entries) < cut:
            entries.append(next(rest))
        going = kind.begin(kept_of(entries))
        rest = play(going, targets, withdrawn)
    entries += rest

    assert [plain(each) for each in entries] == [plain(each) for each in whole]
    assert results(going) == results(whole_desk)


@each_kind
@settings(max_examples=25, deadline=None)
@given(targets=TARGETS)
def test_capital_flows_and_fills_leave_the_cash_to_the_last_digit(kind, targets):
    going = kind.begin()
    entries: list[Entry] = []
    for entry in play(going, targets):
        entries.append(entry)
        flowed = sum(each.amount_nanos for each in entries if isinstance(each, Flowed))
        assert going.money.cash == cash_of(entries)
        assert going.desk.tally.contributed_nanos == CAPITAL_NANOS + flowed
        assert entry.account["cash"] == entry.cash_nanos == going.money.cash
        assert entry.contributed_nanos == CAPITAL_NANOS + flowed
        assert entry.account["now"]["equity"] == entry.equity_nanos
    final = going.desk.observe()
    assert final.pnl == money.to_decimal(going.money.equity()) - final.capital


def first_held(kind: Kind, after: int) -> int:
    """Return the number of the first event after which something is held."""
    going = kind.begin()
    for number, event in enumerate(EVENTS):
        going.desk.mark(event)
        going.step(event)
        if number > after and not going.desk.is_flat:
            return number
    raise AssertionError("the example holds nothing")


@each_kind
def test_what_is_swept_leaves_as_open_positions_are_closed_and_opens_nothing(kind):
    swept_from = first_held(kind, 30) + 1
    entries = list(play(kind.begin(), {0: None, swept_from: SWEEP_NANOS}))

    flows = [each for each in entries if isinstance(each, Flowed)]
    after = entries[entries.index(flows[0]) + 1 :]
    later = [fill for each in after if isinstance(each, BarProcessed) for fill in each.fills]

    assert len([f for e in entries if isinstance(e, BarProcessed) for f in e.fills]) > 10
    assert flows[0].equity_nanos > 0  # the position is still there
    assert len(flows) > 1  # more left when it was closed, or when its margin fell
    assert not [each for each in later if each.enters]


@each_kind
def test_a_flow_alone_changes_no_figure_but_capital(kind):
    def final(targets: Targets) -> dict[str, Any]:
        going = kind.begin()
        for event in EVENTS[:40]:
            number = EVENTS.index(event)
            list(flow(going, targets.get(number)))
            going.desk.mark(event)
            if kind.name == "signal":
                going.desk.conclude(event, None, None)
            else:
                going.desk.conclude(event, None)
        return results(going)

    still = final({})
    flowed = final({3: money.to_nanos(250_000), 4: None, 17: money.to_nanos(12_345)})

    assert flowed.pop("capital") == Decimal(12_345)
    assert still.pop("capital") == Decimal(100_000)
    assert flowed == still
    assert flowed["total_return"] == 0.0


@each_kind
def test_no_cash_moves_while_a_bar_is_half_done_and_what_is_to_leave_is_held(kind):
    going = kind.begin()
    going.desk.mark(EVENTS[0])

    assert going.desk.flow(money.to_nanos(40_000), AT) is None
    assert going.money.cash == CAPITAL_NANOS
    assert going.money.reserve_nanos == money.to_nanos(60_000)

    assert going.desk.flow(None, AT) is None
    assert going.money.reserve_nanos == 0


@each_kind
def test_the_days_loss_is_measured_without_what_flowed(kind):
    going = kind.begin()
    for event in EVENTS[:30]:
        going.desk.mark(event)
        going.step(event)
    before = going.desk.venue.day_pnl_nanos

    going.desk.flow(money.to_nanos(300_000), AT)

    assert going.desk.venue.day_pnl_nanos == before
