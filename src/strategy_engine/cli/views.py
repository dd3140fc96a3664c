"""Answers of the engine as text and tables for a terminal. Nothing here asks or decides."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from strategy_engine.cli import rules
from strategy_engine.client import model

WIDTH_OF_A_PIPE = 120
DASH = "–"
_SECOND_MS = 1_000
_STYLES = {
    "running": "green",
    "completed": "green",
    "healthy": "green",
    "deployed": "green",
    "failed": "red",
    "error": "red",
    "paused": "yellow",
    "degraded": "yellow",
    "unavailable": "red",
    "awaiting_approval": "yellow",
}


def console(*, stderr: bool = False) -> Console:
    """Return a console as wide as the terminal, or wide enough for a table in a pipe."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS") else WIDTH_OF_A_PIPE
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)


def text(value: object, style: str = "") -> Text:
    """Return a value as text that neither markup nor control characters can change."""
    return Text(rules.printable(str(value)), style=style)


def state(value: str) -> Text:
    """Return a status in its colour."""
    return text(value, _STYLES.get(value, ""))


def number(value: Any, form: str) -> str:
    """Return a number in a format such as `.2f`, or a dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return DASH
    return format(value, form)


def money(value: Any, *, signed: bool = True) -> Text:
    """Return an amount with two decimals, green above zero and red below."""
    told = number(value, "+,.2f" if signed else ",.2f")
    if not signed or told == DASH or not value:
        return Text(told)
    return Text(told, style="green" if value > 0 else "red")


def when(iso: str | None) -> str:
    """Return an ISO time as `2017-03-01 14:00:00` UTC, or a dash."""
    if not iso:
        return DASH
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return rules.printable(iso)
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def duration(milliseconds: float) -> str:
    """Return a duration as `42 ms` or `1.84 s`."""
    if milliseconds < _SECOND_MS:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / _SECOND_MS:.2f} s"


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], numbers: str = "") -> Table:
    """Return a table; the columns named in `numbers` (one space between) are right-aligned."""
    right = set(numbers.split())
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    for row in rows:
        made.add_row(*(each if isinstance(each, Text) else text(each) for each in row))
    return made


def executions(found: Sequence[model.Execution]) -> Table:
    """Return executions as a table: who, how, what it earned."""
    return table(
        ("execution", "strategy", "status", "P&L", "trades", "Sharpe", "drawdown", "wins"),
        (_execution_row(each) for each in found),
        numbers="P&L trades Sharpe drawdown wins",
    )


def _execution_row(execution: model.Execution) -> tuple[str | Text, ...]:
    metrics = execution["performance_metrics"]
    return (
        execution["execution_id"],
        execution["strategy_id"],
        state(execution["status"]),
        money(execution["pnl"]),
        str(execution["trade_count"]),
        number(metrics.get("sharpe_ratio"), ".2f"),
        number(metrics.get("max_drawdown"), ".2%"),
        number(metrics.get("win_rate"), ".0%"),
    )


def strategies(found: Sequence[model.Strategy]) -> Table:
    """Return strategy versions as a table."""
    return table(
        ("strategy", "name", "version", "status", "created (UTC)"),
        (
            (
                each["strategy_id"],
                each["strategy_name"],
                each["version"],
                state(each["status"]),
                when(each["created_at"]),
            )
            for each in found
        ),
    )


def deployments(found: Sequence[model.DeploymentSummary]) -> Table:
    """Return deployments as a table."""
    return table(
        ("pipeline", "strategy", "type", "status", "stage"),
        (
            (
                each["pipeline_id"],
                each["strategy_id"],
                each["deployment_type"],
                state(each["status"]),
                each.get("current_stage") or DASH,
            )
            for each in found
        ),
    )


def trade(filled: model.Trade) -> Text:
    """Return a fill as a line: time, side, quantity, symbol, price, what it realised."""
    side = filled["side"].upper()
    line = Text().append(when(filled["timestamp"]), "dim")
    line.append(f"  {rules.printable(side):<4}", "green" if side == "BUY" else "magenta")
    line.append(rules.printable(f"  {filled['quantity']:>10,.10g} {filled['symbol']}"))
    line.append(f" @ {filled['price']:.10g}")
    if filled.get("closes_round_trip"):
        line.append("   P&L ").append_text(money(filled["pnl"]))
        cause = filled.get("cause", "")
        line.append(f"  {rules.printable(cause)}" if cause not in {"", "signal"} else "", "dim")
    return line


def metrics_line(execution: model.Execution) -> Text:
    """Return an execution's figures as a line."""
    metrics = execution["performance_metrics"]
    line = Text("  P&L ").append_text(money(execution["pnl"]))
    line.append(f" · closed trades {execution['trade_count']}")
    line.append(f" · Sharpe {number(metrics.get('sharpe_ratio'), '.2f')}")
    line.append(f" · drawdown {number(metrics.get('max_drawdown'), '.2%')}")
    line.append(f" · win rate {number(metrics.get('win_rate'), '.0%')}")
    return line


