"""Follow a deployment to its end and show it on the way."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live

from strategy_engine.cli import board, rolling, rules, views
from strategy_engine.client import model

POLL_S = 0.1
type Ask = Callable[[], model.Deployment]


def follow(
    ask: Ask,
    console: Console,
    *,
    poll_s: float = POLL_S,
    sleep: Callable[[float], None] = time.sleep,
) -> model.Deployment:
    """Show a deployment until it ends; return how it ended.

    On a terminal the board redraws itself; elsewhere each stage is printed once, when it is done,
    and each step of a rollout when it begins.
    """
    shown = _on_terminal if console.is_terminal else _line_by_line
    return shown(ask, console, lambda: sleep(poll_s))


def _on_terminal(ask: Ask, console: Console, wait: Callable[[], None]) -> model.Deployment:
    deployment = ask()
    with Live(board.board(deployment), console=console, refresh_per_second=12) as live:
        while not has_ended(deployment):
            wait()
            before, deployment = deployment, ask()
            live.update(board.board(deployment))
            _tell_wait(before, deployment, console)
    return deployment


def _line_by_line(ask: Ask, console: Console, wait: Callable[[], None]) -> model.Deployment:
    told: set[str] = set()
    before = None
    while True:
        deployment = ask()
        for stage in board.stages_of(deployment):
            if stage in deployment["results"] and stage not in told:
                told.add(stage)
                console.print(board.finished(stage, deployment["results"][stage]))
        _tell_step(before, deployment, console)
        _tell_undo(before, deployment, console)
        _tell_wait(before, deployment, console)
        if has_ended(deployment):
            return deployment
        before = deployment
        wait()


def has_ended(deployment: model.Deployment) -> bool:
    """Return whether nothing more will happen to a deployment."""
    return deployment["status"] in rules.ENDED_STATES


def _tell_step(
    before: model.Deployment | None, deployment: model.Deployment, console: Console
) -> None:
    step = board.step_of(deployment)
    if step and (before is None or board.step_of(before) != step):
        console.print(views.text(f"→ {step}  {board.waits_for(deployment)}".rstrip(), "cyan"))
    elif step and board.is_held(deployment) and not board.is_held(before):
        console.print(views.text(f"  {board.waits_for(deployment)}", "yellow"))


def _tell_undo(
    before: model.Deployment | None, deployment: model.Deployment, console: Console
) -> None:
    told = rolling.undone(deployment.get("rollout"))
    if told and told != rolling.undone(before.get("rollout") if before else None):
        console.print(views.text(told, "red"))


def _tell_wait(
    before: model.Deployment | None, deployment: model.Deployment, console: Console
) -> None:
    waits = deployment["status"] == "awaiting_approval"
    if waits and (before is None or before["status"] != deployment["status"]):
        pipeline_id = deployment["pipeline_id"]
        console.print(
            views.text(
                f"waits for approval: strategy-engine approve {pipeline_id}"
                f" (or reject {pipeline_id})",
                "yellow",
            )
        )
