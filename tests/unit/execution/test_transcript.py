from datetime import UTC, datetime
from decimal import Decimal

import pytest

from strategy_engine.execution import transcript
from strategy_engine.execution.model import (
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Role,
)
from strategy_engine.execution.transcript import Transcript
from strategy_engine.sandbox.protocol import messages
from strategy_engine.venue.model import TurnKind

WARM_UP = messages.WarmUp(bars=[], state=b"before")
BAR = messages.Bar(
    symbol="A.SIM",
    open_ns=0,
    close_ns=60,
    ohlcv=(1.0, 1.0, 1.0, 1.0, 1.0),
    holding=messages.Holding(lots=0, entry_price=None, cash=1.0, equity=1.0),
    fills=[],
)
DECIDED = messages.Decided(action=1, state=b"a large state")


def said(found: Transcript, asked: messages.ToChild, answered: messages.FromChild) -> None:
    found.hear(asked, answered, (messages.encode(asked), messages.encode(answered)))


def test_turns_are_numbered_and_taken_once():
    found = Transcript()
    said(found, WARM_UP, messages.WarmedUp(bars=0))
    said(found, BAR, DECIDED)

    first, second = found.take()
    said(found, BAR, DECIDED)
    (third,) = found.take()

    assert [each.no for each in (first, second, third)] == [1, 2, 3]
    assert [each.kind for each in (first, second)] == [TurnKind.START, TurnKind.ASKED]
    assert found.take() == ()


def test_the_first_warm_up_is_kept_with_its_state_and_a_later_ones_without():
    first, later = Transcript(), Transcript(last_no=7)
    for each in (first, later):
        said(each, WARM_UP, messages.WarmedUp(bars=0))

    (start,), (restart,) = first.take(), later.take()

    assert (start.no, start.kind) == (1, TurnKind.START)
    assert messages.decode_for_child(start.asked).state == b"before"
    assert (restart.no, restart.kind) == (8, TurnKind.RESTART)
    assert messages.decode_for_child(restart.asked).state is None


def test_a_catch_up_is_asked_like_anything_else():
    found = Transcript(last_no=7)
    for _ in range(2):
        said(found, WARM_UP, messages.WarmedUp(bars=0))

    assert [each.kind for each in found.take()] == [TurnKind.RESTART, TurnKind.ASKED]


def test_states_are_not_kept_with_answers_nor_the_end_of_a_process():
    found = Transcript()
    said(found, BAR, DECIDED)
    said(found, messages.Stop(), messages.Stopped())

    (turn,) = found.take()

    assert messages.decode_from_child(turn.answered) == messages.Decided(action=1)


def test_what_becomes_stable_is_kept_no_longer():
    found = Transcript()
    said(found, BAR, DECIDED)
    found.follow(Role.CANDIDATE)
    assert len(found.take()) == 1

    said(found, BAR, DECIDED)
    found.follow(Role.STABLE)
    said(found, BAR, DECIDED)

    assert found.take() == ()


class Ledger:
    def __init__(self, last_no: int) -> None:
        self.last_no = last_no

    async def last_turn(self, execution_id: str) -> int:
        return self.last_no


def execution(role: Role) -> Execution:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    return Execution(
        execution_id="exec_1",
        strategy_id="strat_1",
        role=role,
        status=ExecutionStatus.STARTING,
        desired=Desired.RUN,
        config=ExecutionConfig(),
        capital=Decimal(1),
        created_at=now,
        updated_at=now,
    )


@pytest.mark.parametrize("role", Role)
async def test_only_what_is_compared_has_a_transcript(role):
    found = await transcript.begin(Ledger(0), execution(role))

    is_compared = role in {Role.SHADOW, Role.CANDIDATE, Role.BASELINE}
    assert (found is not None) == is_compared


async def test_a_transcript_goes_on_where_the_ledgers_ends():
    found = await transcript.begin(Ledger(41), execution(Role.SHADOW))
    said(found, BAR, DECIDED)

    assert found.take()[0].no == 42
