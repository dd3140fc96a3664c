"""The shapes of requests. Unknown fields are refused; free JSON stays free where it is named so."""

from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from strategy_engine.access.model import Role
from strategy_engine.api import examples, plain
from strategy_engine.flags.model import FlagType
from strategy_engine.matching.settings import MAX_CAPITAL

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

    model_config = _example(examples.DEPLOY)

    deployment_type: Literal["direct", "blue_green", "canary", "rolling"] = "direct"
    approval_required: bool = Field(
        default=False, description="Wait for a person after validation. The engine may insist."
    )
    rollback_on_failure: bool = Field(
        default=True, description="Restore the running version when the rollout fails."
    )
    handover: Literal["run_off", "flatten"] = Field(
        default="run_off", description="What becomes of the replaced version's open positions."
    )
    handover_deadline_s: float = Field(
        default=300.0,
        ge=0,
        le=LONGEST_HANDOVER_S,
        description="A run-off that lasts longer is flattened.",
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
    risk_override: bool = False
    capital: float | None = Field(default=None, ge=1, le=MAX_CAPITAL)
    symbols: list[str] | None = Field(default=None, min_length=1, max_length=MOST_SYMBOLS)
    timeframe: str | None = None
    feed: Literal["replay", "bus"] = "replay"
    speed: float | None = Field(
        default=None, ge=0, description="Bars a second of a replay; 0 is as fast as it goes."
    )
    mode: Literal["paper"] = "paper"


class Start(Request):
    """How to start a version."""

    model_config = _example(examples.START)

    execution_config: ExecutionConfig = ExecutionConfig()


class Approval(Request):
    """What a person says with an answer."""

    model_config = _example(examples.APPROVAL)

    comment: str = Field(default="", max_length=2_000)


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
