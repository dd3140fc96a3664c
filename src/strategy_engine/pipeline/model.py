"""What a validation pipeline is made of: stages, checks, findings, results, and what they judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from strategy_engine.core.errors import EngineError, UnavailableError
from strategy_engine.flags.model import FlagValue
from strategy_engine.matching.settings import Settings
from strategy_engine.pipeline.criteria import Criteria, criteria
from strategy_engine.registry.model import Content

__all__ = [
    "HEADLINES",
    "STAGES",
    "Check",
    "Criteria",
    "Finding",
    "ForgedAnswerError",
    "Job",
    "KilledFromOutsideError",
    "Level",
    "PaperFill",
    "PaperRun",
    "PaperTrip",
    "Request",
    "StageResult",
    "StrategyFailedError",
    "Verdict",
    "criteria",
]

SYNTAX_CHECK = "syntax_check"
UNIT_TESTS = "unit_tests"
BACKTEST = "backtest"
PAPER_TRADING = "paper_trading"
RISK_VALIDATION = "risk_validation"
PERFORMANCE_VALIDATION = "performance_validation"
STAGES = (
    SYNTAX_CHECK,
    UNIT_TESTS,
    BACKTEST,
    PAPER_TRADING,
    RISK_VALIDATION,
    PERFORMANCE_VALIDATION,
)

ENGINES_FAULT = "engines_fault"

# The fields of a stage's evidence that an answer shows first.
HEADLINES: dict[str, tuple[str, ...]] = {
    SYNTAX_CHECK: (),
    UNIT_TESTS: ("tests_passed", "tests_failed"),
    BACKTEST: (
        "total_return",
        "sharpe_ratio",
        "max_drawdown",
        "win_rate",
        "trade_count",
        "duration_days",
    ),
    PAPER_TRADING: ("duration_hours", "trades_executed", "pnl", "win_rate", "avg_trade_duration"),
    RISK_VALIDATION: ("var_95", "cvar_95", "max_drawdown"),
    PERFORMANCE_VALIDATION: ("sharpe_ratio", "max_drawdown", "win_rate", "alpha", "beta"),
}


class Level(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Verdict(StrEnum):
    """How a check or a stage ended."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing a stage noticed; `where` is a line of the user's code, if it is about one."""

    level: Level
    message: str
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One named question that a stage asked, and what came of it."""

    name: str
    verdict: Verdict
    message: str
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """How one stage ended. `evidence` is plain JSON; every number in it was computed."""

    stage: str
    passed: bool
    verdict: Verdict
    duration_ms: float
    message: str = ""
    findings: Sequence[Finding] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_engines_fault(self) -> bool:
        """Whether it came to nothing for want of the engine, so that it says nothing of the code.

        Kept with the evidence, because it is asked again after a restart.
        """
        return bool(self.evidence.get(ENGINES_FAULT))

    def headline(self) -> dict[str, Any]:
        """Return the fields that an answer shows first."""
        return {key: self.evidence[key] for key in HEADLINES[self.stage] if key in self.evidence}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a caller asks of a stage. None: the version's own, or the whole history."""

    duration_days: int | None = None
    initial_capital: float | None = None
    validation_criteria: Mapping[str, Any] = field(default_factory=dict)
    validation_profile: str = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a stage gets. `trials` counts the different contents of the line tried so far.

    `key` names the run of the stage: what it does outside its own process, it does once for a key.
    `flags` are the feature flags' defaults: with them it can be repeated.
    """

    strategy_id: str
    content: Content
    settings: Settings
    criteria: Criteria
    duration_days: int | None = None
    trials: int = 1
    key: str | None = None
    flags: Mapping[str, FlagValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperFill:
    """A fill as the live path's ledger holds it; `pnl` is what it realised, account currency."""

    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    ts_ns: int
    pnl: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTrip:
    """A closed round trip of the live path's ledger; `pnl` after costs, in account currency."""

    symbol: str
    entry_ns: int
    exit_ns: int
    pnl: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperRun:
    """What a validation run through the live path left behind, told by the node.

    Parameters
    ----------
    decisions : tuple of (int, str, str), or None
        Every decision but HOLD: close of its bar (ns), symbol, BUY, SELL or TARGET; of a native
        strategy every order: when it was asked for, symbol, side and type. None where the node
        keeps none.
    denials : tuple of str
        What the gate denied, code and sentence.
    decision_cpu_ms : float or None
        Median CPU of an evaluation, milliseconds; None if nothing was evaluated.
    reconciled : bool or None
        Whether the ledger adds up; None where that was not asked, because the run did not end.
    status : str
        How the run ended: `completed`, or the execution's status.
    """

    execution_id: str
    trades: tuple[PaperFill, ...]
    round_trips: tuple[PaperTrip, ...]
    denials: tuple[str, ...]
    reconciled: bool | None
    decision_cpu_ms: float | None
    status: str
    decisions: tuple[tuple[int, str, str], ...] | None = None
    error: str = ""


class StrategyFailedError(EngineError):
    """The strategy raised or broke its contract; `where` is a line of its code."""

    kind = "strategy-failed"

    def __init__(self, message: str, *, where: str = "", **facts: Any) -> None:
        super().__init__(message, where=where, **facts)
        self.where = where


class ForgedAnswerError(EngineError):
    """A child answered what no honest kernel says."""

    kind = "forged-answer"


class KilledFromOutsideError(UnavailableError):
    """A validation process was killed by somebody else than the engine; the code is not to blame.

    Parameters
    ----------
    reason : str
        How it ended.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the process of this stage was killed from outside ({reason}), and nothing is said of"
            " the strategy; see what killed it (`dmesg` tells when the kernel did for want of"
            " memory: lower STRATEGY_WORKERS or give the machine more), then deploy or test again",
            reason=reason,
        )
