"""What has to be done so that an engine becomes what a manifest wants. Pure.

A plan is told before it is carried out, and carried out it plans nothing more. Where a person or
the engine itself has decided (a pause, a rejection, a rollback), a manifest does not decide again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from strategy_engine.cli.manifest import Wanted
from strategy_engine.registry.model import LIVE, Content, Status


class Kind(StrEnum):
    """One thing to do, or why nothing is done."""

    CREATE = "create"
    EDIT = "edit"
    DEPLOY = "deploy"
    FOLLOW = "follow"
    START = "start"
    STOP = "stop"
    ARCHIVE = "archive"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"


CHANGES = frozenset(Kind) - {Kind.UNCHANGED, Kind.CONFLICT, Kind.FOLLOW}
AT_WORK = frozenset({Status.RUNNING, Status.PAUSED})
COMPLETED = "completed"
CARRIED_ON = "start_ns"  # no request sets it
ROLLED_BACK, REJECTED, ABORTED = "rolled_back", "rejected", "aborted"


TRIED = frozenset({"shadow", "candidate"})
_TOLD = frozenset({"deployment_type", "approval_required", "validation_criteria"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LastDeployment:
    """The newest deployment of a version. `is_open`: it has not ended."""

    pipeline_id: str
    status: str
    is_open: bool
    outcome: str | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastExecution:
    """The newest execution of a version, and why it ended, if it has."""

    execution_id: str
    config: Mapping[str, Any] = field(default_factory=dict)
    end_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A version as the engine has it. `content` None: nobody asked for it.

    `newest_role` is that of its newest execution: one that a rollout took back stayed a candidate.
    """

    strategy_id: str
    name: str
    version: str
    status: Status
    content: Content | None = None
    deployment: LastDeployment | None = None
    execution: LastExecution | None = None
    newest_role: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Return what names a version: its line and its number."""
        return self.name, self.version

    @property
    def was_taken_back(self) -> bool:
        """Return whether it traded for a rollout only."""
        return self.status is Status.STOPPED and self.newest_role in TRIED


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing to do with a version, in words; `strategy_id` None: it is to be created."""

    kind: Kind
    name: str
    version: str
    detail: str = ""
    strategy_id: str | None = None
    pipeline_id: str | None = None
    wanted: Wanted | None = field(default=None, repr=False)

    @property
    def key(self) -> tuple[str, str]:
        """Return what names a version: its line and its number."""
        return self.name, self.version


def plan(
    wanted: Sequence[Wanted], observed: Iterable[Observed], *, prune: bool = False
) -> list[Action]:
    """Return what is to be done, version by version; what is pruned comes last.

    Without `prune` what the manifest does not name is left alone.
    """
    known = {each.key: each for each in observed}
    stopped = {each.key for each in wanted if each.runs is False}
    actions: list[Action] = []
    for each in wanted:
        others = [
            other
            for other in known.values()
            if other.name == each.key[0] and other.key != each.key and other.status in AT_WORK
        ]
        actions += _Version(
            wanted=each,
            found=known.get(each.key),
            others=others,
            stay=[other for other in others if other.key not in stopped],
        ).actions()
    if prune:
        named = {each.key for each in wanted}
        for other in known.values():
            actions += [] if other.key in named else _pruned(other)
    return actions


def has_changes(actions: Iterable[Action]) -> bool:
    """Say whether a plan would change anything."""
    return any(each.kind in CHANGES for each in actions)


