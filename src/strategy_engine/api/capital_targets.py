"""The capital that an execution is to have, as the API tells it."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from strategy_engine.api import plain
from strategy_engine.rollout import capital

NOTHING = "nothing"


def _target(value: Any) -> float | str | None:
    # Everything is asked for by a target that nobody can come to.
    return NOTHING if value == capital.SWEEP else plain.maybe_number(value)


type Target = Annotated[
    float | Literal["nothing"] | None,
    BeforeValidator(_target),
    Field(
        description="What its capital is to become: `nothing` where all that it has is to leave as"
        " it becomes free, profit and all; below zero where that much profit leaves as well; null"
        " where it keeps what it has."
    ),
]
