"""The hand of risk: what it does, it does at once, in memory, whatever else is away."""

from strategy_engine.risk.model import Deed, Done


class Hand:
    """Does deeds to the executions of this node. Any thread may ask."""

    def act(self, deed: Deed) -> Done:
        """Do a deed, once for its id, and say what came of it."""
        raise NotImplementedError
