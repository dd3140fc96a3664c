"""What control's door calls, and what measures and tells beside it, wired."""

from dataclasses import dataclass

from strategy_engine.access.service import Keys
from strategy_engine.alerts import alerting
from strategy_engine.api.services import Services
from strategy_engine.control.buswatch import BusWatch
from strategy_engine.control.delivery import Delivery
from strategy_engine.control.ground import Ground
from strategy_engine.control.measuring import Measuring
from strategy_engine.control.readings import Measured
from strategy_engine.control.scraping import Scraping
from strategy_engine.control.sheets import Sheets
from strategy_engine.control.shelf import Shelf
from strategy_engine.control.telemetry import Telemetry
from strategy_engine.control.telling import Telling
from strategy_engine.control.whose import Whose
from strategy_engine.flags.service import Flags
from strategy_engine.infra.eventlog import EventLog
from strategy_engine.infra.meters import ControlMeters
from strategy_engine.infra.webhooks.service import Webhooks
from strategy_engine.infra.webhooks.targets import Targets
from strategy_engine.performance.service import Snapshots
from strategy_engine.risk.overseeing import Overseeing
from strategy_engine.risk.stopping import Stopping
from strategy_engine.sandbox.model import ConfinementReport
from strategy_engine.venue.curves import Curves
from strategy_engine.venue.limit_book import LimitBook
from strategy_engine.venue.pages import Pages

MEASURED = "measured"  # the folder of what was read of long ledgers


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """What the door offers, and what runs as long as it does.

    Parameters
    ----------
    targets : Targets
        Where webhooks may lead.
    """

    keys: Keys
    flags: Flags
    meters: ControlMeters
    targets: Targets
    reader: Curves
    snapshots: Snapshots
    telemetry: Telemetry
    measuring: Measuring
    telling: Telling


def make(
    ground: Ground,
    delivery: Delivery,
    flags: Flags,
    *,
    started_s: float,
    wall: ConfinementReport,
) -> Front:
    """Return it, made once a process."""
    settings = ground.settings
    meters = ControlMeters()
    targets = Targets(private=settings.webhook_private)
    reader = Curves(ground.ledger)
    snapshots = Snapshots(ground.ledger, interval_s=settings.metrics_interval_s)
    telemetry = _telemetry(ground, delivery, meters, started_s=started_s, wall=wall)
    return Front(
        keys=Keys(ground.database, ground.clock, engine_key=settings.api_key),
        flags=flags,
        meters=meters,
        targets=targets,
        reader=reader,
        snapshots=snapshots,
        telemetry=telemetry,
        measuring=_measuring(ground, reader, snapshots),
        telling=_telling(ground, delivery, snapshots, telemetry, targets),
    )


def services(ground: Ground, delivery: Delivery, front: Front) -> Services:
    """Return every service that the door calls."""
    home, clock, shared = ground.database, ground.clock, delivery.sharing
    return Services(
        meters=front.meters,
        webhooks=Webhooks(database=home, clock=clock, targets=front.targets),
        keys=front.keys,
        flags=front.flags,
        registry=ground.registry,
        rollouts=delivery.rollouts,
        pipeline=delivery.pipeline,
        executions=ground.executions,
        records=ground.records,
        snapshots=front.snapshots,
        measuring=front.measuring,
        sheets=_sheets(ground, delivery, front),
        pages=Pages(ground.ledger),
        catalogue=ground.catalogue,
        telemetry=front.telemetry,
        lines=shared.lines,
        experiments=shared.experiments,
        allocations=shared.allocations,
        leavings=shared.leavings,
        limits=LimitBook(home, clock, ground.bell.ring),
        stopping=Stopping(home, ground.settings.data_dir, clock),
        overseeing=Overseeing(database=home, clock=clock, poke=ground.bell.ring),
        alerting=front.telling.alerting,
        events=EventLog(database=home, whose=front.telling.whose),
        clock=clock,
        bus=ground.settings.bus,
    )


def _telemetry(
    ground: Ground,
    delivery: Delivery,
    meters: ControlMeters,
    *,
    started_s: float,
    wall: ConfinementReport,
) -> Telemetry:
    scraping = Scraping(
        database=ground.database,
        meters=meters,
        clock=ground.clock,
        executions=ground.executions,
        registry=ground.registry,
        pipeline=delivery.pipeline,
    )
    return Telemetry(
        database=ground.database,
        registry=ground.registry,
        rollouts=delivery.rollouts,
        pipeline=delivery.pipeline,
        executions=ground.executions,
        clock=ground.clock,
        started_s=started_s,
        wall=wall,
        bus=BusWatch(database=ground.database, settings=ground.settings.bus),
        scraping=scraping,
    )


def _telling(
    ground: Ground,
    delivery: Delivery,
    snapshots: Snapshots,
    telemetry: Telemetry,
    targets: Targets,
) -> Telling:
    readings = Measured(
        database=ground.database,
        executions=ground.executions,
        snapshots=snapshots,
        registry=ground.registry,
        telemetry=telemetry,
        clock=ground.clock,
    )
    return Telling(
        database=ground.database,
        clock=ground.clock,
        alerting=alerting.make(ground.database, ground.clock, targets),
        readings=readings,
        whose=Whose(
            registry=ground.registry, executions=ground.executions, rollouts=delivery.rollouts
        ),
        interval_s=ground.settings.metrics_interval_s,
    )


def _measuring(ground: Ground, reader: Curves, snapshots: Snapshots) -> Measuring:
    return Measuring(
        reader=reader,
        shelf=Shelf(ground.settings.data_dir / MEASURED),
        executions=ground.executions,
        registry=ground.registry,
        catalogue=ground.catalogue,
        snapshots=snapshots,
        clock=ground.clock,
        interval_s=ground.settings.metrics_interval_s,
    )


def _sheets(ground: Ground, delivery: Delivery, front: Front) -> Sheets:
    return Sheets(
        measuring=front.measuring,
        reader=front.reader,
        executions=ground.executions,
        pipeline=delivery.pipeline,
        registry=ground.registry,
    )
