"""A deployment type and its options become a literal list of steps. Pure."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from strategy_engine.core.errors import InvalidError, NotBuiltError
from strategy_engine.rollout import durations, limits
from strategy_engine.rollout.durations import Duration
from strategy_engine.rollout.model import DeploymentType, Options, Rebalance

FULL = 1.0
MOST_BESIDE_A_BASELINE = 0.5  # a candidate, its baseline and the stable version share the whole
CANARY_WEIGHTS = (0.05, 0.10, 0.25, 0.50)
PROVEN_BARS = 20  # what a version has decided before it is trusted with more
MOST_STEPS = 50
USUALLY_WARM = "10m"
LONGEST_NAME = 40  # what the column takes


class Kind(StrEnum):
    """What a step does; each is safe to do again."""

    DEPLOY = "deploy"  # nothing runs on the line: the version waits to be started
    PREPARE = "prepare"  # start it in shadow, and wait until it is READY
    SHADOW = "shadow"  # watch it decide
    APPROVAL = "approval"  # wait for a person
    WEIGHT = "weight"  # give it a share of the line's capital, and watch it
    PAUSE = "pause"  # watch it as it is
    ANALYSIS = "analysis"  # hold until its returns are known to be no worse
    SWITCH = "switch"  # one instant from which it opens positions, and the old one none
    HAND_OVER = "hand_over"  # wait until the old one has let go; take the capital that it frees
    FINISH = "finish"


# Steps in which the capital is as a weight has shared it out.
_SHARED = frozenset({Kind.WEIGHT, Kind.PAUSE, Kind.ANALYSIS, Kind.APPROVAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a plan.

    Parameters
    ----------
    weight : float
        Share of the line's capital that the new version has from here on.
    symbols : tuple of str
        The instruments that it is about; none: all of them.
    lasts : Duration
        The least that it takes once it is in place.
    min_decisions : int
        The fewest bars that the new version decides in it.
    requires_analysis : bool
        It holds for a person where returns do not tell that the new version is no worse.
    """

    kind: Kind
    weight: float = 0.0
    symbols: tuple[str, ...] = ()
    lasts: Duration = durations.NONE
    min_decisions: int = 0
    requires_analysis: bool = False

    @property
    def name(self) -> str:
        """What `current_stage` says of it."""
        if self.kind is Kind.WEIGHT:
            return f"{self.kind}_{self.weight * 100:g}"
        named = "_".join((self.kind.value, *self.symbols))
        return named if len(named) <= LONGEST_NAME else f"{self.kind}_{len(self.symbols)}_symbols"

    @property
    def has_baseline(self) -> bool:
        """Whether a fresh copy of the stable version stands beside it at the same weight."""
        is_shared = self.kind in _SHARED and not self.symbols
        return is_shared and 0 < self.weight <= MOST_BESIDE_A_BASELINE


def plan(options: Options, symbols: Sequence[str], *, replaces: bool) -> tuple[Step, ...]:
    """Return the steps of a rollout; with nothing running on the line every type places at once.

    Parameters
    ----------
    symbols : sequence of str
        The instruments of the version that runs, and of the new one.

    Raises
    ------
    InvalidError
        If an option makes no sense; it is named.
    NotBuiltError
        If a weight is to close positions.
    """
    _check(options)
    middle = _MIDDLES[options.deployment_type](options, symbols)
    if not replaces:
        return (Step(kind=Kind.DEPLOY),)
    return (Step(kind=Kind.PREPARE), *middle, Step(kind=Kind.FINISH, weight=FULL))


def keep_warm(options: Options) -> Duration:
    """Return how long the version before stays ready to take over again.

    Raises
    ------
    InvalidError
        If the option is no time.
    """
    is_usual = options.deployment_type is DeploymentType.BLUE_GREEN
    usual = USUALLY_WARM if is_usual else "0s"
    return durations.parse_time(options.keep_warm or usual, "keep_warm")


