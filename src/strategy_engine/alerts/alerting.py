"""All that doors need of alerts, wired."""

from dataclasses import dataclass

from strategy_engine.alerts.channels import Channels
from strategy_engine.alerts.ruling import Rules
from strategy_engine.alerts.sending import Sender
from strategy_engine.alerts.service import Alerts
from strategy_engine.core.clock import Clock
from strategy_engine.infra.database import Database
from strategy_engine.infra.webhooks.targets import Targets


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerting:
    """Alerts, the rules that raise them, and the channels that they go to."""

    alerts: Alerts
    rules: Rules
    channels: Channels
    sender: Sender


def make(database: Database, clock: Clock, targets: Targets) -> Alerting:
    """Return them, each made once a process."""
    sender = Sender(clock=clock, targets=targets)
    return Alerting(
        alerts=Alerts(database=database, clock=clock),
        rules=Rules(database=database, clock=clock),
        channels=Channels(database=database, clock=clock, sender=sender),
        sender=sender,
    )
