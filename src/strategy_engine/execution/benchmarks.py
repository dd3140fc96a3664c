"""What an execution is compared with: what it trades, an instrument of the catalogue, or cash."""

from dataclasses import dataclass

import numpy as np

from strategy_engine.core.errors import InvalidError, NotFoundError
from strategy_engine.execution import rules
from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.market.model import Bars
from strategy_engine.market.service import Catalogue

TRADED, CASH = "traded", "cash"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Benchmark:
    """An index that starts at 1 with the first live bar; without bars it is cash, and stays there.

    Parameters
    ----------
    bars : Bars or None
    first_close_ns : int
        When the execution's first bar closes: the bar that closes then or next is the first.
    """

    bars: Bars | None
    first_close_ns: int = 0

    def index_at(self, close_ns: int) -> float:
        """Return what 1 has become by the last bar that had closed; 1 before the first."""
        if self.bars is None:
            return 1.0
        closes = self.bars.close_ns
        first = int(np.searchsorted(closes, self.first_close_ns))
        known = int(np.searchsorted(closes, close_ns, side="right"))
        if known <= first:
            return 1.0
        return float(self.bars.close[known - 1] / self.bars.open[first])


def load(catalogue: Catalogue, config: ExecutionConfig, first_close_ns: int) -> Benchmark | None:
    """Return what a config names; None: what is traded. Blocks on files."""
    match config.benchmark:
        case None | "traded":
            return None
        case "cash":
            return Benchmark(bars=None)
        case symbol:
            return Benchmark(bars=bars_of(catalogue, symbol), first_close_ns=first_close_ns)


def bars_of(catalogue: Catalogue, symbol: str) -> Bars:
    """Return an instrument's bars to compare with; blocks on files.

    Raises
    ------
    InvalidError
        If there is no such instrument.
    """
    try:
        return catalogue.bars(symbol)
    except (NotFoundError, InvalidError) as error:
        raise InvalidError(
            f"benchmark: {error}; it is {TRADED} (buy and hold of what is traded), {CASH}, or the"
            " symbol of an instrument",
            field="benchmark",
            value=symbol,
            accepted=f"{TRADED}, {CASH}, or a symbol",
        ) from error


def check(config: ExecutionConfig, catalogue: Catalogue) -> None:
    """Refuse a benchmark that there is not, or none of by the time it is asked; blocks on files.

    Raises
    ------
    InvalidError
        With what is accepted.
    """
    name = config.benchmark
    if name in {None, TRADED, CASH}:
        return
    if config.feed == rules.BUS:
        raise InvalidError(
            f"benchmark is {name!r}, and the feed is the bus, which tells only of what is traded;"
            f" compare with {TRADED} or {CASH}, and with an instrument when it is read",
            field="benchmark",
            value=name,
            accepted=f"{TRADED}, {CASH}",
        )
    bars_of(catalogue, str(name))
