"""A version's backtest: asked of a child once, recomputed here, remembered for later stages."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from strategy_engine.core.errors import InvalidError
from strategy_engine.market.model import Timeframe
from strategy_engine.market.service import Catalogue
from strategy_engine.performance.model import Metrics
from strategy_engine.pipeline import backtest, history, questions, rules
from strategy_engine.pipeline.asked import Longer
from strategy_engine.pipeline.backtest import Ledgered, Segments
from strategy_engine.pipeline.children import Children, Conversation, both
from strategy_engine.pipeline.chosen import Chosen
from strategy_engine.pipeline.history import History, Series
from strategy_engine.pipeline.model import Job, StrategyFailedError

_MOST_BYTES = 64 << 20
_FILL_BYTES, _TRIP_BYTES = 500, 250  # with what they are kept in; measured
_COSTS_FACTOR = 2
_LATENCY_BARS = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Data:
    """What a job's symbols have: what the backtest may see, and what only paper trading may."""

    whole: History
    seen: History
    unseen: History
    available_days: int
    is_unseen_cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """A backtest by the engine's own account. It keeps no bars: those are the catalogue's."""

    lookback: int
    chosen: Chosen
    ledgered: Ledgered
    segments: Segments
    dearer: Metrics
    later: Metrics

    def size_bytes(self) -> int:
        """Return about how much memory it takes."""
        ledgered = self.ledgered
        arrays = [ledgered.close_ns, ledgered.equity, *ledgered.held.values()]
        events = len(ledgered.fills) * _FILL_BYTES + len(ledgered.round_trips) * _TRIP_BYTES
        return sum(each.nbytes for each in arrays) + self.chosen.size_bytes() + events


class Outcomes:
    """The last backtests, by what they were made of; as many as `most_bytes` hold."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._kept: OrderedDict[str, Outcome] = OrderedDict()
        self._most_bytes = most_bytes
        self.held_bytes = 0

    def get(self, key: str) -> Outcome | None:
        """Return the outcome of exactly this content, these settings and these bars."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: str, outcome: Outcome) -> None:
        """Keep an outcome; the oldest go until there is room. One that is too large is not kept."""
        if (before := self._kept.pop(key, None)) is not None:
            self.held_bytes -= before.size_bytes()
        size = outcome.size_bytes()
        if size > self._most_bytes:
            return
        while self.held_bytes + size > self._most_bytes:
            self.held_bytes -= self._kept.popitem(last=False)[1].size_bytes()
        self._kept[key] = outcome
        self.held_bytes += size


async def data_of(job: Job, catalogue: Catalogue) -> Data:
    """Return the bars of a job's symbols, the last 5 % of them apart.

    Raises
    ------
    NotFoundError, InvalidError
        If a symbol or its timeframe is not in the catalogue, or there are no bars to judge by.
    """
    return await asyncio.to_thread(_read, job, catalogue)


async def outcome_of(job: Job, seen: History, *, children: Children, outcomes: Outcomes) -> Outcome:
    """Return the backtest's outcome, from a child if it is not remembered."""
    key = await asyncio.to_thread(key_of, job, seen)
    if (known := outcomes.get(key)) is not None:
        return known
    async with children.open(job.content.warm, f"backtest of {job.strategy_id}") as talk:
        lookback = (await talk.load(job, seen)).lookback
        chosen = await talk.backtest(seen)
    outcome = await asyncio.to_thread(conclude, job, seen, chosen, lookback)
    outcomes.put(key, outcome)
    return outcome


def key_of(job: Job, part: History) -> str:
    """Return what an outcome depends on, as text."""
    flags = sorted(job.flags.items())
    return f"{job.content.digest} {job.settings!r} {part.identity()} {flags!r}"


