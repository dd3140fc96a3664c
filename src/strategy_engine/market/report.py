"""What an import found in a file, fault by fault, in sentences."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from strategy_engine.core import clock
from strategy_engine.market.model import Calendar, Timeframe

KEPT = 1_000  # places kept of one fault; the count goes on
SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One faulty row: its number in the file's data (the first is 1), its time, what is wrong."""

    row: int
    ts_ns: int | None
    what: str

    def __str__(self) -> str:
        at = "" if self.ts_ns is None else f" at {moment(self.ts_ns)}"
        return f"row {self.row}{at}: {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """A row whose time an earlier row already has, with the same numbers or with others."""

    row: int
    first_row: int
    ts_ns: int
    identical: bool

    def __str__(self) -> str:
        content = "the same bar as" if self.identical else "another bar than"
        return f"row {self.row} at {moment(self.ts_ns)}: {content} row {self.first_row}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Bars that are not there, between the opening times of two that are."""

    from_ns: int
    to_ns: int
    missing: int

    def __str__(self) -> str:
        span = f"{moment(self.from_ns)} to {moment(self.to_ns)}"
        return f"{span} ({self.missing:,} missing)" if self.missing else span


@dataclass(frozen=True, slots=True, kw_only=True)
class Found[T]:
    """How often a fault was found, and its first places."""

    count: int = 0
    places: tuple[T, ...] = ()

    def __bool__(self) -> bool:
        return self.count > 0

    def line(self, singular: str, plural: str) -> str:
        """Return one sentence: how many, the first places, how many more."""
        head = f"{self.count:,} {singular if self.count == 1 else plural}"
        shown = [str(place) for place in self.places[:SHOWN]]
        if self.count > len(shown):
            shown.append(f"{self.count - len(shown):,} more")
        return f"{head}: {'; '.join(shown)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What was found in a file of bars, and whether they may enter the catalogue.

    Unreadable or zoneless times, unsorted, duplicate, misaligned and impossible rows refuse the
    whole file; gaps and prices off the tick grid warn; closures are the calendar's own rest.
    """

    symbol: str
    timeframe: Timeframe
    calendar: Calendar
    rows: int
    first_ns: int | None
    last_ns: int | None
    tick_size: Decimal | None
    inferred_tick_size: Decimal | None
    unreadable: Found[Place] = Found()
    zoneless: Found[Place] = Found()
    unsorted: Found[Place] = Found()
    duplicates: Found[Duplicate] = Found()
    misaligned: Found[Place] = Found()
    impossible: Found[Place] = Found()
    off_grid: Found[Place] = Found()
    gaps: Found[Gap] = Found()
    closures: Found[Gap] = Found()
    ignored_columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether nothing was found that refuses the file."""
        return not self.refusals()

    @property
    def first_refused_row(self) -> int:
        """The first row that refuses the file, among those kept; 0 if no row does."""
        faults = (self.unreadable, self.zoneless, self.unsorted, self.misaligned, self.impossible)
        rows = [each.row for fault in faults for each in fault.places]
        return min([*rows, *(each.row for each in self.duplicates.places)], default=0)

    def lines(self) -> list[str]:
        """Return the report as sentences: the verdict, what refuses, what warns, what to know."""
        span = _span(self.rows, "bars", self.first_ns, self.last_ns)
        head = f"{self.symbol} {self.timeframe}, {span}"
        return _sentences(head, self.refusals(), self._warnings(), self._remarks())

    def refusals(self) -> list[str]:
        """Return what refuses the file, a sentence a fault."""
        lines = _told(
            (self.unreadable, "time that cannot be read", "times that cannot be read"),
            (self.zoneless, f"time without a zone ({_ZONE})", f"times without a zone ({_ZONE})"),
            (self.unsorted, "row out of time order", "rows out of time order"),
            (self.duplicates, "duplicate time", "duplicate times"),
            (self.misaligned, "time off the timeframe", "times off the timeframe"),
            (self.impossible, "impossible bar", "impossible bars"),
        )
        if self.rows == 0:
            lines.append("the file holds no rows")
        elif self.tick_size is None:
            lines.append(
                "the prices fit no tick size of up to nine decimals: give tick_size "
                "(0.000001 is usual for adjusted prices); prices are then traded rounded to it"
            )
        return lines

    def _warnings(self) -> list[str]:
        return _told(
            (self.gaps, "gap (holidays look like this too)", "gaps (holidays look like this too)"),
            (
                self.off_grid,
                f"price off the tick of {self.tick_size}, traded rounded",
                f"prices off the tick of {self.tick_size}, traded rounded",
            ),
        )

    def _remarks(self) -> list[str]:
        lines = _told(
            (
                self.closures,
                f"closure of the {self.calendar} calendar",
                f"closures of the {self.calendar} calendar",
            )
        )
        if self.tick_size is not None:
            lines.append(f"tick size {self.tick_size:f}, {_inferred(self)}")
        if self.ignored_columns:
            lines.append(f"ignored columns: {', '.join(self.ignored_columns)}")
        return [*lines, *self.notes]


