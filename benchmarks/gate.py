"""What the gate costs an order: every check, with limits of every scope and others of the line.

    uv run python benchmarks/gate.py [--orders 20000] [--json]

Orders are asked of real venues of both kernels beside 200 executions that hold something, each
limit set in every scope that may set it, so far off that all of them are passed and every check is
made. Timed is what stands between an order and the venue: the request with all that it sums up, and
the judgement, in CPU time of the thread, so that other work of the machine does not count; the
median of the wall clock stands beside it. The budget: a median of 60 µs, and a 99th percentile of
four times the median.
"""

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable

from strategy_engine.core import money
from strategy_engine.matching.model import Conditions, Order, Rules, Side, Terms
from strategy_engine.matching.ticket import OrderType, Ticket
from strategy_engine.venue import limits, rules
from strategy_engine.venue.aggregates import Sides, Standing
from strategy_engine.venue.limits import Scope
from strategy_engine.venue.native import NativeVenue
from strategy_engine.venue.oversight import Oversight, Seat, Who
from strategy_engine.venue.paper import PaperVenue

MEDIAN_US = 60.0
P99_RATIO = 4.0
OTHERS = 200
WORKING = 10
WARM_UP = 500
ROUNDS = 11
SYMBOL = "EUR/USD.SIM"
TERMS = Terms(symbol=SYMBOL, tick_nanos=10_000, lot_nanos=money.NANOS)
CAPITAL_NANOS = money.to_nanos(100_000)
HOUR_NS = 3_600 * money.NANOS
WIDE: dict[str, object] = {
    "max_position_size": 1e9,
    "daily_loss_limit": -1e9,
    "max_order_quantity": 1e9,
    "max_order_notional": 1e9,
    "max_orders_per_minute": 1_000_000,
    "max_cancels_per_minute": 1_000_000,
    "price_collar": 0.5,
    "max_leverage": 1_000,
    "allowed_symbols": [SYMBOL],
    "trading_hours": ["00:00-24:00 America/New_York"],
}


def node() -> Oversight:
    """Return a node with others of the line, who hold and have sent something."""
    oversight = Oversight()
    shared = {(Scope.LINE, "RSI"), (Scope.ACCOUNT, "main"), (Scope.ENGINE, "")}
    oversight.set_limits({key: limits.parse(WIDE) for key in shared})
    for number in range(OTHERS):
        who = Who(execution_id=f"e{number}", strategy_id=f"s{number}", line="RSI", account="main")
        standing = Standing(
            equity_nanos=CAPITAL_NANOS,
            orders=3,
            sides={SYMBOL: Sides(money.to_nanos(100), 0)},
        )
        oversight.seat(who, {}).put(standing)
    return oversight


def seat(oversight: Oversight, name: str) -> Seat:
    """Return a place with limits of its own too."""
    who = Who(execution_id=name, strategy_id=name, line="RSI", account="main")
    own = limits.parse(WIDE)
    return oversight.seat(who, {(Scope.VERSION, name): own, (Scope.EXECUTION, name): own})


def of_signals(oversight: Oversight) -> Callable[[], object]:
    """Return how a signal's order is judged."""
    how = Rules(allow_short=True)
    venue = PaperVenue(
        "signal",
        capital_nanos=CAPITAL_NANOS,
        terms=[TERMS],
        how=how,
        epoch=1,
        seat=seat(oversight, "signal"),
    )
    venue.on_bar(SYMBOL, (0, HOUR_NS), (100_000,) * 4)
    venue.publish(HOUR_NS)
    order = Order(symbol=SYMBOL, side=Side.BUY, lots=100, opens=True, decided_ns=HOUR_NS)
    return lambda: rules.judge(venue._request(order, []))  # noqa: SLF001 - the gate, alone


def of_natives(oversight: Oversight) -> Callable[[], object]:
    """Return how a native strategy's order is judged, beside others of its own that work."""
    venue = NativeVenue(
        "native",
        capital_nanos=CAPITAL_NANOS,
        terms=[TERMS],
        how=Rules(allow_short=True),
        conditions=Conditions(),
        epoch=1,
        seat=seat(oversight, "native"),
    )
    venue.on_bar(SYMBOL, (0, HOUR_NS), (100_000,) * 4, 1_000)
    working = [(HOUR_NS, limit(f"W-{number}", 90_000)) for number in range(WORKING)]
    venue.ask(working, since_ns=0, now_ns=HOUR_NS)
    venue.on_bar(SYMBOL, (HOUR_NS, 2 * HOUR_NS), (100_000,) * 4, 1_000)
    venue.publish(2 * HOUR_NS)
    order = limit("O-1", 99_000)
    return lambda: rules.judge_ticket(venue.gate.asked(order, 2 * HOUR_NS))


def limit(name: str, ticks: int) -> Ticket:
    """Return a bid."""
    return Ticket(
        client_order_id=name,
        symbol=SYMBOL,
        side=Side.BUY,
        type=OrderType.LIMIT,
        lots=100,
        limit_ticks=ticks,
    )


def measure(judge: Callable[[], object], orders: int) -> dict[str, float]:
    """Return what judgements took, µs: of several rounds the middle one."""
    if judge() is not None:
        raise SystemExit("the order was denied: not every check is made")
    for _ in range(WARM_UP):
        judge()
    gc.collect()
    gc.freeze()
    rounds = [one_round(judge, max(1, orders // ROUNDS)) for _ in range(ROUNDS)]
    return {name: round(statistics.median(each[name] for each in rounds), 2) for name in rounds[0]}


def one_round(judge: Callable[[], object], orders: int) -> dict[str, float]:
    """Return what judgements took, µs."""
    took: list[int] = []
    walls: list[int] = []
    for _ in range(orders):
        began, started = time.perf_counter_ns(), time.thread_time_ns()
        judge()
        took.append(time.thread_time_ns() - started)
        walls.append(time.perf_counter_ns() - began)
    took.sort()
    return {
        "median_us": statistics.median(took) / 1_000,
        "p99_us": took[len(took) * 99 // 100] / 1_000,
        "wall_median_us": statistics.median(walls) / 1_000,
    }


def main() -> int:
    """Measure both kernels, print a table, and say whether the budget holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--json", action="store_true", help="One JSON object on the last line.")
    asked = parser.parse_args()
    oversight = node()
    found = {
        "signal": measure(of_signals(oversight), asked.orders),
        "native": measure(of_natives(oversight), asked.orders),
    }
    is_ok = True
    print(
        f"{'kernel':<8} {'median':>10} {'p99':>10} {'by wall':>10}   (µs, {asked.orders:,} orders)"
    )
    for name, each in found.items():
        is_ok &= each["median_us"] <= MEDIAN_US
        is_ok &= each["p99_us"] <= P99_RATIO * each["median_us"]
        print(f"{name:<8}" + "".join(f" {value:>10.2f}" for value in each.values()))
    print(f"budget: median {MEDIAN_US:g} µs, p99 {P99_RATIO:g} × the median: {is_ok}")
    if asked.json:
        print(
            json.dumps(
                found | {"others": OTHERS, "working": WORKING, "orders": asked.orders, "ok": is_ok}
            )
        )
    return 0 if is_ok else 1


if __name__ == "__main__":
    sys.exit(main())
