"""A risk engine that is asked over the bus before an order goes, and its answers.

Nothing of it is kept: who goes on after a crash decides again, and asks again.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec

from strategy_engine.core import clock as clocks
from strategy_engine.core.clock import Clock
from strategy_engine.core.money import NANOS
from strategy_engine.execution import said
from strategy_engine.execution.said import Outcome
from strategy_engine.infra import logs
from strategy_engine.infra.bus import checks, codec
from strategy_engine.infra.bus.checks import CheckAnswered, Checking, CheckRequested
from strategy_engine.infra.bus.commands import Refusal, RefusedError
from strategy_engine.infra.bus.model import Bus, Encoding, Message, Received
from strategy_engine.infra.meters import NodeMeters
from strategy_engine.venue.gate import GateRequest
from strategy_engine.venue.oversight import Who
from strategy_engine.venue.vetting import Answers

READ_S = 0.5
RETRY_S = 0.5
_MOST_ENDED = 10_000  # checks that are over, kept to tell a late answer from a repeated one

_log = logs.get("execution")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How the risk engine is reached; `stream` is where it answers."""

    checking: Checking
    node_id: str
    stream: str
    encoding: Encoding
    secret: str = field(repr=False)


@dataclass(slots=True, eq=False, kw_only=True)
class _Check:
    """One question; what comes of it is an answer, or why the broker did not take it."""

    check_id: str
    request: GateRequest
    message: Message
    heard: asyncio.Future[CheckAnswered | str]

    @property
    def outcome(self) -> Outcome:
        """What came of it by now."""
        if not self.heard.done() or self.heard.cancelled():
            return Outcome(said.What.UNANSWERED)
        heard = self.heard.result()
        if isinstance(heard, str):
            return Outcome(said.What.UNREACHABLE, heard)
        what = said.What.ALLOWED if heard.allowed else said.What.VETOED
        return Outcome(what, heard.reason)


