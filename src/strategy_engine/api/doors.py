"""What routes are given: the services, who is asking, identifiers and pages."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Path, Query, Request, Security
from fastapi.security import HTTPBearer
from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from strategy_engine.access import model as access
from strategy_engine.access.model import Principal
from strategy_engine.api import permissions, targets
from strategy_engine.api.services import Services
from strategy_engine.api.streams import Streams
from strategy_engine.core import clock

# Bars and fills are kept by int64 nanoseconds: nothing is outside of these.
EARLIEST = datetime(1678, 1, 1, tzinfo=UTC)
LATEST = datetime(2262, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"\s*[-+]?[\d_.]+(e[-+]?\d+)?\s*", re.IGNORECASE)
NOT_NUL = r"^[^\x00]*$"
MOST_OFFSET = 1_000_000_000

bearer = Security(HTTPBearer(auto_error=False, description="The engine's key, if it has one."))


def _services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


def _streams(request: Request) -> Streams:
    found: Streams = request.app.state.streams
    return found


def _principal(request: Request) -> Principal:
    found: Principal = request.state.principal
    return found


def _actor(request: Request) -> str:
    return _principal(request).name


async def _permitted(request: Request) -> None:
    needed = permissions.of(request.method, request.scope["route"].path_format)
    if needed is not None:
        access.require(_principal(request), needed)


async def _unfit_targets(request: Request) -> None:
    targets.check_query(request.scope["query_string"])
    targets.check_path(request.scope.get("raw_path") or b"", request.path_params)


def _no_number(value: object) -> object:
    """Refuse a bare number, of which nobody can say whether seconds or milliseconds are meant."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        raise PydanticCustomError("iso_8601", "a time is written as ISO 8601, not as a number")
    return value


def _in_utc(moment: datetime) -> datetime:
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return max(EARLIEST, min(LATEST, aware)).astimezone(UTC)


unfit_targets = Depends(_unfit_targets)
permitted = Depends(_permitted)
Given = Annotated[Services, Depends(_services)]
Streaming = Annotated[Streams, Depends(_streams)]
Actor = Annotated[str, Depends(_actor)]
Asker = Annotated[Principal, Depends(_principal)]

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
    BeforeValidator(_no_number),
    AfterValidator(lambda value: None if value is None else _in_utc(value)),
]
_HOW_TIMES = "ISO 8601, in UTC unless it says. Nothing is kept before 1678 or after 2261."
Start = Annotated[Moment, Query(description=f"From this time on, {_HOW_TIMES}")]
End = Annotated[Moment, Query(description=f"Before this time, {_HOW_TIMES}")]
_From = Annotated[Moment, Query(alias="from", description=f"From this time on, {_HOW_TIMES}")]
_To = Annotated[Moment, Query(alias="to", description=f"Before this time, {_HOW_TIMES}")]
_AsFrom = Annotated[Moment, Query(description="Another name of `from`; both bound.")]
_AsTo = Annotated[Moment, Query(description="Another name of `to`; both bound.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What lies in [start, end); None: no bound."""

    start: datetime | None
    end: datetime | None


def _range(
    *,
    from_: _From = None,
    to: _To = None,
    start: _AsFrom = None,
    end: _AsTo = None,
) -> Range:
    starts = [each for each in (from_, start) if each is not None]
    ends = [each for each in (to, end) if each is not None]
    return Range(start=max(starts, default=None), end=min(ends, default=None))


WithinRange = Annotated[Range, Depends(_range)]


def nanos(moment: datetime | None) -> int | None:
    """Return nanoseconds since 1970 of a time, if there is one."""
    return None if moment is None else clock.to_nanos(moment)
