"""Which bus there is: a Redis server's if one is set, else the one inside the process."""

from dataclasses import dataclass, field

from strategy_engine.infra.bus.checks import Checking
from strategy_engine.infra.bus.local import LocalBus
from strategy_engine.infra.bus.model import Bus, Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class BusSettings:
    """How a process uses the bus.

    Parameters
    ----------
    url : str or None
        The Redis server; None: the bus stays inside the process.
    keep_s : float
        How long published events stay in the outbox; with no server they go at once.
    data_stream, command_stream : str or None
        The streams that bars and commands are read from; None: they are not.
    checking : Checking or None
        How a risk engine is asked before an order goes; None: it is not.
    """

    url: str | None = field(default=None, repr=False)
    layout: Layout = field(default_factory=Layout)
    keep_s: float = 86_400.0
    data_stream: str | None = None
    command_stream: str | None = None
    command_secret: str | None = field(default=None, repr=False)
    checking: Checking | None = None

    @property
    def is_remote(self) -> bool:
        """Whether others can read what is published."""
        return self.url is not None


def connect(settings: BusSettings) -> Bus:
    """Return the bus; whether its server answers is seen when it is used."""
    if settings.url is None:
        return LocalBus(settings.layout)
    # Here, because the client costs a start longer than all of the engine's own modules.
    from strategy_engine.infra.bus.streams import RedisBus  # noqa: PLC0415

    return RedisBus(settings.url, settings.layout)
