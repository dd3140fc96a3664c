"""Which refusals count against a candidate."""

import pytest

from strategy_engine.rollout.observing import Observer
from strategy_engine.venue.model import DenialCode


class Records:
    """A ledger with ten orders, some of them refused."""

    def __init__(self, **refused):
        self.refused = refused

    async def denial_counts(self, _execution_id):
        return self.refused

    async def orders_page(self, _execution_id, *, limit):
        return [], 10


def observer(**refused):
    others = ("executions", "registry", "catalogue", "results", "comparing", "clock")
    return Observer(records=Records(**refused), **dict.fromkeys(others))


@pytest.mark.parametrize(
    ("code", "rejects"),
    [
        (DenialCode.VETOED, 0),
        (DenialCode.KILLED, 0),
        (DenialCode.SELF_MATCH, 0),
        (DenialCode.MAX_POSITION_SIZE, 3),
        (DenialCode.DUPLICATE_ORDER_ID, 3),
    ],
)
async def test_a_candidate_answers_for_what_it_does_wrong_and_not_for_what_others_say(
    code, rejects
):
    orders, found = await observer(**{code.value: 3})._orders("exec_1")

    assert (orders, found) == (7 + rejects, rejects)
