"""What is taken away from an engine: `export` and `tearsheet`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import typer

from strategy_engine.cli import options
from strategy_engine.core.errors import InvalidError

type Table = Literal["trades", "equity", "metrics"]

_Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Where to; standard output if not given."),
]


def export(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="SUBJECT",
            show_default=False,
            help="An execution's id, a strategy's id, `engine`, or a line's name.",
        ),
    ],
    table: Annotated[
        str,
        typer.Argument(
            metavar="[TABLE]", help="trades or equity of an execution; metrics of any subject."
        ),
    ] = "metrics",
    *,
    output: _Output = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="csv or parquet; by the file's name if not given, else csv."),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="From this time on, ISO 8601.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Before this time.")] = None,
    resolution: Annotated[
        str | None, typer.Option(help="Of metrics: 10s, 1m or 1h. [engine: 1m]")
    ] = None,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Take trades, equity or metrics away as a table, however long it is."""
    query = {
        "format": form or _form_of(output),
        "from": start,
        "to": end,
        "resolution": resolution,
    }
    if query["format"] == "parquet" and output is None and sys.stdout.isatty():
        raise InvalidError(
            "Parquet is no text for a terminal; name a file with -o FILE", field="output"
        )
    with options.client(url) as client:
        _write(output, lambda target: client.export(subject, table, target, query))


def tearsheet(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="ID", show_default=False, help="An execution's id, or a strategy's id."
        ),
    ],
    *,
    output: _Output = None,
    against: Annotated[
        str | None, typer.Option(help="Another strategy's id: both side by side.")
    ] = None,
    of: Annotated[
        str | None,
        typer.Option(help="Of a strategy: live, paper or backtest. [engine: the first there is]"),
    ] = None,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Write one page of HTML with plots, months, metrics and costs; it needs nothing else."""
    query = {"against": against, "of": of}
    with options.client(url) as client:
        _write(output, lambda target: client.tearsheet(subject, target, query))


def _form_of(output: Path | None) -> str:
    return "parquet" if output is not None and output.suffix == ".parquet" else "csv"


def _write(output: Path | None, send: Callable[[BinaryIO], None]) -> None:
    if output is None:
        send(sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    part = output.with_name(f".{output.name}.part")  # a half is never taken for the whole
    try:
        with part.open("wb") as target:
            send(target)
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
    print(f"wrote {output}")
