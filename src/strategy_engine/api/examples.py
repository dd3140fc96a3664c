"""An example of every request, and of the answers about strategies and deployments."""

from typing import Any

from strategy_engine.api import example_rollouts

STRATEGY_ID = "strat_9f86d081884c7d659a2feaa0"
_PIPELINE_ID = "pipe_60303ae22b998861bce3b28f"
_NAME = "RSI Mean Reversion"
_VERSION = "1.2.0"
_CREATED_AT = "2025-08-24T09:58:00Z"
_STARTED_AT = "2025-08-24T10:00:00Z"
_CODE = (
    "class RSIMeanReversion:\n"
    "    def __init__(self, rsi_period=14):\n"
    "        self.rsi_period = rsi_period\n\n"
    "    def generate_signal(self, market_data):\n"
    "        rsi = calculate_rsi(market_data['prices'], self.rsi_period)\n"
    "        return 'BUY' if rsi < 30 else 'SELL' if rsi > 70 else 'HOLD'\n"
)
_TEST = (
    "def test_it_holds_on_flat_prices():\n"
    "    assert RSIMeanReversion().generate_signal({'prices': [1.0] * 50}) == 'HOLD'\n"
)
_STAGES = [
    "syntax_check",
    "unit_tests",
    "backtest",
    "paper_trading",
    "risk_validation",
    "performance_validation",
]

CREATE: dict[str, Any] = {
    "strategy_name": _NAME,
    "version": _VERSION,
    "code": _CODE,
    "parameters": {"rsi_period": 14, "position_size": 0.03},
    "risk_limits": {"max_position_size": 10000, "daily_loss_limit": -1000},
    "tests": {"test_rsi.py": _TEST},
}
UPDATE: dict[str, Any] = {"parameters": {"rsi_period": 21, "position_size": 0.03}}
TEST: dict[str, Any] = {"test_type": "backtest", "duration_days": 180, "initial_capital": 50000}
START: dict[str, Any] = {
    "execution_config": {
        "position_size": 0.02,
        "max_trades_per_day": 10,
        "risk_override": False,
        "capital": 50000,
        "symbols": ["EUR/USD.SIM"],
        "speed": 10,
    }
}
PROBLEM: dict[str, Any] = {
    "type": "/problems/not-found",
    "title": "Not found",
    "status": 404,
    "detail": "no strategy 'strat_abc'; GET /strategies lists those that exist",
    "instance": "/strategies/strat_abc",
    "field": "strategy_id",
    "value": "strat_abc",
}

_KEY: dict[str, Any] = {
    "strategy_id": STRATEGY_ID,
    "strategy_name": _NAME,
    "version": _VERSION,
}
CREATED: dict[str, Any] = {"status": "created", **_KEY}
CHANGED: dict[str, Any] = {"status": "updated", **_KEY, "strategy_status": "draft"}
SUMMARY: dict[str, Any] = {
    **_KEY,
    "status": "deployed",
    "code_hash": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "created_at": _CREATED_AT,
    "updated_at": _STARTED_AT,
}
STRATEGIES: dict[str, Any] = {
    "strategies": [SUMMARY],
    "count": 1,
    "total": 1,
    "limit": 50,
    "offset": 0,
}
STRATEGY: dict[str, Any] = {
    **SUMMARY,
    "code": _CODE,
    "parameters": CREATE["parameters"],
    "risk_limits": CREATE["risk_limits"],
    "tests": CREATE["tests"],
    "digest": "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9",
}
HISTORY: dict[str, Any] = {
    "strategy_id": STRATEGY_ID,
    "history": [
        {
            "at": _STARTED_AT,
            "actor": "local",
            "action": "validate",
            "from_state": "draft",
            "to_state": "testing",
            "details": {"why": _PIPELINE_ID},
        }
    ],
    "count": 1,
}
TESTED: dict[str, Any] = {
    "status": "test_completed",
    "strategy_id": STRATEGY_ID,
    "test_type": "backtest",
    "result": {
        "passed": True,
        "verdict": "passed",
        "duration_ms": 412.5,
        "message": "",
        "findings": [],
        "total_return": 0.12,
        "sharpe_ratio": 1.4,
        "max_drawdown": -0.06,
        "win_rate": 0.58,
        "trade_count": 23,
        "duration_days": 180,
    },
}

