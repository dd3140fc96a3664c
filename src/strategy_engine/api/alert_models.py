"""The shapes of requests about alerts."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from strategy_engine.alerts.model import Kind, Severity
from strategy_engine.alerts.rules import DEFAULT_KEY, DEFAULT_LASTS_S, LONGEST_KEY, Scope
from strategy_engine.alerts.wording import LONGEST_S, MOST_FIELDS, MOST_LABELS
from strategy_engine.api import example_alerts as examples
from strategy_engine.api import shapes
from strategy_engine.api.models import Request

Word = Annotated[str, Field(max_length=200)]


class Metric(Request):
    """A metric that is beyond a limit: one of `above` and `below`."""

    model_config = shapes.example(examples.METRIC)

    scope: Annotated[Scope, Field(strict=False)] = Scope.EXECUTION
    name: str = Field(
        pattern=r"^[A-Za-z0-9_.]{1,60}$",
        description="As the API calls it, such as max_drawdown; of the engine, as /metrics does.",
    )
    above: float | None = None
    below: float | None = None
    clear: float | None = Field(
        default=None, description="An alert ends only when the metric is back within this one."
    )
    subject: Word | None = Field(
        default=None, description="Only of this execution, version or line; by id or name."
    )
    for_s: float = Field(
        default=0.0, ge=0, le=LONGEST_S, description="It must hold so long before anybody is told."
    )


class Match(Request):
    """Events on a topic, whose fields have these values."""

    topic: str = Field(
        pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*$",
        max_length=60,
        description="A topic of GET /events, or what stands above several, such as deployment.",
    )
    fields: dict[Word, Word | float | bool | None] = Field(
        default_factory=dict,
        max_length=MOST_FIELDS,
        description="Fields of the payload, by their path; in a text `*` is any text.",
    )


class PutRule(Request):
    """What a rule is from now on; of a built-in one all but its condition."""

    model_config = shapes.example(examples.PUT_RULE)

    name: str | None = Field(default=None, min_length=1, max_length=100)
    severity: Annotated[Severity | None, Field(strict=False)] = None
    enabled: bool = True
    metric: Metric | None = None
    event: Match | None = None
    labels: dict[Word, Word] = Field(default_factory=dict, max_length=MOST_LABELS)
    channels: list[Word] | None = Field(
        default=None, max_length=50, description="Only these; none: all that take its severity."
    )
    muted_until: AwareDatetime | None = Field(
        default=None,
        strict=False,
        description="Until then nobody is told; what still fires then is told then.",
    )
    key: str = Field(
        default=DEFAULT_KEY,
        min_length=1,
        max_length=LONGEST_KEY,
        description=(
            "What makes two alerts the same, of {rule_id}, {subject_type}, {subject_id}, {topic},"
            " {execution_id}, {strategy_id} and {line}."
        ),
    )
    resolve_after_s: float = Field(
        default=DEFAULT_LASTS_S,
        ge=0,
        le=LONGEST_S,
        description="An alert of an event resolves when none came for so long.",
    )


class CreateRule(PutRule):
    """When people are told: a condition on a metric, or on an event."""

    model_config = shapes.example(examples.CREATE_RULE)


class Acknowledge(Request):
    """That somebody cares for an alert, and how."""

    model_config = shapes.example(examples.ACKNOWLEDGE)

    comment: str = Field(default="", max_length=1_000)


class CreateChannel(Request):
    """Where alerts are sent."""

    model_config = shapes.example(examples.CREATE_CHANNEL)

    kind: Annotated[Kind, Field(strict=False)] = Kind.WEBHOOK
    name: str = Field(min_length=1, max_length=60)
    url: str = Field(
        max_length=2_000,
        description="An http or https URL of a public host; of apprise, one of its URLs.",
    )
    severity: Annotated[Severity, Field(strict=False)] = Field(
        default=Severity.WARNING, description="It gets what is at least so severe."
    )
