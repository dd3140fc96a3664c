"""What an execution may be started with, and what a strategy's answer means. Pure."""

import math
from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any

import msgspec

from strategy_engine.core import money
from strategy_engine.core.errors import EngineError, InvalidError
from strategy_engine.execution import limiting
from strategy_engine.execution.model import Execution, ExecutionConfig, Role
from strategy_engine.market.model import Instrument
from strategy_engine.matching import settings as matching
from strategy_engine.matching.model import BUY, HOLD, PPB, SELL, Action, Decision, Terms
from strategy_engine.matching.ticket import Instruction
from strategy_engine.registry.model import Content
from strategy_engine.sandbox.protocol import messages

REPLAY, BUS = "replay", "bus"
FEEDS = (REPLAY, BUS)
MODES = ("paper",)
FASTEST_BARS_A_SECOND = 1e9
MOST_UNITS = 10**15  # lots or ticks: beyond any market
MOST_NS = 1 << 63
_WIDEST_PPB = 10 * PPB
_LONGEST_REASON = 200
_instruction = msgspec.msgpack.Decoder(Instruction).decode
_BARE = {Action.HOLD: HOLD, Action.BUY: BUY, Action.SELL: SELL}


class ContractBrokenError(EngineError):
    """The strategy's process answered what no strategy may."""

    kind = "contract-broken"


def settings_of(content: Content, config: ExecutionConfig) -> matching.Settings:
    """Return how a version trades under a config.

    Raises
    ------
    InvalidError
        If a value is of the wrong type, out of range, or not offered.
    """
    _check_choice("feed", config.feed, FEEDS)
    _check_choice("mode", config.mode, MODES)
    _check_speed(config.speed)
    _check_range(config)
    limiting.check(config)
    return matching.settings(
        content.parameters,
        limiting.sizing(content, config),
        config.overrides(),
        is_native=content.is_native,
    )


def offered(data_stream: str | None) -> tuple[str, ...]:
    """Return the feeds of an engine that reads bars from a stream of the bus, or from none."""
    return (REPLAY,) if data_stream is None else FEEDS


def check_feed(feed: str, feeds: Collection[str]) -> None:
    """Refuse a feed that this engine is not set up for.

    Raises
    ------
    InvalidError
        With the settings that it needs.
    """
    if feed not in feeds:
        raise not_set_up(feed, feeds)


def not_set_up(feed: str, feeds: Collection[str]) -> InvalidError:
    """Return the error of a feed that this engine is not set up for."""
    return InvalidError(
        f"feed {feed!r} needs a stream to read bars from: set REDIS_URL and"
        " STRATEGY_BUS_DATA_STREAM",
        field="feed",
        value=feed,
        accepted=sorted(feeds),
    )


def told_as(strategy_id: str, role: Role) -> str | None:
    """Return as whose an execution's events are published; None: a validation run's are not."""
    return None if role is Role.VALIDATION else strategy_id


def goes_on(broken: Execution, others: Iterable[Execution]) -> bool:
    """Say whether a version outlives one of its executions that has failed.

    Its stable one stands for it; what is beside that does not, as long as a stable one goes on.
    """
    is_beside = broken.role is not Role.STABLE
    return is_beside and any(each.role is Role.STABLE for each in others)


def terms_of(instrument: Instrument) -> Terms:
    """Return an instrument's contract terms as matching counts them."""
    return Terms(
        symbol=instrument.symbol,
        tick_nanos=money.to_nanos(instrument.tick_size),
        lot_nanos=money.to_nanos(instrument.lot_size),
        min_lots=instrument.min_lots,
    )


def capital_of(settings: matching.Settings) -> Decimal:
    """Return the capital an execution starts with."""
    return money.to_decimal(settings.capital_nanos).normalize() + 0


