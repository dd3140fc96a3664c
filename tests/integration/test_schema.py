"""The databases' own catalogues against the contract's lists, and against the rooms' tables."""

import sqlite3

import pytest
import sqlalchemy as sa

from strategy_engine import control, node
from strategy_engine.core.errors import ConflictError
from strategy_engine.infra import database, migrate

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
FILE = {"strategies": "control.db", "executions": "control.db", "trades": "ledger.db"}


@pytest.fixture
def data_dir(tmp_path):
    migrate.upgrade(tmp_path)
    return tmp_path


@pytest.mark.parametrize("table", CONTRACT)
def test_the_databases_catalogue_holds_every_column_of_the_contract(data_dir, table):
    with sqlite3.connect(data_dir / FILE[table]) as connection:
        rows = connection.execute(f"PRAGMA table_info({table})").fetchall()
    connection.close()
    assert {row[1] for row in rows} >= CONTRACT[table]
    assert [row[1] for row in rows if row[5]] == [KEYS[table]]


def test_executions_belong_to_strategies_by_a_foreign_key(data_dir):
    with sqlite3.connect(data_dir / "control.db") as connection:
        keys = connection.execute("PRAGMA foreign_key_list(executions)").fetchall()
    connection.close()
    assert ("strategies", "strategy_id", "strategy_id") in {tuple(row[2:5]) for row in keys}


@pytest.mark.parametrize(
    ("url", "metadata"),
    [(database.control_url, database.control), (database.ledger_url, database.ledger)],
    ids=["control", "ledger"],
)
def test_the_migrations_make_exactly_the_tables_that_the_rooms_declare(data_dir, url, metadata):
    assert control.main is not node.main  # importing the two declares every table
    engine = database.sync_engine(url(data_dir))
    found = sa.inspect(engine)
    made = {
        table: {
            (column["name"], str(column["type"]), column["nullable"], bool(column["primary_key"]))
            for column in found.get_columns(table)
        }
        for table in found.get_table_names()
        if table != "alembic_version"
    }
    indexes = {
        (table, index["name"], tuple(index["column_names"]), bool(index["unique"]))
        for table in made
        for index in found.get_indexes(table)
    }
    engine.dispose()
    assert made == {
        table.name: {
            (
                column.name,
                column.type.compile(engine.dialect),
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


def test_upgrading_again_changes_nothing(data_dir):
    before = {path.name: path.read_bytes() for path in data_dir.glob("*.db")}
    migrate.upgrade(data_dir)
    assert {path.name: path.read_bytes() for path in data_dir.glob("*.db")} == before


def test_a_database_from_a_newer_version_is_refused_with_what_to_do(data_dir):
    with sqlite3.connect(data_dir / "control.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(ConflictError, match=r"9999.*newer.*restore a backup"):
        migrate.upgrade(data_dir)
