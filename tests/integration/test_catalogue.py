"""What NautilusTrader's own catalogue writes, read by the engine with pyarrow alone."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy_engine.core.errors import InvalidError, NotFoundError, UnavailableError
from strategy_engine.market.linked import RECHECK_S, LinkedCatalogue
from strategy_engine.market.model import COLUMNS, QUOTE_COLUMNS, TRADE_COLUMNS, Calendar, Timeframe
from strategy_engine.market.service import Catalogue

RUNNER = Path(__file__).parent / "runners" / "native_catalogue.py"
PERPETUAL, PAIR = "BTCUSDT-PERP.BINANCE", "EUR/USD.SIM"
HOURLY = "1-HOUR-LAST-EXTERNAL"
HOUR = 3_600 * 10**9
LENGTHS = {HOURLY: HOUR, "1-HOUR-BID-EXTERNAL": HOUR, "5-MINUTE-MID-INTERNAL": HOUR // 12}
LENGTHS["1-DAY-LAST-EXTERNAL"] = 24 * HOUR
SERIES = [
    (PAIR, HOURLY),
    (PAIR, "1-HOUR-BID-EXTERNAL"),
    (PAIR, "5-MINUTE-MID-INTERNAL"),
    ("AAPL.XNAS", "1-DAY-LAST-EXTERNAL"),
    (PERPETUAL, HOURLY),
    ("ESZ5.GLBX", HOURLY),
]
REFUSED = {
    "ESH6.GLBX": "multiplier 50 is not traded here",
    "QUANTO.BINANCE": "in USDT that settles in BTC is not traded here",
    "BTC/USD.BITMEX": "inverse contract is not traded here: its profit is in BTC",
    "AAPL211217C00150000.OPRA": "OptionContract is not traded here: its exercise",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a catalogue, and what was written to it."""
    folder = tmp_path_factory.mktemp("native")
    subprocess.run([sys.executable, str(RUNNER), str(folder)], check=True, timeout=100)
    return folder


@pytest.fixture(scope="module")
def written(made: Path) -> dict[str, np.ndarray]:
    with np.load(made / "written.npz") as held:
        return dict(held)


