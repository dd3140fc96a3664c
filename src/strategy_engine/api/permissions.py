"""What each request needs: one table, by method and path. Reading needs READ; a probe nothing."""

from strategy_engine.access.model import Permission

OPEN = frozenset({"/health", "/metrics", "/metrics/prometheus"})
AT_ONCE = frozenset({"/risk/emergency-stop"})  # by the keys that are known: no database is asked
NEEDED: dict[str, Permission] = {
    "POST /strategies": Permission.WRITE_STRATEGIES,
    "PUT /strategies/{strategy_id}": Permission.WRITE_STRATEGIES,
    "DELETE /strategies/{strategy_id}": Permission.WRITE_STRATEGIES,
    "POST /strategies/{strategy_id}/reset": Permission.WRITE_STRATEGIES,
    "POST /strategies/{strategy_id}/test": Permission.WRITE_STRATEGIES,
    "POST /strategies/{strategy_id}/deploy": Permission.DEPLOY,
    "POST /deployments/{pipeline_id}/approve": Permission.APPROVE,
    "POST /deployments/{pipeline_id}/reject": Permission.APPROVE,
    "POST /deployments/{pipeline_id}/promote": Permission.APPROVE,  # a gate that is waived
    "POST /deployments/{pipeline_id}/promote-full": Permission.APPROVE,
    "POST /deployments/{pipeline_id}/skip-step": Permission.APPROVE,
    "POST /deployments/{pipeline_id}/pause": Permission.TRADE,
    "POST /deployments/{pipeline_id}/resume": Permission.TRADE,
    "POST /deployments/{pipeline_id}/abort": Permission.TRADE,
    "POST /deployments/{pipeline_id}/rollback": Permission.TRADE,
    "POST /deployments/{pipeline_id}/retry": Permission.DEPLOY,
    "POST /strategies/{strategy_id}/start": Permission.TRADE,
    "POST /strategies/{strategy_id}/stop": Permission.TRADE,
    "POST /strategies/{strategy_id}/pause": Permission.TRADE,
    "POST /strategies/{strategy_id}/resume": Permission.TRADE,
    "POST /executions/{execution_id}/flatten": Permission.TRADE,
    "POST /instruments/{symbol}/bars": Permission.WRITE_STRATEGIES,
    "POST /instruments/{symbol}/quotes": Permission.WRITE_STRATEGIES,
    "POST /instruments/{symbol}/trades": Permission.WRITE_STRATEGIES,
    "POST /risk/emergency-stop": Permission.TRADE,
    "POST /risk/emergency-stops/{stop_id}/reset": Permission.OVERRIDE_RISK,
    "PUT /risk/limits/{scope}/{subject}": Permission.OVERRIDE_RISK,
    "DELETE /risk/limits/{scope}/{subject}": Permission.OVERRIDE_RISK,
    "POST /executions/{execution_id}/risk/reset": Permission.OVERRIDE_RISK,
    "POST /flags": Permission.WRITE_STRATEGIES,  # a part of the code that reads them
    "PUT /flags/{key}": Permission.WRITE_STRATEGIES,
    "DELETE /flags/{key}": Permission.WRITE_STRATEGIES,
    "PUT /lines/{strategy_name}/allocation": Permission.TRADE,
    "DELETE /lines/{strategy_name}/allocation": Permission.TRADE,
    "POST /experiments": Permission.TRADE,
    "POST /experiments/{experiment_id}/stop": Permission.TRADE,
    "POST /alerts/{alert_id}/acknowledge": Permission.TRADE,
    "POST /alerts/rules": Permission.MANAGE_ALERTS,
    "PUT /alerts/rules/{rule_id}": Permission.MANAGE_ALERTS,
    "DELETE /alerts/rules/{rule_id}": Permission.MANAGE_ALERTS,
    "GET /alerts/channels": Permission.MANAGE_ALERTS,
    "GET /alerts/channels/{channel_id}/deliveries": Permission.MANAGE_ALERTS,
    "POST /alerts/channels": Permission.MANAGE_ALERTS,
    "DELETE /alerts/channels/{channel_id}": Permission.MANAGE_ALERTS,
    "POST /alerts/channels/{channel_id}/test": Permission.MANAGE_ALERTS,
    "GET /keys": Permission.MANAGE_KEYS,
    "POST /keys": Permission.MANAGE_KEYS,
    "DELETE /keys/{key_id}": Permission.MANAGE_KEYS,
    "GET /webhooks": Permission.MANAGE_WEBHOOKS,  # a URL may hold its receiver's token
    "GET /webhooks/{webhook_id}/deliveries": Permission.MANAGE_WEBHOOKS,
    "POST /webhooks": Permission.MANAGE_WEBHOOKS,
    "DELETE /webhooks/{webhook_id}": Permission.MANAGE_WEBHOOKS,
}


def of(method: str, path: str) -> Permission | None:
    """Return what a request needs; None for what anybody may ask.

    Raises
    ------
    KeyError
        If it would change something and is not in the table: nobody may, until it is.
    """
    if path in OPEN:
        return None
    asked = f"{method} {path}"
    return NEEDED.get(asked, Permission.READ) if method == "GET" else NEEDED[asked]
