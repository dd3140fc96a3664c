"""What a zygote does to its own memory, in a process of its own."""

import subprocess
import sys

PROGRAM = """
import sys
from strategy_engine.kernel.native import share

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
del fresh, again, kept
assert words == ["a", "b", "c"]
print("shared")
"""


def test_what_lives_is_counted_no_more_and_still_works() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ran.stdout, ran.stderr) == ("shared\n", "")
