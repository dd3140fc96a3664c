"""A control that starts again reads of long ledgers what is new, and comes to the same."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest

from strategy_engine.control import shelf
from strategy_engine.control.measuring import Measuring
from strategy_engine.control.shelf import Shelf
from strategy_engine.core.clock import SteppedClock
from strategy_engine.execution.model import ExecutionStatus, Role
from strategy_engine.performance.composite import Asked
from strategy_engine.venue.curves import Curve, Trips, hours

MINUTE_NS = 60_000_000_000
LONG = 3 * shelf.FEWEST_ENTRIES
NAME = "exec_1"


@dataclass
class Ledger:
    """One execution's ledger of minute bars, read as `venue.curves.Curves` reads it."""

    bars: int
    equity: np.ndarray
    fills: int = 0
    read: list[int] = field(default_factory=list)

    async def heads(self, names):
        return dict.fromkeys(names, (self.bars, self.fills))

    async def by_hour(self, name, *, after_ns=-1):
        close_ns = (1 + np.arange(self.bars)) * MINUTE_NS
        kept = close_ns > after_ns
        self.read.append(int(kept.sum()))
        is_last = np.append(hours(close_ns)[1:] != hours(close_ns)[:-1], True)
        chosen = kept & is_last
        return Curve(
            opening=1_000.0,
            close_ns=close_ns[chosen],
            equity=self.equity[: self.bars][chosen],
            contributed=np.full(int(chosen.sum()), 1_000.0),
            benchmark=np.ones(int(chosen.sum())),
        )

    async def trips(self, name, *, after_seq=0):
        seq = np.arange(after_seq + 1, self.fills + 1)
        return Trips(seq=seq, entry_ns=seq * 10, exit_ns=seq * 20, pnl=seq * 0.5)


def ledger(seed=1, bars=LONG):
    steps = np.random.default_rng(seed).normal(0, 0.1, LONG * 2)
    return Ledger(bars=bars, equity=1_000 + np.cumsum(steps), fills=7)


def started(ledger, folder):
    """Return the measuring of a control that has just begun."""
    row = SimpleNamespace(
        execution_id=NAME, strategy_id="strat_1", status=ExecutionStatus.RUNNING, role=Role.STABLE
    )

    async def page(*, statuses, limit, offset):
        return ([row], 1) if offset == 0 else ([], 1)

    async def get_many(names):
        return [row]

    async def get(strategy_id):
        return SimpleNamespace(content=SimpleNamespace(strategy_name="RSI"))

    return Measuring(
        reader=ledger,
        shelf=Shelf(folder),
        executions=SimpleNamespace(page=page, get_many=get_many),
        registry=SimpleNamespace(get=get),
        catalogue=SimpleNamespace(),
        snapshots=SimpleNamespace(),
        clock=SteppedClock(datetime(2026, 3, 2, tzinfo=UTC)),
        interval_s=10.0,
    )


async def measured(ledger, folder):
    found = await started(ledger, folder).of_engine(Asked())
    return found.metrics.to_dict() | {"pnl": found.pnl, "last": found.last_ns}


@pytest.mark.parametrize("more", [0, 1, 59, 60, 4_000])
async def test_a_control_that_starts_again_reads_what_is_new_and_comes_to_the_same(tmp_path, more):
    book = ledger()
    await measured(book, tmp_path / "measured")
    book.bars, book.fills = LONG + more, 9
    book.read.clear()

    again = await measured(book, tmp_path / "measured")

    assert max(book.read) <= more + 180  # two hours more than is new
    assert again == await measured(book, tmp_path / "another")


async def test_what_is_new_since_is_kept_too_once_it_is_much(tmp_path):
    book = ledger()
    control = started(book, tmp_path)
    for bars in (LONG, LONG + 100, LONG + shelf.FEWEST_ENTRIES):
        book.bars = bars
        await control.of_engine(Asked())
        found = Shelf(tmp_path).find(NAME, (bars, book.fills))
        assert found is not None
        assert found.head[0] == (LONG if bars == LONG + 100 else bars)


async def test_a_short_ledger_is_not_kept(tmp_path):
    await measured(ledger(bars=shelf.FEWEST_ENTRIES - 1), tmp_path)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left", [b"", b"PK\x03\x04 torn", b"no archive"])
async def test_a_file_that_makes_no_sense_is_read_anew_from_the_ledger(tmp_path, left):
    book = ledger()
    before = await measured(book, tmp_path)
    (tmp_path / f"{NAME}.npz").write_bytes(left)
    book.read.clear()

    assert await measured(book, tmp_path) == before
    assert book.read == [LONG]


@pytest.mark.parametrize("bars", [LONG, LONG + 500, LONG - 500])
async def test_of_a_ledger_that_was_restored_and_went_on_otherwise_nothing_kept_counts(
    tmp_path, bars
):
    await measured(ledger(seed=1), tmp_path)
    other = ledger(seed=2, bars=bars)

    assert await measured(other, tmp_path) == await measured(other, tmp_path / "another")
    assert LONG in other.read or bars in other.read


async def test_a_folder_that_cannot_be_written_keeps_nobody_from_measuring(tmp_path):
    (tmp_path / "measured").write_text("a file, and no folder")

    assert (await measured(ledger(), tmp_path / "measured"))["pnl"] != 0


async def test_what_is_kept_is_what_was_read(tmp_path):
    book = ledger()
    curve, trips = await book.by_hour(NAME), await book.trips(NAME)
    kept = shelf.Shelved(head=(book.bars, book.fills), curve=curve, trips=trips)
    Shelf(tmp_path).keep(NAME, kept)

    found = Shelf(tmp_path).find(NAME, kept.head)

    assert found is not None
    assert found.head == kept.head
    assert found.curve.opening == curve.opening
    for name in ("close_ns", "equity", "contributed", "benchmark"):
        assert np.array_equal(getattr(found.curve, name), getattr(curve, name))
    for name in Trips.__slots__:
        assert np.array_equal(getattr(found.trips, name), getattr(trips, name))
    assert not shelf.is_of_same(replace(curve, opening=2.0), curve)
