"""`data`: the bars of a data directory, read and written without an engine."""

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strategy_engine.cli import options, rules
from strategy_engine.core.errors import InvalidError, UnavailableError

if TYPE_CHECKING:
    from strategy_engine.market.model import Instrument
    from strategy_engine.market.report import ImportReport
    from strategy_engine.market.service import Catalogue


class CalendarName(StrEnum):
    """The calendars, by name: the market room itself is slow to import."""

    FX = "fx"
    SESSION = "session"
    CONTINUOUS = "continuous"


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or Parquet, times in UTC.")],
    *,
    symbol: Annotated[str, typer.Option(help="Name and venue, such as EUR/USD.SIM.")],
    timeframe: Annotated[str, typer.Option(help="Length of a bar: 30s, 5m, 1h, 1d.")],
    tick_size: Annotated[
        str | None, typer.Option(help="Smallest price step; found in the prices if not given.")
    ] = None,
    lot_size: Annotated[
        str | None, typer.Option(help="Smallest quantity.", show_default="1")
    ] = None,
    currency: Annotated[
        str | None, typer.Option(help="Settlement currency.", show_default="USD")
    ] = None,
    calendar: Annotated[
        CalendarName | None, typer.Option(help="When it trades; found in the times if not given.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Drop the bars that are there for the file's.")
    ] = False,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Check a file of bars and, if nothing refuses it, add it to the catalogue.

    Exits 1 when the file is refused; nothing of it is stored then.
    """
    from strategy_engine.market.model import Calendar  # noqa: PLC0415 - numpy is slow to import

    report = catalogue(data_dir).import_file(
        file,
        symbol,
        timeframe,
        tick_size=_decimal(tick_size, "--tick-size"),
        lot_size=_decimal(lot_size, "--lot-size"),
        currency=currency,
        calendar=Calendar(calendar.value) if calendar else None,
        replace=replace,
    )
    if as_json:
        options.print_json(_told(report))
    else:
        for line in report.lines():
            print(rules.printable(line))
    if not report.accepted:
        raise typer.Exit(rules.FAILED)


def list_(*, data_dir: options.DataDir = None, as_json: options.AsJson = False) -> None:
    """List the instruments that have bars, their quotes and trades, and what cannot be used."""
    from strategy_engine.cli import views  # noqa: PLC0415 - rich is slow to import

    held = catalogue(data_dir)
    problems = [str(each) for each in held.problems()]
    rows = list(_rows(held, problems))
    if as_json:
        return options.print_json({"instruments": rows, "problems": problems})
    columns = ("symbol", "timeframe", "bars", "first", "last", "tick", "lot", "calendar")
    console = views.console()
    console.print(
        views.table(
            columns, ([str(row[each]) for each in columns] for row in rows), "bars tick lot"
        )
    )
    for note in dict.fromkeys(f"{row['symbol']}: {row['note']}" for row in rows if row["note"]):
        console.print(views.text(note, "yellow"))
    for problem in problems:
        console.print(views.text(f"unusable: {problem}", "red"))
    return None


def _rows(held: "Catalogue", problems: list[str]) -> Iterator[dict[str, Any]]:
    # One file that cannot be believed hides its own series, and is told of with the rest.
    for instrument in held.instruments():
        symbol = instrument.symbol
        for timeframe in held.timeframes(symbol):
            try:
                times = held.bars(symbol, str(timeframe)).ts_ns
            except UnavailableError as error:
                problems.append(str(error))
                continue
            span = (int(times[0]), int(times[-1])) if times.size else None
            yield _row(instrument, str(timeframe), times.size, span)
        try:
            ticks = held.ticks(symbol)
        except UnavailableError as error:
            problems.append(str(error))
            continue
        for each in ticks:
            yield _row(instrument, each.what, each.rows, (each.first_ns, each.last_ns))


def _row(
    instrument: "Instrument", what: str, rows: int, span: tuple[int, int] | None
) -> dict[str, Any]:
    from strategy_engine.market.report import moment  # noqa: PLC0415 - numpy is slow to import

    first, last = (moment(span[0]), moment(span[1])) if span else ("", "")
    return {
        "symbol": instrument.symbol,
        "timeframe": what,
        "bars": rows,
        "first": first,
        "last": last,
        "tick": f"{instrument.tick_size:f}",
        "lot": f"{instrument.lot_size:f}",
        "currency": instrument.currency,
        "calendar": str(instrument.calendar),
        "native": instrument.native.class_name if instrument.native else "",
        "note": instrument.note,
    }


def catalogue(data_dir: Path | None) -> "Catalogue":
    """Return the catalogue of a data directory and of the settings."""
    from strategy_engine import config  # noqa: PLC0415 - pydantic is slow to import
    from strategy_engine.market.service import Catalogue  # noqa: PLC0415 - numpy is slow to import

    settings = config.load(data_dir=data_dir)
    return Catalogue(settings.data_dir, settings.catalogs)


def _told(report: "ImportReport") -> dict[str, Any]:
    return {
        "accepted": report.accepted,
        "symbol": report.symbol,
        "timeframe": str(report.timeframe),
        "calendar": str(report.calendar),
        "rows": report.rows,
        "tick_size": None if report.tick_size is None else f"{report.tick_size:f}",
        "lines": report.lines(),
    }


def _decimal(text: str | None, option: str) -> Decimal | None:
    if text is None:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise InvalidError(f"{option} {text!r} is no number; write it like 0.00001") from None
    if not number.is_finite():
        raise InvalidError(f"{option} {text!r} is no finite number; write it like 0.00001")
    return number
