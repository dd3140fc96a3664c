"""What every answer is made of: numbers are finite, texts are Unicode, times are UTC.

`Text` and `Json` are as they were sent (code, parameters). What the engine or a strategy says is a
`Line`, `Lines` or `Shown`: it holds no control characters.
"""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from strategy_engine.api import examples, plain

Number = Annotated[float, BeforeValidator(plain.number)]
MaybeNumber = Annotated[float | None, BeforeValidator(plain.maybe_number)]
Text = Annotated[str, BeforeValidator(plain.text)]
Line = Annotated[str, BeforeValidator(plain.line)]
MaybeLine = Annotated[
    str | None, BeforeValidator(lambda value: None if value is None else plain.line(value))
]
Lines = Annotated[str, BeforeValidator(plain.lines)]
MaybeLines = Annotated[
    str | None, BeforeValidator(lambda value: None if value is None else plain.lines(value))
]
Time = Annotated[datetime, AfterValidator(plain.utc)]
Json = Annotated[dict[str, Any], BeforeValidator(plain.plain)]
Shown = Annotated[dict[str, Any], BeforeValidator(plain.shown)]
MaybeJson = Annotated[dict[str, Any] | None, BeforeValidator(plain.plain)]


class Answer(BaseModel):
    """What every answer has in common: it is read from the engine's own entities."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


def example(of: dict[str, Any]) -> ConfigDict:
    """Return the configuration that shows an example in the OpenAPI document."""
    return ConfigDict(json_schema_extra={"examples": [of]})


class Problem(BaseModel):
    """An RFC 9457 problem; `field`, `value` and `accepted` say what of the request it is about."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [examples.PROBLEM]})

    type: str
    title: str
    status: int
    detail: str
    instance: str
    field: str | None = None
    value: Any = None
    accepted: Any = None


class Page(Answer):
    """Which part of how many."""

    count: int
    total: int
    limit: int
    offset: int
