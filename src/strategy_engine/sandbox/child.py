"""A living child as the engine holds it: frames in and out, its log, its limits, its end.

Everything here happens in callbacks of one event loop: no thread, no task of its own.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgspec

from strategy_engine.core.errors import TooLargeError
from strategy_engine.sandbox import procfs, rules
from strategy_engine.sandbox.inbox import Inbox
from strategy_engine.sandbox.log import Log
from strategy_engine.sandbox.model import (
    ChildDiedError,
    ChildExit,
    ChildLimits,
    ConfinementReport,
    ExitKind,
    Kill,
    Remains,
)
from strategy_engine.sandbox.outbox import Outbox
from strategy_engine.sandbox.protocol import framing

type OnFrame = Callable[[bytes], None]

_CHUNK_BYTES = 1 << 18
_LAST_CHUNKS = 64  # more than a socket holds of a dead child's words
_HANG_UP_GRACE_S = 0.5
_REAP_GRACE_S = 2.0
_decode_report = msgspec.msgpack.Decoder(ConfinementReport).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Handles:
    """What the engine holds of a child; the child object owns and closes them."""

    pid: int
    pidfd: int
    sock: socket.socket
    log_fd: int


class Child:
    """One forked child. It is dead when `exit` is done, and everything of it is closed then."""

    def __init__(self, handles: Handles, *, label: str, limits: ChildLimits) -> None:
        self.pid = handles.pid
        self.label = label
        self.limits = limits
        self._pidfd = handles.pidfd
        self._sock = handles.sock
        self._log = Log(handles.log_fd)
        self._outbox = Outbox(self._sock)
        self._reader = framing.FrameReader(limits.frame_bytes)
        self._inbox = Inbox(limits.frame_bytes)
        self._on_frame: OnFrame | None = None
        self._report: ConfinementReport | None = None
        self._killed: Kill | None = None
        self._remains: Remains | None = None
        self._is_orphan = False
        self._is_closing = False
        self._is_paused = False
        self._is_dead = False
        self._is_writing = False
        self._loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[ChildExit] = self._loop.create_future()
        self._timers: list[asyncio.TimerHandle] = []
        self._watch()

    @property
    def report(self) -> ConfinementReport:
        """Which layers of its wall stand, in its own word before any of its code ran."""
        if self._report is None:
            raise RuntimeError(f"{self.label} has not reported yet; a forked child always has")
        return self._report

    @property
    def exit(self) -> asyncio.Future[ChildExit]:
        """How it ended, when it does. Each access is a future of its own: cancelling it is safe."""
        return asyncio.shield(self._exit)

    @property
    def is_alive(self) -> bool:
        """Whether it lives, as far as the engine has heard."""
        return not self._exit.done()

    @property
    def log_tail(self) -> str:
        """The last 4 KiB that it printed."""
        return self._log.tail.decode("utf-8", errors="replace")

    @property
    def on_frame(self) -> OnFrame | None:
        """Who is called with each frame; None: frames wait for `receive`."""
        return self._on_frame

    @on_frame.setter
    def on_frame(self, callback: OnFrame | None) -> None:
        self._on_frame = callback
        while callback is not None and self._inbox:
            callback(self._pop())

    def send(self, body: bytes) -> None:
        """Send a frame, or keep it until the child reads. What a dead child is sent is dropped.

        Raises
        ------
        TooLargeError
            If the frame alone is more than may wait for a child.
        """
        most = self.limits.send_buffer_bytes
        if len(body) > most:
            raise TooLargeError(
                f"a frame of {len(body)} bytes for {self.label}; at most {most} may wait for it;"
                " send it in parts",
                value=len(body),
                limit=most,
            )
        if self._killed is not None or not self.is_alive or self._is_closing:
            return
        self._outbox.put(framing.encode(body))
        self._flush()
        if self._outbox.waiting_bytes > most:
            self._die(rules.slow_reader(most))

    async def receive(self, timeout_s: float | None) -> bytes:
        """Return the next frame. A child that says nothing for `timeout_s` is killed.

        Raises
        ------
        ChildDiedError
            If it is dead, dies meanwhile, or was killed for its silence.
        """
        await self._until(lambda: len(self._inbox) > 0, timeout_s)
        return self._pop()

    async def request(self, body: bytes, timeout_s: float | None) -> bytes:
        """Send a frame and return the next one that comes back.

        A request that is cancelled kills the child: its answer would be taken for the next one's.

        Raises
        ------
        ChildDiedError
            If it is dead, dies meanwhile, or was killed for its silence.
        """
        self.send(body)
        try:
            return await self.receive(timeout_s)
        except asyncio.CancelledError:
            self.kill("a request to it was given up halfway")
            raise

    def kill(self, why: str) -> None:
        """Kill it now; `exit` tells when it is gone."""
        self._die(Kill(kind=ExitKind.KILLED, reason=why))

    def refuse_frame(self, why: str) -> None:
        """Kill it for a frame that makes no sense to who read it."""
        self._die(rules.bad_frame(why))

    async def close(self, grace_s: float = 1.0) -> ChildExit:
        """End it: no more frames to it, time to return, then SIGKILL. Returns how it ended."""
        self._is_closing = True
        self._flush()
        self._resume()
        try:
            async with asyncio.timeout(grace_s):
                return await self.exit
        except TimeoutError:
            self._die(rules.overstayed(grace_s))
        except asyncio.CancelledError:
            self.kill("closing it was cancelled")
            raise
        return await self.exit

    def rss_bytes(self) -> int:
        """Return the memory it has in RAM now, shared pages included; its peak when it is dead."""
        return procfs.rss_bytes(self.pid) if self.is_alive else self._exit.result().rss_bytes

    def cpu_s(self) -> float:
        """Return the CPU seconds that it has used."""
        return procfs.cpu_s(self.pid) if self.is_alive else self._exit.result().cpu_s

    async def born(self, timeout_s: float) -> None:
        """Wait for its report, which is its first frame.

        Raises
        ------
        ChildDiedError
            If it died before it reported.
        """
        await self._until(lambda: self._report is not None, timeout_s)

    def on_reaped(self, remains: Remains) -> None:
        """Take the zygote's word on how it ended."""
        self._remains = remains
        self._settle()

    def on_zygote_death(self, kind: str) -> None:
        """Die with its zygote, and do not wait for its word."""
        self._is_orphan = True
        self._die(rules.zygote_died(kind))
        if self._is_dead:
            self._settle()

    async def _until(self, is_so: Callable[[], bool], timeout_s: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not is_so() and self.is_alive:
                    await self._inbox.wait()
        except TimeoutError:
            if not is_so() and timeout_s is not None:
                self._die(rules.silent(timeout_s))
                await self.exit
        if not is_so():
            raise ChildDiedError(self._exit.result())

    def _watch(self) -> None:
        self._sock.settimeout(0)
        self._loop.add_reader(self._sock.fileno(), self._on_readable)
        self._loop.add_reader(self._log.fd, self._on_log)
        self._loop.add_reader(self._pidfd, self._on_death)
        if self.limits.wall_s is not None:
            kill = rules.wall_limit(self.limits.wall_s)
            self._after(self.limits.wall_s, partial(self._die, kill))

    def _after(self, delay_s: float, step: Callable[[], None]) -> None:
        self._timers.append(self._loop.call_later(delay_s, step))

    def _on_readable(self) -> None:
        data = self._recv()
        if data:
            self._take(data)
        elif data is not None:
            self._loop.remove_reader(self._sock.fileno())
            self._after(_HANG_UP_GRACE_S, partial(self._die, rules.hung_up(_HANG_UP_GRACE_S)))

    def _recv(self) -> bytes | None:
        try:
            return self._sock.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return None
        except ConnectionError:  # it died with frames of ours unread
            return b""

    def _take(self, data: bytes) -> None:
        try:
            frames = self._reader.feed(data)
        except framing.OversizedFrameError as error:
            self._die(rules.oversized_frame(str(error)))
        except framing.FrameError as error:
            self._die(rules.bad_frame(str(error)))
        else:
            for frame in frames:
                self._deliver(frame)

    def _deliver(self, frame: bytes) -> None:
        if self._killed is not None:
            return
        if self._report is None:
            self._take_report(frame)
        elif self._on_frame is not None:
            self._hand_over(frame, self._on_frame)
        elif not (self._is_closing and self._inbox.is_full):
            self._inbox.put(frame)
            self._pause_if_full()

    def _hand_over(self, frame: bytes, callback: OnFrame) -> None:
        try:
            callback(frame)
        except BaseException:
            self.kill("the engine itself failed on a frame of it")  # what it meant is lost
            raise

    def _take_report(self, frame: bytes) -> None:
        try:
            self._report = _decode_report(frame)
        except msgspec.DecodeError as error:
            self._die(rules.bad_frame(f"its first is no report: {error}"))
        self._inbox.wake_all()

    def _on_log(self) -> None:
        is_open = self._log.read(self._loop.time())
        if self._log.recent_bytes > self.limits.log_bytes:
            self._die(rules.log_flood(self.limits.log_bytes))
        if not is_open:
            self._loop.remove_reader(self._log.fd)

    def _on_death(self) -> None:
        self._is_dead = True
        self._loop.remove_reader(self._pidfd)
        if self._is_orphan:
            self._settle()
        else:  # the zygote tells how it ended; not for ever is it waited for
            self._after(_REAP_GRACE_S, self._settle)

    def _flush(self) -> None:
        if self._killed is not None or not self.is_alive:
            return
        try:
            self._outbox.flush()
            if self._is_closing and not self._outbox.waiting_bytes:
                self._sock.shutdown(socket.SHUT_WR)
        except OSError:  # it hung up; whether it lives, its pidfd and a timer find out
            self._outbox.clear()
        self._watch_writable(is_wanted=self._outbox.waiting_bytes > 0)

    def _watch_writable(self, *, is_wanted: bool) -> None:
        if is_wanted and not self._is_writing:
            self._loop.add_writer(self._sock.fileno(), self._flush)
        elif self._is_writing and not is_wanted:
            self._loop.remove_writer(self._sock.fileno())
        self._is_writing = is_wanted

    def _pause_if_full(self) -> None:
        if self._inbox.is_full and not self._is_closing and self.is_alive:
            self._loop.remove_reader(self._sock.fileno())
            self._is_paused = True

    def _resume(self) -> None:
        if self._is_paused and self._killed is None and self.is_alive:
            self._is_paused = False
            self._loop.add_reader(self._sock.fileno(), self._on_readable)

    def _pop(self) -> bytes:
        frame = self._inbox.pop()
        if not self._inbox.is_full:
            self._resume()
        return frame

    def _die(self, kill: Kill) -> None:
        if self._killed is not None or not self.is_alive:
            return
        self._killed = kill
        self._unwatch_socket()
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        self._after(_REAP_GRACE_S, self._settle)

    def _unwatch_socket(self) -> None:
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())

    def _settle(self) -> None:
        if not self.is_alive:
            return
        try:
            self._read_last_words()
        finally:  # `on_frame` is another's code: whatever it does, this ends
            told = rules.tell_exit(
                self.label,
                self._remains or Remains(status=procfs.reap_orphan(self._pidfd)),
                limits=self.limits,
                killed=self._killed,
                log_tail=self._log.tail,
                has_run=self._report is not None,
            )
            self._exit.set_result(told)
            self._let_go()
            self._inbox.wake_all()

    def _read_last_words(self) -> None:
        for _ in range(_LAST_CHUNKS):
            if self._killed is not None or not (data := self._recv()):
                break
            self._take(data)
        self._log.drain(self.limits.log_bytes + 1)
        if self._killed is None:
            self._killed = self._late_fault()

    def _late_fault(self) -> Kill | None:
        if self._log.recent_bytes > self.limits.log_bytes:
            return rules.log_flood(self.limits.log_bytes)
        if self._reader.pending_bytes:
            return rules.bad_frame(f"it ended {self._reader.pending_bytes} bytes into a frame")
        return None

    def _let_go(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._unwatch_socket()
        for fd in (self._log.fd, self._pidfd):
            self._loop.remove_reader(fd)
            os.close(fd)
        self._sock.close()
