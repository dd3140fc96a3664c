"""What a version chose over a history, whichever contract it keeps: what stages ask of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from strategy_engine.matching.settings import Settings
from strategy_engine.pipeline.backtest import Ledgered
from strategy_engine.pipeline.history import History
from strategy_engine.pipeline.model import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first place at which two runs chose differently, in words; `index` of the symbol's bar.

    `index` is -1 for what was chosen at the start.
    """

    symbol: str
    index: int
    close_ns: int
    one: str
    other: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """How two runs compare from some bar on: bars, those where either acted, and those unlike."""

    bars: int
    acting: int
    mismatches: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What a person is told to do, in the words of the contract that the version keeps."""

    illegal: str
    inputs: str
    state: str
    sharing: str
    warm_up: str


class Chosen(Protocol):
    """The choices of one run over a history. Two runs that are compared are of one version."""

    @property
    def advice(self) -> Advice:
        """What to tell its author."""
        ...

    def replay(self, part: History, settings: Settings) -> Ledgered:
        """Return what an account comes to that lives through the bars and the choices."""
        ...

    def delayed(self, bars: int) -> "Chosen":
        """Return the same choices, each arriving so many bars later."""
        ...

    def differences(self, other: "Chosen", part: History) -> Sequence[Difference]:
        """Return the first difference of every symbol, over the bars that both have."""
        ...

    def compared(self, other: "Chosen", part: History, start: int) -> Compared:
        """Compare from a bar on, counted in every symbol's own bars."""
        ...

    def turns(self, part: History) -> Sequence[int]:
        """Return the closing times of the bars at which it changed its mind, in order."""
        ...

    def rows(self, part: History) -> Sequence[tuple[int, str, str]]:
        """Return when, for which symbol and what it chose to do, as the live path records it."""
        ...

    def count(self) -> int:
        """Return how many choices there are."""
        ...

    def silence(self, part: History, settings: Settings) -> str:
        """Return, for a run without a trade, what it chose, and what to do about it."""
        ...

    def notes(self, ledgered: Ledgered) -> Sequence[Finding]:
        """Return what its author should know beside the verdict."""
        ...

    def told(self) -> Mapping[str, Any]:
        """Return what the evidence shows of the choices, as plain JSON."""
        ...

    def size_bytes(self) -> int:
        """Return about how much memory it takes."""
        ...
