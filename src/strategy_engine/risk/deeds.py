"""What a deed is about, what it holds an execution to, and how it is written down. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from strategy_engine.core.errors import InvalidError
from strategy_engine.execution.guard import Subject
from strategy_engine.execution.restraint import Restraint
from strategy_engine.risk.model import Action, Deed, Done
from strategy_engine.venue.limits import Scope
from strategy_engine.venue.model import RiskState

LONGEST_REASON = 200
LONGEST_NAME = 100
KILL_SCOPES = (Scope.ENGINE, Scope.LINE, Scope.ACCOUNT, Scope.EXECUTION)


def covers(deed: Deed, subject: Subject) -> bool:
    """Say whether a deed is about an execution. A validation run is no matter of risk."""
    if not subject.is_real:
        return False
    named = {
        Scope.ENGINE: deed.subject,
        Scope.LINE: subject.line,
        Scope.ACCOUNT: subject.account,
        Scope.VERSION: subject.strategy_id,
        Scope.EXECUTION: subject.execution_id,
    }
    return named[deed.scope] == deed.subject


def about(deed: Deed) -> str:
    """Return what a deed is about, in words."""
    return "the whole engine" if deed.scope is Scope.ENGINE else f"{deed.scope} {deed.subject}"


def why(deed: Deed) -> str:
    """Return a deed in one sentence."""
    if deed.action is Action.EMERGENCY_STOP:
        return f"emergency stop of {about(deed)} by {deed.actor}: {deed.reason}"
    return f"risk.{deed.action}: {deed.reason}"


def restraint_of(deed: Deed) -> Restraint:
    """Return what a deed holds executions to; its gate apart, which the kill state shuts."""
    held_to = Restraint(deed_id=deed.deed_id, why=why(deed))
    match deed.action:
        case Action.REDUCE:
            return replace(held_to, risk_state=RiskState.REDUCING, reduce_factor=deed.factor)
        case Action.PAUSE:
            return replace(held_to, is_paused=True)
        case Action.HALT:
            return replace(held_to, risk_state=RiskState.HALTED, flattens=True)
        case Action.EMERGENCY_STOP if deed.flattens:
            return replace(held_to, risk_state=RiskState.HALTED, flattens=True, kills=True)
        case Action.EMERGENCY_STOP:
            return replace(held_to, kills=True)
        case Action.ALERT:
            return held_to


def lasting_of(deed: Deed) -> Restraint:
    """Return what a deed holds an execution to whose row says the rest."""
    whole = restraint_of(deed)
    return Restraint(
        deed_id=whole.deed_id, why=whole.why, reduce_factor=whole.reduce_factor, kills=whole.kills
    )


def check(deed: Deed) -> Deed:
    """Refuse a deed that makes no sense.

    Raises
    ------
    InvalidError
        With the field, its value and what is accepted.
    """
    is_stop = deed.action is Action.EMERGENCY_STOP
    if is_stop and deed.scope not in KILL_SCOPES:
        accepted = [each.value for each in KILL_SCOPES]
        raise _invalid("scope", deed.scope.value, accepted)
    if (deed.scope is Scope.ENGINE) != (deed.subject == ""):
        raise _invalid("subject", deed.subject, "a name, and none where the scope is engine")
    if len(deed.subject) > LONGEST_NAME or not _is_text(deed.subject):
        raise _invalid("subject", deed.subject[:LONGEST_NAME], "at most 100 printable characters")
    if not deed.reason.strip() or len(deed.reason) > LONGEST_REASON or not _is_text(deed.reason):
        shown = deed.reason[:LONGEST_REASON]
        raise _invalid("reason", shown, f"1 to {LONGEST_REASON} printable characters")
    if deed.is_drill and deed.scope is not Scope.EXECUTION:
        raise _invalid("is_drill", deed.is_drill, "true only where the scope is execution")
    needs_factor = deed.action is Action.REDUCE
    if needs_factor != (deed.factor is not None) or not 0 <= (deed.factor or 0) < 1:
        raise _invalid("factor", str(deed.factor), "of a reduction, from 0 to less than 1")
    return deed


def plain(deed: Deed) -> dict[str, Any]:
    """Return a deed as JSON has it."""
    factor = None if deed.factor is None else str(deed.factor)
    return asdict(deed) | {
        "action": deed.action.value,
        "scope": deed.scope.value,
        "at": deed.at.isoformat(),
        "factor": factor,
    }


def parse(given: Mapping[str, Any]) -> Deed:
    """Return the deed that `plain` gave.

    Raises
    ------
    InvalidError
        If it is none, or makes no sense.
    """
    try:
        values = {each.name: given[each.name] for each in fields(Deed)}
        factor = values["factor"]
        deed = Deed(
            **values
            | {
                "action": Action(values["action"]),
                "scope": Scope(values["scope"]),
                "at": datetime.fromisoformat(values["at"]),
                "factor": None if factor is None else Decimal(factor),
            }
        )
        return check(deed)
    except (KeyError, ValueError, TypeError, AttributeError, InvalidOperation) as error:
        raise InvalidError(f"this is no deed of risk: {error!r}") from error


def plain_done(done: Done) -> dict[str, Any]:
    """Return what came of a deed as JSON has it."""
    return asdict(done) | {
        "executions": list(done.executions),
        "open": list(done.open),
        "holding": list(done.holding),
    }


def parse_done(given: Mapping[str, Any]) -> Done:
    """Return what `plain_done` gave."""
    values = {each.name: given[each.name] for each in fields(Done)}
    lists = {name: tuple(values[name]) for name in ("executions", "open", "holding")}
    return Done(**values | lists)


def _is_text(text: str) -> bool:
    return text.isprintable()


def _invalid(field: str, value: object, accepted: object) -> InvalidError:
    return InvalidError(
        f"{field} is {value!r}; accepted: {accepted}", field=field, value=value, accepted=accepted
    )
