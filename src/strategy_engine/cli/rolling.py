"""A rollout as rows of a board: its steps, what holds it, what undid it. Pure."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from strategy_engine.cli import views
from strategy_engine.client import rollout_model as model

_MARKS = {
    "done": ("✓", "green"),
    "skipped": ("–", "dim"),
    "stopped": ("✗", "red"),
    "waiting": ("·", "dim"),
    "never": ("·", "dim"),
}
_NOW = "now"
_CLOSES = {
    "next_price": "closes at the next price",
    "own_exits": "closes by its own exits",
    "adopted": "hands over to the new version",
}

type Row = tuple[RenderableType, Text, Text]


def rows(rollout: model.Rollout) -> Iterator[Row]:
    """Return a row a step (mark, name, what it waits for), then shares, hold and undo."""
    for step in rollout["steps"]:
        yield _step(step, rollout["waits_for"])
    weights = rollout["weights"]
    if any(weights.values()):
        shares = ", ".join(f"{name} {share:.4g} %" for name, share in _percent(weights))
        yield Text(), views.text("capital", "dim"), views.text(shares, "dim")
    if hold := rollout["hold"]:
        yield Text(), Text(), views.text(f"held by {hold['by']}: {hold['why']}", "yellow")
    if told := undone(rollout):
        yield Text(), Text(), views.text(told, "red")


def undone(rollout: model.Rollout | None) -> str:
    """Return why a rollout is being undone, or was, and how fast; or empty text."""
    undo = rollout and rollout["undo"]
    if not undo:
        return ""
    took = undo["restored_in_s"]
    given_back = "" if took is None else f"; capital given back in {took:.2f} s"
    return f"undone ({undo['reason']}): {undo['why']}{given_back}"


def effects(found: Sequence[model.Effect]) -> Table:
    """Return what a verb would do, an execution a row."""
    return views.table(
        ("execution", "role", "cancels", "positions", "capital", "to", "opens"),
        (
            (
                each["execution_id"],
                each["role"],
                str(each["cancels"]),
                _positions(each),
                views.number(each["capital_from"], ",.2f"),
                views.number(each["capital_to"], ",.2f"),
                each["opens"],
            )
            for each in found
        ),
        numbers="cancels capital to",
    )


def events(found: Sequence[model.Event]) -> Table:
    """Return a deployment's history, an event a row."""
    return views.table(
        ("at (UTC)", "who", "what", "of", "why"),
        (
            (
                views.when(each["at"]),
                each["actor"],
                each["action"],
                each["stage"] or each["step"] or each["to_state"] or "",
                " ".join(
                    part
                    for part in (each["verdict"] or "", each["reason"] or "", each["message"])
                    if part
                ),
            )
            for each in found
        ),
    )


def _step(step: model.Step, waits_for: str) -> Row:
    if step["state"] == _NOW:
        mark: RenderableType = Spinner("dots", style="cyan")
        return mark, views.text(step["name"], "cyan"), views.text(waits_for, "dim")
    sign, style = _MARKS.get(step["state"], ("?", "yellow"))
    told = step["state"] if step["state"] in {"skipped", "stopped"} else ""
    is_done = step["state"] == "done"
    name = views.text(step["name"], "" if is_done else "dim")
    return Text(sign, style=style), name, views.text(told, "dim")


def _percent(weights: dict[str, float]) -> list[tuple[str, float]]:
    return [(name, 100 * share) for name, share in weights.items()]


def _positions(effect: model.Effect) -> str:
    how = _CLOSES.get(effect["closes"])
    if how is None or not effect["positions"]:
        return views.DASH
    held = ", ".join(f"{each['quantity']:g} {each['symbol']}" for each in effect["positions"])
    return f"{how}: {held}"
