"""The kill switch from a terminal: by the API, or by the node's own socket when that is silent."""

import getpass
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strategy_engine.cli import edge, options, rules

if TYPE_CHECKING:
    from strategy_engine.client.risk import Done, RiskClient, Stop

PATIENCE_S = 2.0  # with control, before the node is asked without it
_MALFUNCTION = 500

Line = Annotated[str | None, typer.Option(metavar="NAME", help="Only this line.")]
Account = Annotated[str | None, typer.Option(metavar="NAME", help="Only this account.")]
Only = Annotated[str | None, typer.Option("--execution", metavar="ID", help="Only this execution.")]
Comment = Annotated[str, typer.Option(help="Why it may trade again.", show_default=False)]


def emergency_stop(
    *,
    reason: Annotated[
        str, typer.Option(help="Why; everybody who is refused reads it.", show_default=False)
    ],
    line: Line = None,
    account: Account = None,
    execution: Only = None,
    flatten: Annotated[
        bool, typer.Option("--flatten", help="Close every position at its next price, too.")
    ] = False,
    local: Annotated[
        bool, typer.Option("--local", help="Ask the node of this machine, not the API.")
    ] = False,
    data_dir: options.DataDir = None,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Let no order through any more, and take back every order that waits, at once.

    All executions, unless a line, an account or an execution is named. If the API does not answer
    within 2 s, the node of this machine is asked by its own socket; if no node runs, the stop is
    left for it to find before it plays anything. Another person resets it: `risk reset-stop`.
    """
    wish = _scope(line, account, execution) | {"reason": reason, "flatten": flatten}
    told = None if local else _by_api(url, wish)
    if told is None:
        told = _by_socket(_folder(data_dir), wish)
    if as_json:
        options.print_json(told)
    else:
        print("\n".join(_lines(told)))
    if told["done"] is None or told["done"]["open"]:
        raise typer.Exit(rules.GOES_ON)


def stops(*, url: options.Url = options.DEFAULT_URL, as_json: options.AsJson = False) -> None:
    """List emergency stops, the newest first, in force or reset."""
    with client(url) as asked:
        found = asked.emergency_stops()
    if as_json:
        return options.print_json(found)
    if not found["stops"]:
        return print("nothing was ever stopped")
    for each in found["stops"]:
        print(rules.printable(_stop_line(each)))
    return None


def reset_stop(
    stop_id: Annotated[str, typer.Argument(metavar="STOP_ID", show_default=False)],
    *,
    comment: Comment,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Let what was stopped start and trade again. Where keys are in use, another person must."""
    with client(url) as asked:
        found = asked.reset_emergency_stop(stop_id, comment)
    print(rules.printable(_stop_line(found["stop"])))
    if found["note"]:
        print(found["note"])
    if not found["confirmed"]:
        print("the node has not confirmed it yet; it does as soon as it reads the row")
        raise typer.Exit(rules.GOES_ON)


def client(url: str, *, timeout_s: float = 30.0) -> "RiskClient":
    """Return a client for risk at `url`, with the key of the environment."""
    from strategy_engine.client.risk import RiskClient  # noqa: PLC0415 - httpx is slow to import

    return RiskClient(url, api_key=os.environ.get("STRATEGY_API_KEY") or None, timeout_s=timeout_s)


def _scope(line: str | None, account: str | None, execution: str | None) -> dict[str, Any]:
    given = {"line": line, "account": account, "execution": execution}
    named = {scope: name for scope, name in given.items() if name is not None}
    if len(named) > 1:
        raise typer.BadParameter("name one of --line, --account and --execution, or none for all")
    for scope, name in named.items():
        return {"scope": scope, "subject": name}
    return {"scope": "engine", "subject": ""}


def _by_api(url: str, wish: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the API answers; None where the node must be asked without it."""
    from strategy_engine.client.problems import (  # noqa: PLC0415 - the same
        UNAUTHORIZED,
        NoEngineError,
        RefusedError,
    )

    try:
        with client(url, timeout_s=PATIENCE_S) as asked:
            return {**asked.emergency_stop(wish), "way": f"the API at {asked.url}"}
    except NoEngineError as error:
        edge.complain(f"{error}; asking the node of this machine")
    except RefusedError as error:
        if error.status < _MALFUNCTION and error.status != UNAUTHORIZED:
            raise
        edge.complain(f"{error}; asking the node of this machine")
    return None


def _by_socket(data_dir: Path, wish: dict[str, Any]) -> dict[str, Any]:
    from strategy_engine.core import ids  # noqa: PLC0415 - what runs an engine is slow to import
    from strategy_engine.risk import calling, deeds  # noqa: PLC0415
    from strategy_engine.risk.model import Action, Deed  # noqa: PLC0415
    from strategy_engine.venue.limits import Scope  # noqa: PLC0415

    deed = Deed(
        deed_id=ids.new_id("stop"),
        action=Action.EMERGENCY_STOP,
        scope=Scope(str(wish["scope"])),
        subject=str(wish["subject"]),
        reason=str(wish["reason"]),
        actor=f"console ({getpass.getuser()})",
        at=datetime.now(UTC),
        flattens=bool(wish["flatten"]),
    )
    reached = calling.stop(data_dir, deed)
    done = None
    if reached.done is not None:
        done = deeds.plain_done(reached.done)
        done["milliseconds"] = round(done.pop("took_s") * 1_000, 3)
        done["journaled"] = done.pop("is_journaled")
    stop = {"stop_id": deed.deed_id, "scope": deed.scope.value, "subject": deed.subject}
    way = f"the node's own socket in {data_dir}"
    return {"stop": stop, "done": done, "note": reached.note, "way": way}


def _folder(data_dir: Path | None) -> Path:
    given = os.environ.get("STRATEGY_DATA_DIR")
    folder = data_dir or (Path(given) if given else Path.home() / ".strategy-engine")
    if not folder.is_dir():
        raise typer.BadParameter(f"{folder} is no data directory of an engine; give --data-dir")
    return folder


def _lines(told: dict[str, Any]) -> list[str]:
    stop, done = told["stop"], told["done"]
    lines = [f"{_about(stop)} is stopped ({stop['stop_id']}), by {told['way']}"]
    if done is not None:
        lines += _done_lines(done)
    if told["note"]:
        lines.append(f"  {told['note']}")
    lines.append(f"  reset by another person: strategy-engine risk reset-stop {stop['stop_id']}")
    return [rules.printable(each) for each in lines]


def _done_lines(done: "Done") -> list[str]:
    what = f"{len(done['executions'])} executions, {done['cancelled']} waiting orders cancelled"
    lines = [f"  {what} and confirmed in {done['milliseconds']:g} ms; no order passes any more"]
    if done["open"]:
        lines.append(f"  being prepared, held before they see a price: {', '.join(done['open'])}")
    if done["holding"]:
        lines.append(f"  still holding a position: {', '.join(done['holding'])}")
    if not done["journaled"]:
        lines.append("  the node's disk did not take it: it holds until the node ends, no longer")
    return lines


def _stop_line(stop: "Stop") -> str:
    state = "in force" if stop["in_force"] else f"reset {stop['reset_at']} by {stop['reset_by']}"
    flat = ", flattened" if stop["flatten"] else ""
    return (
        f"{stop['stop_id']}  {_about(stop)}{flat}  {stop['at']}  {stop['actor']}:"
        f" {stop['reason']}  {state}"
    )


def _about(stop: "Stop") -> str:
    whole = stop["scope"] == "engine"
    return "the whole engine" if whole else f"{stop['scope']} {stop['subject']}"