_DEPLOYMENT_KEY: dict[str, Any] = {
    "pipeline_id": _PIPELINE_ID,
    "strategy_id": STRATEGY_ID,
    "deployment_type": "canary",
}
ACCEPTED: dict[str, Any] = {
    "status": "deployment_started",
    **_DEPLOYMENT_KEY,
    "stages": _STAGES,
    "left_out": [],
    "message": "",
}
DEPLOYMENT_SUMMARY: dict[str, Any] = {
    **_DEPLOYMENT_KEY,
    "strategy_name": _NAME,
    "current_stage": "backtest",
    "status": "running",
    "outcome": None,
    "message": "",
    "created_at": _STARTED_AT,
    "started_at": _STARTED_AT,
    "ended_at": None,
    "stages": _STAGES,
    "left_out": [],
    "total_stages": 6,
}
DEPLOYMENTS: dict[str, Any] = {
    "deployments": [DEPLOYMENT_SUMMARY],
    "count": 1,
    "total": 1,
    "limit": 50,
    "offset": 0,
}
DEPLOYMENT_EVENT: dict[str, Any] = {
    "event_id": "17-3",
    "kind": "stage",
    "at": "2025-08-24T10:00:02Z",
    "actor": "engine",
    "action": "finish_stage",
    "message": "",
    "from_state": None,
    "to_state": None,
    "stage": "backtest",
    "step": None,
    "weight": None,
    "passed": True,
    "verdict": "passed",
    "reason": None,
    "duration_ms": 412.5,
    "evidence": {"trade_count": 27, "sharpe_ratio": 2.06},
}
DEPLOYMENT_EVENTS: dict[str, Any] = {
    "pipeline_id": _PIPELINE_ID,
    "strategy_id": STRATEGY_ID,
    "status": "running",
    "outcome": None,
    "has_ended": False,
    "events": [DEPLOYMENT_EVENT],
    "count": 1,
}
_STAGE_RESULT: dict[str, Any] = {
    "passed": True,
    "duration_ms": 150.0,
    "verdict": "passed",
    "message": "",
    "findings": [
        {"level": "warning", "message": "no argument takes oversold_threshold", "where": None}
    ],
}
DEPLOYMENT_STATUS: dict[str, Any] = {
    **DEPLOYMENT_SUMMARY,
    "stages_completed": 2,
    "results": {
        "syntax_check": _STAGE_RESULT,
        "unit_tests": {**_STAGE_RESULT, "findings": [], "tests_passed": 15},
    },
    "rollout": None,
}
DEPLOYMENT: dict[str, Any] = {
    **DEPLOYMENT_STATUS,
    "results": {"syntax_check": {**_STAGE_RESULT, "evidence": {"imports": ["math"]}}},
    "stages_completed": 1,
    "requested_by": "local",
    "node_id": "local",
    "revalidates": False,
    "options": example_rollouts.OPTIONS,
    "approval": None,
    "validated_at": None,
}
CREATE_KEY: dict[str, Any] = {"name": "ci", "role": "developer"}
KEY: dict[str, Any] = {
    "key_id": "5f3a90c1d2e4",
    "name": "ci",
    "role": "developer",
    "created_at": "2025-08-24T10:00:00Z",
    "created_by": "local",
    "revoked_at": None,
}
CREATED_KEY: dict[str, Any] = KEY | {"key": "sek_5f3a90c1d2e4_" + "0123456789abcdef" * 4}
KEYS: dict[str, Any] = {"keys": [KEY], "count": 1}
CREATE_FLAG: dict[str, Any] = {
    "key": "wide_stop",
    "type": "number",
    "default": 0.05,
    "owner": "alice",
    "description": "How far the stop of new positions lies.",
    "expires_at": "2025-10-24T10:00:00Z",
    "rules": [{"value": 0.08, "strategy_name": "RSI_Mean_Reversion", "share_of_executions": 0.25}],
}
UPDATE_FLAG: dict[str, Any] = {"rules": [{"value": 0.08, "versions": ">=1.2.0,<2.0.0"}]}
_EVERY_PART: dict[str, Any] = {
    "value": None,
    "strategy_name": None,
    "strategy_id": None,
    "versions": None,
    "execution_id": None,
    "share_of_executions": None,
    "share_of_decisions": None,
}
FLAG: dict[str, Any] = CREATE_FLAG | {
    "rules": [_EVERY_PART | CREATE_FLAG["rules"][0]],
    "live": True,
    "created_at": "2025-08-24T10:00:00Z",
    "created_by": "local",
    "updated_at": "2025-08-24T10:00:00Z",
    "archived_at": None,
}
FLAGS: dict[str, Any] = {"flags": [FLAG], "count": 1}
WHOLE_FLAG: dict[str, Any] = FLAG | {
    "history": [
        {
            "at": "2025-08-24T10:00:00Z",
            "actor": "local",
            "action": "create",
            "from_state": None,
            "to_state": None,
            "details": {"default": 0.05},
        }
    ]
}

CREATE_WEBHOOK: dict[str, Any] = {
    "url": "https://ops.example/hooks/strategies",
    "topics": ["strategy.deployed", "pipeline.failed"],
}
WEBHOOK: dict[str, Any] = {
    "webhook_id": "hook_1f3870be274f6c49b3e31a0c",
    **CREATE_WEBHOOK,
    "created_at": _CREATED_AT,
    "created_by": "local",
}
CREATED_WEBHOOK: dict[str, Any] = WEBHOOK | {
    "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDw5+Ff4hKeC8="
}
WEBHOOKS: dict[str, Any] = {"webhooks": [WEBHOOK], "count": 1}
DELIVERIES: dict[str, Any] = {
    "webhook_id": WEBHOOK["webhook_id"],
    "deliveries": [
        {
            "delivery_id": 1,
            "event_id": f"{_PIPELINE_ID}.failed",
            "topic": "pipeline.failed",
            "state": "pending",
            "attempts": 2,
            "status_code": 503,
            "error": "answered 503",
            "took_ms": 41.2,
            "created_at": _STARTED_AT,
            "next_at": "2025-08-24T10:00:35Z",
            "ended_at": None,
        }
    ],
    "count": 1,
    "total": 1,
    "limit": 50,
    "offset": 0,
}
