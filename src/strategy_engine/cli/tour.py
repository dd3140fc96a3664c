"""The demo's way through an engine, from register to summary; the API tells, this prints."""

import contextlib
import math
import time
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console

from strategy_engine import examples
from strategy_engine.cli import board, views, watch
from strategy_engine.client import model
from strategy_engine.client.service import Client
from strategy_engine.core.errors import UnavailableError

ENOUGH_ROUND_TRIPS = 3
POLL_S = 0.05
IDLE_S = 0.5
HEALTHY_WITHIN_S = 30.0
STOPPED_WITHIN_S = 15.0
NAME, VERSION, SOURCE = "Advanced RSI Strategy", "2.0.0", "rsi_mean_reversion.py"
SAMPLE = "EUR/USD.SIM"
_MOVING = frozenset({"starting", "running", "paused"})


class Process(Protocol):
    """The engine that the tour goes through."""

    def url(self) -> str:
        """Return where it listens, once it does."""
        ...

    def check(self) -> None:
        """Raise if it has ended."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tour:
    """One way through one engine, told on one console."""

    process: Process
    client: Client
    console: Console

    def run(self, *, once: bool, speed: float) -> None:
        """Take the strategy from its source to live trades.

        Raises
        ------
        EngineError
            If anything on the way does not come out as it should.
        """
        self._await_health()
        strategy_id = self._register()
        self._deploy(strategy_id)
        execution_id = self._start(strategy_id, speed)
        tape = Tape(client=self.client, console=self.console, execution_id=execution_id)
        execution = self._watch(tape, enough=ENOUGH_ROUND_TRIPS if once else math.inf)
        if once:
            self.client.stop(strategy_id)
            execution = self._await_stopped(execution_id)
            tape.tell_new()
            _refuse_too_few(execution)
        self._summarise(execution)
        if not once:
            self._keep_serving(execution_id)

    def _await_health(self) -> None:
        deadline = time.monotonic() + HEALTHY_WITHIN_S
        with self.console.status("waiting for the engine"):
            while (health := self.client.health())["status"] != "healthy":
                self.process.check()
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        f"the engine is {health['status']} after {HEALTHY_WITHIN_S:g} s: "
                        + "; ".join(each["reason"] for each in health.get("parts", []))
                    )
                time.sleep(POLL_S)
        self._say(f"An engine on {self.client.url}, {health['status']}")

    def _register(self) -> str:
        example = next(each for each in examples.EXAMPLES if each.file == SOURCE)
        created = self.client.create_strategy(
            {
                "strategy_name": NAME,
                "version": VERSION,
                "code": example.source(),
                "parameters": dict(example.parameters),
                "risk_limits": dict(example.risk_limits),
            }
        )
        strategy_id = created["strategy_id"]
        self.console.print(
            views.text(f"{created['strategy_name']} {created['version']} is {strategy_id}")
        )
        return strategy_id

    def _deploy(self, strategy_id: str) -> None:
        accepted = self.client.deploy(strategy_id, {"deployment_type": "direct"})
        pipeline_id = accepted["pipeline_id"]
        self._say(f"\nSix stages decide whether it may trade ({pipeline_id})")
        ended = watch.follow(
            lambda: self.client.deployment(pipeline_id), self.console, poll_s=POLL_S
        )
        if ended["status"] != "completed":
            raise UnavailableError(board.why_failed(ended))

    def _start(self, strategy_id: str, speed: float) -> str:
        started = self.client.start(strategy_id, {"speed": speed})
        execution_id = started["execution_id"]
        self._say(f"\nIt trades {SAMPLE}, replayed at {speed:g} bars a second ({execution_id})")
        return execution_id

    def _watch(self, tape: "Tape", *, enough: float) -> model.Execution:
        with self.console.status("no trade yet") as bar:
            while True:
                self.process.check()
                execution = self.client.execution(tape.execution_id)
                tape.tell_new()
                bar.update(views.metrics_line(execution))
                tape.tell_metrics(execution)
                if execution["status"] == "error":
                    raise UnavailableError(f"{tape.execution_id} failed: {execution.get('error')}")
                if execution["status"] not in _MOVING or execution["trade_count"] >= enough:
                    return execution
                time.sleep(POLL_S)

    def _await_stopped(self, execution_id: str) -> model.Execution:
        deadline = time.monotonic() + STOPPED_WITHIN_S
        while (execution := self.client.execution(execution_id))["status"] in _MOVING:
            self.process.check()
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"{execution_id} is {execution['status']} {STOPPED_WITHIN_S:g} s after its stop"
                )
            time.sleep(POLL_S)
        return execution

    def _summarise(self, execution: model.Execution) -> None:
        self.console.print()
        self.console.print(views.execution(execution))
        notes = [each for each in self.client.instruments() if each["symbol"] == SAMPLE]
        for instrument in notes:
            self.console.print()
            self.console.print(views.text(instrument.get("note", ""), "yellow"))

    def _keep_serving(self, execution_id: str) -> None:
        url = self.client.url
        self._say("\nThe engine keeps serving until Ctrl-C. In another terminal:")
        self.console.print(f"  strategy-engine status --url {url}")
        self.console.print(f"  strategy-engine executions {execution_id} --url {url}")
        self.console.print(f"  curl {url}/metrics")
        self.console.print(f"and {url}/docs in a browser")
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                self.process.check()
                time.sleep(IDLE_S)

    def _say(self, line: str) -> None:
        self.console.print(views.text(line, "bold"))


@dataclass(slots=True, kw_only=True)
class Tape:
    """Prints an execution's fills, each once, as they come."""

    client: Client
    console: Console
    execution_id: str
    _fills: int = field(default=0, init=False)
    _round_trips: int = field(default=0, init=False)

    def tell_new(self) -> None:
        """Print the fills that were not printed yet."""
        while trades := self.client.trades(self.execution_id, offset=self._fills)["trades"]:
            for each in trades:
                self.console.print(views.trade(each))
            self._fills += len(trades)

    def tell_metrics(self, execution: model.Execution) -> None:
        """Print the figures when a trade was closed; a terminal shows them all the time."""
        if self.console.is_terminal or execution["trade_count"] == self._round_trips:
            return
        self._round_trips = execution["trade_count"]
        self.console.print(views.metrics_line(execution))


def _refuse_too_few(execution: model.Execution) -> None:
    if execution["trade_count"] < ENOUGH_ROUND_TRIPS:
        raise UnavailableError(
            f"{execution['execution_id']} ended ({execution.get('end_reason')}) after"
            f" {execution['trade_count']} closed trades; {ENOUGH_ROUND_TRIPS} were expected"
        )
