"""Which entries may follow what a ledger has. Pure."""

from collections.abc import Iterable, Mapping

from strategy_engine.core.errors import EngineError
from strategy_engine.venue.model import (
    Entry,
    Head,
    Kept,
    LedgerGapError,
    Opened,
    StaleEpochError,
    Together,
)


def entries_of(kept: Kept) -> tuple[Entry, ...]:
    """Return the entries of a group, or an entry alone."""
    return kept.entries if isinstance(kept, Together) else (kept,)


def refuse(group: Iterable[Entry], heads: Mapping[str, Head]) -> EngineError | None:
    """Return why entries cannot be kept together, or None if they can or are kept already."""
    moved: dict[str, Head] = {}
    for entry in group:
        name = entry.execution_id
        head = moved.get(name, heads.get(name))
        error = _refuse_one(entry, head)
        if error is not None:
            return error
        if not is_known(entry, head):
            moved[name] = after(entry, head)
    return None


def after(entry: Entry, head: Head | None) -> Head:
    """Return where a ledger stands once an entry is in it."""
    if isinstance(entry, Opened):
        return Head(epoch=entry.epoch, entry_no=0 if head is None else head.entry_no)
    return Head(epoch=entry.epoch, entry_no=entry.entry_no)


def is_known(entry: Entry, head: Head | None) -> bool:
    """Say whether an entry is kept already."""
    if head is None:
        return False
    if isinstance(entry, Opened):
        return entry.epoch == head.epoch
    return entry.entry_no <= head.entry_no


def _refuse_one(entry: Entry, head: Head | None) -> EngineError | None:
    """Return why an entry cannot follow what is kept, or None if it can or is kept already."""
    if head is None:
        if isinstance(entry, Opened):
            return None
        return LedgerGapError(f"{entry.execution_id} has no ledger yet; open it first")
    if entry.epoch < head.epoch:
        return StaleEpochError(
            f"{entry.execution_id}: epoch {entry.epoch} is stale, the ledger is at {head.epoch};"
            " another copy has taken over",
            epoch=entry.epoch,
            current=head.epoch,
        )
    if isinstance(entry, Opened) or entry.entry_no <= head.entry_no + 1:
        return None
    return LedgerGapError(
        f"{entry.execution_id}: entry {entry.entry_no} cannot follow entry {head.entry_no};"
        " one between them was lost, resume from the ledger",
        entry_no=entry.entry_no,
        kept=head.entry_no,
    )
