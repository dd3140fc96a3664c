import json
import os
import subprocess
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strategy_engine.core import clock
from strategy_engine.core.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from strategy_engine.market import rules, shipped, store
from strategy_engine.market.model import Bars, Calendar, Timeframe
from strategy_engine.market.service import Catalogue

HOUR_NS = 3_600 * 10**9
MONDAY_NS = 1_483_315_200 * 10**9  # 2017-01-02 00:00Z


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "data")


def bars_csv(folder: Path, hours: range, price: float = 1.05, volume: float = 10) -> Path:
    lines = ["ts_utc,open,high,low,close,volume"]
    for hour in hours:
        close = round(price + hour % 7 / 10_000, 5)
        at = clock.from_nanos(MONDAY_NS + hour * HOUR_NS).isoformat()
        lines.append(f"{at},{price},{price + 0.01:.5f},{price - 0.01:.5f},{close},{volume}")
    path = folder / f"{hours.start}-{hours.stop}-{price}.csv"
    path.write_text("\n".join(lines))
    return path


def test_the_samples_are_there_without_an_import(catalogue: Catalogue) -> None:
    assert [each.symbol for each in catalogue.instruments()] == ["EUR/USD.SIM", "GOOGL.SIM"]
    assert len(catalogue.bars("EUR/USD.SIM")) == 6_225
    assert len(catalogue.bars("GOOGL.SIM", "1d")) == 2_335
    euro, google = catalogue.instruments()
    assert (euro.tick_size, euro.calendar) == (Decimal("0.00001"), Calendar.FX)
    assert (google.tick_size, google.calendar) == (Decimal("0.000001"), Calendar.SESSION)
    assert "luck" in euro.note


@pytest.mark.parametrize("sample", shipped.SAMPLES, ids=lambda each: each.instrument.symbol)
def test_each_sample_would_be_accepted_as_an_import_on_its_own_grid(
    catalogue: Catalogue, sample: shipped.Sample
) -> None:
    instrument = sample.instrument
    report = catalogue.import_file(
        sample.path, instrument.symbol, str(instrument.default_timeframe)
    )
    assert report.accepted
    assert report.inferred_tick_size == instrument.tick_size
    assert report.off_grid.count == 0
    assert report.calendar is instrument.calendar


def test_bars_are_chosen_by_their_opening_time_and_the_last_are_kept(catalogue: Catalogue) -> None:
    everything = catalogue.bars("EUR/USD.SIM")
    start_ns, end_ns = int(everything.ts_ns[100]), int(everything.ts_ns[200])
    part = catalogue.bars("EUR/USD.SIM", "1h", start_ns=start_ns, end_ns=end_ns)
    assert part.ts_ns.tolist() == everything.ts_ns[100:200].tolist()
    last = catalogue.bars("EUR/USD.SIM", "1h", start_ns=start_ns, end_ns=end_ns, limit=3)
    assert last.ts_ns.tolist() == everything.ts_ns[197:200].tolist()
    assert len(catalogue.bars("EUR/USD.SIM", start_ns=end_ns, end_ns=start_ns)) == 0
    assert len(catalogue.bars("EUR/USD.SIM", limit=0)) == 0
    assert len(catalogue.bars("EUR/USD.SIM", limit=10_000)) == 6_225


def test_a_negative_limit_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises(InvalidError, match="limit -1"):
        catalogue.bars("EUR/USD.SIM", limit=-1)


def test_an_unknown_symbol_is_told_what_exists_and_how_to_import(catalogue: Catalogue) -> None:
    for ask in (catalogue.instrument, catalogue.bars, catalogue.timeframes):
        with pytest.raises(NotFoundError, match=r"EUR/USD\.SIM, GOOGL\.SIM; import") as caught:
            ask("AAPL.SIM")
        assert caught.value.facts["accepted"] == ["EUR/USD.SIM", "GOOGL.SIM"]


def test_a_timeframe_without_bars_is_told_which_have_some(catalogue: Catalogue) -> None:
    with pytest.raises(NotFoundError, match="1-HOUR-LAST-EXTERNAL"):
        catalogue.bars("EUR/USD.SIM", "5m")


