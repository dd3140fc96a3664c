"""What the contract pack and the gates find in native strategies; the kernel in this process."""

from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strategy_engine.matching.model import Side
from strategy_engine.matching.ticket import (
    Cancel,
    Contingency,
    Modify,
    OrderType,
    Ticket,
    TimeInForce,
)
from strategy_engine.pipeline import contract, model, stages
from strategy_engine.pipeline.children import Children
from strategy_engine.pipeline.model import Level, Verdict
from strategy_engine.pipeline.native.answers import given as checked
from strategy_engine.pipeline.native.forms import Step
from strategy_engine.pipeline.native.steps import Steps
from strategy_engine.sandbox.model import ChildLimits
from strategy_engine.sandbox.protocol import messages

PERIODIC = """
def on_bar(self, bar):
    self.bars += 1
    if self.bars % 20 == 10:
        self.turn()
"""
REMEMBERS = (
    PERIODIC
    + """
def on_save(self):
    return {"bars": str(self.bars).encode()}

def on_load(self, state):
    self.bars = int(state["bars"])
"""
)
BY_PRICE = """
def on_bar(self, bar):
    held = self.portfolio.net_position(self.config.instrument_id)
    close = float(bar.close)
    if (close < 1.09 and held <= 0) or (close > 1.11 and held > 0):
        self.turn()
"""


@pytest.fixture
def tools(make):
    def build(launcher=None, size=700):
        series = make.series(make.wave(size))
        catalogue = SimpleNamespace(
            instrument=lambda symbol: SimpleNamespace(
                symbol=symbol,
                calendar=series.calendar,
                tick_size="0.00001",
                lot_size=1,
                min_lots=1,
                note="",
                currency="USD",
                native=None,
                default_timeframe="1-HOUR-LAST-EXTERNAL",
            ),
            bars=lambda symbol, timeframe: series.bars,
            quotes=lambda symbol: None,
            trades=lambda symbol: None,
        )
        return stages.Tools(
            children=Children(launcher or make.Inside(), limits=ChildLimits(), workers=2),
            catalogue=catalogue,
            run_paper=None,
            running_returns=None,
            clock=SimpleNamespace(monotonic_s=lambda: 0.0),
        )

    return build


def named(result):
    return {each["name"]: each["verdict"] for each in result.evidence["checks"]}


async def test_the_syntax_check_says_what_binds_and_what_nobody_takes(make, tools):
    code = make.native("pass").content.code
    code = code.replace("    bar_type: BarType\n", "    bar_type: BarType\n    fast: int = 3\n")
    job = make.native(code, parameters={"fast": 5, "slwo": 9, "position_size": 0.5})
    result = await stages.syntax_check(job, tools())
    assert result.passed, result.message
    assert (result.evidence["bound"], result.evidence["unbound"]) == (["fast"], ["slwo"])
    idle, typo = [each.message for each in result.findings if each.level is Level.WARNING]
    assert idle.startswith("position_size: taken by the engine, and without effect on a strategy")
    assert "nobody takes the parameters slwo: Mine takes instrument_id, bar_type, fast" in typo


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"instrument_id": "nonsense"}, "instrument_id"),
        ({"symbols": ["EUR/USD.SIM"], "timeframe": "1-HOUR-LAST-EXTERNAL", "fast": "many"}, "fast"),
    ],
)
async def test_a_parameter_that_does_not_fit_fails_the_syntax_check(make, tools, parameters, word):
    code = make.native("pass").content.code
    code = code.replace("    bar_type: BarType\n", "    bar_type: BarType\n    fast: int = 3\n")
    result = await stages.syntax_check(make.native(code, parameters=parameters), tools())
    assert result.verdict is Verdict.FAILED
    assert word in result.message


@pytest.mark.parametrize("body", [BY_PRICE, REMEMBERS])
async def test_the_contract_pack_passes_an_honest_strategy(make, tools, body):
    result = await stages.unit_tests(make.native(body), tools())
    assert result.passed, result.message
    assert (result.evidence["tests_passed"], result.evidence["tests_failed"]) == (13, 0)
    assert set(named(result).values()) == {"passed"}


