"""Whether the ledger's rows of one execution tell one story. Pure."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

import sqlalchemy as sa

from strategy_engine.core import money
from strategy_engine.venue.model import Checkpoint

_NANO = Decimal("1e-9")
_ENOUGH_DIGITS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """Whether trades, flows, positions, cash and equity tell one story, or where they do not."""

    execution_id: str
    trade_count: int
    findings: tuple[str, ...]

    @property
    def is_exact(self) -> bool:
        """Whether everything agrees to the last digit."""
        return not self.findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Everything that the ledger keeps of an execution's money, each in its order."""

    trades: Sequence[sa.Row[Any]]
    positions: Sequence[sa.Row[Any]]
    equity: Sequence[sa.Row[Any]]
    flows: Sequence[sa.Row[Any]]


def judge(kept: Checkpoint, rows: Rows) -> Reconciliation:
    """Return where the rows and the checkpoint of an execution do not agree to the last digit."""
    with localcontext(prec=_ENOUGH_DIGITS):
        findings = (
            *_sequence_findings(rows.trades, kept),
            *_position_findings(rows.trades, rows.positions),
            *_flow_findings(rows.flows, kept),
            *_money_findings(rows, kept),
        )
    return Reconciliation(
        execution_id=kept.execution_id, trade_count=len(rows.trades), findings=findings
    )


def _sequence_findings(trades: Sequence[sa.Row[Any]], kept: Checkpoint) -> list[str]:
    numbers = [row.seq for row in trades]
    if numbers == list(range(1, kept.fill_count + 1)):
        return []
    return [f"fills are numbered {numbers[:3]}…{numbers[-1:]}, not 1 to {kept.fill_count}"]


def _position_findings(
    trades: Sequence[sa.Row[Any]], positions: Sequence[sa.Row[Any]]
) -> list[str]:
    held: dict[str, Decimal] = {}
    for row in trades:
        signed = row.quantity if row.side == "BUY" else -row.quantity
        held[row.symbol] = held.get(row.symbol, Decimal(0)) + signed
    shown = {row.symbol: row.quantity for row in positions}
    return [
        f"{symbol}: trades add up to {held.get(symbol, 0)}, the position is {shown.get(symbol, 0)}"
        for symbol in sorted(held.keys() | shown.keys())
        if held.get(symbol, 0) != shown.get(symbol, 0)
    ]


def _flow_findings(flows: Sequence[sa.Row[Any]], kept: Checkpoint) -> list[str]:
    capital = money.to_decimal(kept.capital_nanos)
    findings = [
        f"{before.contributed} were contributed before entry {row.entry_no}, which adds"
        f" {row.amount} and makes it {row.contributed}"
        for before, row in itertools.pairwise(flows)
        if before.contributed + row.amount != row.contributed
    ]
    if flows and flows[-1].contributed != capital:
        findings.append(f"flows leave {flows[-1].contributed} contributed, the account {capital}")
    return findings


def _money_findings(rows: Rows, kept: Checkpoint) -> list[str]:
    capital, account = money.to_decimal(kept.capital_nanos), money.to_decimal(kept.account["cash"])
    cash = capital + sum(_cash_flow(row) for row in rows.trades)
    findings = []
    if cash != account:
        findings.append(f"capital and trades leave cash {cash}, the account has {account}")
    if not rows.equity:
        return findings
    last = rows.equity[-1]
    since = capital - last.contributed  # what flowed after the last bar
    if last.cash + since != cash:
        findings.append(
            f"capital and trades leave cash {cash}; the last equity row has {last.cash}, and"
            f" {since} flowed since"
        )
    worth = cash + sum(_value(row.quantity, row.mark) for row in rows.positions)
    if last.equity + since != worth:
        findings.append(
            f"cash and positions are worth {worth}; the last equity row has {last.equity}, and"
            f" {since} flowed since"
        )
    return findings


def _cash_flow(row: sa.Row[Any]) -> Decimal:
    value = _value(row.quantity, row.price)
    fee: Decimal = row.fee
    return (-value if row.side == "BUY" else value) - fee


def _value(quantity: Decimal, price: Decimal) -> Decimal:
    return (quantity * price).quantize(_NANO, rounding=ROUND_HALF_EVEN)
