"""What a node's executions are held to together: limits, sums, and what is stopped. In memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import TypedDict

from strategy_engine.matching.model import Side
from strategy_engine.venue import limits, matches
from strategy_engine.venue.aggregates import ALONE, FLAT, NOBODY, Beside, Sides, Standing, Sums
from strategy_engine.venue.kill import KillState
from strategy_engine.venue.limits import NO_LIMITS, Limits, LimitSet, Scope
from strategy_engine.venue.matches import Waiting

type Sets = Mapping[tuple[Scope, str], LimitSet]
type Orders = Mapping[str, tuple[Waiting, ...]]
_WHOLE = ""
_NO_ORDERS: Orders = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """An execution, and what it belongs to."""

    execution_id: str
    strategy_id: str
    line: str
    account: str

    def subject(self, scope: Scope) -> str:
        """Return what of a scope it belongs to."""
        match scope:
            case Scope.VERSION:
                return self.strategy_id
            case Scope.EXECUTION:
                return self.execution_id
            case Scope.LINE:
                return self.line
            case Scope.ACCOUNT:
                return self.account
            case Scope.ENGINE:
                return _WHOLE


SHARED = (Scope.LINE, Scope.ACCOUNT, Scope.ENGINE)


class Oversight:
    """The executions of one node. Whoever has a desk may let it count, in whatever thread."""

    def __init__(self, kill: KillState | None = None) -> None:
        self.kill = KillState() if kill is None else kill
        self.lock = Lock()
        self.revision = 0
        self.sets: Sets = {}
        self._sums: dict[tuple[Scope, str], Sums] = {}
        self._seats: dict[str, Seat] = {}
        self._waiting: dict[tuple[str, str], dict[Who, tuple[Waiting, ...]]] = {}

    def set_limits(self, sets: Sets) -> None:
        """Hold everybody to these limits from the next order on."""
        if sets != self.sets:
            self.sets = dict(sets)
            self.revision += 1

    def sums(self, scope: Scope, subject: str) -> Sums:
        """Return what a line, an account or the node holds and does in all."""
        return self._sums.setdefault((scope, subject), Sums())

    def seat(self, who: Who, own: Sets) -> "Seat":
        """Return the place of an execution; one that comes back has what it held before.

        Parameters
        ----------
        own : mapping
            What its version and its config say.
        """
        found = self._seats.get(who.execution_id)
        if found is not None:
            found.set_own(own)
            return found
        seat = Seat(own, among=self, who=who)
        self._seats[who.execution_id] = seat
        return seat

    def has(self, execution_id: str) -> bool:
        """Say whether an execution counts here."""
        return execution_id in self._seats

    def leave(self, execution_id: str) -> None:
        """Let an execution that has ended count no more, but for its day's result."""
        seat = self._seats.pop(execution_id, None)
        if seat is None or seat.who is None:
            return
        who, last = seat.who, seat.standing
        seat.clear()
        for scope in SHARED:
            self.sums(scope, who.subject(scope)).keep(last.day, last.pnl_nanos)

    def wait(self, who: Who, before: Orders, after: Orders) -> None:
        """Put the orders of one who waits in the place of those before; call it under the lock."""
        for symbol in {**before, **after}:
            there = self._waiting.setdefault((who.line, symbol), {})
            if symbol in after:
                there[who] = after[symbol]
            else:
                there.pop(who, None)

    def match(
        self, who: Who, symbol: str, side: Side, price_ticks: int | None, now_ns: int
    ) -> str | None:
        """Return whose order of another version of a line one would trade against; None: no."""
        there = self._waiting.get((who.line, symbol))
        if not there:
            return None
        for other, orders in tuple(there.items()):
            is_rival = other.strategy_id != who.strategy_id
            if is_rival and matches.crosses(side, price_ticks, now_ns, orders):
                return other.execution_id
        return None


class Exposure(TypedDict):
    """What an execution itself has at stake beside one order, billionths."""

    equity_nanos: int
    elsewhere_nanos: int
    against_nanos: int


