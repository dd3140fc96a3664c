"""Whether one version can take over what another holds. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from strategy_engine.core.errors import InvalidError
from strategy_engine.execution import rules
from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.registry.model import Content
from strategy_engine.rollout.model import Handover

_OTHERS = [each.value for each in Handover if each is not Handover.ADOPT]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """What a version trades, and how: with the config of who runs now."""

    version: str
    is_native: bool
    symbols: frozenset[str]
    timeframe: str | None


def trade_of(content: Content, config: ExecutionConfig) -> Trade:
    """Return what a version trades under a config.

    Raises
    ------
    InvalidError
        If it could not run under it.
    """
    settings = rules.settings_of(content, config)
    return Trade(
        version=content.version,
        is_native=content.is_native,
        symbols=frozenset(settings.symbols),
        timeframe=settings.timeframe,
    )


def check(new: Trade, olds: Iterable[Trade]) -> None:
    """Refuse a version that cannot take over what others hold.

    The two have to stand at the same bar for that, so they must be shown the same bars; and a
    NautilusTrader strategy keeps its positions in its own cache, where no other's can be put.

    Raises
    ------
    InvalidError
        With what they differ in, and what to use instead.
    """
    for old in olds:
        for each in (new, old):
            if each.is_native:
                _refuse(
                    f"version {each.version} is a NautilusTrader strategy, which keeps its"
                    " positions itself: none can be put into its cache, or taken out of it",
                    each.version,
                )
        if new.symbols != old.symbols:
            _refuse(
                f"version {new.version} trades {_names(new)}, version {old.version} {_names(old)}:"
                " who takes positions over must trade just the same instruments",
                _names(new),
            )
        if new.timeframe != old.timeframe:
            _refuse(
                f"version {new.version} is shown bars of {new.timeframe or 'the usual length'},"
                f" version {old.version} of {old.timeframe or 'the usual length'}: who takes"
                " positions over must be shown the same bars",
                new.timeframe,
            )


def _names(trade: Trade) -> str:
    return ", ".join(sorted(trade.symbols))


def _refuse(why: str, value: str | None) -> None:
    raise InvalidError(
        f"handover adopt is not possible here: {why}; use run_off (the old version closes by its"
        " own exits) or flatten (at the next price)",
        field="handover",
        value=value,
        accepted=_OTHERS,
    )