def pairs(rows: Mapping[str, str | Text]) -> Table:
    """Return names and values, one pair a line."""
    made = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        made.add_row(Text(name, style="dim"), value if isinstance(value, Text) else text(value))
    return made


def health(found: model.Health, url: str) -> Table:
    """Return an engine's health as names and values, with the parts that are not healthy."""
    up = int(found["uptime_seconds"])
    deployed, active = found["strategies_deployed"], found["active_strategies"]
    run, finished = found["pipelines_executed"], found["tests_completed"]
    unwell = [each for each in found.get("parts", []) if each["status"] != "healthy"]
    return pairs(
        {
            "engine": text(url, "bold"),
            "status": state(found["status"]),
            **{each["name"]: text(each["reason"], "yellow") for each in unwell},
            "up": f"{up // 3_600} h {up % 3_600 // 60} min {up % 60} s",
            "strategies": f"{deployed} deployed, {active} active",
            "executions": f"{found['active_executions']} active",
            "pipelines": f"{run} run, {finished} stages finished",
        }
    )


def _capital(found: model.Execution) -> str:
    shown, target = number(found.get("capital"), ",.2f"), found.get("capital_target")
    if target is None or target == found.get("capital"):
        return shown
    return (
        f"{shown}, all of it to leave" if target == "nothing" else f"{shown}, to be {target:,.2f}"
    )


def _engagement(found: model.Execution) -> dict[str, str | Text]:
    rows: dict[str, str | Text] = {"role": found.get("role", "")}
    serves = found.get("serves")
    if serves is not None:
        rows["serves"] = ", ".join(_serving(each) for each in serves)
    if found.get("exits") == "flatten":
        rows["exits"] = "the engine closes what it holds"
    return rows


def _serving(span: dict[str, Any]) -> str:
    symbol = "the others" if span["symbol"] == "*" else span["symbol"]
    if span["never"]:
        return f"{symbol} never"
    bounds = [f"{word} {when(span[word])}" for word in ("after", "until") if span[word]]
    return " ".join((symbol, *bounds)) if bounds else f"{symbol} always"


def execution(found: model.Execution) -> Table:
    """Return one execution as names and values."""
    metrics = found["performance_metrics"]
    rows: dict[str, str | Text] = {
        "execution": text(found["execution_id"], "bold"),
        "strategy": found["strategy_id"],
        "status": state(found["status"]),
        "started": when(found["start_time"]),
    }
    if found.get("end_time"):
        rows["ended"] = f"{when(found.get('end_time'))}  {found.get('end_reason') or ''}"
    if found.get("error") or found.get("failure"):
        rows["error"] = text(found.get("error") or found["failure"], "red")
    return pairs(
        rows
        | _engagement(found)
        | {
            "capital": _capital(found),
            "P&L": money(found["pnl"]),
            "closed trades": str(found["trade_count"]),
            "Sharpe ratio": number(metrics.get("sharpe_ratio"), ".2f"),
            "max drawdown": number(metrics.get("max_drawdown"), ".2%"),
            "win rate": number(metrics.get("win_rate"), ".0%"),
        }
    )
