"""One life of a zygote process as the engine holds it, from exec to death."""

import asyncio
import contextlib
import itertools
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, assert_never

from strategy_engine.core.errors import UnavailableError
from strategy_engine.sandbox import rules, spawn, wire
from strategy_engine.sandbox.child import Child, Handles
from strategy_engine.sandbox.log import Log
from strategy_engine.sandbox.model import ChildLimits

_WARM_UP_S = 60.0
_FORK_S = 10.0
_STOP_S = 2.0
_LOG_BYTES = 1 << 20
_UNWANTED = "who asked for it did not wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """A fork that was asked for; it owns the engine's ends until there is a child."""

    label: str
    limits: ChildLimits
    sock: socket.socket
    log_fd: int
    child: asyncio.Future[Child]

    def refuse(self, why: str) -> None:
        """Tell who waits that the zygote lives, and gives no child."""
        self.fail(UnavailableError(f"no child for {self.label}: {why}"))

    def fail(self, error: UnavailableError) -> None:
        """Close what it owns and tell who waits."""
        self.sock.close()
        os.close(self.log_fd)
        if not self.child.done():
            self.child.set_exception(error)


class ZygoteDiedError(UnavailableError):
    """The zygote died before it could answer; another may do better."""


class Life:
    """Asks one zygote process for children, and hears of their ends and of its own."""

    def __init__(self, recipe: spawn.Recipe, on_death: Callable[[], None]) -> None:
        self._kind = recipe.kind
        self._confinement = recipe.confinement
        self._on_death = on_death
        self._loop = asyncio.get_running_loop()
        self._requests: dict[int, _Request] = {}
        self._children: dict[int, Child] = {}
        self._ids = itertools.count(1)
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._death: asyncio.Future[None] = self._loop.create_future()
        self._spawned = spawn.spawn(recipe)
        self._log = Log(self._spawned.stderr_fd)
        self._loop.add_reader(self._spawned.control.fileno(), self._on_control)
        self._loop.add_reader(self._spawned.pidfd, self._on_exit)
        self._loop.add_reader(self._log.fd, self._on_log)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._spawned.process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it lives, as far as the engine has heard."""
        return not self._death.done()

    async def warm(self) -> None:
        """Wait until it is warm; it is killed when it is not in time, or when this is cancelled.

        Raises
        ------
        UnavailableError
            If it died first; the message holds the last line that it printed.
        """
        await self._within(_WARM_UP_S, self._ready, "to warm up")

    async def fork(self, limits: ChildLimits, label: str) -> Child:
        """Return a new child, which has not reported yet.

        Raises
        ------
        ZygoteDiedError
            If it dies first.
        UnavailableError
            If it refuses, or does not answer.
        """
        request = self._ask(limits, label)
        try:
            return await self._within(_FORK_S, request.child, "to fork")
        except asyncio.CancelledError:
            if request.child.done() and not request.child.cancelled():
                request.child.result().kill(_UNWANTED)  # it came in the instant of the cancelling
            raise

    async def stop(self) -> None:
        """End it and every child of it, and wait until all are gone."""
        try:
            await self._end_children("the engine is stopping")
            self._hang_up()
            async with asyncio.timeout(_STOP_S):
                await self.gone()
        except TimeoutError:
            self.kill()
            await self.gone()
        finally:
            self.kill()
        await self._end_children("its zygote has stopped")

    async def gone(self) -> None:
        """Wait for its death."""
        await asyncio.shield(self._death)

    def kill(self) -> None:
        """Kill it now; its children die with it."""
        if self.is_alive:
            signal.pidfd_send_signal(self._spawned.pidfd, signal.SIGKILL)

    async def _within[T](self, limit_s: float, answer: asyncio.Future[T], what: str) -> T:
        try:
            async with asyncio.timeout(limit_s):
                return await answer
        except TimeoutError:
            self.kill()
            raise UnavailableError(
                f"the {self._kind} zygote took more than {limit_s:g} s {what}; it was killed and"
                " starts again with the next child"
            ) from None

    def _ask(self, limits: ChildLimits, label: str) -> _Request:
        try:
            request, ends = _make_ends(limits, label, self._loop.create_future())
        except OSError as error:
            raise UnavailableError(f"no child for {label}: {error}; too many are alive") from error
        request_id = next(self._ids)
        self._requests[request_id] = request
        wanted = wire.ForkRequest(
            request_id=request_id, label=label, limits=limits, confinement=self._confinement
        )
        try:
            socket.send_fds(
                self._spawned.control, [wire.encode(wanted)], [end.fileno() for end in ends]
            )
        except OSError as error:
            del self._requests[request_id]
            self.kill()
            request.fail(ZygoteDiedError(f"the {self._kind} zygote does not hear: {error}"))
        finally:
            for end in ends:
                end.close()
        return request

    async def _end_children(self, why: str) -> None:
        children = tuple(self._children.values())
        for child in children:
            child.kill(why)
        for child in children:
            await child.exit

    def _hang_up(self) -> None:
        if not self._ready.done():
            self.kill()  # it does not listen yet
        elif self.is_alive:
            with contextlib.suppress(OSError):
                self._spawned.control.shutdown(socket.SHUT_RDWR)  # a zygote takes it as its end

    # -- called by the event loop

    def _on_control(self) -> None:
        try:
            is_open = self._take_message()
        except BlockingIOError:
            return
        if not is_open:
            self._loop.remove_reader(self._spawned.control.fileno())

    def _take_message(self) -> bool:
        try:
            body, fds, _, _ = socket.recv_fds(
                self._spawned.control, wire.MAX_MESSAGE_BYTES, 1, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionError:
            return False
        if body:
            self._take(wire.decode_answer(body), fds)
        return bool(body)

    def _take(self, message: wire.FromZygote, fds: list[int]) -> None:
        match message:
            case wire.Ready():
                if not self._ready.done():
                    self._ready.set_result(None)
            case wire.Forked(request_id=request_id, pid=pid):
                self._adopt(self._requests.pop(request_id), pid, fds)
            case wire.Refused(request_id=request_id, reason=reason):
                self._requests.pop(request_id).refuse(reason)
            case wire.Reaped(pid=pid, remains=remains):
                if child := self._children.pop(pid, None):
                    self._loop.call_soon(child.on_reaped, remains)
            case _ as never:
                assert_never(never)

    def _adopt(self, request: _Request, pid: int, fds: list[int]) -> None:
        if not fds:  # no descriptor left for it: its socket closes, and it ends without any code
            request.refuse("the engine has no descriptor left")
            return
        handles = Handles(pid=pid, pidfd=fds[0], sock=request.sock, log_fd=request.log_fd)
        child = Child(handles, label=request.label, limits=request.limits)
        self._children[pid] = child
        if request.child.done():
            child.kill(_UNWANTED)
        else:
            request.child.set_result(child)

    def _on_log(self) -> None:
        if not self._log.read():
            self._loop.remove_reader(self._log.fd)

    def _on_exit(self) -> None:
        control_fd = self._spawned.control.fileno()
        self._take_last_messages()
        status = self._spawned.process.wait()  # at once: its pidfd says that it is dead
        self._log.drain(_LOG_BYTES)
        for fd in (control_fd, self._spawned.pidfd, self._log.fd):
            self._loop.remove_reader(fd)
        self._spawned.control.close()
        os.close(self._spawned.pidfd)
        os.close(self._log.fd)
        self._death.set_result(None)
        self._tell_all(rules.explain_zygote(self._kind, status, self._log.tail))
        self._on_death()

    def _take_last_messages(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._take_message():
                pass

    def _tell_all(self, why: str) -> None:
        if not self._ready.done():
            self._ready.set_exception(ZygoteDiedError(why))
        for request in self._requests.values():
            request.fail(ZygoteDiedError(why))
        self._requests.clear()
        for child in self._children.values():
            self._loop.call_soon(child.on_zygote_death, self._kind)


def _make_ends(
    limits: ChildLimits, label: str, child: asyncio.Future[Child]
) -> tuple[_Request, tuple[socket.socket, IO[bytes]]]:
    ours, theirs = socket.socketpair()
    try:
        log_fd, log_end = os.pipe()
    except OSError:
        ours.close()
        theirs.close()
        raise
    request = _Request(label=label, limits=limits, sock=ours, log_fd=log_fd, child=child)
    return request, (theirs, os.fdopen(log_end, "wb", buffering=0))
