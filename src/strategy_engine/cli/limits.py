"""What lines, accounts and the engine are held to: `risk limits`, `risk limit`, `risk unlimit`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from strategy_engine.cli import options, rules

if TYPE_CHECKING:
    from strategy_engine.client import model

Scope = Annotated[
    str, typer.Argument(metavar="SCOPE", show_default=False, help="line, account or engine.")
]
Subject = Annotated[
    str,
    typer.Argument(metavar="[SUBJECT]", help="The line's or the account's name; engine: none."),
]
WHOLE = "all"


def list_(*, url: options.Url = options.DEFAULT_URL, as_json: options.AsJson = False) -> None:
    """List the limits of lines, accounts and the engine."""
    with options.client(url) as client:
        found = client.risk_limits()
    if as_json:
        return options.print_json(found)
    if not found["limits"]:
        return print(f"no limits are set; there are: {', '.join(found['names'])}")
    for each in found["limits"]:
        print(_line(each))
    return None


def set_(
    scope: Scope,
    subject: Subject = WHOLE,
    *,
    limit: Annotated[
        list[str],
        typer.Option("--limit", help="NAME=VALUE, once each; all before are replaced."),
    ],
    why: Annotated[str, typer.Option(help="For the audit log.")] = "",
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Hold a line, an account or the engine to limits, from the next order on."""
    given = rules.assignments(limit, "--limit")
    with options.client(url) as client:
        found = client.set_risk_limits(scope, subject, given, why=why)
    if as_json:
        return options.print_json(found)
    return print(_line(found))


def lift(
    scope: Scope,
    subject: Subject = WHOLE,
    *,
    why: Annotated[str, typer.Option(help="For the audit log.")] = "",
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Lift every limit of a line, an account or the engine."""
    with options.client(url) as client:
        found = client.lift_risk_limits(scope, subject, why=why)
    print(f"lifted: {_line(found)}")


def _line(setting: "model.RiskLimits") -> str:
    whose = f"{setting['scope']} {setting['subject']}".strip()
    limits = "  ".join(f"{name}={json.dumps(each)}" for name, each in setting["limits"].items())
    return rules.printable(f"{whose}  {limits}  ({setting['actor']}, {setting['updated_at']})")
