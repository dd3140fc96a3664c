"""Who may: `keys create`, `keys list`, `keys revoke`."""

from typing import TYPE_CHECKING, Annotated

import typer

from strategy_engine.cli import options

if TYPE_CHECKING:
    from strategy_engine.client import model

_ROLES = "viewer, developer, trader, risk or admin"


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is, for the audit.")],
    *,
    role: Annotated[str, typer.Option(help=f"What it may: {_ROLES}.")] = "viewer",
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Make a key. Its text is printed once; from the first key on, every request needs one."""
    with options.client(url) as client:
        made = client.create_key(name, role)
    if as_json:
        return options.print_json(made)
    print(made["key"])
    return typer.echo(
        f"key {made['key_id']} of {made['name']}, {made['role']}: nobody can show it again."
        " Set it as STRATEGY_API_KEY where you call the engine from.",
        err=True,
    )


def list_(*, url: options.Url = options.DEFAULT_URL, as_json: options.AsJson = False) -> None:
    """List every key there ever was, without secrets."""
    with options.client(url) as client:
        found = client.keys()
    if as_json:
        return options.print_json(found)
    if not found["keys"]:
        return print("no keys: whoever reaches the engine may everything; see `keys create`")
    for each in found["keys"]:
        print(_line(each))
    return None


def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", show_default=False)],
    *,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """End a key; within a second it opens nothing any more."""
    with options.client(url) as client:
        print(_line(client.revoke_key(key_id)))


def _line(key: "model.Key") -> str:
    ended = f"revoked {key['revoked_at']}" if key["revoked_at"] else "in use"
    return f"{key['key_id']}  {key['role']:9}  {key['name']}  {ended}"
