"""The hand of risk: what it does, it does at once, in memory, whatever else is away.

The gate is shut first, then the deed is on the disk of this machine, then what waits is taken back,
execution by execution, each confirmed by its venue. Rows hear of it when the database answers.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from strategy_engine.core.clock import Clock
from strategy_engine.execution.guard import Subject
from strategy_engine.execution.restraint import Restraint
from strategy_engine.infra import logs
from strategy_engine.risk import deeds, past
from strategy_engine.risk.logbook import Logbook
from strategy_engine.risk.model import Action, Deed, Done
from strategy_engine.venue.kill import KillState

_log = logs.get("risk")


class Leash(Protocol):
    """What holds one running execution back."""

    @property
    def subject(self) -> Subject | None:
        """What it may be named by; None: that is not known yet."""
        ...

    @property
    def is_flat(self) -> bool:
        """Whether it holds nothing."""
        ...

    def hold(self, held_to: Restraint) -> tuple[str, ...] | None:
        """Hold it back; return the orders taken back, or None where none is known yet."""
        ...


class Hand:
    """Does deeds to the executions of this node. Any thread may ask, and is answered at once.

    Parameters
    ----------
    leashes : callable
        Returns those of what runs here now, by execution; called from any thread.
    wake : callable
        Called from any thread when there is something to bring into rows.
    """

    def __init__(
        self,
        book: Logbook,
        clock: Clock,
        *,
        leashes: Callable[[], Mapping[str, Leash]] = dict,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.kill = KillState()
        self.leashes = leashes
        self.wake = wake
        self._book = book
        self._clock = clock
        self._lock = threading.Lock()
        self._past = book.read()  # replaced, never changed: who reads it needs no lock
        book.shorten(self._past)
        for each in self._past.stops:
            self.kill.stop(each.scope, each.subject, deeds.why(each))

    # -- what is done

    def act(self, deed: Deed) -> Done:
        """Do a deed, and say what came of it. Done again, it is said what is so by then.

        Raises
        ------
        InvalidError
            If it makes no sense; nothing is done.
        """
        started_s = self._clock.monotonic_s()
        deeds.check(deed)
        with self._lock:
            if deed.deed_id in self._past.reset:
                return self._nothing(deed, started_s)
            if deed.action is Action.EMERGENCY_STOP:
                self.kill.stop(deed.scope, deed.subject, deeds.why(deed))
            is_journaled = True
            if deed.deed_id not in self._past.deeds:
                is_journaled = self._write(past.deed_line(deed))
            done = self._hold(deed, started_s, is_journaled=is_journaled)
        _log.warning(
            "risk_acted",
            deed=deed.deed_id,
            what=deeds.why(deed),
            executions=len(done.executions),
            cancelled=done.cancelled,
        )
        self.wake()
        return done

    def release(self, stop_id: str) -> None:
        """Let go what an emergency stop has shut, unless another still has."""
        with self._lock:
            over = self._past.deeds.get(stop_id)
            if over is None or stop_id in self._past.reset:
                return
            self._write(past.mark_line(past.RESET, stop_id))
            key = over.scope, over.subject
            others = [each for each in self._past.stops if (each.scope, each.subject) == key]
            if others:
                self.kill.stop(*key, deeds.why(others[-1]))
            else:
                self.kill.release(*key)
        _log.warning("emergency_stop_reset", stop=stop_id, about=deeds.about(over))

    def note_imported(self, deed_id: str) -> None:
        """Hear that rows say a deed."""
        with self._lock:
            self._write(past.mark_line(past.IMPORTED, deed_id))

    # -- what is known

    @property
    def stops(self) -> list[Deed]:
        """Return the emergency stops in force here, oldest first."""
        return self._past.stops

    @property
    def pending(self) -> list[Deed]:
        """Return the deeds that rows do not say yet, oldest first."""
        return self._past.pending

    def knows(self, deed_id: str) -> bool:
        """Say whether a deed was done here."""
        return deed_id in self._past.deeds

    def restraints(self, subject: Subject) -> tuple[Restraint, ...]:
        """Return what an execution that begins is held to, beside what its row says."""
        known = self._past
        held = [deeds.restraint_of(each) for each in known.pending if deeds.covers(each, subject)]
        for name, each in known.deeds.items():
            if name not in known.imported or not deeds.covers(each, subject):
                continue
            was_there = subject.execution_id in known.named.get(name, ())
            if each in known.stops or (each.action is Action.REDUCE and was_there):
                held.append(deeds.lasting_of(each))
        return tuple(held)

    def withdrawn(self, execution_id: str) -> frozenset[str]:
        """Return orders that are confirmed to wait no more; the ledger may not know it."""
        return self._past.withdrawn_of(execution_id)

    def settled(self) -> frozenset[str]:
        """Return the deeds that rows say by now."""
        return self._past.imported

    # -- how

    def _hold(self, deed: Deed, started_s: float, *, is_journaled: bool) -> Done:
        held_to = deeds.restraint_of(deed)
        about = self._about(deed)
        taken = {name: leash.hold(held_to) for name, leash in about.items()}
        orders = {name: each for name, each in taken.items() if each}
        is_told = self._write(past.done_line(deed.deed_id, about, orders))
        return Done(
            deed_id=deed.deed_id,
            executions=tuple(sorted(about)),
            cancelled=sum(map(len, orders.values())),
            open=tuple(sorted(name for name, each in taken.items() if each is None)),
            took_s=self._clock.monotonic_s() - started_s,
            holding=tuple(sorted(name for name, each in about.items() if not each.is_flat)),
            is_journaled=is_journaled and is_told,
        )

    def _about(self, deed: Deed) -> dict[str, Leash]:
        """Return what runs here and a deed is about; what is not known yet asks as it begins."""
        found = {}
        for name, leash in dict(self.leashes()).items():
            subject = leash.subject
            if subject is not None and deeds.covers(deed, subject):
                found[name] = leash
        return found

    def _nothing(self, deed: Deed, started_s: float) -> Done:
        """Return what comes of a stop that was reset before it was heard of here: nothing."""
        took_s = self._clock.monotonic_s() - started_s
        return Done(deed_id=deed.deed_id, executions=(), cancelled=0, open=(), took_s=took_s)

    def _write(self, line: dict[str, object]) -> bool:
        """Know one line more, and put it on the disk; whether that took it."""
        self._past = past.after(self._past, line)
        try:
            self._book.append(line)
        except OSError as error:
            _log.error("risk_journal_not_written", why=str(error))
            return False
        return True
