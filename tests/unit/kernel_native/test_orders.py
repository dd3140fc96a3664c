from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nautilus_trader.common.component import TestClock
from nautilus_trader.common.factories import OrderFactory
from nautilus_trader.model.enums import OrderSide, TrailingOffsetType
from nautilus_trader.model.identifiers import StrategyId, TraderId

from strategy_engine.kernel.native import orders
from strategy_engine.kernel.native.instruments import Listings
from strategy_engine.matching.model import Side
from strategy_engine.matching.ticket import Contingency, OrderType, Ticket, TimeInForce
from strategy_engine.sandbox.protocol import messages

NANO = 10**9
PAIR = Listings(
    [messages.Contract(symbol="EUR/USD.SIM", tick_nanos=10_000, lot_nanos=NANO)],
    "1-HOUR-LAST-EXTERNAL",
).all[0]
WHO = TraderId("TRADER-001"), StrategyId("MY-000")


@pytest.fixture
def factory() -> OrderFactory:
    return OrderFactory(trader_id=WHO[0], strategy_id=WHO[1], clock=TestClock())


def prices(kind: OrderType) -> dict[str, st.SearchStrategy[int]]:
    ticks = st.integers(1, 1_000_000)
    used: dict[str, st.SearchStrategy[int]] = {}
    if kind in {OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_IF_TOUCHED}:
        used["limit_ticks"] = ticks
    if kind in {
        OrderType.STOP_MARKET,
        OrderType.STOP_LIMIT,
        OrderType.MARKET_IF_TOUCHED,
        OrderType.LIMIT_IF_TOUCHED,
    }:
        used["trigger_ticks"] = ticks
    if kind in {OrderType.TRAILING_STOP_MARKET, OrderType.TRAILING_STOP_LIMIT}:
        used |= {"trailing_ticks": ticks, "activation_ticks": ticks}
    if kind is OrderType.TRAILING_STOP_LIMIT:
        used["limit_offset_ticks"] = ticks
    return used


TICKETS = st.sampled_from(OrderType).flatmap(
    lambda kind: st.builds(
        Ticket,
        client_order_id=st.just("O-1"),
        symbol=st.just("EUR/USD.SIM"),
        side=st.sampled_from(Side),
        type=st.just(kind),
        lots=st.integers(1, 10_000_000),
        time_in_force=st.sampled_from([TimeInForce.GTC, TimeInForce.DAY]),
        reduce_only=st.booleans(),
        tags=st.sampled_from([(), ("ENTRY",)]),
        **prices(kind),
    )
)


@given(TICKETS)
def test_a_ticket_goes_to_an_order_and_back(ticket: Ticket) -> None:
    order = orders.to_order(ticket, PAIR, WHO, 1)
    assert orders.to_ticket(order, PAIR, None) == ticket


def test_a_bracket_keeps_what_depends_on_what(factory: OrderFactory) -> None:
    bracket = factory.bracket(
        instrument_id=PAIR.id,
        order_side=OrderSide.BUY,
        quantity=PAIR.quantity(1000),
        sl_trigger_price=PAIR.price(100_000),
        tp_price=PAIR.price(120_000),
    )
    entry, stop, target = (orders.to_ticket(each, PAIR, None) for each in bracket.orders)
    assert (entry.contingency, entry.parent_id) == (Contingency.OTO, None)
    assert stop.parent_id == target.parent_id == entry.client_order_id
    assert stop.linked_ids == (target.client_order_id,)
    assert stop.contingency == target.contingency == Contingency.OUO
    assert (stop.type, stop.trigger_ticks) == (OrderType.STOP_MARKET, 100_000)
    assert (target.type, target.limit_ticks) == (OrderType.LIMIT, 120_000)
    assert stop.reduce_only
    assert target.reduce_only


@pytest.mark.parametrize(
    ("kind", "offset", "ticks"),
    [
        (TrailingOffsetType.PRICE, "0.00100", 100),
        (TrailingOffsetType.TICKS, "25", 25),
        (TrailingOffsetType.BASIS_POINTS, "10", 110),  # of a last price of 1.10
        (TrailingOffsetType.PRICE, "0.000001", 1),  # never no distance at all
    ],
)
def test_a_trailing_distance_is_told_in_ticks(
    factory: OrderFactory, kind: TrailingOffsetType, offset: str, ticks: int
) -> None:
    order = factory.trailing_stop_market(
        instrument_id=PAIR.id,
        order_side=OrderSide.SELL,
        quantity=PAIR.quantity(1),
        trailing_offset=Decimal(offset),
        trailing_offset_type=kind,
    )
    assert orders.to_ticket(order, PAIR, 110_000).trailing_ticks == ticks


def test_a_tier_of_a_venue_is_no_distance(factory: OrderFactory) -> None:
    order = factory.trailing_stop_market(
        instrument_id=PAIR.id,
        order_side=OrderSide.SELL,
        quantity=PAIR.quantity(1),
        trailing_offset=Decimal(1),
        trailing_offset_type=TrailingOffsetType.PRICE_TIER,
    )
    with pytest.raises(orders.UntradableError, match="PRICE_TIER is not offered"):
        orders.to_ticket(order, PAIR, 110_000)


def test_a_price_between_two_ticks_is_refused(factory: OrderFactory) -> None:
    quarter = Listings(
        [messages.Contract(symbol="ES.SIM", tick_nanos=NANO // 4, lot_nanos=NANO)],
        "1-HOUR-LAST-EXTERNAL",
    ).all[0]
    order = factory.limit(
        instrument_id=quarter.id,
        order_side=OrderSide.BUY,
        quantity=quarter.quantity(1),
        price=quarter.instrument.make_price(1.30),
    )
    with pytest.raises(orders.UntradableError, match=r"price 1.30 is not a multiple of the tick"):
        orders.to_ticket(order, quarter, None)


def test_a_quantity_between_two_lots_is_refused(factory: OrderFactory) -> None:
    hundreds = Listings(
        [messages.Contract(symbol="T.SIM", tick_nanos=10**7, lot_nanos=100 * NANO)],
        "1-HOUR-LAST-EXTERNAL",
    ).all[0]
    order = factory.market(
        instrument_id=hundreds.id,
        order_side=OrderSide.BUY,
        quantity=hundreds.instrument.make_qty(150),
    )
    with pytest.raises(orders.UntradableError, match="150 is not a multiple of 100"):
        orders.to_ticket(order, hundreds, None)


def test_a_quantity_in_the_quote_currency_is_refused(factory: OrderFactory) -> None:
    order = factory.market(
        instrument_id=PAIR.id,
        order_side=OrderSide.BUY,
        quantity=PAIR.quantity(1000),
        quote_quantity=True,
    )
    with pytest.raises(orders.UntradableError, match="quote currency"):
        orders.to_ticket(order, PAIR, None)
