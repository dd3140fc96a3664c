"""What the document of the API shows of risk: answers of one engine, at one time."""

from typing import Any

BREACH: dict[str, Any] = {
    "breach_id": "breach_0f6d8e1b2c3a4d5e6f708192",
    "measure": "daily_loss_limit",
    "scope": "execution",
    "subject": "exec_5d2b368bc7e9ca25b7456eed",
    "value": -512.4,
    "limit": -500.0,
    "limit_scope": "version",
    "limit_subject": "strat_3cf019e30fd4ee51475a4158",
    "action": "pause",
    "executions": ["exec_5d2b368bc7e9ca25b7456eed"],
    "sample": 1,
    "message": "execution exec_5d2b368bc7e9ca25b7456eed: the day's P&L is -512.40;"
    " daily_loss_limit of version strat_3cf019e30fd4ee51475a4158 is -500",
    "began_at": "2025-08-24T10:00:00Z",
    "ended_at": None,
}
BREACHES: dict[str, Any] = {"breaches": [BREACH], "count": 1, "total": 1}
RISK: dict[str, Any] = {
    "status": "held_back",
    "emergency_stops": [],
    "breaches": [BREACH],
    "held_back": [
        {
            "execution_id": "exec_5d2b368bc7e9ca25b7456eed",
            "strategy_id": "strat_3cf019e30fd4ee51475a4158",
            "status": "paused",
            "desired": "pause",
            "risk_state": "ACTIVE",
            "why": "risk.pause: the day's P&L is -512.40; daily_loss_limit of version"
            " strat_3cf019e30fd4ee51475a4158 is -500",
        }
    ],
    "lines": [
        {
            "strategy_name": "Advanced RSI Strategy",
            "pnl": 1210.5,
            "day_pnl": -512.4,
            "peak_pnl": 1890.0,
        }
    ],
    "at": "2025-08-24T10:00:02Z",
}
RESET: dict[str, Any] = {
    "execution_id": "exec_5d2b368bc7e9ca25b7456eed",
    "status": "running",
    "desired": "run",
    "risk_state": "ACTIVE",
    "note": "it may open positions again",
}
RESET_REQUEST: dict[str, Any] = {"comment": "the feed was wrong; positions checked"}
