"""Signed risk commands are obeyed once each, across restarts; nothing else in their stream is."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from strategy_engine.core.clock import SystemClock
from strategy_engine.core.errors import UnavailableError
from strategy_engine.execution import commands as execution_commands
from strategy_engine.execution.commands import Commands, Ear
from strategy_engine.execution.model import Desired, Execution, ExecutionConfig, Role
from strategy_engine.infra import audit
from strategy_engine.infra.bus import codec, commands, inbox
from strategy_engine.infra.bus.commands import Command
from strategy_engine.infra.bus.local import LocalBus
from strategy_engine.infra.bus.model import BEGINNING, Encoding, Layout, Message, Received
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.registry.model import Content, Status, Trigger
from strategy_engine.venue.model import RiskState

PROGRAM = Path(__file__).parent / "runners" / "execution_node.py"
_spec = importlib.util.spec_from_file_location("execution_node", PROGRAM)
world = importlib.util.module_from_spec(_spec)
sys.modules["execution_node"] = world
_spec.loader.exec_module(world)

SECRET = "a secret of more than thirty-two letters"
LAYOUT = Layout(trader_id="RISK-001", stream_per_topic=False)
STREAM = LAYOUT.stream_of("")
CODE = """
class Waiting:
    def generate_signal(self, market_data):
        return "HOLD"
"""


class Stamped(LocalBus):
    """The bus inside the process, its entries numbered by the time as a server's are."""

    async def read(self, positions: Any, *, wait_s: float = 0.0, limit: int = 1_000) -> Any:
        found = await super().read({}, wait_s=0)
        found = [_timed(each) for each in self._streams.get(STREAM, ()) if _after(each, positions)]
        return found[:limit]

    async def newest(self, stream: str) -> str:
        entries = self._streams.get(stream)
        return _timed(entries[-1]).entry_id if entries else BEGINNING


def _timed(entry: Received) -> Received:
    number = entry.entry_id.partition("-")[0]
    at_ms = int(datetime.now(UTC).timestamp() * 1_000)
    return Received(stream=entry.stream, entry_id=f"{at_ms}-{number}", message=entry.message)


def _after(entry: Received, positions: Any) -> bool:
    position = positions[STREAM]
    done = 0 if position == BEGINNING else int(position.partition("-")[2])
    return int(entry.entry_id.partition("-")[0]) > done


@pytest.fixture
def data_dir(tmp_path: Path, server: str | None, monkeypatch: pytest.MonkeyPatch) -> Path:
    if server is not None:
        monkeypatch.setenv("DATABASE_URL", server)
    world.create_tables(tmp_path)
    return tmp_path


@pytest.fixture
async def control(data_dir: Path) -> AsyncIterator[Any]:
    async with world.control(data_dir, confirm_s=0.0) as found:
        yield found


@pytest.fixture
def bus() -> LocalBus:
    return Stamped(LAYOUT)


def ear(control: Any, bus: LocalBus, woken: list[int] | None = None) -> Commands:
    return Commands(
        ear=Ear(stream=STREAM, secret=SECRET, holder="node-1"),
        bus=bus,
        database=control.database,
        registry=control.registry,
        clock=SystemClock(),
        wake=lambda: None if woken is None else woken.append(1),
    )


async def started(control: Any, name: str, version: str = "1.0.0") -> Execution:
    content = Content(strategy_name=name, version=version, code=CODE)
    strategy, _ = await control.registry.create(content, actor="tester")
    for trigger in (Trigger.VALIDATE, Trigger.APPROVE, Trigger.DEPLOY):
        await control.registry.move(strategy.strategy_id, trigger, actor="tester")
    return await control.executions.start(strategy.strategy_id, ExecutionConfig(), actor="tester")


def written(topic: str, command_id: str = "c-1", secret: str = SECRET, **target: Any) -> Message:
    command = Command(
        command_id=command_id, issued_at=datetime.now(UTC), reason="drawdown", **target
    )
    payload = msgspec.to_builtins(commands.sign(secret, topic, command))
    return codec.encode(topic, payload, type_name="", encoding=Encoding.JSON)