def test_an_import_is_there_for_this_catalogue_and_the_next(tmp_path: Path) -> None:
    path = bars_csv(tmp_path, range(50))
    report = Catalogue(tmp_path).import_file(path, "GBP/USD.SIM", "1h")
    assert report.accepted
    assert "stored 50 bars" in report.notes
    later = Catalogue(tmp_path)
    assert len(later.bars("GBP/USD.SIM")) == 50
    instrument = later.instrument("GBP/USD.SIM")
    assert (instrument.calendar, instrument.currency) == (Calendar.FX, "USD")
    assert (instrument.venue, instrument.lot_size) == ("SIM", Decimal(1))
    assert instrument.tick_size == Decimal("0.0001")
    assert [str(each) for each in later.timeframes("GBP/USD.SIM")] == ["1-HOUR-LAST-EXTERNAL"]
    assert "GBP/USD.SIM" in [each.symbol for each in later.instruments()]


def test_what_is_declared_of_an_instrument_is_kept(catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.import_file(
        bars_csv(tmp_path, range(50)),
        "X.SIM",
        "1h",
        tick_size=Decimal("0.00001"),
        lot_size=Decimal("0.001"),
        currency="EUR",
        calendar=Calendar.CONTINUOUS,
    )
    found = catalogue.instrument("X.SIM")
    assert (found.tick_size, found.lot_size) == (Decimal("0.00001"), Decimal("0.001"))
    assert (found.currency, found.calendar) == ("EUR", Calendar.CONTINUOUS)


def test_a_refused_file_stores_nothing(catalogue: Catalogue, tmp_path: Path) -> None:
    path = bars_csv(tmp_path, range(10), volume=-1)
    report = catalogue.import_file(path, "X.SIM", "1h")
    assert not report.accepted
    assert report.lines()[0].startswith("refused, nothing was stored: X.SIM")
    with pytest.raises(NotFoundError):
        catalogue.bars("X.SIM")


def test_later_bars_are_added_and_repeated_ones_are_not_doubled(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    catalogue.import_file(bars_csv(tmp_path, range(30)), "X.SIM", "1h")
    report = catalogue.import_file(bars_csv(tmp_path, range(20, 50)), "X.SIM", "1h")
    assert "added 20 bars after 2017-01-03 05:00Z" in report.notes
    assert len(catalogue.bars("X.SIM")) == 50
    assert np.diff(catalogue.bars("X.SIM").ts_ns).tolist() == [HOUR_NS] * 49


def test_bars_that_differ_need_replace(catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.import_file(bars_csv(tmp_path, range(30)), "X.SIM", "1h")
    other = bars_csv(tmp_path, range(10), price=2.5)
    with pytest.raises(ConflictError, match="import with --replace to take"):
        catalogue.import_file(other, "X.SIM", "1h")
    assert len(catalogue.bars("X.SIM")) == 30
    report = catalogue.import_file(other, "X.SIM", "1h", replace=True)
    assert "replaced the bars that were stored" in report.notes
    assert catalogue.bars("X.SIM").open.tolist() == [2.5] * 10


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tick_size", Decimal("0.01")),
        ("lot_size", Decimal(100)),
        ("currency", "EUR"),
        ("calendar", Calendar.CONTINUOUS),
    ],
)
def test_another_fact_of_a_stored_instrument_needs_replace(
    catalogue: Catalogue, tmp_path: Path, name: str, value: object
) -> None:
    path = bars_csv(tmp_path, range(30))
    catalogue.import_file(path, "X.SIM", "1h")
    with pytest.raises(ConflictError, match=name):
        catalogue.import_file(path, "X.SIM", "1h", **{name: value})  # type: ignore[arg-type]
    catalogue.import_file(path, "X.SIM", "1h", replace=True, **{name: value})  # type: ignore[arg-type]
    assert getattr(catalogue.instrument("X.SIM"), name) == value


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        ({"tick_size": Decimal(0)}, "tick_size"),
        ({"lot_size": Decimal(-1)}, "lot_size"),
        ({"currency": "dollars"}, "currency"),
    ],
)
def test_a_fact_that_makes_no_sense_stores_nothing(
    catalogue: Catalogue, tmp_path: Path, facts: dict[str, object], what: str
) -> None:
    with pytest.raises(InvalidError, match=what):
        catalogue.import_file(bars_csv(tmp_path, range(30)), "X.SIM", "1h", **facts)  # type: ignore[arg-type]
    assert len(catalogue.instruments()) == 2


