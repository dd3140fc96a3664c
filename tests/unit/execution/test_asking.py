"""Asking a risk engine over a bus: who waits for what, what is told, and what does not count."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from strategy_engine.core.clock import SystemClock
from strategy_engine.core.errors import UnavailableError
from strategy_engine.execution import veto
from strategy_engine.execution.asking import BusVeto, Line
from strategy_engine.execution.engagement import Engagement
from strategy_engine.execution.model import (
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Exits,
    Role,
)
from strategy_engine.execution.reins import Reins
from strategy_engine.execution.veto import DrainedError, NoVeto, Vet
from strategy_engine.infra.bus import checks, codec
from strategy_engine.infra.bus.checks import CheckAnswered, Checking
from strategy_engine.infra.bus.model import Encoding, Message, Received
from strategy_engine.infra.meters import NodeMeters
from strategy_engine.matching.model import Order, Side, Terms
from strategy_engine.registry.model import Content
from strategy_engine.venue.gate import Around, GateRequest
from strategy_engine.venue.limits import NO_LIMITS, Scope
from strategy_engine.venue.model import ALWAYS, RiskState
from strategy_engine.venue.oversight import Oversight, Seat, Who
from strategy_engine.venue.vetting import Answers

SECRET = "a secret of more than thirty-two letters"
STREAM = "trader-X-1:stream:risk.check.answered"
WHO = Who(execution_id="exec_1", strategy_id="strat_1", line="RSI", account="main")
TERMS = Terms(symbol="X", tick_nanos=10_000_000, lot_nanos=10**9)
LONG_S = 30.0  # a deadline that no test waits for


class TimedBus:
    """A broker whose entries are numbered by the time, and that can be away."""

    def __init__(self) -> None:
        self.published: list[list[dict[str, Any]]] = []
        self.entries: list[Received] = []
        self.is_away = False
        self._count = 0
        self.news = asyncio.Condition()

    async def publish(self, messages: Sequence[Message]) -> None:
        self._check()
        self.published.append([codec.decode(each) for each in messages])
        async with self.news:
            self.news.notify_all()

    async def read(
        self, positions: Mapping[str, str], *, wait_s: float = 0.5, limit: int = 1_000
    ) -> list[Received]:
        self._check()
        after = positions[STREAM]
        async with self.news:
            await self.news.wait_for(lambda: self.is_away or self._after(after))
        self._check()
        return self._after(after)[:limit]

    async def newest(self, stream: str) -> str:
        self._check()
        return self.entries[-1].entry_id if self.entries else "0-0"

    async def ping(self) -> None:
        self._check()

    async def aclose(self) -> None:
        return

    async def turn(self, *, is_away: bool) -> None:
        self.is_away = is_away
        async with self.news:
            self.news.notify_all()

    async def answer(self, check_id: str, *, allowed: bool = True, **more: Any) -> None:
        given = {"secret": SECRET, "topic": checks.ANSWERED, "at": datetime.now(UTC)} | more
        said = CheckAnswered(
            check_id=check_id,
            allowed=allowed,
            issued_at=given["at"],
            reason=given.get("reason", ""),
        )
        payload = msgspec.to_builtins(checks.sign(given["secret"], said))
        self._count += 1
        entry_id = f"{int(datetime.now(UTC).timestamp() * 1_000)}-{self._count}"
        message = codec.encode(given["topic"], payload, type_name="", encoding=Encoding.JSON)
        async with self.news:
            self.entries.append(Received(stream=STREAM, entry_id=entry_id, message=message))
            self.news.notify_all()

    async def asked(self, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many checks are published, and return them."""
        async with self.news, asyncio.timeout(20):
            await self.news.wait_for(lambda: sum(map(len, self.published)) >= count)
        return [each for batch in self.published for each in batch]

    def _check(self) -> None:
        if self.is_away:
            raise UnavailableError("Redis at nowhere does not serve")

    def _after(self, entry_id: str) -> list[Received]:
        found = [each.entry_id for each in self.entries]
        return self.entries[found.index(entry_id) + 1 if entry_id in found else 0 :]