def decision_of(answer: messages.Decided) -> Decision:
    """Return what a child decided, or refuse what it may not say.

    Raises
    ------
    ContractBrokenError
        If the action is none, or a share or distance is out of range.
    """
    try:
        action = Action(answer.action)
    except ValueError:
        raise ContractBrokenError(
            f"the strategy's process answered action {answer.action}; it must be 0 to 3"
        ) from None
    detail = answer.detail
    if detail is None:
        if action is Action.TARGET:
            raise ContractBrokenError("the strategy's process named no share for its target")
        return _BARE[action]
    _check_share(action, detail.size_ppb)
    _check_distance("stop_loss", detail.stop_loss_ppb)
    _check_distance("take_profit", detail.take_profit_ppb)
    return Decision(
        action=action,
        size_ppb=detail.size_ppb,
        stop_loss_ppb=detail.stop_loss_ppb,
        take_profit_ppb=detail.take_profit_ppb,
        reason=detail.reason[:_LONGEST_REASON],
    )


def instructions_of(asked: Iterable[messages.Asked]) -> list[tuple[int, Instruction]]:
    """Return what a native strategy asks of the venue, or refuse what it may not say.

    Raises
    ------
    ContractBrokenError
        If something is no instruction, or a number in it is beyond any market.
    """
    try:
        given = [(each.ts_ns, _instruction(each.instruction)) for each in asked]
    except msgspec.MsgspecError as error:
        raise ContractBrokenError(
            f"the strategy's process asked for what is no instruction: {error}"
        ) from None
    for _, each in given:
        for name in each.__struct_fields__:
            value = getattr(each, name)
            if isinstance(value, int) and abs(value) > _largest(name):
                raise ContractBrokenError(
                    f"the strategy's process asked for an order whose {name} is {value}"
                )
    return given


def _largest(name: str) -> int:
    return MOST_NS if name.endswith("_ns") else MOST_UNITS


def failure_line(failed: messages.Failed) -> str:
    """Return one line that says what the strategy's code did wrong, and where."""
    where = f" at {failed.where}" if failed.where else ""
    bar = f" (bar {failed.bar_index})" if failed.bar_index is not None else ""
    return f"{failed.phase}: {failed.error}: {failed.message}{where}{bar}"


def median(values: list[int]) -> float:
    """Return the middle of sorted values; 0 for none."""
    return float(values[len(values) // 2]) if values else 0.0


def percentile_99(values: list[int]) -> float:
    """Return the value below which 99 % of sorted values lie; 0 for none."""
    return float(values[min(len(values) - 1, len(values) * 99 // 100)]) if values else 0.0


def _check_choice(name: str, value: Any, accepted: tuple[str, ...]) -> None:
    if value not in accepted:
        raise InvalidError(
            f"{name} {value!r} is not offered; there is: {', '.join(accepted)}",
            field=name,
            value=value,
            accepted=list(accepted),
        )


def _check_speed(speed: Any) -> None:
    if speed is None:
        return
    is_number = isinstance(speed, int | float) and not isinstance(speed, bool)
    if not is_number or not math.isfinite(speed) or not 0 <= speed <= FASTEST_BARS_A_SECOND:
        raise InvalidError(
            f"speed is {speed!r}; it must be bars a second, or 0 for as fast as it goes",
            field="speed",
            value=str(speed),
            accepted="a number from 0",
        )


def _check_range(config: ExecutionConfig) -> None:
    if config.warm_up is not None and config.warm_up < 0:
        raise InvalidError(
            f"warm_up is {config.warm_up}; it must be 0 or more bars",
            field="warm_up",
            value=config.warm_up,
        )
    start_ns, end_ns = config.start_ns, config.end_ns
    if start_ns is not None and end_ns is not None and end_ns <= start_ns:
        raise InvalidError(
            f"the range ends at {end_ns} ns, not after its start at {start_ns} ns",
            field="end_ns",
            value=end_ns,
        )


def _check_share(action: Action, share_ppb: int | None) -> None:
    least = -PPB if action is Action.TARGET else 0
    if share_ppb is None and action is not Action.TARGET:
        return
    if share_ppb is None or not least <= share_ppb <= PPB:
        raise ContractBrokenError(
            f"the strategy's process answered {action.name} with a share of {share_ppb} ppb;"
            f" it must be {least} to {PPB}"
        )


def _check_distance(name: str, distance_ppb: int | None) -> None:
    if distance_ppb is not None and not 0 <= distance_ppb <= _WIDEST_PPB:
        raise ContractBrokenError(
            f"the strategy's process answered a {name} of {distance_ppb} ppb;"
            f" it must be 0 to {_WIDEST_PPB}"
        )
