"""Weights from measurements: by risk or by performance, within caps, slowly. Pure."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

import numpy as np
from numpy.typing import NDArray

from strategy_engine.core.errors import InvalidError
from strategy_engine.rollout import capital
from strategy_engine.rollout.allocation.model import Kind, Policy

type Floats = NDArray[np.float64]
type Weights = Mapping[str, Decimal]

FEWEST_PAIRS = 30  # below, a volatility is a guess
MOST_BARS = 100_000
LEAST_VOLATILITY = 1e-9  # a bar; below it a version has not traded, and its risk is not known
MOST_EVIDENCE = 2.0  # standard errors; so that the best has no more than e^4 times the worst
_STEP = Decimal("1e-6")
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the versions returned at the bars that all of them have.

    Parameters
    ----------
    pairs : int
        How many bars that are.
    mean, deviation : float by version
        Of simple bar returns.
    """

    pairs: int
    mean: Mapping[str, float]
    deviation: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """The weights from now on, what of the day's change is used, and why.

    Parameters
    ----------
    slots : mapping
        As `Allocation.slots`.
    weights : mapping
        The same with 0 for those that are not well.
    is_new : bool
        Whether the weights are others than those in force.
    changed : Decimal
        What has changed hands in this day, this change with it.
    """

    slots: Weights
    weights: Weights
    is_new: bool
    changed: Decimal
    why: str


def check(policy: Policy) -> None:
    """Refuse a policy that makes no sense.

    Raises
    ------
    InvalidError
        With the field and what is accepted.
    """
    if not policy.versions or len(set(policy.versions)) != len(policy.versions):
        raise InvalidError(
            "versions must name the line's versions that share its capital, each once",
            field="versions",
            value=list(policy.versions),
        )
    for name, given in (("weights", policy.weights), ("caps", policy.caps)):
        unknown = sorted(given.keys() - set(policy.versions))
        if unknown:
            raise InvalidError(
                f"{name} names {', '.join(unknown)}, which is not among versions",
                field=name,
                value=unknown,
                accepted=list(policy.versions),
            )
    if (policy.kind is Kind.FIXED) != bool(policy.weights):
        raise InvalidError(
            "a fixed policy needs weights, and the others find them by themselves",
            field="weights",
            value={name: str(each) for name, each in policy.weights.items()},
        )
    capital.check_weights(policy.weights)
    _check_range("caps", *policy.caps.values(), low=0, high=1)
    _check_range("band", policy.band, low=0, high=1)
    _check_range("max_change_a_day", policy.max_change_a_day, low=0, high=1)
    _check_range("lookback", policy.lookback, low=FEWEST_PAIRS, high=MOST_BARS)
    _check_range("prior", policy.prior, low=0, high=MOST_BARS)
    _check_over_cap(policy)


def _check_range(name: str, *values: Decimal | int, low: int, high: int) -> None:
    for value in values:
        if not low <= value <= high:
            raise InvalidError(
                f"{name} is {value}; it must lie from {low} to {high}",
                field=name,
                value=str(value),
                accepted=f"{low} to {high}",
            )


def _check_over_cap(policy: Policy) -> None:
    for name, weight in policy.weights.items():
        if weight > policy.cap(name):
            raise InvalidError(
                f"the weight of {name} is {weight}, its cap {policy.cap(name)}",
                field="weights",
                value=str(weight),
                accepted=f"at most {policy.cap(name)}",
            )


def measure(returns: Mapping[str, tuple[NDArray[np.int64], Floats]], lookback: int) -> Measured:
    """Return mean and deviation of each at the last bars that all of them have.

    Parameters
    ----------
    returns : mapping
        By version: closes in nanoseconds, rising, and simple returns at them.
    """
    common: NDArray[np.int64] | None = None
    for closes, values in returns.values():
        mine = closes[np.isfinite(values)]
        common = mine if common is None else np.intersect1d(common, mine, assume_unique=True)
    kept = np.empty(0, dtype=np.int64) if common is None else common[-lookback:]
    pairs = int(kept.size)
    if pairs < 2:  # noqa: PLR2004 - a deviation needs two
        return Measured(pairs=pairs, mean={}, deviation={})
    paired = {name: values[np.isin(closes, kept)] for name, (closes, values) in returns.items()}
    return Measured(
        pairs=pairs,
        mean={name: float(values.mean()) for name, values in paired.items()},
        deviation={name: float(values.std(ddof=1)) for name, values in paired.items()},
    )


def propose(policy: Policy, healthy: Collection[str], slots: Weights, seen: Measured) -> Weights:
    """Return the weights that the policy wants, or `slots` where a measurement is missing.

    One that has no part yet could never be measured: then all are to have equal ones. A version
    that is not well keeps its slot: what it does not use is cash, not the others'.

    Parameters
    ----------
    slots : mapping
        The weights by version before.
    """
    if policy.kind is Kind.FIXED:
        return {name: policy.weights.get(name, _ZERO) for name in policy.versions}
    active = [name for name in policy.versions if name in healthy]
    raw = {name: _raw(policy, name, seen) for name in active}
    scores = {name: score for name, score in raw.items() if score is not None}
    if len(scores) < len(active) or not scores:
        is_new = any(not slots.get(name, _ZERO) and policy.cap(name) for name in active)
        return first_weights(policy) if is_new else slots
    kept = {name: slots.get(name, _ZERO) for name in policy.versions if name not in healthy}
    budget = max(_ZERO, 1 - capital.total(kept.values()))
    return kept | fill(scores, {name: policy.cap(name) for name in active}, budget)


