"""Nothing is lost and nothing done twice, whatever of the engine is killed -9, and whenever."""

import importlib.util
import itertools
import os
import random
import sys
import time
from collections import defaultdict
from pathlib import Path

import msgspec
import pytest

from strategy_engine import examples
from strategy_engine.infra.bus import topics

FOLDER = Path(__file__).parent / "chaos"

pytestmark = pytest.mark.timeout(600)  # twenty seconds each on idle cores; kills wait for others


def load(name, folder=FOLDER):
    spec = importlib.util.spec_from_file_location(f"chaos_{name}", folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


victims = load("victim")
books = load("books")
trading = load("trading")
redis_server = load("redis_server", FOLDER.parent / "runners")

BY_FILE = {each.file: each for each in examples.EXAMPLES}
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)

# What is deployed, and what its approver says; every kind ends in another way.
KINDS = {
    "passes": ("rsi_mean_reversion.py", {}, None),
    "is approved": ("rsi_mean_reversion.py", {"approval_required": True}, "approve"),
    "is turned down": ("rsi_mean_reversion.py", {"approval_required": True}, "reject"),
    "earns too little": ("ma_cross.py", {}, None),
    "never trades": ("never_trades.py", {}, None),
    "is no Python": ("syntax_error.py", {}, None),
    "has state": ("stateful.py", {}, None),
}

OUTCOMES = {
    kind: "rejected" if BY_FILE[file].fails_at or verb == "reject" else "promoted"
    for kind, (file, _, verb) in KINDS.items()
}

EVERYTHING = (victims.ALL, victims.CONTROL, victims.NODE, victims.ZYGOTE)
OF_TRADING = (victims.ALL, victims.NODE, victims.ZYGOTE, victims.CHILD)

BARS = 1_200  # more than any run comes to: how far each got must not matter

# How many deployments and kills each database's short form has; the long ones run on both.
SHORT = {"sqlite": (14, 4), "postgresql": (7, 2)}


def deploy(engine, name, kind):
    file, options, _ = KINDS[kind]
    example = BY_FILE[file]
    body = {
        "strategy_name": name,
        "version": "1.0.0",
        "code": example.source(),
        "parameters": dict(example.parameters),
        "risk_limits": dict(example.risk_limits),
    }
    strategy_id = engine.post("/strategies", body)["strategy_id"]
    return strategy_id, engine.post(f"/strategies/{strategy_id}/deploy", options)["pipeline_id"]


def answer_those_that_wait(victim, kinds):
    for pipeline_id, kind in kinds.items():
        verb = KINDS[kind][2]
        if verb is None:
            continue
        if victim.ask(f"/deployments/{pipeline_id}/status")["status"] == "awaiting_approval":
            victim.tell(f"/deployments/{pipeline_id}/{verb}")


def rests(victim, kinds):
    """Say whether nothing is left to do: every deployment has ended, or waits for a person."""
    done = {"completed", "failed", "awaiting_approval"}
    return all(victim.ask(f"/deployments/{each}/status")["status"] in done for each in kinds)


def wait_for_ends(victim, kinds, timeout_s=240.0):
    deadline = time.monotonic() + timeout_s
    while True:
        answer_those_that_wait(victim, kinds)
        found = {each: victim.ask(f"/deployments/{each}/status") for each in kinds}
        if all(each["status"] in {"completed", "failed"} for each in found.values()):
            return
        assert time.monotonic() < deadline, (found, victim.engine.tail())
        time.sleep(0.1)


def drawn(chance, kinds, kills):
    """Return so many kinds of kills by chance, the first ones of the list in any case."""
    return chance.sample([*kinds, *chance.choices(kinds, k=kills)][:kills], kills)


def effects(steps):
    """Return what a rollout did; how often it looked for an answer is chance."""
    names = [name for _, name in steps if "DBOS" not in name]
    return [name for name, group in itertools.groupby(names)]


def stories_of(victim, kinds, versions):
    """Return everything that deployments left behind, but for names and times."""
    book = books.Books(victim.data_dir, victim.server)
    workflows, steps, evidence = book.workflows(), book.steps(), book.evidence()
    deployments, strategies = book.arrows("deployment"), book.arrows("strategy")
    paper_runs = book.paper_runs()
    found = {}
    for pipeline_id in kinds:
        end = victim.ask(f"/deployments/{pipeline_id}")
        rollout_id = f"{pipeline_id}-rollout"
        found[pipeline_id] = {
            "end": (end["status"], end["outcome"], end["current_stage"]),
            "evidence": evidence.get(pipeline_id, []),
            "deployment": deployments[pipeline_id],
            "version": strategies[versions[pipeline_id]],
            "paper runs": paper_runs.get(versions[pipeline_id], 0),
            "workflows": [workflows.get(pipeline_id), workflows.get(rollout_id)],
            "validation steps": steps.get(pipeline_id),
            "rollout steps": effects(steps.get(rollout_id, [])),
        }
    return found


