import signal

import pytest

from strategy_engine.core.errors import InvalidError, UnavailableError
from strategy_engine.execution import faults
from strategy_engine.execution.faults import Fault
from strategy_engine.execution.model import FAILED, LOST, Role
from strategy_engine.sandbox.model import ChildDiedError, ChildExit, ExitKind


def died(kind, status):
    return ChildDiedError(
        ChildExit(
            kind=kind,
            reason="it ended",
            status=status,
            rss_bytes=0,
            cpu_s=0.0,
            log_lines=("a", "b"),
        )
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (died(ExitKind.KILLED, -signal.SIGKILL), True),
        (died(ExitKind.KILLED, None), True),
        (died(ExitKind.SIGNAL, -signal.SIGKILL), True),
        (died(ExitKind.SIGNAL, -signal.SIGSEGV), False),
        (died(ExitKind.SILENT, -signal.SIGKILL), False),
        (died(ExitKind.CPU_LIMIT, -signal.SIGKILL), False),
        (died(ExitKind.OUT_OF_MEMORY, 71), False),
        (died(ExitKind.EXCEPTION, 70), False),
        (UnavailableError("no zygote"), True),
        (InvalidError("its own"), False),
    ],
)
def test_only_what_a_strategy_has_no_part_in_is_claimed_again(error, expected):
    assert faults.is_engines_fault(error) is expected


def test_a_failure_is_one_line_and_below_it_what_was_printed():
    assert faults.explain(died(ExitKind.SILENT, -9)) == "it ended\na\nb"


def test_an_execution_lost_for_want_of_the_engine_does_not_end_as_its_own_error():
    assert faults.end_reason(UnavailableError("lost five times")) == LOST
    assert faults.end_reason(InvalidError("its own")) == FAILED


@pytest.mark.parametrize(
    ("error", "role", "fault"),
    [
        (died(ExitKind.SIGNAL, -signal.SIGSEGV), Role.STABLE, Fault.CRASH),
        (died(ExitKind.SILENT, -signal.SIGKILL), Role.STABLE, Fault.CRASH),
        (died(ExitKind.OUT_OF_MEMORY, 71), Role.CANDIDATE, Fault.CRASH),
        (died(ExitKind.EXITED, 3), Role.STABLE, Fault.CRASH),
        (died(ExitKind.EXITED, 3), Role.VALIDATION, Fault.STRATEGY),
        (died(ExitKind.KILLED, None), Role.STABLE, Fault.ENGINE),
        (died(ExitKind.KILLED, None), Role.VALIDATION, Fault.ENGINE),
        (UnavailableError("no zygote"), Role.STABLE, Fault.ENGINE),
        (InvalidError("it raised"), Role.STABLE, Fault.STRATEGY),
    ],
)
def test_whose_fault_it_is_says_what_follows(error, role, fault):
    assert faults.judge(error, role) is fault


def test_an_end_after_restarts_says_how_many_there_were():
    told = faults.explain(died(ExitKind.EXITED, 3), restarts=3)
    assert told == "it ended; it was started again 3 times before\na\nb"


def test_the_cause_of_an_interruption_is_one_line():
    assert faults.cause(UnavailableError("one\ntwo")) == "one"
    assert faults.cause(RuntimeError()) == "RuntimeError"
