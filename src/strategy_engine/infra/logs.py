"""Structured logs: one line an event, JSON for machines or aligned text for people."""

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO, cast


@contextlib.contextmanager
def _without(name: str) -> Iterator[None]:
    """Let what is imported meanwhile do without an optional module, unless it is there already."""
    is_hidden = name not in sys.modules
    if is_hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # None: "cannot be imported"
    try:
        yield
    finally:
        if is_hidden:
            del sys.modules[name]


with _without("rich"):  # for tracebacks that are not drawn here; a tenth of an engine's start
    import structlog


class Lossy:
    """Standard error whose lines are dropped where they cannot be written.

    A full disk, or a reader that went away, must end nothing: what is logged is never worth more
    than what it is about.
    """

    def write(self, text: str) -> int:
        """Write what can be written."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand on what can be handed on."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


class Sparing(logging.Filter):
    """Lets a warning of one place through once in a while; an error always.

    A library that asks again and again, of something that is away, says so each time, from many
    threads. How many lines were held back is told by the next one of their place.

    Parameters
    ----------
    every_s : float
        How long a place is silent after it was heard.
    monotonic_s : callable
        What the time is.
    """

    def __init__(
        self, *, every_s: float = 10.0, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._every_s = every_s
        self._monotonic_s = monotonic_s
        self._turn = threading.Lock()
        self._heard_s: dict[tuple[str, int], float] = {}
        self._held_back: dict[tuple[str, int], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a line is written; the first one after a silence tells of the others."""
        if record.levelno >= logging.ERROR:
            return True
        place = (record.pathname, record.lineno)
        with self._turn:
            now_s = self._monotonic_s()
            if now_s - self._heard_s.get(place, float("-inf")) < self._every_s:
                self._held_back[place] = self._held_back.get(place, 0) + 1
                return False
            self._heard_s[place] = now_s
            others = self._held_back.pop(place, 0)
        if others:
            record.msg, record.args = f"{record.getMessage()} ({others} more were held back)", ()
        return True


def flush() -> None:
    """Hand on what was logged, before a process ends without tidying up."""
    Lossy().flush()


def configure(*, as_json: bool, level: str = "INFO") -> None:
    """Set up structlog and the standard library's loggers to write to stderr in one form."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    out = cast("TextIO", Lossy())
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(file=out),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processor=renderer, foreign_pre_chain=[*shared, structlog.processors.format_exc_info]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def get(room: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of a room."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(room=room)
    return logger
