"""The filter's own instructions, executed one by one by the small simulator below.

Simulated, not run on hardware: so both architectures' filters are judged on either one. What the
kernel does with the native one, tests/security shows.
"""

import errno
import os
import struct
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.sandbox import bpf, seccomp, syscalls
from strategy_engine.sandbox.syscalls import ABIS, Machine

PID = 4711
EPERM, ENOSYS, ENOTTY = (bpf.errno(n) for n in (errno.EPERM, errno.ENOSYS, errno.ENOTTY))
I386, ARM = 0x4000_0003, 0x4000_0028
FILTERS = {machine: bpf.bind(bpf.encode(seccomp.program(machine)), PID) for machine in Machine}
WORDS = st.one_of(st.integers(0, 0x10_0000), st.integers(0, bpf.WIDE), st.just(PID))
ANY_MACHINE = pytest.mark.parametrize("machine", Machine)
HIGH = 0xDEAD_BEEF << 32


def simulate(code: bytes, number: int, arguments: Iterable[int], arch: int) -> int:
    """Execute a filter as Linux does: classic BPF over `struct seccomp_data`."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<IIQ6Q", number, arch, 0, *(each & bpf.WIDE for each in padded))
    lines = list(struct.iter_unpack("=HBBI", code))
    accumulator, at = 0, 0
    while True:
        operation, if_so, if_not, value = lines[at]
        at += 1
        match operation:
            case bpf.LOAD:
                (accumulator,) = struct.unpack_from("<I", data, value)
            case bpf.AND:
                accumulator &= value
            case bpf.JUMP_EQUAL:
                at += if_so if accumulator == value else if_not
            case bpf.JUMP_AT_LEAST:
                at += if_so if accumulator >= value else if_not
            case bpf.RETURN:
                return value
            case _:
                raise AssertionError(f"no such instruction: {operation:#x}")


def answer(machine: Machine, name: str, *arguments: int) -> int:
    abi = ABIS[machine]
    return simulate(FILTERS[machine], abi.numbers[name], arguments, abi.audit)


def decide(rules: Iterable[bpf.Rule], name: str, arguments: list[int]) -> int:
    """Say what the table says, without any instruction: the first rule that holds decides."""
    for rule in rules:
        values = [(PID if t.value == bpf.OWN_PID else t.value, t) for t in rule.tests]
        if rule.name == name and all(arguments[t.argument] & t.mask == v for v, t in values):
            return rule.action
    return EPERM


@ANY_MACHINE
@given(arguments=st.lists(WORDS, min_size=6, max_size=6))
def test_every_call_is_decided_as_the_table_says(machine: Machine, arguments: list[int]) -> None:
    abi, rules = ABIS[machine], seccomp.policy(machine)
    code = FILTERS[machine]

    for name in {rule.name for rule in rules} & set(abi.numbers):
        told = simulate(code, abi.numbers[name], arguments, abi.audit)
        assert told == decide(rules, name, arguments), (name, arguments)


@ANY_MACHINE
def test_every_number_that_the_table_does_not_name_is_refused(machine: Machine) -> None:
    abi = ABIS[machine]
    named = {abi.numbers[r.name] for r in seccomp.policy(machine) if r.name in abi.numbers}

    for number in range(4096):
        if number not in named:
            wanted = EPERM if number <= abi.highest else ENOSYS
            assert simulate(FILTERS[machine], number, (), abi.audit) == wanted, number


@ANY_MACHINE
@pytest.mark.parametrize("arch", [I386, ARM, 0, 0xFFFF_FFFF])
def test_a_call_of_a_foreign_abi_kills_whatever_its_number(machine: Machine, arch: int) -> None:
    told = {simulate(FILTERS[machine], number, (), arch) for number in range(600)}

    assert told == {bpf.KILL_PROCESS}


def test_each_machine_kills_what_says_it_is_the_other() -> None:
    one, other = Machine
    assert simulate(FILTERS[one], 0, (), ABIS[other].audit) == bpf.KILL_PROCESS
    assert simulate(FILTERS[other], 63, (), ABIS[one].audit) == bpf.KILL_PROCESS


@given(number=st.integers(0, 0x3FFF_FFFF))
def test_the_x32_bit_kills_on_x86_64(number: int) -> None:
    abi = ABIS[Machine.X86_64]
    told = simulate(FILTERS[Machine.X86_64], number | 0x4000_0000, (), abi.audit)

    assert told == bpf.KILL_PROCESS


_FORBIDDEN = """
    execve execveat fork vfork clone ptrace process_vm_readv process_vm_writev pidfd_open
    pidfd_getfd pidfd_send_signal io_uring_setup io_uring_enter io_uring_register bpf
    userfaultfd perf_event_open keyctl add_key request_key unshare setns mount umount2
    move_mount open_tree fsopen fsmount pivot_root chroot personality memfd_create memfd_secret
    open_by_handle_at name_to_handle_at init_module finit_module delete_module kexec_load
    kexec_file_load reboot swapon swapoff sethostname setdomainname settimeofday clock_settime
    adjtimex quotactl syslog acct seccomp landlock_restrict_self landlock_create_ruleset
    landlock_add_rule socket socketpair connect bind listen accept accept4 sendmsg recvmsg
    sendmmsg recvmmsg setsockopt shutdown setrlimit setpriority sched_setaffinity
    sched_setscheduler sched_setattr setuid setgid setresuid setgroups capset setsid setpgid
    tkill rt_sigqueueinfo rt_tgsigqueueinfo pkey_mprotect mlock mlockall process_madvise kcmp
    statfs fstatfs readlink readlinkat getxattr listxattr creat mkdir mkdirat mknod mknodat
    unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat chmod fchmod
    fchmodat fchmodat2 chown fchown fchownat truncate ftruncate fallocate utimensat
    inotify_init1 fanotify_init epoll_create1 eventfd2 pipe pipe2 signalfd4 timer_create splice
    tee vmsplice sendfile copy_file_range shmget shmat msgget semget mq_open membarrier mseal
    msync mincore iopl ioperm modify_ldt arch_prctl set_tid_address set_robust_list
    get_robust_list
