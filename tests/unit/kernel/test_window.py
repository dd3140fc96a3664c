import gc
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy_engine.kernel.window import KEYS, PRICE_COLUMNS, MarketData, Series, Window

HOUR_NS = 3_600 * 1_000_000_000
ARRAYS = ("prices", *PRICE_COLUMNS, "timestamps")


class Nothing:
    def position(self) -> float:
        return -2.5

    def entry_price(self) -> float | None:
        return None

    def equity(self) -> float:
        return 1_000.0

    def cash(self) -> float:
        return 900.0


def a_series(bars: int) -> Series:
    series = Series()
    columns = [[1_000.0 * k + i for i in range(bars)] for k in range(1, 6)]
    series.extend(columns, [(i + 1) * HOUR_NS for i in range(bars)])
    return series


def a_market(bars: int, lookback: int, **parameters: Any) -> tuple[Window, MarketData]:
    window = Window(a_series(bars), lookback)
    return window, MarketData("X", window, Nothing(), parameters)


@settings(max_examples=25)
@given(st.integers(1, 40), st.lists(st.integers(1, 900), max_size=6), st.sampled_from(ARRAYS))
def test_the_last_bars_are_shown_oldest_first_however_often_it_is_looked_at(
    lookback: int, steps: list[int], name: str
) -> None:
    window, market = a_market(6_000, lookback)
    for step in [1, *steps]:
        for _ in range(step):
            window.advance()
        first = max(0, window.seen - lookback)
        k = 4 if name == "prices" else ARRAYS.index(name)
        expected = [1_000.0 * k + i for i in range(first, window.seen)]
        if name == "timestamps":
            expected = [(i + 1) * HOUR_NS for i in range(first, window.seen)]
        assert market[name].astype(np.float64).tolist() == expected


def everything_behind(array: Any) -> list[Any]:
    found = [array]
    while (base := getattr(found[-1], "base", None)) is not None:
        found.append(base)
    return found


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("lookback", [1, 10, 512])
def test_no_later_bar_lies_in_the_memory_behind_an_array(name: str, lookback: int) -> None:
    window, market = a_market(3_000, lookback)
    for _ in range(2_999):
        window.advance()
        view = market[name]
        if window.seen % 97 and window.seen < 2_990:
            continue
        last = view[-1]
        for memory in everything_behind(view):
            cells = np.asarray(memory).view(view.dtype)
            written = cells[~np.isnan(cells)] if name != "timestamps" else cells[~np.isnat(cells)]
            assert written.max() == last


@pytest.mark.parametrize("name", ARRAYS)
def test_nothing_behind_an_array_can_be_written_through(name: str) -> None:
    window, market = a_market(5, 3)
    window.advance(4)
    chain = everything_behind(market[name])
    assert len(chain) >= 2
    for memory in chain:
        cells = np.asarray(memory)
        assert not cells.flags.writeable
        with pytest.raises(ValueError, match=r"read-only|WRITEABLE"):
            cells.flags.writeable = True


def test_an_array_kept_from_an_earlier_bar_keeps_its_values() -> None:
    window, market = a_market(5_000, 7)
    kept = []
    for index in range(5_000):
        window.advance()
        if index % 250 == 0:
            kept.append((market["close"], market["close"].copy()))
    assert all((view == then).all() for view, then in kept)


def test_memory_is_moved_so_that_a_long_run_does_not_grow() -> None:
    window, market = a_market(4_000, 4)
    sizes = set()
    for _ in range(4_000):
        window.advance()
        sizes.add(market["close"].base.size)
    assert max(sizes) < 4_000


def test_a_live_series_forgets_what_will_not_be_seen_again() -> None:
    series = Series()
    window = Window(series, 3)
    market = MarketData("X", window, Nothing(), {})
    for index in range(5_000):
        series.extend(((float(index),) for _ in range(5)), (index,))
        window.advance()
        window.trim()
        assert market["close"].tolist() == [float(i) for i in range(max(0, index - 2), index + 1)]
        assert window.close_ns == index
    assert window.seen == 5_000
    assert len(series.times) < 2_100


def test_market_data_is_a_mapping_of_the_documented_keys() -> None:
    window, market = a_market(3, 2, period=14)
    window.advance(3)
    assert set(market) == set(KEYS) == set(market.keys())
    assert len(market) == len(KEYS) == len(list(market.items()))
    assert "prices" in market
    assert "tomorrow" not in market
    assert market.get("tomorrow") is None
    assert market.get("symbol", "?") == "X"
    assert market["position"] == -2.5
    assert market["entry_price"] is None
    assert (market["equity"], market["cash"]) == (1_000.0, 900.0)
    assert market["time"] == datetime(1970, 1, 1, 3, tzinfo=UTC)
    assert market["timestamps"].dtype == np.dtype("<M8[ns]")
    assert market["timestamps"][-1] == np.datetime64("1970-01-01T03:00", "ns")
    assert dict(market)["parameters"] == {"period": 14}


def test_an_unknown_key_is_answered_with_those_that_exist() -> None:
    _, market = a_market(3, 2)
    with pytest.raises(KeyError, match=r"'price' is not in market_data; it holds prices, open"):
        market["price"]


def test_nothing_can_be_written_into_market_data() -> None:
    window, market = a_market(3, 2, period=14)
    window.advance()
    with pytest.raises(TypeError):
        market["prices"] = [1.0]  # type: ignore[index]
    with pytest.raises(TypeError):
        del market["prices"]  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        market["parameters"]["period"] = 2
    with pytest.raises(TypeError):
        market["flags"]["fast"] = True
    with pytest.raises(ValueError, match="read-only"):
        market["prices"][0] = 1.0


def test_flags_are_shown_as_they_were_last_told() -> None:
    _, market = a_market(3, 2)
    assert market["flags"] == {}
    market.see_flags({"fast": True})
    assert market["flags"] == {"fast": True}


def test_arrays_outlive_the_window() -> None:
    window, market = a_market(3, 2)
    window.advance(3)
    view = market["close"]
    del window, market
    gc.collect()
    assert view.tolist() == [4_001.0, 4_002.0]
