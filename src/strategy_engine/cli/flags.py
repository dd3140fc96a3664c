"""What strategies read as `market_data["flags"]`: `flags set`, `flags list`, `flags archive`."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strategy_engine.cli import options, rules

if TYPE_CHECKING:
    from strategy_engine.client import model
    from strategy_engine.client.service import Client

DEFAULT_LIFE = "90d"
Key = Annotated[str, typer.Argument(metavar="KEY", show_default=False)]


def set_(
    key: Key,
    *,
    type_: Annotated[
        str | None,
        typer.Option("--type", help="boolean, string or number; makes the flag if there is none."),
    ] = None,
    default: Annotated[
        str | None, typer.Option(help="What it says where no rule holds, and in validation.")
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            help="JSON: a value and whose it is. Once a rule, in order; all are replaced."
        ),
    ] = None,
    no_rules: Annotated[bool, typer.Option("--no-rules", help="Take every rule away.")] = False,
    expires: Annotated[
        str | None,
        typer.Option(help=f"A time, or how long from now, as 12h or 30d. [new: {DEFAULT_LIFE}]"),
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Who answers for it. [new: you]")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Make a flag (with --type), or change what is named of one that there is."""
    wanted = {
        "default": None if default is None else rules.flag_value(default, type_),
        "rules": [] if no_rules else None if rule is None else [rules.flag_rule(r) for r in rule],
        "expires_at": rules.moment(expires or DEFAULT_LIFE) if expires or type_ else None,
        "owner": owner,
        "description": description,
    }
    changes = {name: value for name, value in wanted.items() if value is not None}
    with options.client(url) as client:
        made = _set(client, key, type_, changes)
    if as_json:
        return options.print_json(made)
    return print(_line(made))


def list_(
    key: Annotated[
        str | None, typer.Argument(metavar="[KEY]", show_default=False, help="Only this, whole.")
    ] = None,
    *,
    archived: Annotated[bool, typer.Option("--archived", help="The archived ones too.")] = False,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """List flags with their rules; with a KEY, what was done to it as well."""
    with options.client(url) as client:
        if key is not None:
            return _show(client.flag(key), as_json=as_json)
        found = client.flags(archived=archived)
    if as_json:
        return options.print_json(found)
    if not found["flags"]:
        return print("no flags; see `flags set --help`")
    for each in found["flags"]:
        print(_line(each))
    return None


def archive(key: Key, *, url: options.Url = options.DEFAULT_URL) -> None:
    """End a flag: it says its default from then on."""
    with options.client(url) as client:
        print(_line(client.archive_flag(key)))


def _set(client: "Client", key: str, type_: str | None, changes: dict[str, Any]) -> "model.Flag":
    if type_ is None:
        return client.update_flag(key, changes)
    return client.create_flag({"key": key, "type": type_} | changes)


def _show(flag: "model.WholeFlag", *, as_json: bool) -> None:
    if as_json:
        return options.print_json(flag)
    print(_line(flag))
    for each in flag["history"]:
        print(f"  {each['at']}  {each['actor']}  {each['action']}  {json.dumps(each['details'])}")
    return None


def _line(flag: "model.Flag") -> str:
    until = f"until {flag['expires_at']}" if flag["live"] else "ended"
    until = f"archived {flag['archived_at']}" if flag["archived_at"] else until
    head = f"{flag['key']}  {flag['type']}  {json.dumps(flag['default'])}  {flag['owner']}  {until}"
    told = [{name: value for name, value in r.items() if value is not None} for r in flag["rules"]]
    return rules.printable("\n".join([head, *(f"  {json.dumps(each)}" for each in told)]))
