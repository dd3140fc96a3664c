"""`db upgrade`, `db check` and `db backup` on both databases, and a backup that trades on."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from strategy_engine import examples
from strategy_engine.cli import main
from strategy_engine.infra import backup, database, migrate
from strategy_engine.venue import store

RSI = next(each for each in examples.EXAMPLES if each.name == "RSI mean reversion")

type Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, server: str | None) -> Run:
    def invoke(*words: str, **environment: str) -> Result:
        place = {"DATABASE_URL": server or "", "STRATEGY_DATA_DIR": str(tmp_path)}
        return CliRunner().invoke(main.app, ["db", *words], env=place | environment)

    return invoke


def written(url: str, *statements: sa.Executable) -> None:
    engine = database.sync_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(statement)
    engine.dispose()


def test_upgrading_says_what_it_did_and_checking_finds_nothing(run: Run) -> None:
    first, second, checked = run("upgrade"), run("upgrade"), run("check")

    assert first.stdout.splitlines() == [
        f"control: nothing → {migrate.HEAD}",
        f"ledger: nothing → {migrate.HEAD}",
    ]
    assert second.stdout.count("already") == 2
    assert (checked.exit_code, checked.stderr) == (0, "")
    assert "control: whole" in checked.stdout
    assert "0 executions add up" in checked.stdout


def test_a_schema_that_is_behind_is_told_with_what_to_do(
    run: Run, tmp_path: Path, server: str | None
) -> None:
    run("upgrade")
    url = database.ledger_url(tmp_path, server)
    dialect = "sqlite" if server is None else "postgresql"
    versions = sa.table(migrate.version_table(dialect, "ledger"), sa.column("version_num"))
    written(url, sa.update(versions).values(version_num="0001"))

    checked = run("check")

    assert checked.exit_code == 1
    assert "ledger: its schema is 0001" in checked.stdout
    assert "run `strategy-engine db upgrade`" in checked.stdout


def test_a_ledger_that_does_not_add_up_is_found(
    run: Run, tmp_path: Path, server: str | None
) -> None:
    run("upgrade")
    opening = {
        "execution_id": "exec_1",
        "epoch": 1,
        "entry_no": 1,
        "seq": 3,
        "capital": 1_000,
        "account": {"cash": 5},
        "bar_no": 1,
        "is_decided": True,
        "undelivered": [],
    }
    written(database.ledger_url(tmp_path, server), sa.insert(store.CHECKPOINTS).values(**opening))

    checked = run("check")

    assert checked.exit_code == 1
    assert "exec_1: fills are numbered" in checked.stdout
    assert "exec_1: capital and trades leave cash 1000" in checked.stdout
    assert "report it" in checked.stdout


def test_a_directory_without_a_database_is_refused(tmp_path: Path) -> None:
    place = {"DATABASE_URL": "", "STRATEGY_DATA_DIR": str(tmp_path / "nowhere")}
    for words in (["db", "check"], ["db", "backup"]):
        done = CliRunner().invoke(main.app, words, env=place)
        assert done.exit_code != 0
        assert "holds no database" in done.stderr
    assert not (tmp_path / "nowhere").exists()


def overwritten(raw: bytes) -> bytes:
    return raw[:8_192] + b"\xff" * 12_288 + raw[20_480:]


@pytest.mark.parametrize("file", ["control", "ledger"])
@pytest.mark.parametrize(
    "damage",
    [overwritten, lambda raw: raw[: len(raw) // 2], lambda raw: b"\xff" * 200 + raw[200:]],
    ids=["overwritten", "cut off", "without its head"],
)
def test_a_damaged_file_is_found_and_named(
    tmp_path: Path, file: str, damage: Callable[[bytes], bytes]
) -> None:
    place = {"DATABASE_URL": "", "STRATEGY_DATA_DIR": str(tmp_path)}
    CliRunner().invoke(main.app, ["db", "upgrade"], env=place)
    path = tmp_path / f"{file}.db"
    path.write_bytes(damage(path.read_bytes()))

    done = CliRunner().invoke(main.app, ["db", "check"], env=place)

    assert (done.exit_code, done.stderr) == (1, "")
    (told,) = [line for line in done.stdout.splitlines() if "whole" not in line]
    assert told.startswith(f"{file}: ")
    assert "damaged" in told
    assert told.endswith("restore a backup")


def test_what_is_no_database_is_refused_by_name_where_it_is_to_be_used(tmp_path: Path) -> None:
    place = {"DATABASE_URL": "", "STRATEGY_DATA_DIR": str(tmp_path)}
    CliRunner().invoke(main.app, ["db", "upgrade"], env=place)
    (tmp_path / "control.db").write_bytes(b"\xff" * 8_192)
    for command in ("upgrade", "backup"):
        done = CliRunner().invoke(main.app, ["db", command], env=place)
        assert done.exit_code == 1
        assert "is damaged (file is not a database)" in done.stderr
        assert "report it" not in done.stderr


def test_a_file_that_is_missing_is_found_and_not_made(tmp_path: Path) -> None:
    place = {"DATABASE_URL": "", "STRATEGY_DATA_DIR": str(tmp_path)}
    CliRunner().invoke(main.app, ["db", "upgrade"], env=place)
    (tmp_path / "ledger.db").unlink()

    done = CliRunner().invoke(main.app, ["db", "check"], env=place)

    assert done.exit_code == 1
    assert f"ledger: there is no file {tmp_path / 'ledger.db'}" in done.stdout
    assert not (tmp_path / "ledger.db").exists()


@pytest.mark.soak
def test_an_empty_ledger_is_not_made_beside_executions_that_had_one(
    start_engine: Callable[..., Any], tmp_path: Path
) -> None:
    engine = start_engine(PIPELINE_STAGES="syntax_check")
    trading(engine)
    assert engine.stop() == 0
    for lost, kept in (("ledger", "control"), ("control", "ledger")):
        folder = tmp_path / lost
        folder.mkdir()
        for each in engine.data_dir.glob(f"{kept}.db*"):  # with what is not in the file itself yet
            shutil.copy(each, folder)

        again = start_engine(data_dir=folder, wait=False)

        assert again.process.wait(60) != 0
        assert f"{folder / lost}.db is missing or empty" in again.tail()
        assert not (folder / f"{lost}.db").exists()


def test_a_server_that_would_lose_a_commit_is_told(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    server = new_database()
    with psycopg.connect(server, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())
    place = {"DATABASE_URL": server, "STRATEGY_DATA_DIR": str(tmp_path)}
    CliRunner().invoke(main.app, ["db", "upgrade"], env=place)

    done = CliRunner().invoke(main.app, ["db", "check"], env=place)

    assert done.exit_code == 1
    assert "synchronous_commit is off" in done.stdout
    assert "turn it on" in done.stdout


def test_without_its_program_a_server_cannot_be_copied(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    place = {
        "DATABASE_URL": new_database(),
        "STRATEGY_DATA_DIR": str(tmp_path),
        "PATH": str(tmp_path),
    }
    done = CliRunner().invoke(main.app, ["db", "backup"], env=place)
    assert done.exit_code != 0
    assert "pg_dump is not on the PATH" in done.stderr
    assert list(tmp_path.rglob("*.partial")) == []


def trading(engine: Any) -> str:
    """Return the path of an execution that trades for a while."""
    body = {
        "strategy_name": "Backed up",
        "version": "1.0.0",
        "code": RSI.source(),
        "parameters": dict(RSI.parameters),
        "risk_limits": dict(RSI.risk_limits),
    }
    strategy_id = engine.post("/strategies", body)["strategy_id"]
    pipeline_id = engine.post(f"/strategies/{strategy_id}/deploy")["pipeline_id"]
    engine.until(f"/deployments/{pipeline_id}/status", lambda now: now["status"] == "completed")
    config = {"execution_config": {"speed": 60}}
    path = f"/executions/{engine.post(f'/strategies/{strategy_id}/start', config)['execution_id']}"
    engine.until(path, lambda now: now["fill_count"] >= 2, timeout_s=60)
    return path


def copied(place: dict[str, str], where: Path) -> list[Path]:
    done = CliRunner().invoke(main.app, ["db", "backup", str(where)], env=place)
    assert done.exit_code == 0, done.stderr
    return [Path(line.split("  ")[0]) for line in done.stdout.splitlines()]


def fills_in(url: str, execution_id: str) -> int:
    engine = database.sync_engine(url)
    counted = sa.select(sa.func.count()).where(store.TRADES.c.execution_id == execution_id)
    with database.reading(engine) as connection:
        fills = connection.scalars(counted).one()
    engine.dispose()
    return fills


def assert_goes_on(engine: Any, path: str) -> None:
    before = engine.get(path)["fill_count"]
    now = engine.until(path, lambda now: now["fill_count"] > before, timeout_s=60)
    assert now["status"] == "running"
    engine.stop()
    place = {"STRATEGY_DATA_DIR": str(engine.data_dir), "DATABASE_URL": ""} | engine.environment
    checked = CliRunner().invoke(main.app, ["db", "check"], env=place)
    assert (checked.exit_code, checked.stderr) == (0, ""), checked.stdout


@pytest.mark.soak
def test_a_copy_of_sqlite_files_under_trading_trades_on_where_it_was_taken(
    start_engine: Callable[..., Any], tmp_path: Path
) -> None:
    engine = start_engine(PIPELINE_STAGES="syntax_check", STRATEGY_METRICS_INTERVAL="0.2")
    path = trading(engine)
    place = {"DATABASE_URL": "", "STRATEGY_DATA_DIR": str(engine.data_dir)}

    copies = copied(place, tmp_path)
    fills = engine.get(path)["fill_count"]
    engine.stop()

    assert {each.name for each in copies} == set(backup.SQLITE_FILES)
    restored = tmp_path / "restored"
    restored.mkdir()
    for each in copies:
        shutil.copy(each, restored)
    place["STRATEGY_DATA_DIR"] = str(restored)
    checked = CliRunner().invoke(main.app, ["db", "check"], env=place)
    assert checked.exit_code == 0, checked.stdout
    # Asked before anything trades on it.
    assert 2 <= fills_in(database.ledger_url(restored), path.rpartition("/")[2]) <= fills
    again = start_engine(data_dir=restored, PIPELINE_STAGES="syntax_check")
    assert_goes_on(again, path)


@pytest.mark.soak
def test_a_dump_of_postgresql_under_trading_trades_on_where_it_was_taken(
    start_engine: Callable[..., Any],
    new_database: Callable[[], str],
    postgres_programs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(postgres_programs), prepend=":")
    server, empty = new_database(), new_database()
    engine = start_engine(database_url=server, PIPELINE_STAGES="syntax_check")
    path = trading(engine)
    place = {"DATABASE_URL": server, "STRATEGY_DATA_DIR": str(engine.data_dir)}

    (dump,) = copied(place, tmp_path)
    engine.stop()

    command = ["pg_restore", "--no-owner", "--exit-on-error", f"--dbname={empty}", str(dump)]
    subprocess.run(command, check=True, capture_output=True)
    again = start_engine(database_url=empty, PIPELINE_STAGES="syntax_check")
    assert_goes_on(again, path)
