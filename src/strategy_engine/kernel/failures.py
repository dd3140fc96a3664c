"""What a user's exception becomes: one message that names the phase, the error and the line."""

import linecache
from collections.abc import Iterator
from contextlib import contextmanager

from strategy_engine.core.errors import InvalidError
from strategy_engine.sandbox.protocol.messages import Failed

STRATEGY_FILE = "<strategy>"
COMPILE, CONSTRUCT, DECIDE, HOOK, TESTS = "compile", "construct", "decide", "hook", "tests"
_LONGEST_TEXT = 2_000


class ContractError(InvalidError):
    """The strategy's code breaks the contract; the message says where and what is accepted."""

    kind = "contract"


class StrategyFailedError(Exception):
    """The user's code failed; `failed` is what the engine is told."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.message)
        self.failed = failed


def readable(text: str, limit: int = _LONGEST_TEXT) -> str:
    """Return text that can cross the boundary: valid UTF-8, of bounded length."""
    return text[:limit].encode(errors="replace").decode()


def describe(
    error: BaseException, phase: str, *, line: int | None = None, bar_index: int | None = None
) -> Failed:
    """Return what the engine is told about an exception of the user's code.

    Parameters
    ----------
    line : int, optional
        The line to blame when the exception was not raised in the user's code itself.
    """
    found = _line_of(error) or line
    return Failed(
        phase=phase,
        error=readable(type(error).__name__),
        message=_message_of(error),
        where=_quoted(found) if found else "",
        bar_index=bar_index,
    )


@contextmanager
def reported(phase: str) -> Iterator[None]:
    """Turn whatever the user's code raises inside into a `StrategyFailedError`."""
    try:
        yield
    except StrategyFailedError:
        raise
    except BaseException as error:
        # SystemExit and KeyboardInterrupt too: user code must not end the child without a word.
        raise StrategyFailedError(describe(error, phase)) from error


def register(name: str, source: str) -> None:
    """Let tracebacks and pytest show the lines of a source that is in no file."""
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)


def _message_of(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return readable(error.msg)
    if isinstance(error, MemoryError):
        return "it asked for more memory than it may have"
    try:
        return readable(str(error))
    except Exception:  # noqa: BLE001  (the user's __str__, at the edge of the process)
        return "<its message could not be shown>"


def _line_of(error: BaseException) -> int | None:
    if isinstance(error, SyntaxError) and error.filename == STRATEGY_FILE:
        return error.lineno
    found, frame = None, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == STRATEGY_FILE:
            found = frame.tb_lineno
        frame = frame.tb_next
    return found


def _quoted(line: int) -> str:
    return readable(f"line {line}: {linecache.getline(STRATEGY_FILE, line).strip()}")
