"""An execution, its states, and the one table that moves it between them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from strategy_engine.core.transitions import next_state
from strategy_engine.venue.model import RiskState, Tenure


class ExecutionStatus(StrEnum):
    """What an execution is doing, as the node observes it."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    ERROR = "error"


class Trigger(StrEnum):
    """What happens to an execution, or is done to it."""

    READY = "ready"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    COMPLETE = "complete"
    BREAK = "break"
    TAKE_OVER = "take_over"
    LOSE = "lose"


class Desired(StrEnum):
    """What control wants of an execution."""

    RUN = "run"
    PAUSE = "pause"
    STOP = "stop"
    DRAIN = "drain"  # no new entries; stop when flat
    FLATTEN = "flatten"  # close every position at the next price; stop when flat


class Role(StrEnum):
    """What an execution is for."""

    STABLE = "stable"
    CANDIDATE = "candidate"
    BASELINE = "baseline"
    SHADOW = "shadow"
    VALIDATION = "validation"


REAL = frozenset({Role.STABLE, Role.CANDIDATE, Role.BASELINE})  # those that have capital
ON_TRIAL = frozenset({Role.CANDIDATE, Role.BASELINE, Role.SHADOW})


class Exits(StrEnum):
    """Who closes what is held and is no longer served: the strategy, or the engine at once."""

    OWN = "own"
    FLATTEN = "flatten"


class Closing(StrEnum):
    """How far the engine is with closing what an execution held when it ended."""

    ASKED = "asked"
    CALLED_IN = "called_in"  # by who moves the line's capital, and counts it there once it is free
    CLOSED = "closed"  # what it tied is cash, and still to be given to the line
    STUCK = "stuck"  # there is no next price, or it could not be claimed; it may be asked again
    SETTLED = "settled"  # it has nothing of the line's any more


_TO_CLOSE = frozenset({Closing.ASKED, Closing.CALLED_IN})
_S, _T = ExecutionStatus, Trigger
ARROWS: dict[tuple[ExecutionStatus, Trigger], ExecutionStatus] = {
    (_S.STARTING, _T.READY): _S.RUNNING,
    (_S.STARTING, _T.PAUSE): _S.PAUSED,
    (_S.STARTING, _T.STOP): _S.STOPPED,
    (_S.STARTING, _T.BREAK): _S.ERROR,
    (_S.STARTING, _T.TAKE_OVER): _S.STARTING,
    (_S.STARTING, _T.LOSE): _S.STARTING,
    (_S.RUNNING, _T.PAUSE): _S.PAUSED,
    (_S.RUNNING, _T.STOP): _S.STOPPED,
    (_S.RUNNING, _T.COMPLETE): _S.STOPPED,
    (_S.RUNNING, _T.BREAK): _S.ERROR,
    (_S.RUNNING, _T.TAKE_OVER): _S.STARTING,
    (_S.RUNNING, _T.LOSE): _S.STARTING,
    (_S.PAUSED, _T.RESUME): _S.RUNNING,
    (_S.PAUSED, _T.STOP): _S.STOPPED,
    (_S.PAUSED, _T.COMPLETE): _S.STOPPED,
    (_S.PAUSED, _T.BREAK): _S.ERROR,
    (_S.PAUSED, _T.TAKE_OVER): _S.STARTING,
    (_S.PAUSED, _T.LOSE): _S.STARTING,
}

UNENDED = frozenset({ExecutionStatus.STARTING, ExecutionStatus.RUNNING, ExecutionStatus.PAUSED})
ACTIVE = UNENDED | {ExecutionStatus.ERROR}  # what a list shows unless it is asked for others

# What each desire looks like once the node has made it so.
MET_BY: dict[Desired, frozenset[ExecutionStatus]] = {
    Desired.RUN: frozenset({_S.RUNNING, _S.STOPPED, _S.ERROR}),
    Desired.PAUSE: frozenset({_S.PAUSED, _S.STOPPED, _S.ERROR}),
    Desired.STOP: frozenset({_S.STOPPED, _S.ERROR}),
    Desired.DRAIN: frozenset({_S.STOPPED, _S.ERROR}),
    Desired.FLATTEN: frozenset({_S.STOPPED, _S.ERROR}),
}

COMPLETED, STOPPED, REPLACED = "completed", "stopped", "replaced"  # end reasons
FAILED = "error"
LOST = "lost"  # again and again, and for no fault of the strategy

