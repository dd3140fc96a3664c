"""The contract pack: series that a strategy must stand, and what its answers to them show. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from strategy_engine.core import money
from strategy_engine.core.errors import EngineError
from strategy_engine.market.model import Bars
from strategy_engine.matching.model import PPB
from strategy_engine.matching.settings import Settings
from strategy_engine.pipeline import history
from strategy_engine.pipeline.chosen import Advice, Chosen
from strategy_engine.pipeline.history import Floats, History, Series
from strategy_engine.pipeline.model import Check, StrategyFailedError, Verdict
from strategy_engine.sandbox.model import ChildDiedError, ExitKind

SLICE_BARS = 1_000  # of real prices
ODD_BARS = 200
TWIN = "TWIN.SIM"

CONSTRUCTS = "constructs"
REAL_PRICES = "real_prices"
LEGAL_SIGNALS = "legal_signals"
DETERMINISTIC = "deterministic"
RESTART = "restart_in_mid_position"
NO_SHARED_STATE = "no_shared_state"

type Columns = tuple[Floats, Floats, Floats, Floats, Floats]  # open high low close volume
type Answer = Chosen | EngineError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """A history with something odd about it."""

    name: str
    what: str
    part: History


def odd_samples(real: History) -> tuple[Sample, ...]:
    """Return the odd histories that a strategy must stand, made of real bars; shortest first."""
    base = real.last(ODD_BARS)

    def sample(name: str, what: str, change: Callable[[Columns], Columns]) -> Sample:
        return Sample(name=name, what=what, part=_changed(base, change))

    return (
        Sample(name="one_bar", what="a history of one bar", part=base.last(1)),
        Sample(name="short_history", what="a history of 20 bars", part=base.last(20)),
        sample("flat_prices", "a price that never moves", _flat),
        Sample(name="gaps", what="missing bars and a price gap", part=_holed(base)),
        sample("nan_volume", "bars without a volume (NaN)", _without_volume),
        sample("price_jump_up", "a price that doubles between two bars", _jump(2.0)),
        sample("price_jump_down", "a price that halves between two bars", _jump(0.5)),
    )


def with_twin(real: History) -> History:
    """Return a history of two symbols: two of the version's own, or its one and a mirror image."""
    if len(real.series) > 1:
        return History(series=real.series[:2])
    own = real.series[0]
    terms = replace(own.terms, symbol=TWIN)
    twin = _changed(History(series=(replace(own, symbol=TWIN, terms=terms),)), _mirrored)
    return history.history([own, *twin.series])


def alone(pair: History, symbol: str) -> History:
    """Return the history of one symbol of a pair."""
    return History(series=tuple(each for each in pair.series if each.symbol == symbol))


