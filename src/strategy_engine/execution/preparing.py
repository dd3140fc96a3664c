"""What an execution knows of the market before it plays: its bars, its ticks, its source."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from strategy_engine.execution import benchmarks, rules, sources, ticks
from strategy_engine.execution import history as histories
from strategy_engine.execution.benchmarks import Benchmark
from strategy_engine.execution.history import History, Series
from strategy_engine.execution.model import Execution, ExecutionConfig
from strategy_engine.execution.sources import Source
from strategy_engine.execution.ticks import TickHistory
from strategy_engine.execution.tools import Tools
from strategy_engine.matching.settings import Settings


async def series_of(mine: Execution, settings: Settings, tools: Tools) -> dict[str, Series]:
    """Return the bars that the catalogue has of what an execution trades."""
    return await asyncio.to_thread(
        histories.load,
        tools.catalogue,
        settings.symbols,
        settings.timeframe,
        mine.config.end_ns,
    )


async def ticks_of(settings: Settings, tools: Tools) -> TickHistory:
    """Return the quotes and trades that the catalogue has of it."""
    return await asyncio.to_thread(ticks.load, tools.catalogue, settings.symbols)


async def benchmark_of(mine: Execution, past: History, tools: Tools) -> Benchmark | None:
    """Return what it is compared with; None: what it trades."""
    return await asyncio.to_thread(
        benchmarks.load, tools.catalogue, mine.config, past.first_close_ns()
    )


async def source_of(
    mine: Execution,
    series: dict[str, Series],
    known: TickHistory,
    tools: Tools,
    is_wanted: Callable[[], bool],
) -> Source:
    """Return where its bars come from; wait for a bus as long as the execution is wanted."""
    config, clock = mine.config, tools.clock
    if config.feed != rules.BUS:
        speed = tools.settings.replay_speed
        return sources.Replay(series, config, default_speed=speed, clock=clock, ticks=known)
    config = await gone_on(mine, config, tools)  # what came since it began is no warm-up
    return await sources.go_live(tools.bars, series, config, clock=clock, is_wanted=is_wanted)


async def gone_on(mine: Execution, config: ExecutionConfig, tools: Tools) -> ExecutionConfig:
    """Return a config with the start that the execution had, if it has begun."""
    first = await tools.records.equity(mine.execution_id, max_points=2)
    return replace(config, start_ns=first[0].close_ns - 1) if first else config
