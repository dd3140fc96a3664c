"""The catalogue: which instruments there are, their bars, and how new ones enter."""

import dataclasses
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from strategy_engine.core.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from strategy_engine.market import columns, model, rules, shipped
from strategy_engine.market.model import Bars, Calendar, Instrument, Quotes, Timeframe, Trades
from strategy_engine.market.report import ImportReport, moment
from strategy_engine.market.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declared:
    """What an import says of its instrument; None where it says nothing."""

    symbol: str
    timeframe: Timeframe
    tick_size: Decimal | None
    lot_size: Decimal | None
    currency: str | None
    calendar: Calendar | None


class Catalogue:
    """Instruments and bars: the samples of the product, and what was imported under `data_dir`.

    An import of a sample's symbol and timeframe hides the sample.
    """

    def __init__(self, data_dir: Path) -> None:
        self._store = Store(data_dir)

    def instruments(self) -> list[Instrument]:
        """Return every instrument that has bars, by symbol."""
        symbols = {each.instrument.symbol for each in shipped.SAMPLES} | set(self._store.symbols())
        return [self.instrument(symbol) for symbol in sorted(symbols)]

    def instrument(self, symbol: str) -> Instrument:
        """Return one instrument.

        Raises
        ------
        NotFoundError
            If no bars of it are here; the message names what is, and how to import.
        """
        imported = self._store.instrument(symbol)
        sample = shipped.of(symbol)
        if imported is None:
            if sample is None:
                raise self._unknown(symbol)
            return sample.instrument
        if sample is not None and self._shows_sample(sample):
            return dataclasses.replace(imported, note=imported.note or sample.instrument.note)
        return imported

    def timeframes(self, symbol: str) -> list[Timeframe]:
        """Return the timeframes that a symbol has bars of, shortest first."""
        found = set(self._store.timeframes(symbol))
        if sample := shipped.of(symbol):
            found.add(sample.instrument.default_timeframe)
        if not found:
            raise self._unknown(symbol)
        return sorted(found, key=lambda each: (each.duration_ns, str(each)))

    def bars(
        self,
        symbol: str,
        timeframe: str | None = None,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int | None = None,
    ) -> Bars:
        """Return bars that open at or after `start_ns` and before `end_ns`.

        Parameters
        ----------
        timeframe : str, optional
            The instrument's default one if not given.
        limit : int, optional
            Keep only the last so many.

        Raises
        ------
        NotFoundError
            If the symbol is unknown, or has no such timeframe; the message names those it has.
        InvalidError
            If the limit is negative.
        """
        instrument = self.instrument(symbol)
        chosen = instrument.default_timeframe if timeframe is None else Timeframe.parse(timeframe)
        everything = self._load(symbol, chosen)
        if limit is not None and limit < 0:
            raise InvalidError(f"limit {limit} is below 0", field="limit", value=limit)
        times = everything.ts_ns
        start = 0 if start_ns is None else int(np.searchsorted(times, start_ns))
        stop = times.size if end_ns is None else int(np.searchsorted(times, end_ns))
        if limit is not None:
            start = max(start, stop - limit)
        return everything.slice(start, max(start, stop))

    def quotes(
        self, symbol: str, start_ns: int | None = None, end_ns: int | None = None
    ) -> Quotes | None:
        """Return quotes at or after `start_ns` and before `end_ns`; None if it has none at all.

        They lie in a mapped file: what is not looked at is not read.

        Raises
        ------
        NotFoundError
            If the symbol is unknown.
        UnavailableError
            If their file cannot be read.
        """
        self.instrument(symbol)
        found = self._store.quotes(symbol)
        return None if found is None else found.between(start_ns, end_ns)

    def trades(
        self, symbol: str, start_ns: int | None = None, end_ns: int | None = None
    ) -> Trades | None:
        """Return trades at or after `start_ns` and before `end_ns`; None if it has none at all.

        They lie in a mapped file: what is not looked at is not read.

        Raises
        ------
        NotFoundError
            If the symbol is unknown.
        UnavailableError
            If their file cannot be read.
        """
        self.instrument(symbol)
        found = self._store.trades(symbol)
        return None if found is None else found.between(start_ns, end_ns)

    def import_file(  # noqa: PLR0913 - each is one optional fact of the instrument
        self,
        path: Path,
        symbol: str,
        timeframe: str,
        *,
        tick_size: Decimal | None = None,
        lot_size: Decimal | None = None,
        currency: str | None = None,
        calendar: Calendar | None = None,
        replace: bool = False,
    ) -> ImportReport:
        """Judge a CSV or Parquet file of bars and, if nothing refuses it, store it whole.

        Over bars that are there already, without `replace` the file may repeat them exactly and
        add later ones; `replace` drops them for the file's. What is not declared of the instrument
        stays as it is, or is found: tick size from the prices, calendar from the days, lot size 1,
        currency USD.

        Returns
        -------
        ImportReport
            With `accepted` False, nothing was stored.

        Raises
        ------
        NotFoundError, InvalidError
            If there is no such file, it lacks a column, or an argument makes no sense.
        ConflictError
            If bars or declared facts differ from those stored, and `replace` was not asked.
        """
        declared = _Declared(
            symbol=symbol,
            timeframe=Timeframe.parse(timeframe),
            tick_size=tick_size,
            lot_size=lot_size,
            currency=currency,
            calendar=calendar,
        )
        _check(declared)
        source = columns.read(Path(path))
        with self._store.locked():
            return self._judged_and_stored(source, declared, may_replace=replace)

    def _judged_and_stored(
        self, source: columns.Source, declared: _Declared, *, may_replace: bool
    ) -> ImportReport:
        stored = self._stored(declared.symbol, may_be_damaged=may_replace)
        if stored is not None and not may_replace:
            _refuse_changes(stored, declared)
        sample = shipped.of(declared.symbol)
        known = stored or (sample.instrument if sample else None)
        calendar = declared.calendar or (known.calendar if known else None)
        raw = source.raw
        report = rules.judge(
            raw,
            symbol=declared.symbol,
            timeframe=declared.timeframe,
            calendar=calendar or rules.likely_calendar(declared.symbol, raw.ts_ns[~raw.unreadable]),
            tick_size=declared.tick_size or (known.tick_size if known else None),
        )
        notes = [] if calendar else [_GUESSED.format(report.calendar)]
        report = dataclasses.replace(report, ignored_columns=source.ignored, notes=tuple(notes))
        if not report.accepted:
            return report
        instrument = _described(declared, known, report)
        if stored is None and sample is not None:
            instrument = dataclasses.replace(instrument, note="")
        return self._stored_with(instrument, source.raw, report, may_replace=may_replace)

    def _stored_with(
        self, instrument: Instrument, raw: rules.RawBars, report: ImportReport, *, may_replace: bool
    ) -> ImportReport:
        symbol, timeframe = instrument.symbol, report.timeframe
        bars = rules.accepted_bars(raw, timeframe)
        held = timeframe in self._store.timeframes(symbol)
        if held and may_replace:
            note = "replaced the bars that were stored"
        elif held:
            old = self._store.load(self._store.path(symbol, timeframe), timeframe)
            bars = rules.merge(old, bars)
            note = f"added {len(bars) - len(old):,} bars after {moment(int(old.ts_ns[-1]))}"
        else:
            note = f"stored {len(bars):,} bars"
        self._store.save(instrument, timeframe, bars)
        return dataclasses.replace(report, notes=(*report.notes, note))

    def _stored(self, symbol: str, *, may_be_damaged: bool) -> Instrument | None:
        try:
            return self._store.instrument(symbol)
        except UnavailableError:
            if may_be_damaged:
                return None
            raise

    def _load(self, symbol: str, timeframe: Timeframe) -> Bars:
        if timeframe in self._store.timeframes(symbol):
            return self._store.load(self._store.path(symbol, timeframe), timeframe)
        sample = shipped.of(symbol)
        if sample is not None and sample.instrument.default_timeframe == timeframe:
            return self._store.load(sample.path, timeframe)
        held = [str(each) for each in self.timeframes(symbol)]
        raise NotFoundError(
            f"{symbol} has no bars of {timeframe}; it has {', '.join(held)}; {_HOW}",
            field="timeframe",
            value=str(timeframe),
            accepted=held,
        )

    def _shows_sample(self, sample: shipped.Sample) -> bool:
        instrument = sample.instrument
        return instrument.default_timeframe not in self._store.timeframes(instrument.symbol)

    def _unknown(self, symbol: str) -> NotFoundError:
        samples = {each.instrument.symbol for each in shipped.SAMPLES}
        held = sorted(samples | set(self._store.symbols()))
        return NotFoundError(
            f"there is no instrument {symbol!r}; the catalogue has {', '.join(held)}; {_HOW}",
            field="symbol",
            value=symbol,
            accepted=held,
        )