@pytest.mark.parametrize(
    ("body", "check", "word"),
    [
        (PERIODIC, contract.RESTART, "keep what it remembers with on_save and on_load"),
        ("seen = []\n" + PERIODIC.replace("self.bars += 1", "self.seen.append(1)").replace(
            "self.bars % 20", "len(self.seen) % 23"),
         contract.NO_SHARED_STATE, "a second instance in one process said"),
        ("def on_bar(self, bar):\n    if float(bar.high) == float(bar.low): 1 / 0",
         "flat_prices", "it must stand such bars"),
        ("def on_bar(self, bar):\n    if float(bar.volume) == 0: 1 / 0", "nan_volume", "such bars"),
        ("def on_start(self):\n    raise KeyError('x')", "one_bar", "it raised KeyError: 'x'"),
    ],
)  # fmt: skip
async def test_each_question_of_the_pack_finds_its_fault(make, tools, body, check, word):
    result = await stages.unit_tests(make.native(body), tools())
    assert not result.passed
    assert named(result)[check] == "failed", result.message
    (told,) = [each["message"] for each in result.evidence["checks"] if each["name"] == check]
    assert word in told


async def test_orders_of_a_second_start_are_refused_as_they_are_live(make, tools):
    body = BY_PRICE + "\ndef on_start(self):\n    super().on_start()\n    self.turn()\n"
    result = await stages.unit_tests(make.native(body), tools())
    assert named(result)[contract.RESTART] == "passed", result.message


async def test_a_strategy_that_warms_up_again_may_differ_for_a_while_and_is_told_so(make, tools):
    body = (
        BY_PRICE.replace("held = ", "self.bars += 1\n    held = ")
        .replace("if (close", "if self.bars > 60 and ((close")
        .replace("held > 0):", "held > 0)):")
    )
    result = await stages.unit_tests(make.native(body), tools())
    (told,) = [
        each["message"] for each in result.evidence["checks"] if each["name"] == contract.RESTART
    ]
    assert named(result)[contract.RESTART] == "passed", told
    assert "differed while it warmed up, the last " in told


async def test_the_backtest_passes_all_gates_of_an_honest_strategy(make, tools):
    result = await stages.backtest_(make.native(BY_PRICE), tools())
    assert result.passed, result.message
    assert result.evidence["orders"] == result.evidence["fill_count"] > 10
    assert len(result.evidence["lookahead"]) == 6  # three at decisions, two by digest, one fed
    assert result.evidence["lookahead"][-1]["bars"] == 665  # all but the hold-out, bar by bar
    later, dear = result.evidence["one_bar_later"], result.evidence["costs_doubled"]
    assert later["total_return"] != result.evidence["total_return"] != dear["total_return"]


@pytest.mark.parametrize(("most", "verdict"), [(1, "failed"), (2, "passed")])
async def test_a_backtest_that_opens_more_in_a_day_than_the_live_gate_allows_fails(
    make, tools, most, verdict
):
    body = """
    def on_bar(self, bar):
        self.bars += 1
        if self.bars % 6 == 0:
            self.turn()
    """
    job = make.native(body, parameters={"max_trades_per_day": most})
    result = await stages.backtest_(job, tools())
    assert result.evidence["trade_count"] > 20
    assert named(result)["max_trades_per_day"] == verdict
    assert ("live the gate denies what is beyond it" in result.message) == (most == 1)


@pytest.mark.parametrize("lookback", [100, 600])
async def test_a_history_shorter_than_what_is_requested_is_found(make, tools, lookback):
    # It trades by the mean of 250 bars, those that it requests in on_start among them.
    body = """
    def on_start(self):
        self.closes = []
        start = self.clock.utc_now() - __import__("pandas").Timedelta(hours=250)
        self.request_bars(self.config.bar_type, start=start)
        self.subscribe_bars(self.config.bar_type)

    def on_historical_data(self, bar):
        self.closes.append(float(bar.close))

    def on_bar(self, bar):
        self.closes.append(float(bar.close))
        recent = self.closes[-250:]
        held = self.portfolio.net_position(self.config.instrument_id)
        if (recent[-1] > sum(recent) / len(recent)) == (held <= 0):
            self.turn()
    """
    job = make.native(body, parameters={"lookback": lookback})
    result = await stages.backtest_(job, tools(size=1_400))
    assert named(result)["warm_up_stable"] == ("failed" if lookback == 100 else "passed")
    assert result.evidence["warm_up"]["lookback"] == 2 * lookback
    assert ("raise the parameter lookback" in result.message) == (lookback == 100)


async def test_what_a_module_remembers_of_another_run_is_caught(make, tools):
    # At its second run it knows how the first one ended.
    body = """
    known = {}

    def on_bar(self, bar):
        later = self.known.get(bar.ts_event + 3_600_000_000_000, float(bar.close))
        self.known[bar.ts_event] = float(bar.close)
        held = self.portfolio.net_position(self.config.instrument_id)
        if (later > float(bar.close) and held <= 0) or (later < float(bar.close) and held > 0):
            self.turn()
    """
    result = await stages.unit_tests(make.native(body), tools())
    assert named(result)[contract.NO_SHARED_STATE] == "failed"


