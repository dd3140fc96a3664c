"""Which workflows never go on by themselves: the whole table."""

import pytest

from strategy_engine.infra import durable

MINE, BEFORE, OTHER = "node-1:7", "node-1:6", "node-2:3"
NOW, OLD = durable.WORKFLOW_VERSION, "0"


@pytest.mark.parametrize(
    ("status", "version", "executor", "is_stranded"),
    [
        ("PENDING", NOW, MINE, False),  # it runs, or is recovered by itself
        ("PENDING", NOW, BEFORE, False),  # the engine before this one left it: adopted
        ("PENDING", OLD, MINE, True),
        ("PENDING", OLD, BEFORE, True),
        ("PENDING", OLD, OTHER, False),  # somebody else's, and he may live
        ("ENQUEUED", NOW, None, False),
        ("ENQUEUED", None, None, False),
        ("ENQUEUED", OLD, None, True),  # no executor of another version dequeues it
        ("DELAYED", NOW, None, False),
        ("DELAYED", OLD, None, True),
        ("SUCCESS", NOW, MINE, True),  # ended, though what it carries has not
        ("ERROR", NOW, OTHER, True),
        ("CANCELLED", NOW, MINE, True),
        ("MAX_RECOVERY_ATTEMPTS_EXCEEDED", NOW, MINE, True),
    ],
)
def test_a_workflow_is_stranded_when_nobody_will_carry_it_on(
    status, version, executor, is_stranded
):
    assert durable.is_stranded(status, version, executor, here=MINE) is is_stranded


@pytest.mark.parametrize(("version", "is_stranded"), [(NOW, False), (OLD, True)])
def test_on_files_every_pending_workflow_is_ones_own(version, is_stranded):
    assert durable.is_stranded("PENDING", version, "control", here="control") is is_stranded
