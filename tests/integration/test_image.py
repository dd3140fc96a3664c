"""The image without an image builder: its lint, and its own steps followed in empty folders.

What is different here, and only that: folders and the port are others, packages are linked where
an image copies and compiles them, and the base image's steps (APT, `useradd`, `pip install uv`) are
this machine's. A read-only root cannot be had here; an ordinary user who may write to the data
directory and to /tmp alone comes close.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from strategy_engine.config import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"
INSTALLED, DATA, BUILD = "/opt/strategy-engine", "/var/lib/strategy-engine", "/build"
KEY = "a-key-of-the-image"
NOBODY = 65_534  # an ordinary user, where the tests run as root
IMAGES_OWN = ("--compile-bytecode",)
SKIPPED = ("pip install", "apt-get")


@dataclass
class Stage:
    """What a stage of a Dockerfile says, instruction by instruction."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        return [rest for each, rest in self.steps if each == word]

    def last(self, word: str) -> str:
        return self.all(word)[-1]


@dataclass
class Image:
    """What was built: where it is installed, where its data lies, what it runs with."""

    folder: Path
    environment: dict[str, str]
    port: int

    @property
    def data(self) -> Path:
        return self.folder / DATA.lstrip("/")


def stages() -> list[Stage]:
    text = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", DOCKERFILE.read_text()))
    found: list[Stage] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, rest = line.split(maxsplit=1)
        if word == "FROM":
            found.append(Stage(base=rest.split()[0]))
        else:
            found[-1].steps.append((word, rest.strip()))
    return found


def assigned(stage: Stage) -> dict[str, str]:
    pairs = [each for line in stage.all("ENV") for each in shlex.split(line)]
    return dict(each.split("=", 1) for each in pairs)


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    folder = Path(
        tempfile.mkdtemp(prefix="i-", dir="/tmp")
    )  # pytest's own are closed to other users
    folder.chmod(0o755)
    try:
        python = reachable_python(folder)
        build, final = stages()
        follow(build, folder, python)
        environment = {
            name: moved(value, folder).replace("$PATH", "/usr/local/bin:/usr/bin:/bin")
            for name, value in assigned(final).items()
        }
        made = Image(folder, environment, free_port())
        made.data.mkdir(parents=True)
        if os.getuid() == 0:
            os.chown(made.data, NOBODY, NOBODY)
        yield made
    finally:
        shutil.rmtree(folder)


def reachable_python(folder: Path) -> str:
    """Return this Python, copied to where an ordinary user may run it if it is not there."""
    own = Path(sys.base_prefix)
    if os.getuid() != 0 or all(each.stat().st_mode & 0o005 == 0o005 for each in own.parents):
        return str(own / "bin" / "python3")
    leave_out = shutil.ignore_patterns("test", "site-packages", "__pycache__", "*.a", "idlelib")
    copy = folder / "py"
    shutil.copytree(own, copy, symlinks=True, ignore=leave_out)
    find_library(copy, own)
    return str(copy / "bin" / "python3")


def find_library(copy: Path, own: Path) -> None:
    """Let a copied program look for its library beside it: a zygote gets no LD_LIBRARY_PATH."""
    program = (copy / "bin" / "python3").resolve()
    before, after = (os.fsencode(each / "lib") + b"\0" for each in (own, copy))
    assert len(after) <= len(before)
    program.write_bytes(program.read_bytes().replace(before, after.ljust(len(before), b"\0")))


def follow(stage: Stage, folder: Path, python: str) -> None:
    """Do what the building stage does, in another folder."""
    here = folder / BUILD.lstrip("/")
    environment = dict(os.environ) | {
        "UV_PROJECT_ENVIRONMENT": str(folder / INSTALLED.lstrip("/")),
        "UV_PYTHON": python,
    }
    environment.pop("VIRTUAL_ENV", None)
    for word, rest in stage.steps:
        match word:
            case "WORKDIR":
                assert rest == BUILD
                here.mkdir()
            case "COPY":
                *sources, _ = rest.split()
                for each in sources:
                    copied(ROOT / each, here / each)
            case "RUN" if not rest.startswith(SKIPPED):
                command = [each for each in shlex.split(rest) if each not in IMAGES_OWN]
                subprocess.run(command, cwd=here, env=environment, check=True, capture_output=True)
            case "RUN" | "ENV":
                continue
            case _:
                raise AssertionError(f"nobody follows {word} {rest}")


