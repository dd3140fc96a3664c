"""What a library repeats while something is away is written seldom, and an error always."""

import logging

import pytest

from strategy_engine.infra import logs


class Heard(logging.Handler):
    """Keeps what it is handed."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def library(heard, clock):
    logger = logging.Logger("library")  # noqa: LOG001  of the test alone, unknown to every other
    logger.addHandler(heard)
    logger.addFilter(logs.Sparing(every_s=10.0, monotonic_s=lambda: clock[0]))
    return logger


def complain(library, about):
    library.warning("no answer from %s", about)


def test_a_place_that_repeats_itself_is_heard_once_in_a_while_and_counts(library, heard, clock):
    for second in range(25):
        clock[0] = float(second)
        complain(library, second)
    assert heard.lines == [
        "no answer from 0",
        "no answer from 10 (9 more were held back)",
        "no answer from 20 (9 more were held back)",
    ]


def test_a_place_that_was_not_held_back_says_nothing_of_others(library, heard, clock):
    complain(library, "one")
    clock[0] = 10.0
    complain(library, "other")
    assert heard.lines == ["no answer from one", "no answer from other"]


def test_places_do_not_silence_one_another(library, heard):
    complain(library, "one")
    library.warning("something else")
    assert heard.lines == ["no answer from one", "something else"]


def test_no_error_is_held_back(library, heard):
    for number in range(3):
        library.error("broke %s", number)
    assert heard.lines == ["broke 0", "broke 1", "broke 2"]
