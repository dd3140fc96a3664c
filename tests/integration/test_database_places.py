"""`db` where its database cannot be used: one line that says what and what to do, and a status."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from typer.testing import CliRunner, Result

from strategy_engine.cli import main

COMMANDS = ("upgrade", "check", "backup")
FAILED, USAGE = 1, 2
WRONG = "wr0ng-s3cret"


def db(*words: str, data_dir: Path, server: str = "") -> Result:
    place = {"DATABASE_URL": server, "STRATEGY_DATA_DIR": str(data_dir)}
    return CliRunner().invoke(main.app, ["db", *words], env=place)


def the_line(done: Result) -> str:
    """Return the one line that a command complained with."""
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.touch()
    return path


@pytest.fixture
def upgraded(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    assert db("upgrade", data_dir=folder).exit_code == 0
    return folder


@pytest.mark.parametrize("below", ["", "below"])
def test_what_is_no_directory_holds_no_database_and_gets_none(file: Path, below: str) -> None:
    where = file / below
    upgraded = db("upgrade", data_dir=where)
    looked = [db(command, data_dir=where) for command in ("check", "backup")]

    assert upgraded.exit_code == USAGE
    assert f"data directory {where} cannot be used" in the_line(upgraded)
    assert "choose another with --data-dir" in upgraded.stderr
    for done in looked:
        assert done.exit_code == FAILED
        assert f"{where} holds no database; name another with --data-dir" in the_line(done)


def test_a_directory_that_cannot_be_made_is_refused_with_the_reason() -> None:
    where = Path("/proc/nowhere")  # not even root makes one there

    done = db("upgrade", data_dir=where)

    assert done.exit_code == USAGE
    assert f"data directory {where} cannot be used" in the_line(done)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_directory_in_a_files_place_is_named(tmp_path: Path, command: str) -> None:
    (tmp_path / "control.db").mkdir()
    (tmp_path / "ledger.db").touch()

    done = db(command, data_dir=tmp_path)

    assert done.exit_code == FAILED
    line = the_line(done)
    assert str(tmp_path) in line
    assert "unable to open database file" in line
    assert "see that it is a file" in line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_directory_that_must_not_be_written_is_named(upgraded: Path, command: str) -> None:
    upgraded.chmod(0o500)
    if os.access(upgraded, os.W_OK):
        pytest.skip("nothing keeps root from writing")
    try:
        done = db(command, data_dir=upgraded)
    finally:
        upgraded.chmod(0o700)

    assert done.exit_code != 0
    assert str(upgraded) in the_line(done)


def test_a_place_that_can_hold_no_backup_is_refused(upgraded: Path, file: Path) -> None:
    for where in (file, file / "below", Path("/proc/nowhere")):
        done = db("backup", str(where), data_dir=upgraded)
        assert done.exit_code == USAGE
        assert f"{where} cannot hold a backup" in the_line(done)
        assert "db backup PATH" in done.stderr


@pytest.mark.parametrize("lost", ["control.db", "ledger.db"])
def test_half_of_what_belongs_together_is_not_copied(upgraded: Path, lost: str) -> None:
    (upgraded / lost).unlink()

    done = db("backup", data_dir=upgraded)

    assert done.exit_code == FAILED
    assert f"{upgraded / lost} is missing" in the_line(done)
    assert [*(upgraded / "backups").iterdir()] == []


@pytest.mark.parametrize(
    "server",
    [
        "postgresql://ada:wr0ng-s3cret@nowhere.invalid/db",
        "postgresql://ada:wr0ng-s3cret@127.0.0.1:1/db",
    ],
    ids=["no such host", "nobody listens"],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_server_that_is_not_there_is_said_without_its_password(
    tmp_path: Path,
    postgres_programs: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    server: str,
) -> None:
    monkeypatch.setenv("PATH", str(postgres_programs), prepend=":")

    done = db(command, data_dir=tmp_path, server=server)

    assert done.exit_code == FAILED
    assert "see that PostgreSQL runs" in the_line(done)
    assert WRONG not in done.output


@pytest.fixture(scope="module")
def guarded(make_postgres: Callable[[], Any]) -> str:
    """Give the URL of a server that asks ada for a password, with a wrong one in it."""
    server = make_postgres()
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE ada LOGIN PASSWORD 'right'")
        rules = connection.execute("SHOW hba_file").fetchone()
        assert rules is not None
        path = Path(rules[0])
        asks = "local all ada scram-sha-256\nhost all ada all scram-sha-256\n"
        path.write_text(asks + path.read_text())
        connection.execute("SELECT pg_reload_conf()")
    parts = urlsplit(server.url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"ada:{WRONG}@{host}"))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_password_is_said_and_not_repeated(
    tmp_path: Path,
    guarded: str,
    postgres_programs: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    monkeypatch.setenv("PATH", str(postgres_programs), prepend=":")

    done = db(command, data_dir=tmp_path, server=guarded)

    assert done.exit_code == FAILED
    line = the_line(done)
    assert "password authentication failed" in line
    assert "user" in line.partition("see that")[2]
    assert WRONG not in done.output


@pytest.mark.parametrize("command", COMMANDS)
def test_a_database_that_the_server_has_not_is_named(
    tmp_path: Path,
    postgres: str,
    postgres_programs: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    monkeypatch.setenv("PATH", str(postgres_programs), prepend=":")
    server = urlunsplit(urlsplit(postgres)._replace(path="/not_there"))

    done = db(command, data_dir=tmp_path, server=server)

    assert done.exit_code == FAILED
    assert '"not_there" does not exist' in the_line(done)
    assert "see that" in done.stderr
