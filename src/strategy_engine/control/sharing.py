"""What shares the capital of lines, wired: lines, experiments, allocations, and their task."""

from dataclasses import dataclass

from strategy_engine.core.clock import Clock
from strategy_engine.execution.service import Executions
from strategy_engine.infra.database import Database
from strategy_engine.market.service import Catalogue
from strategy_engine.registry.service import Registry
from strategy_engine.rollout.allocation.service import Allocations
from strategy_engine.rollout.balance import Balance
from strategy_engine.rollout.experiments.service import Experiments
from strategy_engine.rollout.leavings import Leavings
from strategy_engine.rollout.lines import Lines
from strategy_engine.rollout.observing import Observer
from strategy_engine.venue.service import Records


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """The services, and the task that carries on what they are asked for."""

    lines: Lines
    experiments: Experiments
    allocations: Allocations
    leavings: Leavings
    balance: Balance


def make(  # noqa: PLR0913 - what they are wired with, each a thing of its own
    *,
    database: Database,
    registry: Registry,
    executions: Executions,
    records: Records,
    catalogue: Catalogue,
    observer: Observer,
    clock: Clock,
) -> Sharing:
    """Return them, each made once a process."""
    lines = Lines(registry=registry, executions=executions, records=records, catalogue=catalogue)
    experiments = Experiments(
        database=database,
        registry=registry,
        executions=executions,
        records=records,
        lines=lines,
        observer=observer,
        clock=clock,
    )
    allocations = Allocations(
        database=database,
        registry=registry,
        executions=executions,
        records=records,
        lines=lines,
        observer=observer,
        clock=clock,
    )
    leavings = Leavings(
        database=database, registry=registry, executions=executions, records=records
    )
    return Sharing(
        lines=lines,
        experiments=experiments,
        allocations=allocations,
        leavings=leavings,
        balance=Balance((experiments, allocations, leavings)),
    )
