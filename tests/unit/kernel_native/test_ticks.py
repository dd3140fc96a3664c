"""Quotes and trades, where a feed has them: orders meet these, bars are there to look at."""

from pathlib import Path
from typing import Any

import msgspec
import nautilus_trader.examples.strategies as shipped
import numpy as np
import pytest

from strategy_engine.matching import rules
from strategy_engine.matching.model import Side
from strategy_engine.sandbox.protocol import messages

SYMBOL, TICK = "EUR/USD.SIM", 0.00001
MINUTE_NS = 60 * 1_000_000_000
SIMPLE = (Path(shipped.__file__).parent / "simpler_quoter.py").read_text()
GRID = (Path(shipped.__file__).parent / "grid_market_maker.py").read_text()


def quotes(size: int, seed: int = 1) -> tuple[messages.Quotes, list[tuple[int, ...]]]:
    """Return quotes as columns and as rows: time, bid and ask in ticks, lots at each."""
    chance = np.random.default_rng(seed)
    middle = 110_000 + np.cumsum(chance.integers(-30, 31, size))
    away = chance.integers(1, 6, size)
    times = np.arange(1, size + 1, dtype="<i8") * MINUTE_NS
    columns = messages.Quotes(
        symbol=SYMBOL,
        ts_ns=times.tobytes(),
        bid=((middle - away) * TICK).tobytes(),
        ask=((middle + away) * TICK).tobytes(),
        bid_size=np.full(size, 1e6).tobytes(),
        ask_size=np.full(size, 1e6).tobytes(),
    )
    rows = [
        (int(ts_ns), int(mid - off), int(mid + off))
        for ts_ns, mid, off in zip(times, middle, away, strict=True)
    ]
    return columns, rows


@pytest.mark.parametrize(
    ("code", "parameters"),
    [
        (SIMPLE, {"order_qty": "1000", "tob_offset_ticks": 3}),
        (
            GRID,
            {
                "trade_size": 1000,
                "max_position": 5000,
                "requote_threshold_bps": 200,
                "grid_step_bps": 2,
            },
        ),
    ],
)
def test_a_quoter_does_live_what_it_did_in_the_backtest(
    bars: Any, floor: Any, session: Any, code: str, parameters: dict[str, Any]
) -> None:
    place = floor(code, **parameters)
    place.offers = ["quotes"]
    columns, rows = quotes(120)
    answer = place.talk().answer(messages.NativeBacktest(bars=[bars(2)], quotes=[columns]))
    assert isinstance(answer, messages.NativeBacktested)
    live = session(place, bars(2))
    live.start()
    asked: list[messages.Asked] = []
    for number, (ts_ns, bid, ask) in enumerate(rows, start=1):
        asked += _quote(live, ts_ns, (bid, ask), is_last=number % 60 != 0)
        if not number % 60:
            asked += live.bar(number // 60 - 1, events=msgspec.Raw(b"\x90")).asked
    seen = msgspec.msgpack.decode(answer.seen)
    assert len(seen) > 3
    assert answer.notices == []
    tested = [each for step in answer.steps for each in step.asked]
    assert [bytes(each.instruction) for each in asked] == [
        bytes(each.instruction) for each in tested
    ]
    assert [each["trade_no"] for each in seen] == [each.trade_no for each in live.venue.seen]


def _quote(live: Any, ts_ns: int, prices: tuple[int, int], *, is_last: bool) -> list[Any]:
    events = live.venue.meet_quote(SYMBOL, ts_ns, prices, (1_000_000, 1_000_000))
    message = messages.NativeQuote(
        symbol=SYMBOL,
        ts_ns=ts_ns,
        quote=(prices[0] * TICK, prices[1] * TICK, 1e6, 1e6),
        events=msgspec.Raw(msgspec.msgpack.encode(events)),
        is_last=is_last,
    )
    asked: list[Any] = live.hear(live.talk.answer(message), 0).asked
    return asked


TRADER = """
def on_start(self):
    self.subscribe_trade_ticks(self.config.instrument_id)

def on_trade_tick(self, tick):
    self.say(tick.price, tick.size)
    if self.order is None:
        self.order = self.submit("market")
"""


def test_an_order_given_on_a_trade_meets_the_next_one(bars: Any, acting: Any) -> None:
    place = acting(TRADER)
    place.offers = ["trades"]
    trades = messages.Trades(
        symbol=SYMBOL,
        ts_ns=np.array([MINUTE_NS, 2 * MINUTE_NS, 3 * MINUTE_NS]).tobytes(),
        price=np.array([1.1, 1.2, 1.3]).tobytes(),
        size=np.array([5.0, 7.0, 9.0]).tobytes(),
    )
    run = place.backtest(bars(1), trades=[trades])
    (fill,) = run.fills
    assert fill.ts_ns == 2 * MINUTE_NS
    assert fill.price_ticks == rules.slipped(120_000, Side.BUY, 100)


def test_a_live_trade_is_heard(bars: Any, acting: Any, session: Any, said: Any) -> None:
    place = acting(TRADER)
    place.offers = ["trades"]
    live = session(place, bars(1))
    live.start()
    message = messages.NativeTrade(symbol=SYMBOL, ts_ns=MINUTE_NS, price=1.1, size=5.0)
    answer = live.hear(live.talk.answer(message), 0)
    assert said(answer.state) == ["1.10000 5"]
    assert len(answer.asked) == 1


def test_a_feed_with_quotes_says_that_it_has_no_trades(bars: Any, acting: Any) -> None:
    place = acting(TRADER)
    place.offers = ["quotes"]
    (notice,) = place.backtest(bars(1)).notices
    assert notice == (
        "it wants trades of EUR/USD.SIM; this feed has bars and quotes only, so it gets none"
    )