def conclude(job: Job, part: History, chosen: Chosen, lookback: int) -> Outcome:
    """Return what decisions come to: as they are, at higher costs, and arriving later."""
    ledgered = chosen.replay(part, job.settings)
    dear = backtest.with_costs(job.settings, _COSTS_FACTOR)
    late = chosen.delayed(_LATENCY_BARS)
    return Outcome(
        lookback=lookback,
        chosen=chosen,
        ledgered=ledgered,
        segments=backtest.segments(ledgered, part),
        dearer=backtest.whole(chosen.replay(part, dear), part),
        later=backtest.whole(late.replay(part, job.settings), part),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gated:
    """A backtest's outcome and what the gates' extra runs showed."""

    outcome: Outcome
    lookahead: tuple[rules.Truncation, ...]
    warm_up: rules.WarmUp


async def gate(job: Job, seen: History, *, children: Children, outcomes: Outcomes) -> Gated:
    """Run the whole history, the truncated ones, and the one with twice the lookback.

    Two children work at once: one decides on the whole and then on histories that end at its own
    decisions, the other on histories cut by the content's digest and with the longer lookback. A
    third one may be fed bar by bar.
    """
    ((outcome, own_cuts), (digest_cuts, longer)), fed = await both(
        both(_first(job, seen, children), _second(job, seen, children)),
        questions.of(job.content).fed(job, seen, children),
    )
    outcomes.put(await asyncio.to_thread(key_of, job, seen), outcome)
    cuts = [*own_cuts, *digest_cuts, *fed]
    return Gated(
        outcome=outcome,
        lookahead=await asyncio.to_thread(rules.truncations, outcome.chosen, cuts),
        warm_up=rules.warm_up_of(longer.usual or outcome.chosen, longer),
    )


def first_bars(job: Job, catalogue: Catalogue) -> History:
    """Return a bar of each of a job's symbols: enough to say what they are."""
    return history.history([_series(each, job, catalogue) for each in job.settings.symbols]).last(1)


async def _first(job: Job, seen: History, children: Children) -> tuple[Outcome, list[rules.Cut]]:
    async with children.open(job.content.warm, f"backtest of {job.strategy_id}") as talk:
        lookback = (await talk.load(job, seen)).lookback
        chosen = await talk.backtest(seen)
        ends = await asyncio.to_thread(rules.cuts_at_decisions, chosen, seen, job.content.digest)
        return await both(
            asyncio.to_thread(conclude, job, seen, chosen, lookback), _cut(talk, seen, ends)
        )


async def _second(job: Job, seen: History, children: Children) -> tuple[list[rules.Cut], Longer]:
    async with children.open(job.content.warm, f"gates of {job.strategy_id}") as talk:
        lookback = (await talk.load(job, seen)).lookback
        longer = await questions.of(job.content).longer(talk, job, seen, lookback)
        await talk.load(job, seen)
        return await _cut(talk, seen, rules.cuts_by_digest(seen, job.content.digest)), longer


async def _cut(talk: Conversation, seen: History, ends: Sequence[int]) -> list[rules.Cut]:
    cuts: list[rules.Cut] = []
    for end in ends:
        part = seen.until(end)
        try:
            cuts.append((end, part, await talk.backtest(part)))
        except StrategyFailedError as error:  # which ends the child
            return [*cuts, (end, part, error)]
    return cuts


def _read(job: Job, catalogue: Catalogue) -> Data:
    whole = history.history([_series(symbol, job, catalogue) for symbol in job.settings.symbols])
    if (
        any(not len(each.bars) for each in whole.series)
        or whole.timeline().size < rules.FEWEST_BARS
    ):
        raise InvalidError(
            f"{whole.timeline().size} bars of {', '.join(job.settings.symbols)} are too few to"
            f" validate on; import at least {rules.FEWEST_BARS}",
            field="symbols",
            value=whole.timeline().size,
        )
    seen, unseen = history.hold_out(whole)
    wanted = history.most_recent(unseen, job.duration_days)
    window = history.paper_window(wanted)
    return Data(
        whole=whole,
        seen=history.most_recent(seen, job.duration_days),
        unseen=window,
        available_days=history.span_days(seen),
        is_unseen_cut=window.bar_count() < wanted.bar_count(),
    )


def _series(symbol: str, job: Job, catalogue: Catalogue) -> Series:
    instrument = catalogue.instrument(symbol)
    timeframe = job.settings.timeframe or str(instrument.default_timeframe)
    bars = catalogue.bars(symbol, timeframe)
    found = history.series(instrument, bars, str(Timeframe.parse(timeframe)))
    if not job.content.is_native:
        return found  # a signal is given at a bar's close; ticks are nothing to it
    ticked = replace(found, quotes=catalogue.quotes(symbol), trades=catalogue.trades(symbol))
    return ticked.cut(0, len(bars))
