"""The client's part for the kill switch."""

from typing import Any, TypedDict

from strategy_engine.client import risk_model
from strategy_engine.client.service import Client


class Stop(TypedDict):
    """One emergency stop."""

    stop_id: str
    scope: str
    subject: str
    flatten: bool
    drill: bool
    reason: str
    actor: str
    at: str
    in_force: bool
    reset_at: str | None
    reset_by: str | None
    reset_comment: str | None


class Done(TypedDict):
    """What the node did."""

    executions: list[str]
    cancelled: int
    open: list[str]
    holding: list[str]
    milliseconds: float
    journaled: bool


class Stopped(TypedDict):
    """A stop, and what came of it."""

    stop: Stop
    done: Done | None
    recorded: bool
    note: str


class Reset(TypedDict):
    """A stop that is over."""

    stop: Stop
    confirmed: bool
    note: str


class Stops(TypedDict):
    """Emergency stops, the newest first."""

    stops: list[Stop]
    count: int
    total: int


class Order(TypedDict):
    """One order, as far as a drill looks at it."""

    order_id: str
    status: str
    denial_code: str | None


class RiskClient(Client):
    """Talks to the engine about what must stop."""

    def emergency_stop(self, wish: dict[str, Any]) -> Stopped:
        """Stop everything, a line, an account or an execution, at once."""
        answer: Stopped = self._ask("POST", "/risk/emergency-stop", body=wish)
        return answer

    def emergency_stops(self, *, limit: int = 50) -> Stops:
        """Return emergency stops, the newest first."""
        answer: Stops = self._ask("GET", "/risk/emergency-stops", query={"limit": limit})
        return answer

    def reset_emergency_stop(self, stop_id: str, comment: str) -> Reset:
        """Let what was stopped start and trade again."""
        path = f"/risk/emergency-stops/{stop_id}/reset"
        answer: Reset = self._ask("POST", path, body={"comment": comment})
        return answer

    def risk(self) -> risk_model.Risk:
        """Return what is stopped, which limits are broken, and whom risk holds back."""
        answer: risk_model.Risk = self._ask("GET", "/risk")
        return answer

    def breaches(self, *, execution_id: str | None = None, limit: int = 50) -> risk_model.Breaches:
        """Return the limits that are or were broken, the newest first."""
        query = {"execution_id": execution_id, "limit": limit}
        answer: risk_model.Breaches = self._ask("GET", "/risk/breaches", query=query)
        return answer

    def reset_risk(self, execution_id: str, comment: str) -> risk_model.RiskReset:
        """Let an execution that is REDUCING or HALTED be ACTIVE again."""
        path = f"/executions/{execution_id}/risk/reset"
        answer: risk_model.RiskReset = self._ask("POST", path, body={"comment": comment})
        return answer

    def orders(self, execution_id: str) -> list[Order]:
        """Return every order of an execution, oldest first."""
        found: list[Order] = []
        while True:
            query = {"limit": 500, "offset": len(found)}
            page = self._ask("GET", f"/executions/{execution_id}/orders", query=query)
            found += page["orders"]
            if not page["orders"] or len(found) >= page["total"]:
                return found
