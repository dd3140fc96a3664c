"""How a version wants to be traded: its engine parameters and risk limits as exact rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from strategy_engine.core import money
from strategy_engine.core.errors import InvalidError
from strategy_engine.matching.model import PPB, Conditions, Rules

DEFAULT_CAPITAL = 100_000
DEFAULT_SYMBOL = "EUR/USD.SIM"
MAX_CAPITAL = 1_000_000_000
MAX_LEVERAGE = 1_000
PPM = 1_000_000
PPM_PER_BPS = 100

# Parameters of a version that the engine takes; anything else goes to the strategy's constructor.
ENGINE_PARAMETERS = frozenset(
    {
        "position_size",
        "stop_loss",
        "take_profit",
        "allow_short",
        "leverage",
        "max_trades_per_day",
        "max_volume_share",
        "slippage_bps",
        "fee_bps",
        "capital",
        "symbols",
        "timeframe",
        "lookback",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the engine needs to trade a version. Money in billionths of the account currency.

    `conditions` are those of a native strategy's orders.
    """

    capital_nanos: int
    rules: Rules
    symbols: tuple[str, ...]
    timeframe: str | None
    lookback: int | None
    daily_loss_limit_nanos: int | None
    conditions: Conditions = field(default_factory=Conditions)


def settings(
    parameters: Mapping[str, Any],
    risk_limits: Mapping[str, Any],
    overrides: Mapping[str, Any],
    *,
    is_native: bool = False,
) -> Settings:
    """Return the rules a version trades by; `overrides` (an execution's own) win over parameters.

    A native strategy says itself when it sells, so it may be short unless `allow_short` is false.

    Raises
    ------
    InvalidError
        If a value is of the wrong type or out of range; it names the field and what is accepted.
    """
    given = {key: value for key, value in parameters.items() if key in ENGINE_PARAMETERS}
    given |= {key: value for key, value in overrides.items() if value is not None}
    limit = _number(risk_limits, "max_position_size", low=0, high=MAX_CAPITAL)
    loss = _number(risk_limits, "daily_loss_limit", low=-MAX_CAPITAL, high=MAX_CAPITAL)
    return Settings(
        capital_nanos=money.to_nanos(
            _number(given, "capital", low=1, high=MAX_CAPITAL) or DEFAULT_CAPITAL
        ),
        rules=Rules(
            position_size_ppb=_share(given, "position_size", 0.1),
            stop_loss_ppb=_distance(given, "stop_loss", -0.05),
            take_profit_ppb=_distance(given, "take_profit", 0.10),
            slippage_ppm=_ppm(given, "slippage_bps"),
            fee_ppm=_ppm(given, "fee_bps"),
            allow_short=_flag(given, "allow_short", default=is_native),
            max_trades_per_day=_count(given, "max_trades_per_day", low=0, high=1_000_000),
            max_position_nanos=None if limit is None else money.to_nanos(limit),
        ),
        symbols=_symbols(given),
        timeframe=_text(given, "timeframe"),
        lookback=_count(given, "lookback", low=1, high=100_000),
        daily_loss_limit_nanos=None if loss is None else -abs(money.to_nanos(loss)),
        conditions=Conditions(
            max_volume_share_ppm=_parts(given, "max_volume_share", low=0.000_001, high=1),
            leverage_ppm=_parts(given, "leverage", low=1, high=MAX_LEVERAGE),
        ),
    )


def _number(given: Mapping[str, Any], name: str, *, low: float, high: float) -> float | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidError(
            f"{name} is {value!r}; it must be a number from {low:g} to {high:g}",
            field=name,
            value=value,
            accepted=f"a number from {low:g} to {high:g}",
        )
    return value


def _share(given: Mapping[str, Any], name: str, default: float) -> int:
    value = _number(given, name, low=0, high=1)
    return round((default if value is None else value) * PPB)


def _distance(given: Mapping[str, Any], name: str, default: float) -> int:
    value = _number(given, name, low=-1, high=10)
    return round(abs(default if value is None else value) * PPB)


def _ppm(given: Mapping[str, Any], name: str) -> int:
    value = _number(given, name, low=0, high=1_000)
    return round((1 if value is None else value) * PPM_PER_BPS)


def _parts(given: Mapping[str, Any], name: str, *, low: float, high: float) -> int | None:
    value = _number(given, name, low=low, high=high)
    return None if value is None else round(value * PPM)


def _flag(given: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = given.get(name, default)
    if not isinstance(value, bool):
        raise InvalidError(
            f"{name} is {value!r}; it must be true or false",
            field=name,
            value=value,
            accepted=[True, False],
        )
    return value


def _count(given: Mapping[str, Any], name: str, *, low: int, high: int) -> int | None:
    value = _number(given, name, low=low, high=high)
    if value is not None and not isinstance(value, int):
        raise InvalidError(
            f"{name} is {value!r}; it must be a whole number",
            field=name,
            value=value,
            accepted=f"a whole number from {low} to {high}",
        )
    return value


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidError(f"{name} is {value!r}; it must be text", field=name, value=value)
    return value


def _symbols(given: Mapping[str, Any]) -> tuple[str, ...]:
    value = given.get("symbols", [DEFAULT_SYMBOL])
    value = [value] if isinstance(value, str) else value
    fine = isinstance(value, list | tuple) and value and all(isinstance(v, str) for v in value)
    if not fine or len(set(value)) != len(value):
        raise InvalidError(
            f"symbols is {value!r}; it must be a list of different instrument names",
            field="symbols",
            value=value,
            accepted="a list such as ['EUR/USD.SIM']; GET /instruments lists them",
        )
    return tuple(value)
