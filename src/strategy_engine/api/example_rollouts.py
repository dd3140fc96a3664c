"""Examples of what is asked and told about rollouts, as the OpenAPI document shows them."""

from typing import Any

_PIPELINE_ID = "pipe_60303ae22b998861bce3b28f"
_STRATEGY_ID = "strat_9f86d081884c7d659a2feaa0"
_CANDIDATE = "exec_1b4f0e9851971998e732078d"
_BASELINE = "exec_60303ae22b998861bce3b28f"
_BEFORE = "exec_fd61a03af4f77d870fc21e05"

_GOES_BACK = (
    "the version before it opens positions from one bar on, with the line's capital as it becomes"
    " free"
)

DEPLOY: dict[str, Any] = {
    "deployment_type": "canary",
    "approval_required": False,
    "rollback_on_failure": True,
    "validation_criteria": {"min_sharpe_ratio": 1.2},
    "steps": [
        {"shadow": "50 bars"},
        {"weight": 0.05, "min_time": "30m", "min_decisions": 20},
        {"approval": True},
        {"weight": 0.5, "min_time": "5d"},
        {"analysis": {"required": True}},
    ],
    "loss_budget": 0.02,
    "bounds": {"max_slippage_bps": 5},
    "keep_warm": "1h",
}
OPTIONS: dict[str, Any] = DEPLOY | {
    "handover": "run_off",
    "handover_deadline_s": 300.0,
    "rebalance": "as_freed",
    "validation_profile": "default",
    "duration_days": None,
    "min_time": "30s",
    "min_decisions": 20,
    "requires_analysis": False,
    "approve_switch": False,
    "max_unavailable": 1,
    "progress_deadline": "10m",
}
SAID: dict[str, Any] = {"comment": "limits checked against the desk's book", "step": 2}
_SHADOW: dict[str, Any] = {
    "step": 1,
    "name": "shadow",
    "kind": "shadow",
    "state": "done",
    "weight": 0.0,
    "symbols": [],
    "min_time": "0s",
    "min_decisions": 20,
    "requires_analysis": False,
    "has_baseline": False,
}
ROLLOUT: dict[str, Any] = {
    "step": 2,
    "steps": [
        {**_SHADOW, "step": 0, "name": "prepare", "kind": "prepare", "min_decisions": 0},
        _SHADOW,
        {
            **_SHADOW,
            "step": 2,
            "name": "weight_5",
            "kind": "weight",
            "state": "now",
            "weight": 0.05,
            "min_time": "30m",
            "has_baseline": True,
        },
    ],
    "weights": {"new": 0.05, "baseline": 0.05, "before": 0.9},
    "waits_for": "600 of 1800 s, 10 of 20 decisions",
    "began_at": "2025-08-24T10:30:00Z",
    "reached_at": "2025-08-24T10:30:01Z",
    "hold": None,
    "undo": None,
    "waived_by": None,
    "candidate": _CANDIDATE,
    "baseline": _BASELINE,
    "replaces": [_BEFORE],
    "warm_until": None,
}
ACTED: dict[str, Any] = {
    "status": "nothing_done",
    "pipeline_id": _PIPELINE_ID,
    "strategy_id": _STRATEGY_ID,
    "deployment_status": "rolling_out",
    "current_stage": "weight_5",
    "dry_run": True,
    "would": [
        _GOES_BACK,
        f"{_CANDIDATE} (candidate): closes 90 EUR/USD.SIM at the next price",
    ],
    "effects": [
        {
            "execution_id": _CANDIDATE,
            "strategy_id": _STRATEGY_ID,
            "role": "candidate",
            "cancels": 1,
            "closes": "next_price",
            "positions": [{"symbol": "EUR/USD.SIM", "quantity": 90.0}],
            "capital_from": 5012.5,
            "capital_to": 0.0,
            "opens": "no",
        }
    ],
}
