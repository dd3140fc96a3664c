"""HTTP door for taking metrics away: tables as CSV or Parquet, and tearsheets."""

from collections.abc import AsyncIterator
from dataclasses import fields
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, StreamingResponse

from strategy_engine.api import doors, lines, measures, openapi, tables
from strategy_engine.api.measures import ESTIMATES
from strategy_engine.api.services import Services
from strategy_engine.api.tables import Column, Kind
from strategy_engine.performance import rollups
from strategy_engine.performance.model import Metrics
from strategy_engine.performance.rollups import Resolution
from strategy_engine.performance.service import Point
from strategy_engine.venue import pages

router = APIRouter(tags=["metrics"], dependencies=[doors.bearer])

Form = Annotated[
    Literal["csv", "parquet"] | None,
    Query(alias="format", description="As `Accept` says if not given, else CSV."),
]
Table = Literal["trades", "equity", "metrics"]
Of = Literal["auto", "live", "paper", "backtest"]

_NUMBERS = tuple(each.name for each in fields(Metrics))
_OTHERS = ("equity", "pnl", "execution_count", "bar_count", "denial_count")
_PARTS = ("n", "low", "high")
_EXACT = frozenset({"quantity", "price", "pnl", "fee", "slippage"})
_TRADE_COLUMNS = [
    Column(
        name=name,
        kind=Kind.TIME if name == "timestamp" else Kind.MONEY if name in _EXACT else Kind.TEXT,
    )
    for name in pages.TRADE_COLUMNS
]
_KINDS = {"timestamp": Kind.TIME, "benchmark": Kind.NUMBER}
_EQUITY_COLUMNS = [
    Column(name=name, kind=_KINDS.get(name, Kind.MONEY)) for name in pages.EQUITY_COLUMNS
]
_METRIC_COLUMNS = [
    Column(name="timestamp", kind=Kind.TIME),
    *(
        Column(name=name, kind=Kind.NUMBER)
        for name in (
            "samples",
            *_NUMBERS,
            *_OTHERS,
            *(f"{name}_{part}" for name in ESTIMATES for part in _PARTS),
        )
    ),
]

_TABLES: openapi.Responses = {
    200: {
        "content": {
            tables.MEDIA_TYPES["csv"]: {
                "schema": {"type": "string"},
                "example": "timestamp,equity\r\n2025-08-24T10:00:00Z,100127.5\r\n",
            },
            tables.MEDIA_TYPES["parquet"]: {
                "schema": {"type": "string", "format": "binary"},
                "example": "PAR1…",
            },
        },
        "description": "The table, sent as it is read.",
    }
}
_PAGE: openapi.Responses = {
    200: {
        "content": {
            "text/html": {"schema": {"type": "string"}, "example": "<!doctype html>…"},
        },
        "description": "One page that needs nothing besides itself.",
    }
}


@router.get(
    "/executions/{execution_id}/export/{table}",
    summary="Take a table of an execution away",
    response_class=StreamingResponse,
    responses=_TABLES | openapi.errors(404, 422),
)
async def export(  # noqa: PLR0913 - each is one part of what is asked for
    *,
    request: Request,
    execution_id: doors.ExecutionId,
    table: Annotated[Table, Path(description="Which of its tables.")],
    given: doors.Given,
    within: doors.WithinRange,
    form: Form = None,
    resolution: measures.How = "auto",
) -> StreamingResponse:
    """Return all trades, all equity, or all metrics of a range as CSV or Parquet."""
    await given.executions.get(execution_id)
    if table == "metrics":
        return await _metrics_table(request, execution_id, given, within, (form, resolution))
    start, end = doors.nanos(within.start), doors.nanos(within.end)
    if table == "trades":
        rows = given.pages.trades(execution_id, start_ns=start, end_ns=end)
        return _table(request, form, _TRADE_COLUMNS, rows, f"{execution_id}-trades")
    rows = given.pages.equity(execution_id, start_ns=start, end_ns=end)
    return _table(request, form, _EQUITY_COLUMNS, rows, f"{execution_id}-equity")


