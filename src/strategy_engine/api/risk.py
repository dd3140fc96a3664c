"""HTTP door to the risk monitor: how risk stands, what was broken, and letting executions go."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from strategy_engine.api import doors, example_risk, openapi, shapes
from strategy_engine.api.models import Request
from strategy_engine.execution.model import UNENDED, Desired, Execution
from strategy_engine.risk import overseeing
from strategy_engine.risk.breach_store import Kept
from strategy_engine.risk.breaches import Breach as FoundBreach
from strategy_engine.risk.references import day_pnl

router = APIRouter(tags=["risk"], dependencies=[doors.bearer])

_ENDS = frozenset({Desired.STOP, Desired.DRAIN, Desired.FLATTEN})
ExecutionFilter = Annotated[
    str | None, Query(pattern=r"^[A-Za-z0-9_.:-]{1,60}$", description="Only those of this one.")
]


class ResetRisk(Request):
    """Why it may trade again."""

    model_config = shapes.example(example_risk.RESET_REQUEST)

    comment: Annotated[
        str, Field(min_length=1, max_length=500, description="Why it may trade again.")
    ]


class Breach(shapes.Answer):
    """A limit that is or was broken: one for as long as it lasts."""

    breach_id: str
    measure: str = Field(description="The limit's name.")
    scope: str = Field(description="What broke it: execution, line, account or engine.")
    subject: shapes.Line
    value: shapes.Number
    limit: shapes.Number
    limit_scope: str = Field(description="Whose limit it is.")
    limit_subject: shapes.Line
    action: str = Field(description="What followed: alert, reduce, pause or halt.")
    executions: list[str] = Field(description="Those that the action was about.")
    sample: int = Field(description="The observations behind the value.")
    message: shapes.Line
    began_at: shapes.Time
    ended_at: shapes.Time | None = Field(description="Null: it lasts.")


class Breaches(shapes.Answer):
    """Breaches, the newest first."""

    model_config = shapes.example(example_risk.BREACHES)

    breaches: list[Breach]
    count: int
    total: int


class HeldBack(shapes.Answer):
    """An execution that risk holds back."""

    execution_id: str
    strategy_id: str
    status: str
    desired: str
    risk_state: str
    why: shapes.Line


class LineReference(shapes.Answer):
    """What a line's losses are measured from, as of the last metrics tick. Account currency."""

    strategy_name: shapes.Line
    pnl: shapes.Number
    day_pnl: shapes.Number
    peak_pnl: shapes.Number


class Risk(shapes.Answer):
    """How risk stands."""

    model_config = shapes.example(example_risk.RISK)

    status: str = Field(description="stopped, held_back, breached or ok: the worst of it.")
    emergency_stops: list[str] = Field(description="Those in force.")
    breaches: list[Breach] = Field(description="Those that last, the oldest first.")
    held_back: list[HeldBack]
    lines: list[LineReference]
    at: datetime


class RiskReset(shapes.Answer):
    """An execution that risk holds back no more."""

    model_config = shapes.example(example_risk.RESET)

    execution_id: str
    status: str
    desired: str
    risk_state: str
    note: str


@router.get("/risk", summary="How risk stands", responses=openapi.errors())
async def status(given: doors.Given) -> Risk:
    """Return what lasts: emergency stops, broken limits, executions held back."""
    found = await given.overseeing.status()
    return Risk(
        status=_worst(found),
        emergency_stops=[each.stop_id for each in found.stops],
        breaches=[_breach(each) for each in found.lasting],
        held_back=[_held_back(each) for each in found.held_back],
        lines=[_reference(each) for each in found.references],
        at=found.at,
    )


@router.get("/risk/breaches", summary="List broken limits", responses=openapi.errors())
async def page(
    given: doors.Given,
    execution_id: ExecutionFilter = None,
    limit: doors.Limit = 50,
    offset: doors.Offset = 0,
) -> Breaches:
    """Return the limits that are or were broken, the newest first."""
    found, total = await given.overseeing.page(
        execution_id=execution_id, limit=limit, offset=offset
    )
    return Breaches(breaches=[_breach(each) for each in found], count=len(found), total=total)


@router.post(
    "/executions/{execution_id}/risk/reset",
    summary="Let an execution be ACTIVE again",
    responses=openapi.errors(404, 409, body=True),
)
async def reset(
    execution_id: doors.ExecutionId, body: ResetRisk, given: doors.Given, actor: doors.Actor
) -> RiskReset:
    """Let an execution that is REDUCING or HALTED open positions again.

    Its losses, and its line's, are measured from now on. One that has ended is started anew; one
    that is paused besides is resumed by its version's own verb.
    """
    found = await given.overseeing.reset(execution_id, actor=actor, why=body.comment)
    return RiskReset(
        execution_id=found.execution_id,
        status=found.status.value,
        desired=found.desired.value,
        risk_state=found.risk_state.value,
        note=_note(found),
    )


def _note(row: Execution) -> str:
    if row.status not in UNENDED or row.desired in _ENDS:
        return "it has ended, or closes what it holds and ends: start its version again"
    if row.desired is Desired.PAUSE:
        return "it is paused: resume its version"
    return "it may open positions again"


def _worst(found: overseeing.Status) -> str:
    if found.stops:
        return "stopped"
    if found.held_back:
        return "held_back"
    return "breached" if found.lasting else "ok"


def _breach(each: FoundBreach) -> Breach:
    values: dict[str, Any] = {
        name: getattr(each, name) for name in Breach.model_fields if name != "executions"
    }
    return Breach(**values, executions=list(each.executions))


def _held_back(each: Execution) -> HeldBack:
    return HeldBack(
        execution_id=each.execution_id,
        strategy_id=each.strategy_id,
        status=each.status.value,
        desired=each.desired.value,
        risk_state=each.risk_state.value,
        why=each.desired_why,
    )


def _reference(each: Kept) -> LineReference:
    reference = each.reference
    return LineReference(
        strategy_name=each.subject,
        pnl=float(reference.pnl),
        day_pnl=float(day_pnl(reference)),
        peak_pnl=float(reference.peak_pnl),
    )
