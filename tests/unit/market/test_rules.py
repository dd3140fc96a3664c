from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core.errors import ConflictError
from strategy_engine.market import rules
from strategy_engine.market.model import Bars, Calendar, Timeframe
from strategy_engine.market.report import ImportReport
from strategy_engine.market.rules import RawBars

HOUR_NS = 3_600 * 10**9
START_NS = 1_483_308_000 * 10**9  # 2017-01-01 22:00Z, a Sunday
ROWS = 60
HOURLY = Timeframe.parse("1h")
ROW = st.integers(0, ROWS - 1)


def clean(count: int = ROWS, start_ns: int = START_NS, step_ns: int = HOUR_NS) -> RawBars:
    ticks = 105_000 + 7 * (np.arange(count) * 37 % 101)
    return RawBars(
        ts_ns=start_ns + np.arange(count, dtype=np.int64) * step_ns,
        open=ticks / 1e5,
        high=(ticks + 30) / 1e5,
        low=(ticks - 30) / 1e5,
        close=(ticks + 11) / 1e5,
        volume=np.full(count, 1_000.0),
        unreadable=np.zeros(count, dtype=np.bool_),
        zoneless=np.zeros(count, dtype=np.bool_),
    )


def planted(raw: RawBars, column: str, row: int, value: float) -> RawBars:
    values = getattr(raw, column).copy()
    values[row] = value
    return replace(raw, **{column: values})


def judged(
    raw: RawBars, calendar: Calendar = Calendar.CONTINUOUS, tick_size: Decimal | None = None
) -> ImportReport:
    return rules.judge(
        raw, symbol="EUR/USD.SIM", timeframe=HOURLY, calendar=calendar, tick_size=tick_size
    )


def test_clean_bars_are_accepted_without_a_word_of_warning() -> None:
    report = judged(clean(), Calendar.FX)
    assert report.accepted
    assert (report.rows, report.first_ns) == (ROWS, START_NS)
    assert report.tick_size == Decimal("0.00001")
    assert report.lines() == [
        (
            "accepted: EUR/USD.SIM 1-HOUR-LAST-EXTERNAL, 60 bars, "
            "2017-01-01 22:00Z to 2017-01-04 09:00Z"
        ),
        "note: tick size 0.00001, the prices themselves fit 0.00001",
    ]


@given(
    ROW,
    st.sampled_from(
        [
            ("high", 0.5, "high 0.5 is below low"),
            ("open", 2.0, "open 2.0 is outside"),
            ("close", 0.5, "close 0.5 is outside"),
            ("low", -1.0, "low -1.0 is not positive"),
            ("low", 0.0, "low 0.0 is not positive"),
            ("open", float("nan"), "open is nan"),
            ("high", float("inf"), "high is inf"),
            ("volume", float("nan"), "volume is nan"),
            ("volume", -1.0, "volume -1.0 is negative"),
            ("low", 1e-7, "less than a tick of 0.00001"),
        ]
    ),
)
def test_an_impossible_bar_is_found_at_its_row(row: int, fault: tuple[str, float, str]) -> None:
    column, value, said = fault
    report = judged(planted(clean(), column, row, value), tick_size=Decimal("0.00001"))
    assert not report.accepted
    assert [each.row for each in report.impossible.places] == [row + 1]
    assert said in report.impossible.places[0].what
    assert report.impossible.places[0].ts_ns == START_NS + row * HOUR_NS


@given(st.lists(ROW, min_size=1, unique=True))
def test_every_impossible_row_is_counted(rows: list[int]) -> None:
    raw = clean()
    for row in rows:
        raw = planted(raw, "volume", row, -1.0)
    report = judged(raw)
    assert report.impossible.count == len(rows)
    assert [each.row - 1 for each in report.impossible.places] == sorted(rows)


@given(st.integers(1, ROWS - 1), st.booleans())
def test_a_repeated_time_is_found_with_its_first_row(row: int, identical: bool) -> None:
    raw = planted(clean(), "ts_ns", row, START_NS + (row - 1) * HOUR_NS)
    for column in ("open", "high", "low", "close"):
        raw = planted(raw, column, row, getattr(raw, column)[row - 1])
    if not identical:
        raw = planted(raw, "volume", row, 7.0)
    report = judged(raw)
    assert not report.accepted
    assert report.unsorted.count == 0
    (found,) = report.duplicates.places
    assert (found.row, found.first_row, found.identical) == (row + 1, row, identical)


