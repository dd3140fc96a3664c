import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.rollout import analysis

CANARIES = 500
LOOKS = 250


def margins(paths: np.ndarray, looks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The running means of many paths, and how far each may lie from the truth."""
    counts = np.arange(1, paths.shape[1] + 1)
    means = np.cumsum(paths, axis=1) / counts
    squares = np.cumsum(paths**2, axis=1)
    deviations = np.sqrt((squares - counts * means**2) / np.maximum(counts - 1, 1))
    at = looks - 1
    flat = analysis.margin(
        np.broadcast_to(looks, (len(paths), looks.size)).ravel(), deviations[:, at].ravel()
    )
    return means[:, at], flat.reshape(len(paths), looks.size)


@pytest.mark.parametrize("tail", [3, 30])
def test_looking_at_every_bar_rarely_cries_wolf_over_equal_versions(tail):
    random = np.random.default_rng(2026)
    paths = random.standard_t(tail, (CANARIES, 2_500))
    looks = np.arange(analysis.FEWEST_PAIRS, 2_501)

    means, away = margins(paths, looks)

    wrong = np.any(np.abs(means) > away, axis=1).mean()
    assert wrong <= analysis.ALPHA


def test_a_plain_test_at_every_bar_would_cry_wolf_four_times_as_often():
    random = np.random.default_rng(2026)
    paths = random.standard_normal((CANARIES, 2_500))
    counts = np.arange(1, 2_501)

    z = np.cumsum(paths, axis=1) / np.sqrt(counts)

    wrong = np.any(np.abs(z[:, analysis.FEWEST_PAIRS :]) > 1.96, axis=1).mean()
    assert wrong > 4 * analysis.ALPHA


def test_equal_versions_are_not_aborted_by_their_returns():
    random = np.random.default_rng(5)
    shared = random.normal(0.0001, 0.01, (CANARIES, LOOKS))
    own = random.normal(0, 0.002, (2, CANARIES, LOOKS))
    aborted = 0
    for canary, baseline in zip(shared + own[0], shared + own[1], strict=True):
        found = analysis.difference(canary, baseline, periods_per_year=252)
        aborted += found is not None and found.upper < -0.05

    assert aborted / CANARIES <= 0.05


def test_a_version_that_loses_much_more_is_found():
    random = np.random.default_rng(5)
    baseline = random.normal(0.0005, 0.01, LOOKS)
    canary = baseline + random.normal(-0.004, 0.002, LOOKS)

    found = analysis.difference(canary, baseline, periods_per_year=252)

    assert found is not None
    assert found.upper < -0.05
    assert found.lower < found.mean < found.upper


def test_a_mismatch_of_two_percent_is_found_within_250_decisions():
    random = np.random.default_rng(2026)
    counts = np.cumsum(random.random((CANARIES, LOOKS)) < 0.02, axis=1)

    found = sum(
        any(analysis.is_faulty(int(wrong), seen) for seen, wrong in enumerate(path, start=1))
        for path in counts
    )

    assert found / CANARIES >= 0.95


def test_decisions_that_never_differ_are_never_faulty():
    assert not any(analysis.is_faulty(0, seen) for seen in range(10_000))


def test_a_rate_of_mismatches_that_is_tolerated_is_rarely_taken_for_a_fault():
    random = np.random.default_rng(9)
    counts = np.cumsum(random.random((2_000, 2_000)) < analysis.TOLERATED, axis=1)

    evidence = [
        max(analysis.mismatch_evidence(int(wrong), seen) for seen, wrong in _changes(path))
        for path in counts
    ]

    assert np.mean([each >= 1 / analysis.ALPHA for each in evidence]) <= analysis.ALPHA


def _changes(path: np.ndarray) -> list[tuple[int, int]]:
    # Evidence only rises where a mismatch is added, so that it is highest there.
    steps = np.flatnonzero(np.diff(path, prepend=0))
    return [(1, int(path[0])), *((int(at) + 1, int(path[at])) for at in steps)]


@given(shift=st.floats(-0.01, 0.01), size=st.integers(0, 29))
def test_too_few_pairs_say_nothing(shift, size):
    returns = np.zeros(size)

    assert analysis.difference(returns + shift, returns, periods_per_year=252) is None


@given(differing=st.integers(0, 60), away=st.floats(2e-6, 0.01))
def test_only_bars_on_which_two_versions_return_otherwise_tell_of_them(differing, away):
    baseline = np.random.default_rng(3).normal(0, 0.01, 60)
    canary = baseline + np.where(np.arange(60) < differing, away, 1e-7)

    assert analysis.tells(canary, baseline) == (differing >= analysis.FEWEST_PAIRS)
    assert not analysis.tells(np.full(60, np.nan), baseline)


@given(idle=st.integers(0, 500))
def test_bars_on_which_both_only_watched_are_not_compared(idle):
    random = np.random.default_rng(3)
    traded = random.normal(0, 0.01, (2, 60))
    traded[:, 7] = 0.0  # both were flat for once, which counts
    canary, baseline = np.concatenate([np.zeros((2, idle)), traded], axis=1)

    paired = analysis.begun(canary, baseline)

    assert np.array_equal(canary[paired], traded[0])
    assert analysis.begun(np.zeros(idle), np.zeros(idle)) == slice(idle, None)


def test_a_bar_at_which_one_has_no_return_is_no_pair():
    random = np.random.default_rng(3)
    canary, baseline = random.normal(0, 0.01, (2, 60))
    holed = np.insert(canary, [7, 30], np.nan)
    longer = np.insert(baseline, [7, 30], 0.5)

    assert analysis.difference(holed, longer, periods_per_year=252) == analysis.difference(
        canary, baseline, periods_per_year=252
    )
    assert analysis.difference(np.full(60, np.nan), baseline, periods_per_year=252) is None


@given(shift=st.floats(-0.01, 0.01), scale=st.floats(0.1, 10))
def test_the_bounds_move_with_the_difference_and_scale_with_it(shift, scale):
    random = np.random.default_rng(3)
    baseline, canary = random.normal(0, 0.01, (2, 60))
    plain = analysis.difference(canary, baseline, periods_per_year=252)
    moved = analysis.difference(canary + shift, baseline, periods_per_year=252)
    scaled = analysis.difference(canary * scale, baseline * scale, periods_per_year=252)
    assert plain is not None
    assert moved is not None
    assert scaled is not None

    assert moved.upper == pytest.approx(plain.upper + shift * 252)
    assert scaled.lower == pytest.approx(plain.lower * scale)
