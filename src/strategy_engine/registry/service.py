"""The registry's shell: register, edit, move and archive versions."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core import ids
from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import ConflictError, InvalidError, NotFoundError
from strategy_engine.infra import audit
from strategy_engine.infra.database import Database
from strategy_engine.registry import rules, store
from strategy_engine.registry.model import ACTIVE, Content, Status, Strategy, Trigger

SUBJECT = "strategy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of strategies and how many there are in all."""

    strategies: list[Strategy]
    total: int


class Registry:
    """What every door and workflow asks about strategies.

    Parameters
    ----------
    check_trading : callable
        Raises if the engine could not trade by a content's parameters and limits.
    check_archiving : callable
        Raises if something still works with a version; asked inside the archive's transaction.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        check_trading: Callable[[Content], object] = lambda _content: None,
        check_archiving: Callable[[AsyncConnection, str], Awaitable[None]] | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._check_trading = check_trading
        self._check_archiving = check_archiving

    async def create(self, content: Content, *, actor: str) -> tuple[Strategy, bool]:
        """Register a version; return it, and whether it is new: the same content again is not.

        Raises
        ------
        InvalidError, TooLargeError
            If the content breaks a rule.
        ConflictError
            If the line has this version number with other content.
        """
        rules.check(content)
        self._check_trading(content)
        async with self._database.write() as connection:
            existing = await store.find_version(connection, content.strategy_name, content.version)
            if existing is not None:
                return _same_or_refuse(existing, content), False
            now = self._clock.now()
            strategy = Strategy(
                strategy_id=ids.new_id(ids.STRATEGY),
                content=content,
                status=Status.DRAFT,
                created_at=now,
                updated_at=now,
            )
            await store.insert(connection, strategy)
            await self._audit(connection, strategy, actor=actor, action="create")
            return strategy, True

    async def get(self, strategy_id: str) -> Strategy:
        """Return one version.

        Raises
        ------
        NotFoundError
            If there is none, or it is archived.
        """
        async with self._database.read() as connection:
            return await load(connection, strategy_id)

    async def page(
        self, *, status: Status | None = None, name: str | None = None, limit: int = 50, offset: int
    ) -> Page:
        """Return versions, newest first."""
        async with self._database.read() as connection:
            strategies, total = await store.page(
                connection, status=status, name=name, limit=limit, offset=offset
            )
        return Page(strategies=strategies, total=total)

    async def line(self, strategy_name: str) -> list[Strategy]:
        """Return every version of a line, oldest first."""
        async with self._database.read() as connection:
            return await store.line(connection, strategy_name)

    async def counts(self) -> dict[Status, int]:
        """Return how many versions stand in each state."""
        async with self._database.read() as connection:
            return await store.counts(connection)

    async def history(self, strategy_id: str) -> list[audit.Entry]:
        """Return everything that was done to a version, oldest first."""
        async with self._database.read() as connection:
            await load(connection, strategy_id)
            return await audit.history(connection, SUBJECT, strategy_id)

    async def edit(self, strategy_id: str, changes: dict[str, Any], *, actor: str) -> Strategy:
        """Replace parts of a draft's content.

        Raises
        ------
        ConflictError
            If the version is no draft: what has been tested is immutable.
        """
        async with self._database.write() as connection:
            strategy = await load(connection, strategy_id)
            _refuse_unless_draft(strategy)
            content = replace(strategy.content, **changes)
            rules.check(content)
            self._check_trading(content)
            await _refuse_taken(connection, strategy, content)
            edited = replace(strategy, content=content, updated_at=self._clock.now())
            await store.update(connection, edited)
            await self._audit(
                connection,
                edited,
                actor=actor,
                action="edit",
                details={"fields": sorted(changes), "digest": content.digest},
            )
            return edited

    async def archive(self, strategy_id: str, *, actor: str) -> Strategy:
        """Take a version out of sight; its record stays. Refused while it runs or is tested."""
        async with self._database.write() as connection:
            strategy = await load(connection, strategy_id)
            if strategy.status in ACTIVE:
                raise ConflictError(
                    f"{strategy_id} is {strategy.status}; stop it before deleting it",
                    state=strategy.status.value,
                    accepted=[each.value for each in Status if each not in ACTIVE],
                )
            if self._check_archiving is not None:
                await self._check_archiving(connection, strategy_id)
            now = self._clock.now()
            archived = replace(strategy, archived_at=now, updated_at=now)
            await store.update(connection, archived)
            await self._audit(connection, archived, actor=actor, action="archive")
            return archived

    async def move(
        self, strategy_id: str, trigger: Trigger, *, actor: str, why: str = ""
    ) -> Strategy:
        """Change a version's state by the table, with its audit row, in a new transaction."""
        async with self._database.write() as connection:
            return await self.move_in(connection, strategy_id, trigger, actor=actor, why=why)

    async def move_in(
        self,
        connection: AsyncConnection,
        strategy_id: str,
        trigger: Trigger,
        *,
        actor: str,
        why: str = "",
    ) -> Strategy:
        """Change a version's state inside the caller's write transaction.

        Raises
        ------
        IllegalTransitionError
            If the table has no such arrow; nothing is written.
        """
        before = await load(connection, strategy_id)
        after = replace(before.on(trigger), updated_at=self._clock.now())
        await store.update(connection, after)
        await audit.record(
            connection,
            audit.Entry(
                at=after.updated_at,
                actor=actor,
                subject_type=SUBJECT,
                subject_id=strategy_id,
                action=trigger.value,
                from_state=before.status.value,
                to_state=after.status.value,
                details={"why": why} if why else {},
            ),
        )
        return after

    async def _audit(
        self,
        connection: AsyncConnection,
        strategy: Strategy,
        *,
        actor: str,
        action: str,
        details: dict[str, Any] | None = None,
    ) -> None:
        await audit.record(
            connection,
            audit.Entry(
                at=strategy.updated_at,
                actor=actor,
                subject_type=SUBJECT,
                subject_id=strategy.strategy_id,
                action=action,
                to_state=strategy.status.value,
                details=details or {"digest": strategy.content.digest},
            ),
        )


