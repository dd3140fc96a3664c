"""The HTTP door over a real registry and small fakes of what it calls besides."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from prometheus_client.core import Metric

from strategy_engine.access.service import Keys
from strategy_engine.alerts import alerting
from strategy_engine.api import app as api_app
from strategy_engine.api import services, telemetry
from strategy_engine.control import sharing
from strategy_engine.core.clock import SteppedClock
from strategy_engine.core.errors import NotFoundError
from strategy_engine.execution.interruptions import Interruption
from strategy_engine.execution.model import (
    Answered,
    Closing,
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Role,
)
from strategy_engine.execution.stops import Stop
from strategy_engine.flags.service import Flags
from strategy_engine.infra import database
from strategy_engine.infra.eventlog import EventLog
from strategy_engine.infra.webhooks.service import Webhooks
from strategy_engine.infra.webhooks.targets import Targets
from strategy_engine.market.model import Bars, Calendar, Instrument, Quotes, Timeframe, Trades
from strategy_engine.market.report import ImportReport, TickReport
from strategy_engine.market.service import Catalogue as RealCatalogue
from strategy_engine.performance import composite, rollups
from strategy_engine.performance.rollups import Resolution, Span
from strategy_engine.performance.service import Point
from strategy_engine.pipeline import model as pipeline
from strategy_engine.registry import model as registry_model
from strategy_engine.registry.model import Status
from strategy_engine.registry.service import Registry
from strategy_engine.risk.overseeing import Overseeing
from strategy_engine.risk.stopping import Stopping
from strategy_engine.rollout import effects, events, verbs
from strategy_engine.rollout import model as rollout
from strategy_engine.rollout.effects import Acted, Holder
from strategy_engine.rollout.verbs import Asked, Verb
from strategy_engine.venue.accounts import AccountNow
from strategy_engine.venue.books import Book, Tally
from strategy_engine.venue.limit_book import LimitBook
from strategy_engine.venue.service import CapitalFlow, EquityPoint, OrderRow, Position, Trade
from strategy_engine.venue.standings import Standing

NOW = datetime(2025, 8, 24, 10, 0, tzinfo=UTC)
HOUR_NS = 3_600_000_000_000


@dataclass
class Followed:
    deployment: rollout.Deployment
    rows: list[events.AuditRow] = field(default_factory=list)
    finished: list[events.StageRow] = field(default_factory=list)
    results: list[pipeline.StageResult] = field(default_factory=list)


@dataclass
class Rollouts:
    """Deployments in a dictionary; nothing moves unless a test moves it."""

    registry: Registry
    clock: SteppedClock
    kept: dict[str, Followed] = field(default_factory=dict)
    error: Exception | None = None
    reads: int = 0
    waiters: list[asyncio.Event] = field(default_factory=list)
    holders: list[Holder] = field(default_factory=list)

    async def is_read_again(self, times: int) -> None:
        """Return when histories have been read so many times more."""
        self.waiters.append(asyncio.Event())
        until = self.reads + times
        while self.reads < until:
            self.waiters[-1].clear()
            await self.waiters[-1].wait()

    async def request(
        self, strategy_id: str, options: rollout.Options, *, actor: str
    ) -> rollout.Deployment:
        if self.error:
            raise self.error
        strategy = await self.registry.get(strategy_id)
        deployment = rollout.Deployment(
            pipeline_id=f"pipe_{len(self.kept)}",
            strategy_id=strategy_id,
            strategy_name=strategy.content.strategy_name,
            options=options,
            stages=pipeline.STAGES,
            left_out=(),
            requested_by=actor,
            created_at=self.clock.now(),
        )
        self.kept[deployment.pipeline_id] = Followed(deployment)
        return deployment

    async def follow(self, pipeline_id: str) -> Followed:
        if pipeline_id not in self.kept:
            raise NotFoundError(
                f"no deployment {pipeline_id}", field="pipeline_id", value=pipeline_id
            )
        return self.kept[pipeline_id]

    async def history(
        self, pipeline_id: str, after: events.Cursor = events.BEGINNING
    ) -> events.History:
        followed = await self.follow(pipeline_id)
        self.reads += 1
        for each in self.waiters:
            each.set()
        rows = [each for each in followed.rows if each[0] > after.audit_id]
        finished = [each for each in followed.finished if each[0] > after.stage_id]
        found = events.in_order(rows, finished, after)
        return events.History(deployment=followed.deployment, events=tuple(found))

    async def page(
        self,
        *,
        state: rollout.State | None = None,
        strategy_id: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[Sequence[rollout.Deployment], int]:
        found = [
            each.deployment
            for each in self.kept.values()
            if state in {None, each.deployment.state}
            and strategy_id in {None, each.deployment.strategy_id}
        ]
        return found[offset : offset + limit], len(found)

    async def act(
        self, pipeline_id: str, verb: Verb, asked: Asked, *, dry_run: bool = False
    ) -> Acted:
        followed = await self.follow(pipeline_id)
        before = followed.deployment
        after = verbs.after(before, verb, asked)
        if dry_run:
            would = effects.of(verb, before, after, self.holders)
            return Acted(deployment=before, effects=would, is_dry=True)
        followed.deployment = after
        return Acted(deployment=after)


@dataclass
class Pipeline:
    """Answers every stage with a result that was set."""

    result: pipeline.StageResult | None = None
    asked: list[tuple[str | None, str, str, pipeline.Request]] = field(default_factory=list)

    async def run_stage(
        self,
        pipeline_id: str | None,
        strategy: registry_model.Strategy,
        stage: str,
        request: pipeline.Request,
    ) -> pipeline.StageResult:
        self.asked.append((pipeline_id, strategy.strategy_id, stage, request))
        return self.result or pipeline.StageResult(
            stage=stage, passed=True, verdict=pipeline.Verdict.PASSED, duration_ms=1.5
        )


@dataclass
class Executions:
    """Executions in a dictionary; `confirms` says whether the node answers in time."""

    registry: Registry
    clock: SteppedClock
    kept: dict[str, Execution] = field(default_factory=dict)
    interrupted: dict[str, list[Interruption]] = field(default_factory=dict)
    stops: dict[str, Stop] = field(default_factory=dict)
    confirms: bool = True

    def add(self, **fields: Any) -> Execution:
        usual = {
            "execution_id": f"exec_{len(self.kept)}",
            "strategy_id": "strat_x",
            "role": Role.STABLE,
            "status": ExecutionStatus.RUNNING,
            "desired": Desired.RUN,
            "config": ExecutionConfig(),
            "capital": Decimal(100_000),
            "created_at": self.clock.now(),
            "updated_at": self.clock.now(),
            "start_time": self.clock.now(),
        }
        execution = Execution(**{**usual, **fields})
        self.kept[execution.execution_id] = execution
        return execution

    async def start(self, strategy_id: str, config: ExecutionConfig, *, actor: str) -> Execution:
        await self.registry.get(strategy_id)
        for each in self.kept.values():
            if each.strategy_id == strategy_id and each.status is ExecutionStatus.RUNNING:
                return each
        return self.add(strategy_id=strategy_id, config=config)

    async def stop(self, strategy_id: str, *, actor: str) -> Answered:
        now = self.clock.now()
        return await self._command(strategy_id, Desired.STOP, Status.STOPPED, end_time=now)

    async def pause(self, strategy_id: str, *, actor: str) -> Answered:
        return await self._command(strategy_id, Desired.PAUSE, Status.PAUSED)

    async def resume(self, strategy_id: str, *, actor: str) -> Answered:
        return await self._command(strategy_id, Desired.RUN, Status.RUNNING)

    async def get(self, execution_id: str) -> Execution:
        if execution_id not in self.kept:
            raise NotFoundError(
                f"no execution {execution_id}", field="execution_id", value=execution_id
            )
        return self.kept[execution_id]

    async def flatten(self, execution_id: str, *, actor: str, how: Closing) -> Execution:
        kept = await self.get(execution_id)
        self.kept[execution_id] = replace(kept, closing=how)
        return self.kept[execution_id]

    async def interruptions(self, execution_id: str) -> list[Interruption]:
        return self.interrupted.get(execution_id, [])

    async def stop_over(self, execution: Execution) -> Stop | None:
        return self.stops.get(execution.execution_id)

    async def page(
        self,
        *,
        statuses: Collection[ExecutionStatus],
        strategy_id: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> tuple[list[Execution], int]:
        found = [
            each
            for each in self.kept.values()
            if each.status in statuses and strategy_id in {None, each.strategy_id}
        ]
        return found[offset : offset + limit], len(found)

    async def _command(
        self, strategy_id: str, desired: Desired, status: Status, **fields: Any
    ) -> Answered:
        await self.registry.get(strategy_id)
        for each in list(self.kept.values()):
            if each.strategy_id == strategy_id:
                moved = {"status": ExecutionStatus(status.value), **fields}
                self.add(
                    **{name: getattr(each, name) for name in Execution.__slots__}
                    | {"desired": desired}
                    | (moved if self.confirms else {})
                )
        mine = tuple(each for each in self.kept.values() if each.strategy_id == strategy_id)
        waiting = [each.execution_id for each in mine if not each.is_settled]
        note = f"the node has not confirmed {', '.join(waiting)}" if waiting else ""
        return Answered(executions=mine, is_confirmed=not waiting, note=note)


@dataclass
class Records:
    fills: list[Trade] = field(default_factory=list)
    placed: list[OrderRow] = field(default_factory=list)
    points: list[EquityPoint] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    standing: dict[str, Standing] = field(default_factory=dict)
    flows: list[CapitalFlow] = field(default_factory=list)
    account: dict[str, AccountNow] = field(default_factory=dict)
    held: dict[str, dict[str, Decimal]] = field(default_factory=dict)

    async def accounts(self, execution_ids: Collection[str]) -> dict[str, AccountNow]:
        return {name: each for name, each in self.account.items() if name in execution_ids}

    async def capital_flows(
        self, execution_id: str, *, limit: int = 100, offset: int = 0
    ) -> tuple[list[CapitalFlow], int]:
        found = self.flows if execution_id in self.account else []
        return found[offset : offset + limit], len(found)

    async def positions(self, execution_id: str) -> list[Position]:
        return []

    async def holdings(self, execution_ids: Collection[str]) -> dict[str, dict[str, Decimal]]:
        return {name: self.held.get(name, {}) for name in execution_ids}

    async def books(self, execution_ids: Collection[str], known: Any) -> dict[str, Book]:
        return {
            name: Book(
                execution_id=name,
                tally=Tally(),
                positions={},
                cash=each.cash,
                opened=each.contributed,
                flowed=Decimal(0),
            )
            for name, each in self.account.items()
            if name in execution_ids
        }

    async def returns(self, execution_id: str, after_ns: int) -> tuple[Any, Any]:
        return np.empty(0, dtype=np.int64), np.empty(0)

    async def standings(self, execution_ids: Collection[str]) -> dict[str, Standing]:
        return {name: each for name, each in self.standing.items() if name in execution_ids}

    async def trades(self, execution_id: str, *, limit: int = 100, offset: int = 0) -> list[Trade]:
        found = [each for each in self.fills if each.execution_id == execution_id]
        return found[offset : offset + limit]

    async def orders_page(
        self, execution_id: str, *, limit: int = 100, offset: int = 0
    ) -> tuple[list[OrderRow], int]:
        found = [each for each in self.placed if each.order_id.startswith(execution_id)]
        return found[offset : offset + limit], len(found)

    async def trade_row_count(self, execution_id: str) -> int:
        return sum(each.execution_id == execution_id for each in self.fills)

    async def equity(self, execution_id: str, **asked: Any) -> list[EquityPoint]:
        self.asked.append(asked)
        return self.points


@dataclass
class Snapshots:
    points: list[Point] = field(default_factory=list)
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def choose(self, asked: Span, *, now: datetime) -> Resolution:
        return rollups.choose(asked, now=now, interval=timedelta(seconds=10))

    async def history(self, execution_id: str, resolution: Resolution, **asked: Any) -> list[Point]:
        self.asked.append((resolution, asked))
        return self.points

    async def pages(
        self, execution_id: str, resolution: Resolution, **asked: Any
    ) -> AsyncIterator[list[Point]]:
        self.asked.append((resolution, asked))
        yield self.points


@dataclass
class Measuring:
    """Measures one course, whoever's it is said to be; and draws it."""

    course: composite.Course = field(
        default_factory=lambda: composite.Course(
            opening=1_000.0,
            hour=np.arange(3, dtype=np.int64),
            equity=np.array([1_010.0, 1_000.0, 1_020.0]),
            contributed=np.full(3, 1_000.0),
            benchmark=np.array([1.0, 1.01, 1.02]),
            entry_ns=np.array([1], dtype=np.int64),
            exit_ns=np.array([2], dtype=np.int64),
            pnl=np.array([20.0]),
        )
    )
    asked: list[composite.Asked] = field(default_factory=list)

    async def of_execution(self, execution: Execution, asked: composite.Asked) -> Any:
        return self._measured(asked)

    async def of_version(self, strategy_id: str, asked: composite.Asked) -> Any:
        return self._measured(asked)

    async def of_line(self, strategy_name: str, asked: composite.Asked) -> Any:
        return self._measured(asked)

    async def of_engine(self, asked: composite.Asked) -> Any:
        return self._measured(asked)

    def _measured(self, asked: composite.Asked) -> composite.Measured:
        self.asked.append(asked)
        return composite.Measured(
            metrics=composite.measured([self.course]),
            by="hours",
            executions=1,
            equity=1_020.0,
            pnl=20.0,
            first_ns=HOUR_NS,
            last_ns=3 * HOUR_NS,
        )


