"""Quotes and trades: what a file of them may be, and how they are kept."""

import gzip
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from strategy_engine.market import columns, tickrules
from strategy_engine.market.model import Calendar, Quotes, Trades
from strategy_engine.market.report import TickReport
from strategy_engine.market.service import Catalogue
from strategy_engine.market.tickrules import RawTicks

SECOND = 10**9
HOUR = 3_600 * SECOND
MONDAY = 1_704_067_200 * SECOND  # 2024-01-01 00:00Z
PAIR = "EUR/USD.SIM"
QUOTES = """ts_utc,bid,ask,bid_size,ask_size
2024-01-01T00:00:00Z,1.10000,1.10010,5,6
2024-01-01T00:00:00Z,1.10001,1.10010,5,6
2024-01-01T00:00:01.5Z,1.10002,1.10012,7,8
"""
TRADES = """Timestamp (UTC);Price;Qty;Side
2024-01-01 00:00:00;1.1;5;BUY
2024-01-01 00:00:00;1.2;6;SELL
2024-01-02 00:00:00;1.3;7;BUY
"""


def raw_quotes(**changes: list[float]) -> RawTicks:
    given_ = {"bid": [1.0, 1.1], "ask": [1.2, 1.3], "bid_size": [1, 0], "ask_size": [2, 0]}
    told = {name: np.array(each, dtype=float) for name, each in (given_ | changes).items()}
    return raw(told, [0, SECOND])


def raw_trades(**changes: list[float]) -> RawTicks:
    given_ = {"price": [1.0, 1.1], "size": [1.0, 2.0]}
    told = {name: np.array(each, dtype=float) for name, each in (given_ | changes).items()}
    return raw(told, [0, SECOND])


def raw(told: dict[str, Any], times: list[int]) -> RawTicks:
    nothing = np.zeros(len(times), dtype=np.bool_)
    return RawTicks(
        ts_ns=MONDAY + np.array(times), columns=told, unreadable=nothing, zoneless=nothing
    )


def judged(given_: RawTicks, tick: str = "0.1") -> TickReport:
    return tickrules.judge(
        given_,
        symbol=PAIR,
        calendar=Calendar.CONTINUOUS,
        tick_size=Decimal(tick),
        lot_size=Decimal(1),
    )


@pytest.mark.parametrize("given_", [raw_quotes(), raw_trades()], ids=["quotes", "trades"])
def test_good_columns_are_accepted(given_: RawTicks) -> None:
    report = judged(given_)
    assert report.accepted
    assert report.lines() == [
        f"accepted: {PAIR}, 2 {given_.what}, 2024-01-01 00:00Z to 2024-01-01 00:00:01Z"
    ]
    assert tickrules.refusals(given_) == []
    assert len(tickrules.accepted(given_)) == 2


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        (raw_quotes(bid=[1.25, 1.1]), "1 impossible quote: row 1 .*bid 1.25 is above ask 1.2"),
        (raw_quotes(bid=[1.0, 0.0]), "row 2 .*bid 0.0 is not positive"),
        (raw_quotes(ask=[-1.0, 1.3]), "ask -1.0 is not positive; bid 1.0 is above ask -1.0"),
        (raw_quotes(ask_size=[-1.0, 1]), "ask_size -1.0 is negative"),
        (raw_quotes(bid_size=[np.nan, 1]), "bid_size is nan"),
        (raw_trades(price=[np.inf, 1.0]), "1 impossible trade: row 1 .*price is inf"),
        (raw_trades(price=[0.0, -1.0]), "2 impossible trades"),
        (raw_trades(size=[0.0, 1.0]), "size 0.0 is not positive"),
        (raw({"price": np.ones(2), "size": np.ones(2)}, [SECOND, 0]), "1 row out of time order"),
    ],
)
def test_a_fault_refuses_and_is_told_with_its_row(given_: RawTicks, says: str) -> None:
    report = judged(given_)
    assert not report.accepted
    with pytest.raises(AssertionError, match=says):
        raise AssertionError("\n".join(report.lines()))
    assert tickrules.refusals(given_) == report.refusals()


