"""The user's pytest tests, run from strings: the child may not write files, and needs none."""

import ast
import types
from pathlib import Path
from typing import Any

import pytest
from _pytest.assertion import rewrite

from strategy_engine.kernel import failures, strategy
from strategy_engine.sandbox.protocol import messages

_ROOT = Path("/tests")  # where the tests would be; nothing is read there
_FLAGS = (
    "--disable-plugin-autoload",
    "--noconftest",
    "--continue-on-collection-errors",
    "--capture=sys",
    "--config-file=/dev/null",
    "--rootdir=/",
    *("-p", "no:cacheprovider"),
    *("-p", "no:terminal"),
    *("-p", "no:logging"),
    *("-p", "no:faulthandler"),
    *("-p", "no:tmpdir"),
)
_NO_FILES = "tests run where no file can be written: keep their data in memory"


def run(message: messages.RunTests) -> messages.Tested:
    """Run the tests with the strategy's names in their namespace.

    Raises
    ------
    StrategyFailedError
        If the strategy does not compile, or a test ends pytest itself.
    """
    module = strategy.load(message.code)
    judge = _Judge(module, message.tests)
    with failures.reported(failures.TESTS):
        pytest.main(list(_FLAGS), plugins=[judge])
        if judge.interrupted:
            raise RuntimeError(f"the tests ended before all had run: {judge.interrupted}")
    return messages.Tested(outcomes=list(judge.outcomes.values()))


class _Source(pytest.Module):
    """A test file that exists as text only."""

    source: str
    names: dict[str, Any]

    def _getobj(self) -> types.ModuleType:
        name = self.path.name
        failures.register(str(self.path), self.source)
        module = types.ModuleType(self.path.stem)
        module.__dict__.update(self.names)
        module.__file__ = str(self.path)
        try:
            tree = ast.parse(self.source, str(self.path))
            rewrite.rewrite_asserts(tree, self.source.encode(), str(self.path), self.config)
            exec(compile(tree, str(self.path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102  (what this process is confined for)
        except Exception as error:
            raise self.CollectError(f"{name}: {type(error).__name__}: {error}") from error
        return module


class _Judge:
    """The plugin that gives pytest the tests, and keeps what it says of them."""

    def __init__(self, module: types.ModuleType, tests: dict[str, str]) -> None:
        own = {name: each for name, each in vars(module).items() if not name.startswith("__")}
        # A function of the strategy's that is called test_… is no test of these files.
        self._names = {n: each for n, each in own.items() if not n.lower().startswith("test")}
        self._tests = tests
        self.outcomes: dict[str, messages.TestOutcome] = {}
        self.interrupted = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> bool:
        """Collect the tests from their sources instead of from files."""
        for name in sorted(self._tests):
            source = _Source.from_parent(session, path=_ROOT / Path(name).name)
            source.source, source.names = self._tests[name], self._names
            session.items.extend(session.genitems(source))
        session.testscollected = len(session.items)
        return True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Count a file that does not load as one failed test."""
        if report.failed:
            self._keep(report.nodeid, passed=False, message=_last_line(report))
        elif report.skipped:
            self._keep(report.nodeid, passed=False, skipped=True, message=_last_line(report))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the outcome of a test; a failing set-up or tear-down fails it too."""
        if report.failed:
            self._keep(report.nodeid, passed=False, message=_last_line(report))
        elif report.skipped:
            reason = str(getattr(report, "wasxfail", "")) or _last_line(report)
            self._keep(report.nodeid, passed=False, skipped=True, message=reason)
        elif report.when == "call":
            self._keep(report.nodeid, passed=True)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Notice a test that ended the whole run."""
        self.interrupted = f"{excinfo.typename}: {excinfo.value}"

    @pytest.fixture
    def tmp_path(self) -> None:
        """Say why there is no folder."""
        pytest.fail(_NO_FILES, pytrace=False)

    @pytest.fixture(scope="session")
    @staticmethod
    def tmp_path_factory() -> None:
        """Say why there is no folder."""
        pytest.fail(_NO_FILES, pytrace=False)

    def _keep(self, nodeid: str, *, passed: bool, message: str = "", skipped: bool = False) -> None:
        name = nodeid.removeprefix("tests/")
        self.outcomes[name] = messages.TestOutcome(
            name=failures.readable(name),
            passed=passed,
            message=failures.readable(message),
            skipped=skipped,
        )


def _last_line(report: pytest.CollectReport | pytest.TestReport) -> str:
    told = report.longrepr
    if isinstance(told, tuple):  # a skip: file, line, reason
        return str(told[2])
    crash = getattr(told, "reprcrash", None)
    if crash is None:
        return str(told).strip().rpartition("\n")[2]
    first = str(crash.message).strip().partition("\n")[0]
    place = Path(crash.path)
    return f"{first} ({place.name}, line {crash.lineno})" if place.parent == _ROOT else first
