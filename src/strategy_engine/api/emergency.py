"""HTTP door to the kill switch: stop everything or a part of it, see what is stopped, reset it."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import Field

from strategy_engine.api import doors, openapi, shapes
from strategy_engine.api.models import Request
from strategy_engine.execution import stops
from strategy_engine.risk import deeds, stopping
from strategy_engine.risk.stopping import Wish
from strategy_engine.venue.limits import Scope

router = APIRouter(prefix="/risk", tags=["risk"], dependencies=[doors.bearer])

StopId = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9_.:-]{1,60}$", description="The id that the stop answered.")
]
Reason = Annotated[str, Field(min_length=1, max_length=deeds.LONGEST_REASON)]


_STOP: dict[str, Any] = {
    "stop_id": "stop_9f86d081884c7d659a2feaa0",
    "scope": "line",
    "subject": "RSI Mean Reversion",
    "flatten": False,
    "drill": False,
    "reason": "prices are wrong",
    "actor": "rita (0a1b2c3d4e5f)",
    "at": "2025-08-24T10:00:00Z",
    "in_force": True,
    "reset_at": None,
    "reset_by": None,
    "reset_comment": None,
}
_OVER = _STOP | {
    "in_force": False,
    "reset_at": "2025-08-24T10:20:00Z",
    "reset_by": "ann (5e4d3c2b1a09)",
    "reset_comment": "prices are back",
}
_DONE: dict[str, Any] = {
    "executions": ["exec_2c26b46b68ffc68ff99b453c"],
    "cancelled": 1,
    "open": [],
    "holding": [],
    "milliseconds": 4.2,
    "journaled": True,
}


class EmergencyStop(Request):
    """What is to stop."""

    model_config = shapes.example(
        {"scope": "line", "subject": "RSI Mean Reversion", "reason": "prices are wrong"}
    )

    scope: Annotated[
        Scope, Field(strict=False, description="engine (all), line, account or execution.")
    ] = Scope.ENGINE
    subject: Annotated[
        str,
        Field(
            max_length=deeds.LONGEST_NAME,
            description="The strategy_name of a line, an account, an execution_id; engine: none.",
        ),
    ] = ""
    flatten: Annotated[
        bool, Field(description="Close every position at its next price too, and end.")
    ] = False
    reason: Annotated[Reason, Field(description="Why; everybody who is refused reads it.")]
    drill: Annotated[
        bool, Field(description="One execution, to see that it works: who asked may reset it.")
    ] = False


class ResetStop(Request):
    """Why it may trade again."""

    model_config = shapes.example({"comment": "prices are back"})

    comment: Annotated[Reason, Field(description="Why it may trade again.")]


class Stop(shapes.Answer):
    """One emergency stop. In force until it is reset."""

    stop_id: str
    scope: str
    subject: str
    flatten: bool
    drill: bool
    reason: str
    actor: str
    at: shapes.Time
    in_force: bool
    reset_at: shapes.Time | None
    reset_by: str | None
    reset_comment: str | None


class Done(shapes.Answer):
    """What the node did, by the time that it answered."""

    executions: list[str] = Field(description="Those in the scope that run.")
    cancelled: int = Field(description="Orders that waited and are confirmed to wait no more.")
    open: list[str] = Field(
        description="Being prepared: what waits of theirs is taken back before they see a price."
    )
    holding: list[str] = Field(description="Those that still have a position.")
    milliseconds: float
    journaled: bool = Field(description="Whether it is on the node's disk.")


class Stopped(shapes.Answer):
    """A stop, and what came of it."""

    model_config = shapes.example(
        {"stop": _STOP, "done": _DONE, "recorded": True, "note": "the node has done it"}
    )

    stop: Stop
    done: Done | None = Field(description="Null: no node answered; the note says what holds.")
    recorded: bool = Field(description="False: its row waits for the database.")
    note: str


class Reset(shapes.Answer):
    """A stop that is over."""

    model_config = shapes.example({"stop": _OVER, "confirmed": True, "note": ""})

    stop: Stop
    confirmed: bool = Field(description="Whether the node lets orders through again.")
    note: str


class Stops(shapes.Answer):
    """Emergency stops, the newest first."""

    model_config = shapes.example({"stops": [_OVER], "count": 1, "total": 1})

    stops: list[Stop]
    count: int
    total: int


@router.post(
    "/emergency-stop", summary="Stop at once", responses=openapi.errors(body=True), status_code=200
)
async def stop(body: EmergencyStop, given: doors.Given, actor: doors.Actor) -> Stopped:
    """Let no order of the scope through from now on, and take back every order that waits.

    Works while the database, the bus, the feed and the workflow engine are away. Nothing of the
    scope starts or resumes until another person resets it.
    """
    wish = Wish(
        scope=body.scope,
        subject=body.subject,
        reason=body.reason,
        flattens=body.flatten,
        is_drill=body.drill,
    )
    found = await given.stopping.stop(wish, actor=actor)
    return Stopped(
        stop=_stop(found.stop), done=_done(found), recorded=found.is_recorded, note=found.note
    )


@router.get("/emergency-stops", summary="List emergency stops", responses=openapi.errors())
async def page(given: doors.Given, limit: doors.Limit = 50, offset: doors.Offset = 0) -> Stops:
    """Return emergency stops, in force or reset, the newest first."""
    found, total = await given.stopping.page(limit=limit, offset=offset)
    return Stops(stops=[_stop(each) for each in found], count=len(found), total=total)


@router.post(
    "/emergency-stops/{stop_id}/reset",
    summary="Reset an emergency stop",
    responses=openapi.errors(404, body=True),
)
async def reset(stop_id: StopId, body: ResetStop, given: doors.Given, asker: doors.Asker) -> Reset:
    """Let what was stopped start and trade again; where keys are in use, another person must ask.

    What was flattened has ended, and is started anew. Reset twice is no error.
    """
    found = await given.stopping.reset(stop_id, by=asker, why=body.comment)
    return Reset(stop=_stop(found.stop), confirmed=found.is_confirmed, note=found.note)


def _stop(stop: stops.Stop) -> Stop:
    return Stop(
        stop_id=stop.stop_id,
        scope=stop.scope.value,
        subject=stop.subject,
        flatten=stop.flattens,
        drill=stop.is_drill,
        reason=stop.reason,
        actor=stop.actor,
        at=stop.at,
        in_force=stop.reset_at is None,
        reset_at=stop.reset_at,
        reset_by=stop.reset_by,
        reset_comment=stop.reset_why,
    )


def _done(found: stopping.Stopped) -> Done | None:
    done = found.done
    if done is None:
        return None
    return Done(
        executions=list(done.executions),
        cancelled=done.cancelled,
        open=list(done.open),
        holding=list(done.holding),
        milliseconds=round(done.took_s * 1_000, 3),
        journaled=done.is_journaled,
    )
