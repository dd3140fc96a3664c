"""An example of every answer about executions, the market and the engine."""

from typing import Any

from strategy_engine.api import examples

_EXECUTION_ID = "exec_fd61a03af4f77d870fc21e05"
_RUNNING_SINCE = "2025-08-24T10:30:00Z"

EXECUTION: dict[str, Any] = {
    "execution_id": _EXECUTION_ID,
    "strategy_id": examples.STRATEGY_ID,
    "status": "running",
    "start_time": _RUNNING_SINCE,
    "trade_count": 3,
    "pnl": 127.5,
    "performance_metrics": {"sharpe_ratio": 1.45, "max_drawdown": -0.03, "win_rate": 0.67},
    "role": "stable",
    "risk_state": "ACTIVE",
    "desired": "run",
    "capital": 25000.0,
    "capital_target": 20000.0,
    "closing": None,
    "serves": [
        {
            "symbol": "*",
            "never": False,
            "after": "2025-08-24T10:30:00Z",
            "until": None,
            "gaps": [],
        }
    ],
    "exits": "own",
    "failure": None,
    "created_at": _RUNNING_SINCE,
    "end_time": None,
    "fill_count": 6,
    "final_pnl": None,
    "error": None,
    "end_reason": None,
    "config": {"symbols": ["EUR/USD.SIM"], "speed": 10},
    "confinement": None,
    "notices": ["it wants quotes of EUR/USD.SIM; this feed has bars only, so it gets none"],
    "node_id": "local",
    "epoch": 1,
}
WHOLE_EXECUTION: dict[str, Any] = EXECUTION | {
    "emergency_stop": None,
    "restart_count": 0,
    "interruptions": [
        {
            "kind": "node",
            "cause": "node local ended; it was last known to run at 2025-08-24T10:14:59.2+00:00",
            "from_at": "2025-08-24T10:14:59.200000Z",
            "to_at": "2025-08-24T10:15:00.350000Z",
            "bars_missed": 0,
        }
    ],
}
EXECUTIONS: dict[str, Any] = {
    "executions": [EXECUTION],
    "count": 1,
    "total": 1,
    "limit": 100,
    "offset": 0,
}
STARTED: dict[str, Any] = {
    "status": "execution_started",
    "execution_id": _EXECUTION_ID,
    "strategy_id": examples.STRATEGY_ID,
    "start_time": _RUNNING_SINCE,
    "execution_status": "running",
}
STOPPED: dict[str, Any] = {
    "status": "execution_stopped",
    "execution_id": _EXECUTION_ID,
    "strategy_id": examples.STRATEGY_ID,
    "execution_status": "stopped",
    "duration_minutes": 125.5,
    "executions": [_EXECUTION_ID],
    "message": "",
}
TRADES: dict[str, Any] = {
    "trades": [
        {
            "trade_id": f"{_EXECUTION_ID}-1",
            "execution_id": _EXECUTION_ID,
            "symbol": "EUR/USD.SIM",
            "side": "BUY",
            "quantity": 2700.0,
            "price": 1.10235,
            "timestamp": "2025-08-24T10:30:15Z",
            "pnl": 0.0,
            "order_id": f"{_EXECUTION_ID}-EUR/USD.SIM-1756031415000000000-1",
            "fee": 0.3,
            "slippage": 0.3,
            "cause": "signal",
            "opens": True,
            "closes_round_trip": False,
        }
    ],
    "count": 1,
    "total": 1,
    "limit": 100,
    "offset": 0,
}
ORDERS: dict[str, Any] = {
    "orders": [
        {
            "order_id": f"{_EXECUTION_ID}-O-20250824-103000-001-000-2",
            "symbol": "EUR/USD.SIM",
            "side": "SELL",
            "type": "STOP_MARKET",
            "time_in_force": "GTC",
            "quantity": 2700.0,
            "filled_quantity": 0.0,
            "limit_price": None,
            "trigger_price": 1.09895,
            "status": "accepted",
            "denial_code": None,
            "reason": "STOP_LOSS",
            "opens": False,
            "cause": "signal",
            "decided_at": _RUNNING_SINCE,
        }
    ],
    "count": 1,
    "total": 1,
    "limit": 100,
    "offset": 0,
}
EQUITY: dict[str, Any] = {
    "execution_id": _EXECUTION_ID,
    "equity": [
        {
            "timestamp": "2025-08-24T11:00:00Z",
            "equity": 100127.5,
            "cash": 97150.9,
            "contributed": 100000.0,
        }
    ],
    "count": 1,
}
CAPITAL: dict[str, Any] = {
    "execution_id": _EXECUTION_ID,
    "contributed": 25000.0,
    "target": 20000.0,
    "equity": 25127.5,
    "cash": 2150.9,
    "free": 0.0,
    "pnl": 127.5,
    "flows": [
        {
            "entry_no": 42,
            "timestamp": "2025-08-24T11:00:00Z",
            "bar_closed_at": "2025-08-24T11:00:00Z",
            "amount": -75000.0,
            "contributed": 25000.0,
            "equity": 25112.3,
            "cash": 2150.9,
        }
    ],
    "count": 1,
    "total": 1,
    "limit": 100,
    "offset": 0,
}
METRICS_HISTORY: dict[str, Any] = {
    "execution_id": _EXECUTION_ID,
    "resolution": "1m",
    "metrics": [
        {
            "timestamp": "2025-08-24T11:00:00Z",
            "samples": 6,
            "metrics": EXECUTION["performance_metrics"],
        }
    ],
    "count": 1,
}

