"""What experiments and allocations ask of executions: shadows to start, capital to move."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from strategy_engine.core.errors import ConflictError, InvalidError
from strategy_engine.execution.model import (
    COMPLETED,
    UNENDED,
    Change,
    Desired,
    Execution,
    ExecutionConfig,
    Role,
)
from strategy_engine.execution.service import Executions
from strategy_engine.infra import audit
from strategy_engine.registry.model import LIVE, Status, Strategy, Trigger
from strategy_engine.registry.service import Registry
from strategy_engine.rollout import capital
from strategy_engine.rollout.lines import Line, Member
from strategy_engine.rollout.observing import Observer
from strategy_engine.rollout.readiness import Standing

STARTABLE = LIVE | {Status.APPROVED, Status.STOPPED}
_LEAVING = frozenset({Desired.STOP, Desired.DRAIN, Desired.FLATTEN})
_LONGEST_WHY = 200


class Shares:
    """Says to the node what should be, in rows; each may be said again."""

    def __init__(self, *, registry: Registry, executions: Executions, observer: Observer) -> None:
        self._registry = registry
        self._executions = executions
        self._observer = observer

    async def unready(self, shadows: Iterable[Member]) -> dict[str, str]:
        """Return why shadows may not be given capital yet, by execution; those that may are not in.

        Its decisions are compared with those of a fresh process meanwhile.
        """
        found = {}
        members = await self._observer.members([each.execution_id for each in shadows])
        for name, each in members.items():
            readiness = await self._observer.readiness(each, await self._observer.compared(each))
            if readiness.standing is not Standing.READY:
                found[name] = readiness.message
        return found

    async def start(
        self, strategy_id: str, config: ExecutionConfig, *, key: str, why: str
    ) -> Execution:
        """Start a version in shadow with the capital that it is to get first; once a key.

        Raises
        ------
        EngineError
            If it cannot be started.
        """
        version = await self._registry.get(strategy_id)
        if version.status is Status.APPROVED:
            await self._registry.move(strategy_id, Trigger.DEPLOY, actor=audit.ENGINE, why=why)
        return await self._executions.start(
            strategy_id, config, actor=audit.ENGINE, role=Role.SHADOW, key=key
        )

    async def instruct(self, changes: Mapping[str, Change], why: str) -> None:
        """Ask for changes; none is nothing. Who has capital from now on is compared no more."""
        if changes:
            await self._executions.instruct(changes, actor=audit.ENGINE, why=why[:_LONGEST_WHY])
        for name, change in changes.items():
            if change.role is not None or change.desired is not None:
                await self._observer.forget(name)

    async def call_in(self, execution_ids: Sequence[str], why: str) -> None:
        """Let what ended executions hold be closed; none is nothing."""
        if execution_ids:
            await self._executions.call_in(execution_ids, actor=audit.ENGINE, why=why)

    async def retire(self, strategy_id: str, why: str) -> None:
        """Let a version be stopped that nothing runs of any more."""
        version = await self._registry.get(strategy_id)
        if version.status in LIVE and not await self._executions.unended_of(strategy_id):
            await self._registry.move(strategy_id, Trigger.REPLACE, actor=audit.ENGINE, why=why)


def version_of(line: Line, number: str, field: str) -> Strategy:
    """Return a version that may have capital.

    Raises
    ------
    InvalidError
        If the line has no such version.
    ConflictError
        If it has not passed its validation.
    """
    found = line.version(number)
    if found is None:
        raise InvalidError(
            f"line {line.strategy_name!r} has no version {number}",
            field=field,
            value=number,
            accepted=sorted(each.content.version for each in line.versions),
        )
    if found.status not in STARTABLE:
        raise ConflictError(
            f"version {number} is {found.status}: only what has passed its validation gets capital;"
            f" deploy it first (POST /strategies/{found.strategy_id}/deploy)",
            field=field,
            value=number,
            state=found.status.value,
            accepted=sorted(each.value for each in STARTABLE),
        )
    return found


def only_member(line: Line, version: Strategy) -> Member | None:
    """Return the execution of a version that has capital.

    Raises
    ------
    ConflictError
        If it has several: they are somebody's candidate and baseline.
    """
    found = [each for each in line.members if each.execution.strategy_id == version.strategy_id]
    if len(found) > 1:
        told = ", ".join(each.execution_id for each in found)
        raise ConflictError(f"version {version.content.version} runs more than once: {told}")
    return found[0] if found else None


def refuse_others(line: Line, versions: set[str], field: str) -> None:
    """Refuse to move capital of a line past a version that has some of it.

    Raises
    ------
    ConflictError
        It names the version.
    """
    for each in line.members:
        if each.version not in versions:
            raise ConflictError(
                f"version {each.version} ({each.execution_id}) has {each.contributed:f} of the"
                " line's capital; name it as well, or stop it first",
                field=field,
                value=each.version,
            )


def beside(like: Member | None, config: ExecutionConfig, opening: Decimal) -> ExecutionConfig:
    """Return how a new execution is to run: where another stands, or as a request says."""
    amount = float(opening)
    if like is None:
        return replace(config, capital=amount)
    close_ns = None if like.account is None else like.account.close_ns
    start_ns = like.execution.config.start_ns if close_ns is None else close_ns
    return replace(like.execution.config, capital=amount, start_ns=start_ns)


def less_tied(line: Line, given: Decimal) -> Decimal:
    """Return the capital that a line begins to share, but for what ended executions still tie.

    One whose feed came to its end ties nothing of what begins anew: no price comes after it.

    Raises
    ------
    ConflictError
        If nothing is left of it.
    """
    tying = [each for each in line.tying if each.end_reason != COMPLETED]
    left = capital.total((given, *(-each.capital_left for each in tying)))
    if left <= 0:
        names = [each.execution_id for each in tying]
        raise ConflictError(
            f"all of the line's capital of {given:f} is tied in positions that were held when an"
            f" execution ended ({', '.join(names)}); POST /executions/{names[0]}/flatten closes"
            " them",
            execution_id=names[0],
        )
    return left


def unready_told(member: Member, why: str) -> str:
    """Return what a shadow still waits for."""
    return f"version {member.version} decides in shadow: {why}"


def trouble(execution: Execution) -> str:
    """Return why an execution cannot have capital, or empty text."""
    if execution.failure is not None:
        return f"failed: {execution.failure.splitlines()[0]}"
    if execution.status not in UNENDED:
        told = (execution.error or execution.end_reason or "for no known reason").splitlines()[0]
        return f"has ended: {told}"
    if execution.desired in _LEAVING:
        return f"was told to {execution.desired}: {execution.desired_why}".rstrip(": ")
    return ""
