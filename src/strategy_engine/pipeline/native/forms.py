"""A native run's steps, and what is compared of them: everything but what orders are called."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from strategy_engine.matching import ticket
from strategy_engine.matching.ticket import Instruction

type Given = tuple[int, Instruction]  # when, and what
type Form = tuple[object, ...]

_NAMES = frozenset({"client_order_id", "linked_ids", "parent_id", "tags"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What was asked after so many bars and ticks; `index` of the last bar, -1 before any."""

    symbol: str
    index: int
    met: int
    asked: tuple[Given, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Formed:
    """A step and what is compared of it."""

    step: Step
    form: Form


NOTHING = Formed(step=Step(symbol="", index=-1, met=0, asked=()), form=())


def paired(
    mine: Iterable[Step], theirs: Iterable[Step], until: int, settling: range
) -> Iterator[tuple[Formed | None, Formed | None]]:
    """Yield the steps of two runs by what was met; where only one has a step, the other has None.

    Which order is meant counts, by the order of their first mention; once one run has been
    settling, it may have made more or fewer of them, and only what is asked of one counts.
    """
    ones, others = _formed(mine, until, settling), _formed(theirs, until, settling)
    one, other = next(ones, None), next(others, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one.step.met < other.step.met):
            yield one, None
            one = next(ones, None)
        elif one is None or other.step.met < one.step.met:
            yield None, other
            other = next(others, None)
        else:
            yield one, other
            one, other = next(ones, None), next(others, None)


def nameless(every: Iterable[Step], start: int) -> dict[tuple[str, int], list[Form]]:
    """Return what was asked after each bar from `start` on, whatever orders are called."""
    found: dict[tuple[str, int], list[Form]] = {}
    for step in every:
        if step.index >= start or (step.index < 0 and not start):
            found.setdefault((step.symbol, step.index), []).extend(_plain(step))
    return found


def _formed(every: Iterable[Step], until: int, settling: range) -> Iterator[Formed]:
    numbers: dict[str, int] = {}

    def number(name: str) -> int:
        return numbers.setdefault(name, len(numbers))

    for step in every:
        if step.met > until:
            return
        if settling and step.met >= settling.start:
            yield Formed(step=step, form=_plain(step))
        else:
            form = tuple((ts_ns, *_named(each, number)) for ts_ns, each in step.asked)
            yield Formed(step=step, form=form)


def _plain(step: Step) -> tuple[Form, ...]:
    return tuple((ts_ns, type(each).__name__, *_terms(each)) for ts_ns, each in step.asked)


def _named(asked: Instruction, number: Callable[[str], int]) -> Form:
    name = type(asked).__name__, number(asked.client_order_id)
    if not isinstance(asked, ticket.Ticket):
        return *name, *_terms(asked)
    links = tuple(map(number, asked.linked_ids))
    parent = None if asked.parent_id is None else number(asked.parent_id)
    return *name, links, parent, *_terms(asked)


def _terms(asked: Instruction) -> Form:
    return tuple(getattr(asked, each) for each in asked.__struct_fields__ if each not in _NAMES)
