"""What a verb would do to positions and orders, before it is done. Pure.

The figures are those of the moment: prices move on, and what is waiting may fill meanwhile. Capital
is told as what it is worth, at the last marks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from strategy_engine.execution.model import UNENDED, Execution, Role
from strategy_engine.rollout import capital, plans, returning
from strategy_engine.rollout.model import Deployment, Handover, State
from strategy_engine.rollout.moves import Member
from strategy_engine.rollout.plans import FULL, Kind, Step
from strategy_engine.rollout.verbs import Verb
from strategy_engine.venue.accounts import AccountNow

_ZERO = Decimal(0)
_REAL = frozenset({Role.STABLE, Role.CANDIDATE, Role.BASELINE})


class Opens(StrEnum):
    """Whether an execution may open positions from then on."""

    YES = "yes"
    NO = "no"
    SOME = "some"  # in the instruments that are not named


class Closes(StrEnum):
    """How what an execution holds comes to be closed."""

    NOTHING = "nothing"  # it is not touched
    NEXT_PRICE = "next_price"  # by the engine
    OWN_EXITS = "own_exits"  # by the strategy, until the handover's deadline; then by the engine
    ADOPTED = "adopted"  # by the new version's taking it over; what it cannot take, by the engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """An execution of a rollout: its row, its ledger, and what it holds, in signed units."""

    execution: Execution
    account: AccountNow | None = None
    positions: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def worth(self) -> Decimal:
        """Return what it trades with: a shadow has nothing of its own."""
        if self.execution.role not in _REAL:
            return _ZERO
        return self.execution.capital if self.account is None else self.account.equity

    @property
    def member(self) -> Member:
        """Return it as one who rolls out sees it."""
        held = frozenset(symbol for symbol, quantity in self.positions.items() if quantity)
        return Member(execution=self.execution, account=self.account, held=held)

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self.execution.status in UNENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What becomes of one execution.

    Parameters
    ----------
    cancels : int
        Orders that wait to open a position; of some instruments only: so many at most.
    positions : mapping
        What it holds of the instruments concerned, in signed units, and closes as `closes` says.
    capital_from, capital_to : Decimal
        What it is worth, and what it is to have, in account currency.
    """

    execution_id: str
    strategy_id: str
    role: str
    cancels: int = 0
    closes: Closes = Closes.NOTHING
    positions: Mapping[str, Decimal] = field(default_factory=dict)
    capital_from: Decimal = _ZERO
    capital_to: Decimal = _ZERO
    opens: Opens = Opens.NO


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What a verb would do: in sentences, and execution by execution."""

    sentences: tuple[str, ...]
    executions: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """A deployment after a verb, with what the verb does; or, dry, as it is, with what it would."""

    deployment: Deployment
    effects: Effects | None = None
    is_dry: bool = False


def of(
    verb: Verb,
    before: Deployment,
    after: Deployment,
    holders: Sequence[Holder],
    *,
    gone: str = "",
) -> Effects:
    """Return what follows for positions and orders when a verb makes `after` of `before`.

    Parameters
    ----------
    gone : str
        Why the version before could not be started again, if it has ended.
    """
    if verb is Verb.RETRY:
        return _says(
            f"{before.strategy_id} would be deployed anew with the same options; no position and no"
            " order is touched before it has passed its validation again"
        )
    if after == before:
        return _says("nothing: it is so already")
    if after.state is State.FAILED and before.is_unplaced:
        return _cancelling(before)
    if after.progress.undo is not None:
        return _undoing(after, holders, gone)
    if after.approval != before.approval:
        return _validated(after)
    return _moving(before, after, holders)


def _moving(before: Deployment, after: Deployment, holders: Sequence[Holder]) -> Effects:
    was, progress, steps = before.progress, after.progress, plans.from_plain(after.plan)
    if progress.index != was.index:
        return _beginning(after, steps[progress.index], holders)
    if progress.waived_by != was.waived_by or progress.approved != was.approved:
        told = "its step ends, without its gate, once what it set up is in place"
        if progress.approved != was.approved:
            told = "its step is approved, and ends"
        following = steps[min(progress.index + 1, len(steps) - 1)]
        begun = _beginning(after, following, holders)
        return _says(told, *begun.sentences, executions=begun.executions)
    if progress.held_by:
        return _says(
            "it stays at its step until it is resumed: what the step sets up is still put in"
            " place, and nothing after it; positions and orders are not touched, and every version"
            " goes on as it does"
        )
    return _says(
        "its step is looked at again, with all its time; by itself that touches no position and no"
        " order"
    )


def _beginning(deployment: Deployment, step: Step, holders: Sequence[Holder]) -> Effects:
    """Return what a step does when it begins."""
    match step.kind:
        case Kind.WEIGHT:
            return _weighing(deployment, step, holders)
        case Kind.SWITCH:
            return _switching(deployment, step, holders)
        case Kind.FINISH:
            warm = plans.keep_warm(deployment.options)
            return _says(
                f"the new version has the line; the one before it stays warm for {warm}, and can"
                " take over again"
                if warm.seconds
                else "the new version has the line, and the one before it is stopped"
            )
        case _:
            return _says(
                f"then {step.name} begins, which touches no position and no order by itself"
            )


def _weighing(deployment: Deployment, step: Step, holders: Sequence[Holder]) -> Effects:
    weights = shares(deployment, step, holders)
    worth = _line_worth(holders)
    rows = []
    for holder in holders:
        weight = weights.get(holder.execution.execution_id)
        if weight is None or not holder.is_alive:
            continue
        to = capital.share(worth, weight)
        rows.append(_row(holder, capital_to=to, opens=Opens.YES if to > 0 else Opens.NO))
    return _says(
        f"then {step.name} begins: of the line's {_money(worth)} the new version has"
        f" {step.weight:.2%}, {_money(capital.share(worth, _weight(step)))}"
        + (", and its baseline the same" if step.has_baseline else ""),
        "no order is cancelled and no position is closed for it: what is to leave leaves as it is"
        " free, and nothing new is opened with it",
        executions=rows,
    )


def _switching(deployment: Deployment, step: Step, holders: Sequence[Holder]) -> Effects:
    progress, is_all = deployment.progress, step.weight >= FULL
    worth = _line_worth(holders)
    rows = []
    for holder in holders:
        name = holder.execution.execution_id
        if not holder.is_alive:
            continue
        if name == progress.candidate:
            to = worth if is_all else holder.worth
            rows.append(_row(holder, capital_to=to, opens=Opens.YES))
            continue
        closes = _handed_over(deployment)
        if name == progress.baseline and closes is not Closes.ADOPTED:
            closes = Closes.NEXT_PRICE
        rows.append(
            _row(
                holder,
                cancels=_waiting(holder),
                closes=closes,
                positions=_held(holder, step.symbols),
                capital_to=_ZERO if is_all else holder.worth,
                opens=Opens.NO if is_all else Opens.SOME,
            )
        )
    about = f" in {', '.join(step.symbols)}" if step.symbols else ""
    return _says(
        f"then {step.name} begins: from one bar on the new version opens positions{about}, and no"
        " other version does; every bar is served by exactly one of them",
        *_told(rows, about),
        executions=rows,
    )


def _undoing(deployment: Deployment, holders: Sequence[Holder], gone: str) -> Effects:
    progress, worth = deployment.progress, _line_worth(holders)
    new = {progress.candidate, progress.baseline}
    back = [each for each in holders if each.execution.execution_id not in new and each.is_alive]
    rows = [
        _taken(each) for each in holders if each.execution.execution_id in new and each.is_alive
    ]
    for each, portion in _portions(back):
        rows.append(_row(each, capital_to=capital.share(worth, portion), opens=Opens.YES))
    told = (
        "the version before it opens positions from one bar on, with the line's capital as it"
        " becomes free"
    )
    if not rows:
        told = "it ends; it has placed nothing yet"
    elif not back:
        told = "what the new version holds is closed"
    is_alone = bool(deployment.replaces) and not back
    ended = [_told_of_ended(deployment, holders, gone)] if is_alone else []
    return _says(told, *ended, *_told(rows, ""), executions=rows)


def _told_of_ended(deployment: Deployment, holders: Sequence[Holder], gone: str) -> str:
    """Return whether a version before that has ended is started again, and with what."""
    known = {each.execution.execution_id: each for each in holders}
    olds = [known[each] for each in deployment.replaces if each in known]
    if not olds:
        return "no version before it is known any more: the line's capital lies idle"
    mine = olds[-1].execution
    name = f"the version before it ({mine.execution_id} of {mine.strategy_id})"
    if returning.stays_stopped(deployment, mine):
        return (
            f"{name} was stopped by somebody, and stays stopped: no version has the line then."
            " rollback, instead of this, starts it again"
        )
    if gone:
        return f"{gone}: no version has the line then"
    free = returning.free(deployment, [each.member for each in holders])
    if free < returning.LEAST:
        return f"{name} is not started again: of the line's capital {_money(free)} is free"
    return (
        f"then {name} is started again with what is free of the line's capital then, at the last"
        f" prices {_money(free)}"
    )


def _cancelling(deployment: Deployment) -> Effects:
    becomes = "its version goes back to draft"
    if deployment.revalidates:
        becomes = "its version goes on as it does"
    elif deployment.state is State.AWAITING_APPROVAL:
        becomes = "its version stays approved by its validation"
    told = f"it ends, with what runs of its validation; {becomes}"
    return _says(f"{told}, and no position and no order is touched")


def _validated(deployment: Deployment) -> Effects:
    approval = deployment.approval
    if approval is None or not approval.approved:
        return _says("it ends; no position and no order is touched")
    return _says(
        "its rollout begins: with nothing running on its line the version waits to be started, else"
        f" it takes over as {deployment.options.deployment_type} does, step by step"
    )


def shares(deployment: Deployment, step: Step, holders: Iterable[Holder]) -> dict[str, Decimal]:
    """Return the share of the line's capital that each execution is to have at a step."""
    progress = deployment.progress
    new = {progress.candidate: _weight(step)}
    if progress.baseline:
        new[progress.baseline] = _weight(step) if step.has_baseline else _ZERO
    olds = [each for each in holders if each.execution.execution_id not in new and each.is_alive]
    left = Decimal(1) - capital.total(new.values())
    for each, portion in _portions(olds):
        new[each.execution.execution_id] = left * portion
    return new