"""
FORBIDDEN = _FORBIDDEN.split()
PAIRS = [(each, name) for each in Machine for name in FORBIDDEN if name in ABIS[each].numbers]


@pytest.mark.parametrize(("machine", "name"), PAIRS)
def test_a_forbidden_call_is_refused_with_any_arguments(machine: Machine, name: str) -> None:
    for value in (0, 1, PID, 0x3D0F00, bpf.WIDE):
        assert answer(machine, name, *[value] * 6) == EPERM


def test_every_forbidden_name_is_a_call_of_some_machine() -> None:
    known = set().union(*(abi.numbers for abi in ABIS.values()))

    assert set(FORBIDDEN) <= known


@ANY_MACHINE
def test_libc_falls_back_from_what_it_takes_for_missing(machine: Machine) -> None:
    for name in ("clone3", "openat2", "rseq"):
        assert answer(machine, name, 1, 2, 3) == ENOSYS


@ANY_MACHINE
def test_files_open_for_reading_and_nothing_else(machine: Machine) -> None:
    directory = {Machine.X86_64: 0x10000, Machine.AARCH64: 0x4000}[machine]
    assert answer(machine, "openat", 0, 0, 0) == bpf.ALLOW
    assert answer(machine, "openat", 0, 0, os.O_CLOEXEC | os.O_NONBLOCK | directory) == bpf.ALLOW
    assert answer(machine, "openat", 0, 0, HIGH | os.O_CLOEXEC) == bpf.ALLOW  # flags are an int
    # WRONLY, RDWR, CREAT, EXCL, TRUNC, APPEND, ASYNC, PATH, TMPFILE's own bit, SYNC, NOATIME
    for flag in (1, 2, 0x40, 0x80, 0x200, 0x400, 0x2000, 0x200000, 0x400000, 0x101000, 0x40000):
        assert answer(machine, "openat", 0, 0, flag) == EPERM, hex(flag)


@ANY_MACHINE
def test_memory_is_never_writable_and_executable(machine: Machine) -> None:
    private, anonymous = 0x2, 0x20
    for prot in (0, 1, 2, 3):
        assert answer(machine, "mmap", 0, 4096, prot, private | anonymous) == bpf.ALLOW
        assert answer(machine, "mprotect", 0, 4096, prot) == bpf.ALLOW
    assert answer(machine, "mmap", 0, 4096, 5, private | 0x800) == bpf.ALLOW  # a library's code
    assert answer(machine, "mmap", 0, 4096, 5, private | anonymous) == EPERM
    assert answer(machine, "mmap", 0, 4096, 7, private) == EPERM
    for prot in (4, 5, 6, 7, 0x0100_0001, 1 | HIGH):
        assert answer(machine, "mprotect", 0, 4096, prot) == EPERM


@ANY_MACHINE
def test_no_memory_is_shared_locked_huge_or_growing(machine: Machine) -> None:
    for flag in (0x1, 0x3, 0x100, 0x2000, 0x40000, 1 << 40):
        assert answer(machine, "mmap", 0, 4096, 3, 0x22 & ~0x3 | flag) == EPERM, hex(flag)
        assert answer(machine, "mmap", 0, 4096, 3, 0x22 | flag) == EPERM, hex(flag)


@ANY_MACHINE
def test_signals_reach_the_process_itself_only(machine: Machine) -> None:
    assert answer(machine, "kill", PID, 9) == bpf.ALLOW
    assert answer(machine, "tgkill", PID, PID, 9) == bpf.ALLOW
    for other in (0, 1, bpf.WIDE, -PID, PID + 1, bpf.OWN_PID):
        assert answer(machine, "kill", other & bpf.WIDE, 0) == EPERM
        assert answer(machine, "tgkill", other & bpf.WIDE, PID, 0) == EPERM


@ANY_MACHINE
def test_what_takes_a_process_is_allowed_for_itself_only(machine: Machine) -> None:
    for name in ("getsid", "getpgid", "sched_getaffinity", "sched_getscheduler"):
        assert (answer(machine, name, 0), answer(machine, name, 1)) == (bpf.ALLOW, EPERM)
    assert answer(machine, "prlimit64", 0, 7, 0, 1) == bpf.ALLOW
    assert answer(machine, "prlimit64", 0, 7, 1 << 32, 0) == EPERM  # it would set a limit
    assert answer(machine, "prlimit64", PID, 7, 0, 1) == EPERM


@ANY_MACHINE
def test_the_socket_speaks_to_its_peer_only(machine: Machine) -> None:
    assert answer(machine, "sendto", 3, 1, 1, 0, 0, 0) == bpf.ALLOW
    for address in (1, 1 << 32, bpf.WIDE):
        assert answer(machine, "sendto", 3, 1, 1, 0, address, 16) == EPERM


@ANY_MACHINE
def test_descriptors_get_no_owner_no_signal_and_no_bigger_pipe(machine: Machine) -> None:
    for allowed in (0, 1, 2, 3, 1030):
        assert answer(machine, "fcntl", 1, allowed, 5) == bpf.ALLOW
    assert answer(machine, "fcntl", 1, 4, 0x800) == bpf.ALLOW  # SETFL NONBLOCK
    assert answer(machine, "fcntl", 1, 4, 0x2000) == EPERM  # SETFL ASYNC
    for refused in (8, 10, 15, 1024, 1025, 1026, 1031, 1033, 6, 37):
        assert answer(machine, "fcntl", 1, refused, 5) == EPERM, refused


@ANY_MACHINE
def test_terminals_are_none_and_devices_are_refused(machine: Machine) -> None:
    assert answer(machine, "ioctl", 0, 0x5401) == ENOTTY
    assert answer(machine, "ioctl", 3, 0x5421) == bpf.ALLOW  # FIONBIO
    for request in (0x5412, 0x541C, 0x4B66, 0x5402):  # TIOCSTI, TIOCLINUX, …
        assert answer(machine, "ioctl", 0, request) == EPERM


@ANY_MACHINE
def test_locks_wait_and_wake_and_inherit_no_priority(machine: Machine) -> None:
    for operation in (0, 1, 9, 10, 0x80, 0x81, 0x189):
        assert answer(machine, "futex", 0, operation) == bpf.ALLOW
    for operation in (2, 6, 7, 8, 11, 12, 13, 0x86, 0x8B, 0x201):
        assert answer(machine, "futex", 0, operation) == EPERM


@ANY_MACHINE
def test_a_process_may_ask_what_it_is_and_change_nothing(machine: Machine) -> None:
    for option in (16, 3, 21, 39):
        assert answer(machine, "prctl", option) == bpf.ALLOW
    for option in (1, 4, 8, 15, 22, 23, 24, 28, 31, 35, 36, 38, 43, 53, 59, 0x59616D61):
        assert answer(machine, "prctl", option) == EPERM


def test_numbers_are_those_that_everybody_knows() -> None:
    x86, arm = (ABIS[machine].numbers for machine in (Machine.X86_64, Machine.AARCH64))
    assert [x86[n] for n in ("read", "execve", "openat", "seccomp")] == [0, 59, 257, 317]
    assert [arm[n] for n in ("read", "execve", "openat", "seccomp")] == [63, 221, 56, 277]
    newer = {name: n for name, n in x86.items() if n >= 424}
    assert newer == {name: n for name, n in arm.items() if n >= 424}
    assert "fork" not in arm
    assert "open" not in arm


@ANY_MACHINE
@given(pid=st.integers(1, 1 << 22))
def test_a_filter_holds_its_pid_only_where_signals_are_judged(machine: Machine, pid: int) -> None:
    program = seccomp.program(machine)
    template = bpf.encode(program)
    own = [at for at, line in enumerate(program) if line.value == bpf.OWN_PID]

    bound = bpf.encode(
        line._replace(value=pid) if at in own else line for at, line in enumerate(program)
    )

    assert [program[at].code for at in own] == [bpf.JUMP_EQUAL] * 2
    assert bpf.bind(template, pid) == bound
    assert len(bound) == 8 * len(program)


def test_alternatives_too_long_for_a_jump_are_told_and_not_cut() -> None:
    abi = syscalls.Abi(audit=1, foreign_from=None, numbers={"read": 0})
    many = [
        bpf.Rule(name="read", tests=(bpf.Test(argument=0, mask=bpf.NARROW, value=value),))
        for value in range(100)
    ]

    with pytest.raises(ValueError, match="at most 255"):
        bpf.assemble(many, abi, otherwise=EPERM, unknown=ENOSYS, foreign=EPERM)
