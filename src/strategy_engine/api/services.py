"""What the HTTP door needs from below: one object a process, filled by whoever starts it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Literal, Protocol

from strategy_engine.access.model import Key, Principal
from strategy_engine.access.model import Role as AccessRole
from strategy_engine.access.service import Made
from strategy_engine.alerts.alerting import Alerting
from strategy_engine.api.figures import Measuring, Pages, Sheets, Snapshots
from strategy_engine.api.telemetry import Telemetry
from strategy_engine.core.clock import Clock
from strategy_engine.execution.interruptions import Interruption
from strategy_engine.execution.model import Answered, Execution, ExecutionConfig, ExecutionStatus
from strategy_engine.execution.stops import Stop
from strategy_engine.flags.service import Flags
from strategy_engine.infra.bus.broker import BusSettings
from strategy_engine.infra.eventlog import EventLog
from strategy_engine.infra.meters import ControlMeters
from strategy_engine.infra.webhooks.service import Webhooks
from strategy_engine.market.model import Bars, Calendar, Instrument, Quotes, Timeframe, Trades
from strategy_engine.market.report import ImportReport, TickReport
from strategy_engine.pipeline.model import Request, StageResult
from strategy_engine.registry.model import Strategy
from strategy_engine.registry.service import Registry
from strategy_engine.risk.overseeing import Overseeing
from strategy_engine.risk.stopping import Reset, Stopped, Wish
from strategy_engine.rollout.allocation.service import Allocations
from strategy_engine.rollout.effects import Acted
from strategy_engine.rollout.events import BEGINNING, Cursor, History
from strategy_engine.rollout.experiments.service import Experiments
from strategy_engine.rollout.leavings import Leavings
from strategy_engine.rollout.lines import Lines
from strategy_engine.rollout.model import Deployment, Options, State
from strategy_engine.rollout.verbs import Asked, Verb
from strategy_engine.venue.accounts import AccountNow
from strategy_engine.venue.limit_book import LimitBook
from strategy_engine.venue.service import CapitalFlow, EquityPoint, OrderRow, Trade
from strategy_engine.venue.standings import Standing


class Followed(Protocol):
    """A deployment and the results of the stages it has finished."""

    @property
    def deployment(self) -> Deployment:
        """The deployment as it stands."""

    @property
    def results(self) -> Sequence[StageResult]:
        """The finished stages, in the pipeline's order."""