class Seat:
    """An execution's place among the others of its node; alone, it knows its own limits only."""

    def __init__(
        self, own: Sets | None = None, *, among: Oversight | None = None, who: Who | None = None
    ) -> None:
        self.who = who
        self.standing = NOBODY
        self.waiting: Orders = _NO_ORDERS
        self.is_shadow = False
        self._among = among
        self._own: Sets = own or {}
        self._revision = -1
        self._limits: Limits = NO_LIMITS
        self._limited: frozenset[Scope] = frozenset()
        self._sums: dict[Scope, Sums] = {}
        if among is not None and who is not None:
            self._sums = {scope: among.sums(scope, who.subject(scope)) for scope in SHARED}
        self._lock = Lock() if among is None else among.lock

    @property
    def is_alone(self) -> bool:
        """Whether nobody sums what it does."""
        return self._among is None

    @property
    def limits(self) -> Limits:
        """Return what is in force by now."""
        revision = 0 if self._among is None else self._among.revision
        if revision != self._revision:
            sets = self._all_sets()
            self._limits = limits.tightest(sets)
            self._limited = frozenset(scope for scope, _ in sets)
            self._revision = revision
        return self._limits

    @property
    def killed(self) -> str | None:
        """Return why no order may go at all; None if orders may."""
        if self._among is None or self.who is None:
            return None
        who = self.who
        return self._among.kill.find(who.execution_id, who.line, who.account)

    def set_own(self, own: Sets) -> None:
        """Hold it to what its version and its config say from now on."""
        self._own, self._revision = own, -1

    def put(self, standing: Standing, waiting: Orders = _NO_ORDERS) -> None:
        """Count what it holds and does by now. A shadow counts as long as it holds something."""
        if self.is_shadow and not standing.gross_nanos:
            standing, waiting = Standing(day=standing.day), _NO_ORDERS
        with self._lock:
            for sums in self._sums.values():
                sums.change(self.standing, standing)
            if self._among is not None and self.who is not None and (self.waiting or waiting):
                self._among.wait(self.who, self.waiting, waiting)
            self.standing, self.waiting = standing, waiting

    def clear(self) -> None:
        """Count for nothing, and never again: who comes back gets another place."""
        self.put(NOBODY)
        self._sums, self._among = {}, None

    def beside(self, scope: Scope, symbol: str, day: int) -> Beside:
        """Return what the others of its line, its account or its node hold and do."""
        sums = self._sums.get(scope)
        return ALONE if sums is None else sums.beside(self.standing, symbol, day)

    def all_beside(self, symbol: str, day: int) -> Mapping[Scope, Beside]:
        """Return `beside` of every scope that it shares with others and that has limits."""
        return {
            scope: self.beside(scope, symbol, day) for scope in self._sums if scope in self._limited
        }

    def exposure(
        self,
        symbol: str,
        side: Side,
        equity: Callable[[], int],
        sides: Callable[[], Mapping[str, Sides]],
    ) -> Exposure:
        """Return its own equity and exposure beside an order; nothing where nobody asks for it."""
        if not self.limits.every("max_leverage"):
            return Exposure(equity_nanos=0, elsewhere_nanos=0, against_nanos=0)
        found = sides()
        other = Side.SELL if side is Side.BUY else Side.BUY
        return Exposure(
            equity_nanos=equity(),
            elsewhere_nanos=sum(each.gross_nanos for name, each in found.items() if name != symbol),
            against_nanos=found.get(symbol, FLAT).of(other),
        )

    def match(self, symbol: str, side: Side, price_ticks: int | None, now_ns: int) -> str | None:
        """Return which execution of another version an order would trade against; None: nobody."""
        if self._among is None or self.who is None:
            return None
        return self._among.match(self.who, symbol, side, price_ticks, now_ns)

    def _all_sets(self) -> Sets:
        if self._among is None or self.who is None:
            return self._own
        sets = dict(self._own)
        for scope in SHARED:
            key = scope, self.who.subject(scope)
            if key in self._among.sets:
                sets[key] = self._among.sets[key]
        return sets


def alone(**given: object) -> Seat:
    """Return the place of an execution that nobody stands beside, with limits of its own."""
    return Seat({(Scope.EXECUTION, "own"): limits.parse(given)})
