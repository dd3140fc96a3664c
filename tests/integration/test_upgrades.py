"""Deployments that were under way go on after a restart, also under another workflow version."""

import importlib.util
import json
import signal
import sys
from pathlib import Path

import pytest

from strategy_engine import examples

CHAOS = Path(__file__).parent / "chaos"
_spec = importlib.util.spec_from_file_location("upgrade_books", CHAOS / "books.py")
books = importlib.util.module_from_spec(_spec)
sys.modules["upgrade_books"] = books
_spec.loader.exec_module(books)

RSI = next(each for each in examples.EXAMPLES if each.file == "rsi_mean_reversion.py")
LOOP = next(each for each in examples.EXAMPLES if each.file == "endless_loop.py")


def deploy(engine, name, example=RSI, **options):
    body = {
        "strategy_name": name,
        "version": "1.0.0",
        "code": example.source(),
        "parameters": dict(example.parameters),
        "risk_limits": dict(example.risk_limits),
    }
    strategy_id = engine.post("/strategies", body)["strategy_id"]
    return engine.post(f"/strategies/{strategy_id}/deploy", options)["pipeline_id"]


def waiting(engine, pipeline_id):
    return engine.until(
        f"/deployments/{pipeline_id}/status", lambda now: now["status"] == "awaiting_approval"
    )


def ended(engine, pipeline_id):
    return engine.until(
        f"/deployments/{pipeline_id}/status",
        lambda now: now["status"] in {"completed", "failed"},
        timeout_s=90,
    )


def test_what_waits_or_runs_goes_on_after_restarts_and_under_another_workflow_version(start_engine):
    settings = {"PIPELINE_STAGES": "syntax_check,unit_tests", "STRATEGY_DECISION_TIMEOUT": "3"}
    engine = start_engine(**settings)
    again, other, rejected = (
        deploy(engine, name, approval_required=True) for name in ("Again", "Other", "Rejected")
    )
    for each in (again, other, rejected):
        waiting(engine, each)

    assert engine.stop() == 0
    engine = start_engine(port=engine.port, data_dir=engine.data_dir, **settings)
    assert waiting(engine, again)["current_stage"] == "approval"
    engine.post(f"/deployments/{again}/approve")
    assert ended(engine, again)["outcome"] == "promoted"

    running = deploy(engine, "Running", LOOP)
    engine.until(f"/deployments/{running}/status", lambda now: now["current_stage"] == "unit_tests")
    engine.process.send_signal(signal.SIGKILL)
    engine.process.wait(15)
    newer = {"PYTHONPATH": str(CHAOS / "another_version"), "CHAOS_WORKFLOW_VERSION": "2"}
    engine = start_engine(port=engine.port, data_dir=engine.data_dir, **settings, **newer)
    assert waiting(engine, other)["current_stage"] == "approval"
    engine.post(f"/deployments/{other}/approve")
    engine.post(f"/deployments/{rejected}/reject")
    assert ended(engine, other)["outcome"] == "promoted"
    assert ended(engine, rejected)["outcome"] == "rejected"
    found = ended(engine, running)
    assert (found["outcome"], found["results"]["unit_tests"]["passed"]) == ("rejected", False)

    book = books.Books(engine.data_dir)
    arrows, evidence = book.arrows("deployment"), book.evidence()
    assert arrows[other] == arrows[again]
    for each in (again, other, rejected, running):
        assert [stage for stage, _, _ in evidence[each]] == ["syntax_check", "unit_tests"]
        assert len(set(arrows[each])) == len(arrows[each])
    versions = {
        row[0]: row[1]
        for row in book.rows(
            books.WORKFLOWS, "SELECT workflow_uuid, application_version FROM workflow_status"
        )
    }
    carried = (f"{other}-rollout", f"{rejected}-rollout", running)
    assert (versions[f"{again}-rollout"], {versions[each] for each in carried}) == ("1", {"2"})


@pytest.mark.soak
def test_an_answer_whose_announcement_was_lost_is_found_after_a_restart(start_engine):
    engine = start_engine(PIPELINE_STAGES="syntax_check")
    outcomes = {}
    for approved, outcome in ((True, "promoted"), (False, "rejected")):
        pipeline_id = deploy(engine, outcome, approval_required=True)
        waiting(engine, pipeline_id)
        outcomes[pipeline_id] = (approved, outcome)
    engine.process.send_signal(signal.SIGKILL)
    engine.process.wait(15)
    book = books.Books(engine.data_dir)
    for pipeline_id, (approved, _) in outcomes.items():
        answer = {
            "approved": approved,
            "actor": "risk",
            "comment": "",
            "at": "2026-01-01T00:00:00+00:00",
        }
        book.write(
            books.CONTROL,
            "UPDATE deployments SET approval = :answer WHERE pipeline_id = :id",
            id=pipeline_id,
            answer=json.dumps(answer),
        )
    engine = start_engine(
        port=engine.port, data_dir=engine.data_dir, PIPELINE_STAGES="syntax_check"
    )
    for pipeline_id, (_, outcome) in outcomes.items():
        assert ended(engine, pipeline_id)["outcome"] == outcome
