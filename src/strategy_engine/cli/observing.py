"""What an engine has of the versions that a manifest is about, asked over its API."""

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from strategy_engine.cli import rules
from strategy_engine.cli.planning import LastDeployment, LastExecution, Observed
from strategy_engine.registry.model import Content, Status

if TYPE_CHECKING:
    from strategy_engine.client import model
    from strategy_engine.client.service import Client

PAGE = 500
RECENT = 20  # the newest may be a rollout's candidates and their baselines
STABLE = "stable"


def observe(client: "Client", lines: Collection[str] | None) -> list[Observed]:
    """Return the versions of some lines as they stand; of every line if None."""
    return [_observed(client, each) for each in _versions(client, lines)]


def _versions(client: "Client", lines: Collection[str] | None) -> Iterator["model.Strategy"]:
    if lines is None:
        yield from _pages(client, None)
        return
    for name in sorted(lines):  # the engine finds names that hold this one
        yield from (each for each in _pages(client, name) if each["strategy_name"] == name)


def _pages(client: "Client", name: str | None) -> Iterator["model.Strategy"]:
    seen = 0
    while True:
        page = client.strategies(name=name, limit=PAGE, offset=seen)
        yield from page["strategies"]
        seen += page["count"]
        if not page["count"] or seen >= page["total"]:
            return


def _observed(client: "Client", listed: "model.Strategy") -> Observed:
    strategy_id = listed["strategy_id"]
    whole = client.strategy(strategy_id)
    executions = client.executions(status="all", strategy_id=strategy_id, limit=RECENT)[
        "executions"
    ]
    return Observed(
        strategy_id=strategy_id,
        name=whole["strategy_name"],
        version=whole["version"],
        status=Status(whole["status"]),
        content=Content(
            strategy_name=whole["strategy_name"],
            version=whole["version"],
            code=whole["code"],
            parameters=whole["parameters"],
            risk_limits=whole["risk_limits"],
            tests=whole["tests"],
        ),
        deployment=_last_deployment(client, strategy_id),
        execution=_last_execution(executions),
        newest_role=executions[0].get("role") if executions else None,
    )


def _last_deployment(client: "Client", strategy_id: str) -> LastDeployment | None:
    found = client.deployments(strategy_id=strategy_id, limit=1)["deployments"]
    if not found:
        return None
    return LastDeployment(
        pipeline_id=found[0]["pipeline_id"],
        status=found[0]["status"],
        is_open=found[0]["status"] not in rules.ENDED_STATES,
        outcome=found[0].get("outcome"),
        message=found[0].get("message") or "",
    )


def _last_execution(found: "Sequence[model.Execution]") -> LastExecution | None:
    last = next((each for each in found if each.get("role", STABLE) == STABLE), None)
    if last is None:
        return None
    return LastExecution(
        execution_id=last["execution_id"],
        config=last.get("config") or {},
        end_reason=last.get("end_reason"),
    )
