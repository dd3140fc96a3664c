import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from strategy_engine.cli import main

type Run = Callable[..., Result]


@dataclass
class FakeEngine:
    """A real HTTP server with prepared answers: a route's last one stays."""

    url: str = ""
    answers: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    def answers_to(self, route: str, *bodies: Any, status: int = 200) -> None:
        self.answers[route] = [(status, body) for body in bodies]

    def body_of(self, route: str) -> Any:
        return next(body for asked, body in self.asked if asked == route)

    def answer(self, route: str, body: Any) -> tuple[int, Any]:
        self.asked.append((route, body))
        prepared = self.answers.get(route) or self.answers.get(route.partition("?")[0])
        if prepared is None:
            return 404, {"status": 404, "detail": f"{route} was not prepared"}
        return prepared.pop(0) if len(prepared) > 1 else prepared[0]


@pytest.fixture
def fake() -> Iterator[FakeEngine]:
    engine = FakeEngine()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            engine.keys.append(self.headers.get("Authorization"))
            status, answer = engine.answer(f"{self.command} {self.path}", body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        engine.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield engine
        server.shutdown()
        thread.join()


@pytest.fixture
def run(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line against the fake engine, in this process."""
    monkeypatch.setenv("STRATEGY_URL", fake.url)
    monkeypatch.delenv("STRATEGY_API_KEY", raising=False)

    def run_it(*arguments: str) -> Result:
        return CliRunner().invoke(main.app, list(arguments))

    return run_it
