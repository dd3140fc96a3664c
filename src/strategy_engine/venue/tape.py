"""What happens to a native strategy's orders, kept until the ledger and the strategy know of it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from strategy_engine.matching import ticket
from strategy_engine.matching.model import DAY_NS, Cause, Fill
from strategy_engine.matching.ticket import Executed, OrderEvent, Rejected, Ticket
from strategy_engine.venue import changes, rules
from strategy_engine.venue.model import (
    Denial,
    OrderChange,
    OrderStatus,
    Placing,
)

RESTARTED = "restarted"
_COUNTED = re.compile(r"-(\d{1,9})(?:-E\d+)?$")  # NautilusTrader's names end in a count
_LONGEST_SYMBOL, _LONGEST_REASON = 100, 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What the ledger has not been told yet."""

    fills: tuple[Fill, ...] = ()
    placings: tuple[Placing, ...] = ()
    changes: tuple[OrderChange, ...] = ()


class Tape:
    """The orders of one execution by name, and what is still to be told of them.

    Parameters
    ----------
    execution_id : str
        Begins the ledger's name of every order: no other execution has it.
    """

    def __init__(self, execution_id: str) -> None:
        self._prefix = f"{execution_id}-"
        self.symbols: dict[str, str] = {}  # of every order there has been, by its name
        self.untold: list[OrderEvent] = []
        self.refused: list[Ticket] = []  # the strategy has not heard of it yet
        self.orders_made = 0
        self.denials = 0
        self._entries_day, self._entries = -1, 0
        self._fills: list[Fill] = []
        self._placings: list[Placing] = []
        self._changes: list[OrderChange] = []

    @property
    def has_fills(self) -> bool:
        """Whether there are fills that the ledger has not been told of."""
        return bool(self._fills)

    @property
    def has_news(self) -> bool:
        """Whether there is anything that the ledger has not been told of."""
        return bool(self._fills or self._placings or self._changes)

    def entries_of(self, day: int) -> int:
        """Return how many positions were opened on a day of the feed's clock; the last or later."""
        return self._entries if day == self._entries_day else 0

    def count(self, name: str) -> None:
        """Count an order that was asked for: the next one's name goes on from here."""
        counted = _COUNTED.search(name)
        self.orders_made = (
            max(self.orders_made, int(counted[1])) if counted else self.orders_made + 1
        )

    def place(
        self, order: Ticket, now_ns: int, *, opens: bool, cause: Cause = Cause.SIGNAL
    ) -> None:
        """Note an order that goes to the venue."""
        self._note(order, now_ns, opens=opens, cause=cause, reason=", ".join(order.tags))

    def deny(self, order: Ticket, denial: Denial, now_ns: int, *, opens: bool) -> None:
        """Note an order that the gate refused."""
        self.denials += 1
        self._answer(order, now_ns, denial.code, denial.message)
        if denial.code in rules.NAMELESS:
            return
        self._note(
            order,
            now_ns,
            opens=opens,
            status=OrderStatus.DENIED,
            denial_code=denial.code,
            reason=denial.message,
        )

    def refuse_again(self, order: Ticket, now_ns: int, *, opens: bool) -> None:
        """Note an order that a strategy asked for in a start that is not its first."""
        message = (
            "what a strategy asks for in on_start it has asked for at its first start, and the"
            " ledger still has it; ask for more when a bar comes"
        )
        self._answer(order, now_ns, RESTARTED, message)
        self._note(order, now_ns, opens=opens, status=OrderStatus.REJECTED, reason=message)

    def hear(self, events: Iterable[OrderEvent]) -> None:
        """Take what happened to orders."""
        for event in events:
            self.untold.append(event)
            name = event.client_order_id
            symbol = self.symbols.get(name)
            if symbol is None:
                continue
            change = changes.change_of(event, self.order_id(name), symbol)
            if change is not None:
                self._changes.append(change)
            if isinstance(event, Executed):
                self._hear_fill(event)

    def take(self) -> Taken:
        """Return what the ledger has not been told, and forget it."""
        taken = Taken(
            fills=tuple(self._fills),
            placings=tuple(self._placings),
            changes=tuple(self._changes),
        )
        self._fills, self._placings, self._changes = [], [], []
        return taken

    def tell(self, count: int | None = None) -> None:
        """Forget what the strategy has heard by now: everything, or so many of what happened."""
        self.untold = [] if count is None else self.untold[count:]
        self.refused = []

    def order_id(self, name: str) -> str:
        """Return the ledger's name of an order."""
        return self._prefix + name

    def dump(self) -> dict[str, Any]:
        """Return everything that goes on, as plain values."""
        return {
            "entries": [self._entries_day, self._entries],
            "made": self.orders_made,
            "denials": self.denials,
        }

    def load(self, plain: Mapping[str, Any], symbols: Mapping[str, str]) -> None:
        """Put what `dump` returned in place, and the orders that the ledger has."""
        self._entries_day, self._entries = plain["entries"]
        self.orders_made, self.denials = plain["made"], plain["denials"]
        self.symbols = {
            order_id.removeprefix(self._prefix): symbol for order_id, symbol in symbols.items()
        }

    def _hear_fill(self, event: Executed) -> None:
        name = event.client_order_id
        is_ours = name.startswith(rules.ENGINES_OWN)
        fill = msgspec.structs.replace(
            ticket.as_fill(event),
            order_id=self.order_id(name),
            cause=Cause.HANDOVER if is_ours else Cause.SIGNAL,
        )
        self._fills.append(fill)
        if fill.enters:
            day = fill.ts_ns // DAY_NS
            self._entries = self.entries_of(day) + 1
            self._entries_day = day

    def _note(self, order: Ticket, now_ns: int, *, reason: str, **more: Any) -> None:
        self.symbols[order.client_order_id] = order.symbol
        shown = msgspec.structs.replace(order, symbol=_shown(order.symbol)[:_LONGEST_SYMBOL])
        self._placings.append(
            Placing(
                order_id=self.order_id(order.client_order_id),
                ticket=shown,
                decided_ns=now_ns,
                reason=_shown(reason)[:_LONGEST_REASON],
                **more,
            )
        )

    def _answer(self, order: Ticket, now_ns: int, code: str, message: str) -> None:
        self.refused.append(order)
        self.untold.append(
            Rejected(
                client_order_id=order.client_order_id,
                ts_ns=now_ns,
                code=code,
                message=_shown(message),
                denied=True,
            )
        )


def _shown(text: str) -> str:
    # A strategy's own words: what cannot be printed not every database keeps.
    return "".join(each if each.isprintable() else "?" for each in text)
