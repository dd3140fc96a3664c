"""What an emergency stop has shut: the gate asks before every order."""

import threading

from strategy_engine.venue.limits import Scope

_WHOLE = ""  # the subject of the engine


class KillState:
    """The stopped scopes of this node. Any thread may stop and release; reading needs no lock.

    What is stopped is one dictionary that is replaced and never changed, so whoever reads it sees
    all of a stop or nothing of it.
    """

    def __init__(self) -> None:
        self._stopped: dict[tuple[Scope, str], str] = {}
        self._lock = threading.Lock()

    def stop(self, scope: Scope, subject: str, why: str) -> None:
        """Let no order of a scope through from now on. The subject of `ENGINE` counts for all."""
        key = scope, _WHOLE if scope is Scope.ENGINE else subject
        with self._lock:
            self._stopped = {**self._stopped, key: why}

    def release(self, scope: Scope, subject: str) -> None:
        """Let the orders of a scope through again, unless a wider one is stopped."""
        key = scope, _WHOLE if scope is Scope.ENGINE else subject
        with self._lock:
            self._stopped = {each: why for each, why in self._stopped.items() if each != key}

    def find(self, execution_id: str, line: str, account: str) -> str | None:
        """Return why an execution is stopped, by the widest scope that is; None if it is not."""
        stopped = self._stopped
        if not stopped:
            return None
        for key in (
            (Scope.ENGINE, _WHOLE),
            (Scope.ACCOUNT, account),
            (Scope.LINE, line),
            (Scope.EXECUTION, execution_id),
        ):
            if key in stopped:
                return stopped[key]
        return None