def test_a_symbol_cannot_leave_the_catalogue(catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="symbol"):
        catalogue.import_file(bars_csv(tmp_path, range(30)), "../../etc.SIM", "1h")
    with pytest.raises(NotFoundError):
        catalogue.bars("../../etc.SIM")


def test_an_import_hides_the_sample_of_its_symbol_and_timeframe(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    catalogue.import_file(bars_csv(tmp_path, range(30)), "EUR/USD.SIM", "1h")
    assert len(catalogue.bars("EUR/USD.SIM")) == 30
    assert catalogue.instrument("EUR/USD.SIM").note == ""
    assert [each.symbol for each in catalogue.instruments()] == ["EUR/USD.SIM", "GOOGL.SIM"]


def test_another_timeframe_of_a_sample_stands_beside_it_and_its_warning_stays(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    catalogue.import_file(bars_csv(tmp_path, range(30)), "EUR/USD.SIM", "30m")
    assert [str(each) for each in catalogue.timeframes("EUR/USD.SIM")] == [
        "30-MINUTE-LAST-EXTERNAL",
        "1-HOUR-LAST-EXTERNAL",
    ]
    assert len(catalogue.bars("EUR/USD.SIM")) == 6_225
    assert "luck" in catalogue.instrument("EUR/USD.SIM").note


def test_loaded_bars_are_shared_until_their_file_changes(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    catalogue.import_file(bars_csv(tmp_path, range(30)), "X.SIM", "1h")
    first = catalogue.bars("X.SIM")
    assert np.shares_memory(first.close, catalogue.bars("X.SIM").close)
    other = Catalogue(tmp_path / "data")
    other.import_file(bars_csv(tmp_path, range(30, 40)), "X.SIM", "1h")
    assert len(catalogue.bars("X.SIM")) == 40
    assert len(first) == 30


@pytest.mark.parametrize("renames", [0, 1])
def test_an_import_cut_short_shows_nothing_and_can_be_repeated(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    rename, left = Path.replace, [renames]

    def cut(self: Path, target: Path) -> Path:
        if left[0] == 0:
            raise OSError("the disk is gone")
        left[0] -= 1
        return rename(self, target)

    path = bars_csv(tmp_path, range(30))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", cut)
        with pytest.raises(OSError, match="the disk is gone"):
            catalogue.import_file(path, "X.SIM", "1h")
    with pytest.raises(NotFoundError):
        catalogue.bars("X.SIM")
    folder = tmp_path / "data" / "catalogue" / "X.SIM"
    (folder / "5-MINUTE-LAST-EXTERNAL.parquet.tmp").touch()
    assert catalogue.import_file(path, "X.SIM", "1h").accepted
    assert len(catalogue.bars("X.SIM")) == 30
    assert sorted(each.name for each in folder.iterdir()) == [
        "1-HOUR-LAST-EXTERNAL.parquet",
        "instrument.json",
    ]


@pytest.mark.parametrize("name", ["1-HOUR-LAST-EXTERNAL.parquet", "instrument.json"])
def test_a_damaged_file_is_named_and_mended_by_replace(
    catalogue: Catalogue, tmp_path: Path, name: str
) -> None:
    path = bars_csv(tmp_path, range(30))
    catalogue.import_file(path, "A/B.SIM", "1h")
    (tmp_path / "data" / "catalogue" / "A%2FB.SIM" / name).write_text("not this")
    with pytest.raises(UnavailableError, match=name):
        catalogue.bars("A/B.SIM")
    catalogue.import_file(path, "A/B.SIM", "1h", replace=True)
    assert len(catalogue.bars("A/B.SIM")) == 30


def test_a_file_that_is_not_ours_does_not_disturb_the_catalogue(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    catalogue.import_file(bars_csv(tmp_path, range(30)), "X.SIM", "1h")
    folder = tmp_path / "data" / "catalogue" / "X.SIM"
    for name in ("notes.parquet", "60-MINUTE-LAST-EXTERNAL.parquet", "x.parquet.tmp"):
        (folder / name).touch()
    assert [str(each) for each in catalogue.timeframes("X.SIM")] == ["1-HOUR-LAST-EXTERNAL"]
    assert len(catalogue.instruments()) == 3


def test_a_folder_shared_by_symbols_of_other_case_is_refused(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    path = bars_csv(tmp_path, range(30))
    catalogue.import_file(path, "abc.SIM", "1h")
    description = tmp_path / "data" / "catalogue" / "abc.SIM" / "instrument.json"
    description.write_text(json.dumps(json.loads(description.read_text()) | {"symbol": "ABC.SIM"}))
    with pytest.raises(ConflictError, match="shares its folder"):
        catalogue.import_file(path, "abc.SIM", "1h")


def test_stored_times_are_utc_nanoseconds_and_numbers_are_doubles(tmp_path: Path) -> None:
    Catalogue(tmp_path).import_file(bars_csv(tmp_path, range(3)), "X.SIM", "1h")
    path = store.Store(tmp_path).path("X.SIM", Timeframe.parse("1h"))
    schema = store.pq.read_schema(path)
    assert [(each.name, str(each.type)) for each in schema] == [
        ("ts", "timestamp[ns, tz=UTC]"),
        *((name, "double") for name in ("open", "high", "low", "close", "volume")),
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(1, 10**9), st.integers(0, 500), st.integers(0, 10**12)),
        min_size=1,
        max_size=40,
    )
)
def test_what_is_imported_is_what_comes_back(
    tmp_path: Path, rows: list[tuple[int, int, int]]
) -> None:
    lines = ["time,o,h,l,c,v"]
    for hour, (ticks, spread, volume) in enumerate(rows):
        low, high = (f"{Decimal(each).scaleb(-5):f}" for each in (ticks, ticks + spread))
        seconds = (MONDAY_NS + hour * HOUR_NS) // 10**9
        lines.append(f"{seconds},{low},{high},{low},{high},{volume}")
    path = tmp_path / "drawn.csv"
    path.write_text("\n".join(lines))
    catalogue = Catalogue(tmp_path)
    tick = Decimal("0.00001")
    report = catalogue.import_file(
        path, "X.SIM", "1h", tick_size=tick, calendar=Calendar.CONTINUOUS, replace=True
    )
    assert report.accepted, report.lines()
    found = Catalogue(tmp_path).bars("X.SIM")
    opened, high, low, closed = (
        np.rint(column / float(tick)).astype(int).tolist()
        for column in (found.open, found.high, found.low, found.close)
    )
    assert found.ts_ns.tolist() == [MONDAY_NS + hour * HOUR_NS for hour in range(len(rows))]
    assert opened == low == [ticks for ticks, _, _ in rows]
    assert closed == high == [ticks + spread for ticks, spread, _ in rows]
    assert found.volume.tolist() == [float(volume) for _, _, volume in rows]


def test_neither_the_import_of_the_service_nor_its_work_imports_pandas(tmp_path: Path) -> None:
    path = bars_csv(tmp_path, range(30))
    program = (
        "import sys, pathlib\n"
        "from strategy_engine.market.service import Catalogue\n"
        "catalogue = Catalogue(pathlib.Path(sys.argv[1]))\n"
        "catalogue.import_file(pathlib.Path(sys.argv[2]), 'X.SIM', '1h')\n"
        "print(len(catalogue.bars('X.SIM')), len(catalogue.bars('EUR/USD.SIM')))\n"
        "print('pandas' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert done.stdout.split() == ["30", "6225", "False"]


def test_the_sample_of_the_euro_begins_and_ends_where_its_page_says(catalogue: Catalogue) -> None:
    bars: Bars = catalogue.bars("EUR/USD.SIM")
    first, last = (clock.from_nanos(int(bars.ts_ns[at])) for at in (0, -1))
    assert first == datetime.fromisoformat("2017-01-01T22:00Z")
    assert last == datetime.fromisoformat("2017-12-29T21:00Z")
    days = np.unique(rules.trading_days(bars.ts_ns, Calendar.FX))
    assert ((days + 3) % 7 < 5).all()
