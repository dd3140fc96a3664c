"""What a child of the tests does: its first frame names the act."""

import gc
import json
import os
import sys
import time
from pathlib import Path

from strategy_engine.sandbox.protocol import framing


def main(channel: framing.Channel) -> None:
    name = channel.receive()
    if name is not None:
        globals()[name.decode()](channel)


def echo(channel: framing.Channel) -> None:
    while (body := channel.receive()) is not None:
        channel.send(body)


def raise_error(channel: framing.Channel) -> None:
    raise ValueError("price of ACME\nis negative")


def leave(channel: framing.Channel) -> None:
    sys.exit(3)


def loop_for_ever(channel: framing.Channel) -> None:
    while True:
        pass


def allocate(channel: framing.Channel) -> None:
    channel.send(b"%d" % len(bytearray(10 << 30)))


def hoard(channel: framing.Channel) -> None:
    held = []
    while True:
        held.append(bytearray(1 << 20))


def flood_the_log(channel: framing.Channel) -> None:
    while True:
        sys.stdout.write("x" * 1000 + "\n")


def say(channel: framing.Channel) -> None:
    sys.stdout.write("first line\n")
    sys.stderr.write("second line\n")
    channel.send(b"said")
    channel.receive()


def send_garbage(channel: framing.Channel) -> None:
    channel._sock.sendall(b"this is no frame at all")
    channel.receive()


def send_too_much(channel: framing.Channel) -> None:
    channel.send(bytes(2 << 20))
    channel.receive()


def send_half(channel: framing.Channel) -> None:
    channel._sock.sendall(framing.encode(b"whole") + framing.encode(b"half")[:-1])


def send_many(channel: framing.Channel) -> None:
    for number in range(20_000):
        channel.send(b"%d" % number)


def say_nothing(channel: framing.Channel) -> None:
    while channel.receive() is not None:
        pass


def never_read(channel: framing.Channel) -> None:
    channel.send(b"ready")
    while True:
        time.sleep(60)


def hang_up(channel: framing.Channel) -> None:
    channel._sock.close()
    while True:
        time.sleep(60)


def die_by_segfault(channel: framing.Channel) -> None:
    os.kill(os.getpid(), 11)


def tell(channel: framing.Channel) -> None:
    facts = {
        "environment": dict(os.environ),
        "descriptors": {fd: str(Path(f"/proc/self/fd/{fd}").readlink()) for fd in _descriptors()},
        "argv": sys.argv,
        "path": sys.path,
        "cwd": str(Path.cwd()),
        "session": os.getsid(0) == os.getpid(),
        "scheduler": os.sched_getscheduler(0),
        "nice": os.nice(0),
        "oom_score": Path("/proc/self/oom_score_adj").read_text().strip(),
        "status": Path("/proc/self/status").read_text(),
        "modules": sorted(sys.modules),
        "stdin": sys.stdin.read(),
        "gc": gc.isenabled(),
    }
    channel.send(json.dumps(facts).encode())
    channel.receive()


def _descriptors() -> list[int]:
    found = []
    for fd in range(1024):
        try:
            os.fstat(fd)
        except OSError:
            continue
        found.append(fd)
    return found


def count_descriptors(channel: framing.Channel) -> None:
    channel.send(json.dumps(_descriptors()).encode())
    channel.receive()


def write_a_file(channel: framing.Channel) -> None:
    Path("/tmp/strategy-engine-child").write_text("x")


def open_many(channel: framing.Channel) -> None:
    held = []
    while True:
        held.append(os.dup(0))


def leave_a_grandchild(channel: framing.Channel) -> None:
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
        os._exit(0)
    channel.send(b"%d" % pid)
    channel.receive()


def end_as_if_unconfined(channel: framing.Channel) -> None:
    os._exit(72)


def close_everything(channel: framing.Channel) -> None:
    os.closerange(0, 100)
    raise ValueError("nobody hears this")
