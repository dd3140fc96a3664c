"""An assembler of classic BPF for system call filters: rules in, instructions out. Pure.

References
----------
McCanne & Jacobson (1993), "The BSD Packet Filter"; Linux,
`Documentation/userspace-api/seccomp_filter.rst`.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from strategy_engine.sandbox.syscalls import Abi

KILL_PROCESS = 0x8000_0000
ALLOW = 0x7FFF_0000
_ERRNO = 0x0005_0000

LOAD = 0x20  # A = 32 bits of seccomp_data at k
AND = 0x54  # A &= k
JUMP_EQUAL = 0x15
JUMP_AT_LEAST = 0x35
RETURN = 0x06

_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16
_WORD_BYTES = 4
_ARGUMENT_BYTES = 8
_WORD = 0xFFFF_FFFF
_FARTHEST_JUMP = 255
_MOST_INSTRUCTIONS = 4096

WIDE = (1 << 64) - 1
NARROW = _WORD  # the kernel reads an `int` argument from the low half, whatever the high one holds

# Stands for the process's own id until `bind`: no process has a number this high (PID_MAX_LIMIT).
OWN_PID = 0xFFFF_0001
_OWN_PID = struct.pack("=I", OWN_PID)


class Instruction(NamedTuple):
    """One `struct sock_filter`: what to do, how far to skip if so and if not, with which value."""

    code: int
    if_so: int
    if_not: int
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """Holds when the masked bits of one argument are exactly `value`; only masked bits count."""

    argument: int
    mask: int
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What becomes of one call when every test holds; a call's first such rule decides."""

    name: str
    action: int = ALLOW
    tests: tuple[Test, ...] = ()


def errno(number: int) -> int:
    """Return the action that refuses a call with this error."""
    return _ERRNO | number


def assemble(
    rules: Iterable[Rule], abi: Abi, *, otherwise: int, unknown: int, foreign: int
) -> tuple[Instruction, ...]:
    """Return a filter: the rules of each call together, in the order of their first mention.

    Rules for calls that the architecture does not have are left out.

    Parameters
    ----------
    rules : iterable of Rule
        A call's rules stand together.
    otherwise : int
        The action for a call that no rule lets decide.
    unknown : int
        The action for numbers above every one in the table.
    foreign : int
        The action for calls of another ABI.
    """
    known = [rule for rule in rules if rule.name in abi.numbers]
    program = [
        *_gate(abi, foreign),
        *(
            line
            for name, own in groupby(known, attrgetter("name"))
            for line in _call(abi.numbers[name], list(own), otherwise)
        ),
        Instruction(JUMP_AT_LEAST, 0, 1, abi.highest + 1),
        Instruction(RETURN, 0, 0, unknown),
        Instruction(RETURN, 0, 0, otherwise),
    ]
    if len(program) > _MOST_INSTRUCTIONS:
        raise ValueError(f"{len(program)} instructions; the kernel takes {_MOST_INSTRUCTIONS}")
    return tuple(program)


def encode(program: Iterable[Instruction]) -> bytes:
    """Return the program as the kernel reads it, for `bind` where it holds `OWN_PID`."""
    return b"".join(struct.pack("=HBBI", *line) for line in program)


def bind(code: bytes, pid: int) -> bytes:
    """Return encoded instructions with a process's id in place of `OWN_PID`."""
    # one replacement of bytes: going through the instructions would copy pages that children share
    return code.replace(_OWN_PID, struct.pack("=I", pid))


def _gate(abi: Abi, foreign: int) -> Iterator[Instruction]:
    yield Instruction(LOAD, 0, 0, _ARCH_AT)
    yield Instruction(JUMP_EQUAL, 1, 0, abi.audit)
    yield Instruction(RETURN, 0, 0, foreign)
    yield Instruction(LOAD, 0, 0, _NUMBER_AT)
    if abi.foreign_from is not None:
        yield Instruction(JUMP_AT_LEAST, 0, 1, abi.foreign_from)
        yield Instruction(RETURN, 0, 0, foreign)


def _call(number: int, rules: list[Rule], otherwise: int) -> list[Instruction]:
    block = [line for rule in rules for line in _alternative(rule)]
    if all(rule.tests for rule in rules):
        block.append(Instruction(RETURN, 0, 0, otherwise))
    return [Instruction(JUMP_EQUAL, 0, _reach(len(block)), number), *block]


def _alternative(rule: Rule) -> list[Instruction]:
    """Test after test; the first that fails jumps past the action, to the next alternative."""
    checks = [check for test in rule.tests for check in _halves(test)]
    length = sum(map(len, checks)) + 1
    lines: list[Instruction] = []
    for load, *narrow, compare in checks:
        lines += [load, *narrow]
        lines.append(compare._replace(if_not=_reach(length - len(lines) - 1)))
    return [*lines, Instruction(RETURN, 0, 0, rule.action)]


def _halves(test: Test) -> Iterator[tuple[Instruction, ...]]:
    for half in (0, 1):  # both architectures are little-endian: the low half comes first
        mask, value = (each >> (32 * half) & _WORD for each in (test.mask, test.value))
        if not mask:
            continue
        at = _ARGUMENTS_AT + test.argument * _ARGUMENT_BYTES + half * _WORD_BYTES
        load = Instruction(LOAD, 0, 0, at)
        compare = Instruction(JUMP_EQUAL, 0, 0, value)
        yield (load, compare) if mask == _WORD else (load, Instruction(AND, 0, 0, mask), compare)


def _reach(distance: int) -> int:
    if distance > _FARTHEST_JUMP:
        raise ValueError(f"a jump over {distance} instructions; at most {_FARTHEST_JUMP}")
    return distance
