from dataclasses import replace

import pytest

from strategy_engine.rollout.analysis import Difference
from strategy_engine.rollout.rules import Bounds, Gate, Observation, Reason, Verdict, decide

SOUND = Observation(
    elapsed_s=600,
    decisions=300,
    silence_s=1,
    orders=20,
    rejects=0,
    compared=300,
    mismatches=0,
    decision_ms=0.1,
    slippage_bps=0.0,
    order_ratio=1.0,
    exposure=0.2,
    loss=0.0,
    restarts=0,
)
GATE = Gate(min_time_s=300, min_decisions=100)
REQUIRED = replace(GATE, requires_analysis=True)
NOT_WORSE = Difference(pairs=3_000, mean=0.02, lower=-0.04, upper=0.08)
WORSE = Difference(pairs=3_000, mean=-0.2, lower=-0.3, upper=-0.06)
WIDE = Difference(pairs=60, mean=0.0, lower=-2.0, upper=2.0)

PROMOTE, HOLD, PAUSE, ABORT = Verdict.PROMOTE, Verdict.HOLD, Verdict.PAUSE, Verdict.ABORT


@pytest.mark.parametrize(
    ("seen", "gate", "verdict", "reason"),
    [
        ({}, GATE, PROMOTE, Reason.NO_EVIDENCE_OF_HARM),
        ({"difference": WIDE}, GATE, PROMOTE, Reason.NO_EVIDENCE_OF_HARM),
        ({"difference": NOT_WORSE}, GATE, PROMOTE, Reason.BETTER),
        ({"difference": NOT_WORSE}, REQUIRED, PROMOTE, Reason.BETTER),
        ({"difference": WIDE}, REQUIRED, PAUSE, Reason.INCONCLUSIVE),
        ({}, REQUIRED, PAUSE, Reason.INCONCLUSIVE),
        ({"difference": WORSE}, GATE, ABORT, Reason.WORSE),
        ({"elapsed_s": 299}, GATE, HOLD, Reason.TOO_EARLY),
        ({"decisions": 99}, GATE, HOLD, Reason.TOO_EARLY),
        ({"elapsed_s": 10, "difference": NOT_WORSE}, GATE, HOLD, Reason.TOO_EARLY),
        ({"failure": "ZeroDivisionError"}, GATE, ABORT, Reason.FAILED),
        ({"failure": "no answer", "is_mute": True}, GATE, ABORT, Reason.SILENT),
        ({"restarts": 1, "last_restart": "out of memory"}, GATE, ABORT, Reason.FAILED),
        ({"restarts": 1, "is_mute": True}, GATE, ABORT, Reason.SILENT),
        ({"elapsed_s": 1, "restarts": 1}, GATE, ABORT, Reason.FAILED),
        ({"silence_s": 31}, GATE, ABORT, Reason.SILENT),
        ({"risk": "risk.pause: it lost too much"}, GATE, ABORT, Reason.RISK),
        ({"risk": "risk.halt: it lost too much", "failure": "ended"}, GATE, ABORT, Reason.RISK),
        ({"rejects": 2}, GATE, ABORT, Reason.REJECTS),
        ({"rejects": 1}, GATE, PROMOTE, Reason.NO_EVIDENCE_OF_HARM),
        ({"orders": 9, "rejects": 9}, GATE, PROMOTE, Reason.NO_EVIDENCE_OF_HARM),
        ({"mismatches": 2}, GATE, ABORT, Reason.MISMATCH),
        ({"mismatches": 1}, GATE, PROMOTE, Reason.NO_EVIDENCE_OF_HARM),
        ({"decision_ms": 8.1}, GATE, ABORT, Reason.SLOW),
        ({"slippage_bps": 5.1}, GATE, ABORT, Reason.SLIPPAGE),
        ({"order_ratio": 5.1}, GATE, ABORT, Reason.ORDER_RATE),
        ({"orders": 9, "order_ratio": 50.0}, GATE, PROMOTE, Reason.NO_EVIDENCE_OF_HARM),
        ({"exposure": 1.06}, GATE, ABORT, Reason.EXPOSURE),
        ({"loss": 0.021}, GATE, ABORT, Reason.LOSS_BUDGET),
        ({"loss": 0.02}, GATE, PROMOTE, Reason.NO_EVIDENCE_OF_HARM),
        ({"elapsed_s": 1, "loss": 0.021}, GATE, ABORT, Reason.LOSS_BUDGET),
    ],
)
def test_an_observation_comes_to_one_ruling(seen, gate, verdict, reason):
    ruling = decide(replace(SOUND, **seen), gate, Bounds())

    assert (ruling.verdict, ruling.reason) == (verdict, reason), ruling.message


@pytest.mark.parametrize(
    "name",
    [
        "decisions",
        "orders",
        "rejects",
        "mismatches",
        "compared",
        "loss",
        "silence_s",
        "restarts",
    ],
)
def test_a_missing_measurement_pauses_and_is_named(name):
    ruling = decide(replace(SOUND, difference=NOT_WORSE, **{name: None}), GATE, Bounds())

    assert (ruling.verdict, ruling.reason) == (PAUSE, Reason.UNMEASURED)
    assert name in ruling.message


@pytest.mark.parametrize("name", ["loss", "silence_s"])
def test_a_measurement_that_is_no_number_is_a_missing_one(name):
    ruling = decide(replace(SOUND, **{name: float("nan")}), GATE, Bounds())

    assert (ruling.verdict, ruling.reason) == (PAUSE, Reason.UNMEASURED)
    assert name in ruling.message


@pytest.mark.parametrize("name", ["decisions", "orders", "mismatches", "silence_s"])
def test_what_is_missing_hides_no_harm(name):
    ruling = decide(replace(SOUND, loss=0.5, **{name: None}), GATE, Bounds())

    assert (ruling.verdict, ruling.reason) == (ABORT, Reason.LOSS_BUDGET)


def test_a_message_holds_the_figure_and_the_limit():
    message = decide(replace(SOUND, loss=0.0334), GATE, Bounds()).message

    assert "0.0334" in message
    assert "0.02" in message


@pytest.mark.parametrize(("restarts", "verdict"), [(2, PROMOTE), (3, ABORT)])
def test_a_process_may_end_as_often_as_the_bound_says(restarts, verdict):
    seen = replace(SOUND, restarts=restarts, last_restart="it ended with signal 11")

    ruling = decide(seen, GATE, Bounds(max_restarts=2))

    assert ruling.verdict is verdict
    if verdict is ABORT:
        assert "3 times, the limit is 2: it ended with signal 11" in ruling.message


def test_better_is_never_said_without_a_difference_that_shows_it():
    for difference in (None, WIDE):
        ruling = decide(replace(SOUND, difference=difference), GATE, Bounds())
        assert ruling.reason is not Reason.BETTER
