"""What matters of the engine's own tests, again, on PostgreSQL; and what only it has."""

import contextlib
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
test_its_trades_are_those_that_its_decisions_make = pytest.mark.soak(
    execution.test_its_trades_are_those_that_its_decisions_make_without_a_node
)
test_every_change_of_state_leaves_an_audit_row = (
    execution.test_every_change_of_state_leaves_an_audit_row
)
test_a_node_that_is_killed_ends_with_the_same_trades = pytest.mark.soak(
    execution.test_a_node_that_is_killed_again_and_again_ends_with_the_trades_of_one_that_is_not
)
test_a_second_copy_fences_the_first_one_off = execution.test_a_second_copy_fences_the_first_one_off
test_metrics_are_kept_as_they_were = execution.test_metrics_are_kept_as_they_were
test_several_instruments_are_one_account = pytest.mark.soak(
    execution.test_several_instruments_are_one_account
)

test_a_failed_gate_sends_the_version_back = (
    deployments.test_a_failed_gate_sends_the_version_back_to_draft_with_its_report
)
test_an_approval_is_waited_for = (
    deployments.test_an_approval_is_waited_for_and_then_the_version_is_deployed
)
test_a_pipeline_survives_the_death_of_control = (
    deployments.test_a_pipeline_survives_the_death_of_control_and_no_stage_counts_twice
)
test_direct_hands_over = pytest.mark.soak(
    deployments.test_direct_hands_the_lines_capital_and_its_place_in_the_feed_to_the_new_version
)


def test_an_execution_goes_on_after_its_process_was_killed(
    start_on_postgresql: Callable[..., Any],
) -> None:
    survival.test_an_execution_goes_on_after_its_process_was_killed(start_on_postgresql)


SAYS_NUL = """
from strategy_engine.signals import Signal

class SaysNul:
    lookback = 5

    def __init__(self):
        self.bars = 0

    def generate_signal(self, market_data):
        self.bars += 1
        if self.bars > 40:
            raise RuntimeError("no\\x00more")
        side = "SELL" if market_data["position"] else "BUY"
        return Signal(side, reason="why\\x00not")
"""


async def test_what_a_strategy_says_is_kept_whatever_it_is(control: Any, node: Any) -> None:
    strategy_id = await execution.deployed(control, SAYS_NUL)

    ended = await execution.ran(control, strategy_id)

    reasons = {each.reason for each in await control.records.decisions(ended.execution_id)}
    assert reasons == {"why\N{REPLACEMENT CHARACTER}not"}
    assert "no\N{REPLACEMENT CHARACTER}more" in ended.error
    assert ended.fill_count > 10
    assert (await control.records.reconcile(ended.execution_id)).findings == ()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"strategy_name": "n" * 101}, "strategy_name"),
        ({"version": f"1.0.0-{'v' * 95}"}, "version"),
        ({"strategy_name": "n\x00"}, None),
        ({"parameters": {"rsi_period": "a\x00b"}}, None),
    ],
)
def test_what_no_column_can_hold_is_refused_at_the_door(
    engine: Any, changes: dict[str, Any], field: str | None
) -> None:
    body = {"strategy_name": "Long", "version": "1.0.0", "code": deployments.RSI.source()}
    status, problem = engine.call("POST", "/strategies", body | changes)
    assert status in {400, 413, 422}, problem
    assert field is None or problem["field"] == field


@pytest.mark.parametrize(
    ("path", "accepted"),
    [
        ("/strategies/a%00b", {400, 404, 422}),
        ("/strategies?name=a%00b", {200, 400, 422}),
        ("/strategies?offset=1000000000", {200}),
        ("/strategies?offset=3000000000", {400, 422}),
        (f"/executions/{'e' * 60}/trades", {404}),
        (f"/executions/{'e' * 60}/equity?start=1678-01-01&end=2261-01-01", {404}),
    ],
)
def test_a_question_that_has_no_answer_breaks_nothing(
    engine: Any, path: str, accepted: set[int]
) -> None:
    status, answer = engine.call("GET", path)
    assert status in accepted, answer


def test_the_url_of_the_database_reaches_neither_a_child_nor_the_log(
    start_engine: Callable[..., Any], new_database: Callable[[], str]
) -> None:
    secret = "planted-in-the-url"
    engine = start_engine(
        database_url=new_database().replace(":@", f":{secret}@"), PIPELINE_STAGES="syntax_check"
    )
    strategy_id = deployments.register(engine)
    deployments.deploy(engine, strategy_id)
    deployments.running(engine, strategy_id, speed=5)
    seen = {}
    for pid, depth in _descendants(engine.process.pid).items():
        if depth > 1:
            with contextlib.suppress(PermissionError):  # a child is closed to an ordinary user
                seen[pid] = Path(f"/proc/{pid}/environ").read_bytes()

    assert len(seen) >= 2  # zygotes, and what they have forked
    assert not any(secret.encode() in each for each in seen.values())
    assert secret not in engine.log.read_text()
    engine.post(f"/strategies/{strategy_id}/stop")


def _descendants(root: int) -> dict[int, int]:
    """Return every process below one, with how far below."""
    found, waiting = {}, [(root, 0)]
    while waiting:
        pid, depth = waiting.pop()
        found[pid] = depth
        listed = Path(f"/proc/{pid}/task").glob("*/children")
        waiting += [(int(each), depth + 1) for path in listed for each in path.read_text().split()]
    return found
