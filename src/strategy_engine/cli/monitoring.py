"""How risk stands: `risk status`, `risk breaches`, `risk reset`."""

from typing import TYPE_CHECKING, Annotated

import typer

from strategy_engine.cli import emergency, options, rules

if TYPE_CHECKING:
    from strategy_engine.client import risk_model


def status(*, url: options.Url = options.DEFAULT_URL, as_json: options.AsJson = False) -> None:
    """Show what is stopped, which limits are broken, and whom risk holds back."""
    with emergency.client(url) as client:
        found = client.risk()
    if as_json:
        return options.print_json(found)
    print(f"risk: {found['status']}")
    for stop in found["emergency_stops"]:
        print(rules.printable(f"  emergency stop {stop} is in force"))
    for each in found["held_back"]:
        held = f"  {each['execution_id']}  {each['status']}  {each['risk_state']}  {each['why']}"
        print(rules.printable(held))
    for breach in found["breaches"]:
        print(_told(breach))
    for line in found["lines"]:
        told = f"  {line['strategy_name']}: P&L {line['pnl']:+,.2f}, today {line['day_pnl']:+,.2f}"
        print(rules.printable(f"{told}, highest {line['peak_pnl']:+,.2f}"))
    return None


def breaches(
    execution_id: Annotated[
        str | None,
        typer.Argument(metavar="[EXECUTION_ID]", show_default=False, help="Only those of it."),
    ] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=500, help="The most that are shown.")] = 20,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """List the limits that are or were broken, the newest first."""
    with emergency.client(url) as client:
        found = client.breaches(execution_id=execution_id, limit=limit)
    if as_json:
        return options.print_json(found)
    if not found["breaches"]:
        return print("no limit was broken")
    for each in found["breaches"]:
        print(_told(each))
    return None


def reset(
    execution_id: Annotated[str, typer.Argument(metavar="EXECUTION_ID", show_default=False)],
    *,
    comment: Annotated[str, typer.Option(help="Why it may trade again; kept in the audit log.")],
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Let an execution that is REDUCING or HALTED be ACTIVE; losses are measured from now on."""
    with emergency.client(url) as client:
        found = client.reset_risk(execution_id, comment)
    if as_json:
        return options.print_json(found)
    return print(
        rules.printable(f"{found['execution_id']} is {found['risk_state']}: {found['note']}")
    )


def _told(each: "risk_model.Breach") -> str:
    until = "lasts" if each["ended_at"] is None else f"until {each['ended_at']}"
    return rules.printable(f"  {each['began_at']}  {each['action']}  {each['message']}  ({until})")
