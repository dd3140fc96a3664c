"""Positions that risk has cut by a factor: which are still to be cut, and by how much. Pure."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

_MOST_KEPT = 32  # deeds that are remembered as done, so that none is done twice


class Cuts:
    """What is still to be cut of an execution, deed by deed; each instrument once, at its price."""

    def __init__(self) -> None:
        self._deeds: dict[str, tuple[Decimal, tuple[str, ...]]] = {}  # in the order they came

    def begin(self, deed_id: str, factor: Decimal, held: Iterable[str]) -> bool:
        """Take a deed up; whether it is new. What is flat by now is not cut later."""
        if deed_id in self._deeds:
            return False
        self._deeds[deed_id] = factor, tuple(sorted(held))
        for each in list(self._deeds)[:-_MOST_KEPT]:
            del self._deeds[each]
        return True

    def take(self, symbol: str) -> Decimal:
        """Return what is to be left of a position whose price is there now, and note it as done."""
        left = Decimal(1)
        for deed_id, (factor, symbols) in self._deeds.items():
            if symbol in symbols:
                left *= factor
                self._deeds[deed_id] = factor, tuple(each for each in symbols if each != symbol)
        return left

    def dump(self) -> dict[str, Any]:
        """Return everything as plain values; nothing if nothing was ever cut."""
        kept = {each: [str(factor), *symbols] for each, (factor, symbols) in self._deeds.items()}
        return {"cuts": kept} if kept else {}

    def load(self, state: Mapping[str, Any]) -> None:
        """Put what `dump` returned in place."""
        kept: Mapping[str, list[str]] = state.get("cuts", {})
        self._deeds = {
            deed_id: (Decimal(factor), tuple(symbols))
            for deed_id, (factor, *symbols) in kept.items()
        }
