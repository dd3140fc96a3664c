"""What the local journal of risk tells, line by line: what was done, and what rows say of it. Pure.

One line is one fact. A line that was torn, or that nobody understands, is passed over: whoever
reads the others must not be kept from obeying them.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from strategy_engine.core.errors import InvalidError
from strategy_engine.risk import deeds
from strategy_engine.risk.model import Action, Deed

DEED, DONE, IMPORTED, RESET = "deed", "done", "imported", "reset"
_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Every deed of this node that still matters; replaced, never changed.

    Parameters
    ----------
    named : mapping
        The executions that ran here as a deed was done, by deed.
    withdrawn : mapping
        Orders that are confirmed to wait no more, by execution, by deed.
    imported, reset : set of str
        Deeds that rows say; emergency stops that are over.
    """

    deeds: Mapping[str, Deed] = field(default_factory=dict)
    named: Mapping[str, frozenset[str]] = field(default_factory=dict)
    withdrawn: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)
    imported: frozenset[str] = _NOTHING
    reset: frozenset[str] = _NOTHING

    @property
    def pending(self) -> list[Deed]:
        """Return the deeds that rows do not say yet, in the order they were done."""
        return [each for name, each in self.deeds.items() if name not in self.imported]

    @property
    def stops(self) -> list[Deed]:
        """Return the emergency stops in force."""
        return [
            each
            for name, each in self.deeds.items()
            if each.action is Action.EMERGENCY_STOP and name not in self.reset
        ]

    def withdrawn_of(self, execution_id: str) -> frozenset[str]:
        """Return the orders of an execution that are confirmed to wait no more."""
        found = (each.get(execution_id, _NOTHING) for each in self.withdrawn.values())
        return frozenset().union(*found)


def deed_line(deed: Deed) -> dict[str, Any]:
    """Return the line of a deed."""
    return {"line": DEED, **deeds.plain(deed)}


def done_line(
    deed_id: str, executions: Iterable[str], withdrawn: Mapping[str, Iterable[str]]
) -> dict[str, Any]:
    """Return the line of what a deed came to."""
    taken_back = {name: sorted(orders) for name, orders in withdrawn.items() if orders}
    return {
        "line": DONE,
        "deed_id": deed_id,
        "executions": sorted(executions),
        "withdrawn": taken_back,
    }


def mark_line(kind: str, deed_id: str) -> dict[str, Any]:
    """Return the line that says that a deed is imported, or an emergency stop is reset."""
    return {"line": kind, "deed_id": deed_id}


def after(past: Past, line: Any) -> Past:
    """Return what is known after one more line.

    Raises
    ------
    InvalidError
        If it is no line of the journal.
    """
    if not isinstance(line, dict):
        raise InvalidError(f"this is no line of the journal of risk: {line!r}")
    kind = line.get("line")
    if kind == DEED:
        deed = deeds.parse(line)
        return replace(past, deeds={**past.deeds, deed.deed_id: deed})
    deed_id = line.get("deed_id")
    if not isinstance(deed_id, str):
        raise InvalidError(f"this is no line of the journal of risk: {line!r}")
    match kind:
        case "done":
            return _done(past, deed_id, line)
        case "imported":
            return replace(past, imported=past.imported | {deed_id})
        case "reset":
            return replace(past, reset=past.reset | {deed_id})
        case _:
            raise InvalidError(f"this is no line of the journal of risk: {line!r}")


def _done(past: Past, deed_id: str, line: Mapping[str, Any]) -> Past:
    executions, withdrawn = line.get("executions"), line.get("withdrawn")
    if not isinstance(executions, list) or not isinstance(withdrawn, dict):
        raise InvalidError(f"this is no line of the journal of risk: {line!r}")
    before = past.withdrawn.get(deed_id, {})
    orders = {
        name: before.get(name, _NOTHING) | frozenset(withdrawn.get(name, ()))
        for name in {*before, *withdrawn}
    }
    named = past.named.get(deed_id, _NOTHING) | frozenset(executions)
    return replace(
        past,
        named={**past.named, deed_id: named},
        withdrawn={**past.withdrawn, deed_id: orders},
    )


def read(text: bytes) -> tuple[Past, list[str]]:
    """Return what a journal tells, and what of it nobody understands."""
    past, strange = Past(), []
    for raw in text.split(b"\n"):
        if not raw.strip():
            continue
        try:
            past = after(past, json.loads(raw))
        except (ValueError, InvalidError) as error:
            strange.append(f"{raw[:80]!r}: {error}")
    return past, strange


def compact(past: Past, most: int) -> list[dict[str, Any]]:
    """Return the lines that still matter: stops in force, what rows do not say, the last deeds."""
    last = list(past.deeds)[-most:]
    stops, pending = {each.deed_id for each in past.stops}, {each.deed_id for each in past.pending}
    lines: list[dict[str, Any]] = []
    for name, deed in past.deeds.items():
        if name not in stops and name not in pending and name not in last:
            continue
        lines.append(deed_line(deed))
        if name in past.named:
            lines.append(done_line(name, past.named[name], past.withdrawn[name]))
        lines += [mark_line(IMPORTED, name)] if name in past.imported else []
        lines += [mark_line(RESET, name)] if name in past.reset else []
    return lines
