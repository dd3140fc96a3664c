"""What matters of the engine's own tests, again, on PostgreSQL; and what only it has."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _tests(name: str) -> ModuleType:
    path = Path(__file__).parent / f"test_{name}.py"
    spec = importlib.util.spec_from_file_location(f"on_postgresql_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


deployments, execution, survival = _tests("deployments"), _tests("execution"), _tests("survival")
control, node = execution.control, execution.node  # fixtures


@pytest.fixture
def data_dir(
    tmp_path: Path, new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> Path:
    monkeypatch.setenv("DATABASE_URL", new_database())
    execution.world.create_tables(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def start_on_postgresql(
    start_engine: Callable[..., Any], new_database: Callable[[], str]
) -> Callable[..., Any]:
    def start(**environment: str) -> Any:
        return start_engine(database_url=new_database(), **environment)

    return start


@pytest.fixture(scope="module")
def engine(start_on_postgresql: Callable[..., Any]) -> Any:
    return start_on_postgresql(STRATEGY_METRICS_INTERVAL="0.5")


test_an_execution_plays_its_history_and_ends = (
    execution.test_an_execution_plays_its_history_and_ends_as_completed
)
test_its_trades_are_those_that_its_decisions_make = (
    execution.test_its_trades_are_those_that_its_decisions_make_without_a_node
)
test_every_change_of_state_leaves_an_audit_row = (
    execution.test_every_change_of_state_leaves_an_audit_row
)
test_a_node_that_is_killed_ends_with_the_same_trades = (
    execution.test_a_node_that_is_killed_again_and_again_ends_with_the_trades_of_one_that_is_not
)
test_a_second_copy_fences_the_first_one_off = execution.test_a_second_copy_fences_the_first_one_off
test_metrics_are_kept_as_they_were = execution.test_metrics_are_kept_as_they_were
test_several_instruments_are_one_account = execution.test_several_instruments_are_one_account

test_a_failed_gate_sends_the_version_back = (
    deployments.test_a_failed_gate_sends_the_version_back_to_draft_with_its_report
)
test_an_approval_is_waited_for = (
    deployments.test_an_approval_is_waited_for_and_then_the_version_is_deployed
)
test_a_pipeline_survives_the_death_of_control = (
    deployments.test_a_pipeline_survives_the_death_of_control_and_no_stage_counts_twice
)
test_direct_hands_over = (
    deployments.test_direct_hands_the_lines_capital_and_its_place_in_the_feed_to_the_new_version
)


def test_an_execution_goes_on_after_its_process_was_killed(
    start_on_postgresql: Callable[..., Any],
) -> None:
    survival.test_an_execution_goes_on_after_its_process_was_killed(start_on_postgresql)
