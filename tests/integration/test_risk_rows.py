"""Breaches and references in rows of both databases, and how a person lets an execution go."""

import importlib.util
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from strategy_engine.core.clock import SystemClock
from strategy_engine.core.errors import ConflictError, NotFoundError
from strategy_engine.execution import stops, store
from strategy_engine.execution.model import Execution, ExecutionConfig, ExecutionStatus
from strategy_engine.execution.stops import Stop, StoppedError
from strategy_engine.infra import audit
from strategy_engine.registry.model import Content, Trigger
from strategy_engine.risk import breach_store, overseeing, references
from strategy_engine.risk.breach_store import Kept
from strategy_engine.risk.breaches import Breach, over
from strategy_engine.risk.course import Course
from strategy_engine.risk.model import Action
from strategy_engine.risk.overseeing import Overseeing
from strategy_engine.risk.rules import Measure
from strategy_engine.venue.limits import Scope
from strategy_engine.venue.model import RiskState

PROGRAM = Path(__file__).parent / "runners" / "execution_node.py"
_spec = importlib.util.spec_from_file_location("execution_node_for_risk", PROGRAM)
world = importlib.util.module_from_spec(_spec)
sys.modules["execution_node_for_risk"] = world
_spec.loader.exec_module(world)

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
NODE = "node-1"
CODE = """
class Waiting:
    def generate_signal(self, market_data):
        return "HOLD"
"""


@pytest.fixture
async def control(
    tmp_path: Path, server: str | None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Any]:
    if server is not None:
        monkeypatch.setenv("DATABASE_URL", server)
    world.create_tables(tmp_path)
    async with world.control(tmp_path, confirm_s=0.0) as found:
        yield found


def desk(control: Any) -> Overseeing:
    return Overseeing(database=control.database, clock=SystemClock())


def breach(number: int, **changes: Any) -> Breach:
    made = Breach(
        breach_id=f"breach_{number}",
        measure=Measure.MAX_DRAWDOWN,
        scope=Scope.EXECUTION,
        subject="exec_1",
        value=-0.21,
        limit=-0.2,
        limit_scope=Scope.VERSION,
        limit_subject="strat_1",
        action=Action.HALT,
        factor=0.5,
        executions=("exec_1",),
        sample=1,
        message="the drawdown is -21.00%",
        began_at=NOW.replace(minute=number),
    )
    return replace(made, **changes)


async def insert(control: Any, *found: Breach, node: str = NODE) -> None:
    async with control.database.write() as connection:
        for each in found:
            await breach_store.insert_breach(connection, each, node)


async def lasting(control: Any, node: str | None = None) -> list[Breach]:
    async with control.database.read() as connection:
        return await breach_store.lasting(connection, node)


async def started(control: Any, name: str = "Line", **config: Any) -> Execution:
    content = Content(strategy_name=name, version="1.0.0", code=CODE)
    strategy, _ = await control.registry.create(content, actor="tester")
    for trigger in (Trigger.VALIDATE, Trigger.APPROVE, Trigger.DEPLOY):
        await control.registry.move(strategy.strategy_id, trigger, actor="tester")
    asked = ExecutionConfig(**config)
    return await control.executions.start(strategy.strategy_id, asked, actor="tester")


async def changed(control: Any, row: Execution, **changes: Any) -> None:
    async with control.database.write() as connection:
        await store.update(connection, replace(row, **changes))


def kept(scope: Scope, subject: str, *, pnl: int, peak: int, reset_no: int = 0) -> Kept:
    reference = references.come_to(
        references.begin(Decimal(peak), 5), Decimal(pnl), day=6, day_pnl=Decimal(-7)
    )
    course = Course(close_ns=9, peak_pnl=Decimal(peak), days=((5, 1.0), (6, 0.9)))
    return Kept(scope=scope, subject=subject, reference=reference, course=course, reset_no=reset_no)


async def keep(control: Any, *found: Kept) -> None:
    async with control.database.write() as connection:
        await breach_store.keep_references(connection, found, at=NOW)


async def references_of(control: Any, *names: tuple[Scope, str]) -> dict[Any, Kept]:
    async with control.database.read() as connection:
        return await breach_store.references(connection, names)


async def test_a_breach_is_read_as_it_was_written_and_once(control):
    await insert(control, breach(1), breach(1))

    assert await lasting(control) == [breach(1)]
    assert await desk(control).page() == ([breach(1)], 1)


async def test_a_breach_that_is_over_lasts_no_more_but_is_kept(control):
    ended = over(breach(1, executions=("exec_1", "exec_2")), NOW)
    await insert(control, breach(1), breach(2))
    async with control.database.write() as connection:
        await breach_store.update_breach(connection, ended)

    assert await lasting(control) == [breach(2)]
    assert await desk(control).page() == ([breach(2), ended], 2)


