"""Alerts over a real database, and a clock that stands still."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from strategy_engine.alerts import channel_store
from strategy_engine.alerts.model import Channel, Kind, Severity
from strategy_engine.alerts.service import Alerts
from strategy_engine.core.clock import SteppedClock
from strategy_engine.infra import database
from strategy_engine.infra.database import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def opened(tmp_path: Path, server: str | None) -> AsyncIterator[Database]:
    url = database.control_url(tmp_path, server)
    engine = database.sync_engine(url)
    database.control.create_all(engine)
    engine.dispose()
    found = Database(url)
    yield found
    await found.aclose()


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(NOW)


@pytest.fixture
def alerts(opened: Database, clock: SteppedClock) -> Alerts:
    return Alerts(database=opened, clock=clock)


@pytest.fixture
async def channel(opened: Any, clock: Any) -> Channel:
    made = Channel(
        channel_id="chan_1",
        kind=Kind.WEBHOOK,
        name="desk",
        url="http://127.0.0.1:9/",
        secret="whsec_AAAA",
        severity=Severity.WARNING,
        created_at=clock.now(),
        created_by="ada",
    )
    async with opened.write() as connection:
        await channel_store.insert(connection, made)
    return made
