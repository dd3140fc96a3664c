"""Files of bars, quotes and trades over HTTP."""

from pathlib import Path
from typing import Any

import httpx
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from strategy_engine.api import edges, example_readings

QUOTES = """ts_utc,bid,ask,bid_size,ask_size
2024-01-01T00:00:00Z,1.1,1.2,5,6
2024-01-01T00:00:01Z,1.11,1.21,7,8
"""
TRADES = "ts_utc,price,size\n2024-01-01T00:00:00Z,1.1,5\n2024-01-01T00:00:01Z,1.2,6\n"
BARS = """ts_utc,open,high,low,close,volume
2024-01-02T00:00:00Z,1.1,1.3,1.0,1.2,10
2024-01-02T01:00:00Z,1.2,1.3,1.1,1.25,12
"""
PAIR = "/instruments/EUR/USD.SIM"


async def test_quotes_that_were_sent_are_read_back(client: httpx.AsyncClient) -> None:
    told = await client.post(f"{PAIR}/quotes", content=QUOTES)

    assert told.status_code == 200
    assert told.json()["lines"][0].startswith("accepted: EUR/USD.SIM, 2 quotes")
    body = (await client.get(f"{PAIR}/quotes", params={"limit": 1})).json()
    assert body == {
        "symbol": "EUR/USD.SIM",
        "quotes": [
            {
                "timestamp": "2024-01-01T00:00:01Z",
                "bid": 1.11,
                "ask": 1.21,
                "bid_size": 7.0,
                "ask_size": 8.0,
            }
        ],
        "count": 1,
    }


async def test_trades_are_cut_by_time(client: httpx.AsyncClient) -> None:
    await client.post(f"{PAIR}/trades", content=TRADES)
    params = {"end": "2024-01-01T00:00:01Z"}
    body = (await client.get(f"{PAIR}/trades", params=params)).json()
    assert [each["price"] for each in body["trades"]] == [1.1]


async def test_a_parquet_file_is_told_by_its_content(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    (tmp_path / "q.csv").write_text(QUOTES)
    pq.write_table(pacsv.read_csv(tmp_path / "q.csv"), tmp_path / "q.parquet")
    sent = (tmp_path / "q.parquet").read_bytes()
    told = await client.post(f"{PAIR}/quotes", content=sent)
    assert told.status_code == 200
    assert told.json()["rows"] == 2


async def test_bars_are_imported_with_what_is_declared(client: httpx.AsyncClient) -> None:
    params = {"timeframe": "1h", "calendar": "fx", "tick_size": "0.00001", "currency": "CHF"}
    told = await client.post("/instruments/EUR/CHF.MINE/bars", params=params, content=BARS)
    assert told.status_code == 200
    assert (told.json()["what"], told.json()["rows"]) == ("1-HOUR-LAST-EXTERNAL", 2)
    again = await client.post(
        "/instruments/EUR/CHF.MINE/bars", params=params | {"currency": "USD"}, content=BARS
    )
    assert again.status_code == 409
    assert "currency CHF, not USD" in again.json()["detail"]


@pytest.mark.parametrize(
    ("what", "sent", "says"),
    [
        ("quotes", QUOTES.replace("1.1,1.2", "1.3,1.2"), "bid 1.3 is above ask 1.2"),
        ("quotes", "", "no column for ts"),
        ("quotes", TRADES, "no column for bid"),
        ("trades", TRADES.replace("1.1", "-1.1"), "price -1.1 is not positive"),
        ("trades", "PAR1 but not really", "cannot be read as CSV or Parquet"),
    ],
)
async def test_a_file_that_is_refused_is_told_why_and_stores_nothing(
    client: httpx.AsyncClient, what: str, sent: str, says: str
) -> None:
    told = await client.post(f"{PAIR}/{what}", content=sent)

    assert told.status_code == 422
    assert says in told.json()["detail"]
    nothing = await client.get(f"{PAIR}/{what}")
    assert nothing.status_code == 404
    assert f"no {what} of EUR/USD.SIM" in nothing.json()["detail"]


async def test_ticks_of_an_instrument_without_bars_are_refused(client: httpx.AsyncClient) -> None:
    told = await client.post("/instruments/NEW.SIM/trades", content=TRADES)
    assert told.status_code == 404
    assert "import a CSV or Parquet file of its bars" in told.json()["detail"]


async def test_other_rows_are_not_overwritten_unless_asked(client: httpx.AsyncClient) -> None:
    await client.post(f"{PAIR}/trades", content=TRADES)
    other = TRADES.replace("1.2,6", "1.3,6")
    assert (await client.post(f"{PAIR}/trades", content=other)).status_code == 409
    replaced = await client.post(f"{PAIR}/trades", content=other, params={"replace": True})
    assert replaced.status_code == 200


async def test_a_file_may_be_larger_than_another_body(client: httpx.AsyncClient) -> None:
    rows = edges.MAX_BODY_BYTES // len("2024-01-01T00:00:00Z,1.1,5\n") + 1
    sent = "ts_utc,price,size\n" + "2024-01-01T00:00:00Z,1.1,5\n" * rows
    assert len(sent) > edges.MAX_BODY_BYTES
    told = await client.post(f"{PAIR}/trades", content=sent)
    assert told.status_code == 200
    assert told.json()["rows"] == rows


async def test_a_file_beyond_the_limit_is_refused_by_its_length(client: httpx.AsyncClient) -> None:
    headers = {"content-length": str(edges.MAX_IMPORT_BYTES + 1)}
    told = await client.post(f"{PAIR}/trades", content=b"x", headers=headers)
    assert told.status_code == 413
    assert "67,108,864 bytes" in told.json()["detail"]


async def test_what_cannot_be_used_is_told_with_the_instruments(client: httpx.AsyncClient) -> None:
    body = (await client.get("/instruments")).json()
    assert body["problems"] == ["/data/bar/X: its metadata does not tell bar_type"]


@pytest.mark.parametrize("example", ["BARS_CSV", "QUOTES_CSV", "TRADES_CSV"])
async def test_the_examples_are_accepted(client: httpx.AsyncClient, example: str) -> None:
    what = example.partition("_")[0].lower()
    params: dict[str, Any] = {"timeframe": "1h", "tick_size": "0.01"} if what == "bars" else {}
    symbol = "/instruments/NEW.SIM" if what == "bars" else PAIR
    told = await client.post(
        f"{symbol}/{what}", content=getattr(example_readings, example), params=params
    )
    assert told.status_code == 200, told.text