def test_no_rows_refuse() -> None:
    nothing = raw({"price": np.zeros(0), "size": np.zeros(0)}, [])
    assert judged(nothing).lines() == [
        f"refused, nothing was stored: {PAIR}, no rows",
        "error: the file holds no rows",
    ]


def test_repetition_a_finer_price_and_silent_hours_warn() -> None:
    told = {"price": np.array([1.0, 1.0, 1.05]), "size": np.ones(3)}
    report = judged(raw(told, [0, 0, 5 * HOUR]))
    assert report.accepted
    warnings = "\n".join(report.lines()[1:])
    assert "warning: 1 row repeats the one above: row 2" in warnings
    assert "warning: 1 gap (whole hours without a row)" in warnings
    assert "(4 missing)" in warnings
    assert "warning: 1 price off the tick of 0.1, traded rounded: row 3" in warnings


def test_sizes_that_a_lot_does_not_divide_into_warn_and_say_what_to_do() -> None:
    report = judged(raw_quotes(bid_size=[0.5, 0.0], ask_size=[1.0, 0.25]))
    assert report.accepted
    warnings = "\n".join(report.lines()[1:])
    assert "warning: 2 sizes below the lot of 1, traded rounded to whole lots" in warnings
    assert "--lot-size" in warnings
    assert "row 1 at 2024-01-01 00:00Z: bid_size 0.5" in warnings


def test_the_weekend_of_a_calendar_is_no_gap() -> None:
    friday = 4 * 24 * HOUR + 21 * HOUR + HOUR // 2
    given_ = raw(
        {"price": np.ones(2), "size": np.ones(2)}, [friday, friday + 48 * HOUR + HOUR // 2]
    )
    one = Decimal(1)
    report = tickrules.judge(given_, symbol=PAIR, calendar=Calendar.FX, tick_size=one, lot_size=one)
    assert (report.gaps.count, report.closures.count) == (0, 1)
    assert any("closure of the fx calendar" in line for line in report.lines())


def trades(*rows: tuple[int, float]) -> Trades:
    times, prices = zip(*rows, strict=True) if rows else ((), ())
    price = np.array(prices, dtype=float)
    return Trades(ts_ns=np.array(times, dtype=np.int64), price=price, size=price * 2)


@given(
    rows=st.lists(st.tuples(st.integers(0, 20), st.floats(1, 9)), min_size=1, max_size=20),
    first=st.integers(0, 20),
    last=st.integers(0, 20),
)
def test_a_history_that_is_sent_again_from_anywhere_is_itself(
    rows: list[tuple[int, float]], first: int, last: int
) -> None:
    whole = trades(*sorted(rows, key=lambda each: each[0]))
    old = whole.between(None, last + 1)
    again = whole.between(first, None)
    if not len(old) or not len(again) or int(again.ts_ns[0]) > int(old.ts_ns[-1]) + 1:
        return
    merged = tickrules.merge(old, again)
    assert merged.ts_ns.tolist() == whole.ts_ns.tolist()
    assert merged.price.tolist() == whole.price.tolist()


@pytest.mark.parametrize(
    "new",
    [
        trades((2, 9.0), (3, 1.0)),  # another price
        trades((1, 1.0), (3, 1.0)),  # one is left out
        trades((2, 1.0), (2, 1.0), (3, 1.0)),  # one is new, in the past
    ],
)
def test_another_history_is_refused(new: Trades) -> None:
    with pytest.raises(ConflictError, match="--replace"):
        tickrules.merge(trades((1, 1.0), (2, 1.0)), new)


def test_times_between_are_found_by_bisection_and_share_the_memory() -> None:
    whole = trades((1, 1.0), (2, 2.0), (2, 3.0), (4, 4.0))
    assert whole.between(2, 4).price.tolist() == [2.0, 3.0]
    assert whole.between(3, 2).price.tolist() == []
    assert whole.between(None, None).price.tolist() == whole.price.tolist()
    assert np.shares_memory(whole.between(2, None).price, whole.price)
    quotes = Quotes(
        ts_ns=whole.ts_ns, **dict.fromkeys(("bid", "ask", "bid_size", "ask_size"), whole.price)
    )
    assert quotes.between(2, 4).ask.tolist() == [2.0, 3.0]
    assert len(quotes.slice(1, 3)) == 2
    with pytest.raises(ValueError, match="read-only"):
        quotes.bid[0] = 5.0


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(InvalidError, match="column size has shape"):
        Trades(ts_ns=np.zeros(2, dtype=np.int64), price=np.zeros(2), size=np.zeros(3))


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "data")


