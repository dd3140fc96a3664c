"""From what executions have come to, to what risk observes of each and of all together. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from strategy_engine.execution.model import Role
from strategy_engine.execution.watch import Figures
from strategy_engine.risk import course as courses
from strategy_engine.risk import figures, references
from strategy_engine.risk.course import Course
from strategy_engine.risk.figures import Expected, Share
from strategy_engine.risk.references import Reference
from strategy_engine.risk.rules import Bounds, Measure, Observed, Seen
from strategy_engine.venue.limits import Scope

REAL = frozenset({Role.STABLE, Role.CANDIDATE, Role.BASELINE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What was read of an execution at the last metrics tick. None: not asked for, or not known.

    Parameters
    ----------
    losses : tuple of int or None
        Round trips that lost in a row, and how many were looked at.
    slippage : tuple or None
        Basis points beyond the rule's, and the fills that they were measured on.
    """

    course: Course = field(default_factory=Course)
    losses: tuple[int, int] | None = None
    slippage: tuple[float | None, int] | None = None
    expected: Expected | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One execution that runs, as risk sees it.

    Parameters
    ----------
    silence_s : float
        Since when its process owes an answer.
    staleness_s : float or None
        How much longer than a bar lasts none has come; None: its market rests, or it is over.
    """

    execution_id: str
    strategy_id: str
    line: str
    account: str
    role: Role
    figures: Figures
    reference: Reference
    read: Read
    silence_s: float = 0.0
    staleness_s: float | None = 0.0

    @property
    def share(self) -> Share:
        """Return its part of what several have together; `deep_share` has its daily returns."""
        return Share(
            execution_id=self.execution_id,
            line=self.line,
            equity=float(self.figures.equity),
            holdings={name: float(value) for name, value in self.figures.holdings.items()},
            daily={},
        )

    @property
    def deep_share(self) -> Share:
        """Return its part with its daily returns."""
        return replace(self.share, daily=courses.daily(self.read.course))

    def subject(self, scope: Scope) -> str:
        """Return what of a scope it belongs to."""
        of = {
            Scope.VERSION: self.strategy_id,
            Scope.EXECUTION: self.execution_id,
            Scope.LINE: self.line,
            Scope.ACCOUNT: self.account,
            Scope.ENGINE: "",
        }
        return of[scope]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A line, an account or the engine: who runs of it, and its references."""

    scope: Scope
    subject: str
    members: tuple[Member, ...]
    reference: Reference

    @property
    def equity(self) -> Decimal:
        """Return what those that run are worth."""
        return sum((each.figures.equity for each in self.members), Decimal(0))


def groups(members: Iterable[Member]) -> dict[tuple[Scope, str], list[Member]]:
    """Return who belongs to which line, account and to the engine."""
    found: dict[tuple[Scope, str], list[Member]] = {}
    for each in members:
        for scope in (Scope.LINE, Scope.ACCOUNT, Scope.ENGINE):
            found.setdefault((scope, each.subject(scope)), []).append(each)
    return found


def group_reference(
    before: Reference | None, members: Sequence[Member], ended_pnl: Decimal
) -> Reference:
    """Return the references of several executions together, by what they have come to now.

    Parameters
    ----------
    ended_pnl : Decimal
        The profit of those that have ended; what was before anybody looked is not held against
        them.
    """
    before = references.begin(ended_pnl) if before is None else before
    pnl = ended_pnl + sum((each.figures.pnl for each in members), Decimal(0))
    day = max(each.figures.day for each in members)
    today = sum((each.figures.day_pnl for each in members if each.figures.day == day), Decimal(0))
    return references.come_to(before, pnl, day=day, day_pnl=today)


def of_execution(member: Member, line: Group | None) -> Observed:
    """Return what is observed of one execution.

    Day start and highest profit belong to the line: its stable execution is held to the worse of
    its own loss and the line's, whichever version made it.
    """
    values = _losses(member.reference, member.figures.equity)
    if line is not None and member.role is Role.STABLE:
        values = _worse(values, _losses(line.reference, line.equity))
    share, read = member.share, member.read
    values |= {
        Measure.EXPOSURE: figures.exposure([share]),
        Measure.CONCENTRATION: figures.concentration([share]),
        Measure.SILENCE: Seen(value=member.silence_s, n=1),
        Measure.STALENESS: Seen(value=member.staleness_s, n=1),
    }
    if read.losses is not None:
        values[Measure.LOSSES] = Seen(value=float(read.losses[0]), n=read.losses[1])
    if read.slippage is not None:
        values[Measure.SLIPPAGE] = Seen(value=read.slippage[0], n=read.slippage[1])
    return Observed(
        scope=Scope.EXECUTION,
        subject=member.execution_id,
        executions=(member.execution_id,),
        values=values,
    )


def of_group(group: Group) -> Observed:
    """Return what is observed of a line, an account or the engine."""
    shares = [each.share for each in group.members]
    values = _losses(group.reference, group.equity) | {
        Measure.EXPOSURE: figures.exposure(shares),
        Measure.CONCENTRATION: figures.concentration(shares),
    }
    return Observed(
        scope=group.scope,
        subject=group.subject,
        executions=tuple(each.execution_id for each in group.members),
        values=values,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Deep:
    """A subject whose limits ask for what takes longer to work out."""

    scope: Scope
    subject: str
    executions: tuple[str, ...]
    bounds: Bounds


type Values = Mapping[Measure, Seen]


def deepened(
    wanted: Iterable[Deep], everybody: Sequence[Member]
) -> dict[tuple[Scope, str], Values]:
    """Return what takes longer to work out, where limits ask for it; fit for another thread.

    The correlation of one execution is with everybody, that of a group within it.
    """
    shares = {each.execution_id: each.deep_share for each in everybody}
    expected = {each.execution_id: each.read.expected for each in everybody}
    return {
        (each.scope, each.subject): _deep(each, shares, expected.get(each.subject))
        for each in wanted
    }


def _deep(asked: Deep, shares: Mapping[str, Share], backtest: Expected | None) -> Values:
    values: dict[Measure, Seen] = {}
    own = [shares[name] for name in asked.executions]
    is_one = asked.scope is Scope.EXECUTION
    if Measure.VAR in asked.bounds:
        values[Measure.VAR] = figures.tails(own)
    if Measure.CORRELATION in asked.bounds:
        among = list(shares.values()) if is_one else own
        values[Measure.CORRELATION] = figures.correlation(
            among, of=asked.subject if is_one else None
        )
    if is_one and backtest is not None and Measure.ENVELOPE in asked.bounds:
        values[Measure.ENVELOPE] = figures.envelope(own[0].daily.values(), backtest)
    return values


def with_values(observed: Observed, values: Values | None) -> Observed:
    """Return an observation with more of what is known of its subject."""
    if not values:
        return observed
    return replace(observed, values={**observed.values, **values})


def _losses(reference: Reference, equity: Decimal) -> dict[Measure, Seen]:
    drawdown = Seen(value=references.drawdown(reference, equity), n=1)
    return {
        Measure.DAILY_LOSS: Seen(value=float(references.day_pnl(reference)), n=1),
        Measure.SOFT_DRAWDOWN: drawdown,
        Measure.MAX_DRAWDOWN: drawdown,
    }


def _worse(own: Mapping[Measure, Seen], lines: Mapping[Measure, Seen]) -> dict[Measure, Seen]:
    found = dict(own)
    for measure, seen in lines.items():
        value, mine = seen.value, own[measure].value
        if value is not None and mine is not None and value < mine:
            found[measure] = Seen(value=value, n=seen.n, told="of its line")
    return found
