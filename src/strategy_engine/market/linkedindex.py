"""What is in a directory of NautilusTrader's `ParquetDataCatalog`: found by names and file heads.

`<root>/data/<kind>/<name>/<first>_<last>.parquet`; the kinds are instruments by their class, `bar`,
`quote_tick` and `trade_tick`. Other kinds are left alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from strategy_engine.core.errors import EngineError, InvalidError, UnavailableError
from strategy_engine.market import listing, nautilusfiles
from strategy_engine.market.model import Instrument, Timeframe

BARS, QUOTES, TRADES = "bar", "quote_tick", "trade_tick"

type Stamps = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What of a catalogue cannot be used, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(slots=True)
class Index:
    """What there is: instruments that can be traded, others with the reason, folders of data."""

    instruments: dict[str, Instrument] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    bars: dict[str, dict[Timeframe, Path]] = field(default_factory=dict)
    ticks: dict[tuple[str, str], Path] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    folder: Path
    class_name: str
    row: Mapping[str, Any]


def read(root: Path) -> Index:
    """Return what a directory holds; what cannot be used is among its problems."""
    try:
        if (root / "data").is_dir():
            return _read(folders(root))
        reason = _NO_DATA
    except OSError as error:
        reason = f"it cannot be read: {error}"
    return Index(problems=[Problem(path=root, reason=reason)])


def _read(found: list[Path]) -> Index:
    index = Index()
    rows: dict[str, _Row] = {}
    for folder in found:
        try:
            _add(index, rows, folder)
        except EngineError as error:
            index.problems.append(Problem(path=folder, reason=str(error)))
    for symbol, row in sorted(rows.items()):
        _judge(index, symbol, row)
    _report_orphans(index, rows)
    return index


def folders(root: Path) -> list[Path]:
    """Return the folders of what can be used, one a series or an instrument.

    Raises
    ------
    OSError
        If one of them may not be looked into.
    """
    kinds = sorted({*listing.FOLDERS, BARS, QUOTES, TRADES})
    found = (root / "data" / kind for kind in kinds)
    inside = (each for kind in found if kind.is_dir() for each in sorted(kind.iterdir()))
    return [each for each in inside if each.is_dir()]


def files(folder: Path) -> list[Path]:
    """Return the Parquet files of a folder by name, which is by time."""
    return sorted(folder.glob("*.parquet"))


def stamps(paths: list[Path]) -> Stamps:
    """Return what changes when one of these does, or goes."""
    return tuple(_stamp(path) for path in paths)


def _stamp(path: Path) -> tuple[str, int, int, int]:
    try:
        found = path.stat()
    except OSError:  # gone since it was listed: NautilusTrader consolidates files
        return str(path), 0, 0, 0
    return str(path), found.st_mtime_ns, found.st_size, found.st_ino


_NO_DATA = "there is no folder `data` here; name the directory of a ParquetDataCatalog"


def _add(index: Index, rows: dict[str, _Row], folder: Path) -> None:
    kind = folder.parent.name
    if kind in listing.FOLDERS:
        for row in _latest(index, folder):
            rows[row.row["id"]] = row
        return
    said = _head(index, folder)
    symbol = _told(said, "instrument_id", folder)
    if kind == BARS:
        name = _told(said, "bar_type", folder).partition("@")[0].removeprefix(f"{symbol}-")
        _add_bars(index.bars.setdefault(symbol, {}), Timeframe.parse(name), folder)
    else:
        index.ticks[kind, symbol] = folder


def _add_bars(held: dict[Timeframe, Path], timeframe: Timeframe, folder: Path) -> None:
    # 60-MINUTE and 1-HOUR are one length to us, two to NautilusTrader.
    if timeframe in held:
        raise InvalidError(f"{held[timeframe].name} holds bars of {timeframe} too, and is taken")
    held[timeframe] = folder


def _latest(index: Index, folder: Path) -> Iterator[_Row]:
    # An instrument may have been written again and again; what it was last is what it is.
    for path in reversed(files(folder)):
        try:
            said, rows = nautilusfiles.metadata(path), nautilusfiles.rows(path)
            class_name = said.get("class") or _told(said, "type", path)
            newest = _newest(rows, path)
        except UnavailableError as error:
            index.problems.append(_problem(path, error))
            continue
        for row in newest:
            yield _Row(folder=folder, class_name=class_name, row=row)
        return


def _newest(rows: list[dict[str, Any]], path: Path) -> Iterable[dict[str, Any]]:
    for row in rows:
        if not (isinstance(row.get("id"), str) and isinstance(_known_at(row), int)):
            raise nautilusfiles.bad(
                path, "it does not tell the id of an instrument, and since when"
            )
    return {row["id"]: row for row in sorted(rows, key=_known_at)}.values()


def _known_at(row: Mapping[str, Any]) -> Any:
    return row.get(nautilusfiles.KNOWN_AT) or 0


def _head(index: Index, folder: Path) -> dict[str, str]:
    for path in files(folder):
        try:
            return nautilusfiles.metadata(path)
        except UnavailableError as error:
            index.problems.append(_problem(path, error))
    raise UnavailableError("no file in it can be read", field="path", value=str(folder))


def _problem(path: Path, error: EngineError) -> Problem:
    return Problem(path=path, reason=str(error).removeprefix(f"{path}: "))


def _told(said: Mapping[str, str], name: str, path: Path) -> str:
    if name not in said:
        raise UnavailableError(f"its metadata does not tell {name}", field="path", value=str(path))
    return said[name]


def _judge(index: Index, symbol: str, found: _Row) -> None:
    try:
        reason = _take(index, symbol, found)
    except KeyError as error:
        reason = f"its description lacks {error}"
    except (InvalidError, TypeError, ValueError) as error:
        reason = f"its description cannot be used: {error}"
    if reason is not None:
        index.refused[symbol] = reason
        index.problems.append(Problem(path=found.folder, reason=f"{symbol}: {reason}"))


def _take(index: Index, symbol: str, found: _Row) -> str | None:
    if reason := listing.refusal(found.class_name, found.row):
        return reason
    if symbol not in index.bars:
        return "there are no bars of it by time; an instrument is traded by its bars"
    default = listing.first_choice(list(index.bars[symbol]))
    index.instruments[symbol] = listing.instrument(found.class_name, found.row, default)
    return None


def _report_orphans(index: Index, rows: Mapping[str, _Row]) -> None:
    for symbol in sorted({*index.bars, *(symbol for _, symbol in index.ticks)} - {*rows}):
        reason = "there is data of it, but no instrument"
        index.refused[symbol] = reason
        held = index.bars.get(symbol, {}).values()
        ticks = (path for (_, of), path in index.ticks.items() if of == symbol)
        path = next(iter([*held, *ticks]))
        index.problems.append(Problem(path=path, reason=f"{symbol}: {reason}"))