INSTRUMENTS: dict[str, Any] = {
    "instruments": [
        {
            "symbol": "EUR/USD.SIM",
            "venue": "SIM",
            "currency": "USD",
            "tick_size": 0.00001,
            "lot_size": 1.0,
            "calendar": "fx",
            "default_timeframe": "1-HOUR-LAST-EXTERNAL",
            "timeframes": ["1-HOUR-LAST-EXTERNAL"],
            "note": "",
            "native_class": "CurrencyPair",
        }
    ],
    "count": 1,
    "problems": [],
}
QUOTES: dict[str, Any] = {
    "symbol": "EUR/USD.SIM",
    "quotes": [
        {
            "timestamp": "2025-08-22T09:00:00Z",
            "bid": 1.16012,
            "ask": 1.16014,
            "bid_size": 1_000_000.0,
            "ask_size": 500_000.0,
        }
    ],
    "count": 1,
}
MARKET_TRADES: dict[str, Any] = {
    "symbol": "EUR/USD.SIM",
    "trades": [{"timestamp": "2025-08-22T09:00:00Z", "price": 1.16013, "size": 25_000.0}],
    "count": 1,
}
IMPORTED: dict[str, Any] = {
    "symbol": "EUR/USD.SIM",
    "what": "quotes",
    "rows": 250_000,
    "lines": [
        "accepted: EUR/USD.SIM, 250,000 quotes, 2025-08-20 00:00Z to 2025-08-22 09:00Z",
        "note: stored 250,000 quotes",
    ],
}
QUOTES_CSV = "ts_utc,bid,ask,bid_size,ask_size\n2025-08-22T09:00:00.125Z,1.1601,1.1602,1000,500\n"
TRADES_CSV = "ts_utc,price,size\n2025-08-22T09:00:00.125Z,1.1601,25\n"
BARS_CSV = "ts_utc,open,high,low,close,volume\n2025-08-22T09:00:00Z,1.16,1.17,1.15,1.16,5120\n"
BARS: dict[str, Any] = {
    "symbol": "EUR/USD.SIM",
    "timeframe": "1-HOUR-LAST-EXTERNAL",
    "bars": [
        {
            "timestamp": "2025-08-22T09:00:00Z",
            "open": 1.1601,
            "high": 1.1612,
            "low": 1.1595,
            "close": 1.1607,
            "volume": 5120.0,
        }
    ],
    "count": 1,
}

HEALTH: dict[str, Any] = {
    "status": "healthy",
    "strategies_deployed": 47,
    "pipelines_executed": 156,
    "tests_completed": 892,
    "active_strategies": 12,
    "active_executions": 8,
    "uptime_seconds": 86400.0,
    "messagebus_connected": True,
    "parts": [{"name": "node", "status": "healthy", "reason": ""}],
}
METRICS: dict[str, Any] = {
    "deployments_per_hour": 5.2,
    "pipelines_per_hour": 17.3,
    "total_strategies": 47,
    "total_deployments": 47,
    "total_pipelines": 156,
    "active_executions": 8,
    "success_rate": 0.987,
    "success_rate_without_rejections": 0.99,
    "engine_type": "strategy_deployment",
    "containerized": True,
}
METRICS_TEXT = (
    "# HELP strategy_executions_active Executions that are starting, running or paused.\n"
    "# TYPE strategy_executions_active gauge\n"
    "strategy_executions_active 8.0\n"
)
INDEX: dict[str, Any] = {
    "name": "Strategy Engine",
    "version": "1.0.0",
    "docs": "/docs",
    "openapi": "/openapi.json",
    "health": "/health",
    "metrics": "/metrics",
}