def copied(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def moved(text: str, folder: Path) -> str:
    for each in (INSTALLED, DATA):
        text = text.replace(each, str(folder / each.lstrip("/")))
    return text


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(image: Image, *command: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start a command as the image's user, with nothing of this process's environment."""
    ordinary = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    program = shutil.which(command[0], path=image.environment["PATH"])
    assert program is not None, command
    return subprocess.Popen(
        [program, *command[1:]],
        env=image.environment | environment,
        cwd=image.data,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        **ordinary,  # type: ignore[call-overload]  # the three belong together
    )


def test_the_dockerfile_has_nothing_that_its_linter_objects_to() -> None:
    linted = subprocess.run(
        ["hadolint", "--failure-threshold", "info", DOCKERFILE],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (linted.returncode, linted.stdout) == (0, "")


def test_both_stages_begin_from_the_contracts_base_image() -> None:
    assert [each.base for each in stages()] == ["python:3.13-slim-bookworm"] * 2


def test_the_image_says_what_the_contract_says() -> None:
    final = stages()[-1]

    assert assigned(final).items() >= {
        ("STRATEGY_TIMEOUT", "300"),
        ("MAX_CONCURRENT_DEPLOYMENTS", "5"),
        ("PIPELINE_STAGES", "syntax_check,unit_tests,backtest,paper_trading,risk_validation"),
        ("AUTO_ROLLBACK_ENABLED", "true"),
        ("DEPLOYMENT_APPROVAL_REQUIRED", "false"),
        ("STRATEGY_MAX_MEMORY", "2g"),
        ("STRATEGY_MAX_CPU", "1.0"),
    }
    assert (final.last("USER"), final.last("EXPOSE")) == ("strategy", "8700")
    assert final.last("HEALTHCHECK").startswith("--interval=30s --timeout=10s --retries=3")


def test_the_composition_has_the_contracts_service_and_asks_for_a_key() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    engine = services["strategy"]

    assert engine["container_name"] == "nautilus-strategy"
    assert engine["ports"] == ["8700:8700"]
    assert engine["deploy"]["resources"]["limits"] == {"memory": "2G", "cpus": "1.0"}
    assert engine["healthcheck"] == {
        "test": ["CMD", "curl", "-f", "http://localhost:8700/health"],
        "interval": "30s",
        "timeout": "10s",
        "retries": 3,
    }
    assert engine["build"]["platforms"] == ["linux/arm64", "linux/amd64"]
    assert engine["environment"]["STRATEGY_API_KEY"].startswith("${STRATEGY_API_KEY:?")
    assert (engine["read_only"], engine["cap_drop"]) == (True, ["ALL"])
    assert services.keys() == {"strategy", "postgres", "redis", "prometheus", "grafana"}


def test_what_the_composition_mounts_is_there() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]

    mounted = [
        each.partition(":")[0]
        for service in services.values()
        for each in service.get("volumes", [])
        if each.startswith("./")
    ]

    assert len(mounted) == 4
    assert all((ROOT / each).exists() for each in mounted)


def test_every_setting_that_the_composition_names_is_one_that_the_engine_reads() -> None:
    known = {str(each.validation_alias) for each in Settings.model_fields.values()}

    named = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["strategy"]

    assert named["environment"].keys() <= known


def test_every_setting_that_the_image_names_is_one_that_the_engine_reads() -> None:
    known = {str(each.validation_alias) for each in Settings.model_fields.values()}

    named = {each for each in assigned(stages()[-1]) if not each.startswith(("PYTHON", "PATH"))}

    assert named - known == {"HOME"}


def test_what_the_build_copies_is_let_through_to_it() -> None:
    let_through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }

    copied_names = {each for line in stages()[0].all("COPY") for each in line.split()[:-1]}

    assert copied_names == let_through


@pytest.mark.soak
def test_what_the_image_runs_serves_as_an_ordinary_user_and_is_found_healthy(image: Image) -> None:
    final = stages()[-1]
    command = [*json.loads(final.last("ENTRYPOINT")), *json.loads(final.last("CMD"))]
    check = json.loads(final.last("HEALTHCHECK").partition("CMD ")[2])
    asked = [each.replace(":8700", f":{image.port}") for each in check]

    engine = run(image, *command, STRATEGY_PORT=str(image.port), STRATEGY_API_KEY=KEY)
    try:
        until(lambda: is_answered(image.port), engine)
        if shutil.which(asked[0]) is not None:  # the image has curl; a machine may have none
            run_once(image, asked)
        assert status_of(image.port, "/strategies") == 401
        assert status_of(image.port, "/strategies", KEY) == 200
        assert owner_of(engine.pid) == (NOBODY if os.getuid() == 0 else os.getuid())
    finally:
        engine.terminate()
        output = engine.communicate(timeout=20)[0]
    assert engine.returncode == 0, output[-2_000:]
    lines = [json.loads(each) for each in output.splitlines() if each.startswith(b"{")]
    assert lines, "an image logs JSON"


@pytest.mark.soak
def test_without_a_key_the_image_does_not_serve_at_all(image: Image) -> None:
    engine = run(image, "strategy-engine", "serve", STRATEGY_PORT=str(image.port))

    output = engine.communicate(timeout=30)[0].decode()

    assert engine.returncode != 0
    assert "STRATEGY_API_KEY" in output


@pytest.mark.soak
def test_the_installed_wheel_alone_runs_the_demo(image: Image) -> None:
    demo = run(image, "strategy-engine", "demo", "--once", STRATEGY_HOST="127.0.0.1")

    output = demo.communicate(timeout=100)[0].decode()

    assert demo.returncode == 0, output[-2_000:]
    assert not (image.folder / BUILD.lstrip("/") / "dist").exists()


def run_once(image: Image, command: list[str]) -> None:
    asked = run(image, *command)
    output = asked.communicate(timeout=10)[0]
    assert asked.returncode == 0, output


def until(is_so: Callable[[], bool], engine: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert engine.poll() is None, engine.communicate()[0][-2_000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_answered(port: int) -> bool:
    try:
        return status_of(port, "/health") == 200
    except OSError:
        return False


def status_of(port: int, path: str, key: str | None = None) -> int:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def owner_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid
