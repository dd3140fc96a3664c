"""From a file of bars, quotes or trades into the store: judged, then kept whole or not at all."""

import dataclasses
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

from strategy_engine.core.errors import ConflictError, UnavailableError
from strategy_engine.market import columns, model, rules, shipped, tickrules
from strategy_engine.market.model import Bars, Calendar, Instrument, Quotes, Timeframe, Trades
from strategy_engine.market.report import ImportReport, TickReport, moment
from strategy_engine.market.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What an import says of its instrument; None where it says nothing."""

    symbol: str
    timeframe: Timeframe
    tick_size: Decimal | None
    lot_size: Decimal | None
    currency: str | None
    calendar: Calendar | None


def bars(
    store: Store, path: Path, declared: Declared, *, known: Instrument | None, may_replace: bool
) -> ImportReport:
    """Import a file of bars; see `Catalogue.import_file`.

    Parameters
    ----------
    known : Instrument or None
        What is known of the instrument without the store.
    """
    _check(declared)
    source = columns.read(path)
    with store.locked():
        stored = _stored(store, declared.symbol, may_be_damaged=may_replace)
        if stored is not None and not may_replace:
            _refuse_changes(stored, declared)
        report = _judged(source, declared, stored or known)
        if not report.accepted:
            return report
        instrument = _described(declared, stored or known, report)
        if stored is None and shipped.of(declared.symbol) is not None:
            instrument = dataclasses.replace(instrument, note="")
        accepted = rules.accepted_bars(source.raw, report.timeframe)
        note = keep_bars(store, instrument, report.timeframe, accepted, may_replace=may_replace)
    return dataclasses.replace(report, notes=(*report.notes, note))


def ticks(
    store: Store,
    path: Path,
    instrument: Instrument,
    what: Literal["quotes", "trades"],
    *,
    may_replace: bool,
) -> TickReport:
    """Import a file of quotes or trades; see `Catalogue.import_ticks`."""
    source = columns.read_ticks(path, what)
    report = tickrules.judge(
        source.raw,
        symbol=instrument.symbol,
        calendar=instrument.calendar,
        tick_size=instrument.tick_size,
        lot_size=instrument.lot_size,
    )
    report = dataclasses.replace(report, ignored_columns=source.ignored)
    if not report.accepted:
        return report
    with store.locked():
        given = tickrules.accepted(source.raw)
        note = keep_ticks(store, instrument.symbol, given, may_replace=may_replace)
    return dataclasses.replace(report, notes=(*report.notes, note))


def keep_bars(
    store: Store, instrument: Instrument, timeframe: Timeframe, given: Bars, *, may_replace: bool
) -> str:
    """Store bars beside or over those that are there, and return what was done.

    Raises
    ------
    ConflictError
        If bars differ from those stored, and they may not be replaced.
    """
    symbol = instrument.symbol
    held = timeframe in store.timeframes(symbol)
    if held and may_replace:
        store.save(instrument, timeframe, given)
        return "replaced the bars that were stored"
    if not held:
        store.save(instrument, timeframe, given)
        return f"stored {len(given):,} bars"
    old = store.load(store.path(symbol, timeframe), timeframe)
    merged = rules.merge(old, given)
    store.save(instrument, timeframe, merged)
    return f"added {len(merged) - len(old):,} bars after {moment(int(old.ts_ns[-1]))}"


def keep_ticks(store: Store, symbol: str, given: Quotes | Trades, *, may_replace: bool) -> str:
    """Store quotes or trades beside or over those that are there, and return what was done.

    Raises
    ------
    ConflictError
        If rows differ from those stored, and they may not be replaced.
    """
    if isinstance(given, Quotes):
        return _keep(store, symbol, given, None if may_replace else store.quotes(symbol))
    return _keep(store, symbol, given, None if may_replace else store.trades(symbol))


def _keep[T: (Quotes, Trades)](store: Store, symbol: str, given: T, old: T | None) -> str:
    what = type(given).__name__.lower()
    if old is None or not len(old):
        store.save_ticks(symbol, given)
        return f"stored {len(given):,} {what}"
    merged = tickrules.merge(old, given)
    store.save_ticks(symbol, merged)
    return f"added {len(merged) - len(old):,} {what} after {moment(int(old.ts_ns[-1]))}"


def _judged(source: columns.Source, declared: Declared, known: Instrument | None) -> ImportReport:
    raw = source.raw
    calendar = declared.calendar or (known.calendar if known else None)
    report = rules.judge(
        raw,
        symbol=declared.symbol,
        timeframe=declared.timeframe,
        calendar=calendar or rules.likely_calendar(declared.symbol, raw.ts_ns[~raw.unreadable]),
        tick_size=declared.tick_size or (known.tick_size if known else None),
    )
    notes = [] if calendar else [_GUESSED.format(report.calendar)]
    return dataclasses.replace(report, ignored_columns=source.ignored, notes=tuple(notes))


def _stored(store: Store, symbol: str, *, may_be_damaged: bool) -> Instrument | None:
    try:
        return store.instrument(symbol)
    except UnavailableError:
        if may_be_damaged:
            return None
        raise


_TERMS = ("tick_size", "lot_size", "currency")  # NautilusTrader's description holds these too
_GUESSED = "calendar {} was guessed from the symbol and the days; declare it if that is wrong"


def _check(declared: Declared) -> None:
    model.venue_of(declared.symbol)
    if declared.tick_size is not None:
        model.check_step("tick_size", declared.tick_size)
    if declared.lot_size is not None:
        model.check_step("lot_size", declared.lot_size)


def _refuse_changes(stored: Instrument, declared: Declared) -> None:
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


def _described(declared: Declared, known: Instrument | None, report: ImportReport) -> Instrument:
    if report.tick_size is None:
        raise AssertionError  # such a report is not accepted
    found = Instrument(
        symbol=declared.symbol,
        venue=model.venue_of(declared.symbol),
        currency=declared.currency or (known.currency if known else "USD"),
        tick_size=report.tick_size,
        lot_size=declared.lot_size or (known.lot_size if known else Decimal(1)),
        calendar=report.calendar,
        default_timeframe=known.default_timeframe if known else declared.timeframe,
        note=known.note if known else "",
    )
    if known is None or any(getattr(found, each) != getattr(known, each) for each in _TERMS):
        return found
    return dataclasses.replace(found, native=known.native)
