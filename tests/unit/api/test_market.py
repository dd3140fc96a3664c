"""Instruments and bars over HTTP."""

from typing import Any

import httpx
import pytest


async def test_instruments_are_listed_with_their_timeframes(client: httpx.AsyncClient) -> None:
    body = (await client.get("/instruments")).json()

    assert body["count"] == 2
    assert body["instruments"][1] == {
        "symbol": "EUR/USD.SIM",
        "venue": "SIM",
        "currency": "USD",
        "tick_size": 0.00001,
        "lot_size": 1.0,
        "calendar": "fx",
        "default_timeframe": "1-HOUR-LAST-EXTERNAL",
        "timeframes": ["1-HOUR-LAST-EXTERNAL"],
        "note": "",
        "native_class": "",
    }


@pytest.mark.parametrize("symbol", ["EUR/USD.SIM", "EUR%2FUSD.SIM", "AAPL.SIM"])
async def test_a_symbol_may_hold_a_slash_as_it_is_or_quoted(
    client: httpx.AsyncClient, symbol: str
) -> None:
    answer = await client.get(f"/instruments/{symbol}/bars")

    assert answer.status_code == 200
    assert answer.json()["symbol"] == symbol.replace("%2F", "/")
    assert answer.json()["count"] == 10


async def test_bars_are_cut_by_time_and_limit(client: httpx.AsyncClient) -> None:
    params: dict[str, Any] = {"start": "1970-01-01T02:00:00Z", "end": "1970-01-01T06:00:00Z"}

    body = (await client.get("/instruments/AAPL.SIM/bars", params=params | {"limit": 2})).json()

    assert [each["timestamp"] for each in body["bars"]] == [
        "1970-01-01T04:00:00Z",
        "1970-01-01T05:00:00Z",
    ]
    assert body["timeframe"] == "1-HOUR-LAST-EXTERNAL"


async def test_a_volume_that_nobody_knows_is_null(client: httpx.AsyncClient) -> None:
    body = (await client.get("/instruments/AAPL.SIM/bars")).json()
    assert body["bars"][0]["volume"] is None


@pytest.mark.parametrize("timeframe", ["1h", "60m", "1-HOUR-LAST-EXTERNAL"])
async def test_a_timeframe_has_many_spellings(client: httpx.AsyncClient, timeframe: str) -> None:
    answer = await client.get("/instruments/AAPL.SIM/bars", params={"timeframe": timeframe})
    assert answer.json()["timeframe"] == "1-HOUR-LAST-EXTERNAL"


@pytest.mark.parametrize(
    ("symbol", "timeframe", "status", "field"),
    [
        ("NOBODY.SIM", "1h", 404, "symbol"),
        ("AAPL.SIM", "1d", 404, "timeframe"),
        ("AAPL.SIM", "yearly", 422, "timeframe"),
    ],
)
async def test_what_is_not_there_is_named(
    client: httpx.AsyncClient, symbol: str, timeframe: str, status: int, field: str
) -> None:
    answer = await client.get(f"/instruments/{symbol}/bars", params={"timeframe": timeframe})
    assert answer.status_code == status
    assert answer.json()["field"] == field
