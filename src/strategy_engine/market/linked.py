"""A directory that NautilusTrader's `ParquetDataCatalog` wrote, as a catalogue: read where it lies.

Nothing of NautilusTrader is imported here. What cannot be believed is told with its file and why.
"""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from strategy_engine.market import linkedindex, nautilusfiles, rules, tickrules
from strategy_engine.market.linkedindex import Index, Problem, Stamps
from strategy_engine.market.model import (
    COLUMNS,
    QUOTE_COLUMNS,
    TRADE_COLUMNS,
    Bars,
    Floats,
    Held,
    Instrument,
    Ints,
    Quotes,
    Timeframe,
    Trades,
)
from strategy_engine.market.nautilusfiles import Columns
from strategy_engine.market.recent import Recent
from strategy_engine.market.report import moment
from strategy_engine.market.rules import RawBars
from strategy_engine.market.tickrules import RawTicks

RECHECK_S = 0.25
_CACHED_SERIES = 64
_EXPIRES = "expiration_ns"

type _Range = tuple[int | None, int | None]


class LinkedCatalogue:
    """The instruments, bars, quotes and trades of one directory; read again when it changes.

    Files that come or change are seen at once; new instruments and timeframes within `RECHECK_S`.

    Parameters
    ----------
    monotonic_s : callable
        Tells how much time has passed.
    """

    def __init__(self, root: Path, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self.root = root
        self._monotonic_s = monotonic_s
        self._checked_s = -math.inf
        self._known: tuple[Stamps, Index] | None = None
        self._loaded: Recent[Bars] = Recent(_CACHED_SERIES)

    def symbols(self) -> list[str]:
        """Return the symbols that can be traded, sorted."""
        return sorted(self._index().instruments)

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._index().instruments

    def described(self, symbol: str) -> Instrument:
        """Return an instrument that is here and can be traded.

        Raises
        ------
        UnavailableError
            If it has gone since it was found.
        """
        return self._found(symbol)

    def refusal(self, symbol: str) -> str | None:
        """Return why an instrument that is here cannot be traded, or None."""
        return self._index().refused.get(symbol)

    def timeframes(self, symbol: str) -> list[Timeframe]:
        """Return the timeframes of a symbol, shortest first."""
        found = self._index().bars.get(symbol, {})
        return sorted(found, key=lambda each: (each.duration_ns, str(each)))

    def problems(self) -> list[Problem]:
        """Return what cannot be used, as far as names and heads of files tell."""
        return list(self._index().problems)

    def bars(self, symbol: str, timeframe: Timeframe) -> Bars:
        """Return all bars of a symbol and timeframe that are here.

        Raises
        ------
        UnavailableError
            If a file of theirs cannot be believed; the message names it and says why.
        """
        instrument = self._found(symbol)
        folder = self._index().bars.get(symbol, {}).get(timeframe, self.root)
        paths = linkedindex.files(folder)
        if not paths:
            raise nautilusfiles.bad(self.root, f"the bars {timeframe} of {symbol} have gone")
        stamp = linkedindex.stamps(paths)
        return self._loaded.get(folder, stamp, lambda: _bars(paths, instrument, timeframe))

    def quotes(self, symbol: str, start_ns: int | None, end_ns: int | None) -> Quotes | None:
        """Return quotes at or after `start_ns` and before `end_ns`; None if there are none at all.

        Raises
        ------
        UnavailableError
            If a file that holds some of them cannot be believed.
        """
        found = self._ticks(linkedindex.QUOTES, symbol, (start_ns, end_ns))
        return None if found is None else Quotes(ts_ns=found[0], **found[1])

    def trades(self, symbol: str, start_ns: int | None, end_ns: int | None) -> Trades | None:
        """Return trades at or after `start_ns` and before `end_ns`; None if there are none at all.

        Raises
        ------
        UnavailableError
            If a file that holds some of them cannot be believed.
        """
        found = self._ticks(linkedindex.TRADES, symbol, (start_ns, end_ns))
        return None if found is None else Trades(ts_ns=found[0], **found[1])

    def held(self, symbol: str) -> list[Held]:
        """Return which quotes and trades of a symbol are here, by the feet of their files.

        Raises
        ------
        UnavailableError
            If a file's foot cannot be read.
        """
        index = self._index()
        return [
            found
            for kind, what in _WORDS.items()
            if (folder := index.ticks.get((kind, symbol)))
            if (found := _held(folder, what))
        ]

    def _ticks(
        self, kind: str, symbol: str, asked: _Range
    ) -> tuple[Ints, Mapping[str, Floats]] | None:
        index = self._index()
        folder = index.ticks.get((kind, symbol))
        if folder is None or symbol not in index.instruments:
            return None
        parts = [
            _ticks_of(path, kind, index.instruments[symbol], asked)
            for path in linkedindex.files(folder)
            if nautilusfiles.may_hold(path, *asked)
        ]
        return _in_order(parts, _OURS[kind])

    def _index(self) -> Index:
        # A listing asks once a series; looking at every folder each time would be its square.
        now_s = self._monotonic_s()
        if self._known is not None and now_s - self._checked_s < RECHECK_S:
            return self._known[1]
        self._checked_s = now_s
        stamps = self._stamps()
        if self._known is None or self._known[0] != stamps:
            self._known = stamps, linkedindex.read(self.root)
        return self._known[1]

    def _found(self, symbol: str) -> Instrument:
        found = self._index().instruments.get(symbol)
        if found is None:
            raise nautilusfiles.bad(self.root, f"{symbol} has gone")
        return found

    def _stamps(self) -> Stamps:
        try:
            return linkedindex.stamps([self.root, *linkedindex.folders(self.root)])
        except OSError:  # reading it will say what is the matter
            return linkedindex.stamps([self.root])


_WORDS = {linkedindex.QUOTES: "quotes", linkedindex.TRADES: "trades"}
_OURS = {linkedindex.QUOTES: QUOTE_COLUMNS, linkedindex.TRADES: TRADE_COLUMNS}
_THEIRS = {linkedindex.QUOTES: nautilusfiles.QUOTE, linkedindex.TRADES: nautilusfiles.TRADE}


def _held(folder: Path, what: str) -> Held | None:
    found = [part for path in linkedindex.files(folder) if (part := nautilusfiles.extent(path))]
    if not found:
        return None
    return Held(
        what=what,
        rows=sum(each.rows for each in found),
        first_ns=min(each.first_ns for each in found),
        last_ns=max(each.last_ns for each in found),
    )


def _bars(paths: list[Path], instrument: Instrument, timeframe: Timeframe) -> Bars:
    parts = [nautilusfiles.columns(path, nautilusfiles.BAR) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        _check_expiry(path, part, instrument)
    ts_ns = np.concatenate([_opened_ns(part, timeframe.duration_ns) for part in parts])
    whole = np.zeros(ts_ns.size, dtype=np.bool_)
    columns: dict[str, Floats] = {
        name: np.concatenate([part.numbers[name] for part in parts]) for name in COLUMNS
    }
    raw = RawBars(ts_ns=ts_ns, unreadable=whole, zoneless=whole, texts={}, **columns)
    report = rules.judge(
        raw,
        symbol=instrument.symbol,
        timeframe=timeframe,
        calendar=instrument.calendar,
        tick_size=instrument.tick_size,
    )
    if not report.accepted:
        ends = np.cumsum([part.known_ns.size for part in parts])
        faulty = int(np.searchsorted(ends, report.first_refused_row, side="left"))
        raise nautilusfiles.bad(paths[min(faulty, len(paths) - 1)], "; ".join(report.refusals()))
    return rules.accepted_bars(raw, timeframe)


def _opened_ns(part: Columns, duration_ns: int) -> Ints:
    # Stamped at its close, and known then or a moment later; or stamped at its opening, if it was
    # known no sooner than a whole bar after that.
    by_opening = part.known_ns - part.happened_ns >= duration_ns
    return np.where(by_opening, part.happened_ns, part.happened_ns - duration_ns)


def _ticks_of(path: Path, kind: str, instrument: Instrument, asked: _Range) -> Columns:
    part = nautilusfiles.columns(path, _THEIRS[kind], *asked)
    _check_expiry(path, part, instrument)
    ours = dict(zip(_OURS[kind], part.numbers.values(), strict=True))
    whole = np.zeros(part.known_ns.size, dtype=np.bool_)
    raw = RawTicks(ts_ns=part.known_ns, columns=ours, unreadable=whole, zoneless=whole)
    if refusals := tickrules.refusals(raw):
        raise nautilusfiles.bad(path, "; ".join(refusals))
    return Columns(happened_ns=part.happened_ns, known_ns=part.known_ns, numbers=ours)


def _in_order(parts: list[Columns], names: tuple[str, ...]) -> tuple[Ints, Mapping[str, Floats]]:
    none = np.zeros(0, dtype=np.int64)
    ts_ns = np.concatenate([none, *(part.known_ns for part in parts)])
    columns = {
        name: np.concatenate([none.astype(np.float64), *(part.numbers[name] for part in parts)])
        for name in names
    }
    if (np.diff(ts_ns) >= 0).all():
        return ts_ns, columns
    order = np.argsort(ts_ns, kind="stable")  # files whose times overlap
    return ts_ns[order], {name: values[order] for name, values in columns.items()}


def _check_expiry(path: Path, part: Columns, instrument: Instrument) -> None:
    expires = instrument.native.fields.get(_EXPIRES) if instrument.native else None
    if not expires or not part.known_ns.size or int(part.known_ns.max()) <= int(expires):
        return
    late = int((part.known_ns > int(expires)).sum())
    raise nautilusfiles.bad(
        path, f"{late:,} rows are after {instrument.symbol} expired at {moment(int(expires))}"
    )
