"""Which instruments a new version trades where another stands. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from strategy_engine.execution import rules
from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.registry.model import Content

_DECLARED = "symbols"


def config_of(new: Content, old: Content, config: ExecutionConfig) -> ExecutionConfig:
    """Return the config of who stands beside another version's execution, or after it.

    What a version declares is its own and wins; one that declares nothing trades what the other
    does, wherever that has it from.

    Parameters
    ----------
    config : ExecutionConfig
        Of the old version's execution.
    """
    if new.version == old.version:
        return config
    if _DECLARED in new.parameters:
        return replace(config, symbols=None)
    return replace(config, symbols=traded(old, config))


def traded(content: Content, config: ExecutionConfig) -> tuple[str, ...]:
    """Return what a version trades under a config.

    Raises
    ------
    InvalidError
        If it could not run under it.
    """
    return rules.settings_of(content, config).symbols


def notice(new: Sequence[str], old: Sequence[str]) -> str:
    """Return what there is to say where a new version trades other instruments; or empty text."""
    if set(new) == set(old):
        return ""
    told = f"it trades {', '.join(new)}, as it declares; the version before it {', '.join(old)}"
    gone = [each for each in old if each not in new]
    if gone:
        told += f", of which it takes {', '.join(gone)} no further"
    return told