async def never() -> None:
    await asyncio.Event().wait()


def request(order_id: str = "O-1", lots: int = 10) -> GateRequest:
    return GateRequest(
        order=Order(
            symbol="X",
            side=Side.SELL,
            lots=lots,
            opens=True,
            decided_ns=1_500_000_000 * 10**9,
            order_id=order_id,
        ),
        terms=TERMS,
        limits=NO_LIMITS,
        symbols=("X",),
        fee_ppm=0,
        is_running=True,
        risk_state=RiskState.ACTIVE,
        epoch=1,
        highest_epoch=1,
        mark_ticks=250,
        lots_before=-5,
        free_nanos=0,
        day_pnl_nanos=0,
        around=Around(mark_ticks=200),
    )


class Asker:
    """A veto that runs, its broker and what it counts."""

    def __init__(self, *, deadline_s: float, is_open: bool) -> None:
        self.bus, self.meters = TimedBus(), NodeMeters()
        line = Line(
            checking=Checking(is_open=is_open, deadline_s=deadline_s),
            node_id="node-1",
            stream=STREAM,
            encoding=Encoding.MSGPACK,
            secret=SECRET,
        )
        self.veto = BusVeto(line, self.bus, SystemClock(), self.meters)

    def ask(
        self, *wanted: GateRequest, held_back: Callable[[], Awaitable[None]] = never
    ) -> asyncio.Task[Answers]:
        return asyncio.create_task(self.veto.ask(WHO, wanted or (request(),), held_back))

    def checked(self, outcome: str) -> float | None:
        return self._value("strategy_risk_checks_total", outcome=outcome)

    def refused(self, why: str) -> float | None:
        return self._value("strategy_risk_answers_refused_total", why=why)

    async def has_refused(self, why: str, count: int = 1) -> None:
        async with asyncio.timeout(20):
            while (self.refused(why) or 0) < count:  # noqa: ASYNC110 - a reader in the same loop
                await asyncio.sleep(0)

    def _value(self, name: str, **labels: str) -> float | None:
        return self.meters.registry.get_sample_value(name, labels)


@asynccontextmanager
async def asker(*, deadline_s: float = LONG_S, is_open: bool = False) -> AsyncIterator[Asker]:
    made = Asker(deadline_s=deadline_s, is_open=is_open)
    running = asyncio.create_task(made.veto.run())
    yield made
    running.cancel()


async def test_a_check_says_what_is_to_go_and_an_answer_decides() -> None:
    async with asker() as made:
        task = made.ask()
        (asked,) = await made.bus.asked()
        await made.bus.answer(asked["check_id"], allowed=False, reason="too much")
        found = await task

    assert found.against("O-1", 10) == "the risk engine said: too much"
    assert made.checked("vetoed") == 1
    when = {name: asked.pop(name) for name in ("check_id", "asked_at", "deadline_at")}
    assert asked == {
        "execution_id": "exec_1",
        "strategy_id": "strat_1",
        "strategy_name": "RSI",
        "account": "main",
        "order_id": "O-1",
        "symbol": "X",
        "side": "SELL",
        "quantity": 10.0,
        "price": 2.0,
        "notional": 20.0,
        "position": -5.0,
        "decided_at": "2017-07-14T02:40:00Z",
    }
    asked_at, deadline_at = (
        datetime.fromisoformat(when[name]) for name in ("asked_at", "deadline_at")
    )
    assert deadline_at - asked_at == timedelta(seconds=LONG_S)


async def test_two_hundred_that_ask_are_published_together_and_each_hears_its_own() -> None:
    async with asker() as made:
        tasks = [made.ask(request(f"O-{number}")) for number in range(200)]
        asked = await made.bus.asked(200)
        for number, each in enumerate(reversed(asked)):
            await made.bus.answer(each["check_id"], allowed=number % 2 == 0)
        found = await asyncio.gather(*tasks)

    assert len(made.bus.published) <= 2
    refused = [each.against(f"O-{number}", 10) for number, each in enumerate(found)]
    assert [each is None for each in refused] == [number % 2 == 1 for number in range(200)]