@dataclass
class Sheets:
    executions: Any
    registry: Registry

    async def of_execution(self, execution_id: str) -> str:
        await self.executions.get(execution_id)
        return "<!doctype html>"

    async def of_version(self, strategy_id: str, of: str, against: str | None) -> str:
        for name in filter(None, (strategy_id, against)):
            await self.registry.get(name)
        return "<!doctype html>"


@dataclass
class Pages:
    rows: list[list[Any]] = field(default_factory=list)

    async def trades(self, execution_id: str, **asked: Any) -> AsyncIterator[list[list[Any]]]:
        yield self.rows

    async def equity(self, execution_id: str, **asked: Any) -> AsyncIterator[list[list[Any]]]:
        yield self.rows


@dataclass
class Catalogue:
    """Two instruments, one of them with a slash in its name, ten bars of each; imports are real."""

    real: RealCatalogue
    timeframe: Timeframe = field(default_factory=lambda: Timeframe.parse("1h"))

    def problems(self) -> list[str]:
        return ["/data/bar/X: its metadata does not tell bar_type"]

    def quotes(self, symbol: str, *span: int | None) -> Quotes | None:
        return self.real.quotes(symbol, *span)

    def trades(self, symbol: str, *span: int | None) -> Trades | None:
        return self.real.trades(symbol, *span)

    def import_file(self, *given: Any, **declared: Any) -> ImportReport:
        return self.real.import_file(*given, **declared)

    def import_ticks(self, *given: Any, **declared: Any) -> TickReport:
        return self.real.import_ticks(*given, **declared)

    def instruments(self) -> list[Instrument]:
        return [self.instrument("AAPL.SIM"), self.instrument("EUR/USD.SIM")]

    def instrument(self, symbol: str) -> Instrument:
        if symbol not in {"AAPL.SIM", "EUR/USD.SIM"}:
            raise NotFoundError(f"no bars of {symbol!r}", field="symbol", value=symbol)
        return Instrument(
            symbol=symbol,
            venue="SIM",
            currency="USD",
            tick_size=Decimal("0.00001"),
            lot_size=Decimal(1),
            calendar=Calendar.FX,
            default_timeframe=self.timeframe,
        )

    def timeframes(self, symbol: str) -> list[Timeframe]:
        return [self.timeframe]

    def bars(
        self, symbol: str, timeframe: str | None = None, *, limit: int | None = None, **span: Any
    ) -> Bars:
        if timeframe not in {None, str(self.timeframe)}:
            raise NotFoundError(f"{symbol} has no {timeframe}", field="timeframe", value=timeframe)
        ts_ns = np.arange(10, dtype=np.int64) * HOUR_NS
        prices = np.linspace(1.1, 1.2, 10)
        volume = np.full(10, np.nan)
        start, end = span.get("start_ns") or 0, span.get("end_ns") or 2**62
        kept = np.flatnonzero((ts_ns >= start) & (ts_ns < end))[-(limit or 10) :]
        columns = dict.fromkeys(("open", "high", "low", "close"), prices[kept])
        return Bars(ts_ns=ts_ns[kept], **columns, volume=volume[kept], timeframe_ns=HOUR_NS)


