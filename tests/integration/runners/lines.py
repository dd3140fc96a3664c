"""A strategy's line on a running engine: its versions, sound and harmful, and what becomes of them.

Every version follows the same short trend. What is wrong with one begins when it holds something,
which it does only once capital was given to it; or, for some, with its sixth bar in shadow.
"""

import contextlib
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from strategy_engine.market.service import Catalogue

EURUSD, MIRROR = "EUR/USD.SIM", "MIRROR/USD.SIM"
CAPITAL = Decimal(100_000)
LIMITS = {"max_position_size": 60_000, "daily_loss_limit": -50_000}
# The gate refuses entries at once; the monitor, which would pause, only tells of it.
REFUSES = {"daily_loss_limit": -1, "actions": {"daily_loss_limit": "alert"}}
UNENDED = {"starting", "running", "paused"}
CONTROL, NODE, EVERYTHING = "engine-control", "engine-node", "everything"
WORKING = {"submitted", "accepted", "triggered", "partially_filled"}
LONG_S = 100.0  # a rollout that is not over by then never will be

CODE = '''
import random


class Version:
    """Follows the trend of nine bars; `kind` says what else it does."""

    def __init__(self, kind="sound", in_shadow=False, seed=None):
        self.kind = kind
        self.in_shadow = in_shadow
        self.chance = random.Random(seed)
        self.bars = 0

    def generate_signal(self, market_data):
        self.bars += 1
        held = market_data["position"] != 0
        if held or (self.in_shadow and self.bars > 5):
            if self.kind == "raises":
                raise ValueError("the feed has no volume")
            if self.kind == "hangs":
                while True:
                    pass
            if self.kind == "random" and self.chance.random() < 0.3:
                return "HOLD" if self.chance.random() < 0.5 else "SELL"
        if self.kind == "slow":
            sum(each * each for each in range(120_000))
        if self.kind == "loses":
            return "SELL" if held else "BUY"
        if self.kind == "holds":
            return "BUY"
        prices = market_data["prices"]
        return "BUY" if sum(prices[-3:]) / 3 > sum(prices[-9:]) / 9 else "SELL"
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What is new: `kind` of the code above, its parameters and its risk limits."""

    kind: str = "sound"
    parameters: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=lambda: dict(LIMITS))


SOUND = Version()
HOLDS = Version(kind="holds")


def add_mirror(engine: Any) -> None:
    """Give an engine a second instrument with the sample's hours: what falls there rises here."""
    bars = Catalogue(engine.data_dir / "nothing").bars(EURUSD)
    lines = [
        f"{opened},{2.5 - o:.5f},{2.5 - low:.5f},{2.5 - high:.5f},{2.5 - c:.5f},{v:.0f}"
        for opened, o, high, low, c, v in zip(
            bars.ts_ns, bars.open, bars.high, bars.low, bars.close, bars.volume, strict=True
        )
    ]
    text = "\n".join(["timestamp,open,high,low,close,volume", *lines, ""])
    path = f"/instruments/{MIRROR}/bars?timeframe=1h&calendar=fx&tick_size=0.00001"
    request = urllib.request.Request(engine.url + path, data=text.encode(), method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status < 300


@dataclass(slots=True)
class Line:
    """One line on an engine, from its first version on."""

    engine: Any
    name: str
    symbols: tuple[str, ...] = (EURUSD,)
    speed: float = 20.0
    versions: list[str] = field(default_factory=list)
    first: str = ""

    def register(self, version: Version) -> str:
        """Register the line's next version, and return its id."""
        body = {
            "strategy_name": self.name,
            "version": f"{len(self.versions) + 1}.0.0",
            "code": CODE,
            "parameters": {"kind": version.kind, "position_size": 0.5} | version.parameters,
            "risk_limits": version.limits,
        }
        made = self.engine.post("/strategies", body)["strategy_id"]
        self.versions.append(made)
        return made

    def begin(self, version: Version = SOUND) -> str:
        """Deploy the first version and start it; return its execution."""
        strategy_id = self.register(version)
        path = f"/strategies/{strategy_id}"
        pipeline_id = self.engine.post(f"{path}/deploy")["pipeline_id"]
        assert self.ended(pipeline_id)["outcome"] == "promoted"
        config = {"speed": self.speed, "symbols": list(self.symbols)}
        self.first = self.engine.post(f"{path}/start", {"execution_config": config})["execution_id"]
        return self.first

    def until_it_trades(self) -> None:
        """Wait until the first version has filled something."""
        self.engine.until(f"/executions/{self.first}", lambda now: now["fill_count"] > 0, LONG_S)

    def roll_out(self, version: Version, kind: str, **options: Any) -> str:
        """Deploy the next version beside the first; return the deployment."""
        path = f"/strategies/{self.register(version)}/deploy"
        asked = {"deployment_type": kind, **options}
        return self.engine.post(path, asked)["pipeline_id"]

    def status(self, pipeline_id: str) -> Any:
        """Return a deployment as it is."""
        return self.engine.get(f"/deployments/{pipeline_id}/status")

    def until(self, pipeline_id: str, is_so: Callable[[Any], bool]) -> Any:
        """Wait until a deployment is so; one that has ended otherwise fails at once."""
        path = f"/deployments/{pipeline_id}/status"
        found = self.engine.until(path, lambda now: is_so(now) or has_ended(now), LONG_S)
        assert is_so(found), (found, self.rows())
        return found

    def until_at(self, pipeline_id: str, step: str) -> Any:
        """Wait until a rollout has come to a step whose name begins so."""
        return self.until(pipeline_id, lambda now: (now["current_stage"] or "").startswith(step))

    def ended(self, pipeline_id: str) -> Any:
        """Wait for a deployment's end."""
        return self.until(pipeline_id, has_ended)

    def rows(self) -> list[Any]:
        """Return every execution of the line."""
        found = []
        for each in self.versions:
            path = f"/executions?status=all&strategy_id={each}"
            found += self.engine.get(path)["executions"]
        return found

    def settled(self) -> list[Any]:
        """Return every execution, once only one of them is at work and no capital moves."""
        deadline = time.monotonic() + LONG_S
        while True:
            rows = self.rows()
            working = [each for each in rows if each["status"] in UNENDED]
            if len(working) == 1 and _is_at_rest(working[0]):
                return rows
            assert time.monotonic() < deadline, (rows, self.engine.tail())
            time.sleep(0.1)

    def events(self, pipeline_id: str, action: str) -> list[Any]:
        """Return what was kept of a deployment's events of one kind."""
        found = self.engine.get(f"/deployments/{pipeline_id}/events")["events"]
        return [each for each in found if each["action"] == action]

    def status_of(self, number: int) -> str:
        """Return what the line's n-th version is by now, the first being 0."""
        status: str = self.engine.get(f"/strategies/{self.versions[number]}")["status"]
        return status

    def stop(self) -> None:
        """Stop what the line has at work."""
        for each in self.versions:
            self.engine.call("POST", f"/strategies/{each}/stop")


def has_ended(now: Any) -> bool:
    """Say whether a deployment has come to its end."""
    return now["status"] in {"completed", "failed"}


def worth_given(rows: Sequence[Any], holder: str) -> tuple[Decimal, Decimal]:
    """Return what the one that has the line was given, and what all others left of its capital."""
    (held,) = [each for each in rows if each["execution_id"] == holder]
    others = [each for each in rows if each["execution_id"] != holder]
    return exact(held["capital"]), CAPITAL + sum((exact(each["pnl"]) for each in others), Decimal())


def exact(number: float) -> Decimal:
    """Return an amount to the last digit that a ledger counts."""
    return Decimal(repr(number))


def _is_at_rest(row: Any) -> bool:
    return row["role"] == "stable" and row["capital_target"] in {None, row["capital"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A line: how its first version trades, what is to replace it, and how."""

    how: str
    new: Any = SOUND
    old: Any = SOUND
    options: dict[str, Any] = field(default_factory=dict)
    symbols: tuple[str, ...] = (EURUSD,)


class Crowd:
    """Lines that are rolled out on one engine at the same time."""

    def __init__(self, engine: Any, cases: dict[str, Case]) -> None:
        self.engine = engine
        self.lines = {
            name: Line(engine=engine, name=name.title(), symbols=case.symbols)
            for name, case in cases.items()
        }
        for name, case in cases.items():
            self.lines[name].begin(case.old)
        for line in self.lines.values():
            line.until_it_trades()
        self.deployments = {
            name: self.lines[name].roll_out(case.new, case.how, **case.options)
            for name, case in cases.items()
        }

    def ended(self, name: str) -> tuple[Any, Any, list[Any]]:
        """Return a line, its deployment's end, and its executions when nothing moves any more."""
        line = self.lines[name]
        found = line.ended(self.deployments[name])
        return line, found, line.settled()

    def until_past(self, name: str, step: int) -> None:
        """Wait until a rollout has come to a step, or to its end."""
        self.lines[name].until(
            self.deployments[name],
            lambda now: has_ended(now) or (now["rollout"] or {"step": 0})["step"] >= step,
        )

    def kill(self, who: str, start_engine: Callable[..., Any]) -> None:
        """Kill -9 control, the node, or everything, and wait until the engine answers again."""
        engine = self.engine
        if who == EVERYTHING:
            os.killpg(engine.process.pid, signal.SIGKILL)
            engine.process.wait(30)
            engine = start_engine(port=engine.port, data_dir=engine.data_dir, **engine.environment)
        else:
            engine.until_replaced(who, engine.kill(who))
            _until_it_answers(engine)
        self.engine = engine
        for line in self.lines.values():
            line.engine = engine


def _until_it_answers(engine: Any) -> None:
    deadline = time.monotonic() + LONG_S
    while True:
        with contextlib.suppress(OSError):
            if engine.call("GET", "/health")[0] == 200:
                return
        assert time.monotonic() < deadline, engine.tail()
        time.sleep(0.05)


def assert_is_promoted(line: Any, found: Any, rows: list[Any]) -> None:
    """The new version has the line, and all of its plan is done. The line has served its turn."""
    assert (found["status"], found["outcome"]) == ("completed", "promoted"), found
    assert (line.status_of(0), line.status_of(1)) == ("stopped", "running")
    rollout = found["rollout"]
    assert {each["state"] for each in rollout["steps"]} == {"done"}
    assert_has_the_line(line, rows, rollout["candidate"])
    line.stop()


def assert_is_undone(line: Any, found: Any, rows: list[Any], reason: str) -> None:
    """The version before has the line again, for that reason. The line has served its turn."""
    assert (found["status"], found["outcome"]) == ("failed", "rolled_back"), found
    undo = found["rollout"]["undo"]
    assert (undo["reason"], undo["actor"]) == (reason, "engine"), undo
    assert undo["restored_in_s"] is not None
    assert line.status_of(0) == "running"
    assert line.status_of(1) in {"stopped", "error"}
    assert_has_the_line(line, rows, line.first)
    line.stop()


def assert_has_the_line(line: Any, rows: list[Any], holder: str) -> None:
    """Whoever has the line has all of its capital; nobody else holds or waits for anything."""
    given, left = worth_given(rows, holder)
    assert given == left, rows
    working = [each["execution_id"] for each in rows if each["status"] in UNENDED]
    assert working == [holder]
    for each in rows:
        if each["execution_id"] != holder:
            assert_is_empty(line, each["execution_id"])
    now = line.engine.get(f"/lines/{quote(line.name)}")
    assert now["books"]["agrees"], now["books"]
    assert [each["execution_id"] for each in now["members"]] == [holder]
    assert now["shadows"] == []


def assert_is_empty(line: Any, execution_id: str) -> None:
    trades = line.engine.get(f"/executions/{execution_id}/trades?limit=5000")["trades"]
    held: dict[str, float] = {}
    for each in trades:
        sign = 1 if each["side"] == "BUY" else -1
        held[each["symbol"]] = held.get(each["symbol"], 0.0) + sign * each["quantity"]
    assert not any(held.values()), held
    orders = line.engine.get(f"/executions/{execution_id}/orders?limit=5000")["orders"]
    assert not [each for each in orders if each["status"] in WORKING]
