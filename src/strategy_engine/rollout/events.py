"""A deployment's history: who did what, what its stages found, in one order. Pure.

It comes from two tables, and two tables have no common order: each keeps its own, and between the
two the times decide. A place in the history is therefore a place in each.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from heapq import merge
from operator import itemgetter
from typing import Any, Self

from strategy_engine.core.errors import InvalidError
from strategy_engine.infra import audit
from strategy_engine.pipeline.model import StageResult
from strategy_engine.rollout.model import ENDED, Deployment

_OF_STEPS = frozenset(
    {
        "step_begins",
        "step_ends",
        "stands_still",
        "goes_on",
        "held",
        "released",
        "undo",
        "restored",
        "undone",
        "cooled",
    }
)
_CURSOR = re.compile(r"(\d{1,18})-(\d{1,18})", re.ASCII)

type AuditRow = tuple[int, audit.Entry]
type StageRow = tuple[int, datetime, StageResult]
type _Row = tuple[datetime, int, audit.Entry | StageResult]


class Kind(StrEnum):
    """What an event tells of."""

    STATE = "state"  # the deployment's state has changed
    ACTION = "action"  # somebody did something that changed no state
    STAGE = "stage"  # a stage of the pipeline has finished
    STEP = "step"  # a step of the rollout began, ended or is held, or all of it is undone


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Up to where a history is known: the last row of each table."""

    audit_id: int = 0
    stage_id: int = 0

    def __str__(self) -> str:
        return f"{self.audit_id}-{self.stage_id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the cursor that was written as `12-3`.

        Raises
        ------
        InvalidError
            If it is none.
        """
        found = _CURSOR.fullmatch(text.strip())
        if found is None:
            raise InvalidError(
                f"Last-Event-ID is {text[:60]!r}; send the id of an event, such as 12-3",
                field="Last-Event-ID",
                value=text[:60],
                accepted="the id of an event",
            )
        return cls(audit_id=int(found[1]), stage_id=int(found[2]))


BEGINNING = Cursor()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened to a deployment. `cursor` is where its history then stands.

    Of a step, `verdict` and `reason` are what its observation came to.
    """

    cursor: Cursor
    kind: Kind
    at: datetime
    actor: str
    action: str
    message: str = ""
    from_state: str | None = None
    to_state: str | None = None
    stage: str | None = None
    step: str | None = None
    weight: float | None = None
    passed: bool | None = None
    verdict: str | None = None
    reason: str | None = None
    duration_ms: float | None = None
    evidence: dict[str, Any] = field(default_factory=dict)

    def is_after(self, known: Cursor) -> bool:
        """Say whether who knows a history up to `known` does not know this."""
        if self.kind is Kind.STAGE:
            return self.cursor.stage_id > known.stage_id
        return self.cursor.audit_id > known.audit_id


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What happened to a deployment since a cursor, and how it stands."""

    deployment: Deployment
    events: tuple[Event, ...]

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.deployment.state in ENDED


def in_order(rows: Sequence[AuditRow], stages: Sequence[StageRow], after: Cursor) -> list[Event]:
    """Return the rows of both tables, each in its order, as events after a cursor."""
    done: list[_Row] = [(entry.at, row_id, entry) for row_id, entry in rows]
    finished: list[_Row] = [(at, row_id, result) for row_id, at, result in stages]
    return list(_events(merge(done, finished, key=itemgetter(0)), after))


def _events(ordered: Iterable[_Row], after: Cursor) -> Iterator[Event]:
    audit_id, stage_id = after.audit_id, after.stage_id
    for at, row_id, told in ordered:
        if isinstance(told, StageResult):
            stage_id = row_id
            yield _finished(told, at, Cursor(audit_id=audit_id, stage_id=stage_id))
        else:
            audit_id = row_id
            yield _done(told, Cursor(audit_id=audit_id, stage_id=stage_id))


def _finished(result: StageResult, at: datetime, cursor: Cursor) -> Event:
    return Event(
        cursor=cursor,
        kind=Kind.STAGE,
        at=at,
        actor=audit.ENGINE,
        action="finish_stage",
        message=result.message,
        stage=result.stage,
        passed=result.passed,
        verdict=result.verdict.value,
        duration_ms=result.duration_ms,
        evidence=dict(result.evidence),
    )


def _done(entry: audit.Entry, cursor: Cursor) -> Event:
    evidence = dict(entry.details)
    message = evidence.pop("message", "") or evidence.get("comment", "")
    told = {name: evidence.pop(name, None) for name in ("step", "weight", "verdict", "reason")}
    return Event(
        cursor=cursor,
        kind=_kind(entry),
        at=entry.at,
        actor=entry.actor,
        action=entry.action,
        message=str(message),
        from_state=entry.from_state,
        to_state=entry.to_state,
        evidence=evidence,
        **told,
    )


def _kind(entry: audit.Entry) -> Kind:
    if entry.from_state is not None:
        return Kind.STATE
    return Kind.STEP if entry.action in _OF_STEPS else Kind.ACTION
