"""What a risk engine outside is asked before an order goes, and which of its answers count. Pure.

A question is published directly and once: it is worthless later, so it is in no outbox. An answer
is signed as commands are, over its own topic: neither can be taken for the other.
"""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from strategy_engine.infra.bus import commands
from strategy_engine.infra.bus.commands import Refusal, RefusedError, Signed
from strategy_engine.infra.bus.model import Received

REQUESTED, ANSWERED = "risk.check.requested", "risk.check.answered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checking:
    """How a risk engine is asked.

    Parameters
    ----------
    is_open : bool
        An order goes when no answer comes by the deadline; else it does not.
    """

    is_open: bool
    deadline_s: float


class CheckRequested(msgspec.Struct, frozen=True, kw_only=True):
    """An order that could open or enlarge a position is about to go, if it may.

    `position` is what is held, signed, when it is the order's turn to fill; `decided_at` is of the
    feed's clock, the other times of the machine's. `price` is the last one, `notional` at it.
    """

    check_id: str
    execution_id: str
    strategy_id: str
    strategy_name: str
    account: str
    order_id: str
    symbol: str
    side: str
    quantity: float
    price: float
    notional: float
    position: float
    decided_at: datetime
    asked_at: datetime
    deadline_at: datetime


class CheckAnswered(msgspec.Struct, frozen=True, kw_only=True):
    """What a risk engine says of one check; the `reason` of a veto goes into the order's row."""

    check_id: str
    allowed: bool
    issued_at: datetime
    reason: str = ""


def sign(secret: str, answer: CheckAnswered) -> Signed:
    """Return an answer with its signature."""
    return commands.sign(secret, ANSWERED, answer)


def verify(received: Received, secret: str) -> CheckAnswered:
    """Return the answer of an entry that is authentic, well formed and in time.

    Raises
    ------
    RefusedError
        If it is not; the message never holds what an unsigned entry says.
    """
    topic = received.message.topic
    if topic != ANSWERED:
        raise RefusedError(Refusal.UNKNOWN_TOPIC, f"there is only {ANSWERED} here")
    text = commands.opened(received, secret)
    try:
        answer = msgspec.json.decode(text, type=CheckAnswered)
    except msgspec.MsgspecError as error:
        raise RefusedError(Refusal.MALFORMED, f"an answer is malformed: {error}") from None
    if not answer.check_id or answer.issued_at.tzinfo is None:
        raise RefusedError(
            Refusal.MALFORMED, "an answer is malformed: check_id is empty, or issued_at has no zone"
        )
    commands.check_time(answer.check_id, answer.issued_at, received)
    return answer


def name(node_id: str, token: str, number: int) -> str:
    """Return a check's own name: of its node, of this life of it, and its number there."""
    return f"{node_id}/{token}/{number}"


def is_of_another(check_id: str, node_id: str) -> bool:
    """Say whether a check is another node's, which listens to the same answers."""
    parts = check_id.split("/")
    return len(parts) == _PARTS and parts[0] != node_id


_PARTS = 3
