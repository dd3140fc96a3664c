"""What a candidate's figures say, by tests that hold however often one looks at them. Pure.

A rollout looks at its candidate at every bar. A test that is right once is wrong often when it is
repeated: peeking daily at |z| > 1.96 cries wolf more than one time in four within a year. The
bounds here hold at every instant together with the error that they name.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]

ALPHA = 0.05
FEWEST_PAIRS = 30  # the bounds are asymptotic: below, nothing is said
SAME = 1e-6  # returns of a bar that differ by less differ by what was rounded to lots
TUNED_FOR = 250  # the number of pairs at which they are tightest

FAULTY = 0.02  # the rate of mismatches that must be found
TOLERATED = 0.0002  # the rate that chance alone may make: a live path and its replay are the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much more a candidate returns than its baseline, a year; and between what bounds.

    Parameters
    ----------
    pairs : int
        Bars at which both were observed.
    mean, lower, upper : float
        Annualised difference of returns; the bounds hold at all times with 1 − alpha.
    """

    pairs: int
    mean: float
    lower: float
    upper: float


def difference(
    candidate: Floats, baseline: Floats, *, periods_per_year: float, alpha: float = ALPHA
) -> Difference | None:
    """Return the paired difference of returns, or None for too few pairs to say anything.

    A bar at which one of the two has no return is no pair.

    Parameters
    ----------
    candidate, baseline : array of float64, shape (n,)
        Simple returns at the same bars, as fractions.
    """
    paired = candidate - baseline
    paired = paired[np.isfinite(paired)]
    if paired.size < FEWEST_PAIRS:
        return None
    mean, sd = float(paired.mean()), float(paired.std(ddof=1))
    away = float(margin(np.array([paired.size]), np.array([sd]), alpha)[0])
    return Difference(
        pairs=int(paired.size),
        mean=mean * periods_per_year,
        lower=(mean - away) * periods_per_year,
        upper=(mean + away) * periods_per_year,
    )


def tells(candidate: Floats, baseline: Floats) -> bool:
    """Say whether returns differ on enough bars to judge one version by them against another.

    Where both lie idle, or do the same, they differ by nothing and vary by nothing: a bound made of
    that would call a version no worse of which nothing was learned.

    Parameters
    ----------
    candidate, baseline : array of float64, shape (n,)
        Simple returns at the same bars, as fractions.
    """
    return int(np.count_nonzero(np.abs(candidate - baseline) > SAME)) >= FEWEST_PAIRS


def begun(candidate: Floats, baseline: Floats) -> slice:
    """Return the bars from the first on which either returned anything.

    Before it both only watched: nothing to compare, and no reason to believe in a small difference.

    Parameters
    ----------
    candidate, baseline : array of float64, shape (n,)
        Simple returns at the same bars, as fractions.
    """
    moved = np.flatnonzero((candidate != 0) | (baseline != 0))
    return slice(int(moved[0]) if moved.size else candidate.size, None)


def margin(pairs: NDArray[np.int64], sd: Floats, alpha: float = ALPHA) -> Floats:
    """Return how far the mean may lie from its estimate, at all times together.

    Parameters
    ----------
    pairs : array of int64, shape (n,)
    sd : array of float64, shape (n,)
        The sample's standard deviation at each of them.

    References
    ----------
    Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (2024), "Time-uniform central limit theory and
    asymptotic confidence sequences", Annals of Statistics 52(6), eq. (8) and (10); it carries
    Howard, Ramdas, McAuliffe, Sekhon (2021), Annals of Statistics 49(2), over to estimated
    variances.
    """
    rho2 = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / TUNED_FOR
    spread = pairs * rho2 + 1
    scale = np.sqrt(2 * spread / (pairs.astype(float) ** 2 * rho2))
    return sd * scale * np.sqrt(np.log(np.sqrt(spread) / alpha))


def mismatch_evidence(mismatches: int, decisions: int) -> float:
    """Return how much likelier the mismatches are for a faulty path than for a sound one.

    A likelihood ratio of two rates. Under the tolerated rate it is a martingale from 1, so that it
    ever reaches 1 / alpha with a chance of at most alpha (Ville 1939; Wald's test of 1945).
    """
    matches = decisions - mismatches
    log_ratio = mismatches * math.log(FAULTY / TOLERATED) + matches * math.log(
        (1 - FAULTY) / (1 - TOLERATED)
    )
    return math.exp(min(log_ratio, 700.0))


def is_faulty(mismatches: int, decisions: int, alpha: float = ALPHA) -> bool:
    """Say whether the candidate's decisions are not those of its own code."""
    return mismatch_evidence(mismatches, decisions) >= 1 / alpha
