"""The databases' own catalogues against the contract's lists, and against the rooms' tables."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from strategy_engine import control, node
from strategy_engine.core.errors import ConflictError
from strategy_engine.infra import database, migrate
from strategy_engine.infra.outages import DatabaseAwayError

CONTRACT = {
    "strategies": {
        "strategy_id",
        "strategy_name",
        "version",
        "code_hash",
        "parameters",
        "risk_limits",
        "status",
        "created_at",
        "updated_at",
    },
    "executions": {
        "execution_id",
        "strategy_id",
        "start_time",
        "end_time",
        "final_pnl",
        "trade_count",
        "performance_metrics",
    },
    "trades": {
        "trade_id",
        "execution_id",
        "symbol",
        "side",
        "quantity",
        "price",
        "timestamp",
        "pnl",
    },
}
KEYS = {"strategies": "strategy_id", "executions": "execution_id", "trades": "trade_id"}
FILE = {"strategies": "control", "executions": "control", "trades": "ledger"}
METADATA = {"control": database.control, "ledger": database.ledger}


@pytest.fixture
def data_dir(tmp_path, server):
    migrate.upgrade(tmp_path, server)
    return tmp_path


@pytest.fixture
def engines(data_dir, server) -> Iterator[dict[str, sa.Engine]]:
    made = {
        file: database.migration_engine(migrate.url_of(file, data_dir, server))
        for file in migrate.FILES
    }
    yield made
    for engine in made.values():
        engine.dispose()


def kind(type_: sa.types.TypeEngine[Any], engine: sa.Engine) -> str:
    """Return a type's name; PostgreSQL knows FLOAT as DOUBLE PRECISION."""
    name = type_.compile(engine.dialect)
    is_alias = name == "FLOAT" and engine.dialect.name == "postgresql"
    return "DOUBLE PRECISION" if is_alias else name


@pytest.mark.parametrize("table", CONTRACT)
def test_the_databases_catalogue_holds_every_column_of_the_contract(engines, table):
    found = sa.inspect(engines[FILE[table]])
    columns = {column["name"] for column in found.get_columns(table)}
    assert columns >= CONTRACT[table]
    assert found.get_pk_constraint(table)["constrained_columns"] == [KEYS[table]]


def test_executions_belong_to_strategies_by_a_foreign_key(engines):
    (key,) = sa.inspect(engines["control"]).get_foreign_keys("executions")
    assert key["referred_table"] == "strategies"
    assert (key["constrained_columns"], key["referred_columns"]) == (
        ["strategy_id"],
        ["strategy_id"],
    )


@pytest.mark.parametrize("file", migrate.FILES)
def test_the_migrations_make_exactly_the_tables_that_the_rooms_declare(engines, file, server):
    assert control.main is not node.main  # importing the two declares every table
    engine, metadata = engines[file], METADATA[file]
    found = sa.inspect(engine)
    others = set() if server is None else {*database.control.tables, *database.ledger.tables}
    others -= set(metadata.tables)  # on PostgreSQL one database holds both
    versions = {migrate.version_table(engine.dialect.name, each) for each in migrate.FILES}
    made = {
        table: {
            (
                column["name"],
                kind(column["type"], engine),
                column["nullable"],
                column["name"] in found.get_pk_constraint(table)["constrained_columns"],
            )
            for column in found.get_columns(table)
        }
        for table in found.get_table_names()
        if table not in versions | others
    }
    indexes = {
        (table, index["name"], tuple(index["column_names"]), bool(index["unique"]))
        for table in made
        for index in found.get_indexes(table)
        if "duplicates_constraint" not in index
    }
    assert made == {
        table.name: {
            (
                column.name,
                kind(column.type, engine),
                bool(column.nullable),
                column.primary_key,
            )
            for column in table.columns
        }
        for table in metadata.tables.values()
    }
    assert indexes == {
        (table.name, index.name, tuple(column.name for column in index.columns), bool(index.unique))
        for table in metadata.tables.values()
        for index in table.indexes
    }
    assert {
        (table, tuple(each["column_names"]))
        for table in made
        for each in found.get_unique_constraints(table)
    } == {
        (table.name, tuple(column.name for column in each.columns))
        for table in metadata.tables.values()
        for each in table.constraints
        if isinstance(each, sa.UniqueConstraint)
    }
    assert {
        (table, tuple(each["constrained_columns"]), each["referred_table"])
        for table in made
        for each in found.get_foreign_keys(table)
    } == {
        (table.name, tuple(each.column_keys), each.referred_table.name)
        for table in metadata.tables.values()
        for each in table.foreign_key_constraints
    }


def test_upgrading_again_changes_nothing(data_dir, server):
    before = {path.name: path.read_bytes() for path in data_dir.glob("*.db")}
    migrate.upgrade(data_dir, server)
    assert {path.name: path.read_bytes() for path in data_dir.glob("*.db")} == before
    assert migrate.standing(data_dir, server) == dict.fromkeys(migrate.FILES, migrate.HEAD)


@pytest.mark.parametrize("file", migrate.FILES)
def test_a_database_from_a_newer_version_is_refused_with_what_to_do(
    data_dir, server, engines, file
):
    engine = engines[file]
    table = sa.table(migrate.version_table(engine.dialect.name, file), sa.column("version_num"))
    with engine.begin() as connection:
        connection.execute(sa.update(table).values(version_num="9999"))
    with pytest.raises(ConflictError, match=rf"the {file} .*9999.*newer.*restore a backup"):
        migrate.upgrade(data_dir, server)


def test_processes_that_upgrade_at_once_do_it_once(tmp_path, server):
    program = (
        "import sys, pathlib; from strategy_engine.infra import migrate;"
        "migrate.upgrade(pathlib.Path(sys.argv[1]), sys.argv[2] or None)"
    )
    command = [sys.executable, "-c", program, str(tmp_path), server or ""]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ended = [(each.communicate(timeout=60)[1], each.returncode) for each in running]
    assert ended == [("", 0)] * 2
    assert migrate.standing(tmp_path, server) == dict.fromkeys(migrate.FILES, migrate.HEAD)


def test_a_server_that_is_not_there_is_named_with_what_to_do(tmp_path):
    with pytest.raises(DatabaseAwayError, match="see that PostgreSQL runs") as caught:
        migrate.upgrade(tmp_path, "postgresql://ada:s3cret@127.0.0.1:1/engine")
    assert "s3cret" not in str(caught.value)
