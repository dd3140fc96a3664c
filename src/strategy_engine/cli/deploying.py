"""`deploy` and what follows a deployment: `status`, `approve`, `reject`, `strategies`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strategy_engine.cli import edge, options, rules
from strategy_engine.core.errors import InvalidError
from strategy_engine.rollout.model import DeploymentType

if TYPE_CHECKING:
    from strategy_engine.client import model
    from strategy_engine.client.service import Client

_PAIR = "NAME=VALUE"


_Name = Annotated[
    str | None, typer.Option(help="The line's name; the file's own name if not given.")
]
_Version = Annotated[str, typer.Option(help="Semantic version.")]
_Type = Annotated[
    DeploymentType, typer.Option("--type", help="How it takes over from a running version.")
]
_Parameters = Annotated[
    list[str] | None,
    typer.Option("--param", metavar=_PAIR, help="A parameter; repeat for more."),
]
_Limits = Annotated[
    list[str] | None,
    typer.Option(
        "--risk",
        metavar=_PAIR,
        help="A risk limit; max_position_size and daily_loss_limit are required to pass.",
    ),
]
_Tests = Annotated[
    list[Path] | None,
    typer.Option("--test", metavar="FILE", help="A pytest file; repeat for more."),
]
_Criteria = Annotated[
    list[str] | None,
    typer.Option(
        "--criterion", metavar=_PAIR, help="Override a gate, such as min_sharpe_ratio=1.5."
    ),
]
_Profile = Annotated[str | None, typer.Option(help="Gates to pass: default or production.")]
_Days = Annotated[
    int | None,
    typer.Option(min=1, help="Validate on the most recent days of the history; all if not given."),
]
_Approval = Annotated[
    bool, typer.Option("--approval-required", help="Wait for a person after the last stage.")
]
_Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar=_PAIR,
        help="How it takes over, as POST …/deploy names it: keep_warm=1h, handover=flatten, ….",
    ),
]
_Watch = Annotated[
    bool | None,
    typer.Option(
        "--watch/--no-watch",
        help="Follow it to its end. [default: follow on a terminal]",
        show_default=False,
    ),
]
_Start = Annotated[bool, typer.Option("--start", help="Start trading it once it is deployed.")]


def deploy(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The strategy's Python file.")],
    *,
    name: _Name = None,
    version: _Version = "1.0.0",
    deployment_type: _Type = DeploymentType.DIRECT,
    param: _Parameters = None,
    risk: _Limits = None,
    test: _Tests = None,
    criterion: _Criteria = None,
    profile: _Profile = None,
    days: _Days = None,
    approval_required: _Approval = False,
    option: _Options = None,
    watch: _Watch = None,
    start: _Start = False,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Validate a strategy file in six stages and deploy it.

    Exits 0 when it is deployed (or accepted, with --no-watch), 1 when it failed, 2 when asked
    wrongly.
    """
    watching = _is_watching(watch, start=start)
    content = {
        "strategy_name": name or file.stem,
        "version": version,
        "code": read_source(file),
        "parameters": rules.assignments(param or [], "--param"),
        "risk_limits": rules.assignments(risk or [], "--risk"),
        "tests": {each.name: read_source(each) for each in test or []},
    }
    wanted: dict[str, Any] = rules.assignments(option or [], "--option") | {
        "deployment_type": deployment_type.value,
        "validation_criteria": rules.assignments(criterion or [], "--criterion"),
    }
    # Not sent unless asked for: the engine's own settings decide then.
    wanted |= {"approval_required": True} if approval_required else {}
    wanted |= {"validation_profile": profile} if profile else {}
    wanted |= {"duration_days": days} if days else {}
    with options.client(url) as client:
        accepted = client.deploy(client.create_strategy(content)["strategy_id"], wanted)
        if watching:
            _see_through(client, accepted, start=start, as_json=as_json)
        else:
            _tell_accepted(accepted, as_json=as_json)


def _is_watching(watch: bool | None, *, start: bool) -> bool:
    watching = (start or sys.stdout.isatty()) if watch is None else watch
    if start and not watching:
        raise InvalidError("--start needs the deployment's end; leave --no-watch out")
    return watching