async def heard(control: Any, bus: LocalBus, *messages: Message) -> Commands:
    listener = ear(control, bus)
    await listener.turn(0)
    await bus.publish(messages)
    await listener.turn(0)
    return listener


async def now(control: Any, execution: Execution) -> Execution:
    return await control.executions.get(execution.execution_id)


async def status_of(control: Any, execution: Execution) -> Status:
    return (await control.registry.get(execution.strategy_id)).status


async def test_a_pause_pauses_the_execution_and_its_version(control, bus):
    execution = await started(control, "Line")

    await heard(control, bus, written("risk.pause", execution_id=execution.execution_id))

    found = await now(control, execution)
    assert (found.desired, found.risk_state) == (Desired.PAUSE, RiskState.ACTIVE)
    assert found.desired_why == "risk.pause: drawdown"
    assert await status_of(control, execution) is Status.PAUSED


async def test_a_reduction_lets_it_run_and_open_nothing(control, bus):
    execution = await started(control, "Line")

    await heard(control, bus, written("risk.reduce", strategy_name="Line"))

    found = await now(control, execution)
    assert (found.desired, found.risk_state) == (Desired.RUN, RiskState.REDUCING)
    assert await status_of(control, execution) is Status.RUNNING


async def test_a_halt_flattens_stops_and_says_so(control, bus):
    execution = await started(control, "Line")

    await heard(control, bus, written("risk.halt", all=True))

    found = await now(control, execution)
    assert (found.desired, found.risk_state) == (Desired.FLATTEN, RiskState.HALTED)
    assert await status_of(control, execution) is Status.STOPPED


async def test_a_line_is_every_version_of_its_name_and_no_other(control, bus):
    one, other = await started(control, "One"), await started(control, "Other")

    await heard(control, bus, written("risk.pause", strategy_name="One"))

    assert (await now(control, one)).desired is Desired.PAUSE
    assert (await now(control, other)).desired is Desired.RUN


async def test_all_is_everything_but_validation(control, bus):
    first, second = await started(control, "One"), await started(control, "Other")
    validation = await control.executions.start_validation(
        first.strategy_id, ExecutionConfig(), actor="tester"
    )

    await heard(control, bus, written("risk.halt", all=True))

    assert (await now(control, first)).desired is Desired.FLATTEN
    assert (await now(control, second)).desired is Desired.FLATTEN
    found = await control.executions.get(validation)
    assert (found.role, found.desired) == (Role.VALIDATION, Desired.RUN)


async def test_a_later_command_never_lets_go_of_what_an_earlier_one_holds(control, bus):
    execution = await started(control, "Line")

    listener = await heard(
        control,
        bus,
        written("risk.halt", "c-1", all=True),
        written("risk.pause", "c-2", all=True),
        written("risk.reduce", "c-3", all=True),
    )

    found = await now(control, execution)
    assert (found.desired, found.risk_state) == (Desired.FLATTEN, RiskState.HALTED)
    assert listener.counts == {"commands_obeyed": 3}


async def test_every_change_leaves_an_audit_row_that_names_the_command(control, bus):
    execution = await started(control, "Line")

    await heard(control, bus, written("risk.halt", all=True))

    async with control.database.read() as connection:
        rows = await audit.history(connection, "execution", execution.execution_id)
    assert (rows[-1].actor, rows[-1].action) == ("bus", "risk.halt")
    assert rows[-1].details["command_id"] == "c-1"
    assert rows[-1].details["reason"] == "drawdown"


async def test_a_command_that_comes_again_is_refused_and_counted(control, bus):
    execution = await started(control, "Line")
    message = written("risk.pause", all=True)
    listener = await heard(control, bus, message)
    await control.executions.resume(execution.strategy_id, actor="tester")

    await bus.publish([message])
    await listener.turn(0)

    assert (await now(control, execution)).desired is Desired.RUN
    assert listener.counts == {"commands_obeyed": 1, "commands_refused_repeated": 1}