@pytest.fixture(scope="module")
def linked(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return Catalogue(tmp_path_factory.mktemp("data"), [made / "catalog"])


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Path:
    """Return a copy of the catalogue that a test may break."""
    return Path(shutil.copytree(made / "catalog", tmp_path / "catalog"))


def only_file(root: Path, *parts: str) -> Path:
    return min((root / "data").joinpath(*parts).glob("*.parquet"))


@pytest.mark.parametrize(("symbol", "timeframe"), SERIES)
def test_bars_are_those_that_were_written_to_the_last_bit(
    linked: Catalogue, written: dict[str, np.ndarray], symbol: str, timeframe: str
) -> None:
    bars = linked.bars(symbol, timeframe)
    rows = np.stack([getattr(bars, name) for name in COLUMNS], axis=1)
    assert np.array_equal(rows, written[f"{symbol}|{timeframe}"])
    assert np.array_equal(bars.close_ns, written[f"{symbol}|{timeframe}|closed"])
    assert bars.timeframe_ns == LENGTHS[timeframe]


def test_instruments_are_listed_with_the_terms_that_were_written(linked: Catalogue) -> None:
    known = {each.symbol: each for each in linked.instruments()}
    assert set(known) == {PAIR, "AAPL.XNAS", PERPETUAL, "ESZ5.GLBX", "GOOGL.SIM"}
    terms = {
        symbol: (str(each.tick_size), str(each.lot_size), each.currency, each.calendar)
        for symbol, each in known.items()
        if each.native
    }
    assert terms == {
        PAIR: ("0.00001", "1", "USD", Calendar.FX),
        "AAPL.XNAS": ("0.01", "1", "USD", Calendar.SESSION),
        PERPETUAL: ("0.1", "0.001", "USDT", Calendar.CONTINUOUS),
        "ESZ5.GLBX": ("0.25", "1", "USD", Calendar.SESSION),
    }
    native = known[PERPETUAL].native
    assert native is not None
    assert (native.class_name, str(native.number("taker_fee"))) == ("CryptoPerpetual", "0.000180")
    assert (known[PAIR].min_lots, known[PERPETUAL].min_lots) == (1_000, 1)
    assert str(known[PAIR].default_timeframe) == HOURLY
    assert [str(each) for each in linked.timeframes(PAIR)] == [
        "5-MINUTE-MID-INTERNAL",
        "1-HOUR-BID-EXTERNAL",
        HOURLY,
    ]


@pytest.mark.parametrize("symbol", REFUSED)
def test_what_our_matching_cannot_do_is_refused_by_name(linked: Catalogue, symbol: str) -> None:
    for ask in (linked.instrument, linked.bars, linked.quotes, linked.timeframes):
        with pytest.raises(InvalidError, match=REFUSED[symbol]) as caught:
            ask(symbol)
        assert symbol in str(caught.value)
    assert any(symbol in str(each) and REFUSED[symbol] in str(each) for each in linked.problems())


def test_bars_that_are_not_of_time_are_named_and_the_others_stay(linked: Catalogue) -> None:
    (problem,) = [str(each) for each in linked.problems() if "100-TICK" in str(each)]
    assert "is not a bar of time" in problem
    assert len(linked.bars(PERPETUAL, HOURLY)) == 96


def test_quotes_and_trades_are_those_that_were_written(
    linked: Catalogue, written: dict[str, np.ndarray]
) -> None:
    quotes, trades = linked.quotes(PERPETUAL), linked.trades(PERPETUAL)
    assert quotes is not None
    assert trades is not None
    rows = np.stack([getattr(quotes, name) for name in QUOTE_COLUMNS], axis=1)
    assert np.array_equal(rows, written["quotes"])
    rows = np.stack([getattr(trades, name) for name in TRADE_COLUMNS], axis=1)
    assert np.array_equal(rows, written["trades"])
    assert np.array_equal(quotes.ts_ns, written["known"])
    assert np.array_equal(trades.ts_ns, written["known"])
    assert linked.quotes(PAIR) is None
    assert linked.trades("GOOGL.SIM") is None


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_range_of_quotes_is_that_of_the_whole(
    linked: Catalogue, written: dict[str, np.ndarray], data: st.DataObject
) -> None:
    known = written["known"]
    moments = st.none() | st.sampled_from(known.tolist()) | st.integers(0, int(known[-1]) + 10)
    start, end = data.draw(moments), data.draw(moments)
    found = linked.quotes(PERPETUAL, start, end)
    assert found is not None
    kept = (known >= (start or 0)) & (known < (2**62 if end is None else end))
    assert np.array_equal(found.ts_ns, known[kept])
    assert np.array_equal(found.bid, written["quotes"][kept][:, 0])


def test_a_range_opens_only_the_files_that_may_hold_it(own: Path, tmp_path: Path) -> None:
    files = sorted((own / "data" / "quote_tick" / PERPETUAL).glob("*.parquet"))
    whole = Catalogue(tmp_path, [own]).quotes(PERPETUAL)
    assert whole is not None
    files[2].write_bytes(b"no file of Parquet")
    catalogue = Catalogue(tmp_path, [own])
    first = catalogue.quotes(PERPETUAL, None, int(whole.ts_ns[1_500]))
    assert first is not None
    assert len(first) == 1_500
    with pytest.raises(UnavailableError, match=files[2].name):
        catalogue.quotes(PERPETUAL)


def test_what_is_written_later_is_seen(own: Path, tmp_path: Path) -> None:
    folder = own / "data" / "trade_tick" / PERPETUAL
    last = max(folder.glob("*.parquet"))
    aside = tmp_path / last.name
    last.rename(aside)
    catalogue = Catalogue(tmp_path, [own])
    before = catalogue.trades(PERPETUAL)
    aside.rename(last)
    after = catalogue.trades(PERPETUAL)
    assert before is not None
    assert after is not None
    assert (len(before), len(after)) == (2_000, 3_000)
    bars = only_file(own, "bar", f"{PERPETUAL}-{HOURLY}")
    assert len(catalogue.bars(PERPETUAL)) == 96
    table = pq.read_table(bars)
    pq.write_table(table.slice(0, 50), bars)
    assert len(catalogue.bars(PERPETUAL)) == 50


def test_an_instrument_that_is_written_later_is_listed_after_a_moment(own: Path) -> None:
    aside = (own / "data" / "equity").rename(own / "aside")
    now = [0.0]
    linked_ = LinkedCatalogue(own, monotonic_s=lambda: now[0])
    assert linked_.symbols() == [PERPETUAL, "ESZ5.GLBX", PAIR]
    aside.rename(own / "data" / "equity")
    assert linked_.symbols() == [PERPETUAL, "ESZ5.GLBX", PAIR]
    now[0] = RECHECK_S
    assert linked_.symbols() == ["AAPL.XNAS", PERPETUAL, "ESZ5.GLBX", PAIR]


def test_what_does_not_belong_is_left_alone_and_what_goes_is_told(own: Path) -> None:
    (own / "data" / "bar" / "README.txt").write_text("ours")
    (own / "data" / "funding_rate_update" / PERPETUAL).mkdir(parents=True)
    linked_ = LinkedCatalogue(own, monotonic_s=lambda: 0.0)
    hourly = Timeframe.parse("1h")
    assert len(linked_.bars(PERPETUAL, hourly)) == 96
    shutil.rmtree(own / "data")
    with pytest.raises(UnavailableError, match=f"the bars {HOURLY} of {PERPETUAL} have gone"):
        linked_.bars(PERPETUAL, hourly)
    again = LinkedCatalogue(own)
    with pytest.raises(UnavailableError, match=f"{PERPETUAL} has gone"):
        again.described(PERPETUAL)


def fixed(value: int) -> bytes:
    return value.to_bytes(16, "little", signed=True)


def with_column(name: str, change: Callable[[list[Any]], list[Any]]) -> Callable[[pa.Table], Any]:
    def changed(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index(name)
        field = pa.field(name, table.schema.types[at])
        values = pa.array(change(table.column(name).to_pylist()), field.type)
        return table.set_column(at, field, values)

    return changed


def with_type(name: str, kind: pa.DataType) -> Callable[[pa.Table], Any]:
    def changed(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index(name)
        return table.set_column(at, name, pa.array([1] * len(table), kind))

    return changed


def without_metadata(name: str) -> Callable[[pa.Table], Any]:
    def changed(table: pa.Table) -> pa.Table:
        kept = {key: value for key, value in table.schema.metadata.items() if key != name.encode()}
        return table.replace_schema_metadata(kept)

    return changed


def swapped(values: list[Any]) -> list[Any]:
    return [values[1], values[0], *values[2:]]


BAD_BARS = {
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:300]), "[Pp]arquet"),
    "empty": (lambda path: path.write_bytes(b""), "[Pp]arquet|size is 0"),
    "no close": (lambda table: table.drop_columns(["close"]), "it has no column close"),
    "no precision": (without_metadata("price_precision"), "does not tell price_precision"),
    "floats": (with_type("high", pa.float64()), "column high: values are double"),
    "text times": (with_type("ts_init", pa.int32()), "times are int32, not nanoseconds"),
    "nulls": (with_column("low", lambda values: [None, *values[1:]]), "column low: 1 values are"),
    "too fine": (
        with_column("open", lambda values: [fixed(11 * 10**15 + 5 * 10**10), *values[1:]]),
        "column open: .* more than the 5 decimals",
    ),
    "undefined": (
        with_column("open", lambda values: [fixed(2**127 - 1), *values[1:]]),
        "beyond any price",
    ),
    "low above high": (
        with_column("high", lambda values: [fixed(10**15), *values[1:]]),
        "1 impossible bar: row 1 .*high 0.1 is below low",
    ),
    "unsorted": (
        lambda table: with_column("ts_init", swapped)(with_column("ts_event", swapped)(table)),
        "1 row out of time order: row 2",
    ),
    "twice": (lambda table: pa.concat_tables([table, table.slice(95)]), "1 duplicate time: row 97"),
    "off the hour": (
        with_column("ts_event", lambda values: [values[0] - 7, *values[1:]]),
        "1 time off the timeframe: row 1",
    ),
    "negative": (
        with_column("volume", lambda values: [fixed(-(10**16)), *values[1:]]),
        "volume -1.0 is negative",
    ),
}


