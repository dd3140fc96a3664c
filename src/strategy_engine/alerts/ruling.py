"""Rules: made, changed, switched off, removed; what an ended rule has raised ends with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.alerts import channel_store, moves, rule_store, rulebook, store, wording
from strategy_engine.alerts.model import State, Trigger
from strategy_engine.alerts.rules import Rule
from strategy_engine.core import ids
from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import ConflictError, InvalidError, NotFoundError
from strategy_engine.infra import audit
from strategy_engine.infra.database import Database

SUBJECT = "alert_rule"
PREFIX = "rule"
MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Rules as doors see them."""

    database: Database
    clock: Clock

    async def list(self) -> Sequence[Rule]:
        """Return every rule: the built-in ones first, then the others by their age."""
        async with self.database.read() as connection:
            return await rulebook.every(connection)

    async def get(self, rule_id: str) -> Rule:
        """Return one rule.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        async with self.database.read() as connection:
            return await _known(connection, rule_id)

    async def create(self, content: Mapping[str, Any], *, actor: str) -> Rule:
        """Make a rule.

        Raises
        ------
        InvalidError
            With the field that is wrong, and what is accepted.
        ConflictError
            If there are too many.
        """
        rule = wording.rule(content, rule_id=ids.new_id(PREFIX))
        if rule.threshold is None and rule.match is None:
            raise _without_condition()
        async with self.database.write() as connection:
            if len(await rulebook.every(connection)) >= MOST:
                raise ConflictError(f"there are {MOST} rules, which is the most; remove one")
            return await self._put(connection, rule, "create", actor)

    async def put(self, rule_id: str, content: Mapping[str, Any], *, actor: str) -> Rule:
        """Change a rule to what is said; a built-in one keeps its condition.

        Raises
        ------
        NotFoundError
            If there is none.
        InvalidError
            With the field that is wrong, and what is accepted.
        """
        async with self.database.write() as connection:
            before = await _known(connection, rule_id)
            rule = _changed(before, content)
            after = await self._put(connection, rule, "update", actor)
            if not after.is_enabled or after.threshold != before.threshold:
                await self._end_alerts(connection, rule_id, actor, "its rule was changed")
        return after

    async def remove(self, rule_id: str, *, actor: str) -> Rule:
        """Remove a rule; a built-in one is then as it was made.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        async with self.database.write() as connection:
            rule = await _known(connection, rule_id)
            await rule_store.remove(connection, rule_id)
            await self._audit(connection, rule, "remove", actor)
            if not rule.is_built_in:
                await self._end_alerts(connection, rule_id, actor, "its rule was removed")
        return rulebook.built_in(rule_id) or rule

    async def _put(self, connection: AsyncConnection, rule: Rule, action: str, actor: str) -> Rule:
        known = {each.channel_id for each in await channel_store.active(connection)}
        for each in rule.channels or ():
            if each not in known:
                raise InvalidError(
                    f"there is no channel {each[:60]!r}; GET /alerts/channels lists them",
                    field="channels",
                    value=each[:60],
                    accepted=sorted(known),
                )
        await rule_store.put(connection, rulebook.row_of(rule, actor=actor, now=self.clock.now()))
        await self._audit(connection, rule, action, actor)
        return await _known(connection, rule.rule_id)

    async def _end_alerts(
        self, connection: AsyncConnection, rule_id: str, actor: str, why: str
    ) -> None:
        now: datetime = self.clock.now()
        found = await store.open_of_rules(connection, [rule_id])
        for alert in found.get(rule_id, ()):
            is_told = alert.state is not State.PENDING
            trigger = Trigger.RESOLVE if is_told else Trigger.LAPSE
            await moves.moved(connection, alert, trigger, at=now, actor=actor, why=why)

    async def _audit(
        self, connection: AsyncConnection, rule: Rule, action: str, actor: str
    ) -> None:
        entry = audit.Entry(
            at=self.clock.now(),
            actor=actor,
            subject_type=SUBJECT,
            subject_id=rule.rule_id,
            action=action,
            details={"rule": wording.plain(rule)},
        )
        await audit.record(connection, entry)


def _changed(before: Rule, content: Mapping[str, Any]) -> Rule:
    if not before.is_built_in:
        rule = wording.rule(content, rule_id=before.rule_id)
        if rule.threshold is None and rule.match is None:
            raise _without_condition()
        return rule
    for name in ("metric", "event"):
        if content.get(name) is not None:
            raise InvalidError(
                f"the condition of the built-in rule {before.rule_id} stays as it is; switch it"
                " off, and make one of your own",
                field=name,
                value=before.rule_id,
            )
    built_in = rulebook.built_in(before.rule_id) or before
    given = {"name": built_in.name, "severity": built_in.severity.value, **content}
    rule = wording.rule(given, rule_id=before.rule_id)
    return replace(rule, threshold=before.threshold, match=before.match, is_built_in=True)


def _without_condition() -> InvalidError:
    return InvalidError(
        "a rule needs a condition: metric, such as"
        ' {"scope": "execution", "name": "max_drawdown", "below": -0.1}, or event, such as'
        ' {"topic": "strategy.error"}',
        field="metric",
        accepted=["metric", "event"],
    )


async def _known(connection: AsyncConnection, rule_id: str) -> Rule:
    rule = await rulebook.get(connection, rule_id)
    if rule is None:
        raise NotFoundError(
            f"no rule {rule_id[:60]!r}; GET /alerts/rules lists those that exist",
            field="rule_id",
            value=rule_id[:60],
        )
    return rule
