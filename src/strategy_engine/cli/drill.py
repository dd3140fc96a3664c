"""`risk drill`: the kill switch proved from end to end on paper, and everything as it was after."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strategy_engine.cli import edge, emergency, engine, options
from strategy_engine.core.errors import EngineError, UnavailableError

if TYPE_CHECKING:
    from strategy_engine.client.risk import Order, RiskClient

WITHIN_S = 60.0
_LOOK_S = 0.05
_SETTINGS = {"PIPELINE_STAGES": "syntax_check", "STRATEGY_METRICS_INTERVAL": "1"}
_WAITING = frozenset({"submitted", "accepted", "triggered", "partially_filled"})
_SPEED = 2.0
_CODE = '''
class Restless:
    """Wants the other side at every bar, so that an order always waits for the next."""

    def generate_signal(self, market_data):
        return "SELL" if market_data["position"] else "BUY"
'''
_VERSION = {
    "strategy_name": "Kill switch drill",
    "version": "1.0.0",
    "code": _CODE,
    "parameters": {"position_size": 0.01},
    "risk_limits": {"max_position_size": 10_000, "daily_loss_limit": -1_000},
}


def drill(
    *,
    execution: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Stop this paper execution of a running engine for a moment, and let it go on.",
        ),
    ] = None,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Prove the kill switch from end to end on paper.

    Waits until an order waits, stops, shows that the cancel is confirmed and how long it took and
    that the next order is denied, resets, and shows that orders pass again. Without an execution
    it starts an engine of its own with its files in a temporary directory, and leaves nothing.
    """
    if execution is not None:
        with emergency.client(url) as asked:
            _prove(asked, execution)
        return
    with (
        tempfile.TemporaryDirectory(
            prefix="strategy-engine-drill-", ignore_cleanup_errors=True
        ) as folder,
        engine.EngineProcess(Path(folder), _SETTINGS) as process,
    ):
        try:
            with emergency.client(process.url()) as asked:
                _prove(asked, _started(asked))
        except EngineError:
            edge.repeat(process.last_lines())
            raise


def _started(asked: "RiskClient") -> str:
    """Deploy a version that always has an order waiting, start it, and return its execution."""
    _until("the engine to be ready", lambda: asked.health()["status"] == "healthy" or None)
    strategy_id = asked.create_strategy(_VERSION)["strategy_id"]
    pipeline_id = asked.deploy(strategy_id, {})["pipeline_id"]
    _until("its deployment", lambda: asked.deployment(pipeline_id)["status"] == "completed" or None)
    return asked.start(strategy_id, {"speed": _SPEED})["execution_id"]


def _prove(asked: "RiskClient", execution_id: str) -> None:
    """Stop an execution, see that nothing passes, and let it go again whatever comes of that."""
    _until("an order that waits", lambda: _waiting(asked.orders(execution_id)))
    print(f"{execution_id} has an order that waits; stopping it")
    began = time.monotonic()
    wish = {"scope": "execution", "subject": execution_id, "reason": "a drill", "drill": True}
    stopped = asked.emergency_stop(wish)
    took_ms = (time.monotonic() - began) * 1_000
    stop_id, done = stopped["stop"]["stop_id"], stopped["done"]
    try:
        if done is None or done["executions"] != [execution_id] or done["open"]:
            raise UnavailableError(f"the node did not stop {execution_id}: {stopped['note']}")
        print(
            f"stopped in {done['milliseconds']:g} ms, answered after {took_ms:.0f} ms:"
            f" {done['cancelled']} waiting orders cancelled and confirmed"
        )
        known = {each["order_id"] for each in asked.orders(execution_id)}
        denied = _until(
            "an order that is denied", lambda: _denied(asked.orders(execution_id), known)
        )
        print(f"order {denied['order_id']} was denied afterwards: {denied['denial_code']}")
        _check_nothing_passed(asked.orders(execution_id), known)
    finally:
        reset = asked.reset_emergency_stop(stop_id, "the drill is over")
    if not reset["confirmed"]:
        raise UnavailableError(f"{stop_id} is reset, and the node has not confirmed it")
    known = {each["order_id"] for each in asked.orders(execution_id)}
    passed = _until("an order that passes", lambda: _passed(asked.orders(execution_id), known))
    print(f"reset; order {passed['order_id']} passed again")
    print("the kill switch works")


def _check_nothing_passed(orders: "list[Order]", known: set[str]) -> None:
    passed = [
        each["order_id"]
        for each in orders
        if each["order_id"] not in known and each["denial_code"] != "killed"
    ]
    waiting = _waiting(orders)
    if passed or waiting:
        raise UnavailableError(f"an order passed or waits after the stop: {passed} {waiting}")


def _waiting(orders: "list[Order]") -> "Order | None":
    return next((each for each in orders if each["status"] in _WAITING), None)


def _denied(orders: "list[Order]", known: set[str]) -> "Order | None":
    fresh = (each for each in orders if each["order_id"] not in known)
    return next((each for each in fresh if each["denial_code"] == "killed"), None)


def _passed(orders: "list[Order]", known: set[str]) -> "Order | None":
    fresh = (each for each in orders if each["order_id"] not in known)
    return next((each for each in fresh if each["denial_code"] is None), None)


def _until[T](what: str, look: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + WITHIN_S
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise UnavailableError(f"waited {WITHIN_S:g} s for {what}, in vain")
        time.sleep(_LOOK_S)
    return found
