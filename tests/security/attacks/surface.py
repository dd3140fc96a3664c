"""The kernel's surface: what has no business in a strategy, harmless variants of it."""

import ctypes
import mmap
import os
import socket
import struct

from tools import Scene, call, reached

_CLONE_FILES = 0x400
_CLONE_NEWUSER = 0x1000_0000
_CLONE_NEWNS = 0x2_0000


def unshare_descriptors(_: Scene) -> str:
    return reached("unshare", _CLONE_FILES)


def unshare_mounts(_: Scene) -> str:
    return reached("unshare", _CLONE_NEWNS)


def unshare_users(_: Scene) -> str:
    return reached("unshare", _CLONE_NEWUSER)


def enter_a_namespace(_: Scene) -> str:
    return reached("setns", 0, 0)


def mount(_: Scene) -> str:
    return reached("mount", "none", "/nowhere", "tmpfs", 0, None)


def unmount(_: Scene) -> str:
    return reached("umount2", "/nowhere", 0)


def open_a_filesystem(_: Scene) -> str:
    return reached("fsopen", "nosuchfs", 0)


def copy_a_mount(_: Scene) -> str:
    return reached("open_tree", -100, "/", 1)  # OPEN_TREE_CLONE


def list_the_mounts(_: Scene) -> str:
    return reached("statmount", None, None, 0, 0)


def swap_the_root(_: Scene) -> str:
    return reached("pivot_root", "/nowhere", "/nowhere")


def load_bpf(_: Scene) -> str:
    return reached("bpf", 5, None, 0)


def set_up_io_uring(_: Scene) -> str:
    os.close(call("io_uring_setup", 1, bytes(120)))
    return "a ring"


def set_up_old_async_io(_: Scene) -> str:
    return reached("io_setup", 1, bytes(8))


def read_the_keyring(_: Scene) -> str:
    return reached("keyctl", 0, -3, 0)


def add_a_key(_: Scene) -> str:
    return reached("add_key", "user", "strategy", b"x", 1, -2)  # to the process's own keyring


def ask_for_a_key(_: Scene) -> str:
    return reached("request_key", "user", "strategy:none", None, 0)


def catch_page_faults(_: Scene) -> str:
    os.close(call("userfaultfd", 1))  # USER_MODE_ONLY
    return "faults can be held"


def count_events(_: Scene) -> str:
    attributes = struct.pack("=IIQQQQQ", 1, 64, 0, 0, 0, 0, 0b1100001).ljust(64, b"\0")
    return reached("perf_event_open", attributes, 0, -1, -1, 0)


def load_another_kernel(_: Scene) -> str:
    return reached("kexec_load", 0, 99, None, 0)


def load_a_module(_: Scene) -> str:
    return reached("init_module", None, 0, "")


def load_a_module_from_a_file(_: Scene) -> str:
    return reached("finit_module", 0, "", 0)


def unload_a_module(_: Scene) -> str:
    return reached("delete_module", "no_such_module", 0)


def reboot(_: Scene) -> str:
    return reached("reboot", 0, 0, 0, None)  # without its magic numbers it only says EINVAL


def swap_on(_: Scene) -> str:
    return reached("swapon", "/nowhere", 0)


def swap_off(_: Scene) -> str:
    return reached("swapoff", "/nowhere")


def name_the_host(_: Scene) -> str:
    name = os.uname().nodename.encode()
    return reached("sethostname", name, len(name))


def name_the_domain(_: Scene) -> str:
    return reached("setdomainname", None, -1)


def set_the_time(_: Scene) -> str:
    return reached("settimeofday", None, None)


def set_a_clock(_: Scene) -> str:
    return reached("clock_settime", 99, bytes(16))


def adjust_the_time(_: Scene) -> str:
    return reached("adjtimex", bytes(256))  # no mode: it reads


def ask_for_quotas(_: Scene) -> str:
    return reached("quotactl", 0x80000100, None, 0, None)  # Q_SYNC


def be_another_personality(_: Scene) -> str:
    return reached("personality", 0xFFFF_FFFF)


def read_the_kernels_log(_: Scene) -> str:
    return reached("syslog", 10, None, 0)


def account_for_processes(_: Scene) -> str:
    return reached("acct", "/nowhere")


def touch_io_ports(_: Scene) -> str:
    return reached("ioperm", 0x80, 1, 1)


def change_segments(_: Scene) -> str:
    return reached("modify_ldt", 0, bytes(16), 16)


def change_thread_pointers(_: Scene) -> str:
    return reached("arch_prctl", 0x1003, ctypes.addressof(ctypes.create_string_buffer(8)))


def type_into_a_terminal(_: Scene) -> str:
    return reached("ioctl", 0, 0x5412, b"x")  # TIOCSTI: on no terminal it says ENOTTY


def paste_into_a_terminal(_: Scene) -> str:
    return reached("ioctl", 0, 0x541C, b"\x03")  # TIOCLINUX


def open_a_terminal(_: Scene) -> str:
    os.close(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))
    return "a terminal"


def watch_everything(_: Scene) -> str:
    return reached("fanotify_init", 0, 0)


def share_memory_by_key(_: Scene) -> str:
    segment = call("shmget", 0, 4096, 0o1600)
    call("shmctl", segment, 0, None)
    return f"segment {segment}"


def queue_messages(_: Scene) -> str:
    queue = call("msgget", 0, 0o1600)
    call("msgctl", queue, 0, None)
    return f"queue {queue}"


def make_semaphores(_: Scene) -> str:
    made = call("semget", 0, 1, 0o1600)
    call("semctl", made, 0, 0, 0)
    return f"semaphores {made}"


def queue_posix_messages(_: Scene) -> str:
    return reached("mq_open", "no-such-queue", 0, 0, None)


def place_memory(_: Scene) -> str:
    return reached("mbind", 0, 0, 0, None, 0, 0)


def set_a_timer(_: Scene) -> str:
    return reached("timer_create", 1, None, bytes(8))


def make_an_event(_: Scene) -> str:
    os.close(os.eventfd(0))
    return "made"


def take_signals_by_descriptor(_: Scene) -> str:
    return reached("signalfd4", -1, bytes(8), 8, 0)


def splice_pages(_: Scene) -> str:
    return reached("splice", 0, None, 0, None, 0, 0)


def send_a_file(_: Scene) -> str:
    return reached("sendfile", 1, 0, None, 0)


def filter_its_own_calls(_: Scene) -> str:
    return reached("seccomp", 3, 0, None)  # which sizes the kernel has


def nest_a_landlock(_: Scene) -> str:
    return f"ABI {call('landlock_create_ruleset', None, 0, 1)}"


def see_which_pages_are_cached(_: Scene) -> str:
    with mmap.mmap(-1, 4096, mmap.MAP_PRIVATE) as pages:
        address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
        try:
            return reached("mincore", address & ~4095, 4096, bytes(1))
        finally:
            del address


def synchronize_all_cores(_: Scene) -> str:
    return reached("membarrier", 0, 0, 0)


def lock_with_priority_inheritance(_: Scene) -> str:
    return reached("futex", bytes(4), 8, 0, None, None, 0)  # TRYLOCK_PI


def seal_memory(_: Scene) -> str:
    return reached("mseal", 0, 0, 1)


def list_security_modules(_: Scene) -> str:
    return reached("lsm_list_modules", None, None, 1)


def hang_up_the_terminal(_: Scene) -> str:
    return reached("vhangup")


def start_a_monitor_by_netlink(_: Scene) -> str:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 15) as made:
        return str(made.fileno())
