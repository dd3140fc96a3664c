"""What each instrument's strategy was shown last: it stays while a position is open. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from strategy_engine.flags import rules
from strategy_engine.flags.model import Read, Values
from strategy_engine.infra.outages import DatabaseAwayError


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The values of one decision. `is_new`: they are others than the instrument's last."""

    values: Values
    is_new: bool


def read_none(close_ns: int) -> Values | None:
    """Read that there are no flags."""
    del close_ns
    return {}


class Sticky:
    """The readings of one execution.

    A decision that opens a position is made while the instrument is flat, on values read for it;
    those stay until it is flat again. Where flags cannot be read, the last values stay; where none
    were ever read, nothing can be decided.
    """

    def __init__(self, read: Read = read_none) -> None:
        self._read = read
        self._shown: dict[str, Values] = {}
        self._told: dict[str, Values] = {}  # to this process of the strategy

    def read(self, symbol: str, close_ns: int, *, is_held: bool) -> Reading:
        """Read once for a decision.

        Raises
        ------
        DatabaseAwayError
            If flags were never read, by this process or by one before it.
        """
        before = self._shown.get(symbol)
        found = before if is_held and before is not None else self._read(close_ns)
        values = before if found is None else found
        if values is None:
            raise DatabaseAwayError(
                "the feature flags could not be read yet, and a strategy decides nothing without"
                " them; this is tried again by itself"
            )
        is_new = not rules.is_same(values, before or {})
        if values or before:
            self._shown[symbol] = values
        return Reading(values=values, is_new=is_new)

    def news(self, symbol: str, values: Values) -> dict[str, Any] | None:
        """Return what a strategy's process has still to be told; None if it knows already."""
        if rules.is_same(values, self._told.get(symbol, {})):
            return None
        self._told[symbol] = values
        return dict(values)

    def dump(self) -> dict[str, Any]:
        """Return what was shown last, as the ledger keeps it; nothing where there is no flag."""
        shown = {symbol: dict(values) for symbol, values in self._shown.items()}
        return {"flags": shown} if shown else {}

    def load(self, account: Mapping[str, Any]) -> None:
        """Go on from what `dump` gave."""
        self._shown = dict(account.get("flags", {}))
