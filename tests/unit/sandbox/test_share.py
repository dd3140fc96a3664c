"""What a zygote does to its own memory, in a process of its own."""

import subprocess
import sys

KEPT = """
import gc, sys
from strategy_engine.sandbox import share

class Kept:
    pass

kept, words = Kept(), ["a", "b"]
share.keep_shared()
before = sys.getrefcount(kept)
again = [kept] * 1000
assert sys.getrefcount(kept) == before == 0xFFFF_FFFF, before
words.append("c")
fresh = Kept()
assert sys.getrefcount(fresh) < 10
fresh.itself = fresh
del fresh, again, kept
assert gc.collect() > 0, "what is made later is still collected"
assert words == ["a", "b", "c"]
print("shared")
"""
FILLED = """
import ctypes, sys
from strategy_engine.sandbox import share

small = [bytes(100) for _ in range(20_000)]
large = [bytes(3000) for _ in range(2_000)]
del small[::2], large[::2]  # a hole beside each that stays
low, high = id(large[0]), id(large[-1])
share.keep_shared()
homes = {id(each) for each in small}
fresh = [bytes(100) for _ in range(100)]
spread = sum(any(abs(id(each) - home) <= 144 for home in homes) for each in fresh)
blocks = [bytes(3000) for _ in range(100)]
inside = sum(low < id(each) < high for each in blocks)
print(spread, inside)
"""


def said_by(program: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.stderr == ""
    return ran.stdout


def test_what_lives_is_counted_no_more_and_still_works() -> None:
    assert said_by(KEPT) == "shared\n"


def test_what_comes_later_lands_in_no_hole_beside_what_was_there() -> None:
    assert said_by(FILLED) == "0 0\n"
    assert said_by(FILLED.replace("share.keep_shared()", "pass")) == "100 100\n"
