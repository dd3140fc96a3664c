"""What comes of asking outside, mode by mode."""

import pytest

from strategy_engine.execution import said
from strategy_engine.execution.said import Outcome, What
from strategy_engine.infra.bus.checks import Checking
from strategy_engine.matching.model import Order, Side, Terms
from strategy_engine.venue.gate import GateRequest
from strategy_engine.venue.limits import NO_LIMITS
from strategy_engine.venue.model import RiskState

OPEN, CLOSED = (Checking(is_open=each, deadline_s=0.25) for each in (True, False))
GAVE_UP = "the execution was held back before the risk engine had answered"
TERMS = Terms(symbol="X", tick_nanos=10_000, lot_nanos=10**9)

TABLE = {
    (OPEN, What.ALLOWED): None,
    (OPEN, What.VETOED): "the risk engine said: too much",
    (OPEN, What.UNANSWERED): None,
    (OPEN, What.UNREACHABLE): None,
    (OPEN, What.HELD_BACK): GAVE_UP,
    (CLOSED, What.ALLOWED): None,
    (CLOSED, What.VETOED): "the risk engine said: too much",
    (CLOSED, What.UNANSWERED): "no answer within 250 ms; RISK_VETO is closed",
    (CLOSED, What.UNREACHABLE): "no answer, the broker is away; RISK_VETO is closed",
    (CLOSED, What.HELD_BACK): GAVE_UP,
}


def request(order_id: str = "O-1", lots: int = 10) -> GateRequest:
    return GateRequest(
        order=Order(
            symbol="X", side=Side.BUY, lots=lots, opens=True, decided_ns=1, order_id=order_id
        ),
        terms=TERMS,
        limits=NO_LIMITS,
        symbols=("X",),
        fee_ppm=0,
        is_running=True,
        risk_state=RiskState.ACTIVE,
        epoch=1,
        highest_epoch=1,
        mark_ticks=100,
        lots_before=0,
        free_nanos=0,
        day_pnl_nanos=0,
    )


@pytest.mark.parametrize("how", [OPEN, CLOSED], ids=["open", "closed"])
@pytest.mark.parametrize("what", What)
def test_whether_an_order_goes(how: Checking, what: What) -> None:
    found = said.answers(how, [(request(), Outcome(what, "too much"))])

    assert found.against("O-1", 10) == TABLE[how, what]
    is_told = how is OPEN and what in {What.UNANSWERED, What.UNREACHABLE}
    assert bool(found.notices) is is_told


def test_what_was_not_asked_about_goes_only_where_that_is_open() -> None:
    for found in (said.unasked(OPEN), said.answers(OPEN, [])):
        assert found.against("O-2", 1) is None
    for found in (said.unasked(CLOSED), said.answers(CLOSED, [])):
        assert "not asked about" in (found.against("O-2", 1) or "")


def test_of_two_answers_for_the_same_order_the_stricter_one_counts() -> None:
    yes, no = Outcome(What.ALLOWED), Outcome(What.VETOED, "no")
    for both in ((yes, no), (no, yes)):
        found = said.answers(OPEN, [(request(), each) for each in both])
        assert found.against("O-1", 10) == "the risk engine said: no"
        assert found.against("O-1", 11) is None


def test_what_is_given_up_was_not_answered_and_an_answer_stands() -> None:
    for what in What:
        found = Outcome(what).unless(is_held_back=True).what
        assert found is (what if what.is_answer else What.HELD_BACK)
        assert Outcome(what).unless(is_held_back=False).what is what


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\0b\n", "a?b?"), ("", "no"), (" ", "no"), ("x" * 500, "x" * 140)],
)
def test_the_reason_of_others_may_stand_in_any_row(text: str, shown: str) -> None:
    assert said.refusal(OPEN, Outcome(What.VETOED, text)) == f"the risk engine said: {shown}"
