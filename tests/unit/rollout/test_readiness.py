from dataclasses import replace

import pytest

from strategy_engine.execution.model import ExecutionStatus
from strategy_engine.rollout import readiness
from strategy_engine.rollout.parity import Compared
from strategy_engine.rollout.readiness import Observed, Standing

SOUND = Observed(
    status=ExecutionStatus.RUNNING,
    compared=Compared(compared=20, up_to_no=21),
    ledger_findings=(),
    denials={"shadow": 7},
)


def test_a_candidate_that_decides_as_a_fresh_process_does_is_ready():
    found = readiness.judge(SOUND)

    assert found.standing is Standing.READY
    assert found.message.startswith("20 decisions are those of a fresh process")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": ExecutionStatus.STARTING}, "starting, not running"),
        ({"status": ExecutionStatus.PAUSED}, "paused, not running"),
        ({"compared": None}, "0 of 20 decisions"),
        ({"compared": Compared(compared=19)}, "19 of 20 decisions"),
        ({"compared": Compared(compared=20, trouble="it died")}, "held up: it died"),
        ({"ledger_findings": None}, "not reconciled"),
        ({"ledger_findings": ("cash is off by 1",)}, "does not add up: cash is off by 1"),
        ({"denials": None}, "not counted"),
    ],
)
def test_what_is_missing_holds_it_up(change, said):
    found = readiness.judge(replace(SOUND, **change))

    assert found.standing is Standing.NOT_YET
    assert said in found.message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": ExecutionStatus.ERROR}, "has ended (error)"),
        ({"status": ExecutionStatus.STOPPED}, "has ended (stopped)"),
        ({"failure": "ZeroDivisionError"}, "it failed: ZeroDivisionError"),
        (
            {"compared": Compared(compared=99, mismatches=1, first_mismatch="that bar")},
            "1 of 99 live decisions",
        ),
        (
            {"compared": Compared(compared=99, wrong_bars=2, first_wrong_bar="that one")},
            "2 bars that it was shown are not those of the history; the first: that one",
        ),
        ({"denials": {"shadow": 1, "max_position_size": 3}}, "3 of its orders were refused"),
    ],
)
def test_what_time_does_not_mend_ends_it(change, said):
    found = readiness.judge(replace(SOUND, **change))

    assert found.standing is Standing.NEVER
    assert said in found.message


def test_every_reason_is_said_at_once():
    found = readiness.judge(Observed(status=ExecutionStatus.STARTING))

    assert found.message.count(";") == 3


def test_how_many_bars_are_compared_is_the_plans_to_say():
    assert readiness.judge(SOUND, parity_bars=21).standing is Standing.NOT_YET
    assert readiness.judge(SOUND, parity_bars=5).standing is Standing.READY
