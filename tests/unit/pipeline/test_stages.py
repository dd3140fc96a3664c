"""The stages with the real kernel in the test's own process; only paper trading is told."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pytest

from strategy_engine.core.clock import SystemClock
from strategy_engine.core.errors import NotFoundError
from strategy_engine.market.model import Calendar, Instrument, Timeframe
from strategy_engine.pipeline import contract, history, model, risk, stages, trial
from strategy_engine.pipeline.children import Children
from strategy_engine.pipeline.criteria import criteria
from strategy_engine.pipeline.model import Level, PaperRun, Verdict
from strategy_engine.sandbox.model import ChildLimits, ExitKind
from strategy_engine.sandbox.protocol import messages

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Market:
    """A catalogue of bars that the test made."""

    def __init__(self, series):
        self._series = series

    def instrument(self, symbol):
        if symbol != self._series.symbol:
            raise NotFoundError(f"no instrument {symbol}")
        return Instrument(
            symbol=symbol,
            venue="SIM",
            currency="USD",
            tick_size=Decimal("0.00001"),
            lot_size=Decimal(1),
            calendar=Calendar.CONTINUOUS,
            default_timeframe=Timeframe.parse("1h"),
        )

    def bars(self, symbol, timeframe):
        return self._series.bars

    def quotes(self, symbol):
        return self._series.quotes

    def trades(self, symbol):
        return self._series.trades


async def nothing_runs(job):
    return []


async def no_paper(job, *, start_ns, end_ns):
    return PaperRun(
        execution_id="exec_1",
        trades=(),
        round_trips=(),
        denials=(),
        reconciled=True,
        decision_cpu_ms=0.1,
        status="completed",
    )


@pytest.fixture
def tools(make):
    def build(launcher=None, *, size=2_400, run_paper=no_paper, running=nothing_runs):
        return stages.Tools(
            children=Children(launcher or make.Inside(), limits=ChildLimits(), workers=2),
            catalogue=Market(make.series(make.wave(size))),
            run_paper=run_paper,
            running_returns=running,
            clock=SystemClock(),
        )

    return build


def named(result):
    return {each["name"]: each["verdict"] for each in result.evidence["checks"]}


STATELESS = """
class S:
    def generate_signal(self, market_data):
        prices = market_data['prices']
        return 'BUY' if prices[-1] < 1.09 else 'SELL' if prices[-1] > 1.11 else 'HOLD'
"""
FORGETS = """
class S:
    def __init__(self):
        self.bars = 0

    def generate_signal(self, market_data):
        self.bars += 1
        return 'BUY' if self.bars % 20 == 0 else 'SELL' if self.bars % 20 == 10 else 'HOLD'
"""
REMEMBERS = (
    FORGETS
    + """
    def save_state(self):
        return {'bars': self.bars}

    def load_state(self, state):
        self.bars = state['bars']
"""
)
SHARES = """
class S:
    seen = []

    def generate_signal(self, market_data):
        self.seen.append(1)
        turn = len(self.seen) % 20
        return 'BUY' if turn == 0 else 'SELL' if turn == 10 else 'HOLD'
"""
SHORT_SIGHTED = """
class S:
    lookback = 20

    def generate_signal(self, market_data):
        rsi = calculate_rsi(market_data['prices'], 14)
        return 'BUY' if rsi < 40 else 'SELL' if rsi > 60 else 'HOLD'
"""
CLIMBS = """
class S:
    def later(self, market_data):
        try:
            raise KeyError
        except KeyError as error:
            frame = error.__traceback__.tb_frame
        while frame is not None:
            runs = frame.f_locals.get('runs')
            if runs:
                return runs[0].history.ticks[3], runs[0].index
            frame = frame.f_back
        return None

    def generate_signal(self, market_data):
        closes, at = self.later(market_data)
        if at + 3 >= len(closes):
            return 'HOLD'
        return 'BUY' if closes[at + 3] > closes[at] else 'SELL'
