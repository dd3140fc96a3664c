"""The local journal of risk: a file that only grows while an engine runs, each line on the disk."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from strategy_engine.infra import logs
from strategy_engine.risk import past
from strategy_engine.risk.past import Past

NAME = "risk-journal.jsonl"
_LARGE = 1 << 20  # bytes from which it is written anew at a start
_MOST_KEPT = 1_000  # deeds that are over, when it is
_MODE = 0o600

_log = logs.get("risk")


class Logbook:
    """One node's journal. Its methods write before they return, and never wait for a database."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Past:
        """Return what it tells; a line that was torn is told in the log and passed over."""
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return Past()
        known, strange = past.read(raw)
        for each in strange:
            _log.error("risk_journal_line_not_understood", line=each)
        return known

    def append(self, line: Mapping[str, Any]) -> None:
        """Add one line, and wait until it is on the disk.

        Raises
        ------
        OSError
            If the disk does not take it.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, _MODE)
        try:
            begin = b"" if _ends_whole(descriptor) else b"\n"  # a torn line stays by itself
            _write(descriptor, begin + _encoded(line))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def shorten(self, known: Past) -> None:
        """Write a large journal anew, with what still matters; the old one stays until it is done.

        Raises
        ------
        OSError
            If the disk does not take it; nothing has changed then.
        """
        if not self._path.exists() or self._path.stat().st_size < _LARGE:
            return
        self.replace(past.compact(known, _MOST_KEPT))

    def replace(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Write other lines in place of all there are, at once or not at all."""
        fresh = self._path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
        try:
            _write(descriptor, b"".join(_encoded(each) for each in lines))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        fresh.replace(self._path)
        _sync_folder(self._path.parent)


def _encoded(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def _ends_whole(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
