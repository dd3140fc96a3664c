"""The table: every attack, where it is shown to succeed first, and what limits stop it."""

import inspect
import platform
from dataclasses import dataclass

import execution
import files
import network
import processes
import resources
import surface

from strategy_engine.sandbox.model import ChildLimits, ExitKind

MIB = 1 << 20
ROOT, USER, DOCKER = "root", "user", "docker"
EVERYWHERE = frozenset({ROOT, USER, DOCKER})
AS_ROOT = frozenset({ROOT})
UID_0 = frozenset({ROOT, DOCKER})  # who owns what DUMPABLE=0 gives to root
NOT_IN_DOCKER = frozenset({ROOT, USER})  # Docker's own profile stops it there

ROOMY = ChildLimits(memory_bytes=1024 * MIB, open_files=256, log_bytes=4 * MIB)
LITTLE_MEMORY = ChildLimits(memory_bytes=64 * MIB)
LITTLE_CPU = ChildLimits(memory_bytes=64 * MIB, cpu_s=1)
LITTLE_TIME = ChildLimits(memory_bytes=64 * MIB, wall_s=0.3)
LITTLE_TO_SAY = ChildLimits(memory_bytes=64 * MIB, log_bytes=100_000, frame_bytes=MIB)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One way out.

    Parameters
    ----------
    name : str
        `family.function`.
    shown : frozenset of str
        In which settings it must succeed without the wall; elsewhere the system stops it anyway.
    limits : ChildLimits
        What the confined child is given.
    ended_as : ExitKind or None
        How the confined child must end; None: it lives, and the attack's own call fails.
    is_alone : bool
        Whether it leaves its child unfit for the next attack.
    """

    name: str
    shown: frozenset[str] = EVERYWHERE
    limits: ChildLimits = ROOMY
    ended_as: ExitKind | None = None
    is_alone: bool = False


_SHOWN = {
    AS_ROOT: """
        files.read_shadow files.open_a_file_by_handle files.change_the_root
        processes.be_urgent processes.be_a_real_time_process
        network.send_raw network.listen_to_the_wire
        surface.unshare_mounts surface.open_a_filesystem surface.copy_a_mount
        surface.swap_the_root surface.load_bpf surface.load_another_kernel surface.load_a_module
        surface.load_a_module_from_a_file surface.unload_a_module surface.reboot surface.swap_on
        surface.swap_off surface.name_the_host surface.name_the_domain surface.set_the_time
        surface.read_the_kernels_log surface.account_for_processes surface.touch_io_ports
        surface.watch_everything surface.hang_up_the_terminal surface.mount surface.unmount
    """,
    UID_0: """
        files.read_own_environment files.list_own_descriptors files.reopen_a_path_by_proc
        files.read_where_a_link_leads processes.survive_a_shortage
    """,
    NOT_IN_DOCKER: """
        processes.take_a_descriptor processes.compare_with_another
        processes.push_out_anothers_memory network.ask_the_kernels_crypto
        network.talk_to_the_hypervisor execution.fork_by_clone3 surface.unshare_descriptors
        surface.unshare_users surface.enter_a_namespace surface.set_up_io_uring
        surface.read_the_keyring surface.add_a_key surface.ask_for_a_key surface.catch_page_faults
        surface.count_events surface.set_a_clock surface.ask_for_quotas surface.place_memory
        surface.list_security_modules
    """,
}
_LIMITS = {
    "resources.take_the_heap": (LITTLE_MEMORY, None),
    "resources.take_by_small_objects": (LITTLE_MEMORY, None),
    "resources.map_private_memory": (LITTLE_MEMORY, None),
    "resources.open_a_hundred_descriptors": (LITTLE_MEMORY, None),
    "resources.burn_cpu": (LITTLE_CPU, ExitKind.CPU_LIMIT),
    "resources.sleep": (LITTLE_TIME, ExitKind.WALL_LIMIT),
    "resources.flood_the_log": (LITTLE_TO_SAY, ExitKind.LOG_FLOOD),
    "resources.send_too_long_a_frame": (LITTLE_TO_SAY, ExitKind.OVERSIZED_FRAME),
    "execution.call_as_i386": (ROOMY, ExitKind.SIGNAL),
    "execution.call_as_x32": (ROOMY, ExitKind.SIGNAL),
}
_SPOILS_ITS_CHILD = {"surface.unshare_users", "resources.burn_cpu", "execution.call_as_i386"}
_ONLY_ON_X86_64 = {
    "files.read_by_old_open",
    "files.create_by_old_creat",
    "execution.call_as_i386",
    "execution.call_as_x32",
    "surface.touch_io_ports",
    "surface.change_segments",
    "surface.change_thread_pointers",
}


def _attack(name: str) -> Attack:
    shown = next((where for where, names in _SHOWN.items() if name in names.split()), EVERYWHERE)
    limits, ended_as = _LIMITS.get(name, (ROOMY, None))
    is_alone = name in _SPOILS_ITS_CHILD
    return Attack(name=name, shown=shown, limits=limits, ended_as=ended_as, is_alone=is_alone)


def _names() -> list[str]:
    modules = (files, processes, network, execution, surface, resources)
    return [
        f"{module.__name__}.{name}"
        for module in modules
        for name, each in vars(module).items()
        if inspect.isfunction(each) and each.__module__ == module.__name__ and name[0] != "_"
    ]


# Shown to get through, wall or no wall: docs/security.md says what each tells, and what ends it.
LEAKS = tuple(
    Attack(name=f"leaks.{name}")
    for name in (
        "learn_a_files_size",
        "learn_that_a_process_is_there",
        "walk_the_heap",
        "walk_the_frames",
    )
)
# What a strategy can do to its own process, and must not do to the next one's.
SPOILS = tuple(
    Attack(name=f"inside.{name}", is_alone=True)
    for name in (
        "spoil_json",
        "spoil_the_encoder",
        "spoil_the_fill_rules",
        "spoil_the_builtins",
        "spoil_the_frames",
        "spoil_the_wall",
    )
)
# Memory of every sort, for limits that must hold without the system call filter too.
HOARDS = tuple(
    Attack(name=f"resources.{name}", limits=LITTLE_MEMORY, is_alone=True)
    for name in (
        "take_the_heap",
        "map_private_memory",
        "map_shared_memory",
        "map_memory_that_grows_down",
    )
)
IS_UNSPOILT = Attack(name="inside.is_unspoilt", is_alone=True)
ATTACKS = tuple(
    _attack(name)
    for name in _names()
    if platform.machine() == "x86_64" or name not in _ONLY_ON_X86_64
)
