"""A node that is killed before or after the ledgers have a position that rows hand over."""

import asyncio
import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import Any

from strategy_engine.execution.journal import Journal
from strategy_engine.venue.ledger import Ledger
from strategy_engine.venue.model import Together

_spec = importlib.util.spec_from_file_location(
    "execution_node", Path(__file__).with_name("execution_node.py")
)
node = importlib.util.module_from_spec(_spec)
sys.modules["execution_node"] = node
_spec.loader.exec_module(node)

_append = Ledger.append


def die() -> None:
    """Be killed here."""
    os.kill(os.getpid(), signal.SIGKILL)


def dying_append(self: Ledger, entry: Any) -> asyncio.Future[None]:
    """Be killed where a group would be kept."""
    if isinstance(entry, Together):
        die()
    return _append(self, entry)


async def dying_settle(*given: Any) -> None:
    """Be killed where the ledgers have all, and the row does not say so."""
    del given
    die()


if __name__ == "__main__":
    if sys.argv[2] == "before":
        Ledger.append = dying_append
    else:
        Journal.settle_switch = dying_settle
    asyncio.run(node.main(Path(sys.argv[1])))
