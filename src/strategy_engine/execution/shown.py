"""Which feature flags an execution is shown: those of now, or a validation run's own."""

from strategy_engine.execution.model import Execution
from strategy_engine.flags import live
from strategy_engine.flags.live import LiveFlags
from strategy_engine.flags.model import Subject
from strategy_engine.flags.sticky import Sticky
from strategy_engine.registry.model import Content


def flags_of(mine: Execution, content: Content, flags: LiveFlags | None) -> Sticky:
    """Return what an execution reads its flags from."""
    if mine.config.flags is not None:
        return Sticky(live.pinned(mine.config.flags))
    if flags is None:
        return Sticky()
    subject = Subject(
        execution_id=mine.execution_id,
        strategy_id=mine.strategy_id,
        strategy_name=content.strategy_name,
        version=content.version,
    )
    return Sticky(flags.reader(subject))