async def test_without_an_answer_by_the_deadline_it_does_not_go() -> None:
    async with asker(deadline_s=0.02) as made:
        found = await made.ask()
        (asked,) = await made.bus.asked()
        await made.bus.answer(asked["check_id"])
        await made.has_refused("late")

    assert found.against("O-1", 10) == "no answer within 20 ms; RISK_VETO is closed"
    assert made.checked("unanswered") == 1


async def test_a_wait_that_is_over_leaves_nothing_behind_that_the_loop_complains_of() -> None:
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
    async with asker(deadline_s=0.02) as made:
        await made.ask(request("O-1"), request("O-2"))
    gc.collect()
    await asyncio.sleep(0)

    assert complaints == []


async def test_where_that_is_open_it_goes_and_is_told() -> None:
    async with asker(deadline_s=0.02, is_open=True) as made:
        found = await made.ask()

    assert found.against("O-1", 10) is None
    assert "no answer within 20 ms" in found.notices[0]
    assert made.checked("unanswered") == 1


@pytest.mark.parametrize("is_open", [True, False])
async def test_a_broker_that_is_away_makes_nobody_wait(*, is_open: bool) -> None:
    async with asker(is_open=is_open) as made:
        await made.bus.turn(is_away=True)
        found = await made.ask()
        await made.bus.turn(is_away=False)
        again = made.ask()
        (asked,) = await made.bus.asked()
        await made.bus.answer(asked["check_id"])
        after = await again

    assert made.checked("unreachable") == 1
    assert (found.against("O-1", 10) is None) is is_open
    assert (after.against("O-1", 10), made.checked("allowed")) == (None, 1)


async def test_what_does_not_count_is_counted() -> None:
    async with asker() as made:
        task = made.ask()
        (asked,) = await made.bus.asked()
        check_id = asked["check_id"]
        await made.bus.answer(check_id, secret="another secret of thirty-two letters")
        await made.bus.answer(check_id, topic="risk.halt")
        await made.bus.answer(check_id, at=datetime.now(UTC) - timedelta(seconds=120))
        await made.bus.answer("node-1/elsewhere/1")
        await made.bus.answer("nonsense")
        await made.bus.answer("node-2/elsewhere/1")  # another node's, which hears it itself
        await made.has_refused("unknown_check", 2)
        assert not task.done()
        await made.bus.answer(check_id, allowed=False, reason="the first counts")
        await made.bus.answer(check_id)
        found = await task
        await made.has_refused("repeated")

    assert found.against("O-1", 10) == "the risk engine said: the first counts"
    for why in ("bad_signature", "unknown_topic", "out_of_time"):
        assert made.refused(why) == 1
    assert made.refused("unknown_check") == 2


async def test_what_was_said_before_anybody_asked_is_passed_over() -> None:
    made = Asker(deadline_s=LONG_S, is_open=False)
    await made.bus.answer("node-1/before/1", secret="another secret of thirty-two letters")
    running = asyncio.create_task(made.veto.run())
    task = made.ask()
    (asked,) = await made.bus.asked()
    await made.bus.answer(asked["check_id"])
    await task
    running.cancel()

    assert made.refused("bad_signature") is None


async def test_what_is_given_up_does_not_go_though_it_is_open() -> None:
    given_up = asyncio.Event()

    async def held_back() -> None:
        await given_up.wait()

    async with asker(is_open=True) as made:
        task = made.ask(request("O-1"), request("O-2"), held_back=held_back)
        asked = await made.bus.asked(2)
        await made.bus.answer(asked[0]["check_id"])
        await made.bus.answer("nonsense")
        await made.has_refused("unknown_check")  # so the answer before it is read
        given_up.set()
        found = await task

    assert found.against("O-1", 10) is None
    assert "held back" in (found.against("O-2", 10) or "")
    assert (made.checked("allowed"), made.checked("held_back")) == (1, 1)


