import errno
import os
from pathlib import Path

import pytest

from strategy_engine.sandbox import confinement, landlock, libc, probe
from strategy_engine.sandbox.model import (
    ConfinementMode,
    ConfinementReport,
    Layer,
    NotConfinedError,
)


def test_what_may_be_read_is_python_its_packages_libraries_and_time_zones() -> None:
    paths = {str(path) for path in landlock.readable_paths()}

    assert {"/usr/lib", "/lib", "/etc/ld.so.cache", "/usr/share/zoneinfo"} <= paths
    assert str(Path(os.__file__).parent) in paths
    assert str(Path(pytest.__file__).parent.parent) in paths
    assert str(Path(landlock.__file__).parents[1]) in paths


@pytest.mark.parametrize(
    "secret", ["/etc/passwd", "/proc/self/environ", "/dev/null", "/tmp/x", "/sys/kernel", "/var/x"]
)
def test_nothing_that_may_be_read_holds(secret: str) -> None:
    assert not [each for each in landlock.readable_paths() if Path(secret).is_relative_to(each)]
    assert not [each for each in landlock.readable_paths() if Path.home().is_relative_to(each)]


@pytest.mark.parametrize("abi", range(9))
def test_each_part_stands_from_the_version_that_brought_it(abi: int) -> None:
    layers = {layer.name: layer for layer in confinement.landlock_layers(abi)}

    assert {name for name, layer in layers.items() if layer.is_on} == {
        part.name for part in landlock.PARTS if part.abi <= abi
    }
    for part in landlock.PARTS:
        layer = layers[part.name]
        assert layer.needs == f"Linux {part.kernel} (Landlock ABI {part.abi})"
        assert layer.why == ("" if layer.is_on else f"this kernel has Landlock ABI {abi}")


def test_no_two_parts_forbid_the_same() -> None:
    for kind in ("files", "network", "scopes"):
        bits = [getattr(part, kind) for part in landlock.PARTS]
        assert sum(bits) == sum(1 << n for n in range(16) if any(each >> n & 1 for each in bits))


def test_a_kernel_without_landlock_is_told_in_place_of_a_ruleset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(libc, "call", refuse)

    walls = confinement.prepare()

    assert walls.fd is None
    assert walls.ruleset == "[Errno 38] Function not implemented"


def test_a_rule_that_fails_halfway_leaves_no_ruleset_open(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208  (a pathlib walk opens one more)
    call, calls = libc.call, []

    def fail_at_the_third_rule(number: int, *arguments: int | bytes | None) -> int:
        calls.append(number)
        if len(calls) == 5:
            raise OSError(errno.EPERM, "not today")
        return call(number, *arguments)

    monkeypatch.setattr(libc, "call", fail_at_the_third_rule)

    with pytest.raises(OSError, match="not today"):
        landlock.prepare(landlock.readable_paths())
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208  (the same)


def test_an_architecture_without_a_filter_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")

    walls = confinement.prepare()
    if walls.fd is not None:
        os.close(walls.fd)

    assert walls.filter == "there is no filter for riscv64"


def test_the_error_names_each_missing_layer_its_reason_and_its_kernel() -> None:
    report = ConfinementReport(
        layers=(
            Layer(name="rlimits", is_on=True, why=""),
            Layer(name="landlock_tcp", is_on=False, why="ABI 3", needs="Linux 6.7"),
            Layer(name="nice", is_on=False, why="no"),
        )
    )

    error = NotConfinedError(report)

    assert error.kind == "not-confined"
    assert "landlock_tcp (ABI 3, needs Linux 6.7); nice (no); nothing ran" in str(error)
    assert error.facts == {"missing": ["landlock_tcp", "nice"]}
    assert error.report is report


def test_a_probe_without_the_upper_layers_names_them_and_why() -> None:
    report = probe.probe(ConfinementMode.OFF)

    assert [layer.name for layer in report.missing] == [
        *(part.name for part in landlock.PARTS),
        "seccomp",
    ]
    assert {layer.why for layer in report.missing} == {"left out: STRATEGY_SANDBOX=off"}


def test_a_probe_refuses_only_where_the_whole_wall_is_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = ConfinementReport(layers=(Layer(name="seccomp", is_on=False, why="none here"),))
    monkeypatch.setattr(probe, "_ask", lambda _: missing)

    assert probe.probe(ConfinementMode.PREFER) is missing
    with pytest.raises(NotConfinedError, match="seccomp"):
        probe.probe(ConfinementMode.REQUIRE)
