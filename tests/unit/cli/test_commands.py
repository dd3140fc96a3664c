import errno
import json
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from strategy_engine.api import example_readings, example_rollouts, examples
from strategy_engine.cli import edge, main
from strategy_engine.core.errors import EngineError

DEPLOY = f"POST /strategies/{examples.CREATED['strategy_id']}/deploy"
FOLLOW = f"GET /deployments/{examples.ACCEPTED['pipeline_id']}/status"
START = f"POST /strategies/{examples.CREATED['strategy_id']}/start"
STRATEGY = examples.CREATED["strategy_id"]
PIPELINE = examples.ACCEPTED["pipeline_id"]
CODE = "class S:\n    def generate_signal(self, market_data):\n        return 'HOLD'\n"
PASSED = {"passed": True, "duration_ms": 5.0, "verdict": "passed", "message": "", "findings": []}


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "my_rsi.py"
    path.write_text(CODE)
    return str(path)


def prepare_deployment(fake: Any, *statuses: dict[str, Any]) -> None:
    fake.answers_to("POST /strategies", examples.CREATED, status=201)
    fake.answers_to(DEPLOY, examples.ACCEPTED, status=202)
    fake.answers_to(FOLLOW, *({**examples.DEPLOYMENT_STATUS, **each} for each in statuses))


def completed() -> dict[str, Any]:
    return {
        "status": "completed",
        "outcome": "promoted",
        "current_stage": None,
        "results": dict.fromkeys(examples.DEPLOYMENT_STATUS["stages"], PASSED),
    }


def failed(reason: str) -> dict[str, Any]:
    refused = {**PASSED, "passed": False, "verdict": "failed", "message": reason}
    return {
        "status": "failed",
        "outcome": "rejected",
        "current_stage": None,
        "results": {"syntax_check": PASSED, "unit_tests": PASSED, "backtest": refused},
    }


def test_help_names_every_command_and_shows_examples(run: Any) -> None:
    told = run("--help").stdout

    for name in [row[0] for row in main.COMMANDS] + ["data", "db", "deployments", "flags", "keys"]:
        assert f"\n  {name} " in told
    assert "strategy-engine demo" in told


@pytest.mark.parametrize(
    "words",
    [[row[0]] for row in main.COMMANDS]
    + [["data", row[0]] for row in main.DATA_COMMANDS]
    + [["db", row[0]] for row in main.DATABASE_COMMANDS]
    + [["deployments", row[0]] for row in main.DEPLOYMENT_COMMANDS]
    + [["flags", row[0]] for row in main.FLAG_COMMANDS]
    + [["keys", row[0]] for row in main.KEY_COMMANDS]
    + [["lines", row[0]] for row in main.LINE_COMMANDS]
    + [["experiments", row[0]] for row in main.EXPERIMENT_COMMANDS],
    ids=" ".join,
)
def test_the_help_of_a_command_ends_with_examples_that_name_it(run: Any, words: list[str]) -> None:
    told = run(*words, "--help")

    assert told.exit_code == 0
    assert f"strategy-engine {' '.join(words)}" in told.stdout.partition("Examples:")[2]


def test_version_is_printed(run: Any) -> None:
    assert run("--version").stdout.startswith("strategy-engine 0.")


def imported_by(modules: str) -> set[str]:
    look = f"import sys, {modules}; print(*sys.modules)"
    return set(subprocess.check_output([sys.executable, "-c", look], text=True).split())


def test_help_imports_nothing_that_is_slow() -> None:
    slow = {"numpy", "fastapi", "httpx", "rich", "pydantic", "sqlalchemy", "pyarrow"}

    assert not slow & imported_by("strategy_engine.cli.main")


def test_a_client_command_imports_neither_numpy_nor_the_server() -> None:
    slow = {"numpy", "fastapi", "pydantic", "sqlalchemy", "pyarrow"}

    assert not slow & imported_by("strategy_engine.cli.views, strategy_engine.client.service")


def test_deploy_registers_the_file_with_what_was_given(
    run: Any, fake: Any, source: str, tmp_path: Path
) -> None:
    prepare_deployment(fake, completed())
    tests = tmp_path / "test_my_rsi.py"
    tests.write_text("def test_it(): pass\n")

    run(
        *["deploy", source, "--version", "1.1.0", "--param", "rsi_period=21"],
        *["--risk", "max_position_size=15000", "--test", str(tests), "--no-watch"],
    )

    assert fake.body_of("POST /strategies") == {
        "strategy_name": "my_rsi",
        "version": "1.1.0",
        "code": CODE,
        "parameters": {"rsi_period": 21},
        "risk_limits": {"max_position_size": 15000},
        "tests": {"test_my_rsi.py": "def test_it(): pass\n"},
    }


