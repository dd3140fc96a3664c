"""Starting, stopping and watching executions over HTTP."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import httpx
import pytest

from strategy_engine.execution.interruptions import CRASH, NODE, Interruption
from strategy_engine.execution.model import ExecutionConfig, ExecutionStatus, Role
from strategy_engine.execution.stops import Stop
from strategy_engine.performance.rollups import Resolution
from strategy_engine.performance.service import Point
from strategy_engine.venue.accounts import AccountNow
from strategy_engine.venue.limits import Scope
from strategy_engine.venue.service import CapitalFlow, EquityPoint, OrderRow, Trade
from strategy_engine.venue.standings import Standing

NOW = datetime(2025, 8, 24, 10, tzinfo=UTC)  # what the world's clock says
FILLED_AT = datetime(2025, 8, 24, 9, 30, tzinfo=timezone(timedelta(hours=2)))


async def test_a_start_without_a_body_answers_the_contracts_shape(
    world: Any, client: httpx.AsyncClient, strategy_id: str
) -> None:
    answer = await client.post(f"/strategies/{strategy_id}/start")

    assert answer.status_code == 202
    assert answer.headers["location"] == "/executions/exec_0"
    assert answer.json() == {
        "status": "execution_started",
        "execution_id": "exec_0",
        "strategy_id": strategy_id,
        "start_time": "2025-08-24T10:00:00Z",
        "execution_status": "running",
    }
    assert world.executions.kept["exec_0"].config == ExecutionConfig()


async def test_a_running_version_answers_its_execution(
    client: httpx.AsyncClient, strategy_id: str
) -> None:
    first = await client.post(f"/strategies/{strategy_id}/start")
    second = await client.post(f"/strategies/{strategy_id}/start")
    assert first.json()["execution_id"] == second.json()["execution_id"]


async def test_every_execution_option_reaches_the_service(
    world: Any, client: httpx.AsyncClient, strategy_id: str
) -> None:
    config = {
        "position_size": 0.02,
        "max_trades_per_day": 10,
        "risk_override": False,
        "capital": 50_000,
        "symbols": ["EUR/USD.SIM"],
        "timeframe": "1h",
        "feed": "replay",
        "speed": 0,
        "mode": "paper",
    }

    await client.post(f"/strategies/{strategy_id}/start", json={"execution_config": config})

    asked = ExecutionConfig(**{**config, "symbols": ("EUR/USD.SIM",)})
    assert world.executions.kept["exec_0"].config == asked
    assert (await client.get("/executions/exec_0")).json()["config"] == config


async def test_a_confirmed_stop_tells_how_long_it_ran(
    world: Any, client: httpx.AsyncClient, strategy_id: str
) -> None:
    await client.post(f"/strategies/{strategy_id}/start")
    world.clock.advance(125.5 * 60)

    body = (await client.post(f"/strategies/{strategy_id}/stop")).json()

    assert body == {
        "status": "execution_stopped",
        "execution_id": "exec_0",
        "strategy_id": strategy_id,
        "execution_status": "stopped",
        "duration_minutes": 125.5,
        "executions": ["exec_0"],
        "message": "",
    }


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("stop", ("execution_stopped", "execution_stopping")),
        ("pause", ("execution_paused", "execution_pausing")),
    ],
)
async def test_what_the_node_has_not_confirmed_is_not_called_done(
    world: Any, client: httpx.AsyncClient, strategy_id: str, verb: str, words: tuple[str, str]
) -> None:
    await client.post(f"/strategies/{strategy_id}/start")
    done, going_on = words
    world.executions.confirms = False
    body = (await client.post(f"/strategies/{strategy_id}/{verb}")).json()
    assert body["status"] == going_on
    assert "exec_0" in body["message"]

    world.executions.confirms = True
    assert (await client.post(f"/strategies/{strategy_id}/{verb}")).json()["status"] == done


async def test_a_paused_version_is_resumed(client: httpx.AsyncClient, strategy_id: str) -> None:
    await client.post(f"/strategies/{strategy_id}/start")
    await client.post(f"/strategies/{strategy_id}/pause")

    body = (await client.post(f"/strategies/{strategy_id}/resume")).json()

    assert body["status"] == "execution_resumed"


async def test_one_unconfirmed_role_keeps_the_whole_stop_open(
    world: Any, client: httpx.AsyncClient, strategy_id: str
) -> None:
    world.executions.add(strategy_id=strategy_id, status=ExecutionStatus.STOPPED)
    world.executions.add(strategy_id=strategy_id, role=Role.BASELINE)
    world.executions.confirms = False

    body = (await client.post(f"/strategies/{strategy_id}/stop")).json()

    assert body["status"] == "execution_stopping"
    assert body["executions"] == ["exec_0", "exec_1"]
    assert "exec_0" not in body["message"]


async def test_a_version_without_executions_is_stopped_all_the_same(
    client: httpx.AsyncClient, strategy_id: str
) -> None:
    body = (await client.post(f"/strategies/{strategy_id}/stop")).json()
    assert body["status"] == "execution_stopped"
    assert (body["execution_id"], body["executions"]) == (None, [])


async def test_an_execution_that_never_ran_has_lasted_no_time(
    world: Any, client: httpx.AsyncClient, strategy_id: str
) -> None:
    world.executions.add(strategy_id=strategy_id, start_time=None)
    body = (await client.post(f"/strategies/{strategy_id}/stop")).json()
    assert body["duration_minutes"] == 0.0


async def test_the_contracts_monitor_can_format_an_execution_without_metrics(
    world: Any, client: httpx.AsyncClient
) -> None:
    world.executions.add(pnl=Decimal("127.50"), trade_count=3)

    body = (await client.get("/executions")).json()

    execution = body["executions"][0]
    assert body["count"] == 1
    assert f"{execution['pnl']:.2f}" == "127.50"
    metrics = execution["performance_metrics"]
    assert f"{metrics['sharpe_ratio']:.2f}" == "0.00"
    assert f"{metrics['max_drawdown']:.1%}" == "0.0%"
    assert f"{metrics['win_rate']:.1%}" == "0.0%"


async def test_an_undefined_metric_is_a_number_all_the_same(
    world: Any, client: httpx.AsyncClient
) -> None:
    world.executions.add(
        performance_metrics={
            "sharpe_ratio": float("nan"),
            "win_rate": None,
            "alpha": float("inf"),
            "decision_cpu_ms": 0.4,
        }
    )
    metrics = (await client.get("/executions/exec_0")).json()["performance_metrics"]
    assert (metrics["sharpe_ratio"], metrics["win_rate"], metrics["alpha"]) == (0.0, 0.0, 0.0)
    assert metrics["decision_cpu_ms"] == 0.4


@pytest.mark.parametrize(
    ("status", "found"),
    [
        (None, {"starting", "running", "paused", "error"}),
        ("active", {"starting", "running", "paused", "error"}),
        ("all", {"starting", "running", "paused", "error", "stopped"}),
        ("stopped", {"stopped"}),
        ("paused", {"paused"}),
    ],
)
async def test_executions_are_the_active_ones_unless_asked(
    world: Any, client: httpx.AsyncClient, status: str | None, found: set[str]
) -> None:
    for each in ("starting", "running", "paused", "error", "stopped"):
        world.executions.add(status=ExecutionStatus(each))

    params = {} if status is None else {"status": status}
    body = (await client.get("/executions", params=params)).json()

    assert {each["status"] for each in body["executions"]} == found
    assert body["count"] == body["total"] == len(found)


async def test_an_error_that_is_no_unicode_is_shown_all_the_same(
    world: Any, client: httpx.AsyncClient
) -> None:
    world.executions.add(status=ExecutionStatus.ERROR, error="boom \ud800")
    assert (await client.get("/executions/exec_0")).json()["error"] == "boom ?"


def fill(number: int) -> Trade:
    return Trade(
        trade_id=f"exec_0-{number}",
        execution_id="exec_0",
        symbol="EUR/USD.SIM",
        side="BUY" if number % 2 else "SELL",
        quantity=Decimal(100),
        price=Decimal("1.10235"),
        timestamp=FILLED_AT + timedelta(hours=number),
        pnl=Decimal("-0.25"),
        order_id=f"exec_0-o{number}",
        fee=Decimal("0.01"),
        slippage=Decimal("0.01"),
        cause="signal",
        opens=bool(number % 2),
        closes_round_trip=not number % 2,
        seq=number,
    )


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (ExecutionStatus.RUNNING, (5, 2, 12.5)),
        (ExecutionStatus.ERROR, (5, 2, 12.5)),
        (ExecutionStatus.STOPPED, (3, 1, 4.0)),  # its row is final
    ],
)
async def test_the_results_of_an_execution_are_the_ledger_s_until_it_has_stopped(
    world: Any, client: httpx.AsyncClient, status: ExecutionStatus, shown: tuple[float, ...]
) -> None:
    world.executions.add(status=status, fill_count=3, trade_count=1, pnl=Decimal(4))
    world.services.records.standing["exec_0"] = Standing(
        execution_id="exec_0", fill_count=5, trade_count=2, pnl=Decimal("12.5")
    )

    listed = (await client.get("/executions", params={"status": "all"})).json()["executions"]
    read = (await client.get("/executions/exec_0")).json()

    for body in (*listed, read):
        assert (body["fill_count"], body["trade_count"], body["pnl"]) == shown


async def test_fills_are_read_in_pages_under_the_contracts_names(
    world: Any, client: httpx.AsyncClient
) -> None:
    world.executions.add()
    world.services.records.fills.extend(fill(number) for number in range(1, 4))

    body = (await client.get("/executions/exec_0/trades", params={"limit": 1, "offset": 1})).json()

    assert (body["count"], body["total"]) == (1, 3)
    trade = body["trades"][0]
    assert trade["trade_id"] == "exec_0-2"
    assert trade["execution_id"] == "exec_0"
    assert trade["symbol"] == "EUR/USD.SIM"
    assert trade["side"] == "SELL"
    assert (trade["quantity"], trade["price"], trade["pnl"]) == (100.0, 1.10235, -0.25)
    assert trade["timestamp"] == "2025-08-24T09:30:00Z"
    assert trade["closes_round_trip"] is True


def working(number: int, **changes: Any) -> OrderRow:
    given: dict[str, Any] = {
        "order_id": f"exec_0-O-{number}",
        "symbol": "EUR/USD.SIM",
        "side": "SELL",
        "lots": 1_000,
        "quantity": Decimal(1_000),
        "opens": False,
        "cause": "signal",
        "status": "partially_filled",
        "denial_code": None,
        "reason": "STOP_LOSS",
        "decided_at": FILLED_AT,
        "type": "STOP_LIMIT",
        "time_in_force": "GTC",
        "limit_price": Decimal("1.0985"),
        "trigger_price": Decimal("1.09895"),
        "filled_lots": 400,
    }
    return OrderRow(**given | changes)


async def test_orders_are_read_in_pages_with_their_terms_and_what_became_of_them(
    world: Any, client: httpx.AsyncClient
) -> None:
    world.executions.add()
    world.services.records.placed.extend(working(number) for number in range(3))

    body = (await client.get("/executions/exec_0/orders", params={"limit": 1, "offset": 2})).json()

    assert (body["count"], body["total"]) == (1, 3)
    (order,) = body["orders"]
    assert order["order_id"] == "exec_0-O-2"
    assert (order["type"], order["time_in_force"]) == ("STOP_LIMIT", "GTC")
    assert (order["limit_price"], order["trigger_price"]) == (1.0985, 1.09895)
    assert (order["quantity"], order["filled_quantity"]) == (1_000.0, 400.0)
    assert order["status"] == "partially_filled"


async def test_what_an_execution_wants_and_does_not_get_is_told(
    world: Any, client: httpx.AsyncClient
) -> None:
    world.executions.add(notices=("it wants quotes",))

    assert (await client.get("/executions/exec_0")).json()["notices"] == ["it wants quotes"]


async def test_capital_is_what_was_given_in_all_with_every_flow(
    world: Any, client: httpx.AsyncClient
) -> None:
    world.executions.add(capital_target=Decimal(20_000))
    records = world.services.records
    records.account["exec_0"] = AccountNow(
        execution_id="exec_0",
        contributed=Decimal(25_000),
        equity=Decimal("25127.5"),
        cash=Decimal(2_000),
        free=Decimal(0),
        is_flat=False,
        close_ns=3_600_000_000_000,
        bar_no=1,
        entry_no=2,
        fill_count=1,
        order_count=1,
        denied_count=0,
        slippage_bps=0.0,
        waiting_entries=0,
    )
    for number, close_ns in ((1, None), (2, 3_600_000_000_000)):
        records.flows.append(
            CapitalFlow(
                entry_no=number,
                amount=Decimal(-37_500),
                contributed=Decimal(100_000 - 37_500 * number),
                equity=Decimal(62_500),
                cash=Decimal(1),
                close_ns=close_ns,
                at=NOW,
            )
        )

    body = (await client.get("/executions/exec_0/capital", params={"offset": 1})).json()

    (flow,) = body.pop("flows")
    assert body == {
        "execution_id": "exec_0",
        "contributed": 25_000.0,
        "target": 20_000.0,
        "equity": 25_127.5,
        "cash": 2_000.0,
        "free": 0.0,
        "pnl": 127.5,
        "count": 1,
        "total": 2,
        "limit": 100,
        "offset": 1,
    }
    assert (flow["entry_no"], flow["amount"], flow["contributed"]) == (2, -37_500.0, 25_000.0)
    assert flow["bar_closed_at"] == "1970-01-01T01:00:00Z"


async def test_capital_before_an_execution_has_begun_is_what_it_is_to_begin_with(
    world: Any, client: httpx.AsyncClient
) -> None:
    execution = world.executions.add()

    body = (await client.get("/executions/exec_0/capital")).json()

    assert body["contributed"] == float(execution.capital)
    assert [body[name] for name in ("target", "equity", "cash", "free", "pnl")] == [None] * 5
    assert body["flows"] == []


async def test_the_equity_curve_is_asked_for_in_nanoseconds_and_told_in_utc(
    world: Any, client: httpx.AsyncClient
) -> None:
    world.executions.add()
    world.services.records.points.append(
        EquityPoint(
            close_ns=3_600_000_000_000,
            equity=Decimal("100127.5"),
            cash=Decimal(97150),
            bar_index=0,
            benchmark=1.0,
            contributed=Decimal(100_050),
        )
    )
    params = {"start": "1970-01-01T02:00:00+02:00", "end": "1970-01-02", "points": 10}

    body = (await client.get("/executions/exec_0/equity", params=params)).json()

    assert body["equity"] == [
        {
            "timestamp": "1970-01-01T01:00:00Z",
            "equity": 100127.5,
            "cash": 97150.0,
            "contributed": 100050.0,
        }
    ]
    asked = world.services.records.asked
    assert asked == [{"start_ns": 0, "end_ns": 86_400_000_000_000, "max_points": 10}]


async def test_metrics_are_told_as_they_were(world: Any, client: httpx.AsyncClient) -> None:
    world.executions.add()
    world.services.snapshots.points.append(
        Point(at=world.clock.now(), samples=6, metrics={"sharpe_ratio": 1.5, "alpha": None})
    )

    body = (await client.get("/executions/exec_0/metrics", params={"resolution": "1m"})).json()

    assert (body["count"], body["resolution"]) == (1, "1m")
    assert body["metrics"][0]["timestamp"] == "2025-08-24T10:00:00Z"
    assert body["metrics"][0]["samples"] == 6
    assert body["metrics"][0]["metrics"]["sharpe_ratio"] == 1.5
    assert body["metrics"][0]["metrics"]["alpha"] == 0.0


@pytest.mark.parametrize("names", [("from", "to"), ("start", "end"), ("from", "end")])
async def test_metrics_are_asked_for_within_a_range_at_a_resolution(
    world: Any, client: httpx.AsyncClient, names: tuple[str, str]
) -> None:
    world.executions.add()
    bounds = dict(zip(names, ("2025-08-24T11:00:00+02:00", "2025-08-24T09:30:00Z"), strict=True))

    params = {"resolution": "10s", "limit": 7} | bounds
    answer = await client.get("/executions/exec_0/metrics", params=params)

    assert answer.json()["resolution"] == "10s"
    start, end = NOW - timedelta(hours=1), NOW - timedelta(minutes=30)
    expected = {"start": start, "end": end, "limit": 7}
    assert world.services.snapshots.asked == [(Resolution.SNAPSHOT, expected)]


@pytest.mark.parametrize(
    ("age", "ended", "params", "chosen"),
    [
        (timedelta(hours=2), None, {}, "10s"),
        (timedelta(hours=3), None, {}, "1m"),
        (timedelta(hours=3), None, {"limit": 5_000}, "10s"),
        (timedelta(hours=3), timedelta(hours=2), {}, "10s"),
        (timedelta(hours=47), None, {"from": "2025-08-24T08:00:00Z"}, "10s"),
        (timedelta(hours=49), timedelta(hours=48.5), {}, "1m"),
        (timedelta(days=30), None, {"from": "2025-08-01", "to": "2025-08-01T02:00:00Z"}, "1m"),
        (timedelta(days=30), None, {}, "1h"),
        (timedelta(days=91), timedelta(days=90.5), {}, "1h"),
        (timedelta(days=900), None, {"limit": 1}, "1h"),
    ],
)
async def test_unless_asked_metrics_come_at_the_finest_resolution_that_has_the_whole_range(
    world: Any,
    client: httpx.AsyncClient,
    *,
    age: timedelta,
    ended: timedelta | None,
    params: dict[str, Any],
    chosen: str,
) -> None:
    end_time = None if ended is None else NOW - ended
    world.executions.add(created_at=NOW - age, end_time=end_time)
    answer = await client.get("/executions/exec_0/metrics", params=params)
    assert answer.json()["resolution"] == chosen
    assert [asked[0] for asked in world.services.snapshots.asked] == [chosen]


async def test_of_two_bounds_on_one_side_the_narrower_counts(
    world: Any, client: httpx.AsyncClient
) -> None:
    world.executions.add()
    params = {"from": "2025-08-22", "start": "2025-08-23", "to": "2025-08-25", "end": "2025-08-26"}
    answer = await client.get("/executions/exec_0/metrics", params=params)
    assert answer.status_code == 200
    ((_, asked),) = world.services.snapshots.asked
    assert (asked["start"].day, asked["end"].day) == (23, 25)


async def test_a_resolution_that_is_none_is_refused_with_those_there_are(
    world: Any, client: httpx.AsyncClient
) -> None:
    world.executions.add()
    answer = await client.get("/executions/exec_0/metrics", params={"resolution": "5m"})
    assert answer.status_code == 422
    assert answer.json()["field"] == "resolution"
    assert all(each in answer.json()["detail"] for each in ("auto", "10s", "1m", "1h"))


@pytest.mark.parametrize("path", ["", "/trades", "/orders", "/equity", "/capital", "/metrics"])
async def test_an_unknown_execution_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(f"/executions/exec_nobody{path}")).status_code == 404


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+12:00", "1900-01-01", "9999-12-31T23:59:59-12:00"]
)
async def test_a_time_before_or_after_all_that_is_kept_is_no_error(
    world: Any, client: httpx.AsyncClient, moment: str
) -> None:
    world.executions.add()
    answer = await client.get("/executions/exec_0/equity", params={"start": moment, "end": moment})
    assert answer.status_code == 200
    (asked,) = world.services.records.asked
    assert asked["start_ns"] == asked["end_ns"]
    assert -(2**63) <= asked["start_ns"] < 2**63


async def test_a_time_that_is_none_is_refused(world: Any, client: httpx.AsyncClient) -> None:
    world.executions.add()
    answer = await client.get("/executions/exec_0/equity", params={"start": "soon"})
    assert answer.status_code == 422
    assert answer.json()["field"] == "start"


async def test_the_log_in_an_execution_s_error_keeps_its_lines_and_nothing_that_steers(
    world: Any, client: httpx.AsyncClient
) -> None:
    world.executions.add(
        status=ExecutionStatus.ERROR,
        error="boom\n  \x1b[31mred\r\n\tend\x07",
        end_reason="a\nb\x1b",
    )

    body = (await client.get("/executions/exec_0")).json()

    assert body["error"] == "boom\n  ?[31mred\n\tend?"
    assert body["end_reason"] == "a b?"


async def test_an_execution_shows_the_emergency_stop_that_is_in_force_over_it(
    world: Any, client: httpx.AsyncClient
) -> None:
    for name in ("exec_1", "exec_2"):
        world.executions.add(execution_id=name)
    world.executions.stops["exec_1"] = Stop(
        stop_id="stop_1",
        scope=Scope.LINE,
        subject="RSI",
        flattens=False,
        is_drill=False,
        reason="prices are wrong",
        actor="rita",
        at=NOW,
    )

    stopped, free = [
        (await client.get(f"/executions/{name}")).json() for name in ("exec_1", "exec_2")
    ]

    assert (stopped["emergency_stop"], free["emergency_stop"]) == (
        {
            "stop_id": "stop_1",
            "scope": "line",
            "subject": "RSI",
            "actor": "rita",
            "reason": "prices are wrong",
            "at": "2025-08-24T10:00:00Z",
        },
        None,
    )
    assert stopped["risk_state"] == "ACTIVE"


async def test_an_execution_shows_when_it_did_not_run_and_how_often_it_crashed(
    world: Any, client: httpx.AsyncClient
) -> None:
    world.executions.add(execution_id="exec_1")
    gap = Interruption(
        execution_id="exec_1", epoch=1, kind=CRASH, cause="it ended", from_at=NOW, to_at=None
    )
    later = NOW + timedelta(seconds=2)
    world.executions.interrupted["exec_1"] = [
        replace(gap, kind=NODE, to_at=later, bars_missed=3),
        replace(gap, epoch=2),
    ]

    answer = (await client.get("/executions/exec_1")).json()

    assert answer["restart_count"] == 1
    assert answer["interruptions"] == [
        {
            "kind": "node",
            "cause": "it ended",
            "from_at": "2025-08-24T10:00:00Z",
            "to_at": "2025-08-24T10:00:02Z",
            "bars_missed": 3,
        },
        {
            "kind": "crash",
            "cause": "it ended",
            "from_at": "2025-08-24T10:00:00Z",
            "to_at": None,
            "bars_missed": None,
        },
    ]
