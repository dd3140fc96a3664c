"""The process's edge: whatever a command raises becomes one line and an exit code."""

import errno
import functools
import os
import sys
from collections.abc import Callable, Iterable

import typer

from strategy_engine.cli import rules
from strategy_engine.core.errors import EngineError

TRACEBACK = "STRATEGY_TRACEBACK"


def guarded[**P](command: Callable[P, None]) -> Callable[P, None]:
    """Return the command so that it never ends in a traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except EngineError as error:
            complain(str(error))
            raise typer.Exit(rules.exit_code(error)) from None
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except Exception as error:
            if os.environ.get(TRACEBACK) or _is_closed_pipe(error):
                raise
            complain(_unexpected(error))
            raise typer.Exit(rules.FAILED) from None

    return run


def complain(message: str) -> None:
    """Say on standard error what went wrong."""
    print(f"error: {rules.printable(message)}", file=sys.stderr)


def repeat(log: Iterable[str]) -> None:
    """Repeat lines of a log on standard error."""
    for line in log:
        print(f"  | {rules.printable(line)}", file=sys.stderr)


def _is_closed_pipe(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EPIPE


def _unexpected(error: Exception) -> str:
    if isinstance(error, OSError):
        return str(error)
    return (
        f"{type(error).__name__}: {error} (a fault of this program, please report it;"
        f" {TRACEBACK}=1 shows where)"
    )
