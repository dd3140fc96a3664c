"""The shapes of answers about the risk monitor."""

from typing import TypedDict


class Breach(TypedDict):
    """A limit that is or was broken."""

    breach_id: str
    measure: str
    scope: str
    subject: str
    value: float
    limit: float
    limit_scope: str
    limit_subject: str
    action: str
    executions: list[str]
    sample: int
    message: str
    began_at: str
    ended_at: str | None


class Breaches(TypedDict):
    """`GET /risk/breaches`."""

    breaches: list[Breach]
    count: int
    total: int


class HeldBack(TypedDict):
    """An execution that risk holds back."""

    execution_id: str
    strategy_id: str
    status: str
    desired: str
    risk_state: str
    why: str


class LineReference(TypedDict):
    """What a line's losses are measured from."""

    strategy_name: str
    pnl: float
    day_pnl: float
    peak_pnl: float


class Risk(TypedDict):
    """`GET /risk`."""

    status: str
    emergency_stops: list[str]
    breaches: list[Breach]
    held_back: list[HeldBack]
    lines: list[LineReference]
    at: str


class RiskReset(TypedDict):
    """`POST /executions/{id}/risk/reset`."""

    execution_id: str
    status: str
    desired: str
    risk_state: str
    note: str
