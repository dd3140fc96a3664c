"""What came of a contract's own questions, in a form that gates judge alike."""

from dataclasses import dataclass

from strategy_engine.pipeline.chosen import Chosen
from strategy_engine.pipeline.history import History


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Longer:
    """A run with twice the usual history behind its first bar.

    Parameters
    ----------
    part : History
        The bars that it chose on.
    usual : Chosen or None
        The run to compare with, on the same bars; None: the backtest itself.
    start : int
        The first of those bars, counted in each symbol, at which the history is long enough.
    chosen : Chosen or None
        None where the history is too short to tell.
    """

    lookback: int
    part: History
    start: int = 0
    usual: Chosen | None = None
    chosen: Chosen | None = None