def test_deploy_asks_for_no_more_than_was_given(run: Any, fake: Any, source: str) -> None:
    prepare_deployment(fake, completed())

    run("deploy", source, "--no-watch")

    assert fake.body_of(DEPLOY) == {"deployment_type": "direct", "validation_criteria": {}}


def test_deploy_passes_type_approval_gates_and_profile_on(run: Any, fake: Any, source: str) -> None:
    prepare_deployment(fake, completed())

    run(
        *["deploy", source, "--type", "blue_green", "--approval-required", "--no-watch"],
        *["--criterion", "min_sharpe_ratio=1.5", "--profile", "production"],
        *["--days", "90"],
    )

    assert fake.body_of(DEPLOY) == {
        "deployment_type": "blue_green",
        "validation_criteria": {"min_sharpe_ratio": 1.5},
        "approval_required": True,
        "validation_profile": "production",
        "duration_days": 90,
    }


def test_a_deployment_that_is_not_watched_says_how_to_follow_it(
    run: Any, fake: Any, source: str
) -> None:
    prepare_deployment(fake, completed())

    told = run("deploy", source)

    assert told.exit_code == 0
    assert f"strategy-engine status {PIPELINE}" in told.stdout


def test_a_watched_deployment_prints_each_stage_once_and_exits_0(
    run: Any, fake: Any, source: str
) -> None:
    prepare_deployment(fake, {}, {}, completed())

    told = run("deploy", source, "--watch")

    assert told.exit_code == 0
    for stage in examples.DEPLOYMENT_STATUS["stages"]:
        assert told.stdout.count(f" {stage} ") == 1
    assert f"strategy-engine start {STRATEGY}" in told.stdout


def test_a_failed_deployment_exits_1_with_the_stage_and_its_reason(
    run: Any, fake: Any, source: str
) -> None:
    prepare_deployment(fake, {}, failed("no trades in 5,913 bars; it must trade"))

    told = run("deploy", source, "--watch")

    assert told.exit_code == 1
    assert told.stderr == (
        f"error: {PIPELINE} failed at backtest: no trades in 5,913 bars; it must trade\n"
    )


def test_a_deployment_that_waits_for_approval_says_once_how_to_give_it(
    run: Any, fake: Any, source: str
) -> None:
    waits = {**completed(), "status": "awaiting_approval"}
    prepare_deployment(fake, waits, waits, waits, completed())

    told = run("deploy", source, "--watch", "--approval-required")

    assert told.exit_code == 0
    assert told.stdout.count(f"strategy-engine approve {PIPELINE}") == 1


def test_deploy_can_start_what_it_deployed(run: Any, fake: Any, source: str) -> None:
    prepare_deployment(fake, completed())
    fake.answers_to(START, example_readings.STARTED)

    told = run("deploy", source, "--start")

    assert told.exit_code == 0
    assert f"execution started: {example_readings.STARTED['execution_id']}" in told.stdout


def test_a_failed_deployment_is_not_started(run: Any, fake: Any, source: str) -> None:
    prepare_deployment(fake, failed("no trades"))

    assert run("deploy", source, "--start").exit_code == 1
    assert START not in [route for route, _ in fake.asked]


def test_a_watched_deployment_as_json_prints_its_end_and_nothing_else(
    run: Any, fake: Any, source: str
) -> None:
    prepare_deployment(fake, {}, completed())

    told = run("deploy", source, "--watch", "--json")

    assert json.loads(told.stdout)["status"] == "completed"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--param", "rsi_period"],
        ["--type", "sideways"],
        ["--start", "--no-watch"],
        ["--test", "missing.py"],
        ["--url", "engine"],
    ],
    ids=" ".join,
)
def test_deploy_asked_wrongly_exits_2_and_asks_the_engine_nothing(
    run: Any, fake: Any, source: str, arguments: list[str]
) -> None:
    told = run("deploy", source, *arguments)

    assert told.exit_code == 2
    assert told.stderr != ""
    assert fake.asked == []


def test_a_file_that_is_not_there_is_named(run: Any, tmp_path: Path) -> None:
    told = run("deploy", str(tmp_path / "none.py"))

    assert told.exit_code == 2
    assert "none.py: No such file or directory" in told.stderr