def _tell_accepted(accepted: "model.Accepted", *, as_json: bool) -> None:
    if as_json:
        return options.print_json(accepted)
    print(f"accepted {accepted['pipeline_id']} of {accepted['strategy_id']}")
    if accepted["message"]:
        print(rules.printable(accepted["message"]))
    return print(f"follow it with: strategy-engine status {accepted['pipeline_id']}")


def read_source(path: Path) -> str:
    """Return the text of a file.

    Raises
    ------
    InvalidError
        If it cannot be read, or is no UTF-8 text.
    """
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise InvalidError(f"{path} is no UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise InvalidError(f"cannot read {path}: {error.strerror}") from None


def status(
    pipeline_id: Annotated[
        str | None, typer.Argument(metavar="[PIPELINE_ID]", show_default=False)
    ] = None,
    *,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Show the engine, or the stages of one deployment."""
    from strategy_engine.cli import board, views  # noqa: PLC0415 - rich is slow to import

    console = views.console()
    with options.client(url) as client:
        if pipeline_id:
            deployment = client.deployment(pipeline_id)
            if as_json:
                return options.print_json(deployment)
            console.print(board.heading(deployment))
            return console.print(board.board(deployment, notes=True))
        health, deployments = client.health(), client.deployments()
    if as_json:
        return options.print_json({"health": health, **deployments})
    console.print(views.health(health, url))
    if deployments["deployments"]:
        console.print()
        console.print(views.deployments(deployments["deployments"]))
    return None


def strategies(
    *,
    status: Annotated[
        str | None, typer.Option(help="Only those in this state, such as running.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Only versions of this line.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 50,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """List registered strategy versions, newest first."""
    from strategy_engine.cli import views  # noqa: PLC0415 - rich is slow to import

    with options.client(url) as client:
        found = client.strategies(status=status, name=name, limit=limit)
    if as_json:
        return options.print_json(found)
    if not found["strategies"]:
        return print("no strategies; register one with `strategy-engine deploy FILE`")
    return views.console().print(views.strategies(found["strategies"]))


_Comment = Annotated[str, typer.Option(help="Why; kept in the audit log.")]
_Pipeline = Annotated[str, typer.Argument(metavar="PIPELINE_ID", show_default=False)]


def approve(
    pipeline_id: _Pipeline,
    *,
    comment: _Comment = "",
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Let a deployment that waits for approval go on."""
    with options.client(url) as client:
        answer = client.approve(pipeline_id, comment=comment)
    options.print_json(answer) if as_json else print(f"approved {pipeline_id}")


def reject(
    pipeline_id: _Pipeline,
    *,
    comment: _Comment = "",
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """End a deployment that waits for approval."""
    with options.client(url) as client:
        answer = client.reject(pipeline_id, comment=comment)
    options.print_json(answer) if as_json else print(f"rejected {pipeline_id}")


def _see_through(
    client: "Client", accepted: "model.Accepted", *, start: bool, as_json: bool
) -> None:
    from strategy_engine.cli import board, views, watch  # noqa: PLC0415 - rich is slow to import

    pipeline_id, strategy_id = accepted["pipeline_id"], accepted["strategy_id"]
    console = views.console()
    console.quiet = as_json
    console.print(board.heading(client.deployment(pipeline_id)))
    ended = watch.follow(lambda: client.deployment(pipeline_id), console)
    if as_json and (ended["status"] != "completed" or not start):
        options.print_json(ended)
    console.print(views.text(f"all they found: strategy-engine status {pipeline_id}", "dim"))
    if ended["status"] != "completed":
        edge.complain(board.why_failed(ended))
        raise typer.Exit(rules.FAILED)
    if not start:
        console.print(f"deployed; start it with: strategy-engine start {strategy_id}")
        return
    started = client.start(strategy_id, {})
    if as_json:
        options.print_json(started)
    console.print(f"{started['status'].replace('_', ' ')}: {started['execution_id']}")
