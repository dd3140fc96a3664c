"""Execution: start a program, a process or a thread; run machine code; call by a foreign ABI."""

import _thread
import ctypes
import mmap
import multiprocessing
import os
import signal
import struct
import subprocess
import sys

from tools import AT_FDCWD, Scene, call, reached

_PROT_RWX = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
_PAGE = mmap.PAGESIZE
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

_RETURN_42 = {"x86_64": b"\xb8\x2a\0\0\0\xc3", "aarch64": b"\x40\x05\x80\x52\xc0\x03\x5f\xd6"}
_GETPID_BY_INT_80 = b"\xb8\x14\0\0\0\xcd\x80\xc3"  # mov eax, 20 (i386's getpid); int 0x80; ret
_X32_BIT = 0x4000_0000


def _code(machine_code: bytes, *, at_once: bool) -> int:
    """Return the address of runnable code: writable and runnable, or first one, then the other."""
    wanted = _PROT_RWX if at_once else mmap.PROT_READ | mmap.PROT_WRITE
    address = _libc.mmap(None, _PAGE, wanted, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if address is None or address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")
    ctypes.memmove(address, machine_code, len(machine_code))
    runnable = mmap.PROT_READ | mmap.PROT_EXEC
    if not at_once and _libc.mprotect(address, _PAGE, runnable) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    return int(address)


def _run(address: int) -> int:
    return int(ctypes.CFUNCTYPE(ctypes.c_int)(address)())


# Made by the zygote, before any wall: a child that is given its machine code ready-made.
FOREIGN_CODE = _code(_GETPID_BY_INT_80, at_once=False) if os.uname().machine == "x86_64" else 0


def run_by_the_shell(_: Scene) -> str:
    code = os.system("true")  # noqa: S605  (an attack)
    return "ran" if code == 0 else ""


def run_a_program(_: Scene) -> str:
    return str(subprocess.run(["/bin/true"], check=True))


def run_python_again(_: Scene) -> str:
    return str(subprocess.run([sys.executable, "-c", "pass"], check=True))


def run_through_a_pipe(_: Scene) -> str:
    with os.popen("echo 1") as pipe:  # noqa: S605  (an attack)
        return pipe.read()


def run_by_a_class_that_is_found(_: Scene) -> str:
    popen = next(each for each in object.__subclasses__() if each.__name__ == "Popen")
    return str(popen(["/bin/true"]).wait())


def spawn_a_program(_: Scene) -> str:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    return "spawned" if os.waitpid(pid, 0)[1] == 0 else ""


def replace_itself(_: Scene) -> str:
    return reached("execve", "/nowhere", None, None)


def replace_itself_at_a_folder(_: Scene) -> str:
    return reached("execveat", AT_FDCWD, "/nowhere", None, None, 0)


def run_from_memory(_: Scene) -> str:
    fd = os.memfd_create("program")
    return f"descriptor {fd} would hold it"


def run_from_secret_memory(_: Scene) -> str:
    return reached("memfd_secret", 0)


def run_the_loader(_: Scene) -> str:
    loader = next(each for each in _LOADERS if os.path.exists(each))  # noqa: PTH110  (as quick)
    return str(subprocess.run([loader, "/bin/true"], check=True))


_LOADERS = (
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
)


def fork(_: Scene) -> str:
    return _ended(os.fork())


def fork_by_clone(_: Scene) -> str:
    return _ended(call("clone", signal.SIGCHLD, 0, 0, 0, 0))


def fork_by_clone3(_: Scene) -> str:
    arguments = struct.pack("=8Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    return _ended(call("clone3", arguments, len(arguments)))


def fork_with_a_descriptor(_: Scene) -> str:
    pidfd = ctypes.create_string_buffer(4)
    flags = 0x1000 | signal.SIGCHLD  # CLONE_PIDFD
    return _ended(call("clone", flags, 0, ctypes.addressof(pidfd), 0, 0))


def fork_by_multiprocessing(_: Scene) -> str:
    process = multiprocessing.get_context("fork").Process(target=os.getpid)
    process.start()
    process.join()
    return "forked"


def _ended(pid: int) -> str:
    if pid == 0:
        os._exit(7)
    return "forked" if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7 else ""


def start_a_thread(_: Scene) -> str:
    ended = _thread.allocate_lock()
    ended.acquire()
    _thread.start_new_thread(ended.release, ())
    return "ran" if ended.acquire(timeout=5) else ""


def write_and_run_code(_: Scene) -> str:
    return f"it returned {_run(_code(_RETURN_42[os.uname().machine], at_once=True))}"


def write_then_run_code(_: Scene) -> str:
    return f"it returned {_run(_code(_RETURN_42[os.uname().machine], at_once=False))}"


def run_code_by_a_key(_: Scene) -> str:
    return reached("pkey_mprotect", 0, 0, mmap.PROT_READ | mmap.PROT_EXEC, -1)


def call_as_i386(_: Scene) -> str:
    pid = _run(FOREIGN_CODE)
    return f"i386's getpid says {pid}" if pid == os.getpid() else ""


def call_as_x32(_: Scene) -> str:
    try:
        answer = _libc.syscall(ctypes.c_long(_X32_BIT | 39))
    except OSError as error:
        return f"x32's getpid was looked at: {error}"
    return f"x32's getpid was looked at: {answer}, errno {ctypes.get_errno()}"


def make_pages_of_a_file_runnable(scene: Scene) -> str:
    with open(f"{scene.data_dir}/lib.so", "rb") as file:  # noqa: PTH123  (for its descriptor)
        prot = mmap.PROT_READ | mmap.PROT_EXEC
        with mmap.mmap(file.fileno(), _PAGE, mmap.MAP_PRIVATE, prot) as pages:
            return str(pages[:4])
