"""Durations as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core.errors import InvalidError
from strategy_engine.rollout import durations
from strategy_engine.rollout.durations import Duration

SECONDS = st.integers(0, 366 * 86_400 * 10**6).map(lambda micro: micro / 10**6)
WRITTEN = st.builds(Duration, seconds=SECONDS) | st.builds(
    Duration, bars=st.integers(1, durations.MOST_BARS)
)


@pytest.mark.parametrize(
    ("given_text", "seconds", "bars"),
    [
        ("10s", 10, 0),
        ("30m", 1_800, 0),
        ("4h", 14_400, 0),
        ("5d", 432_000, 0),
        ("2w", 1_209_600, 0),
        ("1.5h", 5_400, 0),
        ("0s", 0, 0),
        (" 10 S ", 10, 0),
        ("366d", 366 * 86_400, 0),
        ("20 bars", 0, 20),
        ("1 bar", 0, 1),
        ("20b", 0, 20),
        ("20.0 bars", 0, 20),
        (90, 90, 0),
        (0.5, 0.5, 0),
        (0, 0, 0),
    ],
)
def test_a_duration_is_read_as_it_is_written(given_text, seconds, bars):
    assert durations.parse(given_text, "pause") == Duration(seconds=seconds, bars=bars)


@pytest.mark.parametrize(
    "given_text",
    [
        "",
        "s",
        "10",
        "ten seconds",
        "10 minutes",
        "-1s",
        "1e3s",
        "1.5 bars",
        "1h30m",
        "367d",
        "53w",
        "1000001 bars",
        "\u0661s",
        -1,
        366 * 86_400 + 1,
        float("nan"),
        float("inf"),
        True,
        None,
        ["10s"],
        {},
    ],
)
def test_what_is_no_duration_is_refused_with_what_it_could_be(given_text):
    with pytest.raises(InvalidError, match="such as 10s, 30m, 4h, 5d or 20 bars") as refused:
        durations.parse(given_text, "steps.1.pause")
    assert refused.value.facts["field"] == "steps.1.pause"


@pytest.mark.parametrize(
    ("duration", "told"),
    [
        (Duration(seconds=10), "10s"),
        (Duration(seconds=90), "90s"),
        (Duration(seconds=1_800), "30m"),
        (Duration(seconds=86_400), "1d"),
        (Duration(seconds=1_209_600), "2w"),
        (Duration(seconds=1_234_567), "1234567s"),
        (Duration(seconds=0.25), "0.25s"),
        (Duration(bars=20), "20 bars"),
        (durations.NONE, "0s"),
    ],
)
def test_a_duration_is_told_as_people_write_it(duration, told):
    assert str(duration) == told


@given(WRITTEN)
def test_a_duration_that_is_told_can_be_read_again(duration):
    assert durations.parse(str(duration), "pause") == duration


@given(WRITTEN, st.floats(0, 10**9), st.integers(0, 2 * durations.MOST_BARS))
def test_a_duration_is_over_when_all_of_it_has_passed(duration, elapsed_s, bars):
    is_over = duration.is_over(elapsed_s=elapsed_s, bars=bars)
    assert is_over is (elapsed_s >= duration.seconds and bars >= duration.bars)
    assert durations.NONE.is_over(elapsed_s=elapsed_s, bars=bars)


def test_what_goes_by_the_clock_is_not_told_in_bars():
    assert durations.parse_time("10m", "keep_warm") == Duration(seconds=600)
    with pytest.raises(InvalidError, match="bars do not measure it") as refused:
        durations.parse_time("20 bars", "keep_warm")
    assert refused.value.facts["field"] == "keep_warm"
