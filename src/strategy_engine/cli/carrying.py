"""Carry a plan out, request by request, and follow what it sets going.

Deployments first, so that a running version hands over to the new one; then what is to stop, what
is to start, and last what is pruned. What one version is refused stops nothing of the others.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console

from strategy_engine.cli import board, edge, rules, views, watch
from strategy_engine.cli.planning import AT_WORK, Action, Kind
from strategy_engine.client.problems import NoEngineError
from strategy_engine.core.errors import EngineError, UnavailableError
from strategy_engine.registry.model import Status

if TYPE_CHECKING:
    from strategy_engine.client import model
    from strategy_engine.client.service import Client

PATIENCE_S = 30.0  # an engine that is started again answers within it
RETRY_S = 0.25
POLL_S = 0.5
COMPLETED = "completed"

type Key = tuple[str, str]


class GoesOnError(UnavailableError):
    """A deployment that has not ended when the waiting is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Whether deployments are followed to their end, and for how long at most."""

    waits: bool
    timeout_s: float | None = None


@dataclass(slots=True)
class Carrier:
    """Carries out one plan. `failed` are the versions that did not become what was wanted.

    `going_on` are those whose deployments were waited for and have not ended.
    """

    client: "Client"
    console: Console
    waiting: Waiting
    failed: dict[Key, str] = field(default_factory=dict)
    going_on: set[Key] = field(default_factory=set)
    deployments: dict[Key, "model.Deployment"] = field(default_factory=dict)
    _ids: dict[Key, str] = field(default_factory=dict)
    _open: dict[Key, str] = field(default_factory=dict)

    def carry_out(self, actions: Sequence[Action]) -> None:
        """Do all that a plan says, and tell each thing as it is done."""
        named = [each for each in actions if each.wanted is not None]
        self._all(named, Kind.CREATE, Kind.EDIT, Kind.DEPLOY, Kind.FOLLOW)
        if self.waiting.waits:
            self._follow()
        self._all(named, Kind.STOP)
        self._all(named, Kind.START)
        self._start_what_did_not_take_over(named)
        self._all([each for each in actions if each.wanted is None], Kind.STOP, Kind.ARCHIVE)

    def _all(self, actions: Sequence[Action], *kinds: Kind) -> None:
        for each in actions:
            if each.kind in kinds:
                self._guarded(each)

    def _guarded(self, action: Action) -> None:
        if action.key in self.failed:
            return
        try:
            told = self._do(action)
        except EngineError as error:
            self._fail(action.key, f"{action.kind}: {error}")
            return
        if told:
            self._tell(action.key, told)

    def _do(self, action: Action) -> str:
        acts: dict[Kind, Callable[[Action], str]] = {
            Kind.CREATE: self._create,
            Kind.EDIT: self._edit,
            Kind.DEPLOY: self._deploy,
            Kind.FOLLOW: self._notice,
            Kind.STOP: self._stop,
            Kind.START: self._start,
            Kind.ARCHIVE: self._archive,
        }
        return acts[action.kind](action)

    def _create(self, action: Action) -> str:
        assert action.wanted is not None  # noqa: S101 - what is created is wanted
        made = self.client.create_strategy(_content(action))
        self._ids[action.key] = made["strategy_id"]
        return f"created as {made['strategy_id']}"

    def _edit(self, action: Action) -> str:
        changes = {
            name: value
            for name, value in _content(action).items()
            if name not in {"strategy_name", "version"}
        }
        self.client.edit_strategy(self._id(action), changes)
        return "edited"

    def _deploy(self, action: Action) -> str:
        options = action.wanted.deploy if action.wanted is not None else None
        accepted = self.client.deploy(self._id(action), options or {})
        self._open[action.key] = accepted["pipeline_id"]
        return f"deploying as {accepted['pipeline_id']}"

    def _notice(self, action: Action) -> str:
        self._open[action.key] = action.pipeline_id or ""
        return ""

    def _stop(self, action: Action) -> str:
        if self._line_is_being_deployed(action):
            return "not stopped yet: a deployment takes over from it; apply again"
        if self._status(action) not in AT_WORK:
            return ""  # a deployment of this plan has replaced it
        return self.client.stop(self._id(action))["status"].replace("_", " ")

    def _start(self, action: Action) -> str:
        if action.key in self._open:
            return "not started yet: its deployment goes on; apply again, or use --wait"
        if self._status(action) is Status.RUNNING:
            return ""  # its deployment took over
        config = action.wanted.execution_config if action.wanted is not None else {}
        started = self.client.start(self._id(action), config)
        return f"{started['status'].replace('_', ' ')}: {started['execution_id']}"

    def _archive(self, action: Action) -> str:
        if self._line_is_being_deployed(action):
            return "not archived yet: a deployment takes over from it; apply again"
        self.client.archive_strategy(self._id(action))
        return "archived"

    def _start_what_did_not_take_over(self, actions: Sequence[Action]) -> None:
        """Start what was to take over from a version that ended by itself in the meantime."""
        started = {each.key for each in actions if each.kind is Kind.START}
        for each in actions:
            ended = self.deployments.get(each.key)
            wants = each.wanted is not None and each.wanted.runs and each.key not in started
            is_placed = each.kind in {Kind.DEPLOY, Kind.FOLLOW} and ended is not None
            if wants and is_placed and each.key not in self.failed:
                self._guarded_start(each)

    def _guarded_start(self, action: Action) -> None:
        try:
            if self._status(action) is Status.DEPLOYED:
                self._tell(action.key, self._start(action))
        except EngineError as error:
            self._fail(action.key, f"start: {error}")

    # -- following

    def _follow(self) -> None:
        timeout_s = self.waiting.timeout_s
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        for key, pipeline_id in list(self._open.items()):
            self._tell(key, f"{pipeline_id}:")
            try:
                ended = watch.follow(
                    self._asking(pipeline_id, deadline), self.console, poll_s=POLL_S
                )
            except GoesOnError as error:
                self.going_on.add(key)
                edge.complain(f"{' '.join(key)}: {error}")
                continue
            except EngineError as error:
                self._fail(key, str(error))
                continue
            del self._open[key]
            self.deployments[key] = ended
            if ended["status"] != COMPLETED:
                self._fail(key, board.why_failed(ended))
            else:
                self._tell(key, ended.get("message") or COMPLETED)

    def _asking(self, pipeline_id: str, deadline: float | None) -> "Callable[[], model.Deployment]":
        def ask() -> "model.Deployment":
            found = self._patiently(pipeline_id)
            is_late = deadline is not None and time.monotonic() >= deadline
            if is_late and not watch.has_ended(found):
                raise GoesOnError(
                    f"{pipeline_id} is {found['status']} after {self.waiting.timeout_s:g} s; it"
                    " goes on, and the next apply follows it"
                )
            return found

        return ask

    def _patiently(self, pipeline_id: str) -> "model.Deployment":
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self.client.deployment(pipeline_id)
            except NoEngineError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(RETRY_S)

    # -- what is known

    def _id(self, action: Action) -> str:
        return action.strategy_id or self._ids[action.key]

    def _status(self, action: Action) -> Status:
        return Status(self.client.strategy(self._id(action))["status"])

    def _line_is_being_deployed(self, action: Action) -> bool:
        return any(name == action.name for name, _ in self._open)

    def _tell(self, key: Key, what: str) -> None:
        self.console.print(views.text(f"{' '.join(key)}: {what}"))

    def _fail(self, key: Key, why: str) -> None:
        self.failed[key] = why
        edge.complain(f"{' '.join(key)}: {rules.printable(why)}")


def told(carrier: Carrier) -> Iterator[dict[str, Any]]:
    """Return how each deployment that was followed ended, for another program."""
    for (name, version), ended in carrier.deployments.items():
        yield {"strategy_name": name, "version": version, **ended}


def _content(action: Action) -> dict[str, Any]:
    assert action.wanted is not None  # noqa: S101 - what is created or edited is wanted
    content = action.wanted.content
    return {
        "strategy_name": content.strategy_name,
        "version": content.version,
        "code": content.code,
        "parameters": content.parameters,
        "risk_limits": content.risk_limits,
        "tests": content.tests,
    }