def broken(path: Path, breaking: Callable[[Any], Any]) -> None:
    """Break a file by its bytes, or the table in it."""
    if path.stat().st_size and breaking in (BAD_BARS["cut off"][0], BAD_BARS["empty"][0]):
        breaking(path)
        return
    pq.write_table(breaking(pq.read_table(path)), path)


@pytest.mark.parametrize("fault", BAD_BARS)
def test_a_file_that_cannot_be_believed_is_named_and_the_rest_stays_usable(
    own: Path, tmp_path: Path, fault: str
) -> None:
    breaking, says = BAD_BARS[fault]
    path = only_file(own, "bar", f"EURUSD.SIM-{HOURLY}")
    broken(path, breaking)
    catalogue = Catalogue(tmp_path / "data", [own])
    told = [str(each) for each in catalogue.problems()]
    if any(str(path) in each for each in told):  # it does not even tell what it holds
        assert HOURLY not in [str(each) for each in catalogue.timeframes(PAIR)]
        with pytest.raises(NotFoundError, match=HOURLY):
            catalogue.bars(PAIR, HOURLY)
    else:
        with pytest.raises(UnavailableError, match=says) as caught:
            catalogue.bars(PAIR, HOURLY)
        assert str(caught.value).startswith(f"{path}: ")
    assert len(catalogue.bars(PAIR, "1-HOUR-BID-EXTERNAL")) == 96
    assert len(catalogue.bars(PERPETUAL, HOURLY)) == 96