_HOW = "import a CSV or Parquet file of its bars to add more"
_GUESSED = "calendar {} was guessed from the symbol and the days; declare it if that is wrong"


def _check(declared: _Declared) -> None:
    model.venue_of(declared.symbol)
    if declared.tick_size is not None:
        model.check_step("tick_size", declared.tick_size)
    if declared.lot_size is not None:
        model.check_step("lot_size", declared.lot_size)


def _refuse_changes(stored: Instrument, declared: _Declared) -> None:
    for name in ("tick_size", "lot_size", "currency", "calendar"):
        said, held = getattr(declared, name), getattr(stored, name)
        if said is not None and said != held:
            raise ConflictError(
                f"{stored.symbol} is stored with {name} {held}, not {said}; leave it out to keep "
                "it, or import with --replace to change it",
                field=name,
                value=str(said),
                accepted=str(held),
            )


def _described(declared: _Declared, known: Instrument | None, report: ImportReport) -> Instrument:
    if report.tick_size is None:
        raise AssertionError  # such a report is not accepted
    return Instrument(
        symbol=declared.symbol,
        venue=model.venue_of(declared.symbol),
        currency=declared.currency or (known.currency if known else "USD"),
        tick_size=report.tick_size,
        lot_size=declared.lot_size or (known.lot_size if known else Decimal(1)),
        calendar=report.calendar,
        default_timeframe=known.default_timeframe if known else declared.timeframe,
        note=known.note if known else "",
    )