async def test_bars_of_different_lengths_are_refused_with_what_to_do(make):
    one = make.series(make.wave(50), symbol="A.SIM")
    two = make.series(make.wave(50), symbol="B.SIM", step_ns=60 * 10**9)
    two = SimpleNamespace(**{n: getattr(two, n) for n in two.__slots__} | {"timeframe": "1-MINUTE"})
    part = SimpleNamespace(series=(one, two))
    async with Children(make.Inside(), limits=ChildLimits(), workers=1).open("nautilus", "t") as t:
        with pytest.raises(Exception, match="say which in the parameter timeframe"):
            await t.load(make.native("pass"), part)


async def test_a_child_that_lies_about_a_live_bar_is_forging(make, tools):
    job = make.native(BY_PRICE)

    class Liar(make.Inside):
        async def child(self, kind, limits, label):
            born = await super().child(kind, limits, label)
            honest = born.request

            async def request(body, timeout_s):
                if isinstance(messages.decode_for_child(body), messages.NativeWarmUp):
                    late = messages.Asked(
                        ts_ns=1 << 62,
                        instruction=msgspec.Raw(
                            msgspec.msgpack.encode(Cancel(client_order_id="x"))
                        ),
                    )
                    return messages.encode(messages.NativeActed(asked=[late]))
                return await honest(body, timeout_s)

            born.request = request
            return born

    with pytest.raises(model.ForgedAnswerError, match="an instruction later than now"):
        await stages.backtest_(job, tools(Liar()))


async def test_user_tests_run_where_the_strategy_s_modules_are_warm(make, tools):
    kinds = []

    class Noted(make.Inside):
        async def child(self, kind, limits, label):
            kinds.append((kind, label.partition(" ")[0]))
            if label.startswith("tests"):
                passed = messages.TestOutcome(name="test_a", passed=True)
                return make.Scripted(lambda _: messages.Tested(outcomes=[passed]))
            return await super().child(kind, limits, label)

    job = make.native(BY_PRICE, tests={"test_x.py": "def test_a(): pass"})
    result = await stages.unit_tests(job, tools(Noted()))
    assert result.evidence["user_tests"]["passed"] == 1
    assert ("nautilus", "tests") in kinds
    assert {kind for kind, _ in kinds} == {"nautilus"}


names = st.sampled_from([f"O-{number}" for number in range(6)])
prices = st.one_of(st.none(), st.integers(-3, 3), st.integers(108_000, 112_000))
tickets = st.builds(
    Ticket,
    client_order_id=names,
    symbol=st.just("EUR/USD.SIM"),
    side=st.sampled_from(Side),
    type=st.sampled_from(OrderType),
    lots=st.integers(0, 3_000),
    time_in_force=st.sampled_from(TimeInForce),
    limit_ticks=prices,
    trigger_ticks=prices,
    trailing_ticks=prices,
    limit_offset_ticks=prices,
    activation_ticks=prices,
    expire_ns=st.one_of(st.none(), st.integers(0, (1 << 63) - 1)),
    post_only=st.booleans(),
    reduce_only=st.booleans(),
    contingency=st.sampled_from(Contingency),
    linked_ids=st.lists(names, max_size=3).map(tuple),
    parent_id=st.one_of(st.none(), names),
)
modifies = st.builds(
    Modify,
    client_order_id=names,
    lots=st.one_of(st.none(), st.integers(0, 3_000)),
    limit_ticks=prices,
    trigger_ticks=prices,
)
asked = st.lists(st.one_of(tickets, modifies, st.builds(Cancel, client_order_id=names)), max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(every=st.lists(asked, min_size=8, max_size=8))
def test_whatever_a_child_asks_for_the_replay_ends_in_an_exact_account(make, every):
    part = make.history(make.wave(9))
    times = part.timeline().tolist()
    steps = []
    for index, each in enumerate(every):
        raw = [
            messages.Asked(ts_ns=times[index], instruction=msgspec.Raw(msgspec.msgpack.encode(one)))
            for one in each
        ]
        given_ = checked(raw, frozenset({make.SYMBOL}))
        steps.append(Step(symbol=make.SYMBOL, index=index, met=index + 1, asked=given_))
    chosen = Steps(steps=tuple(steps), happenings=9)
    job = make.native("pass")
    ledgered = chosen.replay(part, job.settings)
    paid = sum(each.pnl_nanos for each in ledgered.fills)
    held = int(ledgered.held[make.SYMBOL][-1])
    signed = sum(each.lots if each.side is Side.BUY else -each.lots for each in ledgered.fills)
    assert held == signed
    if not held:
        assert round(ledgered.pnl * 1e9) == pytest.approx(paid, abs=100)
