"""Copies of the databases of one moment, while the engine runs."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from strategy_engine.core.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from strategy_engine.infra import outages, urls

SQLITE_FILES = ("control.db", "ledger.db", "workflows.db")
_TOGETHER = ("control.db", "ledger.db")  # the third is made again where it is missing
DUMP = "database.dump"
DUMP_PROGRAM = "pg_dump"
_BUSY_S = 30.0
_PAGES = 2_000  # copied at a time
_SHOWN = 500


def take(data_dir: Path, server: str | None, folder: Path, at: datetime) -> list[Path]:
    """Copy every database into a dated directory below `folder`; return the copies.

    Raises
    ------
    NotFoundError
        If there is nothing to copy, or only one of two files that belong together.
    ConflictError
        If a backup of the same second is there already.
    InvalidError
        If `folder` cannot hold it.
    DatabaseAwayError, UnavailableError
        If a database cannot be read, or PostgreSQL's own program is missing or fails.
    """
    target = folder / f"strategy-engine-{at:%Y%m%dT%H%M%SZ}"
    if target.exists():
        raise ConflictError(f"{target} is there already; try again in a second", value=str(target))
    partial = target.with_suffix(".partial")
    _make(partial)
    try:
        names = _copy_files(data_dir, partial) if server is None else [_dump(server, partial)]
        partial.rename(target)  # a directory of this name is always whole
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return [target / name for name in names]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise InvalidError(
            f"{folder.parent} cannot hold a backup ({error.strerror}); name a directory that can be"
            " written, `strategy-engine db backup PATH`",
            field="path",
            value=str(folder.parent),
        ) from None


def _copy_files(data_dir: Path, into: Path) -> list[str]:
    names = [name for name in SQLITE_FILES if (data_dir / name).exists()]
    if not names:
        raise NotFoundError(
            f"{data_dir} holds no database; name another with --data-dir", value=str(data_dir)
        )
    if missing := [name for name in _TOGETHER if name not in names]:
        raise NotFoundError(
            f"{data_dir / missing[0]} is missing, and a copy without it could not be restored; put"
            " it back, or restore a backup of before",
            value=str(data_dir / missing[0]),
        )
    with contextlib.ExitStack() as opened:
        with outages.told(f"a database of {data_dir}"):
            snapshots = _snapshots(opened, data_dir, names)
        for name, source in snapshots.items():
            with (
                outages.told(str(data_dir / name)),
                contextlib.closing(sqlite3.connect(into / name)) as copy,
            ):
                source.backup(copy, pages=_PAGES)
    return names


def _snapshots(
    opened: contextlib.ExitStack, data_dir: Path, names: list[str]
) -> dict[str, sqlite3.Connection]:
    """Return a reader of each file, all of one moment: nobody writes while they begin."""
    readers = {name: opened.enter_context(_connect(data_dir / name)) for name in names}
    with contextlib.ExitStack() as writers:
        for name in names:
            writers.enter_context(_connect(data_dir / name)).execute("BEGIN IMMEDIATE")
        for reader in readers.values():
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_master").fetchone()  # it begins with this
    return readers


@contextlib.contextmanager
def _connect(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=_BUSY_S
    )
    with contextlib.closing(connection):
        yield connection


def _dump(server: str, into: Path) -> str:
    program = shutil.which(DUMP_PROGRAM)
    if program is None:
        raise UnavailableError(
            f"{DUMP_PROGRAM} is not on the PATH, and it is what copies a PostgreSQL database;"
            " install PostgreSQL's client programs of the server's version, or back the server up"
            " by its own means",
            value=DUMP_PROGRAM,
        )
    shown, password = urls.without_password(server)
    secret = {} if password is None else {"PGPASSWORD": password}
    done = subprocess.run(  # noqa: S603 - the program's own path, and arguments of ours
        [program, "--format=custom", "--no-password", f"--file={into / DUMP}", f"--dbname={shown}"],
        env=os.environ | secret,  # never among the arguments, which every user can see
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        why = " ".join(done.stderr.split())[:_SHOWN]
        raise UnavailableError(
            f"{DUMP_PROGRAM} failed: {why}; see that PostgreSQL runs and that the user of"
            " DATABASE_URL may read the whole database",
            value=done.returncode,
        )
    return DUMP
