"""How the node of this machine is asked, by a person or by control, whatever else is away."""

import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strategy_engine.core.errors import InvalidError, UnavailableError
from strategy_engine.risk import deeds, door, past
from strategy_engine.risk.logbook import NAME, Logbook
from strategy_engine.risk.model import Deed, Done

ANSWER_S = 3.0
REPLACED_S = 2.0  # a node that was killed is there again by then
_KNOCK_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How far a deed got. `done` is None where no node answers: it is in the journal of one."""

    done: Done | None
    note: str


def stop(data_dir: Path, deed: Deed, *, patience_s: float | None = None) -> Reached:
    """Have a deed done by the node; without one, let the next one find it before it plays anything.

    Raises
    ------
    InvalidError
        If it makes no sense.
    UnavailableError
        If no node answers, and its journal cannot be written either.
    """
    deeds.check(deed)
    done = _asked(data_dir, deed, REPLACED_S if patience_s is None else patience_s)
    if done is None:
        _leave(data_dir, deed)
        done = _asked(data_dir, deed, 0.0)  # one may have begun meanwhile, and read the journal
    if done is not None:
        return Reached(done=done, note="the node has done it")
    return Reached(
        done=None,
        note="no node runs here; the stop lies in its journal, and holds before it plays anything",
    )


def status(data_dir: Path) -> dict[str, Any]:
    """Return what the node says of its stops.

    Raises
    ------
    UnavailableError
        If it does not answer.
    """
    return _ask(data_dir, {"ask": door.STATUS})


def reread(data_dir: Path) -> dict[str, Any]:
    """Have the node look for rows that are new, and return what it says of its stops.

    Raises
    ------
    UnavailableError
        If it does not answer.
    """
    return _ask(data_dir, {"ask": door.REREAD})


def _asked(data_dir: Path, deed: Deed, patience_s: float) -> Done | None:
    deadline_s = time.monotonic() + patience_s
    while True:
        try:
            answer = _ask(data_dir, {"ask": door.ACT, "deed": deeds.plain(deed)})
            return deeds.parse_done(answer["done"])
        except UnavailableError:
            if time.monotonic() >= deadline_s:
                return None
        time.sleep(_KNOCK_S)


def _ask(data_dir: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    try:
        answer = _exchange(data_dir, json.dumps(asked).encode() + b"\n")
        found: dict[str, Any] = json.loads(answer)
    except (OSError, ValueError) as error:
        raise UnavailableError(f"the node does not answer on its socket ({error})") from error
    if found.get("kind") == InvalidError.kind:
        raise InvalidError(found["error"])
    if "error" in found:
        raise UnavailableError(f"the node could not do it: {found['error']}")
    return found


def _exchange(data_dir: Path, line: bytes) -> bytes:
    with (
        door.short_path(data_dir) as path,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asker,
    ):
        asker.settimeout(ANSWER_S)
        asker.connect(path)
        asker.sendall(line)
        with asker.makefile("rb") as lines:
            return lines.readline()


def _leave(data_dir: Path, deed: Deed) -> None:
    book = Logbook(data_dir / NAME)
    try:
        if deed.deed_id not in book.read().deeds:
            book.append(past.deed_line(deed))
    except OSError as error:
        raise UnavailableError(
            f"no node answers, and its journal in {data_dir} cannot be written ({error}); end the"
            " engine's processes to stop its orders"
        ) from error
