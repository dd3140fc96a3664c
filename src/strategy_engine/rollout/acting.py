"""What people do to deployments: carried out in one transaction, or only told beforehand."""

from typing import Any

from strategy_engine.core.errors import NotFoundError
from strategy_engine.execution.model import UNENDED, Role
from strategy_engine.execution.service import Executions
from strategy_engine.infra import logs
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.registry.model import ARROWS, LIVE, Trigger
from strategy_engine.rollout import effects, plans, verbs
from strategy_engine.rollout.effects import Acted, Holder
from strategy_engine.rollout.journal import Journal
from strategy_engine.rollout.model import Deployment, State
from strategy_engine.rollout.verbs import Asked, Standing, Verb
from strategy_engine.venue.service import Records

_log = logs.get("rollout")


class Acting:
    """Verbs on deployments; one that begins a deployment anew is the caller's."""

    def __init__(self, *, journal: Journal, executions: Executions, records: Records) -> None:
        self._journal = journal
        self._registry = journal.registry
        self._executions = executions
        self._records = records

    async def act(self, pipeline_id: str, verb: Verb, asked: Asked) -> Acted:
        """Carry a verb out, durably; whoever carries the rollout on sees it at its next look.

        It returns what the verb does too, unless the ledger cannot be read now.

        Raises
        ------
        NotFoundError
            If there is no such deployment.
        ConflictError
            If it cannot be done now; it says what can.
        """
        known = await self._journal.get(pipeline_id)
        standing, gone = await self._standing(known, verb), await self._gone(known)
        holders = await self._seen(known)
        told: dict[str, Any] = {}
        before = known

        def change(now: Deployment) -> Deployment:
            nonlocal before
            before, after = now, verbs.after(now, verb, asked, standing)
            told.update(_details(now, after, asked))  # of the instant that it is decided at
            return after

        after = await self._journal.revise(
            pipeline_id, change, actor=asked.actor, action=verb.value, details=told
        )
        does = None if holders is None else effects.of(verb, before, after, holders, gone=gone)
        return Acted(deployment=after, effects=does)

    async def foresee(self, pipeline_id: str, verb: Verb, asked: Asked) -> Acted:
        """Return a deployment as it is, with what a verb would do to positions and orders.

        Raises
        ------
        NotFoundError, ConflictError
            As `act` does.
        """
        before = await self._journal.get(pipeline_id)
        standing = await self._standing(before, verb)
        after = verbs.after(before, verb, asked, standing)
        holders, gone = await self._holders(before), await self._gone(before)
        would = effects.of(verb, before, after, holders, gone=gone)
        return Acted(deployment=before, effects=would, is_dry=True)

    async def _standing(self, deployment: Deployment, verb: Verb) -> Standing:
        if verb is not Verb.ROLLBACK or deployment.state is not State.COMPLETED:
            return verbs.NOTHING_KNOWN
        return Standing(
            superseded=await self._superseded(deployment), gone=await self._gone(deployment)
        )

    async def _superseded(self, deployment: Deployment) -> str:
        progress = deployment.progress
        known = {progress.candidate, progress.baseline, *deployment.replaces}
        for version in await self._registry.line(deployment.strategy_name):
            for each in await self._executions.unended_of(version.strategy_id):
                if each.role is not Role.SHADOW and each.execution_id not in known:
                    return (
                        f"{each.execution_id} of version {version.content.version} has capital of"
                        " the line since"
                    )
        return ""

    async def _gone(self, deployment: Deployment) -> str:
        replaced = await self._executions.get_many(deployment.replaces)
        if not replaced:
            return "no execution of the version before is known any more"
        last = replaced[-1]
        if last.status in UNENDED:
            return ""
        try:
            status = (await self._registry.get(last.strategy_id)).status
        except NotFoundError as error:
            return str(error)
        if status in LIVE or (status, Trigger.START) in ARROWS:
            return ""
        return f"the version before it, {last.strategy_id}, is {status} and cannot be started"

    async def _seen(self, deployment: Deployment) -> list[Holder] | None:
        try:
            return await self._holders(deployment)
        except DatabaseAwayError as error:  # whoever wants to undo a rollout does so all the same
            _log.warning("effects not known", why=str(error))
            return None

    async def _holders(self, deployment: Deployment) -> list[Holder]:
        progress = deployment.progress
        names = [*deployment.replaces, progress.candidate, progress.baseline]
        found = await self._executions.get_many([each for each in names if each])
        known = [each.execution_id for each in found]
        accounts, held = await self._records.accounts(known), await self._records.holdings(known)
        return [
            Holder(
                execution=each,
                account=accounts.get(each.execution_id),
                positions=held[each.execution_id],
            )
            for each in found
        ]


def _details(before: Deployment, after: Deployment, asked: Asked) -> dict[str, Any]:
    """Return what the audit row of a verb keeps."""
    steps, index = plans.from_plain(before.plan), before.progress.index
    told: dict[str, Any] = {"comment": asked.comment, "is_unchecked": asked.is_local}
    if before.state is State.ROLLING_OUT and index < len(steps):
        told |= {"step": steps[index].name, "weight": steps[index].weight}
    skipped = after.progress.skipped[len(before.progress.skipped) :]
    if skipped:
        told["skipped"] = [steps[each].name for each in skipped]
    undo = after.progress.undo
    if undo is not None:
        told |= {"reason": undo.reason, "message": undo.why}
    return told