def deploy_all(engine, prefix, count):
    """Deploy so many, one kind after the other; return the kinds and the versions by pipeline."""
    kinds, versions = {}, {}
    for number, kind in zip(range(count), itertools.cycle(KINDS), strict=False):
        strategy_id, pipeline_id = deploy(engine, f"{prefix} {number}", kind)
        kinds[pipeline_id], versions[pipeline_id] = kind, strategy_id
    return kinds, versions


def deployments_survive(start_engine, server, *, count, kills):
    chance = random.Random(SEED)  # noqa: S311  a seed that is printed, so that a run can be had again
    victim = victims.Victim(start_engine, server, {"MAX_CONCURRENT_DEPLOYMENTS": str(count)})
    book = books.Books(victim.data_dir, server)
    kinds, versions = deploy_all(victim.engine, "Undisturbed", len(KINDS))
    wait_for_ends(victim, kinds)
    stories = stories_of(victim, kinds, versions)
    expected = {kinds[each]: stories[each] for each in kinds}
    assert {kind: story["end"][1] for kind, story in expected.items()} == OUTCOMES

    kinds, versions = deploy_all(victim.engine, "Disturbed", count)
    for what in drawn(chance, EVERYTHING, kills):
        time.sleep(chance.uniform(0.1, 1.0))
        victim.kill(
            what,
            chance,
            lambda: book.done_steps() + book.entries(),
            lambda before, now: before < now or rests(victim, kinds),
        )
        answer_those_that_wait(victim, kinds)
    wait_for_ends(victim, kinds)
    stories = stories_of(victim, kinds, versions)
    assert [(kinds[each], stories[each]) for each in kinds] == [
        (kinds[each], expected[kinds[each]]) for each in kinds
    ]
    report(f"{count} deployments", victim)


def say(line):
    sys.stdout.write(line + "\n")


def report(what, victim):
    say(f"\n{what}, seed {SEED} (CHAOS_SEED={SEED} does the same kills again):")
    for kill in victim.kills:
        say(f"  {kill}")


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)])
def test_deployments_end_as_they_would_have_whatever_is_killed(start_engine, request, database):
    server = None if database == "sqlite" else request.getfixturevalue("new_database")()
    count, kills = SHORT[database]
    deployments_survive(start_engine, server, count=count, kills=kills)


@pytest.mark.soak
def test_25_deployments_end_as_they_would_have_after_five_kills(start_engine, server):
    deployments_survive(start_engine, server, count=25, kills=5)


def start_line(engine, number):
    body = {
        "strategy_name": f"Line {number}",
        "version": "1.0.0",
        "code": trading.WITNESS,
        "parameters": {
            "every": 3 + number % 7,
            "lookback": trading.LOOKBACK,
            "position_size": 0.05,
            "symbols": [trading.SYMBOL],
        },
        "risk_limits": {"max_position_size": 1_000_000 + number},
    }
    return engine.post("/strategies", body)["strategy_id"]


def started(engine, strategy_id, speed):
    config = {"execution_config": {"speed": speed}}
    return engine.post(f"/strategies/{strategy_id}/start", config)["execution_id"]


def until_all(victim, execution_ids, is_so, timeout_s=240.0):
    deadline = time.monotonic() + timeout_s
    while True:
        found = {each: victim.ask(f"/executions/{each}") for each in execution_ids}
        if all(map(is_so, found.values())):
            return found
        assert time.monotonic() < deadline, (found, victim.engine.tail())
        time.sleep(0.1)


@pytest.fixture
def bus(tmp_path):
    with redis_server.running(tmp_path) as running:
        yield running


def published(bus, topic):
    """Return what was published on a topic, by execution, in its order and without repetitions."""
    entries = bus.entries(f"trader-STRATEGY-ENGINE-001:stream:{topic}")
    events = [msgspec.msgpack.decode(each["payload"]) for each in entries]
    found = defaultdict(list)
    for each in {event["event_id"]: event for event in events}.values():
        found[each["execution_id"]].append(each)
    return found


def check_bus(bus, ids):
    """Check that the bus tells the trades of the ledger: every one, once, in their order."""
    deadline = time.monotonic() + 60.0
    while not ids.keys() <= published(bus, topics.STOPPED).keys():
        assert time.monotonic() < deadline, "the bus was not told of every end"
        time.sleep(0.1)
    told = published(bus, topics.TRADE)
    assert {name: [each["trade"]["trade_id"] for each in told[name]] for name in ids} == ids


