"""One example of every request and answer about lines, experiments and allocations."""

from typing import Any

_NAME = "RSI Mean Reversion"
_EXPERIMENT_ID = "exp_3b1c6a5d0f7e4c2a9b8d1e2f"
_ALLOCATION_ID = "alloc_7d2f0c9a1b4e4f6d8a3c5e1b"
_STABLE, _CANDIDATE = "exec_fd61a03af4f77d870fc21e05", "exec_0a94c1f2e37b4d5689ab12cd"
_AT = "2025-08-24T10:00:00Z"

CREATE_EXPERIMENT: dict[str, Any] = {
    "strategy_name": _NAME,
    "version_a": "1.2.0",
    "version_b": "1.3.0",
    "hypothesis": "the longer period returns more after costs",
    "margin": 0.05,
    "alpha": 0.05,
    "unit": "capital",
    "share_b": 0.25,
    "planned_pairs": 2000,
}
_ARM: dict[str, Any] = {
    "version": "1.2.0",
    "strategy_id": "strat_9f86d081884c7d659a2feaa0",
    "execution_id": _STABLE,
    "weight": 0.75,
    "symbols": [],
    "started_for_it": False,
}
EXPERIMENT: dict[str, Any] = {
    "experiment_id": _EXPERIMENT_ID,
    "strategy_name": _NAME,
    "status": "running",
    "outcome": None,
    "message": "",
    "hypothesis": CREATE_EXPERIMENT["hypothesis"],
    "metric": "mean_return_difference",
    "margin": 0.05,
    "alpha": 0.05,
    "unit": "capital",
    "planned_pairs": 2000,
    "seed": 0,
    "capital": 100000.0,
    "a": _ARM,
    "b": _ARM
    | {
        "version": "1.3.0",
        "strategy_id": "strat_18ac3e7343f016890c510e93",
        "execution_id": _CANDIDATE,
        "weight": 0.25,
        "started_for_it": True,
    },
    "requested_by": "local",
    "created_at": _AT,
    "running_at": _AT,
    "ended_at": None,
}
EXPERIMENTS: dict[str, Any] = {
    "experiments": [EXPERIMENT],
    "count": 1,
    "total": 1,
    "limit": 50,
    "offset": 0,
}
_ENTRY: dict[str, Any] = {
    "at": _AT,
    "actor": "local",
    "action": "start",
    "from_state": None,
    "to_state": "starting",
    "details": {"margin": 0.05},
}
WHOLE_EXPERIMENT: dict[str, Any] = EXPERIMENT | {
    "pairs": 812,
    "estimate": {"mean": 0.031, "lower": -0.104, "upper": 0.166, "pairs": 812, "confidence": 0.95},
    "recommendation": "inconclusive",
    "reason": "a year B returns -10.4% to +16.6% more than A (95%, at all times), by 812 paired"
    " bars; what matters is 5.0%: more bars are needed to tell",
    "findings": [],
    "history": [_ENTRY],
}

PUT_ALLOCATION: dict[str, Any] = {
    "policy": "equal_risk",
    "versions": ["1.2.0", "1.3.0"],
    "caps": {"1.3.0": 0.4},
    "band": 0.02,
    "max_change_a_day": 0.2,
    "lookback": 500,
}
_POLICY: dict[str, Any] = PUT_ALLOCATION | {"weights": {}, "prior": 250}
ALLOCATION: dict[str, Any] = {
    "allocation_id": _ALLOCATION_ID,
    "strategy_name": _NAME,
    "status": "active",
    "message": "equal_risk by 500 paired bars",
    **_POLICY,
    "in_force": {"1.2.0": 0.6, "1.3.0": 0.4},
    "slots": {"1.2.0": 0.6, "1.3.0": 0.4},
    "changed_today": 0.1,
    "executions": {"1.2.0": _STABLE, "1.3.0": _CANDIDATE},
    "capital": 100000.0,
    "requested_by": "local",
    "created_at": _AT,
    "updated_at": _AT,
    "history": [_ENTRY | {"to_state": "active", "details": {"why": "equal_risk"}}],
}

_MEMBER: dict[str, Any] = {
    "execution_id": _STABLE,
    "strategy_id": "strat_9f86d081884c7d659a2feaa0",
    "version": "1.2.0",
    "role": "stable",
    "status": "running",
    "risk_state": "ACTIVE",
    "weight": 0.75,
    "capital": 75000.0,
    "capital_target": None,
    "equity": 75210.5,
    "pnl": 210.5,
    "positions": {"EUR/USD.SIM": 7000.0},
    "failure": None,
}
_MOVER: dict[str, Any] = {"kind": "experiment", "key": _EXPERIMENT_ID, "status": "running"}
LINE_SUMMARY: dict[str, Any] = {
    "strategy_name": _NAME,
    "versions": ["1.2.0", "1.3.0"],
    "members": [_MEMBER],
    "tied": [
        {
            "execution_id": _CANDIDATE,
            "strategy_id": "strat_9f86d081884c7d659a2feaa0",
            "version": "1.1.0",
            "role": "stable",
            "status": "stopped",
            "capital": 9990.25,
            "positions": {"EUR/USD.SIM": 9000.0},
            "closing": None,
        }
    ],
    "capital": 75000.0,
    "equity": 75210.5,
    "moved_by": [_MOVER],
}
LINES: dict[str, Any] = {"lines": [LINE_SUMMARY], "count": 1}
LINE: dict[str, Any] = LINE_SUMMARY | {
    "shadows": [],
    "books": {
        "agrees": True,
        "findings": [],
        "positions": [
            {"symbol": "EUR/USD.SIM", "ledgers": 7000.0, "fills": 7000.0, "agrees": True}
        ],
        "cash": 67400.12,
        "expected_cash": 67400.12,
        "opened": 100000.0,
        "flowed": -25000.0,
        "fill_count": 6,
    },
}
