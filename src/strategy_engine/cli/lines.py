"""Lines and their capital: `lines list`, `lines allocate`, `lines release`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from strategy_engine.cli import options, rules

if TYPE_CHECKING:
    from strategy_engine.client import capital

_CLOSINGS = {
    "asked": "is being closed",
    "called_in": "is being closed",
    "closed": "is closed, and goes to the line",
    "stuck": "could not be closed",
}
Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The line's name.")]


def list_(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", show_default=False, help="Only this, whole.")
    ] = None,
    *,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """List lines with who has how much of their capital; with a NAME, its books as well."""
    with options.client(url) as client:
        if name is not None:
            return _show(client.line(name), as_json=as_json)
        found = client.lines()
    if as_json:
        return options.print_json(found)
    if not found["lines"]:
        return print("no lines; see `deploy --help`")
    for each in found["lines"]:
        print(_told(each))
    return None


def allocate(
    name: Name,
    *,
    policy: Annotated[
        str | None, typer.Option(help="fixed, equal_risk or performance; shows it if not given.")
    ] = None,
    version: Annotated[
        list[str] | None, typer.Option(help="A version that shares in it; once for each.")
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(help="VERSION=SHARE of a fixed policy; what they leave is cash."),
    ] = None,
    cap: Annotated[
        list[str] | None, typer.Option(help="VERSION=SHARE: the most that it gets.")
    ] = None,
    band: Annotated[
        float | None, typer.Option(help="Changes within it are not made. [engine: 0.02]")
    ] = None,
    max_change_a_day: Annotated[
        float | None, typer.Option(help="Share that may change hands in a day. [engine: 0.2]")
    ] = None,
    lookback: Annotated[
        int | None, typer.Option(help="The most recent paired bars that count. [engine: 500]")
    ] = None,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Share a line's capital across its approved versions, or show how it is shared."""
    weights = rules.assignments(weight or (), "--weight")
    wanted: dict[str, Any] = {
        "policy": policy,
        "versions": version or list(weights) or None,
        "weights": weights or None,
        "caps": rules.assignments(cap or (), "--cap") or None,
        "band": options.finite(band),
        "max_change_a_day": options.finite(max_change_a_day),
        "lookback": lookback,
    }
    asked = {key: value for key, value in wanted.items() if value is not None}
    with options.client(url) as client:
        found = client.allocation(name) if policy is None else client.allocate(name, asked)
    if as_json:
        return options.print_json(found)
    return print(_shared(found))


def release(name: Name, *, url: options.Url = options.DEFAULT_URL) -> None:
    """Share a line's capital no more: versions keep what they have."""
    with options.client(url) as client:
        print(_shared(client.end_allocation(name)))


def _show(line: "capital.WholeLine", *, as_json: bool) -> None:
    if as_json:
        return options.print_json(line)
    books = line["books"]
    print(_told(line))
    for each in line["shadows"]:
        print(rules.printable(f"  {each['version']}  shadow  {each['execution_id']}"))
    agree = "agree to the last digit" if books["agrees"] else "DO NOT AGREE"
    print(f"  books {agree}: {books['fill_count']} fills, cash {books['cash']:,.2f}")
    for told in books["findings"]:
        print(rules.printable(f"    {told}"))
    return None


def _told(line: "capital.Line") -> str:
    movers = ", ".join(f"{each['kind']} {each['key']}" for each in line["moved_by"])
    head = f"{line['strategy_name']}  {line['equity']:,.2f}" + (f"  {movers}" if movers else "")
    members = (
        f"  {each['version']}  {each['role']}  {each['status']}  {each['weight']:.1%}"
        f"  {each['equity']:,.2f}  P&L {each['pnl']:+,.2f}{_target(each)}  {each['execution_id']}"
        for each in line["members"]
    )
    tied = (
        f"  {each['version']}  {each['role']}  {each['status']}  ties {each['capital']:,.2f}"
        f"{_closing(each)}  {each['execution_id']}"
        for each in line["tied"]
    )
    return rules.printable("\n".join([head, *members, *tied]))


def _closing(tied: "capital.Tied") -> str:
    return f"  {_CLOSINGS[tied['closing']]}" if tied["closing"] in _CLOSINGS else ""


def _target(member: "capital.Member") -> str:
    target = member["capital_target"]
    if target is None or target == member["capital"]:
        return ""
    if target == "nothing":
        return f"  capital {member['capital']:,.2f}, all of it to leave"
    return f"  capital {member['capital']:,.2f}, to be {target:,.2f}"


def _shared(found: "capital.Allocation") -> str:
    weights = ", ".join(f"{name} {share:.1%}" for name, share in found["in_force"].items())
    cash = 1 - sum(found["in_force"].values())
    head = f"{found['strategy_name']}  {found['policy']}  {found['status']}"
    return rules.printable(
        f"{head}\n  {weights or 'nothing yet'}, cash {cash:.1%}\n  {found['message']}"
    )
