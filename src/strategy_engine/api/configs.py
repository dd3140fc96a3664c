"""How executions that a request starts are to trade, if whoever asks may ask for that."""

from strategy_engine.access import model as access
from strategy_engine.access.model import Permission, Principal
from strategy_engine.api import models
from strategy_engine.execution import limiting
from strategy_engine.execution.model import ExecutionConfig


def config_of(asked: models.ExecutionConfig, asker: Principal) -> ExecutionConfig:
    """Return the config that is asked for.

    Raises
    ------
    ForbiddenError
        If it lifts a limit of risk, and who asks may not.
    InvalidError
        If it lifts one and says no reason.
    """
    if asked.risk_override:
        access.require(asker, Permission.OVERRIDE_RISK)
    config = ExecutionConfig(
        **asked.model_dump(exclude={"symbols"}),
        symbols=None if asked.symbols is None else tuple(asked.symbols),
    )
    limiting.check_reason(config)
    return config
