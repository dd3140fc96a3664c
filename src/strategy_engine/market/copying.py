"""From a directory of NautilusTrader's into the store, series by series."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from strategy_engine.core.errors import (
    ConflictError,
    EngineError,
    InvalidError,
    NotFoundError,
)
from strategy_engine.market import imports
from strategy_engine.market.linked import LinkedCatalogue
from strategy_engine.market.model import Instrument, Quotes, Timeframe, Trades
from strategy_engine.market.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What became of one series, or of what is no series that can be used.

    `what` is a timeframe, `quotes` or `trades`; empty for something else.
    """

    symbol: str
    what: str
    note: str
    accepted: bool

    def __str__(self) -> str:
        name = f"{self.symbol} {self.what}".strip()
        said = f"{name}: {self.note}" if name else self.note
        return said if self.accepted else f"error: {said}"


def copy(
    store: Store, source: LinkedCatalogue, symbols: Iterable[str] | None, *, may_replace: bool
) -> list[Copied]:
    """Copy every series that can be used; see `Catalogue.import_catalogue`."""
    _check(source)
    chosen = source.symbols() if symbols is None else [_checked(source, each) for each in symbols]
    done = [] if symbols is not None else [_problem(str(each)) for each in source.problems()]
    with store.locked():
        for symbol in chosen:
            done += _copied(store, source, symbol, may_replace=may_replace)
    return done


def _copied(
    store: Store, source: LinkedCatalogue, symbol: str, *, may_replace: bool
) -> Iterator[Copied]:
    instrument = source.described(symbol)
    for what, act in _acts(store, source, instrument, may_replace=may_replace):
        try:
            _refuse_other_terms(store, instrument, may_replace=may_replace)
            note = act()
        except EngineError as error:
            yield Copied(symbol=symbol, what=what, note=str(error), accepted=False)
            continue
        if note is not None:
            yield Copied(symbol=symbol, what=what, note=note, accepted=True)


def _acts(
    store: Store, source: LinkedCatalogue, instrument: Instrument, *, may_replace: bool
) -> Iterator[tuple[str, Callable[[], str | None]]]:
    symbol = instrument.symbol

    def bars(timeframe: Timeframe) -> str:
        given = source.bars(symbol, timeframe)
        return imports.keep_bars(store, instrument, timeframe, given, may_replace=may_replace)

    def ticks(read: Callable[[], Quotes | Trades | None]) -> str | None:
        given = read()
        if given is None:
            return None
        return imports.keep_ticks(store, symbol, given, may_replace=may_replace)

    for timeframe in source.timeframes(symbol):
        yield str(timeframe), partial(bars, timeframe)
    yield "quotes", partial(ticks, partial(source.quotes, symbol, None, None))
    yield "trades", partial(ticks, partial(source.trades, symbol, None, None))


def _refuse_other_terms(store: Store, instrument: Instrument, *, may_replace: bool) -> None:
    if may_replace:
        return
    stored = store.instrument(instrument.symbol)
    for name in ("tick_size", "lot_size", "currency", "calendar"):
        said, held = getattr(instrument, name), getattr(stored, name, None)
        if stored is not None and said != held:
            raise ConflictError(
                f"{instrument.symbol} is stored with {name} {held}, and is {said} there; import "
                "with --replace to change it",
                field=name,
                value=str(said),
                accepted=str(held),
            )


def _check(source: LinkedCatalogue) -> None:
    if not source.root.is_dir():
        raise NotFoundError(
            f"there is no directory {source.root}", field="path", value=str(source.root)
        )
    if not source.symbols():
        found = "; ".join(str(each) for each in source.problems()[:3])
        raise InvalidError(
            f"{source.root} holds no instrument that can be traded: {found or 'it is empty'}",
            field="path",
            value=str(source.root),
        )


def _checked(source: LinkedCatalogue, symbol: str) -> str:
    if symbol in source:
        return symbol
    if reason := source.refusal(symbol):
        raise InvalidError(f"{symbol} cannot be traded: {reason}", field="symbol", value=symbol)
    held = ", ".join(source.symbols())
    raise NotFoundError(
        f"there is no {symbol} in {source.root}; it has {held}", field="symbol", value=symbol
    )


def _problem(text: str) -> Copied:
    return Copied(symbol="", what="", note=text, accepted=False)
