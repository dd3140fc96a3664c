"""A deployment as a board: a line a stage with its verdict, its time and what matters. Pure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from strategy_engine.cli import rolling, views
from strategy_engine.client import model, rollout_model

_NOTE = "note"
_ROLLING_OUT = "rolling_out"
_LEVELS = {"error": "red", "warning": "yellow", _NOTE: "dim"}
_MARKS = {"passed": ("✓", "green"), "failed": ("✗", "red"), "inconclusive": ("?", "yellow")}
_PASSED: model.StageResult = {"passed": True, "duration_ms": 0}
_LEFT_OUT = Text("left out by PIPELINE_STAGES", style="dim")
_STAGE_WIDTH = 22
_TIME_WIDTH = 8

# What of a stage's evidence is worth a place on its line, in this order.
_TOLD: tuple[tuple[str, Callable[[Any], str]], ...] = (
    ("tests_passed", lambda value: f"{value} tests passed"),
    ("tests_failed", lambda value: f"{value} failed" if value else ""),
    ("trade_count", lambda value: f"{value} trades"),
    ("trades_executed", lambda value: f"{value} trades"),
    ("duration_hours", lambda value: f"{value:.0f} h"),
    ("total_return", lambda value: f"return {value:+.2%}"),
    ("sharpe_ratio", lambda value: f"Sharpe {value:.2f}"),
    ("max_drawdown", lambda value: f"drawdown {value:.2%}"),
    ("win_rate", lambda value: f"win rate {value:.0%}"),
    ("pnl", lambda value: f"P&L {value:+,.2f}"),
    ("alpha", lambda value: f"alpha {value:+.2%}"),
    ("beta", lambda value: f"beta {value:.2f}"),
    ("var_95", lambda value: f"VaR {value:.2%}"),
    ("cvar_95", lambda value: f"CVaR {value:.2%}"),
)


def stages_of(deployment: model.Deployment) -> list[str]:
    """Return the stages that a deployment runs, in order, as far as they are known."""
    known = list(deployment.get("stages") or deployment["results"])
    return known + [stage for stage in deployment["results"] if stage not in known]


def step_of(deployment: model.Deployment) -> str | None:
    """Return the rollout step that a deployment is at, once its stages are over."""
    if deployment["status"] != _ROLLING_OUT or _rollout(deployment) is None:
        return None
    step = deployment["current_stage"]
    return None if step in stages_of(deployment) else step


def _rollout(deployment: model.Deployment) -> rollout_model.Rollout | None:
    """Return a rollout that takes over from something; what is only placed has nothing to tell."""
    rollout = deployment.get("rollout")
    return rollout if rollout and len(rollout["steps"]) > 1 else None


def waits_for(deployment: model.Deployment) -> str:
    """Return what the step of a rollout waits for, or who holds it."""
    rollout = deployment.get("rollout")
    if not rollout:
        return deployment.get("message") or ""
    hold = rollout.get("hold")
    return f"held by {hold['by']}: {hold['why']}" if hold else rollout["waits_for"]


def is_held(deployment: model.Deployment | None) -> bool:
    """Return whether a rollout stays at its step until it is resumed."""
    rollout = deployment.get("rollout") if deployment else None
    return bool(rollout and rollout.get("hold"))


def headline(result: Mapping[str, Any]) -> str:
    """Return what matters most of a stage: why it failed, or what it measured."""
    message = str(result.get("message") or "")
    if not result["passed"]:
        return message or "failed"
    figures = [
        told(value)
        for name, told in _TOLD
        if isinstance(value := result.get(name), int | float) and not isinstance(value, bool)
    ]
    return ", ".join(each for each in figures if each) or message or "passed"


def board(deployment: model.Deployment, *, notes: bool = False) -> Table:
    """Return every stage: finished with what they found, running, to come, and left out.

    `notes` shows all that they noted; else the names of what they checked stand for it.
    """
    results = deployment["results"]
    grid = _grid()
    for stage in stages_of(deployment):
        if stage in results:
            _add_finished(grid, stage, results[stage], notes=notes)
        elif stage == deployment["current_stage"]:
            grid.add_row(Spinner("dots", style="cyan"), views.text(stage, "cyan"), "", "")
        else:
            grid.add_row(Text("·", style="dim"), views.text(stage, "dim"), "", "")
    if rollout := _rollout(deployment):
        for mark, name, told in rolling.rows(rollout):
            grid.add_row(mark, name, "", told)
    for stage in deployment.get("left_out") or []:
        grid.add_row(Text("–", style="dim"), views.text(stage, "dim"), "", _LEFT_OUT)
    return grid


def finished(stage: str, result: model.StageResult) -> Table:
    """Return one finished stage as lines of their own, for output that only grows."""
    grid = _grid()
    _add_finished(grid, stage, result, notes=False)
    return grid


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=1)
    grid.add_column(width=_STAGE_WIDTH, no_wrap=True)
    grid.add_column(width=_TIME_WIDTH, justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def _add_finished(grid: Table, stage: str, result: model.StageResult, *, notes: bool) -> None:
    verdict = result.get("verdict") or ("passed" if result["passed"] else "failed")
    mark, style = _MARKS.get(verdict, ("?", "yellow"))
    style = style if result["passed"] else "red"
    took = views.duration(result["duration_ms"])
    line = views.text(headline(result), "" if result["passed"] else "red")
    grid.add_row(Text(mark, style=style), views.text(stage), Text(took, style="dim"), line)
    if not notes and (checked := _checked(result)):
        grid.add_row("", "", "", views.text(f"checked {', '.join(checked)}", "dim"))
    for told in _findings(result, notes=notes):
        grid.add_row("", "", "", told)


def _checked(result: model.StageResult) -> list[str]:
    """Return the names of the checks that had nothing to object; a note reads `name: message`."""
    names = [
        each["message"].partition(":")[0]
        for each in result.get("findings") or []
        if each["level"] == _NOTE
    ]
    return [name.replace("_", " ") for name in names if name.isidentifier()]


def _findings(result: model.StageResult, *, notes: bool) -> Iterator[Text]:
    message = result.get("message") or ""
    for each in result.get("findings") or []:
        is_told = each["message"] == message and not result["passed"]
        if is_told or (each["level"] == _NOTE and not notes):
            continue
        place = f" ({each['where']})" if each.get("where") else ""
        yield views.text(
            f"{each['level']}: {each['message']}{place}", _LEVELS.get(each["level"], "")
        )


def heading(deployment: model.Deployment) -> Text:
    """Return what is deployed and how it stands, as a line."""
    line = Text().append_text(views.text(deployment["pipeline_id"], "bold"))
    line.append_text(
        views.text(f"  {deployment['strategy_id']}  {deployment['deployment_type']}  ")
    )
    line.append_text(views.state(deployment["status"]))
    if outcome := deployment.get("outcome"):
        line.append_text(views.text(f" ({outcome})"))
    return line


def why_failed(deployment: model.Deployment) -> str:
    """Return the failed stage with its reason, or else what the deployment itself says."""
    results = deployment["results"]
    failed = [stage for stage in stages_of(deployment) if not results.get(stage, _PASSED)["passed"]]
    if failed:
        return f"{deployment['pipeline_id']} failed at {failed[0]}: {headline(results[failed[0]])}"
    reason = deployment.get("message") or deployment.get("outcome") or "no reason given"
    return f"{deployment['pipeline_id']} failed: {reason}"
