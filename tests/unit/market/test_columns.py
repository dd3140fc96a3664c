import gzip
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strategy_engine.core import clock
from strategy_engine.core.errors import InvalidError, NotFoundError
from strategy_engine.market import columns

HEADER = "timestamp,open,high,low,close,volume"
SECONDS = [1_483_308_000, 1_483_311_600]  # 2017-01-01 22:00Z and 23:00Z
NANOS = [each * 10**9 for each in SECONDS]


def csv_of(
    folder: Path, times: list[str], header: str = HEADER, tail: str = "1,2,0.5,1.5,10"
) -> Path:
    path = folder / "bars.csv"
    path.write_text("\n".join([header, *(f"{each},{tail}" for each in times)]) + "\n")
    return path


@pytest.mark.parametrize(
    "times",
    [
        ["2017-01-01T22:00:00Z", "2017-01-01T23:00:00Z"],
        ["2017-01-01 22:00:00+00:00", "2017-01-01 23:00:00+00:00"],
        ["2017-01-01T17:00:00-05:00", "2017-01-02T00:00:00+01:00"],
        ["2017-01-01T22:00:00.000000Z", "20170101T230000Z"],
        ["1483308000", "1483311600"],
        ["1483308000.0", "1483311600.0"],
        ["1483308000000", "1483311600000"],
        ["1483308000000000", "1483311600000000"],
        ["1483308000000000000", "1483311600000000000"],
    ],
)
def test_a_time_with_a_zone_or_an_epoch_of_any_unit_is_read(
    tmp_path: Path, times: list[str]
) -> None:
    raw = columns.read(csv_of(tmp_path, times)).raw
    assert raw.ts_ns.tolist() == NANOS
    assert not raw.unreadable.any()
    assert not raw.zoneless.any()


@pytest.mark.parametrize(
    "times", [["2017-01-01 22:00", "2017-01-01 23:00"], ["20170101 220000", "20170101 230000"]]
)
def test_a_time_without_a_zone_is_trusted_only_where_its_column_says_utc(
    tmp_path: Path, times: list[str]
) -> None:
    assert columns.read(csv_of(tmp_path, times)).raw.zoneless.all()
    raw = columns.read(csv_of(tmp_path, times, HEADER.replace("timestamp", "ts_utc"))).raw
    assert not raw.zoneless.any()
    assert raw.ts_ns.tolist() == NANOS


@pytest.mark.parametrize("times", [["2017-01-02", "2017-01-03"], ["20170102", "20170103"]])
def test_a_date_is_its_midnight_in_utc(tmp_path: Path, times: list[str]) -> None:
    raw = columns.read(csv_of(tmp_path, times)).raw
    assert not raw.zoneless.any()
    assert [clock.from_nanos(int(each)).date() for each in raw.ts_ns] == [
        date(2017, 1, 2),
        date(2017, 1, 3),
    ]


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("2017-01-01T22:00:00Z", "01/02/2017"),
        ("2017-01-01T22:00:00Z", ""),
        ("2017-01-01T22:00:00Z", "9999-01-01T00:00:00Z"),
        ("1483308000", "soon"),
        ("1483308000", ""),
        ("1483308000", "1483308000000"),  # another unit than the rest
        ("1483308000000", "1483308000"),
        ("1483308000", "9999999999"),  # beyond what nanoseconds can hold
    ],
)
def test_a_time_that_cannot_be_read_is_marked_at_its_row(
    tmp_path: Path, good: str, bad: str
) -> None:
    raw = columns.read(csv_of(tmp_path, [good, good, bad, good])).raw
    assert raw.unreadable.tolist() == [False, False, True, False]
    assert raw.ts_ns[[0, 1, 3]].tolist() == NANOS[:1] * 3


@pytest.mark.parametrize(
    "header",
    [
        "Date,Open,High,Low,Close,Volume",
        "ts_utc,o,h,l,c,v",
        "DATETIME,OPEN,HIGH,LOW,CLOSE,VOL",
        "<time>,<open>,<high>,<low>,<close>,<vol>",
        "Open time,Open,High,Low,Close,Volume",
        '"Gmt time","Open","High","Low","Close","Volume"',
    ],
)
def test_the_usual_names_are_understood(tmp_path: Path, header: str) -> None:
    source = columns.read(csv_of(tmp_path, ["2017-01-01T22:00:00Z"], header))
    assert source.raw.close.tolist() == [1.5]
    assert source.ignored == ()


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_are_seen(tmp_path: Path, delimiter: str) -> None:
    path = csv_of(tmp_path, ["2017-01-01T22:00:00Z"])
    path.write_text(path.read_text().replace(",", delimiter))
    assert columns.read(path).raw.volume.tolist() == [10.0]


def test_a_byte_order_mark_and_compression_are_seen_through(tmp_path: Path) -> None:
    text = csv_of(tmp_path, ["2017-01-01T22:00:00Z"]).read_text()
    path = tmp_path / "bars.csv.gz"
    path.write_bytes(gzip.compress(("\ufeff" + text).encode()))
    assert columns.read(path).raw.ts_ns.tolist() == NANOS[:1]


