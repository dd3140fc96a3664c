"""Native strategies in the engine: what they ask for is replayed, and comes to what they saw."""

from dataclasses import replace
from importlib import resources

import numpy as np
import pytest

from strategy_engine.market.model import Quotes, Trades
from strategy_engine.pipeline import backtest, history
from strategy_engine.pipeline.children import Children
from strategy_engine.pipeline.model import StrategyFailedError
from strategy_engine.pipeline.native import replay
from strategy_engine.sandbox.model import ChildLimits

SHIPPED = resources.files("nautilus_trader.examples.strategies")
EMA_CROSS = (SHIPPED / "ema_cross.py").read_text()
BRACKET = (SHIPPED / "ema_cross_bracket.py").read_text()
QUOTER = (SHIPPED / "simpler_quoter.py").read_text()
GRID = (SHIPPED / "grid_market_maker.py").read_text()
VOLATILE = (SHIPPED / "volatility_market_maker.py").read_text()
ENTERS_AND_LEAVES = """
def on_bar(self, bar):
    self.bars += 1
    if self.bars in (2, 5):
        self.turn()
"""


async def run(make, job, part, **how):
    pool = Children(make.Inside(), limits=ChildLimits(), workers=1)
    async with pool.open("nautilus", "test") as talk:
        await talk.load(job, part)
        return await talk.backtest(part, **how)


