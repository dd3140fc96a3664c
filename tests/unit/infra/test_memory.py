import os
import subprocess
import sys

import psutil
import pytest

from strategy_engine.infra import memory

EATER = "import sys; eaten = bytearray(64 << 20); print('full', flush=True); sys.stdin.read()"


def test_a_childs_memory_counts_and_is_gone_with_it():
    before = memory.engine_bytes(os.getpid())
    with subprocess.Popen(
        [sys.executable, "-c", EATER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "full\n"
        with_child = memory.engine_bytes(os.getpid())
        child.communicate()
    assert with_child - before >= 64 << 20
    assert memory.engine_bytes(os.getpid()) - before < 32 << 20


def test_one_process_is_its_proportional_share_as_psutil_reads_it():
    ours = memory.engine_bytes(os.getpid())
    assert ours == pytest.approx(psutil.Process().memory_full_info().pss, rel=0.1)


def test_where_the_share_is_closed_only_what_a_child_has_beyond_its_parent_counts(tmp_path):
    page = os.sysconf("SC_PAGE_SIZE")
    for pid, resident, children in ((1, 100, "2 3"), (2, 130, ""), (3, 90, "")):
        (tmp_path / str(pid) / "task" / str(pid)).mkdir(parents=True)
        (tmp_path / str(pid) / "statm").write_text(f"999 {resident} 10 1 0 50 0")
        (tmp_path / str(pid) / "task" / str(pid) / "children").write_text(children)
    assert memory.engine_bytes(1, tmp_path) == (100 + 30 + 0) * page


def test_a_process_that_is_gone_counts_nothing(tmp_path):
    assert memory.engine_bytes(1, tmp_path) == 0
