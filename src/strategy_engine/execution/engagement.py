"""What a running execution is to do by what its row says, and who serves after a switch. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from strategy_engine.core import money
from strategy_engine.core.errors import ConflictError
from strategy_engine.execution.model import (
    UNENDED,
    Change,
    Desired,
    Execution,
    Exits,
    Role,
    Switch,
)
from strategy_engine.venue.model import ALWAYS, NEVER, RiskState, Span, Tenure

BEFORE_ALL_NS = -1  # the place of an execution that has come to no bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Engagement:
    """What is wanted of an execution, and what it may do; as one value, so that it is never half.

    Parameters
    ----------
    serves : Tenure
        When it may open positions, its role considered.
    """

    desired: Desired
    why: str
    risk_state: RiskState
    role: Role
    serves: Tenure
    exits: Exits
    capital_target: Decimal | None

    @property
    def is_leaving(self) -> bool:
        """Whether it ends as soon as it holds nothing."""
        return self.desired in {Desired.DRAIN, Desired.FLATTEN}

    @property
    def allows(self) -> RiskState:
        """What the gate lets through: of who leaves, exits and nothing else."""
        return RiskState.REDUCING if self.is_leaving else self.risk_state

    def closing(self, symbols: Iterable[str], at_ns: int) -> frozenset[str]:
        """Return the instruments whose positions the engine closes at a bar or tick of then.

        With `Exits.FLATTEN`, those that it may open no more: what it still serves is its own.
        """
        if self.desired is Desired.FLATTEN:
            return frozenset(symbols)
        if self.exits is not Exits.FLATTEN:
            return frozenset()
        return frozenset(each for each in symbols if _is_over(self.serves.of(each), at_ns))

    def past(self, place_ns: int, symbols: Iterable[str]) -> frozenset[str]:
        """Return the instruments in which nothing that waits at a place may open any more."""
        return frozenset(each for each in symbols if not self.serves.of(each).holds(place_ns + 1))


def of(row: Execution) -> Engagement:
    """Return what an execution's row asks of it."""
    return Engagement(
        desired=Desired.FLATTEN if row.is_closing else row.desired,
        why=row.desired_why,
        risk_state=row.risk_state,
        role=row.role,
        serves=serving(row.role, row.serves),
        exits=row.exits,
        capital_target=None if row.is_closing else row.capital_target,
    )


def serving(role: Role, serves: Tenure | None) -> Tenure:
    """Return when an execution may open: a shadow only what it has still to serve from before."""
    tenure = ALWAYS if serves is None else serves
    if role is not Role.SHADOW:
        return tenure
    return _each(tenure, None, lambda span: NEVER if span.until_ns is None else span)


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """An execution that a switch is about, and the last bar close that it has come to."""

    row: Execution
    place_ns: int = BEFORE_ALL_NS

    @property
    def serves(self) -> Tenure:
        """When it may open positions until the switch."""
        return serving(self.row.role, self.row.serves)


def check(
    switch: Switch,
    rows: Iterable[Execution],
    node_id: str,
    epochs: Mapping[str, int] | None = None,
) -> None:
    """See whether a node can do a switch.

    Raises
    ------
    ConflictError
        If somebody is to take over who has ended or failed, or another node or copy has one.
    """
    for row in rows:
        name, is_ended = row.execution_id, row.status not in UNENDED
        if name in switch.takes and (is_ended or row.failure is not None):
            how = "ended" if is_ended else "failed"
            raise ConflictError(f"{name} is to take over, and has {how}", execution_id=name)
        if not is_ended and row.node_id not in {None, node_id}:
            raise ConflictError(f"{name} is run by node {row.node_id}", execution_id=name)
        if not is_ended and (epochs or {}).get(name, row.epoch) != row.epoch:
            raise ConflictError(f"another copy of {name} has taken over", execution_id=name)


def switch_point(switch: Switch, parties: Sequence[Party]) -> int:
    """Return the bar close after which the takers serve: one that nobody has gone beyond.

    It lies no earlier than any switch before it either, so that who has not come to the end of
    what it serves has still just that to serve.
    """
    named = {*switch.gives, *switch.takes}
    involved = [each for each in parties if each.row.execution_id in named]
    earlier = [
        bound
        for each in involved
        for span in _spans(each.serves, switch.symbols)
        for bound in _bounds(span)
    ]
    return max((*earlier, *(each.place_ns for each in involved)), default=BEFORE_ALL_NS)


def handed(switch: Switch, contributed: Mapping[str, Decimal]) -> Switch:
    """Return a switch whose taker gets what those who part with cash do not have any more.

    The sum of all of them is in the switch, so it is the same whenever it is worked out: after a
    crash that came between their flows and the switch as well.

    Parameters
    ----------
    contributed : mapping
        What each of those who part with cash has been given by now, whatever left it.
    """
    if not switch.hands_cash:
        return switch
    (taker,) = switch.takes
    taken = switch.changes[taker]
    if taken.capital_target is None:
        raise ValueError(f"switch {switch.key} does not say what there is to be handed over")
    left = sum(money.to_nanos(contributed[each]) for each in switch.parting)
    target = money.to_decimal(money.to_nanos(taken.capital_target) - left)
    return replace(switch, changes={**switch.changes, taker: replace(taken, capital_target=target)})


def switched(switch: Switch, party: Party, at_ns: int) -> Change:
    """Return what a switch between two bars changes of an execution."""
    name = party.row.execution_id
    given = switch.changes.get(name, Change())
    if name in switch.gives:
        serves = _each(party.serves, switch.symbols, lambda span: _ended(span, at_ns))
    elif name in switch.takes:
        serves = _each(party.serves, switch.symbols, lambda span: _begun(span, party, at_ns))
    else:
        return given
    return replace(given, serves=serves)


def _ended(span: Span, at_ns: int) -> Span:
    if span == NEVER or span.until_ns is not None:
        return span  # it does not serve, or has ended to already
    return replace(span, until_ns=at_ns)


def _begun(span: Span, party: Party, at_ns: int) -> Span:
    if span != NEVER and span.until_ns is None:
        return span  # it serves
    if span.until_ns is None or party.place_ns > span.until_ns:
        return Span(from_ns=at_ns)
    gaps = (*span.gaps, (span.until_ns, at_ns))  # it has still to serve what is before them
    return replace(span, until_ns=None, gaps=tuple(each for each in gaps if each[0] < each[1]))


def _is_over(span: Span, at_ns: int) -> bool:
    return span == NEVER or (span.until_ns is not None and at_ns > span.until_ns)


def _bounds(span: Span) -> list[int]:
    if span == NEVER:
        return []
    given = (span.from_ns, span.until_ns, *(last for _, last in span.gaps))
    return [each for each in given if each is not None]


def _each(tenure: Tenure, symbols: Iterable[str] | None, change: Callable[[Span], Span]) -> Tenure:
    """Return a tenure with the spans of some instruments changed, or of all."""
    named = tenure.by_symbol.keys() if symbols is None else symbols
    by_symbol = {**tenure.by_symbol, **{each: change(tenure.of(each)) for each in named}}
    others = change(tenure.others) if symbols is None else tenure.others
    return Tenure(others=others, by_symbol=by_symbol)


def _spans(tenure: Tenure, symbols: Iterable[str] | None) -> list[Span]:
    if symbols is None:
        return [tenure.others, *tenure.by_symbol.values()]
    return [tenure.of(each) for each in symbols]
