"""What limits an execution brings with it, and where it belongs. Pure."""

from typing import Any

from strategy_engine.core.errors import InvalidError
from strategy_engine.execution.model import Execution, ExecutionConfig, Role
from strategy_engine.registry.model import Content
from strategy_engine.venue import limits
from strategy_engine.venue.limits import LimitSet, Scope
from strategy_engine.venue.oversight import Sets, Who

_LONGEST_ACCOUNT = 100


def who(row: Execution, content: Content) -> Who:
    """Return an execution by everything that a limit may be set for."""
    return Who(
        execution_id=row.execution_id,
        strategy_id=row.strategy_id,
        line=content.strategy_name,
        account=account_of(row.config, content.strategy_name),
    )


def account_of(config: ExecutionConfig, line: str) -> str:
    """Return the account that an execution trades: its line's own unless its config names one."""
    return line if config.account is None else config.account


def is_real(row: Execution) -> bool:
    """Say whether an execution counts beside others: a validation run plays the past, alone."""
    return row.role is not Role.VALIDATION


def own_sets(
    content: Content, config: ExecutionConfig, strategy_id: str, execution_id: str
) -> Sets:
    """Return what a version and its execution's config limit themselves to.

    The config only tightens what its version says; with `risk_override` what it names replaces
    that. An override that names nothing lifts the version's daily loss limit, and that alone.

    Raises
    ------
    InvalidError
        If a value is of the wrong type or out of range, or the config names an unknown limit.
    """
    declared = limits.parse(content.risk_limits, names=limits.OWN, tolerant=True)
    asked = _asked(config)
    if config.risk_override:
        lifted = tuple(asked.values) or ("daily_loss_limit",)
        declared = declared.without(*lifted)
    return {(Scope.VERSION, strategy_id): declared, (Scope.EXECUTION, execution_id): asked}


def sizing(content: Content, config: ExecutionConfig) -> dict[str, Any]:
    """Return the limits that sizing clamps to and validation judges: the tightest of its own."""
    own = limits.tightest(own_sets(content, config, "", ""))
    found = (own.of(name) for name in ("max_position_size", "daily_loss_limit"))
    return {each.name: each.given for each in found if each is not None}


def check(config: ExecutionConfig) -> None:
    """Refuse what a config may not say of limits.

    Raises
    ------
    InvalidError
        If a limit, the account, the override or its reason makes no sense.
    """
    _asked(config)
    if not isinstance(config.risk_override, bool):
        raise InvalidError(
            f"risk_override is {config.risk_override!r}; it must be true or false",
            field="risk_override",
            value=config.risk_override,
        )
    account = config.account
    if account is not None and not (account.isprintable() and 0 < len(account) <= _LONGEST_ACCOUNT):
        raise InvalidError(
            f"account is {account!r}; it must be 1 to {_LONGEST_ACCOUNT} printable characters",
            field="account",
            value=account,
        )


def check_reason(config: ExecutionConfig) -> None:
    """Refuse an override that nobody says the reason of.

    Raises
    ------
    InvalidError
        With the field that is missing.
    """
    if config.risk_override and not (config.risk_override_reason or "").strip():
        raise InvalidError(
            "risk_override needs a risk_override_reason: it is kept with the execution",
            field="risk_override_reason",
            value=config.risk_override_reason,
        )


def _asked(config: ExecutionConfig) -> LimitSet:
    return limits.parse(config.risk_limits or {}, names=limits.OWN)
