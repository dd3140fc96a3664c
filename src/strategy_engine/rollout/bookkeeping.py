"""A line's books: what its ledgers hold together against what all fills and flows make. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from strategy_engine.rollout import capital
from strategy_engine.venue.books import Book


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An instrument: what all ledgers of the line hold, and what all fills add up to."""

    symbol: str
    positions: Decimal
    fills: Decimal

    @property
    def agrees(self) -> bool:
        """Whether the two are one."""
        return self.positions == self.fills


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Whether the ledgers of a line tell what happened, to the last digit.

    Parameters
    ----------
    cash, expected_cash : Decimal
        What the ledgers have; what capital, flows and fills leave.
    opened, flowed : Decimal
        What the ledgers were opened with; what has flowed in and out since.
    findings : tuple of str
        Every execution and instrument that does not agree, with both figures.
    """

    held: tuple[Held, ...]
    cash: Decimal
    expected_cash: Decimal
    opened: Decimal
    flowed: Decimal
    fill_count: int
    findings: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing is missing and nothing is too much."""
        return not self.findings


def judge(found: Mapping[str, Book], shared: capital.Account | None = None) -> Books:
    """Return a line's books from its executions'.

    Each execution is judged by itself: two faults that cancel out in the sum are two findings.

    Parameters
    ----------
    shared : Account or None
        The line's money as who shares it counts it: its members may not have more than there is.
    """
    symbols = sorted({s for each in found.values() for s in (*each.positions, *each.tally.held)})
    findings = [told for each in found.values() for told in _findings(each)]
    if shared is not None and shared.is_overdrawn:
        findings.append(_overdrawn(shared))
    return Books(
        held=tuple(_held(symbol, found) for symbol in symbols),
        cash=capital.total(each.cash for each in found.values()),
        expected_cash=capital.total(each.expected_cash for each in found.values()),
        opened=capital.total(each.opened for each in found.values()),
        flowed=capital.total(each.flowed for each in found.values()),
        fill_count=sum(each.tally.fill_count for each in found.values()),
        findings=tuple(findings),
    )


def _held(symbol: str, found: Mapping[str, Book]) -> Held:
    zero = Decimal(0)
    return Held(
        symbol=symbol,
        positions=capital.total(each.positions.get(symbol, zero) for each in found.values()),
        fills=capital.total(each.tally.held.get(symbol, zero) for each in found.values()),
    )


def _overdrawn(shared: capital.Account) -> str:
    tied = capital.total(each.contributed for each in shared.tied)
    there = capital.total((shared.capital, shared.ended_pnl))
    return (
        f"members of the line have been given {shared.contributed:f}, and {tied:f} is tied in what"
        f" ended ones hold, of {there:f} that there is: {-shared.pool:f} too much"
    )


def _findings(book: Book) -> list[str]:
    zero, name = Decimal(0), book.execution_id
    told = [
        f"{name}: fills of {symbol} add up to {fills:f}, the ledger holds {position:f}"
        for symbol in sorted({*book.positions, *book.tally.held})
        if (fills := book.tally.held.get(symbol, zero))
        != (position := book.positions.get(symbol, zero))
    ]
    if book.cash != book.expected_cash:
        told.append(
            f"{name}: capital, flows and fills leave {book.expected_cash:f} in cash, the ledger has"
            f" {book.cash:f}"
        )
    return told
