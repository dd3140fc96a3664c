import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from strategy_engine.cli import engine
from strategy_engine.core.errors import UnavailableError

type Start = Callable[[str], engine.EngineProcess]

LISTENS = "print('listens on http://127.0.0.1:4321', flush=True)"
CHILD = """
import signal, subprocess, sys, time
{deaf}
child = subprocess.Popen([sys.executable, '-c', 'import signal, time;'
    'signal.signal(signal.SIGTERM, signal.SIG_IGN); print(\"deaf\", flush=True); time.sleep(600)'],
    stdout=subprocess.PIPE)
child.stdout.readline()
print('listens on http://127.0.0.1:4321', flush=True)
time.sleep(600)
"""
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a script in the engine's place."""
    started: list[engine.EngineProcess] = []

    def start(script: str) -> engine.EngineProcess:
        monkeypatch.setattr(engine, "_command", lambda _: [sys.executable, "-c", script])
        started.append(engine.EngineProcess(tmp_path, {"STRATEGY_METRICS_INTERVAL": "0.5"}))
        return started[-1]

    yield start
    for each in started:
        each.stop()


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until_gone(pids: list[int]) -> list[int]:
    deadline = time.monotonic() + 10
    while (left := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def family(process: engine.EngineProcess) -> list[int]:
    parent = psutil.Process(process.pid)
    return [parent.pid, *(each.pid for each in parent.children(recursive=True))]


def test_the_url_is_the_one_the_engine_says_it_listens_on(run: Start) -> None:
    process = run(f"{LISTENS}; import time; time.sleep(600)")

    assert process.url() == "http://127.0.0.1:4321"


def test_an_engine_that_ends_at_once_is_told_with_its_status_and_log(
    run: Start,
) -> None:
    process = run("print('the disk is full'); raise SystemExit(3)")

    with pytest.raises(UnavailableError, match="status 3"):
        process.url()
    assert process.last_lines() == ["the disk is full"]


def test_an_engine_that_is_killed_is_told_with_the_signal(run: Start) -> None:
    process = run(f"{LISTENS}; import time; time.sleep(600)")
    process.url()

    os.kill(process.pid, signal.SIGKILL)

    with pytest.raises(UnavailableError, match="SIGKILL"):
        while True:
            process.check()


def test_an_engine_that_never_listens_is_told_with_the_limit(run: Start) -> None:
    process = run("import time; time.sleep(600)")

    with pytest.raises(UnavailableError, match=r"within 0\.2 s"):
        process.url(timeout_s=0.2)


def test_stopping_ends_also_what_does_not_listen_to_its_end(run: Start) -> None:
    process = run(CHILD.format(deaf=""))
    process.url()
    pids = family(process)

    process.stop()

    assert len(pids) == 2
    assert until_gone(pids) == []


def test_an_engine_that_is_deaf_to_its_end_is_killed(
    run: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "STOP_TIMEOUT_S", 0.2)
    process = run(CHILD.format(deaf=DEAF))
    process.url()
    pids = family(process)

    process.stop()

    assert until_gone(pids) == []


def test_stopping_what_has_ended_ends_what_it_left_behind(run: Start) -> None:
    process = run(CHILD.format(deaf=""))
    process.url()
    pids = family(process)
    os.kill(process.pid, signal.SIGKILL)

    process.stop()
    process.stop()

    assert until_gone(pids) == []


def test_the_users_own_settings_do_not_reach_the_engine(
    run: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STRATEGY_API_KEY", "a key of another engine")
    monkeypatch.setenv("PIPELINE_STAGES", "syntax_check")
    process = run(
        "import os; print(sorted(name for name in os.environ if 'STRATEGY' in name"
        f" or 'PIPELINE' in name), flush=True); {LISTENS}; import time; time.sleep(600)"
    )
    process.url()

    assert process.last_lines()[0] == "['STRATEGY_METRICS_INTERVAL']"
