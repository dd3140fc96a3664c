"""`serve`: the engine in the foreground, behind a door that is never open by accident."""

from typing import Annotated

import typer

from strategy_engine.cli import options


def serve(
    *,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen on. [STRATEGY_HOST; default: 127.0.0.1]",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65_535,
            metavar="PORT",
            help="Port to listen on. [STRATEGY_PORT; default: 8700]",
            show_default=False,
        ),
    ] = None,
    data_dir: options.DataDir = None,
    log_json: Annotated[
        bool, typer.Option("--log-json", help="Log one JSON object a line. [STRATEGY_LOG_JSON]")
    ] = False,
) -> None:
    """Run the engine in the foreground until Ctrl-C.

    It listens on 127.0.0.1:8700. Any other address needs STRATEGY_API_KEY (16 characters or more),
    which every request then carries as a bearer token; without it the engine refuses to start.
    """
    # Imported late: what serves is slow to import, and `--help` is not to wait for it.
    from strategy_engine import config  # noqa: PLC0415
    from strategy_engine import serve as engine  # noqa: PLC0415

    settings = config.load(host=host, port=port, data_dir=data_dir, log_json=log_json or None)
    raise typer.Exit(engine.run(settings))
