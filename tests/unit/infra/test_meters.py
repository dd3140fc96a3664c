"""What processes measure, and how control puts the nodes' together."""

import asyncio
import contextlib
from datetime import timedelta
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from strategy_engine.core.clock import SystemClock
from strategy_engine.infra import database, meters
from strategy_engine.infra.meters import ControlMeters, NodeMeters

AWAITED = (
    "strategy_decision_duration_seconds",
    "strategy_fill_duration_seconds",
    "strategy_denials",
    "strategy_risk_checks",
    "strategy_risk_check_duration_seconds",
    "strategy_risk_answers_refused",
    "strategy_process_restarts",
    "strategy_confinement_failures",
    "strategy_event_loop_lag_seconds",
)


def samples(families: list[Metric]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (each.name, tuple(sorted(each.labels.items()))): each.value
        for family in families
        for each in family.samples
    }


def test_what_several_nodes_measure_stays_apart_by_node() -> None:
    first, second = NodeMeters(), NodeMeters()
    first.denials.labels("daily_loss_limit").inc(2)
    second.denials.labels("daily_loss_limit").inc(5)
    first.decisions.labels("signal").observe(0.003)

    found = meters.merged((), [("a", first.exposition()), ("b", second.exposition())])

    counted = samples(found)
    assert [each.name for each in found].count("strategy_denials") == 1
    assert {
        node: counted["strategy_denials_total", (("code", "daily_loss_limit"), ("node", node))]
        for node in "ab"
    } == {"a": 2, "b": 5}
    bucket = (("kernel", "signal"), ("le", "0.005"), ("node", "a"))
    assert counted["strategy_decision_duration_seconds_bucket", bucket] == 1
    assert {each.name for each in found} == {*AWAITED}


def test_what_is_merged_is_told_as_it_was() -> None:
    node = NodeMeters()
    node.fills.labels("native").observe(0.2)

    class Once(Collector):
        def collect(self) -> list[Metric]:
            return meters.merged((), [("a", node.exposition())])

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Once())
    again = meters.merged((), [("a", generate_latest(registry).decode())])

    assert samples(again) == samples(meters.merged((), [("a", node.exposition())]))


def test_what_control_and_a_node_both_measure_is_one_family() -> None:
    control, node = ControlMeters(), NodeMeters()

    found = meters.merged(control.families(), [("a", node.exposition())])

    (lag,) = (each for each in found if each.name == "strategy_event_loop_lag_seconds")
    whose = {(each.labels["process"], each.labels.get("node")) for each in lag.samples}
    assert whose == {("control", None), ("node", "a")}


async def test_a_loop_that_is_held_up_is_late() -> None:
    mine = ControlMeters()
    watching = asyncio.create_task(mine.watch_loop())
    await asyncio.sleep(0)

    await asyncio.sleep(meters.LOOP_S / 2)
    held_s = _hold_up(0.3)
    await asyncio.sleep(meters.LOOP_S)

    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    lag = samples([*mine.families()])
    late = lag["strategy_event_loop_lag_seconds_sum", (("process", "control"),)]
    assert late >= held_s - meters.LOOP_S


def _hold_up(seconds: float) -> float:
    import time

    began_s = time.monotonic()
    while time.monotonic() - began_s < seconds:
        pass
    return time.monotonic() - began_s


async def test_a_nodes_last_word_is_kept_and_an_old_one_is_not_told(tmp_path: Path) -> None:
    url = database.control_url(tmp_path)
    engine = database.sync_engine(url)
    database.control.create_all(engine)
    engine.dispose()
    store, now = database.Database(url), SystemClock().now()

    async with store.write() as connection:
        await meters.keep(connection, "a", "first", now)
        await meters.keep(connection, "a", "second", now)
        await meters.keep(connection, "b", "long ago", now - timedelta(minutes=5))
    async with store.read() as connection:
        found = await meters.kept(connection, now - timedelta(minutes=1))
    await store.aclose()

    assert found == [("a", "second")]