def lines_deployed(victim, count):
    versions = [start_line(victim.engine, number) for number in range(count)]
    pipelines = [
        victim.engine.post(f"/strategies/{each}/deploy")["pipeline_id"] for each in versions
    ]
    wait_for_ends(victim, dict.fromkeys(pipelines, "passes"))
    return versions


def executions_survive(start_engine, server, bus, *, count, speed, kills):
    chance = random.Random(SEED)  # noqa: S311  a seed that is printed, so that a run can be had again
    environment = {
        "PIPELINE_STAGES": "syntax_check",
        "MAX_CONCURRENT_DEPLOYMENTS": str(count),
        "STRATEGY_METRICS_INTERVAL": "1",
        "REDIS_URL": bus.url,
        "STRATEGY_BUS_ENCODING": "msgpack",
    }
    victim = victims.Victim(start_engine, server, environment)
    book = books.Books(victim.data_dir, server)
    closes = trading.give_bars(victim.data_dir, BARS)
    versions = lines_deployed(victim, count)
    whole = [started(victim.engine, each, 0) for each in versions]
    until_all(victim, whole, lambda now: now["end_reason"] == "completed")

    cut = [started(victim.engine, each, speed) for each in versions]
    for what in drawn(chance, (*OF_TRADING, victims.CONTROL), kills):
        time.sleep(chance.uniform(0.1, 0.6))
        victim.kill(what, chance, lambda: book.entries_of(cut), all_moved)
        back = until_all(victim, cut, lambda now: now["status"] == "running")
        for each in back.values():
            check_gaps(each)
    report(f"{count} executions that trade", victim)
    began = time.monotonic()
    assert victim.engine.stop() == 0
    say(f"  SIGTERM with {count} executions: {time.monotonic() - began:.2f} s")
    victim.restart()
    until_all(victim, cut, lambda now: now["status"] == "running")
    for each in versions:
        victim.tell(f"/strategies/{each}/stop")
    stopped = until_all(victim, cut, lambda now: now["status"] == "stopped")

    found = trading.read(victim.data_dir, server, whole + cut)
    for undisturbed, disturbed in zip(whole, cut, strict=True):
        check_books(found[disturbed], found[undisturbed], disturbed, closes)
        assert stopped[disturbed]["fill_count"] == len(found[disturbed].trades)
    arrows = book.arrows("execution")
    for each in cut:
        actions = [action for action, _, _ in arrows[each]]
        assert actions.count("ready") == 1 + len(stopped[each]["interruptions"])
        assert actions.count("stop") == 1
    check_bus(bus, {each: [trade.trade_id for trade in found[each].trades] for each in cut})
    told = sum(found[each].told.fills for each in cut)
    kept = sum(len(found[each].trades) for each in cut)
    say(f"  {told} fills told = {kept} in the ledger = on the bus")
    assert told > count


def check_books(cut, whole, execution_id, closes):
    """Check that what was killed on its way did what the other one did, to the last digit."""
    done = len(cut.equity)
    assert 0 < done < BARS
    assert cut.findings == whole.findings == ()
    assert [each.trade_id for each in cut.trades] == [
        f"{execution_id}-{number}" for number in range(1, len(cut.trades) + 1)
    ]
    assert [each.close_ns for each in cut.equity] == closes[:done]
    assert cut.told == cut.as_told()
    assert list(cut.undelivered) == []
    assert cut.curve() == whole.curve()[:done]
    assert cut.moves() == whole.moves_before(closes[done - 1])


def all_moved(before, after):
    """Say whether every execution kept new bars; what was under way when it was killed is two."""
    return all(after[each] >= before[each] + 3 for each in before)


def check_gaps(execution):
    """Check that a running execution shows every gap in its life, whole."""
    gaps = execution["interruptions"]
    assert all(gap["to_at"] is not None for gap in gaps), gaps
    assert all(gap["from_at"] <= gap["to_at"] for gap in gaps), gaps
    assert all(gap["bars_missed"] == 0 for gap in gaps), gaps
    assert bool(gaps) or execution["epoch"] == 1, execution


def test_executions_trade_on_as_if_nothing_had_been_killed(start_engine, bus):
    executions_survive(start_engine, None, bus, count=6, speed=10, kills=3)


@pytest.mark.soak
def test_50_executions_trade_on_after_20_kills(start_engine, server, bus):
    executions_survive(start_engine, server, bus, count=50, speed=3, kills=20)
