"""Options that several commands share, and the client they describe."""

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strategy_engine.client import address

if TYPE_CHECKING:
    from strategy_engine.client.service import Client

Url = Annotated[
    str,
    typer.Option(
        "--url",
        envvar="STRATEGY_URL",
        metavar="URL",
        help="The engine; its key is read from STRATEGY_API_KEY.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the engine's answer as JSON.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Where the engine keeps its files. [STRATEGY_DATA_DIR; default: ~/.strategy-engine]",
        show_default=False,
    ),
]
DEFAULT_URL = address.DEFAULT_URL


def finite(value: float | None) -> float | None:
    """Refuse `nan` and `inf`, which Python reads as numbers and JSON cannot carry.

    Raises
    ------
    BadParameter
        Typer tells the option's name with it.
    """
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no finite number; give one that is")
    return value


def client(url: str) -> "Client":
    """Return a client of the engine at `url`, with the key of the environment."""
    from strategy_engine.client.service import Client  # noqa: PLC0415 - httpx is slow to import

    return Client(url, api_key=os.environ.get("STRATEGY_API_KEY") or None)


def print_json(answer: Any) -> None:
    """Print an answer for another program."""
    print(json.dumps(answer, indent=2))
