import os
import subprocess
import sys

import psutil
import pytest

from strategy_engine.infra import processes
from strategy_engine.infra.processes import Kind, Usage

EATER = "import sys; eaten = bytearray(64 << 20); print('full', flush=True); sys.stdin.read()"


def test_a_childs_memory_counts_and_is_gone_with_it():
    before = processes.engine_bytes(os.getpid())
    with subprocess.Popen(
        [sys.executable, "-c", EATER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "full\n"
        with_child = processes.engine_bytes(os.getpid())
        child.communicate()
    assert with_child - before >= 64 << 20
    assert processes.engine_bytes(os.getpid()) - before < 32 << 20


def test_one_process_is_its_proportional_share_as_psutil_reads_it():
    ours = processes.engine_bytes(os.getpid())
    assert ours == pytest.approx(psutil.Process().memory_full_info().pss, rel=0.1)


def test_where_the_share_is_closed_only_what_a_child_has_beyond_its_parent_counts(tmp_path):
    page = os.sysconf("SC_PAGE_SIZE")
    for pid, resident, children in ((1, 100, "2 3"), (2, 130, ""), (3, 90, "")):
        (tmp_path / str(pid) / "task" / str(pid)).mkdir(parents=True)
        (tmp_path / str(pid) / "statm").write_text(f"999 {resident} 10 1 0 50 0")
        (tmp_path / str(pid) / "task" / str(pid) / "children").write_text(children)
    assert processes.engine_bytes(1, tmp_path) == (100 + 30 + 0) * page


def test_a_process_that_is_gone_counts_nothing(tmp_path):
    assert processes.engine_bytes(1, tmp_path) == 0


def test_what_stands_where_in_the_tree_is_counted_as_what_it_is(tmp_path):
    page, tick = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
    tree = {
        1: ("strategy-engine", 100, (100, 0, 9_900, 0), "2 3"),
        2: ("engine-node", 200, (200, 100, 0, 0), "4"),
        3: ("engine-control", 300, (0, 0, 0, 0), ""),
        4: ("zygote (lean)", 50, (10, 0, 500, 40), "5 6"),
        5: ("exec_a", 60, (70, 30, 0, 0), ""),
        6: ("exec_b", 55, (100, 0, 0, 0), ""),
    }
    for pid, (name, resident, times, children) in tree.items():
        (tmp_path / str(pid) / "task" / str(pid)).mkdir(parents=True)
        (tmp_path / str(pid) / "comm").write_text(name + "\n")
        (tmp_path / str(pid) / "statm").write_text(f"999 {resident} 10 1 0 50 0")
        counted = " ".join(map(str, times))
        (tmp_path / str(pid) / "stat").write_text(
            f"{pid} ({name}) S 1 1 1 0 -1 0 0 0 0 0 {counted} 20 0"
        )
        (tmp_path / str(pid) / "task" / str(pid) / "children").write_text(children)

    found = processes.usage(1, tmp_path)

    assert found == {
        Kind.SUPERVISOR: Usage(count=1, memory_bytes=100 * page, cpu_s=100 / tick),
        Kind.NODE: Usage(count=1, memory_bytes=100 * page, cpu_s=300 / tick),
        Kind.CONTROL: Usage(count=1, memory_bytes=200 * page, cpu_s=0),
        Kind.ZYGOTE: Usage(count=1, memory_bytes=0, cpu_s=10 / tick),
        Kind.STRATEGY: Usage(count=2, memory_bytes=15 * page, cpu_s=pytest.approx(740 / tick)),
    }


def test_the_cpu_of_a_process_is_what_psutil_reads():
    mine = processes.usage(os.getpid())[Kind.SUPERVISOR]

    times = psutil.Process().cpu_times()
    assert mine.cpu_s == pytest.approx(times.user + times.system, abs=0.1)