@pytest.mark.parametrize(
    ("breaking", "says"),
    [
        (with_column("ts_init", swapped), "1 row out of time order: row 2"),
        (
            with_column("bid_price", lambda values: [fixed(10**21), *values[1:]]),
            "1 impossible quote: row 1 .*bid 100000.0 is above ask",
        ),
        (
            with_column("ask_price", lambda values: [fixed(0), *values[1:]]),
            "ask 0.0 is not positive",
        ),
    ],
)
def test_quotes_that_cannot_be_are_refused_with_their_file(
    own: Path, tmp_path: Path, breaking: Callable[[pa.Table], Any], says: str
) -> None:
    path = only_file(own, "quote_tick", PERPETUAL)
    pq.write_table(breaking(pq.read_table(path)), path)
    catalogue = Catalogue(tmp_path / "data", [own])
    with pytest.raises(UnavailableError, match=says) as caught:
        catalogue.quotes(PERPETUAL)
    assert str(caught.value).startswith(f"{path}: ")
    assert catalogue.trades(PERPETUAL) is not None


def test_the_file_of_a_fault_among_several_is_the_one_that_is_named(
    own: Path, tmp_path: Path
) -> None:
    path = only_file(own, "bar", f"{PERPETUAL}-{HOURLY}")
    table = pq.read_table(path)
    parts = [table.slice(0, 40), table.slice(40, 30), table.slice(70)]
    parts[1] = with_column("high", lambda values: [fixed(10**15), *values[1:]])(parts[1])
    path.unlink()
    for number, part in enumerate(parts):
        pq.write_table(part, path.with_name(f"part-{number}.parquet"))
    catalogue = Catalogue(tmp_path / "data", [own])
    with pytest.raises(UnavailableError, match=r"part-1\.parquet: 1 impossible bar: row 41 "):
        catalogue.bars(PERPETUAL)


