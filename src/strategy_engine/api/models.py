"""The shapes of requests. Unknown fields are refused; free JSON stays free where it is named so."""

from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from strategy_engine.access.model import Role
from strategy_engine.api import example_rollouts, examples, plain
from strategy_engine.flags.model import FlagType
from strategy_engine.matching.settings import MAX_CAPITAL
from strategy_engine.rollout import durations, limits
from strategy_engine.rollout.durations import MOST_BARS
from strategy_engine.rollout.model import DeploymentType, Handover, Options, Rebalance
from strategy_engine.rollout.plans import MOST_STEPS

FreeJson = dict[str, Any]
FlagValue = bool | int | float | str
FlagExpiry = Annotated[
    AwareDatetime,
    Field(strict=False, description="ISO 8601 with its offset; then it says its default again."),
]
Stage = Literal[
    "syntax_check",
    "unit_tests",
    "backtest",
    "paper_trading",
    "risk_validation",
    "performance_validation",
]
Profile = Literal["default", "production"]

Duration = Annotated[
    str | int | float, Field(description=f"A duration: seconds, or text {durations.ACCEPTED}.")
]
_DURATIONS = ("min_time", "keep_warm", "progress_deadline")

LONGEST_HISTORY_DAYS = 36_500
LONGEST_HANDOVER_S = 7 * 86_400
MOST_SYMBOLS = 100


