"""Keep a zygote's pages shared: what its children only look at, they should not write to.

Looking at a Python object counts a reference, which writes to its page, which gives a child a copy
of it; and a child's small objects land in the holes that imports left all over the heap. Before the
first fork, immortal objects (PEP 683) end the first, and filled holes the second: together they
save half of what a child of NautilusTrader has to itself. What is here lasts as long as the zygote.
"""

import ctypes
import gc
import sys
import types
from typing import Any

_IMMORTAL = 0xFFFF_FFFF  # the count of CPython 3.13 that nobody changes; its low 32 bits say so
_KNOWN = (3, 13)
_POOL_BYTES = 16 * 1024 - 48  # of the small-object allocator, without its header
_STEP = 16
_LARGEST = 512
_EMPTY_BYTES = sys.getsizeof(b"")
_MOST = 100_000  # holes of one size

_FILLED: list[bytes] = []


def keep_shared() -> None:
    """Make everything alive immortal, and leave no hole for small objects.

    Does nothing where the layout of an object's head is not known.
    """
    if sys.implementation.name != "cpython" or sys.version_info[:2] != _KNOWN:
        return
    gc.collect()
    _fill_holes()
    _immortalise()


def _immortalise() -> int:
    seen: set[int] = set()
    waiting: list[Any] = gc.get_objects()
    own = {id(seen), id(waiting)}
    while waiting:
        each = waiting.pop()
        if id(each) in seen or id(each) in own:
            continue
        seen.add(id(each))
        waiting.extend(gc.get_referents(each))
        if isinstance(each, types.CodeType):  # the collector does not look into these
            waiting += [each.co_consts, each.co_names, each.co_filename, each.co_qualname]
    del each
    for address in seen:
        ctypes.c_uint32.from_address(address).value = _IMMORTAL
    return len(seen)


def _fill_holes() -> None:
    for size in range(_STEP, _LARGEST + 1, _STEP):
        payload = size - _EMPTY_BYTES
        if payload > 1:  # an empty one, and those of one byte, exist already
            _fill(size, payload)


def _fill(size: int, payload: int) -> None:
    # A whole pool in a row at rising addresses is a fresh one: all holes of this size are filled.
    in_a_row, last = 0, 0
    for _ in range(_MOST):
        filler = bytes(payload)
        _FILLED.append(filler)
        in_a_row = in_a_row + 1 if id(filler) - last == size else 0
        last = id(filler)
        if in_a_row >= _POOL_BYTES // size - 1:
            return
