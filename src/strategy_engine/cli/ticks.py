"""`data`: quotes, trades, and whole catalogues of NautilusTrader's, into a data directory."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strategy_engine.cli import bars, options, rules

if TYPE_CHECKING:
    from strategy_engine.market.copying import Copied
    from strategy_engine.market.report import TickReport

File = Annotated[Path, typer.Argument(metavar="FILE", help="CSV or Parquet, times in UTC.")]
Symbol = Annotated[str, typer.Option(help="An instrument that has bars, such as EUR/USD.SIM.")]
Replace = Annotated[
    bool, typer.Option("--replace", help="Drop what is there for what is imported.")
]


def import_quotes(
    file: File,
    *,
    symbol: Symbol,
    replace: Replace = False,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Check a file of quotes (time, bid, ask, bid_size, ask_size) and add it to the catalogue.

    Exits 1 when the file is refused; nothing of it is stored then.
    """
    report = bars.catalogue(data_dir).import_ticks(file, symbol, "quotes", replace=replace)
    _tell(report, as_json=as_json)


def import_trades(
    file: File,
    *,
    symbol: Symbol,
    replace: Replace = False,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Check a file of trades (time, price, size) and add it to the catalogue.

    Exits 1 when the file is refused; nothing of it is stored then.
    """
    report = bars.catalogue(data_dir).import_ticks(file, symbol, "trades", replace=replace)
    _tell(report, as_json=as_json)


def import_catalog(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="What a ParquetDataCatalog was given as its path.")
    ],
    *,
    symbol: Annotated[
        list[str] | None, typer.Option(help="Only this one; may be repeated.", show_default="all")
    ] = None,
    replace: Replace = False,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Copy a catalogue of NautilusTrader's: instruments, bars, quotes and trades.

    What cannot be used is named with its reason, and the rest is stored; exits 1 when nothing was.
    To read a catalogue where it lies instead, set STRATEGY_CATALOG to its path.
    """
    done = bars.catalogue(data_dir).import_catalogue(directory, symbol, replace=replace)
    if as_json:
        options.print_json({"series": [_copied(each) for each in done]})
    else:
        for each in done:
            print(rules.printable(str(each)))
    if not any(each.accepted for each in done):
        raise typer.Exit(rules.FAILED)


def _copied(each: "Copied") -> dict[str, Any]:
    return {
        "symbol": each.symbol,
        "what": each.what,
        "accepted": each.accepted,
        "note": each.note,
    }


def _tell(report: "TickReport", *, as_json: bool) -> None:
    if as_json:
        options.print_json(
            {
                "accepted": report.accepted,
                "symbol": report.symbol,
                "what": report.what,
                "calendar": str(report.calendar),
                "rows": report.rows,
                "lines": report.lines(),
            }
        )
    else:
        for line in report.lines():
            print(rules.printable(line))
    if not report.accepted:
        raise typer.Exit(rules.FAILED)
