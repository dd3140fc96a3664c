"""Flags: made, changed, archived, listed; every change with an audit row."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import ConflictError, InvalidError, NotFoundError
from strategy_engine.flags import rules, store
from strategy_engine.flags.model import Content, Flag, FlagValue
from strategy_engine.infra import audit
from strategy_engine.infra.database import Database

SUBJECT = "flag"
MOST_FLAGS = 500  # each one is read for every decision


class Flags:
    """What flags say. Nodes read them within a second of a change."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(self, key: str, content: Content, *, actor: str) -> tuple[Flag, bool]:
        """Make a flag, and say whether it is new: the same content again answers the one there is.

        Raises
        ------
        InvalidError
            If the key, a value, a rule or the expiry makes no sense.
        ConflictError
            If the key is taken by other content, or there are as many flags as are read.
        """
        now = self._clock.now()
        rules.check_key(key)
        rules.check(content)
        rules.check_expiry(content.expires_at, now)
        flag = Flag(key=key, content=content, created_at=now, created_by=actor, updated_at=now)
        async with self._database.write() as connection:
            existing = await store.get(connection, key)
            if existing is not None:
                return _same(existing, content), False
            await _refuse_when_full(connection)
            await store.insert(connection, flag)
            await self._audit(connection, flag, "create", actor, _told(content))
        return flag, True

    async def update(self, key: str, changes: Mapping[str, Any], *, actor: str) -> Flag:
        """Change parts of a flag's content; what is not named stays, and so does its type.

        Raises
        ------
        NotFoundError
            If there is no such flag.
        InvalidError
            If the content would make no sense, or nothing of it is named.
        ConflictError
            If it is archived.
        """
        now = self._clock.now()
        _check_names(changes)
        async with self._database.write() as connection:
            flag = await _load(connection, key)
            _refuse_archived(flag)
            content = replace(flag.content, **changes)
            rules.check(content)
            if "expires_at" in changes:
                rules.check_expiry(content.expires_at, now)
            if content == flag.content:
                return flag
            changed = replace(flag, content=content, updated_at=now)
            await store.update(connection, changed)
            details = _differences(flag.content, content)
            await self._audit(connection, changed, "update", actor, details)
        return changed

    async def archive(self, key: str, *, actor: str) -> Flag:
        """End a flag: from then on it says its default; archived twice is no error.

        Raises
        ------
        NotFoundError
            If there is no such flag.
        """
        now = self._clock.now()
        async with self._database.write() as connection:
            flag = await _load(connection, key)
            if flag.archived_at is not None:
                return flag
            archived = replace(flag, archived_at=now, updated_at=now)
            await store.update(connection, archived)
            details = {"default": flag.content.default}
            await self._audit(connection, archived, "archive", actor, details)
        return archived

    async def get(self, key: str) -> Flag:
        """Return one flag, archived or not.

        Raises
        ------
        NotFoundError
            If there is no such flag.
        """
        async with self._database.read() as connection:
            return await _load(connection, key)

    async def list(self, *, with_archived: bool = False) -> list[Flag]:
        """Return flags by key; those that are archived only if they are asked for."""
        async with self._database.read() as connection:
            found = await store.all_of(connection)
        return [each for each in found if with_archived or each.archived_at is None]

    async def history(self, key: str) -> Sequence[audit.Entry]:
        """Return the audit rows of a flag, oldest first."""
        async with self._database.read() as connection:
            return await audit.history(connection, SUBJECT, key)

    async def defaults(self) -> dict[str, FlagValue]:
        """Return every flag's default: what validation runs with, so that it can be repeated."""
        return rules.defaults(await self.list(with_archived=True))

    async def _audit(
        self,
        connection: AsyncConnection,
        flag: Flag,
        action: str,
        actor: str,
        details: dict[str, Any],
    ) -> None:
        await audit.record(
            connection,
            audit.Entry(
                at=flag.updated_at,
                actor=actor,
                subject_type=SUBJECT,
                subject_id=flag.key,
                action=action,
                details=details,
            ),
        )


async def _load(connection: AsyncConnection, key: str) -> Flag:
    flag = await store.get(connection, key)
    if flag is None:
        raise NotFoundError(
            f"there is no flag {key}; GET /flags lists them", field="key", value=key
        )
    return flag


async def _refuse_when_full(connection: AsyncConnection) -> None:
    if await store.count(connection) >= MOST_FLAGS:
        raise ConflictError(
            f"there are {MOST_FLAGS} flags, archived ones too, and each is read for every decision;"
            " use one of them again",
            accepted=MOST_FLAGS,
        )


def _refuse_archived(flag: Flag) -> None:
    if flag.archived_at is not None:
        raise ConflictError(
            f"flag {flag.key} is archived and says its default for ever; make another one",
            field="key",
            value=flag.key,
        )


def _same(existing: Flag, content: Content) -> Flag:
    _refuse_archived(existing)
    if existing.content != content:
        different = ", ".join(_differences(existing.content, content))
        raise ConflictError(
            f"flag {existing.key} exists with other content ({different}); change it with"
            f" PUT /flags/{existing.key}",
            field="key",
            value=existing.key,
        )
    return existing


_CHANGEABLE = tuple(each.name for each in fields(Content) if each.name != "type")


def _check_names(changes: Mapping[str, Any]) -> None:
    unknown = [name for name in changes if name not in _CHANGEABLE]
    if unknown or not changes:
        raise InvalidError(
            f"{', '.join(unknown) or 'nothing'} cannot be changed; of a flag there can be:"
            f" {', '.join(_CHANGEABLE)}",
            field=unknown[0] if unknown else None,
            accepted=list(_CHANGEABLE),
        )


def _told(content: Content) -> dict[str, Any]:
    return {name: _plain(getattr(content, name)) for name in Content.__slots__}


def _differences(one: Content, other: Content) -> dict[str, Any]:
    before, after = _told(one), _told(other)
    return {
        name: {"from": before[name], "to": after[name]}
        for name in before
        if getattr(one, name) != getattr(other, name)
    }


def _plain(value: Any) -> Any:
    match value:
        case tuple():
            return [store.plain_rule(each) for each in value]
        case datetime():
            return value.isoformat()
        case _:
            return value
