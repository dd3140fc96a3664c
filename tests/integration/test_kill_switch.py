"""An emergency stop while all else is away: locked files, a frozen server, killed processes."""

import contextlib
import json
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from strategy_engine.cli.rules import GOES_ON
from strategy_engine.risk import calling
from strategy_engine.risk.model import Action, Deed
from strategy_engine.venue.limits import Scope

EXECUTIONS = 20
STILL = 1 / 30  # bars a second: after its first bar an execution sees no other for half a minute
KEY = "an-administrator-of-tests"
NO_CONTROL = "control is dead"
CODE = '''
class Restless:
    """Wants the other side at every bar, so that an order always waits."""

    def generate_signal(self, market_data):
        return "SELL" if market_data["position"] else "BUY"
'''
LOCK = """
import sqlite3, sys
held = [sqlite3.connect(each, isolation_level=None, timeout=30) for each in sys.argv[1:]]
for each in held:
    each.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""
SETTINGS = {"PIPELINE_STAGES": "syntax_check", "STRATEGY_METRICS_INTERVAL": "5"}


class Desk:
    """Lines that trade, asked as somebody."""

    def __init__(self, engine, key=None):
        self.engine = engine
        self.headers = {} if key is None else {"Authorization": f"Bearer {key}"}

    def ask(self, method, path, body=None, headers=None):
        return self.engine.call(method, path, body, headers or self.headers)

    def get(self, path):
        status, answer = self.ask("GET", path)
        assert status == 200, (status, answer, self.engine.tail())
        return answer

    def post(self, path, body=None):
        status, answer = self.ask("POST", path, body)
        assert status < 300, (status, answer, self.engine.tail())
        return answer

    def until(self, look, timeout_s=60.0):
        deadline = time.monotonic() + timeout_s
        while not (found := look()):
            assert time.monotonic() < deadline, self.engine.tail()
            time.sleep(0.05)
        return found

    def deploy(self, count):
        """Deploy lines; return their versions."""
        versions, pipelines = [], []
        for number in range(count):
            content = {
                "strategy_name": f"Line {number}",
                "version": "1.0.0",
                "code": CODE,
                "parameters": {"position_size": 0.1},
                "risk_limits": {"max_position_size": 200_000, "daily_loss_limit": -50_000},
            }
            versions.append(self.post("/strategies", content)["strategy_id"])
            asked = self.post(f"/strategies/{versions[-1]}/deploy")
            pipelines.append(asked["pipeline_id"])
        for each in pipelines:
            self.until(lambda one=each: self.is_completed(one))
        return versions

    def is_completed(self, pipeline_id):
        return self.get(f"/deployments/{pipeline_id}/status")["status"] == "completed"

    def start(self, strategy_id, speed):
        body = {"execution_config": {"speed": speed}}
        return self.post(f"/strategies/{strategy_id}/start", body)["execution_id"]

    def orders(self, status):
        """Return the orders of a status and why they were refused, by the ledger's file."""
        path = f"file:{self.engine.data_dir}/ledger.db?mode=ro"
        with contextlib.closing(sqlite3.connect(path, uri=True)) as file:
            asked = "SELECT order_id, denial_code FROM orders WHERE status = ?"
            return dict(file.execute(asked, [status]).fetchall())

    def stops(self):
        return {each["stop_id"]: each for each in self.get("/risk/emergency-stops")["stops"]}


