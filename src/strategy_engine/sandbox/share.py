"""Keep a zygote's pages shared: what its children only look at, they should not write to.

Looking at a Python object counts a reference, which writes to its page, which gives a child a copy
of it; and what a child allocates lands in the holes that imports left all over the heaps. Before
the first fork, immortal objects (PEP 683) end the first, and filled holes the second: together
they save half of what a child has to itself. What is here lasts as long as the zygote.
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
_HEAP_HEAD_BYTES = 8
_HEAP_LARGEST = 64 * 1024  # what is larger by half again may be mapped on its own
_HEAP_FINE = 1024  # below it holes are of every size

_FILLED: list[bytes] = []


def keep_shared() -> None:
    """Make everything alive immortal, leave no holes, and hide it from the collector.

    Does only the last where the layout of an object's head is not known.
    """
    gc.collect()
    if sys.implementation.name == "cpython" and sys.version_info[:2] == _KNOWN:
        _immortalise()
        gc.collect()  # empties the interpreter's lists of spare objects, which are holes too
        _fill_holes()
        _fill_heap()
    gc.freeze()


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


class _MallInfo(ctypes.Structure):
    """What glibc says of its heap (mallinfo(3)); `keepcost` is the free space at its end."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def _fill_heap() -> None:
    # A size comes from the heap's end only when no hole fits it: then its holes are filled.
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):  # not glibc, or an old one
        return
    libc.mallinfo2.restype = _MallInfo
    libc.malloc.argtypes, libc.malloc.restype = (ctypes.c_size_t,), ctypes.c_void_p
    for size in _heap_sizes():
        free_at_end = libc.mallinfo2().keepcost
        for _ in range(_MOST):
            libc.malloc(size - _HEAP_HEAD_BYTES)  # never freed
            if libc.mallinfo2().keepcost != free_at_end:
                break


def _heap_sizes() -> list[int]:
    # From the largest, for what a large one leaves of its hole is a hole for a smaller one.
    sizes, size = [], _HEAP_LARGEST
    while size > _HEAP_FINE:
        sizes.append(size)
        size = size * 15 // 16 // _STEP * _STEP
    return [*sizes, *range(_HEAP_FINE, _STEP, -_STEP)]
