"""On an engine's path, this makes its wall clock jump by as many seconds as a file says.

Everything of it that reads the wall clock does so by `SystemClock.now` or by `time.time`; the
monotonic clock is the machine's own, as when somebody sets the time.
"""

import os
import time
from datetime import timedelta
from pathlib import Path

from strategy_engine.core import clock

_OFFSET = Path(os.environ["CHAOS_CLOCK_OFFSET"])
_now, _time, _time_ns = clock.SystemClock.now, time.time, time.time_ns


def _offset_s():
    return int(_OFFSET.read_text() or "0")


clock.SystemClock.now = lambda self: _now(self) + timedelta(seconds=_offset_s())
time.time = lambda: _time() + _offset_s()
time.time_ns = lambda: _time_ns() + _offset_s() * 1_000_000_000
