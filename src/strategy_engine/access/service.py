"""Keys: made, listed, revoked, and turned into who asks."""

import asyncio
import contextlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.access import store, tokens
from strategy_engine.access.model import (
    ENGINE_KEY,
    LOCAL,
    Key,
    Principal,
    Role,
    UnauthorizedError,
)
from strategy_engine.access.tokens import Token
from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import ConflictError, InvalidError, NotFoundError
from strategy_engine.infra import audit
from strategy_engine.infra.database import Database
from strategy_engine.infra.outages import DatabaseAwayError

SUBJECT = "api_key"
REMEMBERED_S = 1.0  # how long a revoked key may still open a door
_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A new key, and its text: nobody can show it again."""

    key: Key
    token: Token


class Keys:
    """Who may in. With no key at all, whoever reaches the engine is `local` and may everything.

    Parameters
    ----------
    engine_key : str or None
        `STRATEGY_API_KEY`: an administrator's, that no table holds.
    """

    def __init__(self, database: Database, clock: Clock, *, engine_key: str | None = None) -> None:
        self._database = database
        self._clock = clock
        self._engine_key = None if engine_key is None else engine_key.encode()
        self._known: dict[str, Key] = {}
        self._known_at: float | None = None

    async def create(self, name: str, role: Role, *, actor: str) -> Made:
        """Make a key.

        Raises
        ------
        InvalidError
            If the name is empty, too long or not printable.
        ConflictError
            If it would be the only key and no administrator's: nobody could make another.
        """
        _check_name(name)
        token = tokens.make()
        key = Key(
            key_id=token.key_id,
            name=name,
            role=role,
            secret_hash=tokens.hashed(token.secret),
            created_at=self._clock.now(),
            created_by=actor,
        )
        async with self._database.write() as connection:
            if role is not Role.ADMIN and not await self._has_admin(connection):
                raise ConflictError(
                    f"the first key must be an administrator's, not a {role}'s: from then on every"
                    " request needs a key, and nobody could make another; use --role admin",
                    field="role",
                    value=role.value,
                    accepted=[Role.ADMIN.value],
                )
            await store.insert(connection, key)
            await self._audit(connection, key, "create", actor)
        self._known_at = None
        return Made(key=key, token=token)

    async def revoke(self, key_id: str, *, actor: str) -> Key:
        """End a key; ended twice is no error.

        Raises
        ------
        NotFoundError
            If there is none.
        ConflictError
            If it is the last administrator's while others are in use.
        """
        async with self._database.write() as connection:
            key = await store.get(connection, key_id)
            if key is None:
                raise NotFoundError(f"there is no key {key_id}; GET /keys lists them", value=key_id)
            if key.revoked_at is None:
                await self._refuse_last_admin(connection, key)
                await store.revoke(connection, key_id, self._clock.now())
                await self._audit(connection, key, "revoke", actor)
            found = await store.get(connection, key_id)
        self._known_at = None
        return found or key

    async def list(self) -> list[Key]:
        """Return every key there ever was, oldest first, without secrets."""
        async with self._database.read() as connection:
            return await store.all_of(connection)

    async def are_in_use(self) -> bool:
        """Say whether a request needs a key here; what was known last, without the database."""
        try:
            return self._engine_key is not None or bool(await self._active())
        except DatabaseAwayError:
            return bool(self._known)

    async def identify(self, given: str | None) -> Principal:
        """Return who asks with this text; with no key in use, whoever asks is `local`.

        Raises
        ------
        UnauthorizedError
            If keys are in use, and this is none of them.
        """
        return self._identified(given, await self._active())

    async def identify_at_once(self, given: str | None) -> Principal:
        """Return who asks by the keys that were known last; the database is asked if none are his.

        For what must be done while the database is away: a key that was revoked a moment ago, or
        while it is away, still opens this.

        Raises
        ------
        UnauthorizedError
            If keys are in use, and this is none of them.
        """
        is_engines = given is not None and self._is_engine_key(given)
        if is_engines or self._known_at is not None:
            with contextlib.suppress(UnauthorizedError):
                return self._identified(given, self._known)
        return await self.identify(given)

    async def watch(self) -> None:
        """Know the keys by heart, for ever, so that some doors need no database."""
        while True:
            with contextlib.suppress(DatabaseAwayError):
                await self._active()
            await asyncio.sleep(REMEMBERED_S)

    def _is_engine_key(self, given: str) -> bool:
        return self._engine_key is not None and hmac.compare_digest(
            given.encode(), self._engine_key
        )

    def _identified(self, given: str | None, active: Mapping[str, Key]) -> Principal:
        if self._engine_key is None and not active:
            return LOCAL
        if given is not None:
            if self._is_engine_key(given):
                return ENGINE_KEY
            token = tokens.parse(given)
            key = None if token is None else active.get(token.key_id)
            if token and key and tokens.matches(token.secret, key.secret_hash):
                return key.principal
        raise UnauthorizedError(
            "this engine wants a key; send it as the header `Authorization: Bearer KEY`"
        )

    async def _active(self) -> dict[str, Key]:
        now = self._clock.monotonic_s()
        if self._known_at is None or now - self._known_at > REMEMBERED_S:
            async with self._database.read() as connection:
                found = await store.all_of(connection)
            self._known = {each.key_id: each for each in found if each.revoked_at is None}
            self._known_at = now
        return self._known

    async def _has_admin(self, connection: AsyncConnection) -> bool:
        if self._engine_key is not None:
            return True
        return any(
            each.role is Role.ADMIN and each.revoked_at is None
            for each in await store.all_of(connection)
        )

    async def _refuse_last_admin(self, connection: AsyncConnection, key: Key) -> None:
        if self._engine_key is not None or key.role is not Role.ADMIN:
            return
        active = [each for each in await store.all_of(connection) if each.revoked_at is None]
        others = [each for each in active if each.key_id != key.key_id]
        if others and not any(each.role is Role.ADMIN for each in others):
            raise ConflictError(
                f"{key.key_id} is the last administrator's key while {len(others)} others are in"
                " use; make another administrator's first, or revoke those",
                value=key.key_id,
            )

    async def _audit(self, connection: AsyncConnection, key: Key, action: str, actor: str) -> None:
        await audit.record(
            connection,
            audit.Entry(
                at=self._clock.now(),
                actor=actor,
                subject_type=SUBJECT,
                subject_id=key.key_id,
                action=action,
                details={"name": key.name, "role": key.role.value},
            ),
        )


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise InvalidError(
            f"name is {name[:_LONGEST_NAME]!r}; it must be 1 to {_LONGEST_NAME} printable"
            " characters",
            field="name",
            value=name[:_LONGEST_NAME],
        )
