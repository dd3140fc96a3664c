from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core import clock
from strategy_engine.market import calendars, rules
from strategy_engine.market.model import Calendar

NEW_YORK = ZoneInfo("America/New_York")
EPOCH = date(1970, 1, 1)
HOUR_NS = 3_600 * 10**9
DAY_NS = 24 * HOUR_NS
SECONDS = st.integers(-60_000_000, 2_145_000_000)  # 1968 to 2037
MOMENTS = SECONDS.map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


def at(text: str) -> int:
    return clock.to_nanos(datetime.fromisoformat(text).replace(tzinfo=UTC))


def slow_trading_day(moment: datetime) -> int:
    local = moment.astimezone(NEW_YORK)
    day = local.date() + timedelta(days=1 if local.hour >= 17 else 0)
    return (day - EPOCH).days


@given(st.lists(MOMENTS, max_size=30))
def test_a_foreign_exchange_day_is_what_the_zone_database_says(moments: list[datetime]) -> None:
    ts_ns = np.array([clock.to_nanos(each) for each in moments], dtype=np.int64)
    days = rules.trading_days(ts_ns, Calendar.FX)
    assert days.tolist() == [slow_trading_day(each) for each in moments]


@pytest.mark.parametrize("year", [1974, 1987, 2006, 2007, 2017, 2024])
def test_every_quarter_hour_of_a_year_has_the_day_of_the_zone_database(year: int) -> None:
    start = datetime(year, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(minutes=15 * step) for step in range(366 * 96)]
    ts_ns = np.array([clock.to_nanos(each) for each in moments], dtype=np.int64)
    days = rules.trading_days(ts_ns, Calendar.FX)
    assert days.tolist() == [slow_trading_day(each) for each in moments]


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2017-01-01 22:00", date(2017, 1, 2)),  # Sunday 17:00, winter: Monday begins
        ("2017-01-01 21:59", date(2017, 1, 1)),
        ("2017-07-02 21:00", date(2017, 7, 3)),  # Sunday 17:00, summer
        ("2017-07-02 20:59", date(2017, 7, 2)),
        ("2017-07-07 20:59", date(2017, 7, 7)),  # Friday's last minute
    ],
)
def test_sunday_evening_in_new_york_belongs_to_monday(moment: str, day: date) -> None:
    found = rules.trading_days(np.array([at(moment)]), Calendar.FX)
    assert found.tolist() == [(day - EPOCH).days]


@pytest.mark.parametrize("calendar", [Calendar.SESSION, Calendar.CONTINUOUS])
def test_other_days_are_utc_dates(calendar: Calendar) -> None:
    ts_ns = np.array([at("2017-03-05 23:59"), at("2017-03-06 00:00")])
    days = rules.trading_days(ts_ns, calendar)
    assert [EPOCH + timedelta(days=int(day)) for day in days] == [
        date(2017, 3, 5),
        date(2017, 3, 6),
    ]


@pytest.mark.parametrize("calendar", Calendar)
def test_no_times_have_no_days(calendar: Calendar) -> None:
    assert rules.trading_days(np.zeros(0, dtype=np.int64), calendar).size == 0


def market_hours(first: str, last: str) -> np.ndarray:
    """Return the hours in which foreign exchange trades, by the zone database."""
    hours = np.arange(at(first), at(last), HOUR_NS)
    local = [clock.from_nanos(int(each)).astimezone(NEW_YORK) for each in hours]
    minute_of_week = [each.weekday() * 1_440 + each.hour * 60 for each in local]
    friday, sunday = 4 * 1_440 + 17 * 60, 6 * 1_440 + 17 * 60
    return hours[[not friday <= each < sunday for each in minute_of_week]]


def test_a_year_of_weekends_lacks_nothing_through_both_clock_changes() -> None:
    ts_ns = market_hours("2017-01-02", "2017-12-31")
    holes, missing = calendars.missing_bars(ts_ns, HOUR_NS, Calendar.FX)
    assert holes.size == 51
    assert missing.tolist() == [0] * 51


@given(st.data())
def test_hours_taken_out_are_counted_apart_from_weekends(data: st.DataObject) -> None:
    ts_ns = market_hours("2017-03-01", "2017-04-01")
    first = data.draw(st.integers(1, ts_ns.size - 2))
    count = data.draw(st.integers(1, ts_ns.size - 1 - first))
    kept = np.delete(ts_ns, np.arange(first, first + count))
    holes, missing = calendars.missing_bars(kept, HOUR_NS, Calendar.FX)
    assert missing.sum() == count
    assert missing[holes == first - 1].tolist() == [count]


@given(st.integers(1, 47), st.integers(1, 30))
def test_a_continuous_market_never_rests(first: int, count: int) -> None:
    ts_ns = np.arange(80, dtype=np.int64) * HOUR_NS
    kept = np.delete(ts_ns, np.arange(first, first + count))
    holes, missing = calendars.missing_bars(kept, HOUR_NS, Calendar.CONTINUOUS)
    assert (holes.tolist(), missing.tolist()) == ([first - 1], [count])


def test_a_daily_session_rests_at_weekends_and_misses_holidays() -> None:
    days = [at(f"2017-01-{day:02}") for day in (12, 13, 17, 18)]  # the 16th was a holiday
    holes, missing = calendars.missing_bars(np.array(days), DAY_NS, Calendar.SESSION)
    assert (holes.tolist(), missing.tolist()) == ([1], [1])
    weekend = [at("2017-01-13"), at("2017-01-16")]
    _, missing = calendars.missing_bars(np.array(weekend), DAY_NS, Calendar.SESSION)
    assert missing.tolist() == [0]


def test_an_intraday_session_rests_at_night_but_not_at_noon() -> None:
    def day(name: str) -> list[int]:
        return [at(f"{name} {hour}:30") for hour in range(14, 21)]

    friday, monday, wednesday = day("2017-01-13"), day("2017-01-16"), day("2017-01-18")
    monday.pop(3)
    ts_ns = np.array(friday + monday + wednesday)
    _, missing = calendars.missing_bars(ts_ns, HOUR_NS, Calendar.SESSION)
    assert missing.tolist() == [0, 1, 7]