@contextlib.contextmanager
def locked(folder):
    files = [str(folder / name) for name in ("control.db", "ledger.db")]
    holder = subprocess.Popen(
        [sys.executable, "-c", LOCK, *files], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"locked\n"
        yield
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()


def local_stop(line):
    return Deed(
        deed_id=f"stop_of_{line[-1]}",
        action=Action.EMERGENCY_STOP,
        scope=Scope.LINE,
        subject=line,
        reason="control is gone",
        actor="console (tests)",
        at=datetime.now(UTC),
    )


@pytest.mark.timeout(240)
def test_a_stop_is_complete_with_the_files_locked_and_holds_whoever_is_killed(start_engine):
    engine = start_engine(STRATEGY_API_KEY=KEY, **SETTINGS)
    desk = Desk(engine, KEY)
    made = desk.post("/keys", {"name": "rita", "role": "risk"})
    rita = {"Authorization": f"Bearer {made['key']}"}
    versions = desk.deploy(EXECUTIONS)
    started = [desk.start(each, STILL) for each in versions]
    desk.until(lambda: len(desk.orders("accepted")) == EXECUTIONS)
    assert desk.ask("GET", "/executions", headers=rita)[0] == 200  # control knows her key by now

    with locked(engine.data_dir):
        waited = set(desk.orders("accepted"))
        asked = {"reason": "prices are wrong"}
        status, stopped = desk.ask("POST", "/risk/emergency-stop", asked, rita)
        assert status == 200, stopped
        done, stop_id = stopped["done"], stopped["stop"]["stop_id"]
        assert len(done["executions"]) == done["cancelled"] == EXECUTIONS
        assert (done["open"], done["journaled"]) == ([], True)
        assert done["milliseconds"] < 1_000
        assert not stopped["recorded"]

        # Nothing but the node's own file knows of it; the next node holds it all the same.
        engine.until_replaced("engine-node", engine.kill("engine-node"))
        control = engine.kill("engine-control")
        told = by_command(engine.data_dir, "--local", "--line", "Line 3")
        assert told["done"] is not None, told
        assert told["way"] == f"the node's own socket in {engine.data_dir}"
        of_3 = told["stop"]["stop_id"]
        engine.until_replaced("engine-control", control)
        reached = calling.stop(engine.data_dir, local_stop("Line 7"), patience_s=30.0)
        assert reached.done is not None
        told = calling.status(engine.data_dir)
        assert [each["deed_id"] for each in told["stops"]] == [stop_id, of_3, "stop_of_7"]
        assert told["pending"] == [stop_id, of_3, "stop_of_7"]

    desk.until(lambda: answers(desk) and {stop_id, of_3, "stop_of_7"} <= desk.stops().keys(), 90)
    assert desk.stops()[stop_id]["actor"].startswith("rita")
    by_console = desk.stops()[of_3]
    assert by_console["actor"].startswith("console (")
    assert (by_console["scope"], by_console["subject"]) == ("line", "Line 3")
    # Each comes to a bar after its start: what waited is taken back, what it wants then is denied.
    desk.until(lambda: len(desk.orders("denied")) == EXECUTIONS, 120)
    assert set(desk.orders("denied").values()) == {"killed"}
    assert desk.orders("accepted") == {}
    assert waited <= desk.orders("cancelled").keys()

    asks_another_person_to_reset(desk, rita, stop_id, versions[0])
    status, refused = desk.ask("POST", f"/strategies/{versions[7]}/start")
    assert (status, refused["stop_id"]) == (409, "stop_of_7")
    shown = desk.get(f"/executions/{started[3]}")["emergency_stop"]
    assert (shown["stop_id"], shown["subject"], shown["reason"]) == (of_3, "Line 3", NO_CONTROL)


def asks_another_person_to_reset(desk, rita, stop_id, strategy_id):
    """See a version refused for a stop, and start once somebody else than who stopped resets it."""
    status, refused = desk.ask("POST", f"/strategies/{strategy_id}/start")
    assert (status, refused["type"]) == (409, "/problems/emergency-stopped")
    assert "prices are wrong" in refused["detail"]
    path, comment = f"/risk/emergency-stops/{stop_id}/reset", {"comment": "prices are back"}
    assert desk.ask("POST", path, comment, rita)[0] == 403
    over = desk.post(path, comment)
    assert over["confirmed"]
    assert over["stop"]["reset_by"] == "api-key"
    started = desk.post(f"/strategies/{strategy_id}/start")["execution_id"]
    assert desk.get(f"/executions/{started}")["emergency_stop"] is None


def by_command(data_dir, *options):
    """Return what `strategy-engine emergency-stop` answers on a terminal of this machine."""
    asked = [sys.executable, "-m", "strategy_engine.cli.main", "emergency-stop"]
    asked += ["--reason", NO_CONTROL, "--data-dir", str(data_dir), "--json", *options]
    ended = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode in {0, GOES_ON}, ended.stderr
    return json.loads(ended.stdout)


def answers(desk):
    with contextlib.suppress(OSError):
        return desk.ask("GET", "/health")[0] == 200
    return False


@pytest.mark.soak
@pytest.mark.timeout(180)
def test_a_stop_is_complete_with_postgresql_frozen_and_flattens_when_a_price_comes(
    start_engine, make_postgres
):
    server = make_postgres()
    engine = start_engine(database_url=server.new_database(), **SETTINGS)
    desk = Desk(engine)
    version, other = desk.deploy(2)
    execution_id, beside = desk.start(version, 2), desk.start(other, 2)
    desk.until(lambda: desk.get(f"/executions/{execution_id}")["fill_count"] > 0)

    server.freeze()
    try:
        wish = {"scope": "line", "subject": "Line 0", "flatten": True, "reason": "it loses"}
        stopped = desk.post("/risk/emergency-stop", wish)
        assert stopped["done"]["executions"] == [execution_id]
        assert stopped["done"]["open"] == []
        assert not stopped["recorded"]
    finally:
        server.thaw()

    path = f"/executions/{execution_id}"
    ended = desk.until(lambda: (now := desk.get(path))["status"] == "stopped" and now, 90)
    assert ended["risk_state"] == "HALTED"
    trades = desk.get(f"{path}/trades?limit=1000")["trades"]
    assert sum(float(t["quantity"]) * (1 if t["side"] == "BUY" else -1) for t in trades) == 0
    desk.until(lambda: desk.get(f"/strategies/{version}")["status"] == "stopped")
    assert stopped["stop"]["stop_id"] in desk.stops()
    status, refused = desk.ask("POST", f"/strategies/{version}/start")
    assert (status, refused["subject"]) == (409, "Line 0")
    assert desk.get(f"/executions/{beside}")["risk_state"] == "ACTIVE"
