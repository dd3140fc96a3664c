"""What people do to a rollout on a real engine: held, skipped, undone, tried again."""

from strategy_engine import examples

RSI = next(each for each in examples.EXAMPLES if each.name == "RSI mean reversion")
LINE = "Verbs on a canary"
# Steps that end by nothing but a person's word.
WATCHED = {"weight": 0.2, "min_time": "1h"}


def register(engine, version):
    return engine.post(
        "/strategies",
        {
            "strategy_name": LINE,
            "version": version,
            "code": RSI.source(),
            "parameters": dict(RSI.parameters),
            "risk_limits": dict(RSI.risk_limits),
        },
    )["strategy_id"]


def until(engine, pipeline_id, wanted):
    return engine.until(f"/deployments/{pipeline_id}/status", wanted, timeout_s=120)


def at_step(name):
    return lambda now: now["rollout"] is not None and now["current_stage"] == name


def ended(now):
    return now["status"] in {"completed", "failed"}


def test_a_rollout_is_held_looked_ahead_skipped_undone_and_tried_again(engine):
    old = register(engine, "1.0.0")
    first = engine.post(f"/strategies/{old}/deploy")["pipeline_id"]
    assert until(engine, first, ended)["status"] == "completed"
    running = engine.post(f"/strategies/{old}/start", {"execution_config": {"speed": 20}})
    new = register(engine, "2.0.0")
    options = {"deployment_type": "canary", "steps": [{"shadow": "1h"}, WATCHED]}
    pipeline_id = engine.post(f"/strategies/{new}/deploy", options)["pipeline_id"]

    def say(verb, **said):
        return engine.post(f"/deployments/{pipeline_id}/{verb}", said)

    until(engine, pipeline_id, at_step("shadow"))
    assert say("pause", comment="until Monday")["status"] == "paused"
    held = engine.get(f"/deployments/{pipeline_id}/status")["rollout"]
    assert held["hold"] == {"by": "local", "why": "until Monday"}
    assert held["weights"] == {"new": 0.0, "baseline": 0.0, "before": 1.0}

    foreseen = say("skip-step?dry_run=true", step=1)
    given = {each["execution_id"]: each["capital_to"] for each in foreseen["effects"]}
    worth = sum(each["capital_from"] for each in foreseen["effects"])
    assert abs(given[held["candidate"]] - 0.2 * worth) < 1e-6 * worth
    assert engine.get(f"/deployments/{pipeline_id}/status")["rollout"]["step"] == 1

    say("resume")
    say("skip-step", step=1)
    say("skip-step", step=1)  # said again, it leaves out no other step
    placed = until(engine, pipeline_id, lambda now: now["rollout"]["weights"]["new"] == 0.2)[
        "rollout"
    ]
    assert [each["state"] for each in placed["steps"]][:3] == ["done", "skipped", "now"]

    would = say("abort?dry_run=true")
    back = {each["execution_id"]: each for each in would["effects"]}
    assert back[held["candidate"]]["opens"] == "no"
    assert back[running["execution_id"]]["opens"] == "yes"
    assert say("abort", comment="enough seen")["status"] == "aborting"
    done = until(engine, pipeline_id, ended)
    assert (done["status"], done["outcome"]) == ("failed", "aborted")
    assert done["rollout"]["undo"]["why"] == "aborted by local: enough seen"
    assert done["rollout"]["weights"] == {"new": 0.0, "baseline": 0.0, "before": 1.0}
    assert engine.get(f"/executions/{running['execution_id']}")["status"] == "running"

    events = engine.get(f"/deployments/{pipeline_id}/events")["events"]
    told = [each["action"] for each in events if each["kind"] == "action"]
    assert told == ["request", "pause", "resume", "skip_step", "abort"]
    steps = [each["step"] for each in events if each["action"] == "step_begins"]
    assert steps == ["prepare", "shadow", "weight_20"]

    again = say("retry")["pipeline_id"]
    assert say("retry")["pipeline_id"] == again != pipeline_id
    until(engine, again, at_step("shadow"))
    engine.post(f"/deployments/{again}/abort")
    until(engine, again, ended)
    engine.post(f"/strategies/{old}/stop")
