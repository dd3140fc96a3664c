import json
from pathlib import Path
from typing import Any

import pytest

GOOD = """timestamp,open,high,low,close,volume
2024-01-01T00:00:00Z,100.0,101.0,99.0,100.5,10
2024-01-01T01:00:00Z,100.5,102.0,100.0,101.5,12
2024-01-01T02:00:00Z,101.5,101.5,100.5,101.0,9
"""
BAD = GOOD.replace("100.5,102.0,100.0", "100.5,90.0,100.0")


@pytest.fixture
def import_(run: Any, tmp_path: Path) -> Any:
    def import_it(content: str, *options: str) -> Any:
        path = tmp_path / "bars.csv"
        path.write_text(content)
        where = ["--symbol", "BTC/USDT.TEST", "--timeframe", "1h"]
        return run("data", "import", str(path), *where, "--data-dir", str(tmp_path), *options)

    return import_it


def listed(run: Any, tmp_path: Path) -> list[dict[str, Any]]:
    answer = json.loads(run("data", "list", "--data-dir", str(tmp_path), "--json").stdout)
    rows: list[dict[str, Any]] = answer["instruments"]
    return rows


def test_an_accepted_file_is_reported_and_listed(run: Any, import_: Any, tmp_path: Path) -> None:
    told = import_(GOOD, "--calendar", "continuous", "--tick-size", "0.5", "--currency", "USDT")

    assert told.exit_code == 0
    assert told.stdout.startswith("accepted: BTC/USDT.TEST 1-HOUR-LAST-EXTERNAL, 3 bars")
    row = next(each for each in listed(run, tmp_path) if each["symbol"] == "BTC/USDT.TEST")
    assert (row["bars"], row["tick"], row["calendar"]) == (3, "0.5", "continuous")
    assert row["currency"] == "USDT"


def test_a_refused_file_exits_1_names_the_fault_and_stores_nothing(
    run: Any, import_: Any, tmp_path: Path
) -> None:
    told = import_(BAD)

    assert told.exit_code == 1
    assert "error: 1 impossible bar" in told.stdout
    assert "BTC/USDT.TEST" not in [each["symbol"] for each in listed(run, tmp_path)]


def test_a_report_as_json_says_whether_it_was_accepted(import_: Any) -> None:
    assert json.loads(import_(BAD, "--json").stdout)["accepted"] is False
    assert json.loads(import_(GOOD, "--json").stdout)["accepted"] is True


def test_other_bars_are_not_overwritten_without_replace(import_: Any) -> None:
    import_(GOOD)
    changed = GOOD.replace("100.5,10\n", "100.0,10\n")

    assert import_(changed).exit_code == 1
    assert import_(changed, "--replace").exit_code == 0


@pytest.mark.parametrize(
    "options",
    [["--tick-size", "small"], ["--calendar", "lunar"], ["--timeframe", "7x"]],
    ids=" ".join,
)
def test_an_import_asked_wrongly_exits_2(import_: Any, options: list[str]) -> None:
    told = import_(GOOD, *options)

    assert told.exit_code == 2
    assert told.stderr != ""


def test_the_samples_are_listed_with_their_warnings(run: Any, tmp_path: Path) -> None:
    told = run("data", "list", "--data-dir", str(tmp_path)).stdout

    assert "EUR/USD.SIM" in told
    assert "One good year is luck" in " ".join(told.split())


@pytest.mark.parametrize("option", ["--tick-size", "--lot-size"])
@pytest.mark.parametrize("number", ["nan", "inf", "-Infinity", "sNaN", "1e400", "1e30", "-1", "0"])
def test_a_step_that_is_no_usable_number_is_asked_wrongly(
    import_: Any, option: str, number: str
) -> None:
    told = import_(GOOD, option, number)

    assert told.exit_code == 2
    assert option.strip("-").replace("-", "_") in told.stderr.replace("-", "_")
    assert "fault of this program" not in told.stderr


@pytest.mark.parametrize("options", [[], ["--tick-size", "0.25"]], ids=["bars", "tick"])
def test_a_conflict_with_what_is_stored_names_the_option_that_resolves_it(
    import_: Any, options: list[str]
) -> None:
    import_(GOOD)

    told = import_(GOOD.replace("100.5,10\n", "100.0,10\n"), *options)

    assert told.exit_code == 1
    assert "--replace" in told.stderr
    assert "replace=True" not in told.stderr


def test_a_directory_is_called_one(run: Any, tmp_path: Path) -> None:
    where = ["--symbol", "BTC/USDT.TEST", "--timeframe", "1h", "--data-dir", str(tmp_path)]

    told = run("data", "import", str(tmp_path), *where)

    assert told.exit_code == 2
    assert f"{tmp_path} is a directory" in told.stderr
