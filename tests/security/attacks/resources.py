"""Resources: each takes more than a small limit gives, and far less than would hurt."""

import ctypes
import mmap
import os
import resource
import signal
import sys
import threading
import time

from tools import Scene, call, reached

_MIB = 1 << 20
_TOO_MUCH = 200 * _MIB  # between the small limit, with its slack for mapped files, and the large
_PAGE = mmap.PAGESIZE
_STEP = 4 * _MIB
_GROWSDOWN = 0x100
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]


def _map(size: int, flags: int) -> str:
    flags |= mmap.MAP_ANONYMOUS
    address = _libc.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
    if address is None or address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    for offset in range(0, size, _PAGE):
        ctypes.memset(address + offset, 1, 1)
    return f"{size // _MIB} MiB"


def take_the_heap(_: Scene) -> str:
    held = [bytes(_STEP) + b"x" for _ in range(_TOO_MUCH // _STEP)]
    return f"{sum(map(len, held)) // _MIB} MiB"


def take_by_small_objects(_: Scene) -> str:
    held = [[number] * 8 for number in range(_TOO_MUCH // 150)]
    return f"{len(held)} lists"


def map_private_memory(_: Scene) -> str:
    return _map(_TOO_MUCH, mmap.MAP_PRIVATE)


def map_shared_memory(_: Scene) -> str:
    return _map(_TOO_MUCH, mmap.MAP_SHARED)


def map_a_little_shared_memory(_: Scene) -> str:
    return _map(_MIB, mmap.MAP_SHARED) or "1 MiB"


def map_memory_that_grows_down(_: Scene) -> str:
    return _map(_TOO_MUCH, mmap.MAP_PRIVATE | _GROWSDOWN)


def map_a_little_that_grows_down(_: Scene) -> str:
    return _map(_PAGE, mmap.MAP_PRIVATE | _GROWSDOWN) or "a page"


def map_huge_pages(_: Scene) -> str:
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4_0000
    # there may be none on this machine; that it was looked for is what counts
    return reached("mmap", 0, 2 * _MIB, 3, flags, -1, 0)


def pin_memory(_: Scene) -> str:
    pages = mmap.mmap(-1, _PAGE, mmap.MAP_PRIVATE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    call("mlock", address, _PAGE)
    return "pinned"


def merge_memory(_: Scene) -> str:
    pages = mmap.mmap(-1, _PAGE, mmap.MAP_PRIVATE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    return reached("madvise", address, _PAGE, 9)  # MADV_REMOVE


def grow_the_stack(_: Scene) -> str:
    resource.setrlimit(resource.RLIMIT_STACK, (64 * _MIB, -1))
    return "the stack may grow"


def start_fifty_threads(_: Scene) -> str:
    end = threading.Event()
    threading.stack_size(64 * 1024)
    threads = [threading.Thread(target=end.wait, daemon=True) for _ in range(50)]
    for thread in threads:
        thread.start()
    end.set()
    for thread in threads:
        thread.join()
    return f"{len(threads)} threads"


def fork_twenty_times(_: Scene) -> str:
    pids = []
    for _each in range(20):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        pids.append(pid)
    return f"{sum(os.waitpid(pid, 0)[0] > 0 for pid in pids)} processes"


def open_a_hundred_descriptors(_: Scene) -> str:
    held = [os.dup(0) for _ in range(100)]
    for fd in held:
        os.close(fd)
    return f"{len(held)} descriptors"


def fill_pipes(_: Scene) -> str:
    ends = os.pipe()
    for end in ends:
        os.close(end)
    return "a pipe of 64 KiB of the kernel's memory"


def widen_the_log_pipe(_: Scene) -> str:
    return f"{call('fcntl', 1, 1031, _MIB)} bytes of the kernel's memory"


def burn_cpu(_: Scene) -> str:
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    while time.process_time() < 2.3:
        pass
    return "2.3 s of CPU"


def sleep(_: Scene) -> str:
    time.sleep(0.6)
    return "0.6 s asleep"


def flood_the_log(_: Scene) -> str:
    for _each in range(200):
        sys.stdout.write("x" * 1000 + "\n")
    sys.stdout.flush()
    return "200 kB printed"


def send_too_long_a_frame(_: Scene) -> str:
    return "x" * (2 * _MIB)


def grow_a_file(scene: Scene) -> str:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    fd = os.open(scene.victim, os.O_WRONLY)
    os.ftruncate(fd, 0)
    os.close(fd)
    return "written to"