def written(folder: Path, content: str, name: str = "ticks.csv") -> Path:
    (folder / name).write_text(content)
    return folder / name


def test_quotes_are_kept_for_this_catalogue_and_the_next(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    assert catalogue.quotes(PAIR) is None
    report = catalogue.import_ticks(written(tmp_path, QUOTES), PAIR, "quotes")
    assert report.accepted
    assert report.notes == ("stored 3 quotes",)
    found = Catalogue(tmp_path / "data").quotes(PAIR)
    assert found is not None
    assert found.bid.tolist() == [1.1, 1.10001, 1.10002]
    assert found.ask_size.tolist() == [6, 6, 8]
    assert found.ts_ns.tolist() == [MONDAY, MONDAY, MONDAY + 3 * SECOND // 2]
    part = catalogue.quotes(PAIR, MONDAY + 1, None)
    assert part is not None
    assert part.bid.tolist() == [1.10002]
    (held,) = catalogue.ticks(PAIR)
    assert (held.what, held.rows, held.first_ns) == ("quotes", 3, MONDAY)
    assert len(catalogue.bars(PAIR)) == 6_225  # the sample's, as before
    assert PAIR in [each.symbol for each in catalogue.instruments()]


def test_trades_of_another_vendors_making_are_read(catalogue: Catalogue, tmp_path: Path) -> None:
    path = tmp_path / "trades.csv.gz"
    path.write_bytes(gzip.compress(TRADES.encode()))
    report = catalogue.import_ticks(path, PAIR, "trades")
    assert report.accepted
    assert report.ignored_columns == ("Side",)
    found = catalogue.trades(PAIR)
    assert found is not None
    assert (found.price.tolist(), found.size.tolist()) == ([1.1, 1.2, 1.3], [5, 6, 7])


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_epochs_of_any_unit_are_read(catalogue: Catalogue, tmp_path: Path, unit: str) -> None:
    size = {"s": SECOND, "ms": 10**6, "us": 1_000, "ns": 1}[unit]
    rows = [f"{(MONDAY + at * SECOND) // size},1.{at},5" for at in range(3)]
    path = written(tmp_path, "\n".join(["time,px,qty", *rows]))
    catalogue.import_ticks(path, PAIR, "trades")
    found = catalogue.trades(PAIR)
    assert found is not None
    assert found.ts_ns.tolist() == [MONDAY + at * SECOND for at in range(3)]


def test_rows_are_added_or_refused_and_replaced_when_asked(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    catalogue.import_ticks(written(tmp_path, QUOTES), PAIR, "quotes")
    mapped = catalogue.quotes(PAIR)
    longer = QUOTES + "2024-01-01T00:00:02Z,1.1,1.2,1,1\n"
    report = catalogue.import_ticks(written(tmp_path, longer), PAIR, "quotes")
    assert report.notes == ("added 1 quotes after 2024-01-01 00:00:01Z",)
    other = longer.replace("1.10002,1.10012", "1.10003,1.10012")
    with pytest.raises(ConflictError, match="differ from those already stored"):
        catalogue.import_ticks(written(tmp_path, other), PAIR, "quotes")
    catalogue.import_ticks(written(tmp_path, other), PAIR, "quotes", replace=True)
    found = catalogue.quotes(PAIR)
    assert found is not None
    assert mapped is not None
    assert found.bid.tolist()[2] == 1.10003
    assert mapped.bid.tolist() == [1.1, 1.10001, 1.10002]  # who had them keeps them


def test_a_refused_file_changes_nothing(catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.import_ticks(written(tmp_path, QUOTES), PAIR, "quotes")
    bad = QUOTES.replace("1.10000,1.10010", "1.2,1.10010")
    report = catalogue.import_ticks(written(tmp_path, bad), PAIR, "quotes", replace=True)
    assert not report.accepted
    assert "bid 1.2 is above ask 1.1001" in report.lines()[1]
    found = catalogue.quotes(PAIR)
    assert found is not None
    assert len(found) == 3


@pytest.mark.parametrize(
    ("content", "what", "says"),
    [
        (TRADES, "quotes", "no column for bid, ask, bid_size, ask_size"),
        (QUOTES, "trades", "no column for price, size"),
        ("time,date,price,size\n", "trades", "time and date could each be ts"),
    ],
)
def test_a_file_of_other_columns_is_told_which_are_needed(
    tmp_path: Path, content: str, what: Literal["quotes", "trades"], says: str
) -> None:
    with pytest.raises(InvalidError, match=says):
        columns.read_ticks(written(tmp_path, content), what)


def test_times_without_a_zone_and_unreadable_ones_refuse(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    content = "time,price,size\n2024-01-01 00:00:00,1,1\nsoon,1,1\n"
    report = catalogue.import_ticks(written(tmp_path, content), PAIR, "trades")
    told = "\n".join(report.lines())
    assert "1 time that cannot be read: row 2: unreadable 'soon'" in told
    assert "1 time without a zone" in told


def test_ticks_of_what_has_no_bars_are_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no instrument 'NEW\.SIM'"):
        catalogue.import_ticks(written(tmp_path, TRADES), "NEW.SIM", "trades")
    with pytest.raises(NotFoundError, match=r"no instrument 'NEW\.SIM'"):
        catalogue.quotes("NEW.SIM")


@pytest.mark.parametrize("damage", [b"", b"ARROW1 no more", None])
def test_a_damaged_file_is_named_and_replaced_when_asked(
    catalogue: Catalogue, tmp_path: Path, damage: bytes | None
) -> None:
    path = written(tmp_path, QUOTES)
    catalogue.import_ticks(path, PAIR, "quotes")
    kept = tmp_path / "data" / "catalogue" / "EUR%2FUSD.SIM" / "quotes.arrow"
    content = kept.read_bytes()
    kept.write_bytes(content[: len(content) // 2] if damage is None else damage)
    with pytest.raises(UnavailableError, match=r"quotes\.arrow cannot be read .*--replace"):
        catalogue.quotes(PAIR)
    catalogue.import_ticks(path, PAIR, "quotes", replace=True)
    assert catalogue.quotes(PAIR) is not None


def test_another_files_columns_are_no_quotes(catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.import_ticks(written(tmp_path, TRADES), PAIR, "trades")
    folder = tmp_path / "data" / "catalogue" / "EUR%2FUSD.SIM"
    (folder / "trades.arrow").rename(folder / "quotes.arrow")
    with pytest.raises(UnavailableError, match="cannot be read"):
        catalogue.quotes(PAIR)


def is_in_file(column: np.ndarray, path: Path) -> bool:
    """Return whether an array lies in memory where the kernel has mapped a file."""
    address = column.__array_interface__["data"][0]
    lines = Path("/proc/self/maps").read_text().splitlines()
    spans = [line.split()[0].split("-") for line in lines if line.endswith(str(path))]
    return any(int(first, 16) <= address < int(last, 16) for first, last in spans)


def test_a_part_of_millions_of_rows_lies_in_their_mapped_file(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    size = 2_000_000
    table = pa.table(
        {
            "ts": pa.array(MONDAY + np.arange(size) * 10**6, pa.int64()),
            "price": np.full(size, 1.1),
            "size": np.full(size, 2.0),
        }
    )
    pa.parquet.write_table(table, tmp_path / "many.parquet")
    del table
    assert catalogue.import_ticks(tmp_path / "many.parquet", PAIR, "trades").accepted
    part = catalogue.trades(PAIR, MONDAY + 10**12, MONDAY + 10**12 + 100 * 10**6)
    assert part is not None
    assert (len(part), float(part.price.sum())) == (100, pytest.approx(110.0))
    kept = tmp_path / "data" / "catalogue" / "EUR%2FUSD.SIM" / "trades.arrow"
    assert is_in_file(part.price, kept)
    assert is_in_file(part.size, kept)
    assert is_in_file(part.ts_ns, kept)
    assert not is_in_file(part.price.copy(), kept)
