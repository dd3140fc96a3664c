"""Decision parity: a fresh process of a version is shown what the live one was, and asked again."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from strategy_engine.core.errors import EngineError
from strategy_engine.execution.conversation import StrategyFailedError
from strategy_engine.execution.model import Execution
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.registry.model import Content
from strategy_engine.rollout import parity
from strategy_engine.rollout.fresh import Answer, Fresh, Tools
from strategy_engine.rollout.parity import Compared
from strategy_engine.venue.model import Turn

MOST_TURNS = 500  # in one call
LONGEST_S = 2.0  # of one call, beside what its last question takes
_PAGE = 100


class Comparer:
    """One candidate's comparison. It keeps one process, and nothing of what it has judged.

    A process that dies is replaced by the next call, which shows the new one everything from the
    start; what was judged before is not judged again.
    """

    def __init__(self, tools: Tools, mine: Execution, content: Content) -> None:
        self._tools = tools
        self._mine = mine
        self._content = content
        self._result = Compared()
        self._fresh: Fresh | None = None
        self._is_over = False
        self._turn = asyncio.Lock()

    @property
    def result(self) -> Compared:
        """What it has come to by now."""
        return self._result

    async def advance(self, *, most: int = MOST_TURNS, longest_s: float = LONGEST_S) -> Compared:
        """Compare what is new, within bounds, and return what it has come to."""
        async with self._turn:
            if not self._is_over:
                await self._try(most, longest_s)
        return self._result

    async def aclose(self) -> None:
        """End its process."""
        async with self._turn:
            await self._drop()

    async def _try(self, most: int, longest_s: float) -> None:
        try:
            await self._advance(most, longest_s)
        except DatabaseAwayError as error:
            self._note(str(error))
        except StrategyFailedError as error:  # the live one did not: so no other will tell more
            self._is_over = True
            self._mismatch(f"{self._where()}: live it answered; a fresh process raised {error}")
            await self._drop()
        except EngineError as error:
            self._note(f"{self._where()}: {error}")
            await self._drop()
        except BaseException:  # an answer may still come, and would be taken for another's
            await self._drop()
            raise
        else:
            self._note("")

    async def _advance(self, most: int, longest_s: float) -> None:
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + longest_s
        while most > 0 and (page := await self._page(min(most, _PAGE))):
            fresh = await self._living()
            await fresh.look_up(page)
            for turn in page:
                if loop.time() > ends_s:
                    return
                await self._compare(fresh, turn)
            most -= len(page)

    async def _living(self) -> Fresh:
        if self._fresh is None:
            self._fresh = await Fresh.begin(self._tools, self._mine, self._content)
        return self._fresh

    async def _page(self, limit: int) -> Sequence[Turn]:
        after_no = 0 if self._fresh is None else self._fresh.shown_no
        return await self._tools.records.transcript(self._mine.execution_id, after_no, limit)

    async def _compare(self, fresh: Fresh, turn: Turn) -> None:
        answer = await fresh.show(turn)
        if turn.no <= self._result.up_to_no:
            return  # judged, by a process that died since
        if answer is not None:
            self._judge(answer)
        self._result = replace(self._result, up_to_no=turn.no)

    def _judge(self, answer: Answer) -> None:
        message, live, again = answer.message, answer.live, answer.again
        if answer.wrong_bars:
            self._count_wrong(answer.wrong_bars)
        if not parity.is_decision(message, live, again):
            return
        if live != again:
            self._mismatch(parity.told(message, live, again))
        else:
            self._result = replace(self._result, compared=self._result.compared + 1)

    def _count_wrong(self, bars: Sequence[str]) -> None:
        self._result = replace(
            self._result,
            wrong_bars=self._result.wrong_bars + len(bars),
            first_wrong_bar=self._result.first_wrong_bar or bars[0],
        )

    def _mismatch(self, text: str) -> None:
        self._result = replace(
            self._result,
            compared=self._result.compared + 1,
            mismatches=self._result.mismatches + 1,
            first_mismatch=self._result.first_mismatch or text,
        )

    def _where(self) -> str:
        return "before the first turn" if self._fresh is None else self._fresh.where

    def _note(self, trouble: str) -> None:
        held_up = self._result.held_up + 1 if trouble else 0
        self._result = replace(self._result, trouble=trouble, held_up=held_up)

    async def _drop(self) -> None:
        fresh, self._fresh = self._fresh, None
        if fresh is not None:
            await fresh.aclose()