def test_bars_after_the_end_of_a_contract_are_refused(own: Path, tmp_path: Path) -> None:
    path = only_file(own, "futures_contract", "ESZ5.GLBX")
    ended = with_column("expiration_ns", lambda values: [1_736_160_000 * 10**9])
    pq.write_table(ended(pq.read_table(path)), path)
    catalogue = Catalogue(tmp_path / "data", [own])
    with pytest.raises(UnavailableError, match=r"14 rows are after ESZ5\.GLBX expired at 2025"):
        catalogue.bars("ESZ5.GLBX")


def test_data_of_no_instrument_and_an_instrument_of_no_data_are_named(
    own: Path, tmp_path: Path
) -> None:
    shutil.rmtree(own / "data" / "equity")
    shutil.rmtree(own / "data" / "bar" / f"ESZ5.GLBX-{HOURLY}")
    catalogue = Catalogue(tmp_path / "data", [own])
    told = "; ".join(str(each) for each in catalogue.problems())
    assert "AAPL.XNAS: there is data of it, but no instrument" in told
    assert "ESZ5.GLBX: there are no bars of it by time" in told
    assert {each.symbol for each in catalogue.instruments()} == {PAIR, PERPETUAL, "GOOGL.SIM"}


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_directory_that_is_no_catalogue_is_a_problem_and_no_more(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "empty").mkdir()
    catalogue = Catalogue(tmp_path / "data", [tmp_path / name])
    (problem,) = catalogue.problems()
    assert f"{tmp_path / name}: there is no folder `data` here" in str(problem)
    assert [each.symbol for each in catalogue.instruments()] == [PAIR, "GOOGL.SIM"]
    with pytest.raises((NotFoundError, InvalidError), match=name):
        catalogue.import_catalogue(tmp_path / name)