def test_a_file_that_is_no_utf_8_is_refused(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "latin.py"
    path.write_bytes(b"# caf\xe9\n")

    told = run("deploy", str(path))

    assert told.exit_code == 2
    assert "save it as UTF-8" in told.stderr


ACTED = example_rollouts.ACTED | {"dry_run": False, "would": [], "effects": []}
ROWS: list[tuple[list[str], str, dict[str, Any], str]] = [
    (["status", PIPELINE], FOLLOW, examples.DEPLOYMENT_STATUS, "syntax_check"),
    (["strategies"], "GET /strategies", examples.STRATEGIES, STRATEGY),
    (["executions"], "GET /executions", example_readings.EXECUTIONS, "+127.50"),
    (["approve", PIPELINE], f"POST /deployments/{PIPELINE}/approve", ACTED, "approved"),
    (["reject", PIPELINE], f"POST /deployments/{PIPELINE}/reject", ACTED, "rejected"),
    (["start", STRATEGY], START, example_readings.STARTED, "execution started: exec_"),
    (
        ["stop", STRATEGY],
        f"POST /strategies/{STRATEGY}/stop",
        example_readings.STOPPED,
        "125.5 minutes",
    ),
    (["pause", STRATEGY], f"POST /strategies/{STRATEGY}/pause", example_readings.STOPPED, "exec_"),
    (
        ["resume", STRATEGY],
        f"POST /strategies/{STRATEGY}/resume",
        example_readings.STOPPED,
        "exec_",
    ),
]


@pytest.mark.parametrize(
    ("words", "route", "answer", "told"), ROWS, ids=[" ".join(row[0][:1]) for row in ROWS]
)
def test_a_command_prints_what_the_engine_answers(
    run: Any, fake: Any, words: list[str], *, route: str, answer: dict[str, Any], told: str
) -> None:
    fake.answers_to(route, answer)

    printed = run(*words)

    assert printed.exit_code == 0
    assert told in printed.stdout


@pytest.mark.parametrize(
    ("words", "route", "answer"), [row[:3] for row in ROWS], ids=[row[0][0] for row in ROWS]
)
def test_with_json_a_command_prints_the_answer_as_it_is(
    run: Any, fake: Any, words: list[str], route: str, answer: dict[str, Any]
) -> None:
    fake.answers_to(route, answer)

    assert json.loads(run(*words, "--json").stdout) == answer


@pytest.mark.parametrize("words", [row[0] for row in ROWS], ids=[row[0][0] for row in ROWS])
def test_a_refusal_is_one_line_and_exit_1(run: Any, words: list[str]) -> None:
    told = run(*words)

    assert told.exit_code == 1
    assert told.stdout == ""
    assert told.stderr.startswith("error: ")
    assert told.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [row[0] for row in ROWS], ids=[row[0][0] for row in ROWS])
def test_without_an_engine_a_command_says_how_to_start_one(run: Any, words: list[str]) -> None:
    told = run(*words, "--url", "http://127.0.0.1:1")

    assert told.exit_code == 1
    assert told.stderr == (
        "error: no engine at http://127.0.0.1:1 (connection refused);"
        " start one with `strategy-engine serve`\n"
    )


def test_status_shows_health_and_the_latest_deployments(run: Any, fake: Any) -> None:
    fake.answers_to("GET /health", example_readings.HEALTH)
    fake.answers_to("GET /deployments", examples.DEPLOYMENTS)

    told = run("status")

    assert "healthy" in told.stdout
    assert PIPELINE in told.stdout


def test_status_as_json_is_one_object(run: Any, fake: Any) -> None:
    fake.answers_to("GET /health", example_readings.HEALTH)
    fake.answers_to("GET /deployments", examples.DEPLOYMENTS)

    answer = json.loads(run("status", "--json").stdout)

    assert answer == {"health": example_readings.HEALTH, **examples.DEPLOYMENTS}


def test_an_execution_is_shown_with_its_trades(run: Any, fake: Any) -> None:
    execution_id = example_readings.EXECUTION["execution_id"]
    fake.answers_to(f"GET /executions/{execution_id}", example_readings.EXECUTION)
    fake.answers_to(f"GET /executions/{execution_id}/trades", example_readings.TRADES)

    told = run("executions", execution_id)

    assert "EUR/USD.SIM @ 1.10235" in told.stdout
    assert json.loads(run("executions", execution_id, "--json").stdout)["trades"]


@pytest.mark.parametrize(
    ("words", "route", "empty", "hint"),
    [
        ("strategies", "GET /strategies", examples.STRATEGIES, "strategy-engine deploy FILE"),
        ("executions", "GET /executions", example_readings.EXECUTIONS, "strategy-engine start"),
    ],
)
def test_an_empty_list_says_what_to_do(
    run: Any, fake: Any, words: str, *, route: str, empty: dict[str, Any], hint: str
) -> None:
    fake.answers_to(route, {**empty, words: [], "count": 0})

    assert hint in run(words).stdout


