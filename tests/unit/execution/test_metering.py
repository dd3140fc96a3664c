"""What a node counts and times of an execution's entries."""

from typing import Any

import pytest

from strategy_engine.execution import metering
from strategy_engine.execution.metering import EntryMeter
from strategy_engine.infra.meters import NodeMeters
from strategy_engine.matching.model import Cause, Fill, Order, Side
from strategy_engine.sandbox.model import ConfinementReport, Layer
from strategy_engine.venue.model import (
    BarProcessed,
    Closed,
    Denial,
    DenialCode,
    Denied,
    OrderChange,
    OrderStatus,
)


class SteppedTime:
    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> SteppedTime:
    stepped = SteppedTime()
    monkeypatch.setattr(metering, "time", stepped)
    return stepped


def order(order_id: str) -> Order:
    return Order(symbol="EUR", side=Side.BUY, lots=1, opens=True, decided_ns=1, order_id=order_id)


def fill(order_id: str) -> Fill:
    return Fill(
        symbol="EUR",
        side=Side.BUY,
        lots=1,
        price_ticks=10,
        fee_nanos=0,
        pnl_nanos=0,
        ts_ns=2,
        cause=Cause.SIGNAL,
        opens=True,
        lots_after=1,
        order_id=order_id,
    )


def bar(**changes: Any) -> BarProcessed:
    given: dict[str, Any] = {
        "execution_id": "exec_1",
        "epoch": 1,
        "entry_no": 1,
        "symbol": "EUR",
        "close_ns": 1,
        "bar_no": 1,
        "is_decided": True,
        "equity_nanos": 0,
        "cash_nanos": 0,
        "contributed_nanos": 0,
        "benchmark": 1.0,
        "terms": {},
        "account": {},
    }
    return BarProcessed(**given | changes)


def value(meters: NodeMeters, name: str, **labels: str) -> float:
    found = meters.registry.get_sample_value(name, labels)
    return 0.0 if found is None else found


def test_an_order_is_timed_from_its_decision_until_its_fill_is_kept(time: SteppedTime) -> None:
    meters = NodeMeters()
    meter = EntryMeter(meters, metering.SIGNAL)

    meter.kept(bar(orders=(order("a"), order("b"))))
    time.now_s += 1.5
    meter.kept(bar(fills=(fill("a"),), cancelled=("b",)))
    meter.kept(bar(fills=(fill("b"),)))

    labels = {"kernel": "signal"}
    assert value(meters, "strategy_fill_duration_seconds_sum", **labels) == 1.5
    assert value(meters, "strategy_fill_duration_seconds_count", **labels) == 1


@pytest.mark.parametrize(
    ("status", "is_timed"),
    [
        (OrderStatus.ACCEPTED, True),
        (OrderStatus.TRIGGERED, True),
        (OrderStatus.CANCELLED, False),
        (OrderStatus.EXPIRED, False),
        (OrderStatus.REJECTED, False),
    ],
)
def test_an_order_that_has_ended_is_waited_for_no_more(
    time: SteppedTime, status: OrderStatus, *, is_timed: bool
) -> None:
    meters = NodeMeters()
    meter = EntryMeter(meters, metering.NATIVE)

    meter.kept(bar(orders=(order("a"),)))
    meter.kept(bar(changes=(OrderChange(order_id="a", symbol="EUR", status=status),)))
    meter.kept(bar(fills=(fill("a"),)))

    count = value(meters, "strategy_fill_duration_seconds_count", kernel="native")
    assert count == is_timed


def test_refusals_are_counted_by_code_and_every_code_begins_at_nought() -> None:
    meters = NodeMeters()
    metering.from_nought(meters)
    meter = metering.of(meters, is_native=False)
    refused = Denied(
        order=order("a"), denial=Denial(code=DenialCode.DAILY_LOSS_LIMIT, message="no more")
    )

    meter.kept(bar(denials=(refused, refused)))
    meter.kept(Closed(execution_id="exec_1", epoch=1, entry_no=2, cancelled=(), account={}))

    counted = {
        each.labels["code"]: each.value
        for family in meters.registry.collect()
        for each in family.samples
        if each.name == "strategy_denials_total"
    }
    assert counted == dict.fromkeys((each.value for each in DenialCode), 0) | {
        "daily_loss_limit": 2
    }


def test_a_decision_is_counted_with_its_time_under_its_kernel() -> None:
    meters = NodeMeters()

    metering.of(meters, is_native=True).decided(0.004)

    assert value(meters, "strategy_decision_duration_seconds_sum", kernel="native") == 0.004
    assert value(meters, "strategy_decision_duration_seconds_sum", kernel="signal") == 0


def test_each_layer_that_is_missing_is_counted_and_a_whole_wall_is_not() -> None:
    meters = NodeMeters()
    layers = (
        Layer(name="landlock", is_on=False, why="the kernel has none"),
        Layer(name="seccomp", is_on=True, why=""),
    )

    metering.missing(meters, ConfinementReport(layers=layers))
    metering.missing(meters, None)

    assert value(meters, "strategy_confinement_failures_total", layer="landlock") == 1
    assert value(meters, "strategy_confinement_failures_total", layer="seccomp") == 0
