"""What an emergency stop shuts."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from strategy_engine.venue.kill import KillState
from strategy_engine.venue.limits import Scope

ME = ("exec_1", "RSI", "main")


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        (Scope.ENGINE, ""),
        (Scope.ENGINE, "anything"),
        (Scope.ACCOUNT, "main"),
        (Scope.LINE, "RSI"),
        (Scope.EXECUTION, "exec_1"),
    ],
)
def test_a_stop_of_each_scope_finds_who_is_in_it_until_it_is_released(
    scope: Scope, subject: str
) -> None:
    kill = KillState()

    kill.stop(scope, subject, "a drill")
    stopped = kill.find(*ME)
    kill.release(scope, subject)

    assert stopped == "a drill"
    assert kill.find(*ME) is None


def test_a_stop_leaves_who_is_not_in_it_alone() -> None:
    kill = KillState()

    kill.stop(Scope.LINE, "main", "a line of that name, not an account")
    kill.stop(Scope.EXECUTION, "exec_2", "another")

    assert kill.find(*ME) is None


def test_the_widest_stop_is_named_and_outlives_the_release_of_a_narrower() -> None:
    kill = KillState()
    kill.stop(Scope.LINE, "RSI", "the line")
    kill.stop(Scope.ENGINE, "", "everything")

    first = kill.find(*ME)
    kill.release(Scope.LINE, "RSI")

    assert (first, kill.find(*ME)) == ("everything", "everything")


def test_stops_of_many_threads_are_all_kept() -> None:
    kill = KillState()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda no: kill.stop(Scope.EXECUTION, f"e{no}", "why"), range(400)))

    assert all(kill.find(f"e{no}", "RSI", "main") == "why" for no in range(400))
