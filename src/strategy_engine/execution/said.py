"""What comes of asking a risk engine outside: whether an order goes, and what is told. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from strategy_engine.infra.bus.checks import Checking
from strategy_engine.venue.gate import GateRequest
from strategy_engine.venue.vetting import NOBODY_ASKED, Answers, Key

_LONGEST = 140  # of what others say: it ends in an order's row, with what is put before it
_HELD_BACK = "the execution was held back before the risk engine had answered"
_AS_IT_IS = "the risk engine was not asked about the order as it is"


class What(StrEnum):
    """What came of one question, as a label says it."""

    ALLOWED = "allowed"
    VETOED = "vetoed"
    UNANSWERED = "unanswered"  # by the deadline
    UNREACHABLE = "unreachable"  # the broker is away
    HELD_BACK = "held_back"  # it was given up: the execution is to end, to pause or only to exit

    @property
    def is_answer(self) -> bool:
        """Whether the risk engine has said something."""
        return self in {What.ALLOWED, What.VETOED}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one question; `text` is the risk engine's reason, or what keeps it away."""

    what: What
    text: str = ""

    def unless(self, *, is_held_back: bool) -> "Outcome":
        """Return this if there was an answer; else, where it was given up, that."""
        if is_held_back and not self.what.is_answer:
            return Outcome(What.HELD_BACK)
        return self


def unasked(how: Checking) -> Answers:
    """Return what holds for an order that nobody was asked about."""
    return NOBODY_ASKED if how.is_open else Answers(otherwise=f"{_AS_IT_IS}; {_mode(how)}")


def answers(how: Checking, found: Iterable[tuple[GateRequest, Outcome]]) -> Answers:
    """Return which orders go: of two answers for the same order the stricter one counts."""
    said: dict[Key, str | None] = {}
    notices: list[str] = []
    for request, outcome in found:
        key = request.order.order_id, request.order.lots
        said[key] = said.get(key) or refusal(how, outcome)
        if how.is_open and outcome.what in {What.UNANSWERED, What.UNREACHABLE}:
            notices.append(f"an order went without the risk engine: {_missing(how, outcome)}")
    return Answers(said=said, otherwise=unasked(how).otherwise, notices=tuple(notices))


def refusal(how: Checking, outcome: Outcome) -> str | None:
    """Return why an order does not go, or None."""
    match outcome.what:
        case What.ALLOWED:
            return None
        case What.VETOED:
            return f"the risk engine said: {printable(outcome.text) or 'no'}"
        case What.HELD_BACK:
            return _HELD_BACK
        case What.UNANSWERED | What.UNREACHABLE:
            return None if how.is_open else _missing(how, outcome)


def printable(text: str) -> str:
    """Return what others say as it may stand in a row: short, and of printable characters."""
    return "".join(each if each.isprintable() else "?" for each in text[:_LONGEST]).strip()


def _missing(how: Checking, outcome: Outcome) -> str:
    if outcome.what is What.UNANSWERED:
        return f"no answer within {how.deadline_s * 1_000:g} ms; {_mode(how)}"
    # What it is that keeps the broker away is in the log, once; here it would never say the same.
    return f"no answer, the broker is away; {_mode(how)}"


def _mode(how: Checking) -> str:
    return f"RISK_VETO is {'open' if how.is_open else 'closed'}"