async def load(connection: AsyncConnection, strategy_id: str) -> Strategy:
    """Return a version that is not archived, inside the caller's transaction.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    strategy = await store.get(connection, strategy_id)
    if strategy is None or strategy.archived_at is not None:
        was = " (it was archived)" if strategy is not None else ""
        raise NotFoundError(
            f"no strategy {strategy_id[:60]!r}{was}; GET /strategies lists those that exist",
            field="strategy_id",
            value=strategy_id[:60],
        )
    return strategy


def _same_or_refuse(existing: Strategy, content: Content) -> Strategy:
    name, version = content.strategy_name, content.version
    if existing.archived_at is not None:
        raise ConflictError(
            f"{name} {version} was archived; choose another version number",
            field="version",
            value=version,
        )
    if existing.content.digest != content.digest:
        raise ConflictError(
            f"{name} {version} exists with other content (as {existing.strategy_id});"
            " raise the version, or edit it with PUT while it is a draft",
            field="version",
            value=version,
            strategy_id=existing.strategy_id,
        )
    return existing


def _refuse_unless_draft(strategy: Strategy) -> None:
    if strategy.status is not Status.DRAFT:
        raise ConflictError(
            f"{strategy.strategy_id} is {strategy.status}; only a draft is edited:"
            " create a new version instead",
            state=strategy.status.value,
            accepted=[Status.DRAFT.value],
        )


async def _refuse_taken(connection: AsyncConnection, strategy: Strategy, content: Content) -> None:
    if content.strategy_name != strategy.content.strategy_name:
        raise InvalidError(
            "strategy_name cannot be edited; create a strategy of the new name",
            field="strategy_name",
            value=content.strategy_name,
        )
    other = await store.find_version(connection, content.strategy_name, content.version)
    if other is not None and other.strategy_id != strategy.strategy_id:
        raise ConflictError(
            f"{content.strategy_name} {content.version} exists already (as {other.strategy_id})",
            field="version",
            value=content.version,
        )
