"""What rolls out: `deployments list`, `events`, and what people do to one."""

from typing import Annotated

import typer

from strategy_engine.cli import options, rules

_Pipeline = Annotated[str, typer.Argument(metavar="PIPELINE_ID", show_default=False)]
_Comment = Annotated[str, typer.Option(help="Why; kept in the audit log.")]
_Step = Annotated[
    int | None,
    typer.Option(min=0, help="The step that is meant: once it has passed, nothing is done."),
]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only tell what it would do to positions and orders.")
]


def list_(
    *,
    strategy: Annotated[str | None, typer.Option(help="Only those of this version.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 20,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """List deployments, newest first."""
    from strategy_engine.cli import views  # noqa: PLC0415 - rich is slow to import

    with options.client(url) as client:
        found = client.deployments(strategy_id=strategy, limit=limit)
    if as_json:
        return options.print_json(found)
    if not found["deployments"]:
        return print("no deployments; begin one with `strategy-engine deploy FILE`")
    return views.console().print(views.deployments(found["deployments"]))


def events(
    pipeline_id: _Pipeline,
    *,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Tell what happened to a deployment, oldest first: who, what, when and why."""
    from strategy_engine.cli import rolling, views  # noqa: PLC0415 - rich is slow to import

    with options.client(url) as client:
        found = client.deployment_events(pipeline_id)
    if as_json:
        return options.print_json(found)
    return views.console().print(rolling.events(found["events"]))


def promote(
    pipeline_id: _Pipeline,
    *,
    comment: _Comment = "",
    step: _Step = None,
    dry_run: _DryRun = False,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """End the step without its gate, and lift its hold."""
    _Said(pipeline_id, comment, step, dry_run=dry_run).to(url, "promote", as_json=as_json)


def promote_full(
    pipeline_id: _Pipeline,
    *,
    comment: _Comment = "",
    step: _Step = None,
    dry_run: _DryRun = False,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Leave out every step before the switch; a rolling one goes on without its gates."""
    _Said(pipeline_id, comment, step, dry_run=dry_run).to(url, "promote-full", as_json=as_json)


def skip_step(
    pipeline_id: _Pipeline,
    *,
    comment: _Comment = "",
    step: _Step = None,
    dry_run: _DryRun = False,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Begin the next step at once."""
    _Said(pipeline_id, comment, step, dry_run=dry_run).to(url, "skip-step", as_json=as_json)


def pause(
    pipeline_id: _Pipeline,
    *,
    comment: _Comment = "",
    dry_run: _DryRun = False,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Hold a rollout at its step until it is resumed."""
    _Said(pipeline_id, comment, dry_run=dry_run).to(url, "pause", as_json=as_json)


def resume(
    pipeline_id: _Pipeline,
    *,
    comment: _Comment = "",
    dry_run: _DryRun = False,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Lift a hold, a person's or the engine's."""
    _Said(pipeline_id, comment, dry_run=dry_run).to(url, "resume", as_json=as_json)


def abort(
    pipeline_id: _Pipeline,
    *,
    comment: _Comment = "",
    dry_run: _DryRun = False,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Give the line back to the version before, while it rolls out."""
    _Said(pipeline_id, comment, dry_run=dry_run).to(url, "abort", as_json=as_json)


def rollback(
    pipeline_id: _Pipeline,
    *,
    comment: _Comment = "",
    dry_run: _DryRun = False,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Give the line back to the version before, while it rolls out or after its end."""
    _Said(pipeline_id, comment, dry_run=dry_run).to(url, "rollback", as_json=as_json)


def retry(
    pipeline_id: _Pipeline,
    *,
    comment: _Comment = "",
    dry_run: _DryRun = False,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Deploy the version of a failed or rolled back deployment anew, with the same options."""
    _Said(pipeline_id, comment, dry_run=dry_run).to(url, "retry", as_json=as_json)


def approve(
    pipeline_id: _Pipeline,
    *,
    comment: _Comment = "",
    step: _Step = None,
    dry_run: _DryRun = False,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Let a deployment go on that waits for approval, after its validation or at a step."""
    _Said(pipeline_id, comment, step, dry_run=dry_run).to(url, "approve", as_json=as_json)


def reject(
    pipeline_id: _Pipeline,
    *,
    comment: _Comment = "",
    step: _Step = None,
    dry_run: _DryRun = False,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """End a deployment that waits for approval; at a step of its rollout it is undone."""
    _Said(pipeline_id, comment, step, dry_run=dry_run).to(url, "reject", as_json=as_json)


class _Said:
    def __init__(
        self, pipeline_id: str, comment: str, step: int | None = None, *, dry_run: bool
    ) -> None:
        self._pipeline_id = pipeline_id
        self._comment = comment
        self._step = step
        self._dry_run = dry_run

    def to(self, url: str, verb: str, *, as_json: bool) -> None:
        """Send it, and print what the engine did, or would do."""
        with options.client(url) as client:
            found = client.act(
                self._pipeline_id,
                verb,
                comment=self._comment,
                step=self._step,
                dry_run=self._dry_run,
            )
        if as_json:
            return options.print_json(found)
        if not found["dry_run"]:
            done = found["status"].replace("_", " ")
            print(f"{done} {found['pipeline_id']} ({found['deployment_status']})")
        for each in found["would"]:
            print(rules.printable(each))
        if found["dry_run"] and found["effects"]:
            from strategy_engine.cli import rolling, views  # noqa: PLC0415 - rich is slow to import

            views.console().print(rolling.effects(found["effects"]))
        return None