def test_start_sends_only_the_settings_that_were_given(run: Any, fake: Any) -> None:
    fake.answers_to(START, example_readings.STARTED)

    run(
        "start",
        STRATEGY,
        "--capital",
        "50000",
        "--symbol",
        "GOOGL.SIM",
        "--speed",
        "0",
        "--feed",
        "bus",
    )

    assert fake.body_of(START) == {
        "execution_config": {
            "capital": 50000.0,
            "symbols": ["GOOGL.SIM"],
            "feed": "bus",
            "speed": 0.0,
        }
    }


def float_options() -> list[tuple[list[str], str]]:
    commands = [([name], command) for name, command, _ in main.COMMANDS]
    commands += [(["data", name], command) for name, command, _ in main.DATA_COMMANDS]
    commands += [(["deployments", name], command) for name, command, _ in main.DEPLOYMENT_COMMANDS]
    return [
        (words, f"--{name.replace('_', '-')}")
        for words, command in commands
        for name, hint in typing.get_type_hints(command).items()
        if float in {hint, *typing.get_args(hint)}
    ]


def test_the_float_options_are_those_that_are_known() -> None:
    options = {option for _, option in float_options()}

    assert options == {"--capital", "--position-size", "--speed"}


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999"])
@pytest.mark.parametrize(("words", "option"), float_options(), ids=str)
def test_a_number_that_json_cannot_carry_is_asked_wrongly(
    run: Any, fake: Any, words: list[str], option: str, *, number: str
) -> None:
    told = run(*words, *([STRATEGY] if words == ["start"] else []), f"{option}={number}")

    assert told.exit_code == 2
    assert option in told.stderr
    assert fake.asked == []


def test_a_stop_of_what_did_not_run_says_so(run: Any, fake: Any) -> None:
    answer = {
        **example_readings.STOPPED,
        "execution_id": None,
        "executions": [],
        "duration_minutes": 0.0,
    }
    fake.answers_to(f"POST /strategies/{STRATEGY}/stop", answer)

    assert run("stop", STRATEGY).stdout == "execution stopped: no execution\n"


def test_a_stop_that_is_not_confirmed_yet_says_so(run: Any, fake: Any) -> None:
    answer = {**example_readings.STOPPED, "message": "the node has not confirmed it yet"}
    fake.answers_to(f"POST /strategies/{STRATEGY}/stop", answer)

    assert "not confirmed" in run("stop", STRATEGY).stdout


def test_the_key_of_the_environment_is_sent(
    run: Any, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.answers_to("GET /executions", example_readings.EXECUTIONS)
    monkeypatch.setenv("STRATEGY_API_KEY", "0123456789abcdef")

    run("executions")

    assert fake.keys == ["Bearer 0123456789abcdef"]


def raising(error: BaseException) -> Any:
    def command() -> None:
        raise error

    return edge.guarded(command)


def run_guarded(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv(edge.TRACEBACK, raising=False)
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(raising(error))
    return CliRunner().invoke(app, [])


def test_an_unexpected_error_is_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    told = run_guarded(KeyError("pnl"), monkeypatch)

    assert told.exit_code == 1
    assert told.stderr.startswith("error: KeyError: 'pnl' (a fault of this program")
    assert "Traceback" not in told.stderr


def test_an_error_of_the_system_is_told_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    told = run_guarded(PermissionError(errno.EACCES, "Permission denied", "/x"), monkeypatch)

    assert told.stderr == "error: [Errno 13] Permission denied: '/x'\n"


def test_an_error_cannot_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    told = run_guarded(EngineError("\x1b[2Jgone"), monkeypatch)

    assert told.stderr == "error: ?[2Jgone\n"


def test_a_reader_that_went_away_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    told = run_guarded(BrokenPipeError(errno.EPIPE, "Broken pipe"), monkeypatch)

    assert "fault of this program" not in told.stderr


def test_a_serving_address_that_others_reach_needs_a_key(run: Any, tmp_path: Path) -> None:
    told = run("serve", "--host", "192.0.2.1", "--data-dir", str(tmp_path))

    assert told.exit_code == 2
    assert "STRATEGY_API_KEY" in told.stderr
    assert told.stderr.count("\n") == 1


def test_a_key_that_is_too_short_is_refused_without_being_repeated(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRATEGY_API_KEY", "hunter2")

    told = run("serve", "--data-dir", str(tmp_path))

    assert told.exit_code == 2
    assert "STRATEGY_API_KEY" in told.stderr
    assert "hunter2" not in told.stderr