@router.get(
    "/strategies/{strategy_id}/export/metrics",
    summary="Take a version's metrics away",
    response_class=StreamingResponse,
    responses=_TABLES | openapi.errors(404, 422),
)
async def export_version(
    *,
    request: Request,
    strategy_id: doors.StrategyId,
    given: doors.Given,
    within: doors.WithinRange,
    form: Form = None,
    resolution: measures.How = "auto",
) -> StreamingResponse:
    """Return all metrics of a version in a range as CSV or Parquet."""
    await given.registry.get(strategy_id)
    return await _metrics_table(request, strategy_id, given, within, (form, resolution))


@router.get(
    "/lines/{strategy_name:path}/export/metrics",
    summary="Take a line's metrics away",
    response_class=StreamingResponse,
    responses=_TABLES | openapi.errors(404, 422),
)
async def export_line(
    *,
    request: Request,
    strategy_name: lines.Name,
    given: doors.Given,
    within: doors.WithinRange,
    form: Form = None,
    resolution: measures.How = "auto",
) -> StreamingResponse:
    """Return all metrics of a line in a range as CSV or Parquet."""
    await given.lines.look(strategy_name)
    return await _metrics_table(
        request, rollups.line_id(strategy_name), given, within, (form, resolution)
    )


@router.get(
    "/engine/export/metrics",
    summary="Take the engine's metrics away",
    response_class=StreamingResponse,
    responses=_TABLES | openapi.errors(422),
)
async def export_engine(
    *,
    request: Request,
    given: doors.Given,
    within: doors.WithinRange,
    form: Form = None,
    resolution: measures.How = "auto",
) -> StreamingResponse:
    """Return all metrics of the engine in a range as CSV or Parquet."""
    return await _metrics_table(request, measures.ENGINE, given, within, (form, resolution))


@router.get(
    "/executions/{execution_id}/tearsheet",
    summary="Look at an execution",
    response_class=HTMLResponse,
    responses=_PAGE | openapi.errors(404, 422),
)
async def sheet(execution_id: doors.ExecutionId, given: doors.Given) -> HTMLResponse:
    """Return an execution's tearsheet: plots, months, metrics with intervals, costs."""
    return HTMLResponse(await given.sheets.of_execution(execution_id), headers=_UNTRUSTED)


@router.get(
    "/strategies/{strategy_id}/tearsheet",
    summary="Look at a version",
    response_class=HTMLResponse,
    responses=_PAGE | openapi.errors(404, 422),
)
async def sheet_of_version(
    strategy_id: doors.StrategyId,
    given: doors.Given,
    of: Annotated[
        Of,
        Query(description="Its last execution, paper test or backtest; auto: the first there is."),
    ] = "auto",
    against: Annotated[
        str | None,
        Query(pattern=r"^[A-Za-z0-9_.:-]{1,60}$", description="Another version, side by side."),
    ] = None,
) -> HTMLResponse:
    """Return a version's tearsheet, beside another version's if that is named."""
    page = await given.sheets.of_version(strategy_id, of, against)
    return HTMLResponse(page, headers=_UNTRUSTED)


# What users wrote is in it: whatever it says, no browser runs any of it.
_UNTRUSTED = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


async def _metrics_table(
    request: Request,
    kept_as: str,
    given: Services,
    within: doors.Range,
    chosen: tuple[str | None, measures.How],
) -> StreamingResponse:
    form, asked = chosen
    resolution = Resolution.MINUTE if asked == "auto" else Resolution(asked)
    found = given.snapshots.pages(kept_as, resolution, start=within.start, end=within.end)
    return _table(request, form, _METRIC_COLUMNS, _rows(found), f"{kept_as}-metrics")


async def _rows(found: AsyncIterator[Any]) -> AsyncIterator[list[list[Any]]]:
    async for points in found:
        yield [_row(each) for each in points]


def _row(point: Point) -> list[Any]:
    estimates = point.metrics.get("estimates", {})
    nothing = (None, None, None)
    return [
        point.at,
        point.samples,
        *(point.metrics.get(name) for name in (*_NUMBERS, *_OTHERS)),
        *(part for name in ESTIMATES for part in estimates.get(name, nothing)),
    ]


def _table(
    request: Request, form: str | None, columns: list[Column], rows: Any, name: str
) -> StreamingResponse:
    chosen = tables.wanted(form, request.headers.get("accept", ""))
    return StreamingResponse(
        tables.encoded(columns, rows, chosen),
        media_type=tables.MEDIA_TYPES[chosen],
        headers={
            "Content-Disposition": f'attachment; filename="{name}.{chosen}"',
            "Vary": "Accept",
        },
    )