def _raw(policy: Policy, version: str, seen: Measured) -> float | None:
    deviation = seen.deviation.get(version)
    if deviation is None or seen.pairs < FEWEST_PAIRS or not deviation > LEAST_VOLATILITY:
        return None
    if policy.kind is Kind.EQUAL_RISK:
        return 1 / deviation
    return math.exp(_evidence(seen.mean[version], deviation, seen.pairs, policy.prior))


def _evidence(mean: float, deviation: float, pairs: int, prior: int) -> float:
    """Return by how many standard errors a mean lies from 0, drawn to 0 by the prior's bars."""
    shrunk = mean * pairs / (pairs + prior)
    found = shrunk * math.sqrt(pairs + prior) / deviation
    return max(-MOST_EVIDENCE, min(MOST_EVIDENCE, found))


def fill(scores: Mapping[str, float], caps: Weights, budget: Decimal) -> dict[str, Decimal]:
    """Share a budget in proportion to scores; what is beyond a cap goes to those below theirs.

    What fits nowhere stays in cash. The shares add up to the budget at most.

    Parameters
    ----------
    scores : mapping
        Above 0.
    """
    found: dict[str, Decimal] = {}
    left, open_ = budget, dict(scores)
    while open_:
        whole = sum(open_.values())
        shares = {name: left * Decimal(str(score / whole)) for name, score in open_.items()}
        full = [name for name, share in shares.items() if share > caps[name]]
        if not full:
            found |= {n: share.quantize(_STEP, rounding=ROUND_DOWN) for n, share in shares.items()}
            break
        for name in full:
            found[name] = caps[name]
            left = max(_ZERO, left - caps[name])
            del open_[name]
    return found


def rule(
    policy: Policy,
    *,
    slots: Weights,
    in_force: Weights,
    unwell: Mapping[str, str],
    seen: Measured,
    changed: Decimal,
) -> Ruling:
    """Return the weights from now on.

    The way to cash of a version that is not well, and back, is not slowed by band or daily limit.

    Parameters
    ----------
    unwell : mapping
        Why, by version.
    changed : Decimal
        What has changed hands in this day of the feed already.
    """
    healthy = [name for name in policy.versions if name not in unwell]
    wanted = propose(policy, healthy, slots, seen)
    slowed, used = _slowed(policy, slots, wanted, changed)
    weights = {name: _ZERO if name in unwell else slowed[name] for name in policy.versions}
    return Ruling(
        slots=slowed,
        weights=weights,
        is_new=any(weights[name] != in_force.get(name) for name in weights),
        changed=changed + used,
        why=_why(policy, seen, unwell, is_kept=slowed == dict(slots)),
    )


def turnover(before: Weights, after: Weights) -> Decimal:
    """Return what share of the capital changes hands: the larger of what is given and what got."""
    changes = [after.get(name, _ZERO) - before.get(name, _ZERO) for name in {**before, **after}]
    up = capital.total(each for each in changes if each > 0)
    down = capital.total(-each for each in changes if each < 0)
    return max(up, down)


def _slowed(
    policy: Policy, slots: Weights, wanted: Weights, changed: Decimal
) -> tuple[dict[str, Decimal], Decimal]:
    before = {name: slots.get(name, _ZERO) for name in policy.versions}
    whole = turnover(before, wanted)
    if max(abs(wanted.get(name, _ZERO) - before[name]) for name in before) <= policy.band:
        return before, _ZERO
    left = max(_ZERO, policy.max_change_a_day - changed)
    if whole <= left:
        return {name: wanted.get(name, _ZERO) for name in before}, whole
    part = left / whole
    moved = {
        name: _toward(weight, wanted.get(name, _ZERO), part) for name, weight in before.items()
    }
    return moved, turnover(before, moved)


def _toward(weight: Decimal, wanted: Decimal, part: Decimal) -> Decimal:
    return down(weight + (wanted - weight) * part)


def down(share: Decimal) -> Decimal:
    """Return a share rounded down: rounding never gives away more than there is."""
    return share.quantize(_STEP, rounding=ROUND_DOWN)


def first_weights(policy: Policy) -> dict[str, Decimal]:
    """Return what versions begin with before anything is measured: equal parts within the caps."""
    if policy.kind is Kind.FIXED:
        return {name: policy.weights.get(name, _ZERO) for name in policy.versions}
    caps = {name: policy.cap(name) for name in policy.versions}
    return fill(dict.fromkeys(policy.versions, 1.0), caps, Decimal(1))


def _why(policy: Policy, seen: Measured, unwell: Mapping[str, str], *, is_kept: bool) -> str:
    told = [f"version {name} {why}: its share is cash" for name, why in unwell.items()]
    if policy.kind is Kind.FIXED:
        told.append("fixed weights")
    elif seen.pairs < FEWEST_PAIRS:
        told.append(f"{seen.pairs} of {FEWEST_PAIRS} paired bars: weights stay as they are")
    else:
        figures = ", ".join(
            f"{name} {seen.mean[name]:+.2e} ± {seen.deviation[name]:.2e}"
            for name in policy.versions
            if name in seen.deviation
        )
        kept = "weights stay as they are; " if is_kept else ""
        told.append(f"{kept}{policy.kind} by {seen.pairs} paired bars (mean ± sd a bar: {figures})")
    return "; ".join(told)
