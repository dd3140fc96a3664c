from dataclasses import replace
from decimal import Decimal

import pytest

from strategy_engine.core import money
from strategy_engine.matching.settings import settings
from strategy_engine.pipeline import backtest, paper
from strategy_engine.pipeline.model import PaperFill, PaperRun, PaperTrip, Verdict

FULLY = settings({"position_size": 1.0}, {}, {})


@pytest.fixture
def window(make):
    return make.history(make.wave(200))


@pytest.fixture
def chosen(make):
    return make.signals(make.choices([1, 0, 2, 0] * 50))


@pytest.fixture
def ledgered(chosen, window):
    return backtest.replay(chosen, window, FULLY)


@pytest.fixture
def run(make, ledgered, chosen, window):
    """A live run that did exactly what the backtest does."""
    closes = window.series[0].bars.close_ns
    words = {1: "BUY", 2: "SELL"}
    return PaperRun(
        execution_id="exec_1",
        trades=tuple(
            PaperFill(
                symbol=each.symbol,
                side=str(each.side),
                quantity=Decimal(each.lots),
                price=Decimal(each.price_ticks) / 100_000,
                ts_ns=each.ts_ns,
                pnl=money.to_decimal(each.pnl_nanos),
            )
            for each in ledgered.fills
        ),
        round_trips=tuple(
            PaperTrip(
                symbol=each.symbol,
                entry_ns=each.entry_ns,
                exit_ns=each.exit_ns,
                pnl=money.to_decimal(each.pnl_nanos),
            )
            for each in ledgered.round_trips
        ),
        denials=(),
        reconciled=True,
        decision_cpu_ms=0.02,
        status="completed",
        decisions=tuple(
            (int(closes[at]), make.SYMBOL, words[int(action)])
            for at, action in enumerate(chosen[make.SYMBOL].actions)
            if action
        ),
    )


def test_a_live_run_like_its_backtest_is_at_parity(run, ledgered, chosen, window):
    fills = paper.fill_parity(run, ledgered, window)
    decided = paper.decision_parity(run, chosen, window)
    assert (fills.share, fills.equal) == (1.0, len(ledgered.fills))
    assert decided is not None
    assert decided.share == 1.0
    assert {each.verdict for each in paper.judge_run(run)} == {Verdict.PASSED}


@pytest.mark.parametrize(
    "change",
    [
        {"price": Decimal("1.23456")},
        {"quantity": Decimal(1)},
        {"side": "SELL"},
        {"ts_ns": 1},
        {"symbol": "X.SIM"},
    ],
)
def test_a_fill_counts_only_if_all_of_it_is_equal(run, ledgered, window, change):
    other = replace(run, trades=(replace(run.trades[0], **change), *run.trades[1:]))
    found = paper.fill_parity(other, ledgered, window)
    assert found.equal == len(ledgered.fills) - 1
    assert found.first_difference


def test_less_than_99_in_100_fails_and_shows_the_first_difference(run, ledgered, window):
    live = replace(run, trades=run.trades[2:])
    found = paper.judge_parity("fills", "fills", paper.fill_parity(live, ledgered, window))
    assert found.verdict is Verdict.FAILED
    assert "only the backtest has" in found.message
    extra = replace(run, trades=run.trades + run.trades[:2])
    assert "only the live run has" in paper.fill_parity(extra, ledgered, window).first_difference


@pytest.mark.parametrize(
    ("equal", "of", "verdict"), [(99, 100, Verdict.PASSED), (98, 100, Verdict.FAILED)]
)
def test_parity_ends_at_99_in_100(equal, of, verdict):
    found = paper.Parity(equal=equal, live=of, replayed=equal)
    assert paper.judge_parity("p", "fills", found).verdict is verdict


def test_a_window_without_a_trade_passes_with_a_note(run, make, window):
    silent = replace(run, trades=(), round_trips=(), decisions=())
    none = make.signals(make.choices([0] * 200))
    ledgered = backtest.replay(none, window, FULLY)
    assert paper.fill_parity(silent, ledgered, window).share == 1.0
    found = paper.judge_activity(silent, 200)
    assert found.verdict is Verdict.PASSED
    assert "no trade in the window of 200 bars" in found.message
    assert paper.headline(silent, window)["win_rate"] == 0.0


def test_a_node_that_keeps_no_decisions_is_compared_by_fills_alone(run, chosen, window):
    assert paper.decision_parity(replace(run, decisions=None), chosen, window) is None


@pytest.mark.parametrize(
    ("change", "name", "verdict"),
    [
        ({"reconciled": None}, "reconciled", Verdict.INCONCLUSIVE),
        ({"reconciled": False}, "reconciled", Verdict.FAILED),
        ({"denials": ("insufficient_cash: too much",)}, "no_denials", Verdict.FAILED),
        ({"decision_cpu_ms": 8.0}, "decision_cpu", Verdict.FAILED),
        ({"decision_cpu_ms": 7.99}, "decision_cpu", Verdict.PASSED),
        ({"decision_cpu_ms": None}, "decision_cpu", Verdict.INCONCLUSIVE),
    ],
)
def test_a_run_is_judged_by_each_of_its_facts(run, change, name, verdict):
    found = {each.name: each for each in paper.judge_run(replace(run, **change))}
    assert found[name].verdict is verdict
    others = {each.verdict for key, each in found.items() if key != name}
    assert others == {Verdict.PASSED}


def test_of_a_run_that_died_only_its_end_is_judged(run, ledgered, chosen, window):
    died = replace(
        run,
        trades=(),
        decisions=(),
        denials=("rate: too many",),
        reconciled=None,
        status="error",
        error="it raised X",
    )
    fills = paper.fill_parity(died, ledgered, window)
    decided = paper.decision_parity(died, chosen, window)
    checks = [
        *paper.judge_run(died),
        *paper.judge_parities(died, fills, decided),
        paper.judge_activity(died, 200),
    ]
    failed = [each for each in checks if each.verdict is Verdict.FAILED]
    assert [each.message for each in failed] == ["the run ended as error: it raised X"]
    others = [each for each in checks if each not in failed]
    assert {each.name for each in others} == {
        "reconciled",
        "no_denials",
        "decision_cpu",
        "fill_parity",
        "decision_parity",
        "activity",
    }
    assert {each.verdict for each in others} == {Verdict.INCONCLUSIVE}
    assert {each.message for each in others} == {"not asked: the run did not come to its end"}


def test_the_headline_is_computed_from_the_run(run, ledgered, window):
    found = paper.headline(run, window)
    assert found["duration_hours"] == 200
    assert found["trades_executed"] == len(ledgered.fills)
    assert found["pnl"] == pytest.approx(sum(each.pnl_nanos for each in ledgered.fills) / 1e9)
    wins = sum(each.pnl_nanos > 0 for each in ledgered.round_trips)
    assert found["win_rate"] == pytest.approx(wins / len(ledgered.round_trips))
    assert found["avg_trade_duration"] == pytest.approx(120.0)  # two bars of an hour
