# ruff: noqa: E402  (TA-Lib comes before pandas, as in a lean zygote, or it wraps every function)
"""Budget: a backtest takes at most 1.5 × a bare loop, 1.25 × backtesting.py, 1/15 of Nautilus.

100,000 one-minute bars (a seeded geometric random walk on the ticks of EUR/USD) go through two
strategies, an SMA 10/20 cross and an RSI 14 at 30/70, both long or flat. All ways work in turns,
and what counts is the median of a turn's quotients, of CPU seconds: each is one busy thread, and
what else the machine does in the meantime is nobody's fault:

ours             the child's conversation, frames in and out: the decisions, and its own account
bare loop        slices the same windows, calls the same `generate_signal`, keeps no account
backtesting.py   indicators computed beforehand; timed without its closing statistics
NautilusTrader   a stock `BacktestEngine` with its own indicators, `run` alone (SMA cross only)

Trades must be equal. Ours and the bare loop, driven through `matching` bar by bar, must agree in
every fill. The other two must enter and leave at the same instants: backtesting.py fills at the
next open as we do; NautilusTrader fills at the close of the bar itself, which here is the instant
and the price of the next open. Sizes differ (theirs are fixed units, or leave out the slippage),
and so do costs; neither has a say in when a strategy trades.
"""

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from strategy_engine.sandbox import warmth

warmth.warm(("talib",))

import numpy as np
from rivals import by_backtesting, by_nautilus
from rivals.market import (
    BARS,
    CAPITAL,
    MINUTE_NS,
    NANOS,
    SYMBOL,
    TERMS,
    Instants,
    Market,
    walk,
)

from strategy_engine import signals
from strategy_engine.kernel.child import Conversation
from strategy_engine.kernel.window import DEFAULT_LOOKBACK
from strategy_engine.matching.account import Account
from strategy_engine.matching.model import BUY, HOLD, SELL, Fill, Rules
from strategy_engine.sandbox.protocol import messages

MOST_TO_LOOP, LEAST_TO_NAUTILUS, MOST_TO_BACKTESTING = 1.5, 15.0, 1.25
ROUNDS, NAUTILUS_ROUNDS = 7, 3
RULES = Rules()
NAMES = {"sma": "SMA 10/20 cross", "rsi": "RSI 14, 30/70"}
CODES = {
    "sma": """
class Cross:
    def generate_signal(self, market_data):
        prices = market_data["prices"]
        if len(prices) <= 20:
            return "HOLD"
        lead = calculate_sma(prices, 10) - calculate_sma(prices, 20)
        if lead > 1e-9:
            return "BUY"
        return "SELL" if lead < -1e-9 else "HOLD"
""",
    "rsi": """
class Reversion:
    def generate_signal(self, market_data):
        prices = market_data["prices"]
        if len(prices) <= 15:
            return "HOLD"
        rsi = calculate_rsi(prices, 14)
        if rsi < 30:
            return "BUY"
        return "SELL" if rsi > 70 else "HOLD"
""",
}
LISTENING = """
    def on_fill(self, fill):
        FILLS.append(fill)

FILLS = []
"""

type Traded = tuple[int, int, float, str]  # of each fill: when, lots, price, side


class Contest:
    """One strategy's ways through the market: seconds by name, and what each traded."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self.instants: dict[str, Instants] = {}

    def time(self, name: str, work: Callable[[], tuple[float, Instants]]) -> None:
        gc.collect()
        took_s, self.instants[name] = work()
        self.seconds.setdefault(name, []).append(took_s)

    def median_s(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def ratio(self, name: str) -> float:
        pairs = zip(self.seconds["ours"], self.seconds[name], strict=False)  # one had fewer turns
        return statistics.median(ours_s / theirs_s for ours_s, theirs_s in pairs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    options = parser.parse_args()
    by_backtesting.keep_quiet()
    market = walk()
    gc.collect()
    gc.freeze()  # as a zygote does before it forks
    contests = {name: contest(name, market) for name in CODES}
    figures = {name: judge(name, each, market) for name, each in contests.items()}
    for name, row in figures.items():
        print_table(name, row)
    ok = all(row["ok"] for row in figures.values())
    if options.json:
        print(json.dumps({"bars": BARS, **figures, "ok": ok}))
    return 0 if ok else 1


def contest(name: str, market: Market) -> Contest:
    """Time all ways in turns, so that a slow moment of the machine is shared."""
    result = Contest()
    frames = {
        "ours": lambda: ours(CODES[name], market)[:2],
        "bare_loop": lambda: bare_loop(name, market)[:2],
        "backtesting": lambda: by_backtesting.run(name, market),
    }
    for round_ in range(ROUNDS):
        for way, work in frames.items():
            result.time(way, work)
        if name == "sma" and round_ < NAUTILUS_ROUNDS:
            result.time("nautilus", lambda: by_nautilus.run(market))
    return result


def ours(code: str, market: Market) -> tuple[float, Instants, bytes]:
    """Return what the child's way takes, from frame to frame, and what it decided."""
    rules = {each: getattr(RULES, each) for each in Rules.__slots__}
    load = messages.Load(
        code=code,
        parameters={},
        engine=messages.Engine(capital_nanos=CAPITAL * NANOS, **rules),
        contracts=[
            messages.Contract(symbol=SYMBOL, tick_nanos=TERMS.tick_nanos, lot_nanos=TERMS.lot_nanos)
        ],
    )
    columns = {each: market.prices(each).tobytes() for each in market.ticks}
    bars = messages.Bars(
        symbol=SYMBOL,
        duration_ns=MINUTE_NS,
        open_ns=market.open_ns.tobytes(),
        volume=np.full(BARS, 1e6).tobytes(),
        **columns,
    )
    frame = messages.encode(messages.Backtest(bars=[bars]))
    conversation = Conversation()
    conversation.answer(load)
    begun = time.process_time()
    answer = messages.encode(conversation.answer(messages.decode_for_child(frame)))
    took_s = time.process_time() - begun
    told = messages.decode_from_child(answer)
    if not isinstance(told, messages.Backtested):
        raise TypeError(f"the kernel answered {told}")
    return took_s, [], told.decisions[0].actions


