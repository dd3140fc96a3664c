"""`strategy-engine serve` on files or a server, asked over HTTP."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it publishes no types

from strategy_engine.infra import database

WITHIN_S = 60.0
LOOK_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A version, and its deployment."""

    strategy_id: str
    pipeline_id: str


class Engine:
    """`strategy-engine serve` on files or a server, as its users start it."""

    def __init__(self, folder: Path, server: str | None = None, **settings: str) -> None:
        self._folder = folder
        self.ledger_url = database.ledger_url(folder, server)
        self._environment = os.environ | {
            "DATABASE_URL": server or "",
            "PIPELINE_STAGES": "syntax_check",
            "MAX_CONCURRENT_DEPLOYMENTS": "4",
            **settings,
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
        try:
            with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:  # noqa: S310 - our own engine
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{path}: {error.read().decode()}") from None

    def is_healthy(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self.ask("/health")["status"] == "healthy")
        return False

    def deploy(self, content: Mapping[str, Any], **options: Any) -> Deployed:
        """Ask for a version's deployment, created if there is none."""
        created = self.ask("/strategies", dict(content))
        asked = self.ask(f"/strategies/{created['strategy_id']}/deploy", options)
        return Deployed(strategy_id=created["strategy_id"], pipeline_id=asked["pipeline_id"])

    def status(self, deployed: Deployed) -> dict[str, Any]:
        """Return where a deployment is."""
        return dict(self.ask(f"/deployments/{deployed.pipeline_id}/status"))

    def is_deployed(self, deployed: Deployed) -> bool:
        """Say whether a deployment is completed; one that failed ends the measurement."""
        now = self.status(deployed)
        if now["status"] == "failed":
            raise SystemExit(f"{deployed.pipeline_id} failed: {now}")
        return bool(now["status"] == "completed")

    def start_version(self, deployed: Deployed, **config: Any) -> str:
        """Start a version; return its execution."""
        path = f"/strategies/{deployed.strategy_id}/start"
        return str(self.ask(path, {"execution_config": config})["execution_id"])


def until(is_so: Callable[[], bool], began: float | None = None) -> float:
    """Wait until it is so; return how long after `began` that was."""
    began = time.monotonic() if began is None else began
    while not is_so():
        if time.monotonic() - began > WITHIN_S:
            raise SystemExit(f"nothing came of it within {WITHIN_S:g} s")
        time.sleep(LOOK_S)
    return time.monotonic() - began
