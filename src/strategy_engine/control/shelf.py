"""What was read of long ledgers, kept in files: a control that starts need not read it all again.

The ledger is the truth; a file that is missing, torn, or not of this ledger is read anew from it.
"""

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from strategy_engine.infra import logs
from strategy_engine.venue import curves
from strategy_engine.venue.curves import Curve, Trips

_FEWEST_HOURS = 2
FEWEST_ENTRIES = 5_000  # of a ledger that are not kept: so many are soon read again

_CURVE = ("close_ns", "equity", "contributed", "benchmark")
_log = logs.get("control")

type Head = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelved:
    """An execution's ledger by the hour, up to a head: how many entries and fills it had."""

    head: Head
    curve: Curve
    trips: Trips


class Shelf:
    """A folder with a file for each execution that has a long ledger."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, execution_id: str, head: Head) -> Shelved | None:
        """Return what is kept of an execution, unless its ledger is not as long."""
        try:
            with (
                self._path(execution_id).open("rb") as file,
                np.load(file, allow_pickle=False) as kept,
            ):
                found = _shelved({name: kept[name] for name in kept.files})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            _log.warning("kept curve not read", execution_id=execution_id, why=repr(error))
            return None
        is_longer = any(then > now for then, now in zip(found.head, head, strict=True))
        return None if is_longer or found.curve.close_ns.size < _FEWEST_HOURS else found

    def keep(self, execution_id: str, shelved: Shelved) -> None:
        """Put an execution's ledger in the place of what was kept of it, all at once."""
        path = self._path(execution_id)
        part = path.with_suffix(".part")
        try:
            self._folder.mkdir(exist_ok=True)
            with part.open("wb") as file:
                np.savez(file, allow_pickle=False, **_arrays(shelved))
            part.replace(path)
        except OSError as error:
            _log.warning("curve not kept", execution_id=execution_id, why=repr(error))

    def _path(self, execution_id: str) -> Path:
        return self._folder / f"{execution_id}.npz"


def is_worth_keeping(head: Head, kept: Head) -> bool:
    """Say whether so much of a ledger is not kept that it would be long to read again."""
    return head[0] - kept[0] >= FEWEST_ENTRIES


def without_last_hour(curve: Curve) -> Curve:
    """Return a curve up to the last hour but one: that is complete, and can be compared."""
    return replace(curve, **{name: getattr(curve, name)[:-1] for name in _CURVE})


def is_of_same(kept: Curve, later: Curve | None) -> bool:
    """Say whether a ledger has at the kept curve's end what that has; `later` begins in its hour.

    A ledger that was restored from a copy of an earlier day may have gone on otherwise.
    """
    if later is None or not later.close_ns.size or later.opening != kept.opening:
        return False
    last, first = curves.hours(kept.close_ns[-1:]), curves.hours(later.close_ns[:1])
    has_same = [getattr(kept, name)[-1] == getattr(later, name)[0] for name in _CURVE]
    return bool(last[0] == first[0] and all(has_same))


def _arrays(shelved: Shelved) -> dict[str, np.ndarray]:
    curve, trips = shelved.curve, shelved.trips
    return {
        "head": np.array(shelved.head, np.int64),
        "opening": np.array(curve.opening),
        **{name: getattr(curve, name) for name in _CURVE},
        **{f"trip_{name}": getattr(trips, name) for name in Trips.__slots__},
    }


def _shelved(kept: dict[str, np.ndarray]) -> Shelved:
    entries, fills = kept["head"].tolist()
    return Shelved(
        head=(entries, fills),
        curve=Curve(opening=float(kept["opening"]), **{name: kept[name] for name in _CURVE}),
        trips=Trips(**{name: kept[f"trip_{name}"] for name in Trips.__slots__}),
    )
