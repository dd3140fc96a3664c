"""A risk engine outside is asked before an order opens: a real Redis, and an engine that trades."""

import asyncio
import importlib.util
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest
import redis

from strategy_engine.core.clock import SystemClock
from strategy_engine.execution.asking import BusVeto, Line
from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.infra.bus import checks
from strategy_engine.infra.bus.checks import CheckAnswered, Checking
from strategy_engine.infra.bus.model import Encoding, Layout
from strategy_engine.infra.bus.streams import RedisBus
from strategy_engine.infra.meters import NodeMeters
from strategy_engine.registry.model import Content, Trigger

RUNNERS = Path(__file__).parent / "runners"


def runner(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, RUNNERS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


servers, world = runner("redis_server"), runner("execution_node")

SECRET = "a secret of more than thirty-two letters"
DEADLINE_MS = 4_000  # a busy machine answers within it; who is not answered is waited for so long
LAYOUT = Layout()
REQUESTED, ANSWERED = (LAYOUT.own_stream_of(each) for each in (checks.REQUESTED, checks.ANSWERED))
pytestmark = pytest.mark.timeout(240)

ALTERNATING = """
class Alternating:
    lookback = 5

    def generate_signal(self, market_data):
        return "SELL" if market_data["position"] else "BUY"
"""
NATIVE = """
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy


class TurnsConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId
    bar_type: BarType


class Turns(Strategy):
    def on_start(self):
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar):
        instrument = self.cache.instrument(self.config.instrument_id)
        held = self.portfolio.is_net_long(instrument.id)
        side = OrderSide.SELL if held else OrderSide.BUY
        self.submit_order(
            self.order_factory.market(instrument.id, side, instrument.make_qty(1_000))
        )
"""

type Said = tuple[bool, str] | None


def allow(_check: dict[str, Any]) -> Said:
    return True, ""


def refuse(_check: dict[str, Any]) -> Said:
    return False, "too much of it"


def silence(_check: dict[str, Any]) -> Said:
    return None


class RiskEngine:
    """Reads what is asked, and answers as it is told to, in a thread."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.says: Callable[[dict[str, Any]], Said] = allow
        self.asked: list[dict[str, Any]] = []
        self._is_over = threading.Event()
        with server.client() as client:
            newest = client.xrevrange(REQUESTED, count=1)
        self._position = newest[0][0] if newest else "0-0"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def of(self, execution_id: str) -> list[dict[str, Any]]:
        return [each for each in list(self.asked) if each["execution_id"] == execution_id]

    def answer(
        self, check_id: str, *, allowed: bool = True, reason: str = "", secret: str = SECRET
    ) -> None:
        answered = CheckAnswered(
            check_id=check_id, allowed=allowed, issued_at=datetime.now(UTC), reason=reason
        )
        self.write(msgspec.to_builtins(checks.sign(secret, answered)))

    def write(self, payload: dict[str, Any]) -> None:
        fields = {"topic": checks.ANSWERED, "payload": json.dumps(payload), "encoding": "json"}
        with self.server.client() as client:
            client.xadd(ANSWERED, fields)

    def end(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.is_set():
            try:
                with self.server.client() as client:
                    found = client.xread({REQUESTED: self._position}, block=50) or []
                for _, entries in found:
                    for entry_id, fields in entries:
                        self._position = entry_id
                        self._hear(json.loads(fields[b"payload"]))
            except redis.RedisError:
                self._is_over.wait(0.02)

    def _hear(self, check: dict[str, Any]) -> None:
        said = self.says(check)
        if said is not None:
            self.answer(check["check_id"], allowed=said[0], reason=said[1])
        self.asked.append(check)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with servers.running(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def engine(start_engine: Callable[..., Any], server: Any) -> Any:
    return start_engine(
        REDIS_URL=server.url,
        PIPELINE_STAGES="syntax_check",
        STRATEGY_METRICS_INTERVAL="0.5",
        STRATEGY_BUS_COMMAND_SECRET=SECRET,
        RISK_VETO="closed",
        RISK_VETO_DEADLINE_MS=str(DEADLINE_MS),
    )


@pytest.fixture
def risk(server: Any) -> Iterator[RiskEngine]:
    made = RiskEngine(server)
    yield made
    made.end()


@pytest.fixture(scope="module")
def version(engine: Any) -> str:
    return deployed(engine, "Asked", ALTERNATING)


def deployed(engine: Any, name: str, code: str) -> str:
    body = {
        "strategy_name": name,
        "version": "1.0.0",
        "code": code,
        "risk_limits": {"max_position_size": 50_000, "daily_loss_limit": -50_000},
    }
    if code == NATIVE:
        body["parameters"] = {"symbols": ["EUR/USD.SIM"]}
    strategy_id: str = engine.post("/strategies", body)["strategy_id"]
    pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy")["pipeline_id"]
    path = f"/deployments/{pipeline_id}/status"
    ended = engine.until(path, lambda now: now["status"] in {"completed", "failed"}, timeout_s=90)
    assert ended["status"] == "completed", ended
    return strategy_id


class Trading:
    """One execution, from its start to its stop."""

    def __init__(self, engine: Any, strategy_id: str, **config: Any) -> None:
        self.engine, self.strategy_id = engine, strategy_id
        wanted = {"execution_config": {"speed": 50} | config}
        self.name = engine.post(f"/strategies/{strategy_id}/start", wanted)["execution_id"]
        self.path = f"/executions/{self.name}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.post(f"/strategies/{self.strategy_id}/stop")

    def until(self, is_so: Callable[[Any], bool]) -> Any:
        return self.engine.until(self.path, is_so, timeout_s=60)

    def orders(self, code: str | None = None) -> list[dict[str, Any]]:
        found = self.engine.get(f"{self.path}/orders?limit=5000")["orders"]
        return [each for each in found if code is None or each["denial_code"] == code]

    def denied(self, code: str = "vetoed", *, least: int = 1) -> list[dict[str, Any]]:
        until(lambda: len(self.orders(code)) >= least)
        return self.orders(code)


def until(is_so: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def counted(engine: Any, sample: str) -> float:
    status, text = engine.call("GET", "/metrics", headers={"accept": "text/plain"})
    assert status == 200
    lines = [each for each in text.splitlines() if each.startswith(sample)]
    return sum(float(each.rpartition(" ")[2]) for each in lines)


def checked(engine: Any, outcome: str) -> float:
    return counted(engine, f'strategy_risk_checks_total{{node="local",outcome="{outcome}"}}')


def refused(engine: Any, why: str) -> float:
    return counted(engine, f'strategy_risk_answers_refused_total{{node="local",why="{why}"}}')


def test_what_is_allowed_goes_and_only_what_opens_is_asked_about(engine, version, risk):
    with Trading(engine, version) as trading:
        trading.until(lambda now: now["fill_count"] >= 6)
    trades = engine.get(f"{trading.path}/trades?limit=5000")["trades"]
    asked = risk.of(trading.name)

    opened = [each["order_id"] for each in trades if each["opens"]]
    assert [each["order_id"] for each in asked][: len(opened)] == opened
    assert len(opened) <= len(asked) <= len(opened) + 1
    assert {each["side"] for each in asked} == {"BUY"}
    assert len({each["check_id"] for each in asked}) == len(asked)
    first = asked[0]
    assert (first["strategy_name"], first["strategy_id"]) == ("Asked", version)
    assert (first["position"], first["quantity"] > 0) == (0.0, True)
    assert first["notional"] == pytest.approx(first["quantity"] * first["price"])
    times = [datetime.fromisoformat(first[each]) for each in ("asked_at", "deadline_at")]
    assert (times[1] - times[0]).total_seconds() * 1_000 == pytest.approx(DEADLINE_MS)


def test_what_is_vetoed_is_denied_in_the_ledger_told_and_counted(engine, version, risk, server):
    risk.says = refuse
    with Trading(engine, version) as trading:
        denied = trading.denied(least=3)
        found = trading.until(lambda now: now["performance_metrics"].get("denial_count", 0) >= 3)
        until(lambda: counted(engine, 'strategy_denials_total{code="vetoed"') >= 3)

    assert {each["reason"] for each in denied} == {"the risk engine said: too much of it"}
    assert found["fill_count"] == 0
    told = server.entries(LAYOUT.stream_of("strategy.order.denied"))
    published = [json.loads(each["payload"]) for each in told]
    codes = {each["order"]["denial_code"] for each in published if trading.name in str(each)}
    assert codes == {"vetoed"}


def test_orders_of_a_native_strategy_are_asked_about_and_its_exits_are_not(engine, risk):
    native = deployed(engine, "Native, asked", NATIVE)
    verdicts = iter([False, False])
    risk.says = lambda _check: (next(verdicts, True), "not yet")

    with Trading(engine, native, symbols=["EUR/USD.SIM"]) as trading:
        trading.until(lambda now: now["fill_count"] >= 4)
        orders = trading.orders()

    denied = [each for each in orders if each["denial_code"] == "vetoed"]
    assert [each["reason"] for each in denied] == ["the risk engine said: not yet"] * 2
    sold = [each for each in orders if each["side"] == "SELL"]
    assert {each["side"] for each in risk.asked} == {"BUY"}
    assert sold
    assert {each["denial_code"] for each in sold} == {None}


def test_an_answer_that_is_forged_or_late_does_not_count(engine, version, risk):
    risk.says = silence
    wrong = ("bad_signature", "unsigned", "unknown_check", "late")
    before = {why: refused(engine, why) for why in wrong}
    with Trading(engine, version) as trading:
        until(lambda: len(risk.of(trading.name)) == 1)
        check_id = risk.asked[0]["check_id"]
        risk.answer(check_id, secret="another secret of thirty-two letters")
        risk.write({"check_id": check_id, "allowed": True})
        risk.answer("local/of-nobody/1")
        denied = trading.denied()[0]
        risk.says = allow
        risk.answer(check_id)
        trading.until(lambda now: now["fill_count"] >= 2)
        for why, count in before.items():
            until(lambda each=why, least=count: refused(engine, each) > least)

    assert denied["reason"] == f"no answer within {DEADLINE_MS} ms; RISK_VETO is closed"
    assert checked(engine, "unanswered") >= 1


@pytest.mark.soak
def test_an_answer_that_is_repeated_does_not_count_twice(engine, version, risk):
    risk.says = refuse
    with Trading(engine, version) as trading:
        trading.denied()
        risk.says = silence
        risk.answer(risk.asked[0]["check_id"])
        until(lambda: refused(engine, "repeated") == 1)

    assert trading.engine.get(trading.path)["fill_count"] == 0


def test_a_broker_that_is_gone_lets_nothing_be_opened_until_it_is_back(
    engine, version, risk, server
):
    with Trading(engine, version) as trading:
        trading.until(lambda now: now["fill_count"] >= 2)
        server.kill()
        try:
            denied = trading.denied(least=2)
        finally:
            server.start()
        before = trading.engine.get(trading.path)["fill_count"]
        trading.until(lambda now: now["fill_count"] > before)

    away = "no answer, the broker is away; RISK_VETO is closed"
    taken = f"no answer within {DEADLINE_MS} ms; RISK_VETO is closed"  # and not read any more
    reasons = [each["reason"] for each in denied]
    assert away in reasons
    assert reasons.count(taken) <= 1
    assert {*reasons} <= {away, taken}


def test_an_emergency_stop_does_not_wait_for_an_answer(engine, version, risk):
    risk.says = silence
    given_up = checked(engine, "held_back")
    with Trading(engine, version) as trading:
        until(lambda: len(risk.of(trading.name)) == 1)
        wish = {"scope": "execution", "subject": trading.name, "reason": "prices are wrong"}
        stop_id = engine.post("/risk/emergency-stop", wish)["stop"]["stop_id"]
        risk.answer(risk.asked[0]["check_id"])  # allowed meanwhile: the gate judges it all the same
        (denied, *_) = trading.denied("killed")
        until(lambda: checked(engine, "held_back") == given_up + 1)
        engine.post(f"/risk/emergency-stops/{stop_id}/reset", {"comment": "they are right"})

    assert denied["order_id"] == risk.asked[0]["order_id"]
    assert engine.get(trading.path)["fill_count"] == 0


@pytest.mark.soak
def test_a_stop_does_not_wait_for_an_answer(engine, version, risk):
    risk.says = silence
    given_up, missed = checked(engine, "held_back"), checked(engine, "unanswered")
    with Trading(engine, version) as trading:
        until(lambda: len(risk.of(trading.name)) == 1)
    stopped = trading.until(lambda now: now["status"] == "stopped")
    until(lambda: checked(engine, "held_back") == given_up + 1)

    (order,) = trading.orders()
    assert order["reason"] == "the execution was held back before the risk engine had answered"
    assert (stopped["fill_count"], checked(engine, "unanswered")) == (0, missed)


@pytest.mark.soak
@pytest.mark.parametrize(
    "how", [pytest.param(signal.SIGTERM, marks=pytest.mark.soak), signal.SIGKILL]
)
def test_a_node_that_ends_while_it_waits_decides_again_and_asks_again(engine, version, risk, how):
    risk.says = silence
    with Trading(engine, version) as trading:
        until(lambda: len(risk.of(trading.name)) == 1)
        os.kill(next(pid for name, pid in engine.children().items() if "node" in name), how)
        risk.says = allow
        trading.until(lambda now: now["fill_count"] >= 2)
    first, again = risk.of(trading.name)[:2]

    assert first["order_id"] == again["order_id"]
    assert first["check_id"] != again["check_id"]
    assert first["order_id"] not in {each["order_id"] for each in trading.orders("vetoed")}


async def test_open_means_that_orders_go_without_a_broker_and_that_this_is_told(tmp_path, server):
    meters, clock = NodeMeters(), SystemClock()
    with servers.running(tmp_path) as gone:
        bus = RedisBus(gone.url, LAYOUT)
    line = Line(
        checking=Checking(is_open=True, deadline_s=5.0),
        node_id=world.NODE_ID,
        stream=ANSWERED,
        encoding=Encoding.JSON,
        secret=SECRET,
    )
    veto = BusVeto(line, bus, clock, meters)
    asking = asyncio.create_task(veto.run())
    world.create_tables(tmp_path)
    async with world.control(tmp_path) as control, world.node(tmp_path, veto=veto):
        content = Content(strategy_name="Open", version="1.0.0", code=ALTERNATING)
        strategy, _ = await control.registry.create(content, actor="tester")
        for trigger in (Trigger.VALIDATE, Trigger.APPROVE, Trigger.DEPLOY):
            await control.registry.move(strategy.strategy_id, trigger, actor="tester")
        config = ExecutionConfig(speed=300)
        found = await control.executions.start(strategy.strategy_id, config, actor="tester")

        async def is_told() -> bool:
            trades = await control.records.trades(found.execution_id, limit=500)
            return len(trades) > 3 and bool(
                (await control.executions.get(found.execution_id)).notices
            )

        async with asyncio.timeout(60):
            while not await is_told():  # noqa: ASYNC110 - it happens in another process
                await asyncio.sleep(0.02)
        row = await control.executions.get(found.execution_id)
        denials = await control.records.denial_counts(found.execution_id)
    asking.cancel()
    await bus.aclose()

    assert denials == {}
    assert list(row.notices) == [
        "an order went without the risk engine: no answer, the broker is away; RISK_VETO is open"
    ]
    assert meters.registry.get_sample_value(
        "strategy_risk_checks_total", {"outcome": "unreachable"}
    )