def _portions(holders: Sequence[Holder]) -> list[tuple[Holder, Decimal]]:
    """Return holders with the parts of a whole that they have, by what they are worth."""
    worth = capital.total(each.worth for each in holders)
    even = Decimal(1) / max(1, len(holders))
    return [(each, each.worth / worth if worth > 0 else even) for each in holders]


def _weight(step: Step) -> Decimal:
    return Decimal(str(step.weight))


def _line_worth(holders: Iterable[Holder]) -> Decimal:
    return capital.total(each.worth for each in holders if each.is_alive)


def _row(holder: Holder, **fields: object) -> Effect:
    return Effect(
        execution_id=holder.execution.execution_id,
        strategy_id=holder.execution.strategy_id,
        role=holder.execution.role.value,
        capital_from=holder.worth,
        **fields,  # type: ignore[arg-type]  # each is a field of it by name
    )


def _taken(holder: Holder) -> Effect:
    return _row(
        holder,
        cancels=_waiting(holder),
        closes=Closes.NEXT_PRICE,
        positions=_held(holder, ()),
        capital_to=_ZERO,
        opens=Opens.NO,
    )


def _handed_over(deployment: Deployment) -> Closes:
    return _CLOSED_BY[deployment.options.handover]


_CLOSED_BY = {
    Handover.RUN_OFF: Closes.OWN_EXITS,
    Handover.FLATTEN: Closes.NEXT_PRICE,
    Handover.ADOPT: Closes.ADOPTED,
}
_HOW = {
    Closes.OWN_EXITS: "closes {} by its own exits",
    Closes.NEXT_PRICE: "closes {} at the next price",
    Closes.ADOPTED: "hands {} over at the last price; what the new version may not hold or cannot"
    " pay, it closes at the next price",
}


def _waiting(holder: Holder) -> int:
    return 0 if holder.account is None else holder.account.waiting_entries


def _held(holder: Holder, symbols: Sequence[str]) -> dict[str, Decimal]:
    return {
        symbol: quantity
        for symbol, quantity in holder.positions.items()
        if quantity and (not symbols or symbol in symbols)
    }


def _told(rows: Iterable[Effect], about: str) -> list[str]:
    found = []
    for row in rows:
        if row.cancels:
            most = "up to " if about else ""
            found.append(f"{row.execution_id} ({row.role}): cancels {most}{row.cancels} waiting")
        if row.positions and row.closes is not Closes.NOTHING:
            held = ", ".join(f"{quantity:f} {name}" for name, quantity in row.positions.items())
            found.append(f"{row.execution_id} ({row.role}): {_HOW[row.closes].format(held)}")
    return found


def _money(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def _says(*sentences: str, executions: Sequence[Effect] = ()) -> Effects:
    return Effects(sentences=sentences, executions=tuple(executions))