def undisturbed(settings: Settings) -> Settings:
    """Return settings by which two instruments in one account hardly feel each other."""
    rules = settings.rules
    small = min(rules.position_size_ppb, PPB // 10)
    return replace(settings, rules=replace(rules, position_size_ppb=small, max_trades_per_day=None))


def restart_points(held: Mapping[str, NDArray[np.int64]]) -> dict[str, int]:
    """Return where to restart: in the middle of a position, and while nothing is held.

    Parameters
    ----------
    held : mapping of str to array of int64
        Lots after each bar of a symbol.
    """
    lots = next(iter(held.values()))
    holding, flat = np.flatnonzero(lots != 0), np.flatnonzero(lots == 0)
    points = {}
    if holding.size:
        points["while it holds a position"] = int(holding[holding.size // 2])
    if flat.size > 1:
        points["while it holds nothing"] = int(flat[flat.size * 2 // 3])
    return points


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Restarted:
    """What came of restarts, by when they were; `note` says what passes and should be known."""

    answers: Mapping[str, Answer]
    note: str = ""


# --- judges


def judge_sample(sample: Sample, answer: Answer | None, advice: Advice) -> Check:
    """Judge whether a strategy stood an odd history."""
    if answer is None:
        return _not_asked(sample.name)
    if isinstance(answer, EngineError):
        return Check(
            name=sample.name,
            verdict=Verdict.FAILED,
            message=f"{sample.what}: {answer}{_advised(answer, advice)}",
            where=_where(answer),
        )
    return _passed(sample.name, f"stands {sample.what}")


def judge_construction(error: EngineError | None) -> Check:
    """Judge whether the strategy could be made at all."""
    if error is None:
        return _passed(CONSTRUCTS, "compiles and constructs")
    return Check(
        name=CONSTRUCTS,
        verdict=Verdict.FAILED,
        message=f"it cannot be constructed: {error}",
        where=_where(error),
    )


def judge_signals(answers: Mapping[str, Answer]) -> Check:
    """Judge whether every answer that was given is a legal signal."""
    illegal = [each for each in answers.values() if _is_illegal(each)]
    if illegal:
        message = f"not a legal signal: {illegal[0]}"
        return Check(name=LEGAL_SIGNALS, verdict=Verdict.FAILED, message=message)
    decided = [each for each in answers.values() if not isinstance(each, EngineError)]
    if not decided:
        return _not_asked(LEGAL_SIGNALS)
    count = sum(each.count() for each in decided)
    return _passed(LEGAL_SIGNALS, f"{count:,} decisions, all legal")


def judge_repetition(first: Answer | None, second: Answer | None, part: History) -> Check:
    """Judge whether the same history gave the same decisions in two processes."""
    if first is None or isinstance(first, EngineError) or second is None:
        return _not_asked(DETERMINISTIC)
    if isinstance(second, EngineError):
        message = f"the same bars went well in one process and failed in another: {second}"
        return _failed(DETERMINISTIC, message, second)
    for each in first.differences(second, part):
        message = (
            f"the same bars gave {each.one} in one process and {each.other} in another, at"
            f" {history.moment(each.close_ns)} of {each.symbol}; {first.advice.inputs}"
        )
        return _failed(DETERMINISTIC, message)
    return _passed(DETERMINISTIC, "two processes, the same decisions")


def judge_restarts(through: Answer | None, restarted: Restarted | None, part: History) -> Check:
    """Judge whether a restart leaves the decisions as they are without it."""
    if through is None or isinstance(through, EngineError) or not (restarted and restarted.answers):
        return _not_asked(RESTART)
    for when, answer in restarted.answers.items():
        if isinstance(answer, EngineError):
            return _failed(RESTART, f"it fails after a restart {when}: {answer}", answer)
        for each in through.differences(answer, part):
            message = (
                f"restarted {when}, it said {each.other} at {history.moment(each.close_ns)} of"
                f" {each.symbol}, without a restart {each.one}; {through.advice.state}"
            )
            return _failed(RESTART, message)
    message = f"restarted {' and '.join(restarted.answers)}: the same decisions"
    return _passed(RESTART, f"{message}; {restarted.note}" if restarted.note else message)


def judge_sharing(
    apart: Mapping[str, Answer],
    together: Answer | None,
    pair: History,
    held: tuple[Mapping[str, NDArray[np.int64]], Mapping[str, NDArray[np.int64]]],
) -> Check:
    """Judge whether two instances in one process decide as each does alone.

    Parameters
    ----------
    apart : mapping of str to Answer
        By symbol, each in a run of its own.
    held : pair of mappings of str to array of int64
        Lots after each bar, apart and together: where the positions differ first, the common
        account is to blame, not the strategy.
    """
    errors = [each for each in (*apart.values(), together) if isinstance(each, EngineError)]
    if any(is_silent(each) for each in errors):
        message = f"asked of a second instrument, and of two at once: {errors[0]}"
        return _failed(NO_SHARED_STATE, message)
    if errors:
        return _passed(NO_SHARED_STATE, f"could not be asked of a second instrument: {errors[0]}")
    if together is None or isinstance(together, EngineError):
        return _not_asked(NO_SHARED_STATE)
    for symbol, answer in apart.items():
        if isinstance(answer, EngineError):
            continue
        moved = np.flatnonzero(held[0][symbol] != held[1][symbol])
        for each in answer.differences(together, alone(pair, symbol)):
            if moved.size and moved[0] <= each.index:
                continue
            message = (
                f"alone it says {each.one} at bar {each.index} of {symbol}, beside another"
                f" instrument {each.other}; {answer.advice.sharing}"
            )
            return _failed(NO_SHARED_STATE, message)
    return _passed(NO_SHARED_STATE, "two instances in one process, as each alone")


def judge_second(first: Answer | None, second: Answer | None, part: History) -> Check:
    """Judge whether a second instance in one process chooses as the first did."""
    if first is None or isinstance(first, EngineError) or second is None:
        return _not_asked(NO_SHARED_STATE)
    if isinstance(second, EngineError):
        message = f"a second instance in one process failed: {second}; {first.advice.sharing}"
        return _failed(NO_SHARED_STATE, message, second)
    for each in first.differences(second, part):
        message = (
            f"a second instance in one process said {each.other} at"
            f" {history.moment(each.close_ns)} of {each.symbol}, the first {each.one};"
            f" {first.advice.sharing}"
        )
        return _failed(NO_SHARED_STATE, message)
    return _passed(NO_SHARED_STATE, "a second instance in one process, as the first")


def is_silent(answer: Answer | None) -> bool:
    """Say whether it gave no answer in time: an endless loop, or much too much work."""
    return isinstance(answer, ChildDiedError) and answer.exit.kind is ExitKind.SILENT


def _passed(name: str, message: str) -> Check:
    return Check(name=name, verdict=Verdict.PASSED, message=message)


def _failed(name: str, message: str, error: EngineError | None = None) -> Check:
    where = _where(error) if error is not None else ""
    return Check(name=name, verdict=Verdict.FAILED, message=message, where=where)


def _not_asked(name: str) -> Check:
    return Check(
        name=name,
        verdict=Verdict.INCONCLUSIVE,
        message="not asked: something before it failed; mend that first",
    )


def _advised(error: EngineError, advice: Advice) -> str:
    return f"; {advice.illegal}" if isinstance(error, StrategyFailedError) else ""


def _where(error: EngineError) -> str:
    return error.where if isinstance(error, StrategyFailedError) else ""


def _is_illegal(answer: Answer) -> bool:
    return isinstance(answer, EngineError) and answer.facts.get("error") == "ContractError"


# --- builders


def _changed(part: History, change: Callable[[Columns], Columns]) -> History:
    def one(each: Series) -> Series:
        bars = each.bars
        columns = change((bars.open, bars.high, bars.low, bars.close, bars.volume))
        open_, high, low, close = (_on_grid(column, each) for column in columns[:4])
        changed = Bars(
            ts_ns=bars.ts_ns,
            open=open_,
            high=high,
            low=low,
            close=close,
            volume=columns[4],
            timeframe_ns=bars.timeframe_ns,
        )
        return each.with_bars(changed)

    return History(series=tuple(one(each) for each in part.series))


def _on_grid(prices: Floats, each: Series) -> Floats:
    tick = each.terms.tick_nanos / money.NANOS
    return np.maximum(np.rint(prices / tick), 1.0) * tick


def _flat(columns: Columns) -> Columns:
    last = np.full_like(columns[3], columns[3][-1])
    return last, last, last, last, columns[4]


def _without_volume(columns: Columns) -> Columns:
    return (*columns[:4], np.full_like(columns[4], np.nan))


def _jump(factor: float) -> Callable[[Columns], Columns]:
    def change(columns: Columns) -> Columns:
        size = columns[3].size
        scale = np.where(np.arange(size) < size // 2, 1.0, factor)
        open_, high, low, close, volume = columns
        return open_ * scale, high * scale, low * scale, close * scale, volume

    return change


def _mirrored(columns: Columns) -> Columns:
    open_, high, low, close, volume = columns
    pivot = float(close[0]) ** 2
    return pivot / open_, pivot / low, pivot / high, pivot / close, volume


def _holed(part: History) -> History:
    def one(each: Series) -> Series:
        size = len(each.bars)
        index = np.arange(size)
        kept = (index % 7 != 3) & ~((index > size // 2) & (index < size // 2 + 30))  # noqa: PLR2004  (every seventh bar, and 29 in a row)
        columns = {
            name: getattr(each.bars, name)[kept]
            for name in ("ts_ns", "open", "high", "low", "close", "volume")
        }
        return each.with_bars(Bars(**columns, timeframe_ns=each.bars.timeframe_ns))

    return History(series=tuple(one(each) for each in part.series))