class BusVeto:
    """Asks over the bus: what comes together goes together, and each waits for its own answer."""

    def __init__(self, line: Line, bus: Bus, clock: Clock, meters: NodeMeters) -> None:
        self._line = line
        self._bus = bus
        self._clock = clock
        self._meters = meters
        self._token, self._count = secrets.token_hex(8), 0
        self._waiting: dict[str, _Check] = {}
        self._ended: dict[str, bool] = {}  # whether it had been answered
        self._outgoing: list[_Check] = []
        self._has_outgoing, self._is_taken = asyncio.Event(), asyncio.Event()
        self._position: str | None = None  # of the last answer that was read
        self._finding = asyncio.Lock()
        self._trouble = ""
        self.unasked = said.unasked(line.checking)
        for what in said.What:
            meters.checks.labels(what.value)

    async def ask(
        self, who: Who, wanted: Sequence[GateRequest], held_back: Callable[[], Awaitable[None]]
    ) -> Answers:
        """Return what is said of orders, no later than the deadline."""
        began_s = self._clock.monotonic_s()
        asked = [self._begin(who, each) for each in wanted]
        try:
            is_held_back = await self._wait(asked, held_back)
        finally:
            for each in asked:
                del self._waiting[each.check_id]
                self._remember(each)
        self._meters.check_times.observe(self._clock.monotonic_s() - began_s)
        outcomes = [each.outcome.unless(is_held_back=is_held_back) for each in asked]
        for outcome in outcomes:
            self._meters.checks.labels(outcome.what.value).inc()
        return said.answers(self._line.checking, zip(wanted, outcomes, strict=True))

    async def run(self) -> None:
        """Publish and listen without end."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publish())
            group.create_task(self._listen())

    # -- one question

    def _begin(self, who: Who, request: GateRequest) -> _Check:
        self._count += 1
        check_id = checks.name(self._line.node_id, self._token, self._count)
        question = self._question(check_id, who, request)
        message = codec.encode(
            checks.REQUESTED,
            msgspec.to_builtins(question),
            type_name=CheckRequested.__name__,
            encoding=self._line.encoding,
        )
        heard = asyncio.get_running_loop().create_future()
        check = _Check(check_id=check_id, request=request, message=message, heard=heard)
        self._waiting[check_id] = check
        self._outgoing.append(check)
        self._has_outgoing.set()
        return check

    def _question(self, check_id: str, who: Who, request: GateRequest) -> CheckRequested:
        order, terms, mark = request.order, request.terms, request.around.mark_ticks
        now = self._clock.now()
        return CheckRequested(
            check_id=check_id,
            execution_id=who.execution_id,
            strategy_id=who.strategy_id,
            strategy_name=who.line,
            account=who.account,
            order_id=order.order_id,
            symbol=order.symbol,
            side=order.side.value,
            quantity=terms.quantity(order.lots),
            price=terms.price(mark),
            notional=terms.nanos(order.lots * mark) / NANOS,
            position=terms.quantity(request.lots_before),
            decided_at=clocks.from_nanos(order.decided_ns),
            asked_at=now,
            deadline_at=now + timedelta(seconds=self._line.checking.deadline_s),
        )

    async def _wait(
        self, asked: Sequence[_Check], held_back: Callable[[], Awaitable[None]]
    ) -> bool:
        """Wait for every answer; whether it was given up before, because none matters any more."""
        everything = asyncio.ensure_future(asyncio.wait([each.heard for each in asked]))
        giving_up = asyncio.ensure_future(held_back())
        deadline_s = self._line.checking.deadline_s
        try:
            await asyncio.wait(
                (everything, giving_up), timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED
            )
            return giving_up.done()
        finally:
            everything.cancel()
            giving_up.cancel()
            for each in asked:
                each.heard.cancel()

    def _remember(self, check: _Check) -> None:
        self._ended[check.check_id] = check.outcome.what.is_answer
        if len(self._ended) > _MOST_ENDED:
            del self._ended[next(iter(self._ended))]

    # -- what goes out

    async def _publish(self) -> None:
        while True:
            await self._has_outgoing.wait()
            self._has_outgoing.clear()
            taken, self._outgoing = self._outgoing, []
            # What nobody waits for any more is worth nothing: it goes nowhere.
            if batch := [each for each in taken if not each.heard.done()]:
                await self._send(batch)

    async def _send(self, batch: Sequence[_Check]) -> None:
        try:
            await self._find_position()
            await self._bus.publish([each.message for each in batch])
        except Exception as error:  # noqa: BLE001 - the task's edge: who waits must hear of it
            self._heed(error)
            for each in batch:
                if not each.heard.done():
                    each.heard.set_result(str(error) or repr(error))
        else:
            self._is_taken.set()

    # -- what comes in

    async def _listen(self) -> None:
        while True:
            self._is_taken.clear()
            try:
                position = await self._find_position()
                for each in await self._bus.read({self._line.stream: position}, wait_s=READ_S):
                    self._position = each.entry_id
                    self._hear(each)
                self._trouble = ""
            except Exception as error:  # noqa: BLE001 - the task's edge: what trades must go on
                self._heed(error)
                await self._pause()

    async def _pause(self) -> None:
        """Wait a little, unless a question is taken before: its answer may come any moment."""
        try:
            async with asyncio.timeout(RETRY_S):
                await self._is_taken.wait()
        except TimeoutError:
            return

    async def _find_position(self) -> str:
        """Return where answers are read from: what was said before anybody asked is none."""
        async with self._finding:
            if self._position is None:
                self._position = await self._bus.newest(self._line.stream)
            return self._position

    def _hear(self, received: Received) -> None:
        try:
            answer = checks.verify(received, self._line.secret)
            self._match(answer)
        except RefusedError as error:
            self._meters.refused_answers.labels(error.refusal.value).inc()
            _log.warning("risk_answer_refused", entry=received.entry_id, why=str(error))

    def _match(self, answer: CheckAnswered) -> None:
        check_id = answer.check_id
        check = self._waiting.get(check_id)
        if check is not None and not check.heard.done():
            check.heard.set_result(answer)
        elif check is not None or self._ended.get(check_id, False):
            raise RefusedError(Refusal.REPEATED, f"{check_id} was answered before")
        elif check_id in self._ended:
            raise RefusedError(Refusal.LATE, f"nobody waits any more for an answer to {check_id}")
        elif not checks.is_of_another(check_id, self._line.node_id):
            raise RefusedError(Refusal.UNKNOWN_CHECK, "an answer is to no check of this node")

    def _heed(self, error: Exception) -> None:
        if not self._trouble:
            _log.warning("risk_engine_not_reached", why=repr(error))
        self._trouble = str(error) or repr(error)
