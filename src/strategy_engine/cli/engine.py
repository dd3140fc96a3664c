"""An engine of one's own for a while: a process group with a log, that ends with its owner."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from strategy_engine.core.errors import UnavailableError

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
POLL_S = 0.05
_LISTENS = re.compile(rb"http://127\.0\.0\.1:(\d+)")
# What a user has set for an engine of theirs is not meant for this one.
_ITS_SETTINGS = re.compile(
    r"STRATEGY_.*|PIPELINE_STAGES|MAX_CONCURRENT_DEPLOYMENTS|AUTO_ROLLBACK_ENABLED"
    r"|DEPLOYMENT_APPROVAL_REQUIRED|M4_MAX_OPTIMIZED"
)


class EngineProcess:
    """`strategy-engine serve` on a free port of this machine, with its files in `folder`.

    A context manager: leaving it ends the engine and everything that the engine started.

    Parameters
    ----------
    settings : Mapping[str, str]
        Environment variables of the engine, beside the system's own.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self._log = folder / "engine.log"
        self._log.touch()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module by our own Python
                _command(folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(settings),
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process that all others of the engine descend from."""
        return self._process.pid

    def url(self, timeout_s: float = START_TIMEOUT_S) -> str:
        """Return where it listens, once it does.

        Raises
        ------
        UnavailableError
            If it ends before, or does not listen in time.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self.check()
            if found := _LISTENS.search(self._log.read_bytes()):
                return f"http://127.0.0.1:{int(found[1])}"
            time.sleep(POLL_S)
        raise UnavailableError(f"the engine did not listen within {timeout_s:g} s; see its log")

    def check(self) -> None:
        """Raise if the engine has ended.

        Raises
        ------
        UnavailableError
            If it has.
        """
        if ended := self._ended():
            how = f"status {ended.si_status}"
            if ended.si_code != os.CLD_EXITED:
                how = signal.Signals(ended.si_status).name
            raise UnavailableError(f"the engine ended by itself with {how}; see its log")

    def last_lines(self, count: int = 15) -> list[str]:
        """Return the end of its log."""
        return self._log.read_text("utf-8", "replace").splitlines()[-count:]

    def stop(self) -> None:
        """Ask it to end, then make it; Ctrl-C does not interrupt this."""
        if self._process.returncode is not None:
            return
        with _deaf_to_interrupts():
            os.kill(self._process.pid, signal.SIGTERM)  # terminate() would reap it, if it has ended
            deadline = time.monotonic() + STOP_TIMEOUT_S
            while self._ended() is None and time.monotonic() < deadline:
                time.sleep(POLL_S)
            # Not reaped yet, so that the group's number cannot belong to anybody else.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _ended(self) -> os.waitid_result | None:
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _command(folder: Path) -> list[str]:
    # -P: a `random.py` in the user's folder is not to be imported in place of Python's.
    start = [sys.executable, "-P", "-m", "strategy_engine.cli.main", "serve"]
    return [*start, "--host", "127.0.0.1", "--port", "0", "--data-dir", str(folder / "data")]


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not _ITS_SETTINGS.fullmatch(name)}
    return {**own, **settings}