@given(st.integers(0, ROWS - 2))
def test_a_row_that_steps_back_in_time_is_found(row: int) -> None:
    raw = clean()
    order = np.arange(ROWS)
    order[[row, row + 1]] = order[[row + 1, row]]
    raw = replace(raw, ts_ns=raw.ts_ns[order])
    report = judged(raw)
    assert not report.accepted
    assert [each.row for each in report.unsorted.places] == [row + 2]
    assert report.duplicates.count == 0


@pytest.mark.parametrize("calendar", Calendar)
@given(row=ROW, minutes=st.integers(1, 59))
def test_a_time_off_the_timeframe_is_found(calendar: Calendar, row: int, minutes: int) -> None:
    raw = planted(clean(), "ts_ns", row, START_NS + row * HOUR_NS + minutes * 60 * 10**9)
    report = judged(raw, calendar)
    assert not report.accepted
    assert [each.row for each in report.misaligned.places] == [row + 1]


@given(ROW, st.sampled_from(["unreadable", "zoneless"]))
def test_a_time_that_cannot_be_trusted_is_found(row: int, which: str) -> None:
    raw = planted(replace(clean(), texts={row: "next week"}), which, row, True)
    report = judged(raw)
    assert not report.accepted
    assert [each.row for each in getattr(report, which).places] == [row + 1]
    assert any("next week" in line for line in report.lines()) == (which == "unreadable")


@given(st.integers(1, ROWS - 11), st.integers(1, 10))
def test_missing_bars_warn_and_do_not_refuse(first: int, count: int) -> None:
    raw = clean()
    keep = np.delete(np.arange(ROWS), np.arange(first, first + count))
    names = ("ts_ns", "open", "high", "low", "close", "volume", "unreadable", "zoneless")
    report = judged(replace(raw, **{name: getattr(raw, name)[keep] for name in names}))
    assert report.accepted
    (gap,) = report.gaps.places
    assert gap.missing == count
    assert gap.from_ns == START_NS + (first - 1) * HOUR_NS
    assert gap.to_ns == START_NS + (first + count) * HOUR_NS
    assert any(line.startswith("warning: 1 gap") for line in report.lines())


@given(ROW)
def test_a_price_between_ticks_warns(row: int) -> None:
    raw = clean()
    report = judged(
        planted(raw, "open", row, raw.open[row] + 0.000004), tick_size=Decimal("0.00001")
    )
    assert report.accepted
    assert [each.row for each in report.off_grid.places] == [row + 1]
    assert report.off_grid.places[0].what.startswith("open ")


def test_a_weekend_is_a_closure_of_a_market_that_rests_and_a_gap_of_one_that_does_not() -> None:
    raw = clean(2, START_NS - 49 * HOUR_NS, 49 * HOUR_NS)  # Friday 21:00Z and Sunday 22:00Z
    assert judged(raw, Calendar.FX).closures.count == 1
    assert judged(raw, Calendar.FX).gaps.count == 0
    assert judged(raw, Calendar.SESSION).closures.count == 1
    assert [each.missing for each in judged(raw).gaps.places] == [48]


def test_daily_bars_may_begin_at_midnight_or_at_the_roll_of_new_york() -> None:
    day_ns = 24 * HOUR_NS
    daily = Timeframe.parse("1d")

    def off(start_ns: int) -> int:
        raw = clean(5, start_ns, day_ns)
        found = rules.judge(raw, symbol="A/B.SIM", timeframe=daily, calendar=Calendar.FX)
        return found.misaligned.count

    assert off(START_NS) == 0  # 22:00Z is 17:00 in New York's winter
    assert off(START_NS + 2 * HOUR_NS) == 0
    assert off(START_NS - HOUR_NS) == 5


@given(st.integers(1, 19))
def test_a_daily_bar_that_begins_inside_another_is_found(row: int) -> None:
    midnight_ns = START_NS + 2 * HOUR_NS
    raw = clean(20, midnight_ns, 24 * HOUR_NS)
    raw = planted(raw, "ts_ns", row, raw.ts_ns[row - 1] + 22 * HOUR_NS)  # the roll of New York
    report = rules.judge(
        raw, symbol="A/B.SIM", timeframe=Timeframe.parse("1d"), calendar=Calendar.FX
    )
    assert not report.accepted
    assert report.misaligned.places[0].row == row + 1
    assert "has not ended" in report.misaligned.places[0].what