def test_other_columns_are_named_as_ignored(tmp_path: Path) -> None:
    path = csv_of(
        tmp_path, ["2017-01-01T22:00:00Z"], HEADER + ",Adj Close,trades", "1,2,0.5,1.5,10,1.4,3"
    )
    assert columns.read(path).ignored == ("Adj Close", "trades")


def test_a_missing_column_is_named_with_what_was_found_and_what_would_do(tmp_path: Path) -> None:
    path = csv_of(tmp_path, ["2017-01-01T22:00:00Z"], "when,open,high,low,close,amount")
    with pytest.raises(InvalidError) as caught:
        columns.read(path)
    message = str(caught.value)
    assert message.startswith(
        "no column for ts, volume; found: when, open, high, low, close, amount"
    )
    assert "ts (or ts_utc, timestamp," in message
    assert "volume (or v, vol)" in message


def test_two_columns_that_could_be_the_time_are_refused(tmp_path: Path) -> None:
    path = csv_of(tmp_path, ["2017-01-01,22:00"], "date,time,open,high,low,close,volume")
    with pytest.raises(InvalidError, match="date and time could each be ts"):
        columns.read(path)


def test_what_is_no_number_becomes_nan(tmp_path: Path) -> None:
    path = csv_of(tmp_path, ["2017-01-01T22:00:00Z"], tail="1,n/a,,1.5,ten")
    raw = columns.read(path).raw
    assert (raw.open[0], raw.close[0]) == (1.0, 1.5)
    assert [float(each[0]) != float(each[0]) for each in (raw.high, raw.low, raw.volume)] == [
        True
    ] * 3


def test_a_row_of_another_width_refuses_the_file(tmp_path: Path) -> None:
    path = csv_of(tmp_path, ["2017-01-01T22:00:00Z", "2017-01-01T23:00:00Z,9"])
    with pytest.raises(InvalidError, match=r"bars\.csv cannot be read.*columns"):
        columns.read(path)


@pytest.mark.parametrize("name", ["bars.parquet", "bars.csv.gz"])
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(InvalidError, match="cannot be read"):
        columns.read(tmp_path / name)


def test_an_empty_file_lacks_every_column(tmp_path: Path) -> None:
    (tmp_path / "bars.csv").touch()
    with pytest.raises(InvalidError, match="found: none"):
        columns.read(tmp_path / "bars.csv")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        columns.read(tmp_path / "nowhere.csv")


def parquet_of(folder: Path, times: pa.Array, price: pa.DataType | None = None) -> Path:
    price = price or pa.float64()
    rows = [1.05236] * len(times)
    table = pa.table(
        {
            "timestamp": times,
            **{name: pa.array(rows).cast(price) for name in ("open", "high", "low", "close")},
            "volume": pa.array([10] * len(times), pa.int64()),
        }
    )
    path = folder / "bars.parquet"
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_parquet_timestamps_of_any_unit_are_read(tmp_path: Path, unit: str) -> None:
    moments = [clock.from_nanos(each) for each in NANOS]
    path = parquet_of(tmp_path, pa.array(moments, pa.timestamp(unit, "America/New_York")))
    raw = columns.read(path).raw
    assert raw.ts_ns.tolist() == NANOS
    assert not raw.zoneless.any()


def test_parquet_timestamps_without_a_zone_are_marked(tmp_path: Path) -> None:
    moments = [clock.from_nanos(each).replace(tzinfo=None) for each in NANOS]
    path = parquet_of(tmp_path, pa.array(moments, pa.timestamp("us")))
    assert columns.read(path).raw.zoneless.all()


def test_parquet_dates_numbers_and_nulls_are_read(tmp_path: Path) -> None:
    dates = pa.array([date(2017, 1, 2), None], pa.date32())
    raw = columns.read(parquet_of(tmp_path, dates)).raw
    assert raw.ts_ns[0] == clock.to_nanos(datetime(2017, 1, 2, tzinfo=UTC))
    assert raw.unreadable.tolist() == [False, True]
    raw = columns.read(parquet_of(tmp_path, pa.array([SECONDS[0], None], pa.int64()))).raw
    assert raw.ts_ns[0] == NANOS[0]
    assert raw.unreadable.tolist() == [False, True]


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64(), pa.decimal128(12, 5)])
def test_a_price_is_the_decimal_that_was_meant(tmp_path: Path, kind: pa.DataType) -> None:
    raw = columns.read(parquet_of(tmp_path, pa.array(NANOS, pa.int64()), kind)).raw
    assert raw.close.tolist() == [1.05236, 1.05236]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(100_000_000, 4_000_000_000), min_size=1, max_size=20),
    st.sampled_from([1, 1_000, 1_000_000, 1_000_000_000]),
)
def test_epochs_of_one_unit_come_back_exactly(
    tmp_path: Path, seconds: list[int], per_second: int
) -> None:
    path = parquet_of(tmp_path, pa.array([each * per_second for each in seconds], pa.int64()))
    assert columns.read(path).raw.ts_ns.tolist() == [each * 10**9 for each in seconds]
