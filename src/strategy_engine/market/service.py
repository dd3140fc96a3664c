"""The catalogue: which instruments there are, their bars, and how new ones enter."""

import dataclasses
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Literal

import numpy as np

from strategy_engine.core.errors import EngineError, InvalidError, NotFoundError
from strategy_engine.market import copying, imports, shipped
from strategy_engine.market.copying import Copied
from strategy_engine.market.linked import LinkedCatalogue
from strategy_engine.market.linkedindex import Problem
from strategy_engine.market.model import Bars, Calendar, Held, Instrument, Quotes, Timeframe, Trades
from strategy_engine.market.report import ImportReport, TickReport
from strategy_engine.market.store import Store


class Catalogue:
    """Instruments and their data: samples, what was imported under `data_dir`, what is linked.

    An import of a sample's symbol and timeframe hides the sample. A linked symbol hides the sample
    whole, and gives what was not imported of it; of several linked directories, the first.

    Parameters
    ----------
    linked : paths
        Directories that NautilusTrader's `ParquetDataCatalog` wrote; read where they lie.
    """

    def __init__(self, data_dir: Path, linked: Iterable[Path] = ()) -> None:
        self._store = Store(data_dir)
        self._linked = tuple(LinkedCatalogue(path) for path in linked)

    def instruments(self) -> list[Instrument]:
        """Return every instrument that has bars, by symbol."""
        return [self.instrument(symbol) for symbol in self._symbols()]

    def problems(self) -> list[Problem]:
        """Return what of the linked directories cannot be used, and why."""
        return [problem for each in self._linked for problem in each.problems()]

    def instrument(self, symbol: str) -> Instrument:
        """Return one instrument.

        Raises
        ------
        NotFoundError
            If no bars of it are here; the message names what is, and how to import.
        InvalidError
            If it is linked, but is of a kind that cannot be traded.
        """
        imported = self._store.instrument(symbol)
        sample = self._sample(symbol)
        if imported is None:
            if link := self._link(symbol):
                return link.described(symbol)
            if sample is None:
                raise self._unknown(symbol)
            return sample.instrument
        if sample is not None and self._shows_sample(sample):
            return dataclasses.replace(imported, note=imported.note or sample.instrument.note)
        return imported

    def timeframes(self, symbol: str) -> list[Timeframe]:
        """Return the timeframes that a symbol has bars of, shortest first."""
        found = set(self._store.timeframes(symbol))
        if link := self._link(symbol):
            found.update(link.timeframes(symbol))
        if sample := self._sample(symbol):
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

        Imported ones lie in a mapped file: what is not looked at is not read. Of linked ones, the
        parts of files that hold some are.

        Raises
        ------
        NotFoundError
            If the symbol is unknown.
        UnavailableError
            If their file cannot be read.
        """
        self.instrument(symbol)
        found = self._store.quotes(symbol)
        if found is not None:
            return found.between(start_ns, end_ns)
        link = self._link(symbol)
        return link.quotes(symbol, start_ns, end_ns) if link else None

    def trades(
        self, symbol: str, start_ns: int | None = None, end_ns: int | None = None
    ) -> Trades | None:
        """Return trades at or after `start_ns` and before `end_ns`; None if it has none at all.

        Imported ones lie in a mapped file: what is not looked at is not read. Of linked ones, the
        parts of files that hold some are.

        Raises
        ------
        NotFoundError
            If the symbol is unknown.
        UnavailableError
            If their file cannot be read.
        """
        self.instrument(symbol)
        found = self._store.trades(symbol)
        if found is not None:
            return found.between(start_ns, end_ns)
        link = self._link(symbol)
        return link.trades(symbol, start_ns, end_ns) if link else None

    def ticks(self, symbol: str) -> list[Held]:
        """Return which quotes and trades of a symbol there are.

        Raises
        ------
        UnavailableError
            If a file of theirs cannot be read.
        """
        link = self._link(symbol)
        found = {each.what: each for each in (link.held(symbol) if link else [])}
        own = {"quotes": self._store.quotes(symbol), "trades": self._store.trades(symbol)}
        for what, each in own.items():
            if each is not None and len(each):
                first_ns, last_ns = int(each.ts_ns[0]), int(each.ts_ns[-1])
                found[what] = Held(what=what, rows=len(each), first_ns=first_ns, last_ns=last_ns)
        return [found[what] for what in sorted(found)]

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
        declared = imports.Declared(
            symbol=symbol,
            timeframe=Timeframe.parse(timeframe),
            tick_size=tick_size,
            lot_size=lot_size,
            currency=currency,
            calendar=calendar,
        )
        known = self._known(symbol)
        return imports.bars(self._store, Path(path), declared, known=known, may_replace=replace)

    def import_ticks(
        self, path: Path, symbol: str, what: Literal["quotes", "trades"], *, replace: bool = False
    ) -> TickReport:
        """Judge a CSV or Parquet file of quotes or trades and, if nothing refuses it, store it.

        Over rows that are there already, without `replace` the file may repeat the last of them
        exactly and add later ones; `replace` drops them for the file's.

        Returns
        -------
        TickReport
            With `accepted` False, nothing was stored.

        Raises
        ------
        NotFoundError, InvalidError
            If there is no such file or instrument, or the file lacks a column.
        ConflictError
            If rows differ from those stored, and `replace` was not asked.
        """
        instrument = self.instrument(symbol)
        return imports.ticks(self._store, Path(path), instrument, what, may_replace=replace)

    def import_catalogue(
        self, root: Path, symbols: Iterable[str] | None = None, *, replace: bool = False
    ) -> list[Copied]:
        """Copy what a directory of NautilusTrader's `ParquetDataCatalog` holds, series by series.

        What cannot be used is among the answers with its reason, and the rest is stored.

        Parameters
        ----------
        symbols : iterable of str, optional
            Only these; all if not given.

        Raises
        ------
        NotFoundError, InvalidError
            If it is no such directory, or one of the symbols is not there or cannot be traded.
        """
        source = LinkedCatalogue(Path(root))
        return copying.copy(self._store, source, symbols, may_replace=replace)

    def _load(self, symbol: str, timeframe: Timeframe) -> Bars:
        if timeframe in self._store.timeframes(symbol):
            return self._store.load(self._store.path(symbol, timeframe), timeframe)
        link = self._link(symbol)
        if link is not None and timeframe in link.timeframes(symbol):
            return link.bars(symbol, timeframe)
        sample = self._sample(symbol)
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

    def _symbols(self) -> list[str]:
        found = {each.instrument.symbol for each in shipped.SAMPLES} | set(self._store.symbols())
        return sorted(found.union(*(each.symbols() for each in self._linked)))

    def _known(self, symbol: str) -> Instrument | None:
        if link := self._link(symbol):
            return link.described(symbol)
        sample = shipped.of(symbol)
        return sample.instrument if sample else None

    def _link(self, symbol: str) -> LinkedCatalogue | None:
        return next((each for each in self._linked if symbol in each), None)

    def _sample(self, symbol: str) -> shipped.Sample | None:
        return None if self._link(symbol) else shipped.of(symbol)

    def _unknown(self, symbol: str) -> EngineError:
        for each in self._linked:
            if reason := each.refusal(symbol):
                return InvalidError(
                    f"{symbol} of {each.root} cannot be traded: {reason}",
                    field="symbol",
                    value=symbol,
                )
        held = self._symbols()
        return NotFoundError(
            f"there is no instrument {symbol!r}; the catalogue has {', '.join(held)}; {_HOW}",
            field="symbol",
            value=symbol,
            accepted=held,
        )


_HOW = "import a CSV or Parquet file of its bars to add more"
