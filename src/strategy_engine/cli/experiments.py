"""Two versions side by side: `experiments start`, `experiments list`, `experiments stop`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from strategy_engine.cli import options, rules

if TYPE_CHECKING:
    from strategy_engine.client import capital

Id = Annotated[str, typer.Argument(metavar="EXPERIMENT_ID", show_default=False)]


def start(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The line's name.")],
    *,
    a: Annotated[str, typer.Option("--a", help="A version; often the one that runs.")],
    b: Annotated[str, typer.Option("--b", help="The version that is compared with it.")],
    hypothesis: Annotated[str, typer.Option(help="What is expected, and why.")],
    margin: Annotated[
        float | None, typer.Option(help="A difference of yearly returns that matters. [0.05]")
    ] = None,
    share_b: Annotated[float | None, typer.Option(help="Of the units, that B gets. [0.5]")] = None,
    unit: Annotated[str | None, typer.Option(help="capital or instrument. [capital]")] = None,
    pairs: Annotated[
        int | None, typer.Option(help="Bars of both, with which it ends by itself. [1000]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Instruments are drawn by it. [0]")] = None,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Compare two versions of a line on live bars; what it is judged by is frozen."""
    wanted: dict[str, Any] = {
        "strategy_name": name,
        "version_a": a,
        "version_b": b,
        "hypothesis": hypothesis,
        "margin": options.finite(margin),
        "share_b": options.finite(share_b),
        "unit": unit,
        "planned_pairs": pairs,
        "seed": seed,
    }
    asked = {key: value for key, value in wanted.items() if value is not None}
    with options.client(url) as client:
        made = client.start_experiment(asked)
    if as_json:
        return options.print_json(made)
    return print(_line(made))


def list_(
    experiment_id: Annotated[
        str | None,
        typer.Argument(metavar="[EXPERIMENT_ID]", show_default=False, help="Only this, whole."),
    ] = None,
    *,
    line: Annotated[str | None, typer.Option(help="Only those of this line.")] = None,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """List experiments; with an EXPERIMENT_ID, its estimate and what it recommends."""
    with options.client(url) as client:
        if experiment_id is not None:
            return _show(client.experiment(experiment_id), as_json=as_json)
        found = client.experiments(line=line)
    if as_json:
        return options.print_json(found)
    if not found["experiments"]:
        return print("no experiments; see `experiments start --help`")
    for each in found["experiments"]:
        print(_line(each))
    return None


def stop(
    experiment_id: Id, *, url: options.Url = options.DEFAULT_URL, as_json: options.AsJson = False
) -> None:
    """End an experiment: its estimate is kept, capital goes back, B closes what it holds."""
    with options.client(url) as client:
        _show(client.stop_experiment(experiment_id), as_json=as_json)


def _show(found: "capital.WholeExperiment", *, as_json: bool) -> None:
    if as_json:
        return options.print_json(found)
    print(_line(found))
    estimate = found["estimate"]
    if estimate is not None:
        print(
            f"  B - A a year: {estimate['mean']:+.2%}, from {estimate['lower']:+.2%} to"
            f" {estimate['upper']:+.2%} ({estimate['confidence']:.0%}, at all times)"
        )
    print(f"  {found['pairs']} of {found['planned_pairs']} paired bars: {found['recommendation']}")
    return print(rules.printable(f"  {found['reason']}"))


def _line(each: "capital.Experiment") -> str:
    state = each["status"] + (f" ({each['outcome']})" if each["outcome"] else "")
    head = (
        f"{each['experiment_id']}  {each['strategy_name']}  {each['a']['version']} |"
        f" {each['b']['version']}  {each['unit']}  {state}"
    )
    return rules.printable(f"{head}\n  {each['message'] or each['hypothesis']}")
