"""`demo`: the whole way of a strategy, from source code to live trades, on an engine of its own."""

import contextlib
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from strategy_engine.cli import edge, engine, options, rules
from strategy_engine.core.errors import EngineError

SPEED = 200.0
SETTINGS = {"STRATEGY_METRICS_INTERVAL": "0.5"}


def demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="End after three closed trades, with a summary.")
    ] = False,
    speed: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=100_000,
            callback=options.finite,
            help="Bars a second of the replayed market.",
        ),
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
        engine.EngineProcess(Path(folder), SETTINGS) as process,
    ):
        try:
            _tour(process, once=once, speed=speed)
        except EngineError as error:
            edge.complain(str(error))
            edge.repeat(process.last_lines())
            raise typer.Exit(rules.FAILED) from None


def _tour(process: engine.EngineProcess, *, once: bool, speed: float) -> None:
    # Imported while the engine starts: they take as long as a part of it.
    from strategy_engine.cli import tour, views  # noqa: PLC0415
    from strategy_engine.client.service import Client  # noqa: PLC0415

    console = views.console()
    with console.status("starting an engine"):
        url = process.url()
    with Client(url) as client:
        tour.Tour(process=process, client=client, console=console).run(once=once, speed=speed)


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
