"""A native child's answer, believed only after every step and instruction was found possible."""

from collections.abc import Iterable, Sequence

import msgspec

from strategy_engine.matching import ticket
from strategy_engine.matching.ticket import Executed, Instruction
from strategy_engine.pipeline.history import History
from strategy_engine.pipeline.model import ForgedAnswerError
from strategy_engine.pipeline.native.forms import Given, Step
from strategy_engine.pipeline.native.steps import Steps
from strategy_engine.pipeline.native.tape import Tape
from strategy_engine.sandbox.protocol import messages

MOST_INSTRUCTIONS = 500_000
_MOST_LOTS = 10**15
_FARTHEST_TICKS = 10**15
_LONGEST_NAME = 200
_MOST_NAMES = 100
_MOST_NOTICES, _LONGEST_NOTICE = 50, 500
_LAST_NS = (1 << 63) - 1

_decode = msgspec.msgpack.Decoder(Instruction).decode
_decode_seen = msgspec.msgpack.Decoder(list[Executed]).decode


def unpack(answer: messages.NativeBacktested, part: History) -> Steps:
    """Return the steps of a child's answer.

    Raises
    ------
    ForgedAnswerError
        If steps are out of order or of another history, an instruction came before or after its
        step, is no instruction, or is of another instrument or beyond every bound.
    """
    count = sum(len(each.asked) for each in answer.steps) + len(answer.stopping)
    if count > MOST_INSTRUCTIONS:
        raise ForgedAnswerError(
            f"the child answered {count:,} instructions; {MOST_INSTRUCTIONS:,} are the most"
        )
    tape = Tape(part)
    found = tuple(_steps(answer.steps, tape))
    return Steps(
        steps=found,
        happenings=len(tape),
        stopping=given(answer.stopping, _symbols(part)),
        seen=_seen(answer.seen),
        notices=notices(answer.notices),
    )


def given(asked: Iterable[messages.Asked], symbols: frozenset[str]) -> tuple[Given, ...]:
    """Return what a child asks for, checked.

    Raises
    ------
    ForgedAnswerError
        If it is no instruction, or is of another instrument or beyond every bound.
    """
    return tuple((each.ts_ns, _instruction(each.instruction, symbols)) for each in asked)


def notices(said: Sequence[str]) -> tuple[str, ...]:
    """Return what a child notices, cut to what can be shown."""
    return tuple(each[:_LONGEST_NOTICE] for each in said[:_MOST_NOTICES])


def _symbols(part: History) -> frozenset[str]:
    return frozenset(each.symbol for each in part.series)


def _steps(answered: Sequence[messages.Step], tape: Tape) -> Iterable[Step]:
    symbols, bars = _symbols(tape.part), tape.bars_met()
    met, last_ns = -1, tape.start_ns
    for each in answered:
        if not met < each.met <= len(tape):
            raise ForgedAnswerError(
                f"the child answered a step after {each.met} bars and ticks, and one after {met}"
                f" before it; they must rise, and {len(tape):,} are all there are"
            )
        met = each.met
        if (each.symbol, each.index) != bars[met]:
            raise ForgedAnswerError(
                f"the child answered a step at bar {each.index} of {each.symbol[:_LONGEST_NAME]};"
                f" after {met:,} bars and ticks the last bar is {bars[met][1]} of {bars[met][0]}"
            )
        until_ns = int(tape.ts_ns[met - 1]) if met else tape.start_ns
        asked = given(each.asked, symbols)
        for ts_ns, _ in asked:
            if not last_ns <= ts_ns <= until_ns:
                raise ForgedAnswerError(
                    f"the child gave an instruction at {ts_ns} in a step that ended at {until_ns},"
                    f" after one at {last_ns}"
                )
            last_ns = ts_ns
        yield Step(symbol=each.symbol, index=each.index, met=met, asked=asked)


def _instruction(raw: msgspec.Raw, symbols: frozenset[str]) -> Instruction:
    try:
        found: Instruction = _decode(raw)
    except msgspec.MsgspecError as error:
        raise ForgedAnswerError(f"the child asked for what is no instruction: {error}") from None
    wrong = _wrong_order(found, symbols) if isinstance(found, ticket.Ticket) else ""
    if wrong := wrong or _wrong_terms(found):
        raise ForgedAnswerError(f"the child asked for {wrong}")
    return found


def _wrong_order(found: ticket.Ticket, symbols: frozenset[str]) -> str:
    names = *found.linked_ids, *found.tags, found.parent_id or ""
    if found.symbol not in symbols:
        return f"an order of {found.symbol[:_LONGEST_NAME]}, which it does not trade"
    if max(len(found.linked_ids), len(found.tags)) > _MOST_NAMES:
        return f"an order with more than {_MOST_NAMES} links or tags"
    if any(len(each) > _LONGEST_NAME for each in names):
        return f"an order with a link or tag of more than {_LONGEST_NAME} characters"
    if not 0 <= (found.expire_ns or 0) <= _LAST_NS:
        return f"an order that expires at {found.expire_ns}"
    return ""


_TICKS = (
    "limit_ticks",
    "trigger_ticks",
    "trailing_ticks",
    "limit_offset_ticks",
    "activation_ticks",
)


def _wrong_terms(found: Instruction) -> str:
    lots = getattr(found, "lots", None)
    if not 0 <= (lots or 0) <= _MOST_LOTS:
        return f"{lots} lots; {_MOST_LOTS:,} are the most"
    if any(abs(getattr(found, each, None) or 0) > _FARTHEST_TICKS for each in _TICKS):
        return f"a price beyond {_FARTHEST_TICKS:,} ticks"
    if len(found.client_order_id) > _LONGEST_NAME:
        return f"an order with a name of more than {_LONGEST_NAME} characters"
    return ""


def _seen(raw: msgspec.Raw) -> tuple[Executed, ...]:
    try:
        return tuple(_decode_seen(raw))
    except msgspec.MsgspecError as error:
        raise ForgedAnswerError(f"the child saw what is no fill: {error}") from None