def to_plain(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Return a plan as JSON has it."""
    return [dataclasses.asdict(each) | {"symbols": list(each.symbols)} for each in steps]


def from_plain(plain: Sequence[Any]) -> tuple[Step, ...]:
    """Return the plan that `to_plain` gave; one of an earlier engine's making is none."""
    if not all(isinstance(each, Mapping) for each in plain):
        return ()
    return tuple(
        Step(
            **each
            | {
                "kind": Kind(each["kind"]),
                "symbols": tuple(each["symbols"]),
                "lasts": Duration(**each["lasts"]),
            }
        )
        for each in plain
    )


def _direct(options: Options, symbols: Sequence[str]) -> tuple[Step, ...]:
    del options, symbols
    proven = Step(kind=Kind.PAUSE, weight=FULL, min_decisions=PROVEN_BARS)
    return (*_switch_all(), proven)


def _blue_green(options: Options, symbols: Sequence[str]) -> tuple[Step, ...]:
    del symbols
    watched = _watched(options, Kind.SHADOW, {"min_decisions": max(options.min_decisions, 1)})
    return (watched, *_asked(options), *_switch_all(), _watched(options, Kind.PAUSE, {}))


def _canary(options: Options, symbols: Sequence[str]) -> tuple[Step, ...]:
    del symbols
    if not options.steps:
        shadow = Step(kind=Kind.SHADOW, min_decisions=PROVEN_BARS)
        weights = [_watched(options, Kind.WEIGHT, {"weight": each}) for each in CANARY_WEIGHTS]
        return (shadow, *weights, *_switch_all())
    if len(options.steps) > MOST_STEPS:
        raise InvalidError(
            f"{len(options.steps)} steps; there may be {MOST_STEPS}",
            field="steps",
            value=len(options.steps),
        )
    before: list[Step] = []
    after: list[Step] = []  # of those written after the whole was given
    weight = 0.0
    for number, given in enumerate(options.steps):
        step = _given(options, given, f"steps.{number}")
        _check_order(step, weight, f"steps.{number}")
        weight = max(weight, step.weight)
        if step.weight == FULL and {"min_time", "min_decisions"} & given.keys():
            after.append(replace(step, kind=Kind.PAUSE))
        elif step.weight < FULL:
            (before if weight < FULL else after).append(replace(step, weight=weight))
    return (*before, *_switch_all(), *after)


def _check_order(step: Step, weight: float, at: str) -> None:
    if step.kind is Kind.WEIGHT and step.weight <= weight:
        raise InvalidError(
            f"{at} gives a share of {step.weight:g}, and one before it gave {weight:g}; weights"
            " must rise",
            field=f"{at}.weight",
            value=step.weight,
        )
    if step.kind is Kind.SHADOW and weight > 0:
        raise InvalidError(
            f"{at} is a shadow after a share of {weight:g} was given; watch it with a pause",
            field=f"{at}.shadow",
            value=weight,
        )


def _rolling(options: Options, symbols: Sequence[str]) -> tuple[Step, ...]:
    at_once = options.max_unavailable
    if at_once < 1:
        raise InvalidError(
            f"max_unavailable is {at_once}; a batch must have at least 1 instrument",
            field="max_unavailable",
            value=at_once,
        )
    if not symbols:
        return _switch_all()
    steps: list[Step] = []
    for first in range(0, len(symbols), at_once):
        batch = tuple(symbols[first : first + at_once])
        weight = min(len(symbols), first + at_once) / len(symbols)
        steps += [
            Step(kind=Kind.SWITCH, symbols=batch, weight=weight),
            Step(kind=Kind.HAND_OVER, symbols=batch, weight=weight),
            replace(_watched(options, Kind.PAUSE, {"weight": weight}), symbols=batch),
        ]
    return tuple(steps)


def _check(options: Options) -> None:
    """Refuse what no step may look at, but a later rollout would."""
    if options.rebalance is Rebalance.IMMEDIATE:
        raise NotBuiltError(
            "rebalance immediate is not built: no weight closes a part of a position; with"
            " as_freed what is to leave leaves as its positions close, and handover flatten closes"
            " the old version's at the switch, at the next price",
            field="rebalance",
            value=Rebalance.IMMEDIATE.value,
            accepted=[Rebalance.AS_FREED.value],
        )
    durations.parse(options.min_time, "min_time")
    _count(options.min_decisions, "")
    keep_warm(options)
    if durations.parse(options.progress_deadline, "progress_deadline") == durations.NONE:
        raise InvalidError(
            "progress_deadline is nothing, and every step takes some time; give it one",
            field="progress_deadline",
            value=str(options.progress_deadline),
            accepted=durations.ACCEPTED,
        )
    if options.steps and options.deployment_type is not DeploymentType.CANARY:
        raise InvalidError(
            f"steps are a canary's, and deployment_type is {options.deployment_type}",
            field="steps",
            value=len(options.steps),
        )
    limits.bounds(options)


_MIDDLES: dict[DeploymentType, Callable[[Options, Sequence[str]], tuple[Step, ...]]] = {
    DeploymentType.DIRECT: _direct,
    DeploymentType.BLUE_GREEN: _blue_green,
    DeploymentType.CANARY: _canary,
    DeploymentType.ROLLING: _rolling,
}


def _switch_all() -> tuple[Step, ...]:
    return (
        Step(kind=Kind.SWITCH, weight=FULL),
        Step(kind=Kind.HAND_OVER, weight=FULL),
    )


def _asked(options: Options) -> tuple[Step, ...]:
    return (Step(kind=Kind.APPROVAL),) if options.approve_switch else ()


def _watched(options: Options, kind: Kind, given: Mapping[str, Any], at: str = "") -> Step:
    """Return a step that lasts what it was given, or what the options say for all of them."""
    lasts = given.get("min_time", options.min_time)
    weight = given.get("weight", FULL if kind is Kind.PAUSE else 0.0)
    return Step(
        kind=kind,
        weight=float(weight),
        lasts=durations.parse(lasts, f"{at}min_time"),
        min_decisions=_count(given.get("min_decisions", options.min_decisions), at),
        requires_analysis=bool(given.get("required", options.requires_analysis)),
    )


def _given(options: Options, given: Mapping[str, Any], at: str) -> Step:
    """Return one of the steps that a request wrote: a weight, pause, analysis, approval, shadow."""
    kinds = [name for name in _ACCEPTED if name in given]
    takes = _TAKES.get(kinds[0], _WATCH) if kinds else _WATCH
    unknown = sorted(set(given) - {*kinds, *takes})
    if len(kinds) != 1 or unknown:
        raise InvalidError(
            f"{at} is {dict(given)!r}; it must have one of {', '.join(_ACCEPTED)}, and may have"
            f" {' and '.join(takes) or 'nothing'} beside it",
            field=at,
            value=str(dict(given))[:200],
            accepted=list(_ACCEPTED),
        )
    return _ACCEPTED[kinds[0]](options, given, f"{at}.")


def _weight(options: Options, given: Mapping[str, Any], at: str) -> Step:
    weight = given["weight"]
    is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
    if not is_number or not math.isfinite(weight) or not 0 < weight <= FULL:
        raise InvalidError(
            f"{at}weight is {weight!r}; it must be a share of the line's capital, above 0 and at"
            " most 1",
            field=f"{at}weight",
            value=str(weight),
        )
    return _watched(options, Kind.WEIGHT, given, at)


def _analysis(options: Options, given: Mapping[str, Any], at: str) -> Step:
    asked = given["analysis"]
    wanted = dict(asked) if isinstance(asked, Mapping) else {"required": asked}
    if not isinstance(wanted.get("required", True), bool):
        raise InvalidError(
            f"{at}analysis is {asked!r}; it must be true, false, or say required so",
            field=f"{at}analysis",
            value=str(asked)[:200],
        )
    unknown = sorted(set(wanted) - {"required", "min_time", "min_decisions"})
    if unknown:
        raise InvalidError(
            f"{at}analysis has {', '.join(unknown)}; it may have required, min_time and"
            " min_decisions",
            field=f"{at}analysis",
            value=unknown,
        )
    return _watched(options, Kind.ANALYSIS, dict(given) | {"required": True} | wanted, at)


def _pause(options: Options, given: Mapping[str, Any], at: str) -> Step:
    del options
    lasts = durations.parse(given["pause"], f"{at}pause")
    return Step(
        kind=Kind.PAUSE, lasts=lasts, min_decisions=_count(given.get("min_decisions", 0), at)
    )


def _shadow(options: Options, given: Mapping[str, Any], at: str) -> Step:
    del options
    lasts = durations.parse(given["shadow"], f"{at}shadow")
    return Step(
        kind=Kind.SHADOW, lasts=lasts, min_decisions=_count(given.get("min_decisions", 0), at)
    )


def _approval(options: Options, given: Mapping[str, Any], at: str) -> Step:
    del options
    if given["approval"] is not True:
        raise InvalidError(
            f"{at}approval is {given['approval']!r}; it must be true, or leave the step out",
            field=f"{at}approval",
            value=str(given["approval"])[:200],
            accepted=[True],
        )
    return Step(kind=Kind.APPROVAL)


_ACCEPTED: dict[str, Callable[[Options, Mapping[str, Any], str], Step]] = {
    "weight": _weight,
    "pause": _pause,
    "analysis": _analysis,
    "approval": _approval,
    "shadow": _shadow,
}


_WATCH = ("min_time", "min_decisions")
_TAKES = {"pause": ("min_decisions",), "shadow": ("min_decisions",), "approval": ()}


def _count(given: Any, at: str) -> int:
    if (
        not isinstance(given, int)
        or isinstance(given, bool)
        or not 0 <= given <= durations.MOST_BARS
    ):
        raise InvalidError(
            f"{at}min_decisions is {given!r}; it must be a number of bars",
            field=f"{at}min_decisions",
            value=str(given),
        )
    return given