def with_ticks(each, seed=3):
    """Return a series with three quotes and a trade a bar, some at the same instant."""
    chance = np.random.default_rng(seed)
    bars = each.bars
    offsets = np.sort(chance.integers(1, bars.timeframe_ns // 10**9, (len(bars), 3)), axis=1)
    at_ns = (bars.ts_ns[:, None] + offsets * 10**9).ravel()
    at_ns = np.sort(np.concatenate([at_ns, at_ns[::5]]))
    bid = np.round(
        np.interp(at_ns, bars.close_ns, bars.close) + chance.normal(0, 3e-4, at_ns.size), 5
    )
    sizes = np.full(at_ns.size, 5_000.0)
    quotes = Quotes(ts_ns=at_ns, bid=bid, ask=bid + 2e-5, bid_size=sizes, ask_size=sizes)
    trades = Trades(ts_ns=at_ns[::4], price=bid[::4], size=sizes[::4] * 0.3)
    return replace(each, quotes=quotes, trades=trades)


def bars_only(part):
    return history.History(series=tuple(each.with_bars(each.bars) for each in part.series))


async def test_a_market_order_fills_at_the_next_open_and_the_account_is_exact(make):
    part = make.history([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6])
    job = make.native(ENTERS_AND_LEAVES, parameters={"slippage_bps": 0, "fee_bps": 10})
    ledgered = (await run(make, job, part)).replay(part, job.settings)
    entry, leave = ledgered.fills
    assert (entry.price_ticks, leave.price_ticks) == (110_000, 140_000)  # the opens of bars 2 and 5
    assert ledgered.fill_slots == (2, 5)
    assert ledgered.held[make.SYMBOL].tolist() == [0, 0, 1000, 1000, 1000, 0, 0]
    fees = 1000 * (1.1 + 1.4) * 0.001
    assert ledgered.pnl == pytest.approx(300 - fees)
    assert ledgered.equity[3] == pytest.approx(100_000 + 1000 * (1.3 - 1.1) - 1.1)
    (trip,) = ledgered.round_trips
    assert trip.pnl_nanos == round((300 - fees) * 1e9)


@pytest.mark.parametrize("code", [EMA_CROSS, BRACKET])
async def test_what_the_engine_books_is_what_the_strategy_saw(make, code):
    part = make.history(make.wave(600))
    job = make.native(code, parameters={"trade_size": 1000})
    chosen = await run(make, job, part)
    ledgered = chosen.replay(part, job.settings)
    assert len(ledgered.fills) > 10
    assert len(chosen.seen) == len(ledgered.fills)
    assert not [each for each in chosen.notes(ledgered) if "differ" in each.message]
    realised = sum(each.pnl_nanos for each in ledgered.fills)
    if not ledgered.held[make.SYMBOL][-1]:
        assert ledgered.pnl == pytest.approx(realised / 1e9)


async def test_a_strategy_that_saw_other_fills_is_told_apart(make):
    part = make.history(make.wave(600))
    job = make.native(EMA_CROSS, parameters={"trade_size": 1000})
    chosen = await run(make, job, part)
    ledgered = chosen.replay(part, job.settings)
    forged = replace(chosen, seen=chosen.seen[:-1])
    (told,) = [each.message for each in forged.notes(ledgered) if "differ" in each.message]
    last = len(ledgered.fills)
    assert told.startswith(f"the strategy saw {last - 1} fills and the engine books {last}: they")
    assert f"from fill {last} on" in told


async def test_two_instruments_are_one_account_and_one_strategy(make):
    body = """
    def on_start(self):
        for each in self.cache.instruments():
            self.subscribe_bars(BarType.from_str(f"{each.id}-1-HOUR-LAST-EXTERNAL"))

    def on_bar(self, bar):
        self.bars += 1
        name = bar.bar_type.instrument_id
        if self.bars % 7 == 0:
            pair = self.cache.instrument(name)
            side = OrderSide.SELL if self.portfolio.is_net_long(name) else OrderSide.BUY
            self.submit_order(self.order_factory.market(name, side, pair.make_qty(100)))
    """
    one = make.series(make.wave(200), symbol="A.SIM")
    two = make.series(
        make.wave(150, seed=2), symbol="B.SIM", start_ns=make.START_NS + 40 * make.HOUR_NS
    )
    part = history.history([one, two])
    job = make.native(body, parameters={"symbols": ["A.SIM", "B.SIM"]})
    chosen = await run(make, job, part)
    ledgered = chosen.replay(part, job.settings)
    assert {each.symbol for each in ledgered.fills} == {"A.SIM", "B.SIM"}
    assert not chosen.notes(ledgered)
    assert [each.size for each in ledgered.held.values()] == [200, 150]


@pytest.mark.parametrize(
    ("code", "parameters"),
    [
        (QUOTER, {}),
        (EMA_CROSS, {"trade_size": 1000}),
        (GRID, {"trade_size": 1000, "max_position": 5000}),
        (VOLATILE, {"trade_size": 1000, "atr_period": 14, "atr_multiple": 0.1}),
    ],
)
async def test_where_there_are_ticks_they_are_the_market(make, code, parameters):
    part = history.history([with_ticks(make.series(make.wave(150)))])
    job = make.native(code, parameters=parameters)
    chosen = await run(make, job, part)
    ledgered = chosen.replay(part, job.settings)
    assert ledgered.fills
    assert not chosen.notes(ledgered)  # saw what was booked, and wanted nothing that is not there
    closes = set(part.series[0].bars.close_ns.tolist()) | set(part.series[0].bars.ts_ns.tolist())
    assert any(each.ts_ns not in closes for each in ledgered.fills)
    plain = chosen.replay(bars_only(part), job.settings)  # as a stress does
    assert plain.equity.size == ledgered.equity.size


async def test_ticks_outside_the_bars_of_a_part_do_not_belong_to_it(make):
    whole = history.history([with_ticks(make.series(make.wave(100)))])
    border = int(whole.timeline()[59])
    first, rest = whole.until(border), whole.after(border)
    sizes = [len(each.series[0].quotes) for each in (first, rest, whole)]
    assert sizes[0] + sizes[1] == sizes[2]
    assert first.identity() != bars_only(first).identity()
    assert int(first.series[0].quotes.ts_ns[-1]) <= border < int(rest.series[0].quotes.ts_ns[0])


async def test_a_warm_up_is_history_and_no_time_to_trade_in(make):
    part = make.history(make.wave(300))
    job = make.native(EMA_CROSS, parameters={"trade_size": 1000})
    chosen = await run(make, job, part, warm_up=100)
    ledgered = chosen.replay(part.skip(100), job.settings)
    assert chosen.happenings == 200
    assert ledgered.fills
    assert len(chosen.seen) == len(ledgered.fills)


async def test_a_bar_of_latency_lets_everything_arrive_a_bar_later(make):
    part = make.history([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6])
    job = make.native(ENTERS_AND_LEAVES, parameters={"slippage_bps": 0, "fee_bps": 0})
    chosen = await run(make, job, part)
    late = chosen.delayed(1).replay(part, job.settings)
    assert [each.price_ticks for each in late.fills] == [120_000, 150_000]
    assert chosen.delayed(4).replay(part, job.settings).fill_slots == (6,)  # the other is too late


async def test_dearer_costs_are_paid_for_the_same_instructions(make):
    part = make.history(make.wave(300))
    job = make.native(EMA_CROSS, parameters={"trade_size": 1000})
    chosen = await run(make, job, part)
    cheap = chosen.replay(part, job.settings)
    dear = chosen.replay(part, backtest.with_costs(job.settings, 2))
    assert len(cheap.fills) == len(dear.fills)
    assert dear.pnl < cheap.pnl


async def test_a_run_without_a_trade_says_what_became_of_its_orders(make):
    body = "def on_bar(self, bar):\n    self.submit('limit', 0.5, time_in_force=TimeInForce.IOC)"
    part = make.history(make.wave(100))
    job = make.native(body)
    chosen = await run(make, job, part)
    assert chosen.replay(part, job.settings).fills == ()
    told = chosen.silence(part, job.settings)
    assert told == "no trade in 100 bars: 100 instructions, no fill; 99 × cancelled: ioc"
    idle = await run(make, make.native("def on_bar(self, bar):\n    pass"), part)
    assert "it asked for no order; loosen its entry" in idle.silence(part, job.settings)


async def test_orders_that_pile_up_end_the_replay(make, monkeypatch):
    part = make.history(make.wave(200))
    job = make.native("def on_bar(self, bar):\n    self.submit('limit', 0.5)")
    chosen = await run(make, job, part)
    monkeypatch.setattr(replay, "MOST_WORK", 1_000)
    with pytest.raises(StrategyFailedError, match=r"its working orders have met 1,\d\d\d prices"):
        chosen.replay(part, job.settings)


async def test_a_run_on_less_history_is_the_same_as_far_as_it_goes(make):
    part = make.history(make.wave(400))
    job = make.native(EMA_CROSS, parameters={"trade_size": 1000})
    whole = await run(make, job, part)
    cut = await run(make, job, part.until(int(part.timeline()[250])))
    assert whole.differences(cut, part) == cut.differences(whole, part) == []
    other = replace(cut, steps=cut.steps[:-1])
    (found,) = whole.differences(other, part)
    assert (found.index, found.other) == (cut.steps[-1].index, "nothing")
    assert found.one.split()[:2] in (["BUY", "MARKET"], ["SELL", "MARKET"])
    assert found.close_ns == int(part.timeline()[found.index])


async def test_what_an_order_is_called_is_no_difference_but_which_is_meant(make):
    body = """
    def on_bar(self, bar):
        self.bars += 1
        if self.bars == 2:
            for name in ("{one}", "{two}"):
                self.submit("limit", 0.5, client_order_id=ClientOrderId(name))
        if self.bars == 4:
            self.cancel_order(self.cache.order(ClientOrderId("{gone}")))
    """
    part = make.history(make.wave(10))

    async def called(one, two, gone):
        return await run(make, make.native(body.format(one=one, two=two, gone=gone)), part)

    plain = await called("O-1", "O-2", "O-1")
    assert plain.differences(await called("A-9", "B-7", "A-9"), part) == []
    (found,) = plain.differences(await called("O-1", "O-2", "O-2"), part)
    assert (found.index, found.other) == (3, "cancel of O-2")


async def test_the_live_path_s_rows_are_the_orders(make):
    part = make.history([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6])
    chosen = await run(make, make.native(ENTERS_AND_LEAVES), part)
    closes = part.timeline().tolist()
    assert chosen.rows(part) == [
        (closes[1], make.SYMBOL, "BUY MARKET"),
        (closes[4], make.SYMBOL, "SELL MARKET"),
    ]
    assert chosen.turns(part) == [closes[1], closes[4]]
    assert chosen.told()["orders"] == 2
    assert chosen.size_bytes() > 0
