"""A line's capital: what its members hold, what lies idle, and who is to get how much. Pure.

The capital of a line is what its members are worth and what none of them has: the pool. A weight is
a share of it. Those that are to have less give first, as their cash is free; the others get no more
than what has arrived. All amounts are exact, in account currency.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal, localcontext

from strategy_engine.core.errors import InvalidError

SWEEP = Decimal(-(10**12))  # as a target: everything, as it becomes free
NANO = Decimal("1e-9")  # what a ledger counts in
_CENT = Decimal("0.01")
_ZERO = Decimal(0)
_ENOUGH_DIGITS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Stake:
    """One member's money.

    Parameters
    ----------
    contributed : Decimal
        What it was opened with and all flows since.
    target : Decimal or None
        The contributed capital that is already asked for; None: as it is.
    """

    execution_id: str
    contributed: Decimal
    equity: Decimal
    target: Decimal | None = None

    @property
    def promised(self) -> Decimal:
        """Return what it is still to get by the target that is asked for."""
        return _ZERO if self.target is None else max(_ZERO, self.target - self.contributed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a line has.

    Parameters
    ----------
    capital : Decimal
        What was contributed to the line as a whole.
    stakes : tuple of Stake
        Its members', each once.
    ended_pnl : Decimal
        Profit of the members that have ended since; what they were worth is in the pool.
    tied : tuple of Stake
        Members that have ended and still hold something: what they are worth is not in the pool.
    """

    capital: Decimal
    stakes: tuple[Stake, ...]
    ended_pnl: Decimal = _ZERO
    tied: tuple[Stake, ...] = ()

    @property
    def contributed(self) -> Decimal:
        """Return what its members have been given."""
        return total(each.contributed for each in self.stakes)

    @property
    def pool(self) -> Decimal:
        """Return the cash that no member has. It is below zero only if someone gave too much."""
        tied = total(each.contributed for each in self.tied)
        return total((self.capital, self.ended_pnl, -self.contributed, -tied))

    @property
    def worth(self) -> Decimal:
        """Return the line's capital now: its members' equity and the pool."""
        return total((self.pool, *(each.equity for each in (*self.stakes, *self.tied))))

    @property
    def is_overdrawn(self) -> bool:
        """Whether its members have been given more than there was."""
        return self.pool < -NANO


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What is to be asked of the members now.

    Parameters
    ----------
    targets : mapping
        The contributed capital by execution, where it is another than is asked for already.
    waiting : Decimal
        What some are still to be given, and the pool does not have yet.
    spare : Decimal
        What the pool has that nobody is promised.
    is_done : bool
        Whether everyone has what is wanted. One that gives everything is never done by itself:
        whoever moves it knows when it holds nothing.
    """

    targets: Mapping[str, Decimal]
    waiting: Decimal
    spare: Decimal
    is_done: bool


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Return an exact sum, however many digits it has."""
    with localcontext(prec=_ENOUGH_DIGITS):
        return sum(amounts, _ZERO)


def check_weights(weights: Mapping[str, Decimal]) -> None:
    """Refuse weights that are no shares, or that give away more than there is.

    Raises
    ------
    InvalidError
        With the weight, or with the sum.
    """
    for name, weight in weights.items():
        if not weight.is_finite() or not 0 <= weight <= 1:
            raise InvalidError(
                f"the weight of {name} is {weight}; it must be a share from 0 to 1",
                field="weights",
                value=str(weight),
                accepted="0 to 1",
            )
    given = total(weights.values())
    if given > 1:
        told = " + ".join(str(each) for each in weights.values())
        raise InvalidError(
            f"the weights add up to {told} = {given}; of a line's capital there is 1, and what is"
            " not given stays in cash",
            field="weights",
            value=str(given),
            accepted="a sum of 1 at most",
        )