async def test_what_is_not_signed_by_our_secret_changes_nothing_and_is_counted(control, bus):
    execution = await started(control, "Line")
    unsigned = codec.encode(
        "risk.halt", {"command_id": "c-1", "all": True}, type_name="", encoding=Encoding.JSON
    )
    strange = Message(topic="risk.halt", type_name="", payload=b"\xc1", encoding="json")

    listener = await heard(
        control,
        bus,
        unsigned,
        strange,
        written("risk.halt", secret="another secret of more than thirty-two", all=True),
        written("strategy.trade", all=True),
    )

    assert (await now(control, execution)).desired is Desired.RUN
    assert listener.counts == {
        "commands_refused_unsigned": 1,
        "commands_refused_unreadable": 1,
        "commands_refused_bad_signature": 1,
        "commands_refused_unknown_topic": 1,
    }


async def test_what_was_said_while_nobody_listened_is_obeyed_after_a_restart_and_once(control, bus):
    execution = await started(control, "Line")
    first = await heard(control, bus)
    await bus.publish([written("risk.pause", all=True)])
    del first

    second = ear(control, bus)
    await second.turn(0)
    await control.executions.resume(execution.strategy_id, actor="tester")
    third = ear(control, bus)
    await third.turn(0)

    assert (second.counts, third.counts) == ({"commands_obeyed": 1}, {})
    assert (await now(control, execution)).desired is Desired.RUN


async def test_what_was_said_before_anybody_ever_listened_is_not_for_what_runs_now(control, bus):
    execution = await started(control, "Line")
    await bus.publish([written("risk.halt", all=True)])

    listener = ear(control, bus)
    await listener.turn(0)
    await listener.turn(0)

    assert listener.counts == {}
    assert (await now(control, execution)).desired is Desired.RUN


async def test_a_command_is_remembered_in_the_transaction_that_obeys_it(control, bus, monkeypatch):
    execution = await started(control, "Line")
    listener = ear(control, bus)
    await listener.turn(0)
    await bus.publish([written("risk.halt", all=True)])

    async def fails(*_: Any) -> None:
        raise sa.exc.OperationalError("insert", {}, Exception("disk full"))

    with monkeypatch.context() as patched:
        patched.setattr(inbox, "keep", fails)
        with pytest.raises(DatabaseAwayError):
            await listener.turn(0)
        assert (await now(control, execution)).desired is Desired.RUN
    await listener.turn(0)

    assert (await now(control, execution)).desired is Desired.FLATTEN
    assert listener.counts == {"commands_obeyed": 1}


async def test_the_node_is_woken_by_what_is_obeyed_and_not_by_what_is_refused(control, bus):
    await started(control, "Line")
    woken: list[int] = []
    listener = ear(control, bus, woken)
    await listener.turn(0)

    await bus.publish([written("risk.pause", secret="x" * 40, all=True)])
    await listener.turn(0)
    assert woken == []
    await bus.publish([written("risk.pause", all=True)])
    await listener.turn(0)

    assert woken == [1]


async def test_a_target_that_does_not_run_is_obeyed_without_effect(control, bus):
    listener = await heard(control, bus, written("risk.halt", execution_id="exec_unknown"))

    async with control.database.read() as connection:
        row = (await connection.execute(sa.select(inbox.COMMANDS))).one()
    assert listener.counts == {"commands_obeyed": 1}
    assert (row.command_id, row.affected) == ("c-1", [])


async def test_a_broker_that_is_away_is_counted_and_what_it_held_is_obeyed(
    control, bus, monkeypatch
):
    monkeypatch.setattr(execution_commands, "RETRY_S", 0.001)
    await started(control, "Line")
    listener = await heard(control, bus)
    await bus.publish([written("risk.pause", all=True)])
    reading, failures = bus.read, iter([UnavailableError("away")] * 2)

    async def read(*given: Any, **named: Any) -> Any:
        if (error := next(failures, None)) is not None:
            raise error
        return await reading(*given, **named)

    bus.read = read
    running = asyncio.create_task(listener.run())
    async with asyncio.timeout(30):
        while "commands_obeyed" not in listener.counts:  # noqa: ASYNC110 - it sets no event
            await asyncio.sleep(0.005)
    running.cancel()
    await asyncio.wait([running])

    assert listener.counts == {"command_failures": 2, "commands_obeyed": 1}