@dataclass(frozen=True, slots=True, kw_only=True)
class TickReport:
    """What was found in a file of quotes or trades, and whether they may enter the catalogue.

    Unreadable or zoneless times, unsorted and impossible rows refuse the whole file; rows that
    repeat the one above, prices off the tick grid, sizes below a lot and whole hours without a row
    warn.
    """

    symbol: str
    what: str
    calendar: Calendar
    rows: int
    first_ns: int | None
    last_ns: int | None
    tick_size: Decimal
    lot_size: Decimal
    unreadable: Found[Place] = Found()
    zoneless: Found[Place] = Found()
    unsorted: Found[Place] = Found()
    impossible: Found[Place] = Found()
    repeated: Found[Place] = Found()
    off_grid: Found[Place] = Found()
    small: Found[Place] = Found()
    gaps: Found[Gap] = Found()
    closures: Found[Gap] = Found()
    ignored_columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether nothing was found that refuses the file."""
        return not self.refusals()

    def lines(self) -> list[str]:
        """Return the report as sentences: the verdict, what refuses, what warns, what to know."""
        head = f"{self.symbol}, {_span(self.rows, self.what, self.first_ns, self.last_ns)}"
        return _sentences(head, self.refusals(), self._warnings(), self._remarks())

    def refusals(self) -> list[str]:
        """Return what refuses the file, a sentence a fault."""
        lines = _told(
            (self.unreadable, "time that cannot be read", "times that cannot be read"),
            (self.zoneless, f"time without a zone ({_ZONE})", f"times without a zone ({_ZONE})"),
        )
        lines += tick_refusals(self.what, self.unsorted, self.impossible)
        return lines if self.rows else [*lines, "the file holds no rows"]

    def _warnings(self) -> list[str]:
        grid = f"off the tick of {self.tick_size:f}, traded rounded"
        lot = (
            f"below the lot of {self.lot_size:f}, traded rounded to whole lots; if that is not the"
            " lot, import the bars again with --lot-size and --replace"
        )
        return _told(
            (self.repeated, "row repeats the one above", "rows repeat the one above"),
            (self.gaps, "gap (whole hours without a row)", "gaps (whole hours without a row)"),
            (self.off_grid, f"price {grid}", f"prices {grid}"),
            (self.small, f"size {lot}", f"sizes {lot}"),
        )

    def _remarks(self) -> list[str]:
        rest = f"of the {self.calendar} calendar"
        lines = _told((self.closures, f"closure {rest}", f"closures {rest}"))
        if self.ignored_columns:
            lines.append(f"ignored columns: {', '.join(self.ignored_columns)}")
        return [*lines, *self.notes]


def tick_refusals(what: str, unsorted: Found[Place], impossible: Found[Place]) -> list[str]:
    """Return what refuses quotes or trades whose times could be read."""
    return _told(
        (unsorted, "row out of time order", "rows out of time order"),
        (impossible, f"impossible {what.removesuffix('s')}", f"impossible {what}"),
    )


def _span(rows: int, what: str, first_ns: int | None, last_ns: int | None) -> str:
    if first_ns is None or last_ns is None:
        return "no rows"
    return f"{rows:,} {what}, {moment(first_ns)} to {moment(last_ns)}"


def _sentences(
    head: str, refusals: list[str], warnings: list[str], remarks: list[str]
) -> list[str]:
    verdict = "refused, nothing was stored" if refusals else "accepted"
    return [
        f"{verdict}: {head}",
        *(f"error: {line}" for line in refusals),
        *(f"warning: {line}" for line in warnings),
        *(f"note: {line}" for line in remarks),
    ]


_ZONE = "write them with Z or an offset, or name the column ts_utc if they are UTC"


def _inferred(report: ImportReport) -> str:
    if report.inferred_tick_size is None:
        return "no tick size fits the prices themselves"
    return f"the prices themselves fit {report.inferred_tick_size:f}"


def _told[T](*faults: tuple[Found[T], str, str]) -> list[str]:
    return [found.line(singular, plural) for found, singular, plural in faults if found]


def found_in[T](count: int, places: Iterable[T]) -> Found[T]:
    """Return what was found; `places` may stop after the first `KEPT`."""
    return Found(count=count, places=tuple(places))


def moment(ts_ns: int) -> str:
    """Return a time as people write it: minutes, seconds only where there are any."""
    at = clock.from_nanos(ts_ns)
    return at.strftime("%Y-%m-%d %H:%M:%SZ" if at.second else "%Y-%m-%d %H:%MZ")
