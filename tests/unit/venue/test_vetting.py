"""What somebody outside is asked about, and what the gate makes of the answer."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy_engine.core import money
from strategy_engine.matching.model import (
    BUY,
    SELL,
    Action,
    Conditions,
    Decision,
    Rules,
    Side,
    Terms,
)
from strategy_engine.matching.ticket import (
    Cancel,
    Instruction,
    Modify,
    ModifyRejected,
    OrderType,
    Rejected,
    Ticket,
)
from strategy_engine.venue import oversight
from strategy_engine.venue.gate import GateRequest
from strategy_engine.venue.model import NEVER, DenialCode, RiskState, Tenure
from strategy_engine.venue.native import NativeVenue
from strategy_engine.venue.native_gate import NativeGate
from strategy_engine.venue.oversight import Oversight, Seat, Who
from strategy_engine.venue.paper import PaperVenue
from strategy_engine.venue.vetting import Answers

SYMBOL, OTHER = "EUR/USD.SIM", "GOOGL.SIM"
TERMS = [Terms(symbol=each, tick_nanos=10_000, lot_nanos=money.NANOS) for each in (SYMBOL, OTHER)]
HOUR_NS = 3_600 * money.NANOS
CAPITAL = money.to_nanos(100_000)
UNASKED = Answers(otherwise="nobody was asked")
NEEDS: dict[OrderType, dict[str, int]] = {
    OrderType.MARKET: {},
    OrderType.LIMIT: {"limit_ticks": 100_000},
    OrderType.STOP_MARKET: {"trigger_ticks": 101_000},
    OrderType.STOP_LIMIT: {"trigger_ticks": 101_000, "limit_ticks": 101_000},
    OrderType.MARKET_TO_LIMIT: {},
    OrderType.MARKET_IF_TOUCHED: {"trigger_ticks": 99_000},
    OrderType.LIMIT_IF_TOUCHED: {"trigger_ticks": 99_000, "limit_ticks": 99_000},
    OrderType.TRAILING_STOP_MARKET: {"trailing_ticks": 1_000},
    OrderType.TRAILING_STOP_LIMIT: {"trailing_ticks": 1_000, "limit_offset_ticks": 10},
}


def native(seat: Seat | None = None) -> NativeVenue:
    made = NativeVenue(
        "exec_1",
        capital_nanos=CAPITAL,
        terms=TERMS,
        how=Rules(allow_short=True, fee_ppm=0, slippage_ppm=0, max_trades_per_day=6),
        conditions=Conditions(leverage_ppm=10_000_000),
        epoch=1,
        seat=seat or oversight.alone(max_position_size=9_000, max_order_quantity=5_000),
    )
    meet(made, 1)
    return made


def paper(seat: Seat | None = None, **more: Any) -> PaperVenue:
    how = {"allow_short": True, "fee_ppm": 0, "slippage_ppm": 0} | more
    made = PaperVenue(
        "exec_1", capital_nanos=CAPITAL, terms=TERMS, how=Rules(**how), epoch=1, seat=seat
    )
    meet(made, 1)
    return made


def meet(venue: NativeVenue | PaperVenue, hour: int, ticks: int = 100_000) -> None:
    times = (hour - 1) * HOUR_NS, hour * HOUR_NS
    for symbol in (SYMBOL, OTHER):
        if isinstance(venue, NativeVenue):
            venue.on_bar(symbol, times, (ticks,) * 4, 10**9)
        else:
            venue.on_bar(symbol, times, (ticks,) * 4)


def gate_of(venue: NativeVenue | PaperVenue) -> NativeGate | PaperVenue:
    return venue.gate if isinstance(venue, NativeVenue) else venue


def unrated(venue: NativeVenue | PaperVenue) -> dict[str, Any]:
    """Return everything but the times of orders: whoever reads those forgets the old ones."""
    return {name: each for name, each in venue.dump().items() if name != "rates"}


def order(name: str = "O-1", lots: int = 1_000, **more: Any) -> Ticket:
    terms = {"symbol": SYMBOL, "side": Side.BUY, "type": OrderType.MARKET} | more
    return Ticket(client_order_id=name, lots=lots, **NEEDS[terms["type"]] | terms)


def send(venue: NativeVenue, *asked: Instruction, hour: int = 1) -> list[str]:
    """Ask for something, and return what was refused of it."""
    venue.tape.tell()
    now_ns = hour * HOUR_NS
    venue.ask([(now_ns, each) for each in asked], since_ns=now_ns - 1, now_ns=now_ns)
    return [each.code for each in venue.tape.untold if isinstance(each, Rejected | ModifyRejected)]


def proposed(venue: NativeVenue, *asked: Instruction, hour: int = 1) -> tuple[GateRequest, ...]:
    return venue.gate.proposed([(hour * HOUR_NS, each) for each in asked], hour * HOUR_NS)


def names(found: Iterable[GateRequest]) -> list[str]:
    return [each.order.order_id for each in found]


def allowing(found: Iterable[GateRequest]) -> Answers:
    """Return a yes to just what was asked about, and a no to everything else."""
    said = {(each.order.order_id, each.order.lots): None for each in found}
    return Answers(said=said, otherwise="nobody was asked")


# --- the gate


@pytest.mark.parametrize("kind", OrderType)
def test_a_native_order_that_is_vetoed_is_denied_with_the_reason(kind: OrderType) -> None:
    venue = native()
    venue.gate.answers = Answers(said={("O-1", 1_000): "the risk engine said: no"})

    assert send(venue, order(type=kind)) == [DenialCode.VETOED]
    (denied,) = venue.tape.take().placings
    assert (denied.denial_code, denied.reason) == (DenialCode.VETOED, "the risk engine said: no")


@pytest.mark.parametrize("kind", OrderType)
def test_a_native_order_that_is_allowed_goes_and_one_that_was_not_asked_about_does_not(
    kind: OrderType,
) -> None:
    venue = native()
    venue.gate.answers = allowing(proposed(venue, order(type=kind)))

    assert send(venue, order(type=kind)) == []
    assert send(venue, order("O-2", type=kind)) == [DenialCode.VETOED]


def test_an_answer_is_about_so_many_lots_and_no_more() -> None:
    venue = native()
    venue.gate.answers = allowing(proposed(venue, order(lots=1_000)))

    assert send(venue, order(lots=1_001)) == [DenialCode.VETOED]


def test_a_decision_that_is_vetoed_is_denied_and_may_be_made_again() -> None:
    venue = paper()
    (asked,) = venue.proposed(SYMBOL, BUY, HOUR_NS)
    venue.answers = Answers(said={(asked.order.order_id, asked.order.lots): "no"})
    (denied,) = venue.decide(SYMBOL, BUY, HOUR_NS).denials
    venue.answers = allowing(venue.proposed(SYMBOL, BUY, HOUR_NS + 1))

    placed = venue.decide(SYMBOL, BUY, HOUR_NS + 1)

    assert (denied.denial.code, denied.denial.message) == (DenialCode.VETOED, "no")
    assert (len(placed.orders), placed.denials) == (1, ())


def test_a_position_that_turns_is_closed_whatever_is_said_of_what_it_would_open() -> None:
    venue = paper()
    venue.decide(SYMBOL, BUY, HOUR_NS)
    meet(venue, 2)
    (asked,) = venue.proposed(SYMBOL, SELL, 2 * HOUR_NS)
    venue.answers = UNASKED

    placed = venue.decide(SYMBOL, SELL, 2 * HOUR_NS)

    assert (asked.order.opens, asked.lots_before) == (True, 0)
    assert [each.opens for each in placed.orders] == [False]
    assert [each.denial.code for each in placed.denials] == [DenialCode.VETOED]


def test_the_engines_own_exit_is_never_vetoed() -> None:
    for venue in (paper(), native()):
        if isinstance(venue, PaperVenue):
            venue.decide(SYMBOL, BUY, HOUR_NS)
        else:
            send(venue, order())
        meet(venue, 2)
        gate_of(venue).answers = UNASKED
        venue.flatten(SYMBOL, 2 * HOUR_NS)
        meet(venue, 3)

        held = venue.account.books if isinstance(venue, PaperVenue) else venue.book.positions
        assert held[SYMBOL].lots == 0


def test_what_is_refused_anyway_is_refused_for_that_and_nobody_is_asked_about_it() -> None:
    for state, code in ((RiskState.HALTED, "halted"), (RiskState.REDUCING, "reducing")):
        venue, other = native(), paper()
        venue.gate.answers = other.answers = UNASKED
        venue.gate.risk_state = other.risk_state = state
        assert proposed(venue, order()) == other.proposed(SYMBOL, BUY, HOUR_NS) == ()
        assert send(venue, order()) == [code]
        (denied,) = other.decide(SYMBOL, BUY, HOUR_NS).denials
        assert denied.denial.code == code


def test_a_shadow_is_asked_about_nothing() -> None:
    venue, other = native(), paper()
    venue.gate.serves = other.serves = Tenure(others=NEVER)

    assert proposed(venue, order()) == other.proposed(SYMBOL, BUY, HOUR_NS) == ()


def test_a_stop_that_comes_while_it_is_asked_is_what_the_gate_names() -> None:
    node = Oversight()
    who = Who(execution_id="exec_1", strategy_id="s", line="RSI", account="RSI")
    venue = native(node.seat(who, {}))
    venue.gate.answers = allowing(proposed(venue, order()))
    node.kill.stop(oversight.Scope.ENGINE, "", "prices are wrong")

    assert send(venue, order()) == [DenialCode.KILLED]


# --- what is asked about


def test_an_exit_is_not_asked_about_and_what_goes_beyond_it_is() -> None:
    venue = native()
    send(venue, order(lots=1_000))
    meet(venue, 2)

    out = order("O-2", lots=1_000, side=Side.SELL)
    beyond = order("O-3", lots=1_001, side=Side.SELL)
    reducing = order("O-4", lots=1_001, side=Side.SELL, reduce_only=True)
    assert names(proposed(venue, out, hour=2)) == []
    assert names(proposed(venue, beyond, hour=2)) == ["O-3"]
    assert names(proposed(venue, reducing, hour=2)) == []


def test_two_exits_that_together_go_beyond_flat_are_seen_together() -> None:
    venue = native()
    send(venue, order(lots=1_000))
    meet(venue, 2)
    pair = [order(f"O-{number}", lots=1_000, side=Side.SELL) for number in (2, 3)]
    linked = [
        order("O-4", lots=1_000, side=Side.SELL, linked_ids=("O-5",)),
        order("O-5", lots=1_000, side=Side.SELL, linked_ids=("O-4",)),
    ]

    assert names(proposed(venue, *pair, hour=2)) == ["O-3"]
    assert names(proposed(venue, *linked, hour=2)) == []  # of the two one fills


RESTING = {"type": OrderType.LIMIT, "limit_ticks": 90_000}


@pytest.mark.parametrize(
    ("change", "is_asked"),
    [
        ({"lots": 1_001}, True),
        ({"limit_ticks": 90_001}, True),
        ({"lots": 1_000}, False),
        ({"lots": 999}, False),
        ({"limit_ticks": 89_999}, False),
        ({"lots": 999, "limit_ticks": 99_000}, True),
    ],
)
def test_a_change_is_asked_about_where_more_is_at_stake_by_it(
    change: dict[str, int], is_asked: bool
) -> None:
    venue = native()
    send(venue, order(**RESTING))
    meet(venue, 2)
    asked = Modify(client_order_id="O-1", **change)
    venue.gate.answers = UNASKED

    assert bool(proposed(venue, asked, hour=2)) is is_asked
    assert send(venue, asked, hour=2) == ([DenialCode.VETOED] if is_asked else [])


def test_a_change_of_an_order_that_comes_with_it_is_asked_about_too() -> None:
    venue = native()
    both = order(**RESTING), Modify(client_order_id="O-1", lots=2_000)
    found = proposed(venue, *both)
    venue.gate.answers = allowing(found)

    assert [(each.order.order_id, each.order.lots) for each in found] == [
        ("O-1", 1_000),
        ("O-1", 2_000),
    ]
    assert send(venue, *both) == []


def test_an_exit_that_would_open_by_now_is_taken_back_unless_somebody_was_asked() -> None:
    def left(answers: Answers) -> frozenset[str]:
        node = Oversight()
        who = Who(execution_id="exec_1", strategy_id="s", line="RSI", account="RSI")
        venue = native(node.seat(who, {}))
        send(venue, order(lots=1_000))
        meet(venue, 2)
        stop = {"type": OrderType.STOP_MARKET, "trigger_ticks": 90_000, "side": Side.SELL}
        send(venue, order("O-2", lots=1_000, **stop), hour=2)
        meet(venue, 3)
        venue.gate.answers = answers
        venue.flatten(SYMBOL, 3 * HOUR_NS)
        meet(venue, 4)
        meet(venue, 5)
        return venue.open_names

    assert left(Answers()) == {"O-2"}
    assert left(UNASKED) == frozenset()


KINDS = st.just(OrderType.MARKET) | st.sampled_from(OrderType)
TICKETS = st.builds(
    lambda kind, side, symbol, lots, reduce_only, linked: {
        "type": kind,
        "side": side,
        "symbol": symbol,
        "lots": lots,
        "reduce_only": reduce_only,
        "linked": linked,
    },
    KINDS,
    st.sampled_from(Side),
    st.sampled_from([SYMBOL, SYMBOL, OTHER, "NOBODY.SIM"]),
    st.sampled_from([1, 1_000, 1_000, 2_000, 6_000]),  # so that they close just what is held
    st.booleans(),
    st.integers(0, 3),
)
CHANGES = st.tuples(
    st.integers(1, 12),
    st.none() | st.integers(1, 6_000),
    st.none() | st.integers(95_000, 105_000),
)
CANCELS = st.integers(1, 12)
BATCHES = st.lists(
    st.lists(st.one_of(TICKETS, CHANGES, CANCELS), max_size=6), min_size=1, max_size=6
)


def instructions(batch: list[Any], count: int) -> list[Instruction]:
    made: list[Instruction] = []
    for each in batch:
        if isinstance(each, dict):
            count += 1
            terms = {name: value for name, value in each.items() if name != "linked"}
            linked = (f"O-{count + each['linked']}",) if each["linked"] else ()
            made.append(order(f"O-{count}", linked_ids=linked, **terms))
        elif isinstance(each, tuple):
            number, lots, limit = each
            made.append(Modify(client_order_id=f"O-{number}", lots=lots, limit_ticks=limit))
        else:
            made.append(Cancel(client_order_id=f"O-{each}"))
    return made


@settings(max_examples=300)
@given(batches=BATCHES, prices=st.lists(st.integers(98_000, 102_000), min_size=6, max_size=6))
def test_whatever_a_native_strategy_sends_nothing_goes_that_nobody_was_asked_about(
    batches: list[list[Any]], prices: list[int]
) -> None:
    asking, free = native(), native()
    for venue in (asking, free):
        send(venue, order("H-1"))
        meet(venue, 2)
    count = 0
    for hour, (batch, price) in enumerate(zip(batches, prices, strict=False), start=2):
        given_now = instructions(batch, count)
        count += sum(isinstance(each, Ticket) for each in given_now)
        before = unrated(asking)
        found = proposed(asking, *given_now, hour=hour)
        assert unrated(asking) == before
        asking.gate.answers = allowing(found)

        assert send(asking, *given_now, hour=hour) == send(free, *given_now, hour=hour)
        for venue in (asking, free):
            meet(venue, hour + 1, price)
    assert asking.dump() == free.dump()


DECISIONS = st.lists(
    st.tuples(
        st.sampled_from([SYMBOL, OTHER]),
        st.sampled_from(Action),
        st.integers(-1_000_000_000, 1_000_000_000),
        st.integers(95_000, 105_000),
    ),
    max_size=12,
)


@settings(max_examples=300)
@given(decisions=DECISIONS)
def test_whatever_a_signal_decides_asking_changes_nothing_and_covers_all_that_opens(
    decisions: list[tuple[str, Action, int, int]],
) -> None:
    own = {"max_position_size": 30_000, "max_order_quantity": 20_000}
    asking = paper(oversight.alone(**own), max_trades_per_day=3)
    free = paper(oversight.alone(**own), max_trades_per_day=3)
    for hour, (symbol, action, share, price) in enumerate(decisions, start=1):
        size = share if action is Action.TARGET else None
        decision = Decision(action=action, size_ppb=size)
        before = unrated(asking)
        found = asking.proposed(symbol, decision, hour * HOUR_NS)
        assert unrated(asking) == before
        assert all(each.order.opens for each in found)
        asking.answers = allowing(found)

        placed = asking.decide(symbol, decision, hour * HOUR_NS)

        assert placed == free.decide(symbol, decision, hour * HOUR_NS)
        assert names(found) == [each.order_id for each in placed.orders if each.opens]
        for venue in (asking, free):
            meet(venue, hour + 1, price)
    assert asking.dump() == free.dump()
