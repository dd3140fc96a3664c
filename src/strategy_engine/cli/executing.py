"""What trades: `executions`, `start`, `stop`, `pause`, `resume`, `flatten`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from strategy_engine.cli import options, rules

if TYPE_CHECKING:
    from strategy_engine.client import model

_SHOWN_TRADES = 500

_Strategy = Annotated[str, typer.Argument(metavar="STRATEGY_ID", show_default=False)]


def executions(
    execution_id: Annotated[
        str | None, typer.Argument(metavar="[EXECUTION_ID]", show_default=False)
    ] = None,
    *,
    status: Annotated[
        str | None,
        typer.Option(help="Another state than the active ones, such as stopped."),
    ] = None,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """List what trades, or show one execution and its trades."""
    from strategy_engine.cli import views  # noqa: PLC0415 - rich is slow to import

    console = views.console()
    with options.client(url) as client:
        if execution_id:
            found = client.execution(execution_id)
            trades = client.trades(execution_id, limit=_SHOWN_TRADES)["trades"]
            if as_json:
                return options.print_json({**found, "trades": trades})
            console.print(views.execution(found))
            for each in trades:
                console.print(views.trade(each))
            return None
        answer = client.executions(status=status)
    if as_json:
        return options.print_json(answer)
    if not answer["executions"]:
        return print("no executions; start one with `strategy-engine start STRATEGY_ID`")
    return console.print(views.executions(answer["executions"]))


_Capital = Annotated[
    float | None,
    typer.Option(
        callback=options.finite, help="Paper money to trade with.", show_default="100,000"
    ),
]
_Size = Annotated[
    float | None,
    typer.Option(callback=options.finite, help="Share of the equity a position takes."),
]
_Entries = Annotated[int | None, typer.Option(help="New entries a day.")]
_Symbols = Annotated[
    list[str] | None, typer.Option("--symbol", help="What to trade; repeat for more.")
]
_Timeframe = Annotated[str | None, typer.Option(help="Length of a bar, such as 1h.")]
_Feed = Annotated[
    str | None,
    typer.Option(
        help="Where bars come from: replay, or bus (see docs/bus.md).", show_default="replay"
    ),
]
_Speed = Annotated[
    float | None,
    typer.Option(
        callback=options.finite, help="Bars a second of the replay feed; 0 for all it can."
    ),
]


def start(
    strategy_id: _Strategy,
    *,
    capital: _Capital = None,
    position_size: _Size = None,
    max_trades_per_day: _Entries = None,
    symbol: _Symbols = None,
    timeframe: _Timeframe = None,
    feed: _Feed = None,
    speed: _Speed = None,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Start a deployed strategy on paper.

    A strategy that runs already answers its execution.
    """
    given: dict[str, Any] = {
        "capital": capital,
        "position_size": position_size,
        "max_trades_per_day": max_trades_per_day,
        "symbols": symbol or None,
        "timeframe": timeframe,
        "feed": feed,
        "speed": speed,
    }
    config = {name: value for name, value in given.items() if value is not None}
    with options.client(url) as client:
        started = client.start(strategy_id, config)
    if as_json:
        return options.print_json(started)
    print(f"{started['status'].replace('_', ' ')}: {started['execution_id']}")
    return print(f"watch it with: strategy-engine executions {started['execution_id']}")


def stop(
    strategy_id: _Strategy,
    *,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Stop every execution of a strategy."""
    with options.client(url) as client:
        _tell(client.stop(strategy_id), as_json=as_json)


def pause(
    strategy_id: _Strategy,
    *,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Let a strategy take no new decisions; its stops stay watched."""
    with options.client(url) as client:
        _tell(client.pause(strategy_id), as_json=as_json)


def resume(
    strategy_id: _Strategy,
    *,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Let a paused strategy decide again."""
    with options.client(url) as client:
        _tell(client.resume(strategy_id), as_json=as_json)


def flatten(
    execution_id: Annotated[str, typer.Argument(metavar="EXECUTION_ID", show_default=False)],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do nothing; tell what would be closed.")
    ] = False,
    url: options.Url = options.DEFAULT_URL,
    as_json: options.AsJson = False,
) -> None:
    """Close everything that an execution holds at the next price, even if it has ended."""
    with options.client(url) as client:
        found = client.flatten(execution_id, dry_run=dry_run)
    if as_json:
        return options.print_json(found)
    would = "would: " if found["dry_run"] and found["closes"] else ""
    return print(rules.printable(f"{found['execution_id']}: {would}{found['message']}"))


def _tell(moved: "model.Moved", *, as_json: bool) -> None:
    if as_json:
        return options.print_json(moved)
    minutes = moved.get("duration_minutes") if moved["execution_id"] else None
    after = "" if minutes is None else f" after {minutes:,.1f} minutes"
    which = moved["execution_id"] or "no execution"
    print(f"{moved['status'].replace('_', ' ')}: {which}{after}")
    if message := moved.get("message"):
        print(rules.printable(message))
    return None
