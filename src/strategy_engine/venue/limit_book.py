"""The limits of lines, accounts and the engine: set and lifted, each with an audit row."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import InvalidError, NotFoundError
from strategy_engine.infra import audit
from strategy_engine.infra.database import Database
from strategy_engine.venue import limit_store, limits
from strategy_engine.venue.limit_store import Setting
from strategy_engine.venue.limits import Scope
from strategy_engine.venue.oversight import SHARED

SUBJECT = "risk_limits"
WHOLE = ""
_LONGEST_SUBJECT = 100
_LONGEST_AUDITED = 60  # characters of a subject in the audit log; its details have the whole


class LimitBook:
    """What nodes hold their executions to beside what versions and executions say themselves.

    Parameters
    ----------
    poke : callable
        Hints to the nodes that limits have changed; whether they hear does not matter.
    """

    def __init__(self, database: Database, clock: Clock, poke: Callable[[], None]) -> None:
        self._database = database
        self._clock = clock
        self._poke = poke

    async def list(self) -> Sequence[Setting]:
        """Return everything that is set, by scope and subject."""
        async with self._database.read() as connection:
            return await limit_store.all_of(connection)

    async def put(
        self, scope: Scope, subject: str, given: Mapping[str, Any], *, actor: str, why: str
    ) -> Setting:
        """Set the limits of a line, an account or the engine, in place of all those before.

        Raises
        ------
        InvalidError
            If the scope has no limits here, or a limit makes no sense.
        """
        checked = limits.parse(given)
        setting = Setting(
            scope=scope,
            subject=_subject(scope, subject),
            limits=checked.to_plain(),
            actor=actor,
            why=why,
            updated_at=self._clock.now(),
        )
        async with self._database.write() as connection:
            before = await limit_store.get(connection, scope, setting.subject)
            await limit_store.put(connection, setting)
            await _audit(connection, setting, before, "set")
        self._poke()
        return setting

    async def delete(self, scope: Scope, subject: str, *, actor: str, why: str) -> Setting:
        """Lift every limit of a line, an account or the engine; return what was set.

        Raises
        ------
        NotFoundError
            If nothing is set.
        """
        async with self._database.write() as connection:
            before = await limit_store.get(connection, scope, _subject(scope, subject))
            if before is None:
                raise NotFoundError(
                    f"no limits are set of {scope} {subject}; GET /risk/limits lists what is",
                    field="subject",
                    value=subject,
                )
            await limit_store.delete(connection, scope, before.subject)
            lifted = Setting(
                scope=scope,
                subject=before.subject,
                limits={},
                actor=actor,
                why=why,
                updated_at=self._clock.now(),
            )
            await _audit(connection, lifted, before, "lift")
        self._poke()
        return before


def _subject(scope: Scope, subject: str) -> str:
    if scope not in SHARED:
        raise InvalidError(
            f"the limits of a {scope} are its own: those of a version are in its risk_limits, those"
            " of an execution in its execution_config",
            field="scope",
            value=scope.value,
            accepted=[each.value for each in SHARED],
        )
    if scope is Scope.ENGINE:
        return WHOLE
    if not 0 < len(subject) <= _LONGEST_SUBJECT or not subject.isprintable():
        raise InvalidError(
            f"subject is {subject!r}; it must be 1 to {_LONGEST_SUBJECT} printable characters",
            field="subject",
            value=subject,
        )
    return subject


async def _audit(
    connection: AsyncConnection, now: Setting, before: Setting | None, action: str
) -> None:
    subject = f"{now.scope} {now.subject}".strip()
    entry = audit.Entry(
        at=now.updated_at,
        actor=now.actor,
        subject_type=SUBJECT,
        subject_id=subject[:_LONGEST_AUDITED],
        action=action,
        details={
            "subject": subject,
            "why": now.why,
            "from": {} if before is None else dict(before.limits),
            "to": dict(now.limits),
        },
    )
    await audit.record(connection, entry)