def test_standard_precision_is_read_as_high_precision_is(own: Path, tmp_path: Path) -> None:
    path = only_file(own, "bar", f"{PERPETUAL}-{HOURLY}")
    whole = Catalogue(tmp_path / "a", [own]).bars(PERPETUAL)
    table = pq.read_table(path)
    for at, name in enumerate(COLUMNS):
        raw = (int.from_bytes(each, "little") for each in table.column(name).to_pylist())
        short = [(each // 10**7).to_bytes(8, "little") for each in raw]
        table = table.set_column(at, name, pa.array(short, pa.binary(8)))
    pq.write_table(table, path)
    again = Catalogue(tmp_path / "b", [own]).bars(PERPETUAL)
    for name in ("ts_ns", *COLUMNS):
        assert np.array_equal(getattr(again, name), getattr(whole, name))


def test_a_linked_symbol_hides_the_sample_of_its_name(linked: Catalogue, tmp_path: Path) -> None:
    assert len(linked.bars(PAIR)) == 96
    assert linked.instrument(PAIR).note == ""
    assert "luck" in Catalogue(tmp_path).instrument(PAIR).note


def test_an_import_goes_before_what_is_linked(made: Path, tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path, [made / "catalog"])
    lines = ["ts_utc,open,high,low,close,volume", "2025-01-06T00:00:00Z,1,1,1,1,5"]
    (tmp_path / "bars.csv").write_text("\n".join(lines))
    report = catalogue.import_file(tmp_path / "bars.csv", PAIR, "1h")
    assert report.tick_size == linked_tick(made, tmp_path)
    assert len(catalogue.bars(PAIR, HOURLY)) == 1
    assert len(catalogue.bars(PAIR, "1-HOUR-BID-EXTERNAL")) == 96
    native = catalogue.instrument(PAIR).native
    assert native is not None
    assert native.class_name == "CurrencyPair"


def linked_tick(made: Path, tmp_path: Path) -> Any:
    return Catalogue(tmp_path / "other", [made / "catalog"]).instrument(PAIR).tick_size


def test_a_copy_is_whole_and_outlives_its_source(
    own: Path, tmp_path: Path, linked: Catalogue
) -> None:
    catalogue = Catalogue(tmp_path / "data")
    done = catalogue.import_catalogue(own)
    failed = [str(each) for each in done if not each.accepted]
    assert len(failed) == len(REFUSED) + 1
    assert len(done) == len(failed) + len(SERIES) + 2
    shutil.rmtree(own)
    for symbol, timeframe in SERIES:
        mine, source = catalogue.bars(symbol, timeframe), linked.bars(symbol, timeframe)
        assert np.array_equal(mine.close, source.close)
        assert np.array_equal(mine.ts_ns, source.ts_ns)
        assert catalogue.instrument(symbol) == linked.instrument(symbol)
    quotes, source_quotes = catalogue.quotes(PERPETUAL), linked.quotes(PERPETUAL)
    assert quotes is not None
    assert source_quotes is not None
    assert np.array_equal(quotes.ask_size, source_quotes.ask_size)
    again = catalogue.quotes(PERPETUAL)
    assert again is not None
    assert quotes.ask.base is not None
    assert not quotes.ask.flags.writeable


def test_a_second_copy_adds_nothing_and_another_history_is_refused(
    own: Path, tmp_path: Path
) -> None:
    catalogue = Catalogue(tmp_path / "data")
    catalogue.import_catalogue(own, [PERPETUAL])
    notes = [each.note for each in catalogue.import_catalogue(own, [PERPETUAL])]
    assert [note.split(" after ")[0] for note in notes] == [
        "added 0 bars",
        "added 0 quotes",
        "added 0 trades",
    ]
    path = only_file(own, "bar", f"{PERPETUAL}-{HOURLY}")
    table = pq.read_table(path)
    raised = [(int.from_bytes(each, "little") + 10**15) for each in table["high"].to_pylist()]
    pq.write_table(with_column("high", lambda _: [fixed(each) for each in raised])(table), path)
    bars, quotes, _ = catalogue.import_catalogue(own, [PERPETUAL])
    assert (bars.accepted, quotes.accepted) == (False, True)
    assert "96 bars differ from those already stored" in bars.note
    replaced = catalogue.import_catalogue(own, [PERPETUAL], replace=True)
    assert all(each.accepted for each in replaced)
    assert np.array_equal(catalogue.bars(PERPETUAL).high, np.array(raised) / 1e16)


def test_a_copy_over_other_terms_is_refused_unless_asked(made: Path, tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    lines = ["ts_utc,open,high,low,close,volume", "2024-01-02T00:00:00Z,1,1,1,1,5"]
    (tmp_path / "bars.csv").write_text("\n".join(lines))
    catalogue.import_file(tmp_path / "bars.csv", PAIR, "1d", currency="EUR", calendar=Calendar.FX)
    done = catalogue.import_catalogue(made / "catalog", [PAIR])
    assert not any(each.accepted for each in done)
    assert "is stored with currency EUR, and is USD there" in done[0].note


@pytest.mark.parametrize("symbol", REFUSED)
def test_a_copy_of_what_cannot_be_traded_says_why(made: Path, tmp_path: Path, symbol: str) -> None:
    with pytest.raises(InvalidError, match=REFUSED[symbol]):
        Catalogue(tmp_path).import_catalogue(made / "catalog", [symbol])
    with pytest.raises(NotFoundError, match=r"there is no XYZ\.SIM in"):
        Catalogue(tmp_path).import_catalogue(made / "catalog", ["XYZ.SIM"])


READ = """
import json, sys
from pathlib import Path
from strategy_engine.market.service import Catalogue
held = Catalogue(Path(sys.argv[1]), [Path(sys.argv[2])])
rows = {each.symbol: len(held.bars(each.symbol)) for each in held.instruments()}
rows["quotes"] = len(held.quotes("BTCUSDT-PERP.BINANCE"))
held.import_catalogue(Path(sys.argv[2]))
loaded = {name.partition(".")[0] for name in sys.modules}
print(json.dumps({"rows": rows, "heavy": sorted(loaded & {"nautilus_trader", "pandas"})}))
"""


def test_reading_and_copying_import_neither_nautilus_trader_nor_pandas(
    made: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path), str(made / "catalog")],
        check=True,
        capture_output=True,
        timeout=60,
    )
    told = json.loads(done.stdout)
    assert told["heavy"] == []
    assert told["rows"][PERPETUAL] == 96
    assert told["rows"]["quotes"] == 3_000


def test_a_child_makes_the_very_instrument_of_the_catalogue(linked: Catalogue) -> None:
    from strategy_engine.core import money
    from strategy_engine.kernel.native.instruments import Listings
    from strategy_engine.sandbox.protocol import messages

    seen = {}
    for each in linked.instruments():
        if each.native is None:
            continue
        contract = messages.Contract(
            symbol=each.symbol,
            tick_nanos=money.to_nanos(each.tick_size),
            lot_nanos=money.to_nanos(each.lot_size),
            currency=each.currency,
            min_lots=each.min_lots,
            native=messages.NativeInstrument(
                class_name=each.native.class_name, fields=each.native.fields
            ),
        )
        made = Listings([contract], HOURLY).all[0].instrument
        seen[str(made.id)] = type(made).__name__, str(made.price_increment)
    assert seen == {
        PAIR: ("CurrencyPair", "0.00001"),
        "AAPL.XNAS": ("Equity", "0.01"),
        PERPETUAL: ("CryptoPerpetual", "0.1"),
        "ESZ5.GLBX": ("FuturesContract", "0.25"),
    }


def test_a_command_copies_a_catalogue_and_exits_1_when_nothing_can_be_used(
    made: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "strategy_engine.cli.main", "data"]
    where = ["--data-dir", str(tmp_path)]

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *words, *where],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=os.environ | environment,
        )

    copied = run("import-catalog", str(made / "catalog"), "--symbol", PERPETUAL, "--json")
    assert copied.returncode == 0, copied.stderr
    assert [each["what"] for each in json.loads(copied.stdout)["series"]] == [
        HOURLY,
        "quotes",
        "trades",
    ]
    listed = run("list", "--json", STRATEGY_CATALOG=str(made / "catalog"))
    told = json.loads(listed.stdout)
    assert {each["native"] for each in told["instruments"] if each["symbol"] == "AAPL.XNAS"} == {
        "Equity"
    }
    assert len(told["problems"]) == len(REFUSED) + 1
    refused = run("import-catalog", str(tmp_path / "nowhere"))
    assert refused.returncode != 0
    assert "there is no directory" in refused.stderr


def test_an_engine_serves_what_its_setting_links(
    made: Path, start_engine: Callable[..., Any]
) -> None:
    engine = start_engine(STRATEGY_CATALOG=f"{made / 'catalog'}{os.pathsep}/nowhere")
    told = engine.get("/instruments")
    assert {each["symbol"]: each["native_class"] for each in told["instruments"]} == {
        "AAPL.XNAS": "Equity",
        PERPETUAL: "CryptoPerpetual",
        "ESZ5.GLBX": "FuturesContract",
        PAIR: "CurrencyPair",
        "GOOGL.SIM": "",
    }
    assert any("/nowhere: there is no folder" in each for each in told["problems"])
    assert engine.get(f"/instruments/{PERPETUAL}/bars")["count"] == 96
    assert engine.get(f"/instruments/{PERPETUAL}/quotes?limit=7")["count"] == 7
    status, problem = engine.call("GET", "/instruments/BTC/USD.BITMEX/bars")
    assert status == 422
    assert "inverse contract" in problem["detail"]