async def test_breaches_are_found_by_node_and_by_execution(control):
    await insert(control, breach(1))
    await insert(control, breach(2, executions=("exec_11",)), node="node-2")

    assert await lasting(control, NODE) == [breach(1)]
    assert await desk(control).page(execution_id="exec_1") == ([breach(1)], 1)
    assert await desk(control).page(execution_id="exec_11", limit=1) == (
        [breach(2, executions=("exec_11",))],
        1,
    )


async def test_references_are_read_as_they_were_written_last(control):
    name = Scope.LINE, "RSI"
    await keep(control, kept(*name, pnl=10, peak=20), kept(Scope.ENGINE, "", pnl=1, peak=2))
    await keep(control, kept(*name, pnl=-5, peak=30))

    assert await references_of(control, name) == {name: kept(*name, pnl=-5, peak=30)}
    assert await references_of(control) == {}


async def test_who_knows_nothing_of_a_reset_does_not_undo_it(control):
    row = await started(control)
    await changed(control, row, risk_state=RiskState.REDUCING)
    name = Scope.LINE, "Line"
    await keep(control, kept(*name, pnl=-5, peak=30))

    await desk(control).reset(row.execution_id, actor="ann", why="looked at")
    await keep(control, kept(*name, pnl=-6, peak=30))

    found = (await references_of(control, name))[name]
    assert (found.reset_no, found.reference.peak_pnl, found.reference.pnl) == (1, -5, -5)
    await keep(control, kept(*name, pnl=-6, peak=-5, reset_no=1))
    assert (await references_of(control, name))[name].reference.pnl == -6


async def test_a_reset_lets_an_execution_be_active_and_says_who_and_why(control):
    row = await started(control)
    await changed(control, row, risk_state=RiskState.REDUCING)

    after = await desk(control).reset(row.execution_id, actor="ann", why="looked at")

    assert after.risk_state is RiskState.ACTIVE
    found = await control.executions.get(row.execution_id)
    assert found.risk_state is RiskState.ACTIVE
    async with control.database.read() as connection:
        told = await audit.history(connection, "execution", row.execution_id)
    assert (told[-1].action, told[-1].actor) == (overseeing.RESET, "ann")
    assert told[-1].details["comment"] == "looked at"


async def test_a_reset_ends_the_breaches_that_held_it_back_and_no_others(control):
    row = await started(control)
    mine = {"subject": row.execution_id, "executions": (row.execution_id,)}
    of_line = {"scope": Scope.LINE, "subject": "Line", "measure": Measure.DAILY_LOSS}
    await insert(
        control,
        breach(1, **mine),
        breach(2, **of_line),
        breach(3, measure=Measure.EXPOSURE, **mine),
    )

    await desk(control).reset(row.execution_id, actor="ann", why="looked at")

    assert [each.breach_id for each in await lasting(control)] == ["breach_3"]
    with pytest.raises(ConflictError):
        await desk(control).reset(row.execution_id, actor="ann", why="again")


async def test_there_is_nothing_to_reset_of_who_is_active(control):
    row = await started(control)

    with pytest.raises(ConflictError, match="there is nothing to reset"):
        await desk(control).reset(row.execution_id, actor="ann", why="x")
    with pytest.raises(NotFoundError):
        await desk(control).reset("exec_none", actor="ann", why="x")


async def test_an_emergency_stop_is_reset_first(control):
    row = await started(control)
    await changed(control, row, risk_state=RiskState.HALTED)
    stop = Stop(
        stop_id="stop_1",
        scope=Scope.LINE,
        subject="Line",
        flattens=False,
        is_drill=False,
        reason="prices are wrong",
        actor="bob",
        at=NOW,
    )
    async with control.database.write() as connection:
        await stops.add(connection, stop)

    with pytest.raises(StoppedError, match="prices are wrong"):
        await desk(control).reset(row.execution_id, actor="ann", why="x")


async def test_the_status_tells_what_lasts_and_whom_risk_holds_back(control):
    row = await started(control)
    await changed(control, row, desired_why="risk.pause: it lost too much")
    await insert(control, breach(1))
    await keep(control, kept(Scope.LINE, "Line", pnl=-5, peak=30))

    found = await desk(control).status()

    assert [each.execution_id for each in found.held_back] == [row.execution_id]
    assert found.lasting == [breach(1)]
    assert [each.subject for each in found.references] == ["Line"]
    assert found.stops == []


async def test_results_of_what_has_ended_are_known_by_line_and_account(control):
    one = await started(control, "One")
    other = await started(control, "Other", account="shared")
    for row, pnl in ((one, Decimal("1.5")), (other, Decimal(-4))):
        await control.executions.stop(row.strategy_id, actor="tester")
        async with control.database.write() as connection:
            now = await store.get(connection, row.execution_id)
            ended = replace(now, status=ExecutionStatus.STOPPED, final_pnl=pnl)
            await store.update(connection, ended)

    async with control.database.read() as connection:
        found = await breach_store.ended_results(connection)

    assert {(each.line, each.account, each.pnl) for each in found} == {
        ("One", "One", Decimal("1.5")),
        ("Other", "shared", Decimal(-4)),
    }
