"""What a manifest wants, and every problem of it with its line."""

import pytest

from strategy_engine.cli import manifest
from strategy_engine.core.errors import InvalidError

FILES = {
    "rsi.py": "class RSI:\n    def generate_signal(self, market_data):\n        return 'HOLD'\n",
    "tests/test_rsi.py": "def test_it(): pass\n",
    "other/test_rsi.py": "def test_it(): pass\n",
    "check.py": "def test_it(): pass\n",
}
WHOLE = """\
manifest: 1
strategies:
  - name: rsi
    version: 1.2.0
    code: rsi.py
    parameters: {rsi_period: 14}
    risk_limits: {max_position_size: 15000, daily_loss_limit: -2000}
    tests: [tests/test_rsi.py]
    deploy:
      deployment_type: canary
      approval_required: true
      validation_criteria: {min_sharpe_ratio: 1.2}
    run: true
    execution_config: {capital: 50000}
"""
CANARY = "  deploy:\n    deployment_type: canary\n    steps:\n"
SMALL = "manifest: 1\nstrategies:\n- name: rsi\n  version: 1.0.0\n  code: rsi.py\n"


def file_of(name: str) -> str:
    if name not in FILES:
        raise InvalidError(f"cannot read {name}")
    return FILES[name]


def problems(text: str) -> list[tuple[int, str]]:
    with pytest.raises(manifest.ManifestError) as caught:
        manifest.read(text, file_of)
    return [(each.line, each.message) for each in caught.value.problems]


def test_a_whole_entry_is_a_version_with_its_deployment_and_its_run() -> None:
    (wanted,) = manifest.read(WHOLE, file_of)

    assert wanted.key == ("rsi", "1.2.0")
    assert wanted.content.code == FILES["rsi.py"]
    assert wanted.content.tests == {"test_rsi.py": FILES["tests/test_rsi.py"]}
    assert wanted.deploy == {
        "deployment_type": "canary",
        "approval_required": True,
        "validation_criteria": {"min_sharpe_ratio": 1.2},
    }
    assert (wanted.runs, wanted.execution_config) == (True, {"capital": 50_000})


def test_how_it_is_rolled_out_is_what_the_engine_is_asked_for() -> None:
    options = (
        "    - {shadow: 20 bars}\n    - {weight: 0.1, min_time: 10s}\n    - approval: true\n"
        "    loss_budget: 0.01\n    bounds: {max_reject_share: 0.1}\n    progress_deadline: 5m\n"
    )
    (wanted,) = manifest.read(SMALL + CANARY + options, file_of)

    assert wanted.deploy == {
        "deployment_type": "canary",
        "steps": [{"shadow": "20 bars"}, {"weight": 0.1, "min_time": "10s"}, {"approval": True}],
        "loss_budget": 0.01,
        "bounds": {"max_reject_share": 0.1},
        "progress_deadline": "5m",
    }


def test_what_is_left_out_is_deployed_and_left_running_or_not() -> None:
    (wanted,) = manifest.read(SMALL, file_of)

    assert (wanted.deploy, wanted.runs) == ({}, None)


def test_deploy_false_only_registers() -> None:
    (wanted,) = manifest.read(f"{SMALL}  deploy: false\n", file_of)

    assert wanted.deploy is None


@pytest.mark.parametrize(
    ("more", "line", "message"),
    [
        ("  runs: true\n", 6, "there is no runs; there are name, version"),
        ("  run: maybe\n", 6, "run is true or false"),
        ("  deploy: maybe\n", 6, "deploy is true, false"),
        ("  deploy:\n    handover: sell\n", 7, "handover: Input should be 'run_off'"),
        ("  deploy:\n    when: now\n", 7, "when: there is no such field"),
        ("  deploy:\n    keep_warm: soon\n", 7, "keep_warm is 'soon'"),
        (f"{CANARY}    - weight: 0.1\n    - weight: 5\n", 10, "steps.1.weight is 5"),
        (f"{CANARY}    - weight: 0.1\n    - weight: 0.1\n", 10, "weights must rise"),
        (f"{CANARY}    - weight: 0.1\n      lasts: 5m\n", 9, "it must have one of"),
        (f"{CANARY}    - weight: 0.1\n    bounds:\n      speed: 1\n", 11, "speed is no bound"),
        ("  deploy:\n    steps: [{weight: 0.5}]\n", 7, "steps are a canary's"),
        ("  deploy:\n    validation_criteria:\n      min_sharp: 1\n", 8, "min_sharp"),
        ("  deploy: false\n  run: true\n", 7, "what is not deployed cannot run"),
        ("  execution_config: {speed: 1}\n", 6, "execution_config is for `run: true`"),
        ("  run: true\n  execution_config:\n    capital: 0\n", 8, "capital: Input should be"),
        ("  parameters:\n    position_size: 7\n", 7, "position_size is 7; it must be"),
        ("  parameters: 7\n", 6, "parameters: Input should be a valid dictionary"),
        ("  risk_limits:\n    max_position_size: many\n", 7, "max_position_size is 'many'"),
        ("  tests: tests/test_rsi.py\n", 6, "tests is a list"),
        ("  tests:\n  - tests/test_rsi.py\n  - other/test_rsi.py\n", 8, "two test files"),
        ("  tests:\n  - check.py\n", 6, "name it like test_rsi.py"),
        ("  tests:\n  - test_gone.py\n", 7, "cannot read test_gone.py"),
        ("  tests: [3]\n", 6, "tests.0 is a file's path"),
        ("- name: rsi\n  version: 1.0.0\n  code: rsi.py\n", 7, "rsi 1.0.0 is given twice"),
        ("- 7\n", 6, "strategies holds versions"),
        ("- name: x\n", 6, "version, code is missing"),
    ],
)
def test_a_problem_is_told_with_its_line(more: str, line: int, message: str) -> None:
    found = problems(SMALL + more)

    assert [each for each in found if each[0] == line and message in each[1]], found


@pytest.mark.parametrize(
    ("version", "message"),
    [("1.0", "version: Input should be a valid string; quote it"), ("one", "semantic version")],
)
def test_a_version_that_is_none_is_told_with_its_line(version: str, message: str) -> None:
    ((line, told),) = problems(SMALL.replace("1.0.0", version))

    assert line == 4
    assert message in told


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "a manifest is a mapping"),
        ("[]", 1, "a manifest is a mapping"),
        ("manifest: 2\nstrategies: [x]\n", 1, "it must begin with `manifest: 1`"),
        ("manifest: 1\nstrategies: {}\n", 2, "strategies must be a list"),
        ("manifest: 1\nstrategies: []\n", 2, "strategies must be a list"),
        ("manifest: 1\nlines: []\n", 2, "there is no lines"),
        ("a: 1\n b: 2\n", 2, "no YAML"),
    ],
)
def test_what_is_no_manifest_is_told_with_its_line(text: str, line: int, message: str) -> None:
    found = problems(text)

    assert [each for each in found if each[0] == line and message in each[1]], found


def test_two_versions_of_a_line_cannot_both_run() -> None:
    entry = "- {name: rsi, version: VERSION, code: rsi.py, run: true}\n"
    text = "manifest: 1\nstrategies:\n" + "".join(
        entry.replace("VERSION", each) for each in ("1.0.0", "2.0.0")
    )

    assert problems(text) == [
        (4, "rsi 1.0.0 is to run already; one version of a line runs at a time")
    ]


def test_all_problems_are_told_at_once_in_the_order_of_their_lines() -> None:
    found = problems(f"{SMALL}  runs: 1\n- name: x\n  version: one\n  code: gone.py\n")

    assert [line for line, _ in found] == [6, 9]
