"""What is said with a strategy's process, where its decisions are compared with a fresh one's."""

from typing import Protocol

from msgspec.structs import replace

from strategy_engine.execution.model import Execution, Role
from strategy_engine.sandbox.protocol import messages
from strategy_engine.venue.model import Turn, TurnKind

KEPT_OF = frozenset({Role.SHADOW, Role.CANDIDATE, Role.BASELINE})

_WARM_UPS = messages.WarmUp | messages.NativeWarmUp
_WITH_STATE = messages.Decided | messages.NativeActed


class Counted(Protocol):
    """Who knows how far a transcript has come; the ledger's reader is one."""

    async def last_turn(self, execution_id: str) -> int:
        """Return the number of the last turn that is kept of an execution; 0 for none."""
        ...


class Transcript:
    """The turns of one process that no entry of the ledger has taken yet; numbers go on.

    Parameters
    ----------
    last_no : int
        The last turn that the ledger has, of processes before this one.
    """

    def __init__(self, last_no: int = 0) -> None:
        self._last_no = last_no
        self._next_kind = TurnKind.RESTART if last_no else TurnKind.START
        self._untaken: list[Turn] = []
        self._is_over = False

    def hear(
        self, asked: messages.ToChild, answered: messages.FromChild, frames: tuple[bytes, bytes]
    ) -> None:
        """Keep a turn; how a process ends is none.

        Parameters
        ----------
        frames : pair of bytes
            The two of them as they crossed.
        """
        if self._is_over or isinstance(asked, messages.Stop):
            return
        kind, self._next_kind = self._next_kind, TurnKind.ASKED
        self._last_no += 1
        turn = Turn(
            no=self._last_no,
            kind=kind,
            asked=_thinned_question(asked, kind, frames[0]),
            answered=_thinned_answer(answered, frames[1]),
        )
        self._untaken.append(turn)

    def follow(self, role: Role) -> None:
        """Hear what the execution is for now; what is not compared any more is not kept."""
        if role not in KEPT_OF:
            self._is_over = True
            self._untaken.clear()

    def take(self) -> tuple[Turn, ...]:
        """Return what was said since this was asked last: it goes with the entry that follows."""
        taken = tuple(self._untaken)
        self._untaken.clear()
        return taken


async def begin(records: Counted, mine: Execution) -> Transcript | None:
    """Return where a process's turns are kept; None where nobody compares them.

    It must be asked for once the ledger has this copy's epoch: then no other adds to it.
    """
    if mine.role not in KEPT_OF:
        return None
    return Transcript(await records.last_turn(mine.execution_id))


# States may be large, come with every bar, and are not compared; a later process's own is of no
# use either, since it is not shown to the one that is compared with it.
def _thinned_question(asked: messages.ToChild, kind: TurnKind, frame: bytes) -> bytes:
    if kind is TurnKind.RESTART and isinstance(asked, _WARM_UPS) and asked.state is not None:
        return messages.encode(replace(asked, state=None))
    return frame


def _thinned_answer(answered: messages.FromChild, frame: bytes) -> bytes:
    if isinstance(answered, _WITH_STATE) and answered.state is not None:
        return messages.encode(replace(answered, state=None))
    return frame
