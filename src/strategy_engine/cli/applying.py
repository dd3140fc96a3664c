"""`apply`: make an engine what a manifest in a repository wants."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strategy_engine.cli import deploying, edge, options, rules

if TYPE_CHECKING:
    from strategy_engine.cli.manifest import Wanted
    from strategy_engine.cli.planning import Action
    from strategy_engine.client.service import Client

_MARKS = {
    "create": "+",
    "edit": "~",
    "deploy": ">",
    "follow": ">",
    "start": ">",
    "stop": "-",
    "archive": "-",
    "unchanged": "=",
    "conflict": "!",
}

_Manifest = Annotated[
    Path, typer.Argument(metavar="MANIFEST", help="A YAML file; its paths begin at its folder.")
]
_Yes = Annotated[bool, typer.Option("--yes", help="Apply without asking.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan; change nothing.")]
_Wait = Annotated[
    bool, typer.Option("--wait", help="Follow the deployments; exit 1 if one does not succeed.")
]
_Timeout = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="SECONDS",
        help="The longest that --wait waits; what then goes on exits 3. No end if unset.",
    ),
]
_Prune = Annotated[
    bool, typer.Option("--prune", help="Stop and archive every version that it does not name.")
]


def apply(
    manifest: _Manifest,
    *,
    yes: _Yes = False,
    dry_run: _DryRun = False,
    wait: _Wait = False,
    wait_timeout: _Timeout = None,
    prune: _Prune = False,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Register, deploy, start and stop what a manifest says; show what would change first.

    Applied twice, it changes nothing the second time. Exits 1 when something conflicts, is refused
    or fails, 2 when the manifest is wrong, 3 when all is well and a deployment goes on after
    --wait-timeout.
    """
    wanted = _read(manifest)
    with options.client(url) as client:
        plan = _planned(client, wanted, prune=prune)
        if not as_json:
            _show(plan)
        _refuse_conflicts(plan, as_json=as_json)
        if not _is_to_be_applied(plan, yes=yes, dry_run=dry_run, wait=wait, as_json=as_json):
            return
        _carry_out(client, plan, timeout_s=wait_timeout, wait=wait, as_json=as_json)


def _read(path: Path) -> "list[Wanted]":
    from strategy_engine.cli import manifest  # noqa: PLC0415 - pydantic is slow to import

    text = deploying.read_source(path)
    try:
        return manifest.read(text, lambda name: deploying.read_source(path.parent / name))
    except manifest.ManifestError as error:
        for each in error.problems:
            edge.complain(f"{path}:{each.line}: {each.message}")
        raise typer.Exit(rules.USAGE) from None


def _planned(client: "Client", wanted: "list[Wanted]", *, prune: bool) -> "list[Action]":
    from strategy_engine.cli import observing, planning  # noqa: PLC0415 - as above

    lines = None if prune else {each.content.strategy_name for each in wanted}
    return planning.plan(wanted, observing.observe(client, lines), prune=prune)


def _show(plan: "Sequence[Action]") -> None:
    before = None
    for each in plan:
        if each.key != before:
            print(rules.printable(f"{each.name} {each.version}"))
        before = each.key
        print(rules.printable(f"  {_MARKS[each.kind]} {each.kind:9}  {each.detail}"))


def _refuse_conflicts(plan: "Sequence[Action]", *, as_json: bool) -> None:
    from strategy_engine.cli import planning  # noqa: PLC0415 - as above

    conflicts = planning.conflicts(plan)
    if not conflicts:
        return
    if as_json:
        _print_json(plan, applied=False)
    for each in conflicts:
        edge.complain(f"{each.name} {each.version}: {each.detail}")
    raise typer.Exit(rules.FAILED)


def _is_to_be_applied(
    plan: "Sequence[Action]", *, yes: bool, dry_run: bool, wait: bool, as_json: bool
) -> bool:
    from strategy_engine.cli import planning  # noqa: PLC0415 - as above

    follows = wait and any(each.kind is planning.Kind.FOLLOW for each in plan)
    changes = planning.has_changes(plan) or follows
    asks = changes and not (yes or dry_run or as_json) and sys.stdin.isatty()
    goes = changes and not dry_run and (yes or (asks and typer.confirm("Apply this?")))
    if goes:
        return True
    if as_json:
        _print_json(plan, applied=False)
    elif not changes:
        print("nothing to change")
    else:
        print("nothing was changed" + ("" if dry_run or asks else "; add --yes to apply it"))
    return False


def _carry_out(
    client: "Client",
    plan: "Sequence[Action]",
    *,
    timeout_s: int | None,
    wait: bool,
    as_json: bool,
) -> None:
    from strategy_engine.cli import carrying, views  # noqa: PLC0415 - rich is slow to import

    console = views.console()
    console.quiet = as_json
    waiting = carrying.Waiting(waits=wait, timeout_s=timeout_s)
    carrier = carrying.Carrier(client, console, waiting)
    carrier.carry_out(plan)
    if as_json:
        _print_json(plan, applied=True, deployments=list(carrying.told(carrier)))
    if carrier.failed:
        raise typer.Exit(rules.FAILED)
    if carrier.going_on:
        raise typer.Exit(rules.GOES_ON)


def _print_json(
    plan: "Sequence[Action]", *, applied: bool, deployments: Sequence[object] = ()
) -> None:
    options.print_json(
        {
            "applied": applied,
            "actions": [
                {
                    "action": each.kind.value,
                    "strategy_name": each.name,
                    "version": each.version,
                    "strategy_id": each.strategy_id,
                    "detail": each.detail,
                }
                for each in plan
            ],
            "deployments": list(deployments),
        }
    )