@dataclass
class Telemetry:
    parts: tuple[telemetry.Part, ...] = (telemetry.Part(name="node", healthy=True),)
    serving: bool = True
    error: Exception | None = None
    counters: telemetry.Metrics = field(
        default_factory=lambda: telemetry.Metrics(
            deployments_per_hour=5.2,
            pipelines_per_hour=17.3,
            total_strategies=47,
            total_deployments=46,
            total_pipelines=156,
            active_executions=8,
            success_rate=0.987,
            success_rate_without_rejections=1.0,
            containerized=False,
            trade_count=12,
            pnl=Decimal("-3.5"),
            deployment_errors=2,
            pipeline_durations=telemetry.Durations(
                count=3, total_s=7.5, buckets=((1.0, 1), (5.0, 3))
            ),
            stage_durations={
                "backtest": telemetry.Durations(count=2, total_s=0.8, buckets=((0.5, 1),))
            },
        )
    )

    measures: tuple[Metric, ...] = ()

    async def measured(self) -> tuple[Metric, ...]:
        return self.measures

    async def health(self) -> telemetry.Health:
        return telemetry.Health(
            serving=self.serving,
            parts=self.parts,
            strategies_deployed=47,
            pipelines_executed=156,
            tests_completed=892,
            active_strategies=12,
            active_executions=8,
            uptime_seconds=86_400.5,
            messagebus_connected=True,
        )

    async def metrics(self) -> telemetry.Metrics:
        if self.error:
            raise self.error
        return self.counters