def test_a_session_that_opens_at_half_past_has_its_hours_there() -> None:
    raw = clean(7, START_NS + HOUR_NS // 2)
    assert judged(raw, Calendar.SESSION).misaligned.count == 0
    assert judged(raw, Calendar.CONTINUOUS).misaligned.count == 7
    odd = clean(7, START_NS + HOUR_NS // 60)
    assert judged(odd, Calendar.SESSION).misaligned.count == 7


def test_a_file_without_rows_is_refused() -> None:
    report = judged(clean(0))
    assert not report.accepted
    assert "the file holds no rows" in report.lines()[1]


def test_many_faults_of_a_kind_show_three_places_and_the_rest_as_a_number() -> None:
    raw = replace(clean(), volume=np.full(ROWS, -1.0))
    (line,) = [each for each in judged(raw).lines() if each.startswith("error")]
    assert line.startswith("error: 60 impossible bars: row 1 at 2017-01-01 22:00Z: volume -1.0")
    assert line.endswith("; 57 more")


@pytest.mark.parametrize(
    ("prices", "tick"),
    [
        ([1.05236, 1.0524], "0.00001"),
        ([100.0, 101.0], "1"),
        ([0.1 + 0.2, 0.3], "0.1"),
        ([1.25, 1.5], "0.01"),  # too few to tell 0.25 from chance
        ([100 + step / 4 for step in range(40)], "0.25"),
        ([100 + step / 20 for step in range(40)], "0.05"),
        ([100 + step * 0.01 for step in range(40)], "0.01"),
        ([1.23456789012, 2.0], None),
        ([float("nan")], None),
    ],
)
def test_the_tick_is_the_coarsest_grid_that_holds_the_prices(
    prices: list[float], tick: str | None
) -> None:
    column = np.array(prices)
    count = column.size
    raw = replace(clean(count), open=column, high=column, low=column, close=column)
    assert rules.infer_tick_size(raw) == (None if tick is None else Decimal(tick))


def test_one_stray_price_in_thousands_does_not_make_the_grid_finer() -> None:
    column = 100 + np.arange(2_000) / 100
    column[77] += 0.00123
    raw = replace(clean(2_000), open=column, high=column, low=column, close=column)
    report = judged(raw)
    assert report.tick_size == Decimal("0.01")
    assert {each.row for each in report.off_grid.places} == {78}


def test_prices_on_no_grid_need_a_declared_tick() -> None:
    column = 100 + np.sqrt(np.arange(2.0, ROWS + 2))
    raw = replace(clean(), open=column, high=column, low=column, close=column)
    refused = judged(raw)
    assert not refused.accepted
    assert any("give tick_size" in line for line in refused.lines())
    assert judged(raw, tick_size=Decimal("0.000001")).accepted


@pytest.mark.parametrize(
    ("symbol", "first", "calendar"),
    [
        ("EUR/USD.SIM", START_NS, Calendar.FX),
        ("AAPL.SIM", START_NS, Calendar.SESSION),
        ("BTC/USD.SIM", START_NS - 40 * HOUR_NS, Calendar.CONTINUOUS),
    ],
)
def test_the_days_and_the_symbol_suggest_a_calendar(
    symbol: str, first: int, calendar: Calendar
) -> None:
    assert rules.likely_calendar(symbol, clean(20, first).ts_ns) is calendar


def stored(start: int, stop: int) -> Bars:
    return rules.accepted_bars(clean(), HOURLY).slice(start, stop)


@given(st.integers(1, 59), st.integers(0, 59))
def test_merging_a_later_part_gives_the_whole(split: int, start: int) -> None:
    start = min(start, split)
    whole = rules.merge(stored(0, split), stored(start, ROWS))
    assert whole.ts_ns.tolist() == stored(0, ROWS).ts_ns.tolist()
    assert whole.close.tolist() == stored(0, ROWS).close.tolist()


def test_merging_a_bar_that_differs_is_refused() -> None:
    changed = rules.accepted_bars(planted(clean(), "volume", 5, 9.0), HOURLY)
    with pytest.raises(ConflictError, match=r"1 bars differ.*2017-01-02 03:00Z.*replace"):
        rules.merge(stored(0, 30), changed)


def test_merging_an_earlier_bar_is_refused() -> None:
    with pytest.raises(ConflictError, match="10 bars differ"):
        rules.merge(stored(10, 30), stored(0, 40))
