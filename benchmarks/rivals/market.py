"""The bars that every way goes through, and what is traded on them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strategy_engine.matching.model import Terms

BARS = 100_000
MINUTE_NS = 60 * 1_000_000_000
CAPITAL = 100_000
NANOS = 10**9
SYMBOL = "EUR/USD"
TERMS = Terms(symbol=SYMBOL, tick_nanos=10_000, lot_nanos=NANOS)
TIE = 1e-9  # two averages of the same prices differ by rounding; of others by 5e-7 and more

type Floats = NDArray[np.float64]
type Instants = list[tuple[int, bool]]  # of each fill: when, and whether it bought


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The bars, as ticks; a bar opens where and when the one before it closed."""

    open_ns: NDArray[np.int64]
    ticks: dict[str, NDArray[np.int64]]

    def prices(self, name: str) -> Floats:
        return np.round(self.ticks[name] * (TERMS.tick_nanos / NANOS), 5)


def walk() -> Market:
    random = np.random.default_rng(20_260_101)
    close = np.rint(110_000 * np.exp(np.cumsum(random.normal(0, 1e-4, BARS)))).astype(np.int64)
    opened = np.concatenate([[110_000], close[:-1]])
    above, below = random.integers(0, 8, (2, BARS))
    return Market(
        open_ns=np.arange(BARS, dtype="<i8") * MINUTE_NS + 1_700_000_000 * NANOS,
        ticks={
            "open": opened,
            "high": np.maximum(opened, close) + above,
            "low": np.minimum(opened, close) - below,
            "close": close,
        },
    )