# --- one execution's


class Silent:
    """A risk engine that says nothing until it is given up."""

    unasked = Answers(otherwise="not asked")

    def __init__(self) -> None:
        self.is_asked, self.is_over = asyncio.Event(), False

    async def ask(
        self, who: Who, wanted: Sequence[GateRequest], held_back: Callable[[], Awaitable[None]]
    ) -> Answers:
        self.is_asked.set()
        await held_back()
        self.is_over = True
        return Answers(otherwise="given up")


def wanting(**changes: Any) -> Engagement:
    given = {
        "desired": Desired.RUN,
        "why": "",
        "risk_state": RiskState.ACTIVE,
        "role": Role.STABLE,
        "serves": ALWAYS,
        "exits": Exits.OWN,
        "capital_target": None,
    }
    return Engagement(**given | changes)


HOLDING_BACK = [
    {"desired": Desired.PAUSE},
    {"desired": Desired.STOP},
    {"desired": Desired.FLATTEN},
    {"desired": Desired.DRAIN},
    {"risk_state": RiskState.REDUCING},
    {"risk_state": RiskState.HALTED},
]


@pytest.mark.parametrize("changes", HOLDING_BACK, ids=lambda each: str(*each.values()))
async def test_whoever_may_open_nothing_any_more_waits_for_no_answer(changes: Any) -> None:
    silent, reins = Silent(), Reins()
    reins.engage(wanting())
    vet = Vet(silent, WHO, reins)
    task = asyncio.create_task(vet.ask((request(),), Seat()))
    await silent.is_asked.wait()
    reins.engage(wanting(capital_target=5))  # what does not hold it back lets it wait
    await asyncio.sleep(0)
    assert not silent.is_over

    reins.engage(wanting(**changes))

    async with asyncio.timeout(20):
        assert (await task).otherwise == "given up"


async def test_an_emergency_stop_ends_the_wait() -> None:
    silent, reins, node = Silent(), Reins(), Oversight()
    reins.engage(wanting())
    task = asyncio.create_task(Vet(silent, WHO, reins).ask((request(),), node.seat(WHO, {})))
    await silent.is_asked.wait()

    node.kill.stop(Scope.LINE, "RSI", "prices are wrong")
    reins.stir()

    async with asyncio.timeout(20):
        assert (await task).otherwise == "given up"


async def test_whoever_is_drained_leaves_its_decision_to_who_comes_next() -> None:
    silent, reins = Silent(), Reins()
    task = asyncio.create_task(Vet(silent, WHO, reins).ask((request(),), Seat()))
    await silent.is_asked.wait()

    reins.drain()

    with pytest.raises(DrainedError):
        await task


async def test_where_nothing_opens_nobody_is_asked() -> None:
    silent = Silent()
    assert await Vet(silent, WHO, Reins()).ask((), Seat()) == silent.unasked
    assert not silent.is_asked.is_set()


@pytest.mark.parametrize("role", Role)
async def test_a_validation_run_asks_nobody(role: Role) -> None:
    silent, reins = Silent(), Reins()
    mine = Execution(
        execution_id="exec_1",
        strategy_id="strat_1",
        role=role,
        status=ExecutionStatus.RUNNING,
        desired=Desired.RUN,
        config=ExecutionConfig(),
        capital=Decimal(1),
        created_at=datetime.now(UTC),
        updated_at=datetime.now(UTC),
    )
    content = Content(strategy_name="RSI", version="1.0.0", code="")
    vet = veto.vet_of(silent, mine, content, reins)

    is_asked = vet.unasked == silent.unasked
    assert is_asked is (role is not Role.VALIDATION)
    if not is_asked:
        assert await vet.ask((request(),), Seat()) == NoVeto.unasked
