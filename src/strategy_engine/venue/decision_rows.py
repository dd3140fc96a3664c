"""What was decided, on what, and how it was asked for, as the rows of a ledger entry. Pure."""

from typing import Any

from strategy_engine.venue.model import BarProcessed, Flowed

type Row = dict[str, Any]


def decision(entry: BarProcessed) -> Row:
    """Return the row of a decision that was not HOLD."""
    made = entry.decision
    if made is None:
        raise ValueError("an entry without a decision has no such row")
    return {
        "execution_id": entry.execution_id,
        "close_ns": entry.close_ns,
        "symbol": entry.symbol,
        "action": int(made.action),
        "size_ppb": made.size_ppb,
        "stop_loss_ppb": made.stop_loss_ppb,
        "take_profit_ppb": made.take_profit_ppb,
        "reason": made.reason,
        "flags": _plain_flags(entry),
    }


def flag_reading(entry: BarProcessed) -> Row:
    """Return the row of what flags said, where they said something new."""
    return {
        "execution_id": entry.execution_id,
        "symbol": entry.symbol,
        "close_ns": entry.close_ns,
        "flags": _plain_flags(entry) or {},
    }


def turns(entry: BarProcessed | Flowed) -> list[Row]:
    """Return the rows of what was said with the strategy's process."""
    return [
        {
            "execution_id": entry.execution_id,
            "no": each.no,
            "kind": each.kind.value,
            "asked": each.asked,
            "answered": each.answered,
        }
        for each in entry.transcript
    ]


def _plain_flags(entry: BarProcessed) -> Row | None:
    return None if entry.flags is None else dict(entry.flags)