def conflicts(actions: Iterable[Action]) -> list[Action]:
    """Return what forbids a plan."""
    return [each for each in actions if each.kind is Kind.CONFLICT]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    wanted: Wanted
    found: Observed | None
    others: list[Observed]  # versions of the line that run or are paused
    stay: list[Observed]  # those of them that the manifest does not stop

    def actions(self) -> list[Action]:
        found, wanted = self.found, self.wanted
        if found is None:
            return [self._do(Kind.CREATE, _size(wanted.content)), *self._placed("")]
        changed = _changed(found.content, wanted.content)
        if changed and found.status is not Status.DRAFT:
            return [self._refuse(_immutable(found, changed))]
        if found.status is Status.ERROR:
            why = "it is in error; see its executions, then POST /strategies/{id}/reset"
            return [self._refuse(why.format(id=found.strategy_id))]
        if (decided := self._decided(found)) and not changed:
            return [self._refuse(decided)]
        if changed:
            edit = self._do(Kind.EDIT, ", ".join(changed))
            return [edit, *self._placed("its content changes")]
        return self._as_it_is(found) or [self._do(Kind.UNCHANGED, _standing(found, wanted))]

    def _as_it_is(self, found: Observed) -> list[Action]:
        last = found.deployment
        if last is not None and last.is_open and self.wanted.deploy is not None:
            told = f"{last.pipeline_id} is {last.status}"
            follow = self._do(Kind.FOLLOW, told, pipeline_id=last.pipeline_id)
            return [follow, *self._started(after_deployment=True)]
        if found.status in {Status.DRAFT, Status.APPROVED}:
            return self._placed(_why_again(found))
        return self._run_as_wanted(found)

    def _run_as_wanted(self, found: Observed) -> list[Action]:
        if found.status in AT_WORK and self.wanted.runs is False:
            return [self._do(Kind.STOP, f"it is {found.status}")]
        if found.status is Status.STOPPED and self.wanted.runs:
            return self._again(found)
        if found.status is Status.DEPLOYED and self.wanted.runs:
            if self.stay:
                return [self._refuse(f"{_named(self.stay)} of its line is at work; stop it")]
            return self._started()
        return []

    def _again(self, found: Observed) -> list[Action]:
        if self.stay:  # of two versions one runs: this one takes over as it is deployed
            return self._placed("it was stopped")
        last = found.execution
        is_same = last is None or not _differences(last.config, self.wanted.execution_config)
        if last is not None and last.end_reason == COMPLETED and is_same:
            told = f"{last.execution_id} came to the end of its data; `strategy-engine start` runs"
            return [self._do(Kind.UNCHANGED, f"{told} it again")]
        return self._started()

    def _placed(self, why: str) -> list[Action]:
        if self.wanted.deploy is None:
            return []
        parts = [_options(self.wanted.deploy), why]
        if self.others:
            parts.append(f"takes over from {_named(self.others)}")
        deploy = self._do(Kind.DEPLOY, "; ".join(each for each in parts if each))
        return [deploy, *self._started(after_deployment=True)]

    def _started(self, *, after_deployment: bool = False) -> list[Action]:
        if not self.wanted.runs or (after_deployment and self.others):
            return []  # whoever takes over runs by that
        config = self.wanted.execution_config
        told = ", ".join(f"{name} {value}" for name, value in config.items())
        return [self._do(Kind.START, told or "as its parameters say")]

    def _decided(self, found: Observed) -> str:
        last = found.deployment
        if last is None or last.is_open or self.wanted.deploy is None:
            return ""
        if last.outcome == ROLLED_BACK and found.status not in LIVE:
            return _stays_decided(f"{last.pipeline_id} was rolled back", last.message)
        if last.outcome == ABORTED and found.was_taken_back:
            return _stays_decided(f"{last.pipeline_id} was aborted", last.message)
        if last.outcome == REJECTED and found.status is Status.APPROVED:
            return _stays_decided(f"{last.pipeline_id} was rejected by a person", last.message)
        return ""

    def _do(self, kind: Kind, detail: str, pipeline_id: str | None = None) -> Action:
        name, version = self.wanted.key
        return Action(
            kind=kind,
            name=name,
            version=version,
            detail=detail,
            strategy_id=None if self.found is None else self.found.strategy_id,
            pipeline_id=pipeline_id,
            wanted=self.wanted,
        )

    def _refuse(self, why: str) -> Action:
        return self._do(Kind.CONFLICT, why)


def _pruned(found: Observed) -> list[Action]:
    def do(kind: Kind, detail: str) -> Action:
        return Action(
            kind=kind,
            name=found.name,
            version=found.version,
            detail=detail,
            strategy_id=found.strategy_id,
        )

    if found.deployment is not None and found.deployment.is_open:
        pipeline_id, status = found.deployment.pipeline_id, found.deployment.status
        return [do(Kind.CONFLICT, f"not named, and {pipeline_id} deploys it ({status})")]
    stop = [do(Kind.STOP, f"not named; it is {found.status}")] if found.status in AT_WORK else []
    return [*stop, do(Kind.ARCHIVE, "not named by the manifest")]


def _changed(found: Content | None, wanted: Content) -> list[str]:
    if found is None:
        return []
    names = ("code", "parameters", "risk_limits", "tests")
    return [name for name in names if getattr(found, name) != getattr(wanted, name)]


def _differences(config: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    if CARRIED_ON in config:
        return []  # a rollout went on with the config and the capital of the version before
    return [
        f"{name} {config.get(name)}, not {value}"
        for name, value in wanted.items()
        if value is not None and config.get(name) != value
    ]


def _immutable(found: Observed, changed: list[str]) -> str:
    return (
        f"it is {found.status} as {found.strategy_id} with other {', '.join(changed)}: what was"
        " tested is immutable; raise the version"
    )


def _stays_decided(what: str, why: str) -> str:
    told = f" ({why})" if why else ""
    return f"{what}{told}; raise the version, or deploy this one by hand"


def _why_again(found: Observed) -> str:
    last = found.deployment
    if last is None or last.is_open:
        return f"it is {found.status}"
    return f"{last.pipeline_id} ended {last.outcome or last.status}"


def _standing(found: Observed, wanted: Wanted) -> str:
    last = found.execution
    if found.status is Status.PAUSED:
        return "paused; who paused it resumes it"
    if found.status is not Status.RUNNING or last is None:
        return found.status.value
    told = f"running as {last.execution_id}"
    if other := _differences(last.config, wanted.execution_config):
        told += f" with {', '.join(other)}: what the manifest says is for its next start"
    return told


def _options(deploy: Mapping[str, Any]) -> str:
    told = [str(deploy.get("deployment_type", "direct"))]
    if deploy.get("approval_required"):
        told.append("waits for approval")
    criteria = deploy.get("validation_criteria") or {}
    told += [f"{name} {value}" for name, value in criteria.items()]
    told += [
        f"{name} {_plain(value)}"
        for name, value in deploy.items()
        if name not in _TOLD and value not in (None, [], {})
    ]
    return ", ".join(told)


def _plain(value: Any) -> str:
    match value:
        case list():
            return " → ".join(map(_plain, value))
        case Mapping():
            return " ".join(f"{name} {_plain(each)}" for name, each in value.items())
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def _named(others: list[Observed]) -> str:
    return ", ".join(f"{each.version} ({each.status})" for each in others)


def _size(content: Content) -> str:
    lines = content.code.count("\n") + 1
    parts = [f"{lines} lines of code"]
    parts += [f"{len(content.parameters)} parameters"] if content.parameters else []
    parts += [f"{len(content.tests)} test files"] if content.tests else []
    return ", ".join(parts)
