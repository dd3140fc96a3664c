"""A full disk and a clock that jumps: nothing crashes, nothing is lost, and health says which."""

import importlib.util
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

CHAOS = Path(__file__).parent / "chaos"
SPEED = 40
BARS = 240


def load(name):
    spec = importlib.util.spec_from_file_location(f"trouble_{name}", CHAOS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


books = load("books")
trading = load("trading")

ENVIRONMENT = {
    "PIPELINE_STAGES": "syntax_check",
    "STRATEGY_METRICS_INTERVAL": "0.5",
    "STRATEGY_DATABASE_TIMEOUT": "0.5",
}


def line(engine, number):
    body = {
        "strategy_name": f"Line {number}",
        "version": "1.0.0",
        "code": trading.WITNESS,
        "parameters": {
            "every": 3 + number,
            "lookback": trading.LOOKBACK,
            "position_size": 0.05,
            "symbols": [trading.SYMBOL],
        },
        "risk_limits": {"max_position_size": 1_000_000},
    }
    strategy_id = engine.post("/strategies", body)["strategy_id"]
    pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy")["pipeline_id"]
    engine.until(f"/deployments/{pipeline_id}/status", lambda now: now["status"] == "completed")
    return strategy_id


def start(engine, strategy_id, speed):
    config = {"execution_config": {"speed": speed}}
    return engine.post(f"/strategies/{strategy_id}/start", config)["execution_id"]


def completed(engine, execution_id):
    return engine.until(
        f"/executions/{execution_id}",
        lambda now: now["end_reason"] == "completed",
        timeout_s=100,
    )


class Trading:
    """Two lines, each run whole once, and then again while something goes wrong."""

    def __init__(self, engine):
        self.engine = engine
        self.closes = trading.give_bars(engine.data_dir, BARS)
        versions = [line(engine, number) for number in (1, 2)]
        self.whole = [start(engine, each, 0) for each in versions]
        for each in self.whole:
            completed(engine, each)
        self.troubled = [start(engine, each, SPEED) for each in versions]
        self.until_moves()

    def moved(self):
        return books.Books(self.engine.data_dir).entries()

    def until_moves(self, timeout_s=60.0):
        before, deadline = self.moved(), time.monotonic() + timeout_s
        while self.moved() <= before:
            assert time.monotonic() < deadline, self.engine.tail()
            time.sleep(0.05)

    def check(self):
        """Let them end, and compare to the last digit."""
        for each in self.troubled:
            completed(self.engine, each)
        found = trading.read(self.engine.data_dir, None, self.whole + self.troubled)
        for one, other in zip(self.whole, self.troubled, strict=True):
            assert found[other].findings == ()
            assert found[other].moves() == found[one].moves()
            assert found[other].curve() == found[one].curve()
            assert found[other].told == found[other].as_told()
            assert [each.close_ns for each in found[other].equity] == self.closes


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a disk of its own needs the right to mount: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(file):
    with file.open("wb", buffering=0) as filler:
        for size in (1 << 20, 1 << 12, 1):
            block = b"x" * size
            try:
                while True:
                    filler.write(block)
            except OSError:
                continue


@pytest.mark.parametrize("lasts_s", [0.0, pytest.param(30.0, marks=pytest.mark.soak)])
def test_a_full_disk_stops_nothing_for_good_and_loses_nothing(start_engine, small_disk, lasts_s):
    engine = start_engine(data_dir=small_disk, **ENVIRONMENT)
    lines = Trading(engine)
    processes = engine.children()

    fill(small_disk / "filler")
    degraded = engine.until("/health", lambda now: now["status"] == "degraded", timeout_s=60)
    (reason, *_) = [each["reason"] for each in degraded["parts"] if each["status"] == "degraded"]
    assert "disk" in reason
    status, problem = engine.call(
        "POST", "/strategies", {"strategy_name": "No", "code": "pass"} | {"version": "1.0.0"}
    )
    assert (status, problem["type"]) == (503, "/problems/unavailable"), problem
    assert "free space on its disk" in problem["detail"]
    assert engine.call("GET", "/strategies")[0] == 200
    time.sleep(lasts_s)

    (small_disk / "filler").unlink()
    engine.until("/health", lambda now: now["status"] == "healthy", timeout_s=60)
    lines.check()
    for each in lines.troubled:
        gaps = engine.get(f"/executions/{each}")["interruptions"]
        assert {gap["kind"] for gap in gaps} <= {"storage"}  # none where it was short enough
        assert all(gap["to_at"] >= gap["from_at"] and gap["bars_missed"] == 0 for gap in gaps)
    assert engine.children() == processes


@pytest.mark.soak
def test_control_that_is_started_on_a_full_disk_serves_and_its_workflows_wait(
    start_engine, small_disk
):
    engine = start_engine(data_dir=small_disk, **ENVIRONMENT)
    waiting = line_to_approve(engine)

    fill(small_disk / "filler")
    engine.until_replaced("engine-control", engine.kill("engine-control"))
    degraded = engine.until("/health", lambda now: now["status"] == "degraded", timeout_s=60)
    assert any("free space on its disk" in each["reason"] for each in degraded["parts"])
    control = engine.children()["engine-control"]
    status, problem = engine.call("POST", f"/deployments/{waiting}/approve", {})
    assert (status, problem["type"]) == (503, "/problems/unavailable"), problem

    (small_disk / "filler").unlink()
    engine.until("/health", lambda now: now["status"] == "healthy", timeout_s=60)
    engine.post(f"/deployments/{waiting}/approve", {})
    engine.until(
        f"/deployments/{waiting}/status", lambda now: now["status"] == "completed", timeout_s=60
    )
    assert engine.children()["engine-control"] == control


def line_to_approve(engine):
    body = {"strategy_name": "Waits", "version": "1.0.0", "code": trading.WITNESS}
    strategy_id = engine.post("/strategies", body)["strategy_id"]
    wanted = {"approval_required": True}
    pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy", wanted)["pipeline_id"]
    path = f"/deployments/{pipeline_id}/status"
    engine.until(path, lambda now: now["status"] == "awaiting_approval", timeout_s=60)
    return pipeline_id


@pytest.mark.soak
def test_a_clock_that_jumps_an_hour_on_and_back_changes_no_trade(start_engine, tmp_path):
    stamp = tmp_path / "offset"
    stamp.write_text("0")
    engine = start_engine(
        **ENVIRONMENT,
        PYTHONPATH=str(CHAOS / "jumping_clock"),
        CHAOS_CLOCK_OFFSET=str(stamp),
    )
    lines = Trading(engine)
    processes = engine.children()
    before = engine.get("/health")

    for number, jump_s in enumerate((3_600, -3_600), start=9):
        (tmp_path / "new").write_text(str(jump_s))
        (tmp_path / "new").replace(stamp)
        lines.until_moves()
        # No wait is measured by that clock: what is asked is answered, what runs is validated.
        strategy = engine.get(f"/strategies/{line(engine, number)}")
        assert abs(_age_s(strategy["created_at"]) + jump_s) < 600
        after = engine.get("/health")
        assert 0 <= after["uptime_seconds"] - before["uptime_seconds"] < 600
        engine.until("/health", lambda now: now["status"] == "healthy", timeout_s=30)
    lines.check()
    assert engine.children() == processes


def _age_s(timestamp):
    return (datetime.now(UTC) - datetime.fromisoformat(timestamp)).total_seconds()