class Nobody:
    """Events stay as they are told."""

    async def told(self, found: Sequence[Any]) -> Sequence[Any]:
        return found


@dataclass
class World:
    """The services behind a door, and ways to build one."""

    services: services.Services
    database: database.Database
    clock: SteppedClock
    rollouts: Rollouts
    executions: Executions

    def build(self, *, api_key: str | None = None, lifespan: Any = None) -> FastAPI:
        keys = Keys(self.database, self.clock, engine_key=api_key)
        return api_app.build(replace(self.services, keys=keys), lifespan=lifespan)

    def client(self, app: FastAPI | None = None, **options: Any) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app or self.build())
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8700", **options)


def world_in(folder: Path) -> World:
    """Make a world whose files lie in a folder."""
    url = database.control_url(folder)
    engine = database.sync_engine(url)
    database.control.create_all(engine)
    engine.dispose()
    store = database.Database(url)
    clock = SteppedClock(NOW)
    registry = Registry(store, clock)
    executions, records = Executions(registry, clock), Records()
    catalogue = Catalogue(RealCatalogue(folder))
    shared = sharing.make(
        database=store,
        registry=registry,
        executions=executions,
        records=records,
        catalogue=catalogue,
        observer=None,  # no shadow is looked at
        clock=clock,
    )
    given = services.Services(
        keys=Keys(store, clock),
        webhooks=Webhooks(database=store, clock=clock, targets=Targets(private=True)),
        flags=Flags(store, clock),
        registry=registry,
        rollouts=Rollouts(registry, clock),
        pipeline=Pipeline(),
        executions=executions,
        records=records,
        lines=shared.lines,
        experiments=shared.experiments,
        allocations=shared.allocations,
        leavings=shared.leavings,
        limits=LimitBook(store, clock, lambda: None),
        stopping=Stopping(store, folder, clock),
        overseeing=Overseeing(database=store, clock=clock),
        snapshots=Snapshots(),
        measuring=Measuring(),
        sheets=Sheets(executions, registry),
        pages=Pages(),
        catalogue=catalogue,
        telemetry=Telemetry(),
        alerting=alerting.make(store, clock, Targets(private=True)),
        events=EventLog(database=store, whose=Nobody()),
        clock=clock,
    )
    return World(given, store, clock, given.rollouts, given.executions)


@pytest.fixture
def make_world(tmp_path: Path) -> Callable[[], World]:
    return partial(world_in, tmp_path)


@pytest.fixture(scope="session")
def make_world_in() -> Callable[[Path], World]:
    return world_in


@pytest.fixture
async def world(make_world: Callable[[], World]) -> AsyncIterator[World]:
    made = make_world()
    yield made
    await made.database.aclose()


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.client() as made:
        yield made


@pytest.fixture
def content() -> dict[str, Any]:
    return {
        "strategy_name": "RSI Mean Reversion",
        "version": "1.2.0",
        "code": "class RSI:\n    def generate_signal(self, market_data):\n        return 'HOLD'\n",
        "parameters": {"rsi_period": 14},
        "risk_limits": {"max_position_size": 10000, "daily_loss_limit": -1000},
    }


@pytest.fixture
async def strategy_id(client: httpx.AsyncClient, content: dict[str, Any]) -> str:
    answer = await client.post("/strategies", json=content)
    return str(answer.json()["strategy_id"])
