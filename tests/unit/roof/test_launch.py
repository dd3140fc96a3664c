"""Control without its workflows: it waits for a database, and ends for anything else."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from strategy_engine.control import launching
from strategy_engine.infra import database
from strategy_engine.infra.outages import DamagedError, DatabaseAwayError


class EndedError(BaseException):
    """Where the process would have ended."""


class Answers:
    """A database that gives one answer after the other to what would be written."""

    def __init__(self, *answers: Exception) -> None:
        self.left = list(answers)

    async def takes_writes(self) -> None:
        raise self.left.pop(0)


@pytest.fixture
def waiting(monkeypatch):
    def end(status):
        raise EndedError(status)

    monkeypatch.setattr(launching.os, "_exit", end)
    monkeypatch.setattr(database, "WATCH_S", 0.0)
    settings = SimpleNamespace(data_dir=Path("/nonexistent"), server=None)
    return lambda home: launching.Launching(settings, home, SimpleNamespace(), None)


async def test_a_control_that_waits_for_its_database_ends_when_it_turns_out_damaged(waiting):
    home = Answers(DatabaseAwayError("full"), DamagedError("damaged"))
    with pytest.raises(EndedError, match="1"):
        await waiting(home).run()
    assert home.left == []
