import json
from pathlib import Path
from typing import Any

import pytest

PAIR = "EUR/USD.SIM"
QUOTES = """ts_utc,bid,ask,bid_size,ask_size
2024-01-01T00:00:00Z,1.1,1.2,5,6
2024-01-01T00:00:01Z,1.11,1.21,7,8
"""
TRADES = "ts_utc,price,size\n2024-01-01T00:00:00Z,1.1,5\n"


@pytest.fixture
def import_(run: Any, tmp_path: Path) -> Any:
    def import_it(what: str, content: str, *options: str) -> Any:
        path = tmp_path / "ticks.csv"
        path.write_text(content)
        where = ["--symbol", PAIR, "--data-dir", str(tmp_path)]
        return run("data", f"import-{what}", str(path), *where, *options)

    return import_it


def test_quotes_and_trades_are_reported_and_listed(run: Any, import_: Any, tmp_path: Path) -> None:
    told = import_("quotes", QUOTES)
    assert told.exit_code == 0
    assert told.stdout.splitlines() == [
        "accepted: EUR/USD.SIM, 2 quotes, 2024-01-01 00:00Z to 2024-01-01 00:00:01Z",
        "note: stored 2 quotes",
    ]
    assert import_("trades", TRADES).exit_code == 0
    answer = json.loads(run("data", "list", "--data-dir", str(tmp_path), "--json").stdout)
    rows = {row["timeframe"]: row["bars"] for row in answer["instruments"] if row["symbol"] == PAIR}
    assert rows == {"1-HOUR-LAST-EXTERNAL": 6_225, "quotes": 2, "trades": 1}
    assert answer["problems"] == []


def test_a_refused_file_exits_1_and_names_the_fault(import_: Any) -> None:
    told = import_("quotes", QUOTES.replace("1.1,1.2", "1.3,1.2"))
    assert told.exit_code == 1
    assert "error: 1 impossible quote: row 1" in told.stdout
    again = import_("quotes", QUOTES.replace("1.1,1.2", "1.3,1.2"), "--json")
    assert json.loads(again.stdout)["accepted"] is False


def test_other_rows_are_refused_and_replaced_when_asked(import_: Any) -> None:
    import_("trades", TRADES)
    other = TRADES.replace("1.1,5", "1.2,5")
    refused = import_("trades", other)
    assert refused.exit_code != 0
    assert "differ from those already stored" in refused.stderr
    assert import_("trades", other, "--replace").exit_code == 0


def test_a_directory_that_is_no_catalogue_is_told(run: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    told = run("data", "import-catalog", str(tmp_path / "empty"), "--data-dir", str(tmp_path))
    assert told.exit_code != 0
    assert "holds no instrument that can be traded" in told.stderr


def test_a_linked_directory_that_is_none_is_listed_as_unusable(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRATEGY_CATALOG", str(tmp_path / "nowhere"))
    told = run("data", "list", "--data-dir", str(tmp_path))
    assert told.exit_code == 0
    assert "unusable:" in told.stdout
    assert "there is no folder" in told.stdout
