"""Budget: the whole six-stage pipeline on the EUR/USD sample takes less than 3.2 s.

The strategy is the contract's RSI example. Times are the engine's own, from the first stage's
start to the last one's end, over several runs on one warm engine; the fastest and the median are
printed, and judged by the median. Beside it stands the same year as a bare Python loop that calls
the same `generate_signal`, so that a slow machine can be told from a slow pipeline.
"""

import argparse
import contextlib
import json
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from strategy_engine import examples
from strategy_engine.market.service import Catalogue
from strategy_engine.signals import calculate_rsi

BUDGET_S = 3.2
RUNS = 5
WINDOW = 512
EXAMPLE = "RSI mean reversion"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    options = parser.parse_args()
    with running_engine() as client:
        runs = [one_run(client, number) for number in range(RUNS)]
    loop_s = bare_loop_s()
    totals = [run["total_s"] for run in runs]
    median = statistics.median(totals)
    print_table(runs, loop_s)
    figures = {
        "pipeline_s": round(median, 3),
        "fastest_s": round(min(totals), 3),
        "budget_s": BUDGET_S,
        "bare_loop_s": round(loop_s, 4),
        "ratio_to_bare_loop": round(median / loop_s, 1),
        "stages_ms": {stage: round(ms, 1) for stage, ms in medians(runs).items()},
        "ok": median < BUDGET_S,
    }
    if options.json:
        print(json.dumps(figures))
    return 0 if figures["ok"] else 1


@contextlib.contextmanager
def running_engine() -> Iterator[httpx.Client]:
    """Serve on a free port from a directory that goes away afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
        command = [sys.executable, "-m", "strategy_engine.cli.main", "serve"]
        command += ["--port", str(port), "--data-dir", folder]
        with subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                    wait_until_healthy(client)
                    yield client
            finally:
                process.send_signal(signal.SIGTERM)


def wait_until_healthy(client: httpx.Client) -> None:
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(httpx.TransportError):
            if client.get("/health").json()["status"] == "healthy":
                return
        if time.monotonic() > deadline:
            raise TimeoutError("the engine did not become healthy within 30 s")
        time.sleep(0.05)


def one_run(client: httpx.Client, number: int) -> dict[str, Any]:
    """Register a fresh version and take it through the pipeline; return the engine's times."""
    example = next(each for each in examples.EXAMPLES if each.name == EXAMPLE)
    body = {
        "strategy_name": f"Benchmark {number}",
        "version": "1.0.0",
        "code": example.source(),
        "parameters": dict(example.parameters),
        "risk_limits": dict(example.risk_limits),
    }
    strategy_id = client.post("/strategies", json=body).raise_for_status().json()["strategy_id"]
    started = client.post(f"/strategies/{strategy_id}/deploy").raise_for_status().json()
    while True:
        status = client.get(f"/deployments/{started['pipeline_id']}/status").json()
        if status["status"] in {"completed", "failed"}:
            break
        time.sleep(0.02)
    if status["status"] != "completed":
        raise RuntimeError(f"the pipeline failed: {status}")
    detail = client.get(f"/deployments/{started['pipeline_id']}").raise_for_status().json()
    begun, ended = (datetime.fromisoformat(detail[key]) for key in ("started_at", "validated_at"))
    stages = {stage: result["duration_ms"] for stage, result in status["results"].items()}
    return {"total_s": (ended - begun).total_seconds(), "stages": stages}


def medians(runs: list[dict[str, Any]]) -> dict[str, float]:
    return {
        stage: statistics.median(run["stages"][stage] for run in runs)
        for stage in runs[0]["stages"]
    }


def bare_loop_s() -> float:
    """Time a plain loop over the same bars that asks the same question at each."""
    closes = Catalogue(Path(tempfile.gettempdir())).bars("EUR/USD.SIM").close
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        asked = sum(
            calculate_rsi(closes[max(0, end - WINDOW) : end], 14) < 30
            for end in range(1, len(closes) + 1)
        )
        times.append(time.perf_counter() - begun)
        assert asked > 0
    return min(times)


def print_table(runs: list[dict[str, Any]], loop_s: float) -> None:
    print(f"{'stage':<24}{'median ms':>12}")
    for stage, duration_ms in medians(runs).items():
        print(f"{stage:<24}{duration_ms:>12.1f}")
    totals = sorted(run["total_s"] for run in runs)
    median = statistics.median(totals)
    print(f"{'whole pipeline':<24}{median * 1e3:>12.1f}   (fastest {totals[0] * 1e3:.1f})")
    print(f"{'budget':<24}{BUDGET_S * 1e3:>12.1f}")
    print(f"{'bare Python loop':<24}{loop_s * 1e3:>12.1f}   ratio {median / loop_s:.1f}")


if __name__ == "__main__":
    sys.exit(main())
