"""HTTP door to the market: instruments, bars, quotes and trades."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query

from strategy_engine.api import doors, market_answers, openapi, views
from strategy_engine.api.services import Catalogue
from strategy_engine.core.errors import NotFoundError
from strategy_engine.market.model import Quotes, Timeframe, Trades

router = APIRouter(prefix="/instruments", tags=["market"], dependencies=[doors.bearer])

Symbol = Annotated[
    str,
    Path(
        max_length=100,
        pattern=doors.NOT_NUL,
        description="Name and venue; a slash in it may be written as it is, or as %2F.",
        examples=["EUR/USD.SIM"],
    ),
]
Limit = Annotated[int, Query(ge=1, le=5_000, description="The last so many.")]


@router.get("", summary="List instruments", responses=openapi.errors())
async def instruments(given: doors.Given) -> market_answers.Instruments:
    """Return every instrument that has bars, by symbol."""
    found = await asyncio.to_thread(_instruments, given.catalogue)
    problems = await asyncio.to_thread(given.catalogue.problems)
    return market_answers.Instruments(
        instruments=found, count=len(found), problems=[str(each) for each in problems]
    )


@router.get("/{symbol:path}/bars", summary="Read bars", responses=openapi.errors(404, 422))
async def bars(
    *,
    symbol: Symbol,
    given: doors.Given,
    timeframe: Annotated[
        str | None,
        Query(
            max_length=60,
            pattern=doors.NOT_NUL,
            description="1-HOUR-LAST-EXTERNAL, or short: 5m, 1h, 1d.",
        ),
    ] = None,
    start: doors.Start = None,
    end: doors.End = None,
    limit: Limit = 500,
) -> market_answers.Bars:
    """Return bars that open in [start, end), oldest first."""
    instrument = await asyncio.to_thread(given.catalogue.instrument, symbol)
    chosen = instrument.default_timeframe if timeframe is None else Timeframe.parse(timeframe)
    found = await asyncio.to_thread(
        given.catalogue.bars,
        symbol,
        str(chosen),
        start_ns=doors.nanos(start),
        end_ns=doors.nanos(end),
        limit=limit,
    )
    return views.bars(symbol, str(chosen), found)


@router.get("/{symbol:path}/quotes", summary="Read quotes", responses=openapi.errors(404, 422))
async def quotes(
    *,
    symbol: Symbol,
    given: doors.Given,
    start: doors.Start = None,
    end: doors.End = None,
    limit: Limit = 500,
) -> market_answers.Quotes:
    """Return the last quotes known in [start, end), oldest first."""
    span = doors.nanos(start), doors.nanos(end)
    found = await asyncio.to_thread(given.catalogue.quotes, symbol, *span)
    return views.quotes(symbol, _last(symbol, "quotes", found, limit))


@router.get("/{symbol:path}/trades", summary="Read trades", responses=openapi.errors(404, 422))
async def trades(
    *,
    symbol: Symbol,
    given: doors.Given,
    start: doors.Start = None,
    end: doors.End = None,
    limit: Limit = 500,
) -> market_answers.MarketTrades:
    """Return the last trades of the market known in [start, end), oldest first."""
    span = doors.nanos(start), doors.nanos(end)
    found = await asyncio.to_thread(given.catalogue.trades, symbol, *span)
    return views.market_trades(symbol, _last(symbol, "trades", found, limit))


def _last[T: (Quotes, Trades)](symbol: str, what: str, found: T | None, limit: int) -> T:
    if found is None:
        raise NotFoundError(
            f"there are no {what} of {symbol}; import a file of them", field="symbol", value=symbol
        )
    return found.slice(max(0, len(found) - limit))


def _instruments(catalogue: Catalogue) -> list[market_answers.Instrument]:
    return [
        views.instrument(each, catalogue.timeframes(each.symbol))
        for each in catalogue.instruments()
    ]
