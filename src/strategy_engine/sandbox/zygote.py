"""The zygote: warm imports, one thread, no secrets; forks a child for each request.

Run as `python -P -s -m strategy_engine.sandbox.zygote FD KIND MODULES RUNNER PARENT [PATH ...]`.
The control socket keeps message borders (SOCK_SEQPACKET): one request with two descriptors in,
answers out. When the engine closes it, or dies, the zygote ends and its children with it.
"""

import argparse
import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from typing import cast

from strategy_engine.sandbox import (
    confinement,
    descriptors,
    entry,
    procfs,
    rules,
    share,
    warmth,
    wire,
)
from strategy_engine.sandbox.model import Remains

_KIB = 1024
_FDS_PER_REQUEST = 2


class Zygote:
    """Serves one control socket: forks on request, reaps, reports."""

    def __init__(
        self, control: socket.socket, runner: entry.Runner, walls: confinement.Walls
    ) -> None:
        self._control = control
        self._runner = runner
        self._walls = walls
        self._pids: dict[int, int] = {}  # by pidfd
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def serve(self) -> None:
        """Fork and reap until the engine hangs up."""
        self._answer(wire.Ready(rss_bytes=procfs.rss_bytes(os.getpid())))
        while True:
            for fd, _ in self._poll.poll():
                if fd in self._pids:
                    self._reap(fd)
                elif not self._take_request():
                    return

    def _take_request(self) -> bool:
        body, fds, _, _ = socket.recv_fds(
            self._control, wire.MAX_MESSAGE_BYTES, _FDS_PER_REQUEST, socket.MSG_CMSG_CLOEXEC
        )
        if not body:
            return False
        try:
            self._fork(wire.decode_request(body), fds)
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def _fork(self, request: wire.ForkRequest, fds: list[int]) -> None:
        if why := _why_not_fork(fds):
            self._answer(wire.Refused(request_id=request.request_id, reason=why))
            return
        zygote_pid = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._answer(wire.Refused(request_id=request.request_id, reason=f"fork: {error}"))
            return
        if pid == 0:
            entry.live(
                self._runner,
                fds=(fds[0], fds[1]),
                birth=entry.Birth(
                    limits=request.limits,
                    label=request.label,
                    zygote_pid=zygote_pid,
                    mode=request.confinement,
                    walls=self._walls,
                ),
            )
        self._announce(request.request_id, pid)

    def _announce(self, request_id: int, pid: int) -> None:
        pidfd = os.pidfd_open(pid)  # not reaped yet, so the number is still this child's
        self._pids[pidfd] = pid
        self._poll.register(pidfd, select.POLLIN)
        self._answer(wire.Forked(request_id=request_id, pid=pid), pidfd)

    def _reap(self, pidfd: int) -> None:
        self._poll.unregister(pidfd)
        pid = self._pids.pop(pidfd)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(
                pid, signal.SIGKILL
            )  # what it forked; its number is not free until it is reaped
        _, status, usage = os.wait4(pid, 0)
        os.close(pidfd)
        remains = Remains(
            status=rules.exit_code(status),
            rss_bytes=usage.ru_maxrss * _KIB,
            cpu_s=usage.ru_utime + usage.ru_stime,
        )
        self._answer(wire.Reaped(pid=pid, remains=remains))

    def _answer(self, answer: wire.FromZygote, *fds: int) -> None:
        socket.send_fds(self._control, [wire.encode(answer)], fds)


def _why_not_fork(fds: list[int]) -> str:
    if len(fds) != _FDS_PER_REQUEST:
        return f"{len(fds)} descriptors came with the request; it needs {_FDS_PER_REQUEST}"
    names = procfs.thread_names(os.getpid())
    if len(names) > 1:
        return (
            f"the zygote has {len(names)} threads ({', '.join(names)}); a fork would copy their"
            " locks but not them; import no module that starts one"
        )
    return ""


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="strategy-engine-zygote")
    parser.add_argument("control_fd", type=int)
    parser.add_argument("kind")
    parser.add_argument("modules", type=lambda text: tuple(filter(None, text.split(","))))
    parser.add_argument("runner", help="module:function")
    parser.add_argument("parent_pid", type=int)
    parser.add_argument("paths", nargs="*")
    return parser.parse_args(argv)


def _find_runner(name: str) -> entry.Runner:
    module, _, function = name.partition(":")
    return cast("entry.Runner", getattr(importlib.import_module(module), function))


def main(argv: Sequence[str]) -> None:
    """Warm up, then serve until the engine hangs up."""
    arguments = _parse(argv)
    confinement.die_with(arguments.parent_pid)
    confinement.name_process(f"zygote-{arguments.kind}")
    sys.path.extend(arguments.paths)
    gc.disable()  # garbage collected while warming up leaves holes between what stays
    warmth.warm(arguments.modules)
    runner = _find_runner(arguments.runner)
    sys.dont_write_bytecode = True  # from here on it forks what is not ours
    walls = confinement.prepare()
    share.keep_shared()
    descriptors.raise_soft_limit()  # one pidfd a child
    Zygote(socket.socket(fileno=arguments.control_fd), runner, walls).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
    os._exit(0)  # nothing is left to tidy: its children die with it
