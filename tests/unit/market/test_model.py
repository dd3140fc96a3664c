from decimal import Decimal

import numpy as np
import pytest

from strategy_engine.core.errors import InvalidError
from strategy_engine.market import model
from strategy_engine.market.model import Bars, Calendar, Instrument, Timeframe


@pytest.mark.parametrize(
    ("text", "name", "seconds"),
    [
        ("1-HOUR-LAST-EXTERNAL", "1-HOUR-LAST-EXTERNAL", 3_600),
        ("1-DAY-LAST-EXTERNAL", "1-DAY-LAST-EXTERNAL", 86_400),
        ("5-MINUTE-LAST-EXTERNAL", "5-MINUTE-LAST-EXTERNAL", 300),
        ("15-minute-bid-internal", "15-MINUTE-BID-INTERNAL", 900),
        ("4-HOUR", "4-HOUR-LAST-EXTERNAL", 14_400),
        ("1h", "1-HOUR-LAST-EXTERNAL", 3_600),
        (" 5m ", "5-MINUTE-LAST-EXTERNAL", 300),
        ("15min", "15-MINUTE-LAST-EXTERNAL", 900),
        ("30s", "30-SECOND-LAST-EXTERNAL", 30),
        ("1D", "1-DAY-LAST-EXTERNAL", 86_400),
        ("60m", "1-HOUR-LAST-EXTERNAL", 3_600),
        ("24h", "1-DAY-LAST-EXTERNAL", 86_400),
        ("90m", "90-MINUTE-LAST-EXTERNAL", 5_400),
    ],
)
def test_a_timeframe_is_read_in_long_and_short_form(text: str, name: str, seconds: int) -> None:
    timeframe = Timeframe.parse(text)
    assert str(timeframe) == name
    assert timeframe.duration_ns == seconds * 10**9
    assert Timeframe.parse(name) == timeframe


@pytest.mark.parametrize(
    "text",
    ["", "0h", "7m", "2d", "1w", "1-TICK-LAST-EXTERNAL", "h", "1-HOUR-LAST-ELSEWHERE", "-1h"],
)
def test_a_length_that_is_no_part_of_a_day_is_refused_with_what_would_do(text: str) -> None:
    with pytest.raises(InvalidError, match="1-HOUR-LAST-EXTERNAL") as caught:
        Timeframe.parse(text)
    assert caught.value.facts["field"] == "timeframe"


def instrument(**changes: object) -> Instrument:
    facts: dict[str, object] = {
        "symbol": "EUR/USD.SIM",
        "venue": "SIM",
        "currency": "USD",
        "tick_size": Decimal("0.00001"),
        "lot_size": Decimal(1),
        "calendar": Calendar.FX,
        "default_timeframe": Timeframe.parse("1h"),
    }
    return Instrument(**(facts | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["tick_size", "lot_size"])
@pytest.mark.parametrize("size", ["0", "-1", "1e-10", "0.0000000015", "NaN", "Infinity"])
def test_a_tick_or_lot_is_a_positive_number_of_billionths(name: str, size: str) -> None:
    with pytest.raises(InvalidError, match=name):
        instrument(**{name: Decimal(size)})


@pytest.mark.parametrize("size", ["1e-9", "0.00001", "0.25", "100", "0.123456789"])
def test_billionths_make_a_tick(size: str) -> None:
    assert instrument(tick_size=Decimal(size)).tick_size == Decimal(size)


@pytest.mark.parametrize(
    "symbol", ["AAPL", "", ".SIM", "../../etc.SIM", "A\n.SIM", "A.", "a" * 65 + ".SIM"]
)
def test_a_symbol_names_its_venue(symbol: str) -> None:
    with pytest.raises(InvalidError, match=r"EUR/USD\.SIM"):
        model.venue_of(symbol)


def test_a_venue_is_the_one_its_symbol_names() -> None:
    with pytest.raises(InvalidError, match="XNAS"):
        instrument(venue="XNAS")


def test_only_a_continuous_market_has_365_days_a_year() -> None:
    assert [each.periods_per_year for each in Calendar] == [252, 252, 365]


def bars(count: int = 4) -> Bars:
    ts_ns = np.arange(count, dtype=np.int64) * 3_600 * 10**9
    price = 1.0 + np.arange(count) / 100
    return Bars(
        ts_ns=ts_ns,
        open=price,
        high=price + 0.01,
        low=price - 0.01,
        close=price,
        volume=np.ones(count),
        timeframe_ns=3_600 * 10**9,
    )


def test_bars_cannot_be_written_to_and_leave_their_source_writable() -> None:
    source = np.ones(4)
    held = Bars(
        ts_ns=np.arange(4),
        open=source,
        high=source,
        low=source,
        close=source,
        volume=source,
        timeframe_ns=1,
    )
    with pytest.raises(ValueError, match="read-only"):
        held.close[0] = 2.0
    source[0] = 3.0
    assert source[0] == 3.0


def test_a_slice_holds_the_bars_it_names() -> None:
    part = bars().slice(1, 3)
    assert len(part) == 2
    assert part.close.tolist() == [1.01, 1.02]
    assert part.close_ns.tolist() == [2 * 3_600 * 10**9, 3 * 3_600 * 10**9]
    assert not part.close.flags.writeable


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(InvalidError, match="volume"):
        Bars(
            ts_ns=np.arange(2),
            open=np.ones(2),
            high=np.ones(2),
            low=np.ones(2),
            close=np.ones(2),
            volume=np.ones(3),
            timeframe_ns=1,
        )