class Request(BaseModel):
    """What every request's body has in common."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _check(cls, body: Any) -> Any:
        try:
            plain.check_body(body)
        except plain.UnfitError as error:
            raise PydanticCustomError(
                "unfit", "{reason}", {"reason": str(error), "value": None}
            ) from None
        if isinstance(body, dict):
            cls._check_names(body)
        return body

    @classmethod
    def _check_names(cls, body: dict[str, Any]) -> None:
        unknown = [name for name in body if name not in cls.model_fields]
        if unknown:
            accepted = list(cls.model_fields)
            raise PydanticCustomError(
                "unknown_field",
                "there is no such field; there are {names}",
                {
                    "names": ", ".join(accepted),
                    "field": plain.echo(unknown[0]),
                    "value": plain.echo(body[unknown[0]]),
                    "accepted": accepted,
                },
            )


def _example(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


class CreateStrategy(Request):
    """A strategy version: its source and everything it is tested and limited with."""

    model_config = _example(examples.CREATE)

    strategy_name: str = Field(
        min_length=1, max_length=100, description="The line that the version belongs to."
    )
    version: str = Field(max_length=100, description="A semantic version, such as 1.2.0.")
    code: str = Field(description="Python source with one strategy class.")
    parameters: FreeJson = Field(
        default_factory=dict,
        description="Bound to constructor arguments by name; the engine's own are taken by it.",
    )
    risk_limits: FreeJson = Field(
        default_factory=dict, description="max_position_size, daily_loss_limit and others."
    )
    tests: dict[str, str] = Field(
        default_factory=dict, description="pytest sources by file name, test_*.py."
    )


class UpdateStrategy(Request):
    """The parts of a draft to replace; what is left out stays."""

    model_config = _example(examples.UPDATE)

    strategy_name: str | None = None
    version: str | None = Field(default=None, max_length=100)
    code: str | None = None
    parameters: FreeJson | None = None
    risk_limits: FreeJson | None = None
    tests: dict[str, str] | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.changes():
            raise PydanticCustomError(
                "unfit", "nothing to change was sent", {"accepted": list(type(self).model_fields)}
            )
        return self

    def changes(self) -> dict[str, Any]:
        """Return the fields that were sent, by name."""
        return self.model_dump(exclude_none=True)


class Deploy(Request):
    """How a version is to reach capital."""

    model_config = _example(example_rollouts.DEPLOY)

    deployment_type: Annotated[DeploymentType, Field(strict=False)] = Field(
        default=DeploymentType.DIRECT,
        description="How it takes over from a version that runs: direct (at once), blue_green"
        " (after a time in shadow), canary (share by share), rolling (by instruments).",
    )
    approval_required: bool = Field(
        default=False, description="Wait for a person after validation. The engine may insist."
    )
    rollback_on_failure: bool = Field(
        default=True, description="Restore the running version when the rollout fails."
    )
    handover: Annotated[Handover, Field(strict=False)] = Field(
        default=Handover.RUN_OFF,
        description="What becomes of the replaced version's open positions: run_off (by its own"
        " exits), flatten (at the next price), or adopt (the new version has them at their marks).",
    )
    handover_deadline_s: float = Field(
        default=300.0,
        ge=0,
        le=LONGEST_HANDOVER_S,
        description="A run-off that lasts longer is flattened.",
    )
    rebalance: Annotated[Rebalance, Field(strict=False)] = Field(
        default=Rebalance.AS_FREED,
        description="What a smaller share does to open positions: as_freed (nothing: what is to"
        " leave leaves as they close). Not built: immediate.",
    )
    validation_profile: Profile = "default"
    validation_criteria: FreeJson = Field(
        default_factory=dict,
        description="Overrides of the gates: min_sharpe_ratio, max_drawdown, min_win_rate, ….",
    )
    duration_days: int | None = Field(
        default=None,
        ge=1,
        le=LONGEST_HISTORY_DAYS,
        description="Validate on the most recent days of the history only; all of it if not given.",
    )
    steps: list[FreeJson] = Field(
        default_factory=list,
        max_length=MOST_STEPS,
        description="A canary's, in order: each has one of weight (a share), pause, shadow (a"
        " duration), analysis (true, or {required: …}), approval (true); most may have min_time and"
        " min_decisions beside it. None: in shadow for 20 bars, then 5, 10, 25, 50 and 100 %.",
    )
    min_time: Duration = Field(
        default="30s", description="The least time of a step that does not say its own."
    )
    min_decisions: int = Field(
        default=20, ge=0, le=MOST_BARS, description="The fewest bars decided in such a step."
    )
    requires_analysis: bool = Field(
        default=False,
        description="Such a step holds for a person where returns do not tell that it is no worse.",
    )
    loss_budget: float = Field(
        default=0.02,
        gt=0,
        le=1,
        description="The share of what it was given that the new version may lose; more undoes it.",
    )
    bounds: dict[str, float] = Field(
        default_factory=dict,
        description=f"What undoes it at once besides: {', '.join(limits.NAMES)}.",
    )
    approve_switch: bool = Field(
        default=False, description="A blue-green switch waits for a person."
    )
    keep_warm: Duration | None = Field(
        default=None,
        description="How long the replaced version stays ready to take over again; none: as its"
        " type usually does.",
    )
    max_unavailable: int = Field(
        default=1, ge=1, le=MOST_SYMBOLS, description="Instruments of a rolling batch."
    )
    progress_deadline: Duration = Field(
        default="10m",
        description="How long a step may take beyond its least time without getting on.",
    )

    def options(self) -> Options:
        """Return what was asked for, its durations in one form.

        Raises
        ------
        InvalidError
            If one is none.
        """
        asked = {name: getattr(self, name) for name in type(self).model_fields}
        for name in _DURATIONS:
            if asked[name] is not None:
                asked[name] = str(durations.parse(asked[name], name))
        asked["keep_warm"] = asked["keep_warm"] or ""
        return Options(**asked | {"steps": tuple(self.steps)})


class Test(Request):
    """One stage to run by itself."""

    model_config = _example(examples.TEST)

    test_type: Stage = "syntax_check"
    duration_days: int | None = Field(
        default=None,
        ge=1,
        le=LONGEST_HISTORY_DAYS,
        description="The most recent days of the history; more than there is uses what there is.",
    )
    initial_capital: float | None = Field(default=None, gt=0, le=MAX_CAPITAL)
    validation_profile: Profile = "default"
    validation_criteria: FreeJson = Field(default_factory=dict)


class ExecutionConfig(Request):
    """How an execution trades; what is left out is the version's or the engine's."""

    position_size: float | None = Field(
        default=None, gt=0, le=1, description="Share of equity a new position takes."
    )
    max_trades_per_day: int | None = Field(default=None, ge=0, le=1_000_000)
    risk_limits: FreeJson | None = Field(
        default=None, description="Limits beside the version's; the tightest holds. docs/risk.md."
    )
    risk_override: bool = Field(
        default=False,
        description="What risk_limits names replaces the version's; without any, its"
        " daily_loss_limit is lifted. Role risk, and a reason.",
    )
    risk_override_reason: str | None = Field(default=None, max_length=2_000)
    account: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="What it shares limits and stops in; its line's own if not given.",
    )
    capital: float | None = Field(default=None, ge=1, le=MAX_CAPITAL)
    symbols: list[str] | None = Field(default=None, min_length=1, max_length=MOST_SYMBOLS)
    timeframe: str | None = None
    feed: Literal["replay", "bus"] = "replay"
    speed: float | None = Field(
        default=None, ge=0, description="Bars a second of a replay; 0 is as fast as it goes."
    )
    mode: Literal["paper"] = "paper"
    benchmark: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="What it is compared with: `traded` (buy and hold of that, in equal parts), as"
        " it is if not given; `cash`; or an instrument's symbol.",
    )


class Start(Request):
    """How to start a version."""

    model_config = _example(examples.START)

    execution_config: ExecutionConfig = ExecutionConfig()


class Said(Request):
    """What a person says with a verb."""

    model_config = _example(example_rollouts.SAID)

    comment: str = Field(default="", max_length=2_000, description="Why; kept in the audit log.")
    step: int | None = Field(
        default=None,
        ge=0,
        le=MOST_BARS,
        description="The step that is meant: once it has passed, the verb does nothing. Whichever"
        " the deployment is at, if not given.",
    )


class FlagRule(Request):
    """A value, and whose it is: everything that is named must hold; the first rule counts."""

    value: FlagValue
    strategy_name: str | None = Field(default=None, max_length=100)
    strategy_id: str | None = Field(default=None, max_length=100)
    versions: str | None = Field(
        default=None, max_length=200, description="Comparisons, such as `>=1.2.0,<2.0.0`."
    )
    execution_id: str | None = Field(default=None, max_length=100)
    share_of_executions: float | None = Field(
        default=None, ge=0, le=1, description="A fraction; an execution stays in or out of it."
    )
    share_of_decisions: float | None = Field(
        default=None, ge=0, le=1, description="A fraction, drawn anew for each bar."
    )


class CreateFlag(Request):
    """What a flag says to whom, who answers for it, and until when it does."""

    model_config = _example(examples.CREATE_FLAG)

    key: str = Field(min_length=1, max_length=60, description="What strategies read it by.")
    type: Annotated[FlagType, Field(strict=False)]
    default: FlagValue = Field(description="For all that no rule holds for, and in validation.")
    expires_at: FlagExpiry
    owner: str | None = Field(
        default=None, max_length=100, description="Who answers for it; who makes it if not given."
    )
    description: str = Field(default="", max_length=1_000)
    rules: list[FlagRule] = Field(default_factory=list, max_length=50)


class UpdateFlag(Request):
    """The parts of a flag to change; what is left out stays. Its type never changes."""

    model_config = _example(examples.UPDATE_FLAG)

    default: FlagValue | None = None
    expires_at: FlagExpiry | None = None
    owner: str | None = Field(default=None, max_length=100)
    description: str | None = Field(default=None, max_length=1_000)
    rules: list[FlagRule] | None = Field(default=None, max_length=50)


class CreateWebhook(Request):
    """Where events are sent, and which."""

    model_config = _example(examples.CREATE_WEBHOOK)

    url: str = Field(max_length=2_000, description="An http or https URL of a public host.")
    topics: list[str] = Field(
        default_factory=list,
        max_length=50,
        description="Those of `GET /asyncapi.json`, such as pipeline.failed; none: all of them.",
    )


class CreateKey(Request):
    """Whose key, and what it may."""

    model_config = _example(examples.CREATE_KEY)

    name: str = Field(min_length=1, max_length=60)
    role: Annotated[Role, Field(strict=False)] = Role.VIEWER
