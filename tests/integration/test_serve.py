"""The supervisor and its two processes, really killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

GONE_S = 10.0


def serve(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "strategy_engine.cli.main", "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={k: v for k, v in os.environ.items() if k != "STRATEGY_API_KEY"} | environment,
    )


def until(is_so, what: str, timeout_s: float = GONE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("name", ["engine-control", "engine-node"])
def test_a_process_that_is_killed_comes_back_and_the_engine_is_healthy_again(engine, name):
    before = engine.children()
    os.kill(before[name], signal.SIGKILL)
    until(lambda: engine.children().get(name, before[name]) != before[name], engine.tail())
    health = engine.until("/health", lambda now: now["status"] == "healthy")
    after = engine.children()
    assert health["status"] == "healthy"
    assert {k: v for k, v in before.items() if k != name} == {
        k: v for k, v in after.items() if k != name
    }


def test_a_request_made_while_control_is_dead_waits_and_is_answered(engine):
    os.kill(engine.children()["engine-control"], signal.SIGKILL)
    assert "strategies" in engine.get("/strategies")


def test_sigterm_ends_everything_and_leaves_no_process(start_engine):
    engine = start_engine()
    processes = list(engine.children().values())
    assert engine.stop() == 0
    until(lambda: not any(is_alive(pid) for pid in processes), "processes outlive SIGTERM")


def test_killing_the_supervisor_ends_its_processes(start_engine):
    engine = start_engine()
    processes = list(engine.children().values())
    engine.process.kill()
    assert len(processes) == 2
    until(lambda: not any(is_alive(pid) for pid in processes), "processes outlive their parent")


def test_a_port_in_use_is_named_with_what_to_do(engine, tmp_path):
    done = serve("--port", str(engine.port), "--data-dir", str(tmp_path))
    assert done.returncode != 0
    assert f"port {engine.port}" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_engines_on_one_data_directory_are_refused(engine):
    done = serve("--port", "0", "--data-dir", str(engine.data_dir))
    assert done.returncode != 0
    assert "another engine uses" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_open_address_needs_a_key(tmp_path):
    done = serve("--host", "0.0.0.0", "--port", "0", "--data-dir", str(tmp_path))  # noqa: S104  the address under test
    assert done.returncode != 0
    assert "STRATEGY_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_key_is_asked_for_and_never_shown(start_engine):
    key = "a-very-secret-key-0123"
    engine = start_engine(STRATEGY_API_KEY=key)
    assert engine.call("GET", "/strategies")[0] == 401
    assert engine.call("GET", "/strategies", headers={"authorization": "Bearer wrong"})[0] == 401
    right = {"authorization": f"Bearer {key}"}
    assert engine.call("GET", "/strategies", headers=right)[0] == 200
    assert engine.call("GET", "/health")[0] == 200
    assert key not in engine.log.read_text()
