import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

WITHIN_S = 90
TRADE = re.compile(r"\b(BUY|SELL)\b.*EUR/USD\.SIM @")
STAGES = (
    "syntax_check",
    "unit_tests",
    "backtest",
    "paper_trading",
    "risk_validation",
    "performance_validation",
)


class Demo:
    """A demo in a process of its own, with a temporary directory of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.seen: set[int] = set()
        self.lines: list[str] = []
        with _as_in_a_terminal():
            self.process = subprocess.Popen(
                [sys.executable, "-m", "strategy_engine.cli.main", "demo", *options],
                env={**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

    def until(self, pattern: str | re.Pattern[str]) -> None:
        """Read on to the first line that matches."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line)
            self.look()
            if re.search(pattern, line):
                return
        raise AssertionError(f"no {pattern!r} in:\n{''.join(self.lines)}\n{self.errors()}")

    def look(self) -> None:
        """Remember every process that descends from the demo."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.seen |= {each.pid for each in family}

    def end(self) -> str:
        """Read to the end; return what was printed."""
        assert self.process.stdout
        self.lines += self.process.stdout.readlines()
        self.process.wait(WITHIN_S)
        return "".join(self.lines)

    def errors(self) -> str:
        assert self.process.stderr
        return self.process.stderr.read()

    def left_behind(self) -> list[str]:
        deadline = time.monotonic() + 10
        while (left := [_told(pid) for pid in self.seen if _is_alive(pid)]) and (
            time.monotonic() < deadline
        ):
            time.sleep(0.01)
        return left + [each.name for each in self.folder.iterdir()]


@contextlib.contextmanager
def _as_in_a_terminal() -> Iterator[None]:
    # A shell starts what it puts in the background deaf to Ctrl-C, and all of its children are so.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _told(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:
        return f"pid {pid}"


@pytest.fixture
def demo(request: pytest.FixtureRequest) -> Iterator[Demo]:
    # A short path: the engine's sockets lie in it, and a socket's path holds 107 bytes.
    with tempfile.TemporaryDirectory(prefix="test-demo-") as folder:
        demo = Demo(Path(folder), *request.param)
        yield demo
        if demo.process.poll() is None:
            demo.process.terminate()
        demo.process.communicate(timeout=WITHIN_S)


@pytest.mark.parametrize("demo", [["--once"]], indirect=True)
def test_the_demo_takes_a_strategy_to_three_closed_trades_and_leaves_nothing(demo: Demo) -> None:
    demo.until(TRADE)
    told = demo.end()

    assert demo.process.returncode == 0, told + demo.errors()
    for stage in STAGES:
        assert re.search(rf"^✓\s+{stage}\s", told, re.MULTILINE), told
    assert told.count("   P&L ") >= 3
    assert len(TRADE.findall(told)) >= 6
    for figure in ("P&L", "closed trades", "Sharpe ratio", "max drawdown", "win rate"):
        assert re.search(rf"^{figure}\s+\S", told, re.MULTILINE), told
    assert "One good year is luck" in " ".join(told.split())
    assert demo.left_behind() == []


@pytest.mark.parametrize("demo", [["--speed", "400"]], indirect=True)
@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.soak)]
)
def test_a_demo_that_is_interrupted_leaves_nothing(demo: Demo, number: signal.Signals) -> None:
    demo.until(TRADE)

    demo.process.send_signal(number)
    demo.end()

    assert demo.process.returncode == 128 + number
    assert demo.errors() == ""
    assert demo.left_behind() == []


@pytest.mark.soak
@pytest.mark.parametrize("demo", [[]], indirect=True)
def test_a_demo_whose_engine_dies_shows_its_log_and_leaves_nothing(demo: Demo) -> None:
    demo.until(TRADE)
    [engine] = psutil.Process(demo.process.pid).children()

    engine.kill()
    demo.end()

    assert demo.process.returncode == 1
    errors = demo.errors()
    assert errors.startswith("error: ")
    assert "  | " in errors
    assert "Traceback" not in errors
    assert demo.left_behind() == []
