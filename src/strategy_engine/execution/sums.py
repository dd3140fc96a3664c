"""The running sums of an execution's metrics, as its checkpoint keeps them now and then."""

from typing import Any

import msgspec

VERSION = 1  # of what follows; sums of another one are not gone on from, but made anew


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the metrics of the bars so far are made of.

    Parameters
    ----------
    bar_no : int
        The bar that they were kept with; it is not in them.
    measured_ns : int
        The last instant in it; equity from it on is to be added.
    given : tuple of int
        When it was measured last, and what was given by then and before, in nanos.
    live : dict
        What `LiveMetrics.dump` gave.
    """

    bar_no: int
    measured_ns: int
    given: tuple[int, int, int]
    live: dict[str, Any]
    version: int = VERSION

    def encoded(self) -> bytes:
        """Return the sums as a checkpoint has them."""
        return msgspec.msgpack.encode(self)


def decoded(kept: bytes | None) -> Sums | None:
    """Return the sums that a checkpoint has; None if it has none that can be gone on from."""
    if kept is None:
        return None
    try:
        found = msgspec.msgpack.decode(kept, type=Sums)
    except msgspec.DecodeError:
        return None  # written by another version of the engine: the equity has it all
    return found if found.version == VERSION else None
