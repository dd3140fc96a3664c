"""`db`: bring the databases up to date, see that they are whole, and copy them."""

import asyncio
import fcntl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strategy_engine.cli import options, rules
from strategy_engine.core.errors import ConflictError, InvalidError, NotFoundError

if TYPE_CHECKING:
    from strategy_engine.config import Settings

_FAILED = 1
_TROUBLES_SHOWN = 20

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="[PATH]",
        help="Where to put it, in a dated directory. [default: backups in the data directory]",
        show_default=False,
    ),
]


def upgrade(data_dir: options.DataDir = None) -> None:
    """Bring the databases to this version's schema; `serve` does it by itself.

    They are the files of the data directory, or the PostgreSQL database that DATABASE_URL names.
    """
    from strategy_engine.infra import migrate  # noqa: PLC0415 - slow to import, as below

    settings = _settings(data_dir)
    if settings.server is None:
        _make(settings.data_dir)
    before = migrate.standing(settings.data_dir, settings.server)
    if any(before[file] != migrate.HEAD for file in migrate.FILES):
        _refuse_while_it_runs(settings.data_dir)
    migrate.upgrade(settings.data_dir, settings.server)
    for file in migrate.FILES:
        was = before[file] or "nothing"
        is_new = was != migrate.HEAD
        print(f"{file}: {f'{was} → {migrate.HEAD}' if is_new else f'{migrate.HEAD} already'}")


def check(data_dir: options.DataDir = None) -> None:
    """See that every database is at this version's schema, is whole, and adds up.

    Every execution's fills are added up and compared with its positions, its cash and its equity,
    to the last digit. It may be asked while the engine runs. The exit code is 1 if anything is
    wrong, and every finding says what to do.
    """
    from strategy_engine.infra import integrity, migrate  # noqa: PLC0415

    settings = _settings(data_dir)
    _refuse_where_nothing_is(settings)
    found = integrity.examine(settings.data_dir, settings.server)
    for name, troubles in found.items():
        _tell(name, troubles or ["whole"])
    if any(found.get(file) for file in migrate.FILES):
        raise typer.Exit(_FAILED)  # what follows reads this version's tables, whole
    number, wrong = asyncio.run(_reconcile(settings))
    _tell("ledgers", wrong or [f"{number:,} executions add up to the last digit"])
    if wrong or any(found.values()):
        raise typer.Exit(_FAILED)


def backup(folder: Folder = None, data_dir: options.DataDir = None) -> None:
    """Copy the databases as they are at this moment, while the engine runs.

    SQLite: a copy of each file. To restore them, stop the engine, remove the files of these names
    and those that end in -wal and -shm from the data directory, and copy these there. PostgreSQL:
    a dump by pg_dump, restored by pg_restore into an empty database.
    """
    from strategy_engine.infra import backup as backups  # noqa: PLC0415

    settings = _settings(data_dir)
    _refuse_where_nothing_is(settings)
    where = folder or settings.data_dir / "backups"
    for path in backups.take(settings.data_dir, settings.server, where, datetime.now(UTC)):
        print(f"{path}  {path.stat().st_size:,} bytes")


async def _reconcile(settings: "Settings") -> tuple[int, list[str]]:
    from strategy_engine.infra import database  # noqa: PLC0415
    from strategy_engine.venue.service import Records  # noqa: PLC0415

    opened = database.Database(
        database.ledger_url(settings.data_dir, settings.server), lane=database.Lane.LEDGER
    )
    records = Records(opened)
    wrong: list[str] = []
    try:
        names = await records.execution_ids()
        for name in names:
            findings = (await records.reconcile(name)).findings
            wrong += [
                f"{name}: {each}; stop it, keep a copy of the ledger, and report it"
                for each in findings
            ]
    finally:
        await opened.aclose()
    return len(names), wrong


def _settings(data_dir: Path | None) -> "Settings":
    from strategy_engine import config  # noqa: PLC0415

    return config.load(data_dir=data_dir)


def _make(data_dir: Path) -> None:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidError(
            f"data directory {data_dir} cannot be used: {error.strerror}; choose another with"
            " --data-dir",
            field="data_dir",
            value=str(data_dir),
        ) from None


def _refuse_where_nothing_is(settings: "Settings") -> None:
    from strategy_engine.infra import backup as backups  # noqa: PLC0415

    names = backups.SQLITE_FILES
    if settings.server is None and not any((settings.data_dir / each).exists() for each in names):
        raise NotFoundError(
            f"{settings.data_dir} holds no database; name another with --data-dir, or set"
            " DATABASE_URL",
            field="data_dir",
            value=str(settings.data_dir),
        )


def _refuse_while_it_runs(data_dir: Path) -> None:
    lock = data_dir / "run" / "engine.lock"
    if not lock.exists():
        return
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(
                f"an engine runs on {data_dir}; stop it first (the new version upgrades by itself"
                " when it starts)",
                field="data_dir",
                value=str(data_dir),
            ) from None


def _tell(name: str, lines: list[str]) -> None:
    for line in lines[:_TROUBLES_SHOWN]:
        print(rules.printable(f"{name}: {line}"))
    if len(lines) > _TROUBLES_SHOWN:
        print(f"{name}: and {len(lines) - _TROUBLES_SHOWN:,} more")
