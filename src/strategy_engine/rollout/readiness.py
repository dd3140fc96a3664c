"""Whether a candidate may be given weight: READY, why not yet, or why never. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from strategy_engine.execution.model import UNENDED, ExecutionStatus
from strategy_engine.rollout.parity import Compared
from strategy_engine.venue.model import DenialCode

PARITY_BARS = 20

_NO_HARM = frozenset({DenialCode.SHADOW.value})


class Standing(StrEnum):
    """What can be said of a candidate now."""

    READY = "ready"
    NOT_YET = "not_yet"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What is known of a candidate before it gets weight. None: not measured, so not ready.

    `ledger_findings` says where its ledger does not add up; `denials` counts its refused orders by
    code. An execution that runs does so under its limits.
    """

    status: ExecutionStatus
    failure: str = ""
    compared: Compared | None = None
    ledger_findings: Sequence[str] | None = None
    denials: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What follows, and why."""

    standing: Standing
    message: str


def judge(seen: Observed, *, parity_bars: int = PARITY_BARS) -> Readiness:
    """Return whether a candidate is ready: never for what time does not mend, else not yet."""
    never = _hopeless(seen)
    if never:
        return Readiness(standing=Standing.NEVER, message="; ".join(never))
    missing = _missing(seen, parity_bars)
    if missing:
        return Readiness(standing=Standing.NOT_YET, message="; ".join(missing))
    compared = 0 if seen.compared is None else seen.compared.compared
    return Readiness(
        standing=Standing.READY,
        message=f"{compared} decisions are those of a fresh process; its ledger adds up, and it"
        " runs under its limits",
    )


def _hopeless(seen: Observed) -> list[str]:
    found = []
    if seen.failure:
        found.append(f"it failed: {seen.failure}")
    elif seen.status not in UNENDED:
        found.append(f"it has ended ({seen.status})")
    if seen.compared is not None:
        found += _differences(seen.compared)
    refused = {code: count for code, count in (seen.denials or {}).items() if code not in _NO_HARM}
    found += [f"{count} of its orders were refused: {code}" for code, count in refused.items()]
    return found


def _differences(compared: Compared) -> list[str]:
    found = []
    if compared.mismatches:
        found.append(
            f"{compared.mismatches} of {compared.compared} live decisions are not what its own code"
            f" decides on the same bars; the first: {compared.first_mismatch}"
        )
    if compared.wrong_bars:
        found.append(
            f"{compared.wrong_bars} bars that it was shown are not those of the history; the"
            f" first: {compared.first_wrong_bar}"
        )
    return found


def _missing(seen: Observed, parity_bars: int) -> list[str]:
    found = []
    if seen.status is not ExecutionStatus.RUNNING:
        found.append(f"it is {seen.status}, not running")
    compared = 0 if seen.compared is None else seen.compared.compared
    if compared < parity_bars:
        found.append(f"{compared} of {parity_bars} decisions are compared with a fresh process's")
    if seen.compared is not None and seen.compared.trouble:
        found.append(f"comparing is held up: {seen.compared.trouble}")
    if seen.ledger_findings is None:
        found.append("its ledger is not reconciled")
    elif seen.ledger_findings:
        found.append(f"its ledger does not add up: {'; '.join(seen.ledger_findings)}")
    if seen.denials is None:
        found.append("its refused orders are not counted")
    return found
