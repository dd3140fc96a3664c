"""Other processes: read them, write them, end them, slow them down; and shed what binds oneself."""

import ctypes
import fcntl
import os
import resource
import signal
import struct
from pathlib import Path

from tools import SECRET, Scene, call, found, reached

_LENGTH = len(SECRET)


def _iov(address: int, length: int) -> bytes:
    return struct.pack("=QQ", address, length)


def read_memory_by_proc(scene: Scene) -> str:
    with Path(f"/proc/{scene.victim_pid}/mem").open("rb", buffering=0) as memory:
        memory.seek(scene.address)
        return found(memory.read(_LENGTH).decode(), "another's memory")


def read_memory_by_a_call(scene: Scene) -> str:
    mine = ctypes.create_string_buffer(_LENGTH)
    local = _iov(ctypes.addressof(mine), _LENGTH)
    call("process_vm_readv", scene.victim_pid, local, 1, _iov(scene.address, _LENGTH), 1, 0)
    return found(mine.raw.decode(), "another's memory")


def write_memory_by_a_call(scene: Scene) -> str:
    mine = ctypes.create_string_buffer(SECRET.encode(), _LENGTH)
    local = _iov(ctypes.addressof(mine), _LENGTH)
    remote = _iov(scene.address, _LENGTH)
    return f"{call('process_vm_writev', scene.victim_pid, local, 1, remote, 1, 0)} bytes written"


def trace(scene: Scene) -> str:
    seize = 0x4206
    return f"seized: {call('ptrace', seize, scene.victim_pid, 0, 0)}"


def be_traced(_: Scene) -> str:
    return reached("ptrace", 0x4200, 0, 0, 0)


def hold_a_process(scene: Scene) -> str:
    return f"descriptor {os.pidfd_open(scene.victim_pid)}"


def take_a_descriptor(scene: Scene) -> str:
    fd = os.pidfd_open(scene.victim_pid)
    return f"descriptor {call('pidfd_getfd', fd, 1, 0)}"


def signal_by_descriptor(scene: Scene) -> str:
    return reached("pidfd_send_signal", os.pidfd_open(scene.victim_pid), 0, None, 0)


def signal_by_any_descriptor(_: Scene) -> str:
    return reached("pidfd_send_signal", 0, 0, None, 0)


def signal_the_engine(scene: Scene) -> str:
    os.kill(scene.engine, 0)
    return "it may be signalled"


def signal_the_zygote(scene: Scene) -> str:
    os.kill(scene.zygote, 0)
    return "it may be signalled"


def signal_a_sibling(scene: Scene) -> str:
    os.kill(scene.sibling, 0)
    return "it may be signalled"


def end_a_process(scene: Scene) -> str:
    os.kill(scene.victim_pid, signal.SIGURG)  # what a process ignores unless it asks for it
    return "signalled"


def signal_everybody(_: Scene) -> str:
    os.kill(-1, 0)
    return "all may be signalled"


def signal_the_own_group(_: Scene) -> str:
    os.kill(0, 0)
    return "the group may be signalled"


def signal_a_thread(scene: Scene) -> str:
    call("tgkill", scene.victim_pid, scene.victim_pid, 0)
    return "it may be signalled"


def signal_a_thread_the_old_way(scene: Scene) -> str:
    call("tkill", scene.victim_pid, 0)
    return "it may be signalled"


def queue_a_signal(scene: Scene) -> str:
    info = struct.pack("=iii", 0, 0, -1).ljust(128, b"\0")
    return reached("rt_sigqueueinfo", scene.victim_pid, 0, info)


def have_a_descriptor_signal_another(scene: Scene) -> str:
    fcntl.fcntl(3, fcntl.F_SETOWN, scene.victim_pid)
    return "it is told of our socket"


def have_a_descriptor_signal_any_thread(scene: Scene) -> str:
    fcntl.fcntl(3, 15, struct.pack("=ii", 0, scene.victim_pid))
    return "it is told of our socket"


def read_anothers_limits(scene: Scene) -> str:
    return str(resource.prlimit(scene.victim_pid, resource.RLIMIT_NOFILE))


def cut_anothers_limits(scene: Scene) -> str:
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.prlimit(scene.victim_pid, resource.RLIMIT_CORE, (soft, hard))
    return "cut"


def pin_another(scene: Scene) -> str:
    os.sched_setaffinity(scene.victim_pid, {0})
    return "pinned"


def slow_another(scene: Scene) -> str:
    os.setpriority(os.PRIO_PROCESS, scene.victim_pid, 19)
    return "slowed"


def read_anothers_environment(scene: Scene) -> str:
    return found(Path(f"/proc/{scene.victim_pid}/environ").read_text()[:20], "environ")


def read_anothers_command_line(scene: Scene) -> str:
    return found(Path(f"/proc/{scene.engine}/cmdline").read_text()[:20], "cmdline")


def compare_with_another(scene: Scene) -> str:
    return reached("kcmp", os.getpid(), scene.victim_pid, 1, 0, 0)


def push_out_anothers_memory(_: Scene) -> str:
    return reached("process_madvise", 0, None, 0, 20, 0)


def read_anothers_futexes(_: Scene) -> str:
    return reached("get_robust_list", 0, bytes(8), bytes(8))


def become_readable(_: Scene) -> str:
    call("prctl", 4, 1, 0, 0, 0)
    return "DUMPABLE again"


def outlive_the_zygote(_: Scene) -> str:
    call("prctl", 1, 0, 0, 0, 0)
    return "PDEATHSIG is gone"


def survive_a_shortage(_: Scene) -> str:
    Path("/proc/self/oom_score_adj").write_text("1000")
    return "others may go first"


def raise_a_limit(_: Scene) -> str:
    _soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
    return "a second more"


def set_a_limit(_: Scene) -> str:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return "set"


def be_urgent(_: Scene) -> str:
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    return "ahead of everybody"


def be_a_real_time_process(_: Scene) -> str:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    return "ahead of everybody"


def be_no_batch_process(_: Scene) -> str:
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return "not BATCH any more"


def be_somebody_else(_: Scene) -> str:
    os.setresuid(-1, -1, -1)
    return "setresuid answered"


def keep_capabilities(_: Scene) -> str:
    return reached("capset", bytes(8), bytes(24))  # of no version: it only says which there are


def pass_for_another(_: Scene) -> str:
    call("prctl", 15, b"strategy-engine", 0, 0, 0)
    return "ps shows another name"


def lift_the_filter(_: Scene) -> str:
    return reached("prctl", 22, 0, 0, 0, 0)
