"""The course of a backtest, kept beside its evidence for whoever wants to look at it."""

from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core import money
from strategy_engine.infra import database
from strategy_engine.performance import formulas
from strategy_engine.pipeline import backtest
from strategy_engine.pipeline.backtest import Ledgered
from strategy_engine.pipeline.history import History

type Ints = NDArray[np.int64]

KEY = "curve"  # of the evidence that a stage hands over; an answer never has it
MOST_POINTS = 5_000
MOST_TRIPS = 5_000

TABLE = sa.Table(
    "stage_curves",
    database.control,
    sa.Column("curve_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("strategy_id", sa.String(40), nullable=False),
    sa.Column("pipeline_id", sa.String(40)),
    sa.Column("stage", sa.String(40), nullable=False),
    sa.Column("curve", sa.JSON, nullable=False),
    sa.Column("finished_at", database.UtcDateTime, nullable=False),
    sa.Index("ix_stage_curves_strategy", "strategy_id", "curve_id"),
)


def of(ledgered: Ledgered, part: History) -> dict[str, Any]:
    """Return a backtest's equity, benchmark and round trips as plain JSON.

    A long history has the last close of each day, or as many closes as there is room for.
    """
    chosen = _chosen(ledgered.close_ns)
    terms = {each.symbol: each.terms for each in part.series}
    slipped = sum(
        terms[each.symbol].nanos(each.slippage_ticks * each.lots) for each in ledgered.fills
    )
    trips = [trip.pnl_nanos / money.NANOS for trip in ledgered.round_trips]
    return {
        "capital": ledgered.capital,
        "bars": int(ledgered.close_ns.size),
        "close_ns": ledgered.close_ns[chosen].tolist(),
        "equity": ledgered.equity[chosen].tolist(),
        "benchmark": backtest.benchmark_of(part)[chosen].tolist(),
        "round_trips": trips[-MOST_TRIPS:],
        "fills": len(ledgered.fills),
        "fees": sum(each.fee_nanos for each in ledgered.fills) / money.NANOS,
        "slippage": slipped / money.NANOS,
    }


def _chosen(close_ns: Ints) -> NDArray[np.intp]:
    if close_ns.size <= MOST_POINTS:
        return np.arange(close_ns.size)
    ends = formulas.day_ends((close_ns - 1) // formulas.NANOS_PER_DAY)
    if ends.size <= MOST_POINTS:
        return ends
    return ends[np.unique(np.linspace(0, ends.size - 1, MOST_POINTS).astype(np.intp))]


async def insert(
    connection: AsyncConnection,
    curve: dict[str, Any],
    *,
    strategy_id: str,
    pipeline_id: str | None,
    stage: str,
    finished_at: datetime,
) -> None:
    """Store the course of a stage."""
    await connection.execute(
        sa.insert(TABLE).values(
            strategy_id=strategy_id,
            pipeline_id=pipeline_id,
            stage=stage,
            curve=curve,
            finished_at=finished_at,
        )
    )


async def latest(connection: AsyncConnection, strategy_id: str) -> dict[str, Any] | None:
    """Return the last course of a version's backtests, with `finished_at`."""
    rows = await connection.execute(
        sa.select(TABLE)
        .where(TABLE.c.strategy_id == strategy_id)
        .order_by(TABLE.c.curve_id.desc())
        .limit(1)
    )
    row = rows.one_or_none()
    return None if row is None else {**row.curve, "finished_at": row.finished_at}
