"""Flows of capital as the rows of a ledger entry. Pure."""

from typing import Any

from strategy_engine.core import money
from strategy_engine.venue.model import Flowed

type Row = dict[str, Any]


def flow(entry: Flowed) -> Row:
    """Return the row of cash that entered or left, and of what there is after it."""
    return {
        "execution_id": entry.execution_id,
        "entry_no": entry.entry_no,
        "amount": money.to_decimal(entry.amount_nanos),
        "contributed": money.to_decimal(entry.contributed_nanos),
        "equity": money.to_decimal(entry.equity_nanos),
        "cash": money.to_decimal(entry.cash_nanos),
        "close_ns": entry.close_ns,
        "at": entry.at,
    }
