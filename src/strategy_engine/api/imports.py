"""HTTP door to the market's imports: a file of bars, quotes or trades as the body of a request."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request

from strategy_engine.api import doors, example_readings, market_answers, openapi
from strategy_engine.api.market import Symbol
from strategy_engine.core.errors import InvalidError
from strategy_engine.market.model import Calendar
from strategy_engine.market.report import ImportReport, TickReport

router = APIRouter(prefix="/instruments", tags=["market"], dependencies=[doors.bearer])

Replace = Annotated[bool, Query(description="Drop what is there for what is sent.")]

_PARQUET_MAGIC = b"PAR1"


def _body(example: str) -> dict[str, Any]:
    file = {"schema": {"type": "string", "format": "binary"}, "example": "a Parquet file"}
    content = {
        "text/csv": {"schema": {"type": "string"}, "example": example},
        "application/octet-stream": file,
    }
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/{symbol:path}/bars",
    summary="Import bars",
    responses=openapi.errors(404, 409, body=True),
    openapi_extra=_body(example_readings.BARS_CSV),
)
async def import_bars(  # noqa: PLR0913 - each is one optional fact of the instrument
    *,
    symbol: Symbol,
    request: Request,
    given: doors.Given,
    timeframe: Annotated[
        str, Query(max_length=60, pattern=doors.NOT_NUL, description="5m, 1h, 1d.")
    ],
    tick_size: Annotated[
        Decimal | None, Query(description="Smallest price step; found in the prices if not given.")
    ] = None,
    lot_size: Annotated[Decimal | None, Query(description="Smallest quantity; 1.")] = None,
    currency: Annotated[
        str | None, Query(pattern=r"^[A-Z0-9]{2,10}$", description="Settlement currency; USD.")
    ] = None,
    calendar: Annotated[
        Calendar | None, Query(description="When it trades; found in the times if not given.")
    ] = None,
    replace: Replace = False,
) -> market_answers.Imported:
    """Judge a CSV or Parquet file of bars and, if nothing refuses it, add it to the catalogue."""
    async with _received(request) as path:
        report = await asyncio.to_thread(
            given.catalogue.import_file,
            path,
            symbol,
            timeframe,
            tick_size=tick_size,
            lot_size=lot_size,
            currency=currency,
            calendar=calendar,
            replace=replace,
        )
    return _told(report, str(report.timeframe))


@router.post(
    "/{symbol:path}/quotes",
    summary="Import quotes",
    responses=openapi.errors(404, 409, body=True),
    openapi_extra=_body(example_readings.QUOTES_CSV),
)
async def import_quotes(
    *, symbol: Symbol, request: Request, given: doors.Given, replace: Replace = False
) -> market_answers.Imported:
    """Judge a CSV or Parquet file of quotes and, if nothing refuses it, add it to the catalogue."""
    return await _import_ticks(symbol, "quotes", request, given, replace=replace)


@router.post(
    "/{symbol:path}/trades",
    summary="Import trades",
    responses=openapi.errors(404, 409, body=True),
    openapi_extra=_body(example_readings.TRADES_CSV),
)
async def import_trades(
    *, symbol: Symbol, request: Request, given: doors.Given, replace: Replace = False
) -> market_answers.Imported:
    """Judge a CSV or Parquet file of trades and, if nothing refuses it, add it to the catalogue."""
    return await _import_ticks(symbol, "trades", request, given, replace=replace)


async def _import_ticks(
    symbol: str,
    what: Literal["quotes", "trades"],
    request: Request,
    given: doors.Given,
    *,
    replace: bool,
) -> market_answers.Imported:
    async with _received(request) as path:
        report = await asyncio.to_thread(
            given.catalogue.import_ticks, path, symbol, what, replace=replace
        )
    return _told(report, what)


@asynccontextmanager
async def _received(request: Request) -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="strategy-engine-import-") as folder:
        path = Path(folder) / "body"
        head = b""
        with path.open("wb") as file:
            async for chunk in request.stream():
                head = (head + chunk[: len(_PARQUET_MAGIC)])[: len(_PARQUET_MAGIC)]
                await asyncio.to_thread(file.write, chunk)
        suffix = ".parquet" if head == _PARQUET_MAGIC else ".csv"
        yield path.rename(path.with_suffix(suffix))


def _told(report: ImportReport | TickReport, what: str) -> market_answers.Imported:
    if not report.accepted:
        raise InvalidError("; ".join(report.lines()), field="body", lines=report.lines())
    return market_answers.Imported(
        symbol=report.symbol, what=what, rows=report.rows, lines=report.lines()
    )
