"""A synchronous client of one engine: a method a request, problems raised as one-line errors."""

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, BinaryIO, Self
from urllib.parse import quote

import httpx

from strategy_engine.client import address, capital, model, problems, rollout_model
from strategy_engine.client.alerting import Alerting, Told, read_stream

TIMEOUT_S = 30.0
_SILENCE_S = 60.0  # a stream says every 15 s that it is still there


class Client:
    """Talks to the engine at `url`. Use it as a context manager, or close it.

    Parameters
    ----------
    api_key : str, optional
        Sent as a bearer token.
    transport : httpx.BaseTransport, optional
        What carries the requests, where it is not the network.

    Raises
    ------
    InvalidError
        If the URL is none.
    NoEngineError
        From every method, if no engine answers.
    RefusedError
        From every method, if the engine refuses the request; it carries the problem's facts.
    """

    def __init__(
        self,
        url: str = address.DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = address.base_url(url)
        self._timeout_s = timeout_s
        self._http = httpx.Client(
            base_url=self.url,
            headers=_authorization(api_key),
            timeout=timeout_s,
            transport=transport,
            # A proxy of the environment is for other machines than this one.
            trust_env=not address.is_loopback(address.host_of(self.url)),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def health(self) -> model.Health:
        """Return how the engine is."""
        answer: model.Health = self._ask("GET", "/health", accepted=(503,))
        return answer

    def create_strategy(self, content: Mapping[str, Any]) -> model.Created:
        """Register a version; the same content again answers the id it has."""
        answer: model.Created = self._ask("POST", "/strategies", body=content)
        return answer

    def strategies(
        self,
        *,
        status: str | None = None,
        name: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> model.Strategies:
        """Return registered versions, newest first; `name` finds every name that holds it."""
        query = {"status": status, "name": name, "limit": limit, "offset": offset or None}
        answer: model.Strategies = self._ask("GET", "/strategies", query=query)
        return answer

    def strategy(self, strategy_id: str) -> model.WholeStrategy:
        """Return one version whole."""
        answer: model.WholeStrategy = self._ask("GET", f"/strategies/{_part(strategy_id)}")
        return answer

    def edit_strategy(self, strategy_id: str, changes: Mapping[str, Any]) -> model.Changed:
        """Replace parts of a draft's content."""
        path = f"/strategies/{_part(strategy_id)}"
        answer: model.Changed = self._ask("PUT", path, body=changes)
        return answer

    def archive_strategy(self, strategy_id: str) -> model.Changed:
        """Take a version out of sight; its record stays."""
        answer: model.Changed = self._ask("DELETE", f"/strategies/{_part(strategy_id)}")
        return answer

    def deploy(self, strategy_id: str, options: Mapping[str, Any]) -> model.Accepted:
        """Ask for a version to be validated and deployed; it goes on after the answer."""
        path = f"/strategies/{_part(strategy_id)}/deploy"
        answer: model.Accepted = self._ask("POST", path, body=options)
        return answer

    def deployment(self, pipeline_id: str) -> model.Deployment:
        """Return how far a deployment is, and what its stages found."""
        answer: model.Deployment = self._ask("GET", f"/deployments/{_part(pipeline_id)}/status")
        return answer

    def deployments(self, *, strategy_id: str | None = None, limit: int = 10) -> model.Deployments:
        """Return deployments, newest first; those of one version, if it is named."""
        query = {"strategy_id": strategy_id, "limit": limit}
        answer: model.Deployments = self._ask("GET", "/deployments", query=query)
        return answer

    def deployment_events(self, pipeline_id: str) -> rollout_model.Events:
        """Return what happened to a deployment, oldest first."""
        path = f"/deployments/{_part(pipeline_id)}/events"
        answer: rollout_model.Events = self._ask("GET", path)
        return answer

    def approve(self, pipeline_id: str, *, comment: str = "") -> rollout_model.Acted:
        """Let a deployment that asked for approval go on."""
        return self.act(pipeline_id, "approve", comment=comment)

    def reject(self, pipeline_id: str, *, comment: str = "") -> rollout_model.Acted:
        """End a deployment that asked for approval."""
        return self.act(pipeline_id, "reject", comment=comment)

    def act(
        self,
        pipeline_id: str,
        verb: str,
        *,
        comment: str = "",
        step: int | None = None,
        dry_run: bool = False,
    ) -> rollout_model.Acted:
        """Do something to a deployment, or be told what it would do to positions and orders.

        Parameters
        ----------
        verb : str
            approve, reject, promote, promote-full, skip-step, pause, resume, abort, rollback or
            retry.
        step : int, optional
            The step that is meant: once it has passed, nothing is done.
        """
        path = f"/deployments/{_part(pipeline_id)}/{_part(verb)}"
        body = {"comment": comment} | ({} if step is None else {"step": step})
        query = {"dry_run": "true" if dry_run else None}
        answer: rollout_model.Acted = self._ask("POST", path, body=body, query=query)
        return answer

    def start(self, strategy_id: str, execution_config: Mapping[str, Any]) -> model.Started:
        """Start a deployed version; a running one answers its execution."""
        path = f"/strategies/{_part(strategy_id)}/start"
        body = {"execution_config": dict(execution_config)}
        answer: model.Started = self._ask("POST", path, body=body)
        return answer

    def stop(self, strategy_id: str) -> model.Moved:
        """Stop every execution of a version."""
        return self._move(strategy_id, "stop")

    def pause(self, strategy_id: str) -> model.Moved:
        """Let a running version take no new decisions; its stops stay watched."""
        return self._move(strategy_id, "pause")

    def resume(self, strategy_id: str) -> model.Moved:
        """Let a paused version decide again."""
        return self._move(strategy_id, "resume")

    def executions(
        self,
        *,
        status: str | None = None,
        strategy_id: str | None = None,
        limit: int | None = None,
    ) -> model.Executions:
        """Return executions, newest first; the active ones unless `status` says otherwise."""
        query = {"status": status, "strategy_id": strategy_id, "limit": limit}
        answer: model.Executions = self._ask("GET", "/executions", query=query)
        return answer

    def execution(self, execution_id: str) -> model.Execution:
        """Return one execution with its metrics."""
        answer: model.Execution = self._ask("GET", f"/executions/{_part(execution_id)}")
        return answer

    def flatten(self, execution_id: str, *, dry_run: bool = False) -> capital.Flattened:
        """Close what an execution holds, ended or not, or be told what that would close."""
        path = f"/executions/{_part(execution_id)}/flatten"
        query = {"dry_run": "true" if dry_run else None}
        answer: capital.Flattened = self._ask("POST", path, query=query)
        return answer

    def trades(self, execution_id: str, *, limit: int = 100, offset: int = 0) -> model.Trades:
        """Return fills, oldest first."""
        path = f"/executions/{_part(execution_id)}/trades"
        query = {"limit": limit, "offset": offset}
        answer: model.Trades = self._ask("GET", path, query=query)
        return answer

    def create_key(self, name: str, role: str) -> model.CreatedKey:
        """Make a key; its text is in this answer and nowhere else."""
        body = {"name": name, "role": role}
        answer: model.CreatedKey = self._ask("POST", "/keys", body=body)
        return answer

    def keys(self) -> model.Keys:
        """Return every key there ever was, without secrets."""
        answer: model.Keys = self._ask("GET", "/keys")
        return answer

    def revoke_key(self, key_id: str) -> model.Key:
        """End a key."""
        answer: model.Key = self._ask("DELETE", f"/keys/{_part(key_id)}")
        return answer

    def create_flag(self, flag: Mapping[str, Any]) -> model.Flag:
        """Make a flag: key, type, default, expires_at; owner, description, rules if wanted."""
        answer: model.Flag = self._ask("POST", "/flags", body=flag)
        return answer

    def update_flag(self, key: str, changes: Mapping[str, Any]) -> model.Flag:
        """Change parts of a flag; what is not named stays."""
        answer: model.Flag = self._ask("PUT", f"/flags/{_part(key)}", body=changes)
        return answer

    def archive_flag(self, key: str) -> model.Flag:
        """Let a flag say its default for ever."""
        answer: model.Flag = self._ask("DELETE", f"/flags/{_part(key)}")
        return answer

    def flag(self, key: str) -> model.WholeFlag:
        """Return a flag with its history."""
        answer: model.WholeFlag = self._ask("GET", f"/flags/{_part(key)}")
        return answer

    def flags(self, *, archived: bool = False) -> model.Flags:
        """Return flags by key; the archived ones too if asked."""
        query = {"archived": "true" if archived else None}
        answer: model.Flags = self._ask("GET", "/flags", query=query)
        return answer

    def risk_limits(self) -> model.AllRiskLimits:
        """Return the limits of lines, accounts and the engine."""
        answer: model.AllRiskLimits = self._ask("GET", "/risk/limits")
        return answer

    def set_risk_limits(
        self, scope: str, subject: str, limits: Mapping[str, Any], *, why: str = ""
    ) -> model.RiskLimits:
        """Hold a line, an account or the engine (`all`) to limits, in place of those before."""
        path = f"/risk/limits/{_part(scope)}/{_part(subject)}"
        body = {"limits": dict(limits), "why": why}
        answer: model.RiskLimits = self._ask("PUT", path, body=body)
        return answer

    def lift_risk_limits(self, scope: str, subject: str, *, why: str = "") -> model.RiskLimits:
        """Lift every limit of a line, an account or the engine; return what was set."""
        path = f"/risk/limits/{_part(scope)}/{_part(subject)}"
        answer: model.RiskLimits = self._ask("DELETE", path, query={"why": why or None})
        return answer

    def create_webhook(self, url: str, topics: Sequence[str] = ()) -> model.CreatedWebhook:
        """Send events to a URL; the secret that signs them is in this answer only."""
        body = {"url": url, "topics": list(topics)}
        answer: model.CreatedWebhook = self._ask("POST", "/webhooks", body=body)
        return answer

    def webhooks(self) -> model.Webhooks:
        """Return the webhooks that there are, without secrets."""
        answer: model.Webhooks = self._ask("GET", "/webhooks")
        return answer

    def remove_webhook(self, webhook_id: str) -> model.Webhook:
        """Send a webhook nothing any more."""
        answer: model.Webhook = self._ask("DELETE", f"/webhooks/{_part(webhook_id)}")
        return answer

    def deliveries(
        self, webhook_id: str, *, state: str | None = None, limit: int = 50
    ) -> model.Deliveries:
        """Return what was sent to a webhook, newest first."""
        path = f"/webhooks/{_part(webhook_id)}/deliveries"
        query = {"state": state, "limit": limit}
        answer: model.Deliveries = self._ask("GET", path, query=query)
        return answer

    def lines(self) -> capital.Lines:
        """Return every line by name, with who has how much of its capital."""
        answer: capital.Lines = self._ask("GET", "/lines")
        return answer

    def line(self, strategy_name: str) -> capital.WholeLine:
        """Return a line with its shadows and its books."""
        answer: capital.WholeLine = self._ask("GET", f"/lines/{_part(strategy_name)}")
        return answer

    def allocate(self, strategy_name: str, policy: Mapping[str, Any]) -> capital.Allocation:
        """Share a line's capital by a policy from now on."""
        path = f"/lines/{_part(strategy_name)}/allocation"
        answer: capital.Allocation = self._ask("PUT", path, body=policy)
        return answer

    def allocation(self, strategy_name: str) -> capital.Allocation:
        """Return how a line's capital is shared."""
        path = f"/lines/{_part(strategy_name)}/allocation"
        answer: capital.Allocation = self._ask("GET", path)
        return answer

    def end_allocation(self, strategy_name: str) -> capital.Allocation:
        """Share a line's capital no more."""
        path = f"/lines/{_part(strategy_name)}/allocation"
        answer: capital.Allocation = self._ask("DELETE", path)
        return answer

    def start_experiment(self, asked: Mapping[str, Any]) -> capital.Experiment:
        """Run two versions of a line side by side; what it is judged by is frozen."""
        answer: capital.Experiment = self._ask("POST", "/experiments", body=asked)
        return answer

    def experiments(self, *, line: str | None = None, limit: int = 50) -> capital.Experiments:
        """Return experiments, newest first; those of one line, if it is named."""
        query = {"line": line, "limit": limit}
        answer: capital.Experiments = self._ask("GET", "/experiments", query=query)
        return answer

    def experiment(self, experiment_id: str) -> capital.WholeExperiment:
        """Return an experiment with its estimate."""
        path = f"/experiments/{_part(experiment_id)}"
        answer: capital.WholeExperiment = self._ask("GET", path)
        return answer

    def stop_experiment(self, experiment_id: str) -> capital.WholeExperiment:
        """End an experiment; its estimate is kept, capital goes back."""
        path = f"/experiments/{_part(experiment_id)}/stop"
        answer: capital.WholeExperiment = self._ask("POST", path)
        return answer

    def export(self, subject: str, table: str, target: BinaryIO, query: Mapping[str, Any]) -> None:
        """Write a table of an execution, or metrics of a version, a line or `engine`."""
        self._take(f"{_of(subject)}/export/{_part(table)}", target, query)

    def tearsheet(self, subject: str, target: BinaryIO, query: Mapping[str, Any]) -> None:
        """Write the tearsheet of an execution or a version."""
        self._take(f"{_of(subject)}/tearsheet", target, query)

    def instruments(self) -> list[model.Instrument]:
        """Return what can be traded."""
        answer: dict[str, list[model.Instrument]] = self._ask("GET", "/instruments")
        return answer["instruments"]

    @property
    def alerting(self) -> Alerting:
        """Return what may be asked about alerts and events."""
        return Alerting(self._ask)

    def follow(self, query: Mapping[str, Any], place: str = "") -> Iterator[Told]:
        """Yield events as they happen, until the engine ends the stream.

        Raises
        ------
        NoEngineError
            If it cannot be reached, or the stream breaks; go on from the last place.
        RefusedError
            If the engine refuses.
        """
        headers = {"accept": "text/event-stream"} | ({"last-event-id": place} if place else {})
        params = {name: value for name, value in query.items() if value is not None}
        timeout = httpx.Timeout(self._timeout_s, read=_SILENCE_S)
        try:
            with self._http.stream(
                "GET", "/events", params=params, headers=headers, timeout=timeout
            ) as response:
                if not response.is_success:
                    response.read()
                    raise problems.refusal(response.status_code, self._decoded(response))
                yield from read_stream(response.iter_lines())
        except httpx.RequestError as error:
            raise problems.unreachable(self.url, str(error) or type(error).__name__) from None

    def _move(self, strategy_id: str, verb: str) -> model.Moved:
        answer: model.Moved = self._ask("POST", f"/strategies/{_part(strategy_id)}/{verb}")
        return answer

    def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        accepted: tuple[int, ...] = (),
    ) -> Any:
        params = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            response = self._http.request(method, path, json=body, params=params)
        except httpx.TimeoutException:
            raise problems.silent(self.url, self._timeout_s) from None
        except httpx.RequestError as error:
            raise problems.unreachable(self.url, str(error) or type(error).__name__) from None
        answer = self._decoded(response)
        if response.is_success or response.status_code in accepted:
            return answer
        raise problems.refusal(response.status_code, answer)

    def _take(self, path: str, target: BinaryIO, query: Mapping[str, Any]) -> None:
        params = {name: value for name, value in query.items() if value is not None}
        try:
            with self._http.stream("GET", path, params=params) as response:
                if not response.is_success:
                    response.read()
                    raise problems.refusal(response.status_code, self._decoded(response))
                target.writelines(response.iter_bytes())
        except httpx.TimeoutException:
            raise problems.silent(self.url, self._timeout_s) from None
        except httpx.RequestError as error:
            raise problems.unreachable(self.url, str(error) or type(error).__name__) from None

    def _decoded(self, response: httpx.Response) -> dict[str, Any]:
        try:
            answer = response.json()
        except ValueError:
            raise problems.stranger(self.url, response.status_code) from None
        if not isinstance(answer, dict):
            raise problems.stranger(self.url, response.status_code)
        return answer


def _of(subject: str) -> str:
    if subject == "engine":
        return "/engine"
    for prefix, kind in (("exec_", "executions"), ("strat_", "strategies")):
        if subject.startswith(prefix):
            return f"/{kind}/{_part(subject)}"
    return f"/lines/{_part(subject)}"


def _part(identifier: str) -> str:
    return quote(identifier, safe="")


def _authorization(api_key: str | None) -> httpx.Headers:
    # A key is UTF-8; httpx would take a text for ASCII.
    return httpx.Headers({b"Authorization": f"Bearer {api_key}".encode()} if api_key else {})