def wanted(account: Account, weights: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Return the contributed capital that brings each member to its weight of the line's worth.

    Members without a weight are not in it; what no weight takes is cash. It is worked out once for
    a step: prices move on, and a weight limits new risk without trading for its own sake.

    Parameters
    ----------
    weights : mapping
        Shares of the line's worth by execution; 0: it gives everything.

    Raises
    ------
    InvalidError
        If the weights are none.
    """
    check_weights(weights)
    worth = max(_ZERO, account.worth)
    found: dict[str, Decimal] = {}
    for stake in account.stakes:
        weight = weights.get(stake.execution_id)
        if weight is not None:
            found[stake.execution_id] = _wanted(stake, weight, worth)
    return found


def _wanted(stake: Stake, weight: Decimal, worth: Decimal) -> Decimal:
    if weight == 0:
        return SWEEP
    return total((stake.contributed, share(worth, weight), -stake.equity))


def share(worth: Decimal, weight: Decimal) -> Decimal:
    """Return a weight's part of an amount, rounded down to what a ledger counts in."""
    with localcontext(prec=_ENOUGH_DIGITS):
        return (weight * worth).quantize(NANO, rounding=ROUND_DOWN)


def move(account: Account, goal: Mapping[str, Decimal]) -> Move:
    """Return what to ask now so that the members come to `goal`: lower first, then raise.

    Nobody is promised more than the pool has at this look. Asked again when the cash has moved, it
    asks for the rest; asked again before, for nothing new.

    Parameters
    ----------
    goal : mapping
        Contributed capital by execution, or `SWEEP`. Who is not in it stays as asked.
    """
    spare = max(_ZERO, total((account.pool, -_taken_back(account, goal))))
    targets: dict[str, Decimal] = {}
    waiting = _ZERO
    for stake in account.stakes:
        end = goal.get(stake.execution_id)
        if end is None:
            continue
        given = min(max(_ZERO, total((end, -stake.contributed))), spare)
        target = end if end <= stake.contributed else total((stake.contributed, given))
        spare = total((spare, -given))
        waiting = total((waiting, max(_ZERO, total((end, -target)))))
        asked = stake.contributed if stake.target is None else stake.target
        if target != asked:
            targets[stake.execution_id] = target
    is_done = all(
        goal.get(each.execution_id, each.contributed) in {each.contributed, SWEEP}
        for each in account.stakes
    )
    return Move(targets=targets, waiting=waiting, spare=spare, is_done=is_done and not targets)


def shared(account: Account, had: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Return the contributed capital that shares the pool among members as they had it before.

    Each gets in proportion to what it lacks of what it had; what is beyond, in the same
    proportion. Asked again while that flows, it answers the same.

    Parameters
    ----------
    had : mapping
        What those that are to share had been given before they gave it up, by execution.
    """
    mine = [each for each in account.stakes if each.execution_id in had]
    has = {each.execution_id: total((each.contributed, each.promised)) for each in mine}
    pool = max(_ZERO, total((account.pool, *(-each.promised for each in mine))))
    lacks = {name: max(_ZERO, total((had[name], -has[name]))) for name in has}
    parts = next((each for each in (lacks, had) if total(each[name] for name in has) > 0), None)
    whole = total(parts[name] for name in has) if parts else Decimal(len(has))
    goals, left = dict[str, Decimal](), pool
    for number, name in enumerate(has, start=1):
        given = left
        if number < len(has):
            with localcontext(prec=_ENOUGH_DIGITS):
                part = (parts[name] if parts else Decimal(1)) / whole
            given = share(pool, part)
        left = total((left, -given))
        goals[name] = total((has[name], given))
    return goals


def _taken_back(account: Account, goal: Mapping[str, Decimal]) -> Decimal:
    # A promise that is lowered now may be on its way already: it counts as spent until it is seen
    # that it is not. One to a member that is not spoken of stands.
    return total(
        max(_ZERO, total((each.target or _ZERO, -max(each.contributed, _end(each, goal)))))
        for each in account.stakes
        if each.target is not None
    )


def _end(stake: Stake, goal: Mapping[str, Decimal]) -> Decimal:
    return goal.get(stake.execution_id, stake.contributed)


def affordable(spare: Decimal, wishes: Mapping[str, Decimal]) -> tuple[str, ...]:
    """Return who of those that wait with a whole capital of their own can have it now, in order."""
    found = []
    for name, wish in wishes.items():
        if wish <= spare:
            spare = total((spare, -wish))
            found.append(name)
    return tuple(found)


def opening(worth: Decimal, weight: Decimal) -> Decimal:
    """Return the capital that a new execution opens with for its weight: whole cents, no more."""
    return share(worth, weight).quantize(_CENT, rounding=ROUND_DOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """The least that can be traded of an instrument: its size in units, at a price."""

    symbol: str
    units: Decimal
    price: Decimal

    @property
    def cost(self) -> Decimal:
        """Return what one lot costs, in account currency."""
        with localcontext(prec=_ENOUGH_DIGITS):
            return self.units * self.price


def check_step(what: str, weight: Decimal, worth: Decimal, lots: Sequence[Lot]) -> None:
    """Refuse a step whose capital does not buy one lot of each instrument.

    Raises
    ------
    InvalidError
        With the arithmetic.
    """
    given = share(worth, weight)
    for lot in lots:
        if given < lot.cost:
            raise InvalidError(
                f"{what} has {weight:f} of {worth:f} = {given:f}, and one lot of {lot.symbol} costs"
                f" {lot.units:f} × {lot.price:f} = {lot.cost:f}: it could never trade; raise the"
                " weight or the line's capital",
                field="weights",
                value=f"{weight:f}",
                accepted=f"a capital of at least {lot.cost:f}",
            )