"""


async def test_the_syntax_check_constructs_and_names_what_nobody_takes(make, tools):
    job = make.job(parameters={"rsi_period": 14, "oversold_threshold": 25})
    result = await stages.syntax_check(job, tools())
    assert result.passed
    assert result.evidence["bound"] == ["rsi_period"]
    (warning,) = [each for each in result.findings if each.level is Level.WARNING]
    assert "nobody takes the parameters oversold_threshold" in warning.message
    assert "RSIStrategy takes rsi_period, oversold, overbought" in warning.message


async def test_the_syntax_check_names_limits_that_nobody_reads(make, tools):
    job = make.job(risk_limits={"max_positon_size": 1, "max_var": 0.1, "allow_self_match": True})
    result = await stages.syntax_check(job, tools())
    (warning,) = [each for each in result.findings if each.level is Level.WARNING]
    assert result.passed
    assert "risk_limits allow_self_match, max_positon_size" in warning.message


@pytest.mark.parametrize(
    ("code", "parameters", "word"),
    [
        ("class S:\n  def generate_signal(self, market_data)\n    pass\n", {}, "line 2, column"),
        ("import os\n" + STATELESS, {}, "imports os"),
        (STATELESS.replace("class S:", "class S(Base):"), {}, "Base"),
        (STATELESS + "\n    def __init__(self): 1 / 0\n", {}, "ZeroDivisionError"),
        (STATELESS + "\n    def __init__(self, n: int): pass\n", {"n": "many"}, "n is 'many'"),
        (STATELESS + "\n    def __init__(self, n): pass\n", {}, "needs n"),
        (STATELESS, {"symbols": ["X.SIM"]}, "no instrument X.SIM"),
    ],
)
async def test_what_cannot_be_constructed_fails_the_syntax_check(
    make, tools, code, parameters, word
):
    result = await stages.syntax_check(make.job(code, parameters=parameters), tools())
    assert (result.passed, result.verdict) == (False, Verdict.FAILED)
    assert word in result.message


async def test_the_contract_pack_passes_an_honest_strategy(make, tools):
    result = await stages.unit_tests(make.job(), tools())
    assert result.passed, result.message
    assert (result.evidence["tests_passed"], result.evidence["tests_failed"]) == (13, 0)
    assert set(named(result).values()) == {"passed"}


@pytest.mark.parametrize(
    ("code", "check"),
    [
        (FORGETS, contract.RESTART),
        (SHARES, contract.NO_SHARED_STATE),
        (SHARES, contract.DETERMINISTIC),
        ("import numpy as np\n" + STATELESS.replace("'HOLD'", "np.sign"), contract.LEGAL_SIGNALS),
        (STATELESS.replace("prices[-1] < 1.09", "1 / (len(prices) - 1)"), "one_bar"),
        (STATELESS.replace("prices[-1] < 1.09", "prices[-20] < 1.09"), "one_bar"),
        (STATELESS.replace("prices[-1] < 1.09", "prices.std() and 1 / 0"), "real_prices"),
        (STATELESS.replace("prices[-1] < 1.09", "1 // (prices.std() > 0 or len(prices) < 99)"),
         "flat_prices"),
        (STATELESS.replace("prices[-1] < 1.09", "int(market_data['volume'][-1]) < 0"),
         "nan_volume"),
        (STATELESS.replace("prices[-1] < 1.09", "[1][int(prices[-1] > 1.9)] and 0"),
         "price_jump_up"),
        (STATELESS.replace("prices[-1] < 1.09", "[1][int(prices[-1] < 0.9)] and 0"),
         "price_jump_down"),
        (STATELESS.replace(
            "prices[-1] < 1.09",
            "[1][int((market_data['timestamps'][-1] - market_data['timestamps'][0]).astype(int)"
            " > 3_600_000_000_000 * (len(prices) - 1))] and 0"), "gaps"),
    ],
)  # fmt: skip
async def test_each_question_of_the_pack_finds_its_fault(make, tools, code, check):
    result = await stages.unit_tests(make.job(code), tools())
    assert not result.passed
    assert named(result)[check] == "failed", result.message


async def test_a_strategy_that_keeps_its_state_may_be_restarted(make, tools):
    result = await stages.unit_tests(make.job(REMEMBERS), tools())
    assert named(result)[contract.RESTART] == "passed", result.message


async def test_user_tests_count_apart_and_a_failing_one_fails_the_stage(make, tools):
    inside = make.Inside()

    class WithTests(make.Inside):
        async def child(self, kind, limits, label):
            if kind == "lean":
                return await inside.child(kind, limits, label)
            outcomes = [
                messages.TestOutcome(name="test_a", passed=True),
                messages.TestOutcome(name="test_b", passed=False, message="assert 1 == 2"),
                messages.TestOutcome(name="test_c", passed=False, skipped=True),
            ]
            return make.Scripted(lambda _: messages.Tested(outcomes=outcomes))

    job = make.job(tests={"test_x.py": "def test_a(): pass"})
    result = await stages.unit_tests(job, tools(WithTests()))
    assert result.verdict is Verdict.FAILED
    assert result.message == "assert 1 == 2"
    assert (result.evidence["tests_passed"], result.evidence["tests_failed"]) == (14, 1)
    counted = result.evidence["user_tests"]
    assert (counted["passed"], counted["failed"], counted["skipped"]) == (1, 1, 1)


async def test_a_strategy_that_dies_at_its_first_bar_is_asked_nothing_more(make, tools):
    asked = []

    def answer(message):
        asked.append(message)
        if isinstance(message, messages.Load):
            return make.LOADED
        raise make.died("it was silent")

    result = await stages.unit_tests(make.job(), tools(make.Scripted(answer)))
    assert result.verdict is Verdict.FAILED
    assert "it was silent" in result.message
    assert len(asked) == 2
    assert named(result)[contract.DETERMINISTIC] == "inconclusive"


def hangs(make, is_endless):
    """Give a launcher of real kernels whose children fall silent where a question says so."""

    class Hangs(make.Inside):
        silences = 0

        async def child(self, kind, limits, label):
            born = await super().child(kind, limits, label)
            answer = born.request

            async def request(body, timeout_s):
                question = messages.decode_for_child(body)
                if isinstance(question, messages.RunTests) or is_endless(question):
                    self.silences += 1
                    if isinstance(question, messages.RunTests):
                        await asyncio.Event().wait()
                    raise make.died("it gave no answer within 5 s")
                return await answer(body, timeout_s)

            born.request = request
            return born

    return Hangs()


def is_longer_than(bars):
    def is_endless(question):
        return isinstance(question, messages.Backtest) and len(question.bars[0].close) > 8 * bars

    return is_endless


async def test_the_pack_stops_at_the_first_question_that_ends_in_silence(make, tools):
    launcher = hangs(make, is_longer_than(100))
    job = make.job(tests={"test_x.py": "def test_a(): pass"})
    result = await stages.unit_tests(job, tools(launcher))
    found = named(result)
    assert (found["one_bar"], found["short_history"]) == ("passed", "passed")
    failed = [name for name, verdict in found.items() if verdict == "failed"]
    assert len(failed) == 1
    assert failed[0] in {"flat_prices", "real_prices"}
    assert "it gave no answer within 5 s" in result.message
    assert found["price_jump_down"] == found[contract.DETERMINISTIC] == "inconclusive"
    assert launcher.silences <= 1 + 2  # its own, the given up test's, and one that ran beside it
    (test,) = result.evidence["user_tests"]["tests"]
    assert (test["outcome"], "given up" in test["message"]) == ("skipped", True)
    assert all(each.is_closed for each in launcher.children)


async def test_silence_on_a_second_instrument_only_is_a_failure_of_its_own(make, tools):
    def is_endless(question):
        return isinstance(question, messages.Backtest) and contract.TWIN in {
            each.symbol for each in question.bars
        }

    result = await stages.unit_tests(make.job(), tools(hangs(make, is_endless)))
    found = named(result)
    assert found[contract.NO_SHARED_STATE] == "failed"
    assert [name for name, verdict in found.items() if verdict == "failed"] == [
        contract.NO_SHARED_STATE
    ]


async def test_a_pack_killed_from_outside_is_no_answer_of_the_strategy(make, tools):
    def answer(message):
        if isinstance(message, messages.Load):
            return make.LOADED
        raise make.died("it was killed", ExitKind.SIGNAL, -9)

    with pytest.raises(model.KilledFromOutsideError):
        await stages.unit_tests(make.job(), tools(make.Scripted(answer)))


async def test_the_backtest_reports_the_spec_s_fields_and_what_the_gates_saw(make, tools):
    result = await stages.backtest_(make.job(), tools())
    assert result.passed, result.message
    facts = result.evidence
    assert facts["duration_days"] == 95
    assert facts["trade_count"] > 10
    assert set(result.headline()) == set(model.HEADLINES["backtest"])
    assert facts["hold_out"]["bars"] == 120
    assert len(facts["lookahead"]) == 5
    assert facts["warm_up"]["lookback"] == 1_024
    assert facts["costs_doubled"]["total_return"] < facts["total_return"]
    assert facts["full"]["sharpe_ratio"]["n"] == 96  # UTC dates touched, from 22:00 on


async def test_a_backtest_of_fewer_days_takes_the_most_recent_and_a_longer_one_says_so(make, tools):
    kit = tools()
    short = await stages.backtest_(make.job(duration_days=30), kit)
    assert short.evidence["duration_days"] == 30
    assert short.evidence["history"]["bars"] == 30 * 24
    long = await stages.backtest_(make.job(duration_days=365), kit)
    assert long.evidence["duration_days"] == 95
    assert short.evidence["history"]["to"] == long.evidence["history"]["to"]
    assert any("365 days were asked for; the history has 95" in f.message for f in long.findings)


async def test_capital_counts(make, tools):
    result = await stages.backtest_(make.job(parameters={"capital": 50_000}), tools())
    assert result.evidence["initial_capital"] == 50_000


async def test_a_strategy_that_climbs_to_later_bars_is_caught(make, tools):
    result = await stages.backtest_(make.job(CLIMBS), tools())
    assert named(result)["no_lookahead"] == "failed"
    assert "with the later bars there" in result.message


async def test_a_window_too_short_for_its_indicator_is_caught(make, tools):
    result = await stages.backtest_(make.job(SHORT_SIGHTED), tools())
    assert named(result)["warm_up_stable"] == "failed"
    assert "raise the class attribute lookback" in result.message


async def test_a_history_of_a_few_bars_is_refused(make, tools):
    with pytest.raises(model.EngineError, match="are too few to validate on"):
        await stages.backtest_(make.job(), tools(size=20))


async def test_later_stages_remember_the_backtest_and_recompute_it_alone(make, tools):
    inside = make.Inside()
    kit = tools(inside)
    await stages.backtest_(make.job(), kit)
    asked = len(inside.children)
    after = await stages.risk_validation(make.job(), kit)
    assert len(inside.children) == asked
    alone = await stages.risk_validation(make.job(), tools(inside))
    assert len(inside.children) == asked + 1
    assert alone.evidence == after.evidence


async def test_another_parameter_is_another_backtest(make, tools):
    inside = make.Inside()
    kit = tools(inside)
    await stages.risk_validation(make.job(), kit)
    await stages.risk_validation(make.job(parameters={"fee_bps": 2}), kit)
    assert len(inside.children) == 2


async def test_risk_reports_bad_days_stress_and_company(make, tools):
    async def one_runs(job):
        days = np.arange(17_167, 17_167 + 95)
        return [
            risk.RunningReturns(
                execution_id="exec_9", days=days, returns=np.sin(days) / 100, capital=1e5
            )
        ]

    result = await stages.risk_validation(make.job(), tools(running=one_runs))
    facts = result.evidence
    assert result.passed, result.message
    assert 0 < facts["var_95"] <= facts["cvar_95"]
    assert set(facts["stress"]) == {"gap", "volatility", "feed_loss"}
    assert facts["stress"]["gap"]["loss"] < 0
    assert facts["running"]["shared_days"]["exec_9"] > 90
    assert facts["running"]["marginal_var"] is not None


async def test_risk_without_declared_limits_fails_and_names_both(make, tools):
    result = await stages.risk_validation(make.job(risk_limits={}), tools())
    assert result.verdict is Verdict.FAILED
    assert "no max_position_size and no daily_loss_limit" in result.message


async def test_a_broken_daily_loss_limit_fails_with_its_day(make, tools):
    limits = {"max_position_size": 200_000, "daily_loss_limit": -1}
    result = await stages.risk_validation(make.job(risk_limits=limits), tools())
    assert result.verdict is Verdict.FAILED
    assert "worst day -" in result.message


async def test_performance_judges_the_criteria_and_shows_what_was_overridden(make, tools):
    wanted = criteria({"min_sharpe_ratio": 99.0})
    result = await stages.performance_validation(make.job(criteria=wanted), tools())
    assert result.verdict is Verdict.FAILED
    assert "at least 99.00" in result.message
    assert result.evidence["overrides"] == ["min_sharpe_ratio"]


@pytest.mark.parametrize("accepted", [True, False])
async def test_inconclusive_passes_only_if_the_request_says_so(make, tools, accepted):
    given = {"min_daily_returns": 5_000, "accept_inconclusive": accepted}
    job = make.job(criteria=criteria(given | {"min_win_rate": 0.0}))
    result = await stages.performance_validation(job, tools())
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.passed is accepted


async def test_paper_trading_asks_for_the_hold_out_and_compares(make, tools):
    asked = SimpleNamespace()

    async def paper(job, *, start_ns, end_ns):
        asked.start_ns, asked.end_ns = start_ns, end_ns
        return await no_paper(job, start_ns=start_ns, end_ns=end_ns)

    kit = tools(run_paper=paper)
    result = await stages.paper_trading(make.job(), kit)
    data = await trial.data_of(make.job(), kit.catalogue)
    closes = data.whole.timeline()
    inside = closes[(closes > asked.start_ns) & (closes <= asked.end_ns)]
    assert inside.tolist() == data.unseen.timeline().tolist()
    assert result.verdict is Verdict.FAILED  # it traded in the backtest, the run says it did not
    assert "only the backtest has" in result.message


async def test_paper_trading_plays_no_more_bars_than_the_live_path_takes(make, tools, monkeypatch):
    monkeypatch.setattr(history, "MOST_PAPER_BARS", 30)
    asked = SimpleNamespace()

    async def paper(job, *, start_ns, end_ns):
        asked.hours = (end_ns - start_ns) // make.HOUR_NS
        return await no_paper(job, start_ns=start_ns, end_ns=end_ns)

    silent = STATELESS.replace("1.09", "0.5").replace("1.11", "2.0")
    kit = tools(run_paper=paper)
    result = await stages.paper_trading(make.job(silent), kit)
    assert asked.hours == 30  # from the close before its first bar to the last
    assert result.evidence["history"]["bars"] == 30
    assert any("plays the last 30 bars of the hold-out" in each.message for each in result.findings)
    tested = await stages.backtest_(make.job(), kit)
    assert tested.evidence["history"]["bars"] == 2_280  # what the backtest sees stays


async def test_a_run_that_died_says_why_and_nothing_else(make, tools):
    async def dies(job, *, start_ns, end_ns):
        run = await no_paper(job, start_ns=start_ns, end_ns=end_ns)
        return replace(run, status="error", error="it raised X", reconciled=None)

    result = await stages.paper_trading(make.job(), tools(run_paper=dies))
    assert result.verdict is Verdict.FAILED
    assert result.message == "the run ended as error: it raised X"


async def test_paper_trading_of_a_silent_strategy_passes_with_a_note(make, tools):
    silent = STATELESS.replace("1.09", "0.5").replace("1.11", "2.0")
    result = await stages.paper_trading(make.job(silent), tools())
    assert result.passed, result.message
    assert any("no trade in the window" in each.message for each in result.findings)
    assert result.evidence["trades_executed"] == 0


async def test_every_stage_is_registered_in_the_pipeline_s_order():
    assert tuple(name for name, _ in stages.REGISTRY) == model.STAGES


async def test_remembered_backtests_take_no_more_memory_than_they_may(make, tools):
    kit = tools()
    data = await trial.data_of(make.job(), kit.catalogue)
    jobs = [make.job(parameters={"fee_bps": fee}) for fee in (1, 2, 3)]
    first = trial.Outcomes()
    outcome = await trial.outcome_of(jobs[0], data.seen, children=kit.children, outcomes=first)
    size = outcome.size_bytes()
    assert size > outcome.ledgered.equity.nbytes + len(outcome.ledgered.fills) * 100
    kept = trial.Outcomes(most_bytes=2 * size + size // 2)
    for key in ("a", "b", "a", "c"):
        kept.put(key, outcome)
    assert kept.held_bytes == 2 * size
    assert [kept.get(key) is outcome for key in ("a", "b", "c")] == [True, False, True]
    small = trial.Outcomes(most_bytes=size - 1)
    small.put("a", outcome)
    assert (small.get("a"), small.held_bytes) == (None, 0)
