import math
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.sandbox import rules
from strategy_engine.sandbox.model import ChildLimits, ExitKind, Kill, Remains

LIMITS = ChildLimits(cpu_s=2.5)
BY_ENGINE = Kill(kind=ExitKind.SILENT, reason="no answer")


def kind_of(
    status: int | None, *, cpu_s: float = 0.0, killed: Kill | None = None, last_line: str = ""
) -> ExitKind:
    remains = Remains(status=status, cpu_s=cpu_s)
    return rules.explain_exit(remains, limits=LIMITS, killed=killed, last_line=last_line).kind


@pytest.mark.parametrize(
    ("status", "cpu_s", "kind"),
    [
        (0, 0.0, ExitKind.EXITED),
        (3, 0.0, ExitKind.EXITED),
        (255, 0.0, ExitKind.EXITED),
        (rules.EXIT_EXCEPTION, 0.0, ExitKind.EXCEPTION),
        (rules.EXIT_MEMORY, 0.0, ExitKind.OUT_OF_MEMORY),
        (-signal.SIGXCPU, 3.0, ExitKind.CPU_LIMIT),
        (-signal.SIGKILL, 4.0, ExitKind.CPU_LIMIT),
        (-signal.SIGKILL, 2.9, ExitKind.SIGNAL),
        (-signal.SIGSEGV, 4.0, ExitKind.SIGNAL),
        (-signal.SIGTERM, 0.0, ExitKind.SIGNAL),
        (None, 0.0, ExitKind.KILLED),
    ],
)
def test_an_end_that_the_engine_did_not_bring_is_read_from_its_status(
    status: int | None, cpu_s: float, kind: ExitKind
) -> None:
    assert kind_of(status, cpu_s=cpu_s) is kind


@pytest.mark.parametrize("status", [None, -signal.SIGKILL])
@pytest.mark.parametrize("kind", list(ExitKind))
def test_the_engines_kill_is_told_when_the_child_died_of_it(
    status: int | None, kind: ExitKind
) -> None:
    killed = Kill(kind=kind, reason="because")

    explained = rules.explain_exit(
        Remains(status=status, cpu_s=99.0), limits=LIMITS, killed=killed, last_line=""
    )

    assert explained == killed


@pytest.mark.parametrize("status", [3, rules.EXIT_EXCEPTION, rules.EXIT_MEMORY, -signal.SIGXCPU])
def test_a_child_that_failed_before_the_kill_arrived_keeps_its_own_end(status: int) -> None:
    assert kind_of(status, killed=BY_ENGINE) is kind_of(status)


@pytest.mark.parametrize("kind", list(ExitKind))
def test_a_clean_end_hides_only_kills_for_what_was_not_said(kind: ExitKind) -> None:
    heard = {ExitKind.BAD_FRAME, ExitKind.OVERSIZED_FRAME, ExitKind.LOG_FLOOD}
    expected = kind if kind in heard else ExitKind.EXITED

    assert kind_of(0, killed=Kill(kind=kind, reason="because")) is expected


def test_an_exception_is_told_in_its_own_words() -> None:
    told = rules.tell_exit(
        "exec_1",
        Remains(status=rules.EXIT_EXCEPTION, rss_bytes=5, cpu_s=0.5),
        limits=LIMITS,
        killed=None,
        log_tail=b"  File \"strategy.py\", line 3\n\nKeyError: 'prices'\n",
    )

    assert told.reason == "exec_1: it raised KeyError: 'prices'"
    assert told.log_lines == ('  File "strategy.py", line 3', "KeyError: 'prices'")
    assert (told.status, told.rss_bytes, told.cpu_s) == (70, 5, 0.5)


@given(
    status=st.one_of(st.none(), st.integers(-64, 255)),
    cpu_s=st.floats(0, 1e6),
    limits=st.sampled_from([LIMITS, ChildLimits(cpu_s=None)]),
)
def test_every_end_has_one_line(status: int | None, cpu_s: float, limits: ChildLimits) -> None:
    told = rules.tell_exit(
        "exec_1",
        Remains(status=status, cpu_s=cpu_s),
        limits=limits,
        killed=None,
        log_tail=b"line\n",
    )

    assert told.reason.startswith("exec_1: it ")
    assert "\n" not in told.reason


@pytest.mark.parametrize(
    ("kill", "words"),
    [
        (rules.wall_limit(1.5), ("1.5 s", "raise the limit")),
        (rules.silent(0.1), ("0.1 s", "endless loop")),
        (rules.hung_up(0.5), ("0.5 s", "closed its socket")),
        (rules.log_flood(1024), ("1024 bytes", "print less")),
        (rules.slow_reader(2048), ("2048 bytes", "do less per bar")),
        (rules.overstayed(1.0), ("1 s", "asked to end")),
        (rules.oversized_frame("a frame of 9 bytes; the limit is 8"), ("9", "8", "send less")),
        (rules.zygote_died("lean"), ("lean", "start it again")),
    ],
)
def test_a_kill_says_the_limit_and_what_to_do(kill: Kill, words: tuple[str, ...]) -> None:
    assert all(word in kill.reason for word in words)


@given(tail=st.binary(max_size=200))
def test_log_lines_are_never_empty_whatever_was_printed(tail: bytes) -> None:
    assert all(line.strip() for line in rules.log_lines(tail))


def test_the_back_off_doubles_up_to_its_bound() -> None:
    waits = [rules.back_off_s(failures) for failures in range(9)]

    assert waits == [0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]


@given(failures=st.integers(min_value=0, max_value=10**9))
def test_the_back_off_is_bounded(failures: int) -> None:
    assert 0 <= rules.back_off_s(failures) <= 5.0
    assert rules.back_off_s(failures) <= rules.back_off_s(failures + 1)


@given(cpu_s=st.floats(min_value=0.1, max_value=1e4))
def test_the_cpu_limit_is_spent_at_its_whole_second(cpu_s: float) -> None:
    limits = ChildLimits(cpu_s=cpu_s)

    assert rules.is_cpu_spent(math.ceil(cpu_s), limits)
    assert not rules.is_cpu_spent(math.ceil(cpu_s) - 0.001, limits)


def test_no_cpu_limit_is_never_spent() -> None:
    limits = ChildLimits(cpu_s=None)
    sent_by_itself = Remains(status=-signal.SIGXCPU, cpu_s=9.0)

    told = rules.explain_exit(sent_by_itself, limits=limits, killed=None, last_line="")

    assert not rules.is_cpu_spent(1e9, limits)
    assert told.kind is ExitKind.SIGNAL


def test_a_zygote_that_ended_says_how_and_its_last_line() -> None:
    assert rules.explain_zygote("lean", 1, b"Traceback\nImportError: x\n") == (
        "the lean zygote ended with exit code 1: ImportError: x"
    )
    assert rules.explain_zygote("lean", -9, b"") == (
        "the lean zygote ended by SIGKILL: it printed nothing"
    )


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    assert rules.signal_name(40) == "signal 40"


@pytest.mark.parametrize(
    ("has_run", "kind"), [(False, ExitKind.EXCEPTION), (True, ExitKind.EXITED)]
)
def test_only_a_child_that_never_ran_is_believed_that_it_was_not_confined(
    *, has_run: bool, kind: ExitKind
) -> None:
    told = rules.explain_exit(
        Remains(status=rules.EXIT_CONFINEMENT),
        limits=LIMITS,
        killed=None,
        last_line="no Landlock",
        has_run=has_run,
    )

    assert told.kind is kind
    assert ("never ran: no Landlock" in told.reason) is not has_run