def bare_loop(name: str, market: Market) -> tuple[float, Instants, bytes]:
    """Return what the same question takes at each bar, with nothing around it."""
    names: dict[str, Any] = dict(vars(signals))
    exec(CODES[name], names)  # noqa: S102  (the strategy above, as the kernel runs it)
    (kind,) = (
        each
        for each in names.values()
        if isinstance(each, type) and "generate_signal" in vars(each)
    )
    generate = kind().generate_signal
    closes = market.prices("close")
    begun = time.process_time()
    answers = [
        generate({"prices": closes[max(0, end - DEFAULT_LOOKBACK) : end]})
        for end in range(1, BARS + 1)
    ]
    took_s = time.process_time() - begun
    return took_s, [], bytes(map(("HOLD", "BUY", "SELL").index, answers))


def fills_of(actions: bytes, market: Market) -> list[Fill]:
    """Drive decisions through the account, visiting it at every bar."""
    account = Account(CAPITAL * NANOS, [TERMS], RULES)
    fills: list[Fill] = []
    columns = (market.ticks[each].tolist() for each in ("open", "high", "low", "close"))
    opens = market.open_ns.tolist()
    for opened, bar, action in zip(opens, zip(*columns, strict=True), actions, strict=True):
        closed = opened + MINUTE_NS
        fills += account.on_bar(SYMBOL, (opened, closed), bar)
        account.submit(account.plan(SYMBOL, (HOLD, BUY, SELL)[action], closed))
    return fills


def fills_of_child(name: str, market: Market) -> list[Traded]:
    """Return the fills that the child's own account tells the strategy of."""
    ours(CODES[name] + LISTENING, market)
    return [
        (each.ts_ns, round(each.quantity), each.price, each.side)
        for each in vars(sys.modules["strategy"])["FILLS"]
    ]


def judge(name: str, contest: Contest, market: Market) -> dict[str, Any]:
    _, _, decided = ours(CODES[name], market)
    _, _, asked = bare_loop(name, market)
    fills = fills_of(asked, market)
    plain = [
        (each.ts_ns, each.lots, TERMS.price(each.price_ticks), each.side.value) for each in fills
    ]
    instants = [(each.ts_ns, each.opens) for each in fills]
    instants = instants[: len(instants) // 2 * 2]  # the rest is no round trip
    equal = {"bare_loop": decided == asked and plain == fills_of_child(name, market)}
    for way in ("backtesting", "nautilus"):
        if way in contest.instants:
            theirs = contest.instants[way]
            equal[way] = theirs[: len(theirs) // 2 * 2] == instants
    ratios = {way: contest.ratio(way) for way in equal}
    budgets = {
        "bare_loop": MOST_TO_LOOP,
        "backtesting": MOST_TO_BACKTESTING,
        "nautilus": 1 / LEAST_TO_NAUTILUS,
    }
    within = {way: ratio <= budgets[way] for way, ratio in ratios.items()}
    return {
        "round_trips": sum(each.round_trip is not None for each in fills),
        "seconds": {way: round(contest.median_s(way), 4) for way in contest.seconds},
        "ratios": {way: round(each, 4) for way, each in ratios.items()},
        "budgets": {way: round(budgets[way], 4) for way in ratios},
        "equal_trades": equal,
        "ok": all(within.values()) and all(equal.values()) and bool(fills),
    }


def print_table(name: str, row: dict[str, Any]) -> None:
    print(f"{NAMES[name]}: {BARS:,} bars, {row['round_trips']:,} round trips")
    print(f"{'':<18}{'median s':>12}{'ours ÷ it':>12}{'budget':>10}{'equal trades':>14}")
    print(f"{'ours':<18}{row['seconds']['ours']:>12.3f}")
    for way, ratio in row["ratios"].items():
        said = "yes" if row["equal_trades"][way] else "NO"
        figures = f"{row['seconds'][way]:>12.3f}{ratio:>12.3f}{row['budgets'][way]:>10.3f}"
        print(f"{way:<18}{figures}{said:>14}")


if __name__ == "__main__":
    sys.exit(main())
