"""`demo`: the whole way of a strategy, from source code to live trades, in one command."""


def demo() -> None:
    """Demo."""
