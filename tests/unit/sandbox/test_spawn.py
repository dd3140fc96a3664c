import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.sandbox import model, procfs, spawn, wire


def test_a_zygotes_environment_is_a_fixed_list() -> None:
    assert set(spawn.ENVIRONMENT) == {
        "PATH",
        "LANG",
        "TZ",
        "OPENBLAS_NUM_THREADS",
        "OMP_NUM_THREADS",
        "JE_ARROW_MALLOC_CONF",
        "PYTHONHASHSEED",
    }


def test_a_zygotes_command_isolates_its_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    recipe = spawn.Recipe(
        kind="lean", modules=("numpy", "talib"), runner="child:main", extra_path=("/somewhere",)
    )

    assert spawn.command(recipe, control_fd=7) == [
        sys.executable,
        *("-P", "-s", "-m", "strategy_engine.sandbox.zygote"),
        *("7", "lean", "numpy,talib", "child:main", str(os.getpid()), "/somewhere"),
    ]


@pytest.mark.parametrize(
    ("keeps_none", "prefix", "options"),
    [
        (True, None, ["-B"]),
        (False, "/var/cache/bytecode", ["-X", "pycache_prefix=/var/cache/bytecode"]),
    ],
)
def test_a_zygote_keeps_bytecode_where_the_engine_does(
    monkeypatch: pytest.MonkeyPatch, *, keeps_none: bool, prefix: str | None, options: list[str]
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", keeps_none)
    monkeypatch.setattr(sys, "pycache_prefix", prefix)

    assert spawn.interpreter("module") == [sys.executable, "-P", "-s", *options, "-m", "module"]


def test_what_the_child_imports_of_the_protocol_is_light() -> None:
    script = (
        "import sys; before = set(sys.modules)\n"
        "import strategy_engine.sandbox.protocol.framing\n"
        "print(sorted({m.partition('.')[0] for m in set(sys.modules) - before}"
        " - sys.stdlib_module_names))"
    )

    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)

    assert answer.stdout == b"['strategy_engine']\n"


def test_a_module_is_warmed_by_its_import_and_heavy_ones_are_not_hidden_for_good() -> None:
    script = (
        "import sys; from strategy_engine.sandbox import warmth\n"
        "warmth.warm(['numpy', 'talib', 'json'])\n"
        "print('pandas' in sys.modules, 'talib' in sys.modules, 'json' in sys.modules)"
    )

    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)

    assert answer.stdout == b"False True True\n"


@given(
    st.one_of(
        st.builds(wire.Ready, rss_bytes=st.integers(0, 2**40)),
        st.builds(wire.Forked, request_id=st.integers(1, 2**31), pid=st.integers(1, 2**22)),
        st.builds(wire.Refused, request_id=st.integers(1, 2**31), reason=st.text(max_size=50)),
        st.builds(
            wire.Reaped,
            pid=st.integers(1, 2**22),
            remains=st.builds(
                model.Remains,
                status=st.integers(-64, 255),
                rss_bytes=st.integers(0, 2**40),
                cpu_s=st.floats(0, 1e6),
            ),
        ),
    )
)
def test_what_a_zygote_says_arrives_as_it_was_said(message: wire.FromZygote) -> None:
    assert wire.decode_answer(wire.encode(message)) == message


def test_a_process_that_is_gone_has_no_size_and_no_cpu() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()

    assert (procfs.rss_bytes(ended.pid), procfs.cpu_s(ended.pid)) == (0, 0.0)


def test_a_living_process_has_a_size_and_threads() -> None:
    assert procfs.rss_bytes(os.getpid()) > 1 << 20
    assert procfs.cpu_s(os.getpid()) > 0
    assert len(procfs.thread_names(os.getpid())) >= 1


def test_an_orphan_is_reaped_by_who_it_falls_to() -> None:
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"]) as ended:
        pidfd = os.pidfd_open(ended.pid)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)

        first, second = procfs.reap_orphan(pidfd), procfs.reap_orphan(pidfd)
        os.close(pidfd)

    assert (first, second) == (7, None)
