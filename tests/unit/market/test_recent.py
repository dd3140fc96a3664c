from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from strategy_engine.market.recent import Recent

A, B, C = (Path(name) for name in "abc")


def test_what_has_not_changed_is_read_once() -> None:
    read: list[str] = []
    recent: Recent[str] = Recent(2)
    for stamp in (1, 1, 2, 2, 1):
        recent.get(A, stamp, lambda stamp=stamp: read.append(str(stamp)) or str(stamp))
    assert read == ["1", "2", "1"]


def test_the_one_that_was_asked_for_longest_ago_is_forgotten() -> None:
    read: list[Path] = []
    recent: Recent[Path] = Recent(2)
    for path in (A, B, A, C, A, B):
        recent.get(path, 1, lambda path=path: read.append(path) or path)
    assert read == [A, B, C, B]


def test_one_that_is_forgotten_while_it_is_read_is_answered() -> None:
    recent: Recent[str] = Recent(1)

    def slowly() -> str:
        recent.get(B, 1, lambda: "b")
        return "a"

    assert recent.get(A, 1, slowly) == "a"
    assert recent.get(A, 1, lambda: "again") == "a"


def test_many_threads_are_each_given_their_own() -> None:
    recent: Recent[int] = Recent(2)

    def ask(number: int) -> bool:
        return recent.get(Path(str(number % 5)), 0, lambda: number % 5) == number % 5

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(5_000)))
