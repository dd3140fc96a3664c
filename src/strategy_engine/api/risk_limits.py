"""HTTP door to the limits of lines, accounts and the whole engine."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from strategy_engine.api import doors, openapi, shapes
from strategy_engine.api.models import FreeJson, Request
from strategy_engine.venue import limits
from strategy_engine.venue.limit_store import Setting
from strategy_engine.venue.limits import Scope

router = APIRouter(prefix="/risk/limits", tags=["risk"], dependencies=[doors.bearer])

LONGEST_WHY = 2_000
ScopePath = Annotated[Scope, Path(description="line, account or engine.")]
Subject = Annotated[
    str,
    Path(
        min_length=1,
        max_length=100,
        pattern=doors.NOT_NUL,
        description="The strategy_name of a line, or an account; of the engine: all.",
    ),
]


_PUT: dict[str, Any] = {
    "limits": {"max_position_size": 250_000, "daily_loss_limit": -5_000},
    "why": "quarter end",
}
_SETTING: dict[str, Any] = _PUT | {
    "scope": "line",
    "subject": "RSI Mean Reversion",
    "actor": "alice",
    "updated_at": "2025-08-24T10:00:00Z",
}


class PutLimits(Request):
    """What a line, an account or the engine is held to from now on."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PUT]})

    limits: FreeJson = Field(
        description="Names and values, in place of all before; docs/risk.md has every name."
    )
    why: str = Field(default="", max_length=LONGEST_WHY, description="Kept in the audit log.")


class LimitSetting(BaseModel):
    """What a line, an account or the engine is held to, and who said so."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SETTING]})

    scope: str
    subject: str
    limits: shapes.Json
    actor: str
    why: str
    updated_at: datetime


class LimitSettings(BaseModel):
    """Everything that is set, and every name that may be."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"limits": [_SETTING], "count": 1, "names": list(limits.KINDS)}]
        }
    )

    limits: list[LimitSetting]
    count: int
    names: list[str]


@router.get("", summary="List limits", responses=openapi.errors())
async def page(given: doors.Given) -> LimitSettings:
    """Return the limits of lines, accounts and the engine; a version's are in its `risk_limits`."""
    found = [_shown(each) for each in await given.limits.list()]
    return LimitSettings(limits=found, count=len(found), names=list(limits.KINDS))


@router.put(
    "/{scope}/{subject:path}", summary="Set limits", responses=openapi.errors(404, body=True)
)
async def put(
    scope: ScopePath, subject: Subject, body: PutLimits, given: doors.Given, actor: doors.Actor
) -> LimitSetting:
    """Set the limits of a line, an account or the engine; executions feel it at their next order.

    The tightest of all that are in force holds. Orders that only reduce a position always pass.
    """
    return _shown(await given.limits.put(scope, subject, body.limits, actor=actor, why=body.why))


@router.delete("/{scope}/{subject:path}", summary="Lift limits", responses=openapi.errors(404))
async def delete(
    scope: ScopePath,
    subject: Subject,
    given: doors.Given,
    actor: doors.Actor,
    why: Annotated[
        str,
        Query(max_length=LONGEST_WHY, pattern=doors.NOT_NUL, description="For the audit log."),
    ] = "",
) -> LimitSetting:
    """Lift every limit of a line, an account or the engine; answers what was set."""
    return _shown(await given.limits.delete(scope, subject, actor=actor, why=why))


def _shown(setting: Setting) -> LimitSetting:
    plain: dict[str, Any] = {name: getattr(setting, name) for name in Setting.__slots__}
    return LimitSetting(**plain | {"scope": setting.scope.value})
