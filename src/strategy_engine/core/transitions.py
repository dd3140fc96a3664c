"""One way to change state: look it up in a table."""

from collections.abc import Mapping

from strategy_engine.core.errors import IllegalTransitionError


def next_state[S, T](arrows: Mapping[tuple[S, T], S], state: S, trigger: T) -> S:
    """Return the state that `trigger` leads to from `state`.

    Raises
    ------
    IllegalTransitionError
        If the table holds no such arrow; the message names those that exist.
    """
    if (state, trigger) in arrows:
        return arrows[state, trigger]
    accepted = triggers_from(arrows, state)
    there = ", ".join(str(each) for each in accepted) or "nothing"
    raise IllegalTransitionError(
        f"cannot {trigger} while {state}; from {state} the arrows are: {there}",
        state=str(state),
        trigger=str(trigger),
        accepted=[str(each) for each in accepted],
    )


def triggers_from[S, T](arrows: Mapping[tuple[S, T], S], state: S) -> tuple[T, ...]:
    """Return the triggers that have an arrow from `state`, in the table's order."""
    return tuple(trigger for (origin, trigger) in arrows if origin == state)