# What a client may format as a number from the first moment on.
ALWAYS_NUMBERS = (
    "sharpe_ratio",
    "max_drawdown",
    "win_rate",
    "total_return",
    "volatility",
    "avg_trade_duration",
    "alpha",
    "beta",
    "information_ratio",
    "calmar_ratio",
)
NO_METRICS: dict[str, float] = dict.fromkeys(ALWAYS_NUMBERS, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionConfig:
    """How an execution is to trade. None: what the version's parameters or the engine say.

    Parameters
    ----------
    account : str or None
        What its limits and stops are shared in; None: its line's own.
    risk_limits : dict or None
        What it is held to beside its version: they only tighten, unless `risk_override`.
    risk_override : bool
        What `risk_limits` names replaces the version's; if it names nothing, the version's
        `daily_loss_limit` does not stop entries. No other limit is lifted.
    risk_override_reason : str or None
        Why; without one, nobody may override anything.
    speed : float or None
        Bars a second of the replay; 0: as fast as it goes.
    start_ns, end_ns : int or None
        Play only bars that close after the one, and no later than the other.
    warm_up : int or None
        Bars before the first live one; None: the strategy's lookback.
    benchmark : str or None
        What it is compared with: `traded`, `cash`, or a symbol; None: what is traded.
    flags : dict or None
        What feature flags say, whatever they say elsewhere: a validation run's defaults.
    """

    capital: float | None = None
    position_size: float | None = None
    max_trades_per_day: int | None = None
    risk_override: bool = False
    risk_override_reason: str | None = None
    risk_limits: dict[str, Any] | None = None
    account: str | None = None
    symbols: tuple[str, ...] | None = None
    timeframe: str | None = None
    feed: str = "replay"
    speed: float | None = None
    mode: str = "paper"
    start_ns: int | None = None
    end_ns: int | None = None
    warm_up: int | None = None
    flags: dict[str, Any] | None = None
    benchmark: str | None = None

    def to_plain(self) -> dict[str, Any]:
        """Return what is set, as JSON has it."""
        plain = {name: value for name, value in asdict(self).items() if value is not None}
        if self.symbols is not None:
            plain["symbols"] = list(self.symbols)
        return plain

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "ExecutionConfig":
        """Return the config that `to_plain` gave."""
        symbols = plain.get("symbols")
        return cls(**plain | {"symbols": None if symbols is None else tuple(symbols)})

    def overrides(self) -> dict[str, Any]:
        """Return what wins over the version's own parameters."""
        names = ("capital", "position_size", "max_trades_per_day", "timeframe")
        given = {name: getattr(self, name) for name in names}
        return given | {"symbols": None if self.symbols is None else list(self.symbols)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One version at work in one role, or that was. Money in account currency.

    `desired`, `desired_why`, `config`, `role`, `capital_target`, `serves` and `exits` are
    control's; the rest is what the node observed.

    Parameters
    ----------
    capital : Decimal
        What it was given, and what was taken from it: P&L is what its equity is beyond that.
    capital_target : Decimal or None
        What `capital` is to be; None: as it is. The node moves cash between bars until it is.
    serves : Tenure or None
        When it may open positions; None: always.
    failure : str or None
        What its strategy did wrong, while the engine still closes what it holds.
    tied : Decimal or None
        Of one that has ended: what of the line's capital it still has, in a position or, once that
        is closed, on its way back to the line; None: it has not ended.
    closing : Closing or None
        Of one that has ended: how far the engine is with closing what it holds, once asked to.
    """

    execution_id: str
    strategy_id: str
    role: Role
    status: ExecutionStatus
    desired: Desired
    config: ExecutionConfig
    capital: Decimal
    created_at: datetime
    updated_at: datetime
    desired_why: str = ""
    risk_state: RiskState = RiskState.ACTIVE
    node_id: str | None = None
    epoch: int = 0
    start_time: datetime | None = None
    end_time: datetime | None = None
    trade_count: int = 0
    fill_count: int = 0
    pnl: Decimal = Decimal(0)
    final_pnl: Decimal | None = None
    performance_metrics: dict[str, Any] = field(default_factory=NO_METRICS.copy)
    end_reason: str | None = None
    error: str | None = None
    confinement: dict[str, Any] | None = None
    notices: tuple[str, ...] = ()  # what it wanted and does not get, each said once
    capital_target: Decimal | None = None
    serves: Tenure | None = None
    exits: Exits = Exits.OWN
    failure: str | None = None
    tied: Decimal | None = None
    closing: Closing | None = None

    @property
    def capital_left(self) -> Decimal:
        """What it has of the line's capital: as given, or of one that has ended what it ties."""
        if self.status in UNENDED:
            return self.capital
        return self.tied or Decimal(0)

    @property
    def is_closing(self) -> bool:
        """Whether it has ended, and the engine is to close what it holds."""
        return self.status not in UNENDED and self.closing in _TO_CLOSE

    @property
    def is_settled(self) -> bool:
        """Whether the node has made it what control wants."""
        return self.status in MET_BY[self.desired]

    @property
    def has_come_to_something(self) -> bool:
        """Whether it runs as it should, or ended by its own doing: it need not be run again."""
        if self.status in UNENDED:
            return self.desired is Desired.RUN
        return self.end_reason in {COMPLETED, FAILED}

    def on(self, trigger: Trigger) -> "Execution":
        """Return the execution as it stands after `trigger`."""
        return replace(self, status=next_state(ARROWS, self.status, trigger))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What control wants otherwise of an execution; None leaves a field as it is."""

    role: Role | None = None
    desired: Desired | None = None
    capital_target: Decimal | None = None
    serves: Tenure | None = None
    exits: Exits | None = None

    def given(self) -> dict[str, Any]:
        """Return what it changes, by field."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """Signed lots that pass from one execution to another, at the price that both mark them at."""

    giver: str
    symbol: str
    lots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """The positions that a switch hands over, and the cash that moves with them.

    Parameters
    ----------
    flows_nanos : mapping
        What enters (+) or leaves (-) each of them: of who gives after its positions have gone, of
        the taker before they come.
    """

    taker: str
    legs: tuple[Leg, ...]
    flows_nanos: Mapping[str, int]

    @property
    def execution_ids(self) -> tuple[str, ...]:
        """Everybody that it concerns, the taker last."""
        givers = dict.fromkeys((*(each.giver for each in self.legs), *self.flows_nanos))
        return (*(each for each in givers if each != self.taker), self.taker)

    def trades_of(self, name: str) -> tuple[tuple[str, int], ...]:
        """Return what one of them trades, by instrument: signed lots."""
        if name == self.taker:
            return tuple((each.symbol, each.lots) for each in self.legs)
        return tuple((each.symbol, -each.lots) for each in self.legs if each.giver == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """One fenced change of who may open positions: before it some do, after it others.

    Parameters
    ----------
    key : str
        What it is known by: it happens once.
    gives, takes : sequence of str
        The executions that open until it, and from it on.
    symbols : sequence of str or None
        The instruments that change hands; None: all.
    changes : mapping
        What else is wanted of executions from that instant on, in the same transaction.
    hands_cash : bool
        Who gives parts with what is free, until it has its `capital_target`, before the taker
        serves, and the taker gets it. The `capital_target` of the one taker in `changes` is then
        what it would have if those had nothing left: what they still have is taken off it.
    adopts : bool
        The taker takes over what those hold who part with cash, at the marks, for nothing.
    adoption : Adoption or None
        What it takes over, once that is settled; until the ledgers have it, nobody goes on.
    at_ns : int or None
        The bar close after which the takers serve, once that is settled.
    """

    key: str
    gives: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    symbols: tuple[str, ...] | None = None
    changes: Mapping[str, Change] = field(default_factory=dict)
    hands_cash: bool = False
    adopts: bool = False
    adoption: Adoption | None = None
    at_ns: int | None = None
    done_at: datetime | None = None

    @property
    def execution_ids(self) -> tuple[str, ...]:
        """Every execution that it is about, each once."""
        return tuple(dict.fromkeys((*self.gives, *self.takes, *self.changes)))

    @property
    def parting(self) -> dict[str, Decimal]:
        """Return the capital that those are to have who part with cash as it is done."""
        if not self.hands_cash:
            return {}
        targets = {each: self.changes.get(each, Change()).capital_target for each in self.gives}
        return {name: target for name, target in targets.items() if target is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a verb did: the executions as they are now, and whether the node has confirmed."""

    executions: tuple[Execution, ...]
    is_confirmed: bool
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What an execution has come to by now; `capital` is what it was given in all.

    `estimates` are the sample sizes and 95 % intervals of its metrics, by name: (n, low, high).
    """

    execution_id: str
    epoch: int
    trade_count: int
    fill_count: int
    capital: Decimal
    pnl: Decimal
    performance_metrics: dict[str, Any]
    notices: tuple[str, ...] = ()
    estimates: dict[str, Any] = field(default_factory=dict)

    @property
    def measured(self) -> dict[str, Any]:
        """Return its metrics with their estimates, as a snapshot has them."""
        return self.performance_metrics | {"estimates": self.estimates}
