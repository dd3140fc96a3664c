"""The node's own door: a socket of this machine, served by a thread that waits for nothing else.

One line of JSON is asked, one is answered. Whoever may write in the data directory may ask.
"""

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from strategy_engine.core.errors import EngineError
from strategy_engine.infra import logs
from strategy_engine.risk import deeds
from strategy_engine.risk.hand import Hand

NAME = "node-risk.sock"
PATIENCE_S = 5.0  # with who asks and does not go on
LONGEST_LINE = 1 << 20
ACT, STATUS, REREAD = "act", "status", "reread"
_MODE = 0o600
_BACKLOG = 64

_log = logs.get("risk")


@contextlib.contextmanager
def short_path(data_dir: Path) -> Iterator[str]:
    """Give a path of the socket that fits into an address, however long the directory's is."""
    descriptor = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        by_descriptor = Path(f"/proc/self/fd/{descriptor}")
        folder = by_descriptor if by_descriptor.exists() else data_dir
        yield str(folder / NAME)
    finally:
        os.close(descriptor)


class Door:
    """Answers whoever knocks, until it is closed."""

    def __init__(self, hand: Hand, data_dir: Path) -> None:
        self._hand = hand
        self._asked: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            ACT: self._act,
            STATUS: self._status,
            REREAD: self._reread,
        }
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with short_path(data_dir) as path:
            Path(path).unlink(missing_ok=True)
            before = os.umask(0o777 & ~_MODE)  # never open for others, not for a moment
            try:
                self._socket.bind(path)
            finally:
                os.umask(before)
        self._socket.listen(_BACKLOG)
        self._thread = threading.Thread(target=self._serve, name="risk-door", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more. The next node's door takes the name over."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(PATIENCE_S)

    def _serve(self) -> None:
        while True:
            try:
                asker, _ = self._socket.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._attend, args=(asker,), daemon=True).start()

    def _attend(self, asker: socket.socket) -> None:
        """Answer one who asks; who does not go on keeps nobody else waiting."""
        with asker, contextlib.suppress(OSError):
            asker.settimeout(PATIENCE_S)
            with asker.makefile("rb") as lines:
                raw = lines.readline(LONGEST_LINE)
            asker.sendall(json.dumps(self._answer(raw)).encode() + b"\n")

    def _answer(self, raw: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(raw)
            return self._asked[asked["ask"]](asked)
        except EngineError as error:
            return {"error": str(error), "kind": error.kind}
        except (ValueError, KeyError, TypeError) as error:
            return {"error": f"this asks for nothing that is known: {error!r}", "kind": "invalid"}
        except Exception as error:  # noqa: BLE001 - the thread's edge: who stops must hear of it
            _log.exception("risk_door_failed")
            return {"error": repr(error), "kind": "internal"}

    def _act(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        return {"done": deeds.plain_done(self._hand.act(deeds.parse(asked["deed"])))}

    def _reread(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self._hand.wake()
        return self._status(asked)

    def _status(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        del asked
        return {
            "stops": [deeds.plain(each) for each in self._hand.stops],
            "pending": [each.deed_id for each in self._hand.pending],
            "executions": sorted(self._hand.leashes()),
        }
