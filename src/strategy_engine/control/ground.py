"""What every service of control stands on, wired: databases, versions, bars, executions."""

from dataclasses import dataclass
from functools import partial

from strategy_engine.config import Settings
from strategy_engine.control import admission
from strategy_engine.core.clock import Clock, SystemClock
from strategy_engine.execution import rules as execution_rules
from strategy_engine.execution.service import Executions
from strategy_engine.infra import database, wakeup
from strategy_engine.infra.database import Database, Fence
from strategy_engine.infra.wakeup import Bell
from strategy_engine.market.service import Catalogue
from strategy_engine.registry.service import Registry
from strategy_engine.rollout.service import refuse_while_deployed
from strategy_engine.sandbox.launcher import Zygotes
from strategy_engine.venue.service import Records


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Made once a process.

    Parameters
    ----------
    bell : Bell
        Wakes the node.
    """

    settings: Settings
    clock: Clock
    database: Database
    ledger: Database
    bell: Bell
    zygotes: Zygotes
    registry: Registry
    catalogue: Catalogue
    records: Records
    executions: Executions


def make(settings: Settings, fence: Fence | None) -> Ground:
    """Return it; `fence` is what every transaction passes before it writes."""
    clock = SystemClock()
    home, ledger = database.open_both(
        settings.data_dir, settings.server, settings.database_timeout_s, fence
    )
    bell = wakeup.Bell(wakeup.path_of(settings.data_dir, "node"), home)
    registry = Registry(home, clock, admission.check_trading, refuse_while_deployed)
    catalogue = Catalogue(settings.data_dir, settings.catalogs)
    return Ground(
        settings=settings,
        clock=clock,
        database=home,
        ledger=ledger,
        bell=bell,
        zygotes=Zygotes(confinement=settings.sandbox),
        registry=registry,
        catalogue=catalogue,
        records=Records(ledger),
        executions=Executions(
            database=home,
            registry=registry,
            catalogue=catalogue,
            clock=clock,
            poke=bell.ring,
            admit=partial(
                admission.refuse_when_full, settings.max_memory_bytes, settings.child_memory_bytes
            ),
            feeds=execution_rules.offered(settings.bus.data_stream),
        ),
    )
