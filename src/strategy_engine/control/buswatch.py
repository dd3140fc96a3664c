"""How the bus is, from the rows that each process reports in."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from strategy_engine.api.telemetry import Bus, Part
from strategy_engine.infra import relay
from strategy_engine.infra.bus import links
from strategy_engine.infra.bus.broker import BusSettings
from strategy_engine.infra.bus.links import Link
from strategy_engine.infra.database import Database

PUBLISHERS = (relay.EXECUTIONS, relay.PIPELINES)
LONGEST_REASON = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class BusWatch:
    """Reads what the node and control report of their connections."""

    database: Database
    settings: BusSettings

    async def bus(self, now: datetime) -> Bus:
        """Return how the bus is, and what went over it since the processes started."""
        async with self.database.read() as connection:
            found = await links.every(connection)
        return read(found, now, is_remote=self.settings.is_remote)

    def parts(self, bus: Bus) -> tuple[Part, ...]:
        """Return the bus as a part of the engine; the one inside the process is none."""
        if not self.settings.is_remote:
            return ()
        return (Part(name="bus", healthy=bus.is_connected, reason=bus.detail),)


def read(found: list[Link], now: datetime, *, is_remote: bool) -> Bus:
    """Return what the rows come to: connected is who is heard of, and says so himself."""
    alive = {each.name: each for each in found if not each.is_silent(now)}
    oldest = [each.oldest_at for each in found if each.oldest_at is not None]
    waiting = sum(each.waiting for each in found)
    oldest_s = max(0.0, (now - min(oldest)).total_seconds()) if waiting and oldest else 0.0
    counts: Counter[str] = Counter()
    for each in found:
        counts.update(each.counts)
    troubles = _troubles(alive) if is_remote else []
    if waiting and is_remote:
        troubles.append(f"{waiting} events wait to be published, the oldest for {oldest_s:.0f} s")
    names = [*PUBLISHERS, *alive]
    return Bus(
        is_connected=not is_remote
        or all(name in alive and alive[name].is_connected for name in names),
        detail="; ".join(troubles)[:LONGEST_REASON],
        waiting=waiting,
        oldest_s=oldest_s,
        counts=dict(counts),
    )


def _troubles(alive: dict[str, Link]) -> list[str]:
    silent = [f"nobody publishes {name}" for name in PUBLISHERS if name not in alive]
    who: dict[str, list[str]] = {}
    for name, each in alive.items():
        if each.detail:
            who.setdefault(each.detail, []).append(name)
    return silent + [f"{', '.join(names)}: {detail}" for detail, names in who.items()]
