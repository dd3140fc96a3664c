"""What routes are given: the services, who is asking, identifiers and pages."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Path, Query, Request, Security
from fastapi.security import HTTPBearer
from pydantic import AfterValidator

from strategy_engine.api.services import Services
from strategy_engine.core import clock
from strategy_engine.infra import audit

KEY_HOLDER = "api-key"
FIRST_YEAR, LAST_YEAR = 1970, 2200  # int64 nanoseconds end in 2262
MOST_OFFSET = 1_000_000_000

bearer = Security(HTTPBearer(auto_error=False, description="The engine's key, if it has one."))


def _services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


def _actor(request: Request) -> str:
    return KEY_HOLDER if request.app.state.has_key else audit.LOCAL


def _in_utc(moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"year {moment.year} is not between {FIRST_YEAR} and {LAST_YEAR}")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Given = Annotated[Services, Depends(_services)]
Actor = Annotated[str, Depends(_actor)]

_IDENTIFIER = r"^[A-Za-z0-9_.:-]{1,60}$"
StrategyId = Annotated[str, Path(pattern=_IDENTIFIER, description="The id that POST answered.")]
PipelineId = Annotated[str, Path(pattern=_IDENTIFIER, description="The id that deploy answered.")]
ExecutionId = Annotated[str, Path(pattern=_IDENTIFIER, description="The id that start answered.")]
StrategyFilter = Annotated[
    str | None, Query(pattern=_IDENTIFIER, description="Only those of this version.")
]

Limit = Annotated[int, Query(ge=1, le=500, description="The most that are answered.")]
Offset = Annotated[int, Query(ge=0, le=MOST_OFFSET, description="How many to skip.")]
Moment = Annotated[
    datetime | None,
    AfterValidator(lambda value: None if value is None else _in_utc(value)),
]
Start = Annotated[Moment, Query(description="From this time on, ISO 8601; UTC unless it says.")]
End = Annotated[Moment, Query(description="Before this time, ISO 8601; UTC unless it says.")]


def nanos(moment: datetime | None) -> int | None:
    """Return nanoseconds since 1970 of a time, if there is one."""
    return None if moment is None else clock.to_nanos(moment)
