"""A node that is killed after cash was parted with, and before a switch is in the rows."""

import asyncio
import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import Any

from strategy_engine.execution.journal import Journal

_spec = importlib.util.spec_from_file_location(
    "execution_node", Path(__file__).with_name("execution_node.py")
)
node = importlib.util.module_from_spec(_spec)
sys.modules["execution_node"] = node
_spec.loader.exec_module(node)


async def die(*given: Any) -> None:
    """Be killed where the switch would be kept."""
    del given
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    Journal.switch = die
    asyncio.run(node.main(Path(sys.argv[1])))
