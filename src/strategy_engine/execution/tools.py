"""What the executions of a node share, and what they run under."""

from dataclasses import dataclass, field

from strategy_engine.core.clock import Clock
from strategy_engine.execution.conversation import Launcher
from strategy_engine.execution.guard import Guard, NoGuard
from strategy_engine.execution.journal import Journal
from strategy_engine.execution.veto import NoVeto, Veto
from strategy_engine.execution.watch import NoWatch, Watch
from strategy_engine.flags.live import LiveFlags
from strategy_engine.infra.meters import NodeMeters
from strategy_engine.market.busbars import BusBars
from strategy_engine.market.service import Catalogue
from strategy_engine.registry.service import Registry
from strategy_engine.sandbox.model import ChildLimits
from strategy_engine.venue.ledger import Ledger
from strategy_engine.venue.oversight import Oversight
from strategy_engine.venue.service import Records


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """What a node's executions run under."""

    decision_timeout_s: float = 5.0
    metrics_interval_s: float = 10.0
    replay_speed: float = 1.0
    limits: ChildLimits = field(default_factory=lambda: ChildLimits(cpu_s=None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What the executions of a node share; None: it reads no bars from a bus, knows no flags."""

    journal: Journal
    registry: Registry
    ledger: Ledger
    records: Records
    catalogue: Catalogue
    launcher: Launcher
    clock: Clock
    settings: NodeSettings
    bars: BusBars | None = None
    flags: LiveFlags | None = None
    meters: NodeMeters = field(default_factory=NodeMeters)
    guard: Guard = field(default_factory=NoGuard)
    watch: Watch = field(default_factory=NoWatch)
    veto: Veto = field(default_factory=NoVeto)
    oversight: Oversight = field(init=False)

    def __post_init__(self) -> None:
        """Let the gates ask of what risk has shut."""
        object.__setattr__(self, "oversight", Oversight(self.guard.kill))
