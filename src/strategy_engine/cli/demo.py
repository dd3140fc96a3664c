"""`demo`: the whole way of a strategy, from source code to live trades, on an engine of its own."""

import contextlib
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strategy_engine.cli import edge, engine, rules
from strategy_engine.core.errors import EngineError, UnavailableError

if TYPE_CHECKING:
    from rich.console import Console

    from strategy_engine.client import model
    from strategy_engine.client.service import Client

SPEED = 200.0
ENOUGH_ROUND_TRIPS = 3
POLL_S = 0.05
HEALTHY_WITHIN_S = 30.0
STOPPED_WITHIN_S = 15.0
_METRICS_INTERVAL_S = "0.5"
_NAME, _VERSION = "Advanced RSI Strategy", "2.0.0"
_MOVING = frozenset({"starting", "running", "paused"})


def demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="End after three closed trades, with a summary.")
    ] = False,
    speed: Annotated[
        float, typer.Option(min=0.1, max=100_000, help="Bars a second of the replayed market.")
    ] = SPEED,
) -> None:
    """See it all: an RSI strategy validated, deployed and trading.

    Starts an engine on a free port with its files in a temporary directory, registers an RSI
    strategy, takes it through the six stages on a year of EUR/USD, starts it on the replayed
    market and prints its trades. Then the engine keeps serving until Ctrl-C. Nothing of it stays
    behind.
    """
    with (
        _ended_by_signals(),
        tempfile.TemporaryDirectory(
            prefix="strategy-engine-demo-", ignore_cleanup_errors=True
        ) as folder,
        engine.EngineProcess(
            Path(folder), {"STRATEGY_METRICS_INTERVAL": _METRICS_INTERVAL_S}
        ) as process,
    ):
        try:
            _show(process, once=once, speed=speed)
        except EngineError as error:
            edge.complain(str(error))
            for line in process.last_lines():
                edge.whisper(line)
            raise typer.Exit(rules.FAILED) from None


def _show(process: engine.EngineProcess, *, once: bool, speed: float) -> None:
    from strategy_engine.cli import views  # noqa: PLC0415 - rich is slow to import
    from strategy_engine.client.service import Client  # noqa: PLC0415 - httpx is slow to import

    console = views.console()
    with console.status("starting an engine"):
        url = process.url()
    with Client(url) as client:
        await_health(client, process)
        console.print(views.text(f"engine at {url}, {client.health()['status']}", "bold"))
        strategy_id = _register_and_deploy(client, console)
        execution_id = client.start(strategy_id, {"speed": speed})["execution_id"]
        console.print()
        console.print(views.text(f"{execution_id} trades {speed:g} bars a second", "bold"))
        enough = ENOUGH_ROUND_TRIPS if once else None
        execution = _watch_trades(client, process, console, execution_id, enough)
        if once:
            client.stop(strategy_id)
            execution = await_stopped(client, execution_id)
        _summarise(client, console, execution)
        if not once:
            _keep_serving(process, console, url, execution_id)


def await_health(client: "Client", process: engine.EngineProcess) -> None:
    """Return when the engine and all its parts serve.

    Raises
    ------
    UnavailableError
        If it ends, or is not healthy in time.
    """
    deadline = time.monotonic() + HEALTHY_WITHIN_S
    while (health := client.health())["status"] != "healthy":
        process.check()
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"the engine is {health['status']} after {HEALTHY_WITHIN_S:g} s; see its log"
            )
        time.sleep(POLL_S)


def await_stopped(client: "Client", execution_id: str) -> "model.Execution":
    """Return an execution once its last figures are in.

    Raises
    ------
    UnavailableError
        If it does not stop in time.
    """
    deadline = time.monotonic() + STOPPED_WITHIN_S
    while (execution := client.execution(execution_id))["status"] in _MOVING:
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"{execution_id} is {execution['status']} {STOPPED_WITHIN_S:g} s after its stop"
            )
        time.sleep(POLL_S)
    return execution


def _register_and_deploy(client: "Client", console: "Console") -> str:
    from strategy_engine import examples  # noqa: PLC0415 - only the demo needs them
    from strategy_engine.cli import board, views, watch  # noqa: PLC0415 - rich is slow to import

    example = examples.named("rsi_mean_reversion")
    created = client.create_strategy(
        {
            "strategy_name": _NAME,
            "version": _VERSION,
            "code": example.code,
            "parameters": example.parameters,
            "risk_limits": example.risk_limits,
        }
    )
    strategy_id = created["strategy_id"]
    console.print(f"registered {created['strategy_name']} {created['version']} as {strategy_id}")
    pipeline_id = client.deploy(strategy_id, {"deployment_type": "direct"})["pipeline_id"]
    console.print()
    console.print(views.text(f"{pipeline_id} validates it", "bold"))
    ended = watch.follow(lambda: client.deployment(pipeline_id), console, poll_s=POLL_S)
    if ended["status"] != "completed":
        raise UnavailableError(board.why_failed(ended))
    return strategy_id


def _watch_trades(
    client: "Client",
    process: engine.EngineProcess,
    console: "Console",
    execution_id: str,
    enough: int | None,
) -> "model.Execution":
    from strategy_engine.cli import views  # noqa: PLC0415 - rich is slow to import

    seen = 0
    told = 0
    with console.status("waiting for the first trade") as bar:
        while True:
            process.check()
            execution = client.execution(execution_id)
            trades = client.trades(execution_id, offset=seen)["trades"]
            for each in trades:
                console.print(views.trade(each))
            seen += len(trades)
            bar.update(views.metrics_line(execution))
            if not console.is_terminal and execution["trade_count"] > told:
                told = execution["trade_count"]
                console.print(views.metrics_line(execution))
            if execution["status"] not in _MOVING or (enough and told_enough(execution, enough)):
                return execution
            time.sleep(POLL_S)


def told_enough(execution: "model.Execution", enough: int) -> bool:
    """Return whether so many trades are closed."""
    return execution["trade_count"] >= enough


def _summarise(client: "Client", console: "Console", execution: "model.Execution") -> None:
    from strategy_engine.cli import views  # noqa: PLC0415 - rich is slow to import

    console.print()
    console.print(views.execution(execution))
    for instrument in client.instruments():
        if instrument.get("note") and instrument["symbol"] == "EUR/USD.SIM":
            console.print()
            console.print(views.text(instrument["note"], "yellow"))


def _keep_serving(
    process: engine.EngineProcess, console: "Console", url: str, execution_id: str
) -> None:
    console.print(
        f"""
The engine keeps serving until Ctrl-C. Try:
  strategy-engine status --url {url}
  strategy-engine executions {execution_id} --url {url}
  curl {url}/executions?status=stopped
  {url}/docs in a browser""",
        markup=False,
    )
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            process.check()
            time.sleep(0.5)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = {each: signal.signal(each, end) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