class Rollouts(Protocol):
    """Deployments, from request to end."""

    async def request(self, strategy_id: str, options: Options, *, actor: str) -> Deployment:
        """Accept a deployment; it goes on by itself."""
        ...

    async def follow(self, pipeline_id: str) -> Followed:
        """Return a deployment and what its stages found."""
        ...

    async def history(self, pipeline_id: str, after: Cursor = BEGINNING) -> History:
        """Return what happened to a deployment after a cursor, and how it stands."""
        ...

    async def page(
        self,
        *,
        state: State | None = None,
        strategy_id: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[Sequence[Deployment], int]:
        """Return deployments, newest first, and how many there are in all."""
        ...

    async def act(
        self, pipeline_id: str, verb: Verb, asked: Asked, *, dry_run: bool = False
    ) -> Acted:
        """Do to a deployment what a person says, or tell what it would do."""
        ...


class Pipeline(Protocol):
    """The validation stages."""

    async def run_stage(
        self, pipeline_id: str | None, strategy: Strategy, stage: str, request: Request
    ) -> StageResult:
        """Run one stage; without a pipeline it is a test, and changes no state."""
        ...


class Executions(Protocol):
    """Desired and observed state of executions. The verbs act on every role of a version.

    They wait a few seconds for the node to confirm and answer what is then true, the stable role
    first.
    """

    async def start(self, strategy_id: str, config: ExecutionConfig, *, actor: str) -> Execution:
        """Start a version; a running one answers its execution."""
        ...

    async def stop(self, strategy_id: str, *, actor: str) -> Answered:
        """Stop a version's executions."""
        ...

    async def pause(self, strategy_id: str, *, actor: str) -> Answered:
        """Let a version's executions take no new decisions."""
        ...

    async def resume(self, strategy_id: str, *, actor: str) -> Answered:
        """Let a version's paused executions decide again."""
        ...

    async def interruptions(self, execution_id: str) -> Sequence[Interruption]:
        """Return when an execution did not run though it should have, oldest first."""
        ...

    async def get(self, execution_id: str) -> Execution:
        """Return one execution, whatever its status."""
        ...

    async def stop_over(self, execution: Execution) -> Stop | None:
        """Return the emergency stop that is in force over an execution; None: there is none."""
        ...

    async def page(
        self,
        *,
        statuses: Collection[ExecutionStatus],
        strategy_id: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> tuple[Sequence[Execution], int]:
        """Return executions in one of `statuses`, newest first, and how many there are in all."""
        ...


class Records(Protocol):
    """What executions did, for ever. Of an unknown execution there is nothing."""

    async def standings(self, execution_ids: Collection[str]) -> Mapping[str, Standing]:
        """Return what executions have come to by now, by id."""
        ...

    async def accounts(self, execution_ids: Collection[str]) -> Mapping[str, AccountNow]:
        """Return where executions stand, by id."""
        ...

    async def capital_flows(
        self, execution_id: str, *, limit: int = 100, offset: int = 0
    ) -> tuple[Sequence[CapitalFlow], int]:
        """Return some of what flowed in and out, oldest first, and how many flows there were."""
        ...

    async def orders_page(
        self, execution_id: str, *, limit: int = 100, offset: int = 0
    ) -> tuple[Sequence[OrderRow], int]:
        """Return some of an execution's orders, oldest first, and how many there are in all."""
        ...

    async def trades(
        self, execution_id: str, *, limit: int = 100, offset: int = 0
    ) -> Sequence[Trade]:
        """Return fills, oldest first."""
        ...

    async def trade_row_count(self, execution_id: str) -> int:
        """Return how many fills an execution has had."""
        ...

    async def equity(
        self,
        execution_id: str,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        max_points: int | None = None,
    ) -> Sequence[EquityPoint]:
        """Return equity at the closes in [start_ns, end_ns), thinned evenly."""
        ...


class Keys(Protocol):
    """API keys, and who asks with them."""

    async def identify(self, given: str | None) -> Principal:
        """Return who asks with this text."""
        ...

    async def identify_at_once(self, given: str | None) -> Principal:
        """Return who asks with this text, by the keys that are known without the database."""
        ...

    async def are_in_use(self) -> bool:
        """Say whether a request needs a key."""
        ...

    async def create(self, name: str, role: AccessRole, *, actor: str) -> Made:
        """Make a key; its text is shown once."""
        ...

    async def revoke(self, key_id: str, *, actor: str) -> Key:
        """End a key."""
        ...

    async def list(self) -> list[Key]:
        """Return every key there ever was, without secrets."""
        ...


class Stopping(Protocol):
    """Emergency stops."""

    async def stop(self, wish: Wish, *, actor: str) -> Stopped:
        """Stop all in a scope, without waiting for a database."""
        ...

    async def page(self, *, limit: int, offset: int) -> tuple[Sequence[Stop], int]:
        """Return stops, the newest first, and how many there ever were."""
        ...

    async def reset(self, stop_id: str, *, by: Principal, why: str) -> Reset:
        """Let what was stopped start and trade again."""
        ...


class Catalogue(Protocol):
    """Instruments and their data; its methods may read files: the door calls them in a thread."""

    def instruments(self) -> list[Instrument]:
        """Return every instrument that has bars, by symbol."""
        ...

    def instrument(self, symbol: str) -> Instrument:
        """Return one instrument."""
        ...

    def timeframes(self, symbol: str) -> list[Timeframe]:
        """Return the timeframes that a symbol has bars of."""
        ...

    def bars(
        self,
        symbol: str,
        timeframe: str | None = None,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int | None = None,
    ) -> Bars:
        """Return the last `limit` bars that open in [start, end)."""
        ...

    def problems(self) -> Sequence[object]:
        """Return what data cannot be used, each with its reason as its text."""
        ...

    def quotes(
        self, symbol: str, start_ns: int | None = None, end_ns: int | None = None
    ) -> Quotes | None:
        """Return the quotes known in [start, end); None if there are none at all."""
        ...

    def trades(
        self, symbol: str, start_ns: int | None = None, end_ns: int | None = None
    ) -> Trades | None:
        """Return the trades known in [start, end); None if there are none at all."""
        ...

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
        """Judge a file of bars and, if nothing refuses it, store it."""
        ...

    def import_ticks(
        self, path: Path, symbol: str, what: Literal["quotes", "trades"], *, replace: bool = False
    ) -> TickReport:
        """Judge a file of quotes or trades and, if nothing refuses it, store it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Every service that the door calls."""

    keys: Keys
    webhooks: Webhooks
    flags: Flags
    registry: Registry
    rollouts: Rollouts
    pipeline: Pipeline
    executions: Executions
    records: Records
    snapshots: Snapshots
    measuring: Measuring
    sheets: Sheets
    pages: Pages
    catalogue: Catalogue
    telemetry: Telemetry
    lines: Lines
    experiments: Experiments
    allocations: Allocations
    leavings: Leavings
    limits: LimitBook
    stopping: Stopping
    overseeing: Overseeing
    alerting: Alerting
    events: EventLog
    clock: Clock
    bus: BusSettings = field(default_factory=BusSettings)
    meters: ControlMeters = field(default_factory=ControlMeters)
