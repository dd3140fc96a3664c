"""How each kind of channel sends a notice, and where it may send to."""

import asyncio
import importlib
import json
import logging
import time
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

from strategy_engine.alerts.model import Channel, Delivery, Kind
from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import InvalidError, NotBuiltError
from strategy_engine.infra.webhooks import posting, rules
from strategy_engine.infra.webhooks.posting import Letter, Poster
from strategy_engine.infra.webhooks.targets import SETTING, Targets

APPRISE = "apprise"
LONGEST_ERROR = 300
TIMEOUT_S = 10.0
APPRISE_TIMEOUT_S = 30.0
LONGEST_URL = 2_000
GONE = 410
# Services whose own public address apprise knows: no part of the URL names a host.
PUBLIC_SERVICES = frozenset(
    {
        "discord",
        "gchat",
        "opsgenie",
        "pagerduty",
        "pagertree",
        "pbul",
        "pover",
        "sendgrid",
        "signl4",
        "slack",
        "splunk",
        "tgram",
        "twilio",
        "victorops",
    }
)
# What may stand in the query of such a URL; others name files, templates and hosts to read.
PARAMETERS = frozenset({"priority", "region", "sound", "thread", "to", "topic"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What came of one attempt. `is_gone`: the receiver wants no more."""

    is_accepted: bool
    is_gone: bool = False
    status_code: int | None = None
    error: str = ""
    took_ms: float = 0.0


class Sends(Protocol):
    """Sends notices, and judges where they may go."""

    async def check(self, kind: Kind, url: str) -> None:
        """Refuse a URL that must not, or cannot, be sent to."""
        ...

    async def send(self, channel: Channel, delivery: Delivery) -> Sent:
        """Send a notice once."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Signed webhooks, and what apprise knows, if it is installed."""

    clock: Clock
    targets: Targets
    timeout_s: float = TIMEOUT_S

    async def check(self, kind: Kind, url: str) -> None:
        """Refuse a URL that must not, or cannot, be sent to.

        Raises
        ------
        InvalidError
            With what is accepted; a URL is not repeated, it may hold a token.
        NotBuiltError
            If it needs apprise, which is not installed.
        """
        if kind is Kind.WEBHOOK:
            rules.check_url(url)
            await self.targets.check(url)
            return
        await check_service(url, self.targets)
        if not _apprise().Apprise(asset=_asset()).add(url):
            raise _not_a_service("apprise does not know this URL; see its documentation")

    async def send(self, channel: Channel, delivery: Delivery) -> Sent:
        """Send a notice once."""
        if channel.kind is Kind.APPRISE:
            return await self._by_apprise(channel, delivery)
        poster = Poster(clock=self.clock, targets=self.targets, timeout_s=self.timeout_s)
        letter = Letter(
            url=channel.url,
            secret=channel.secret,
            event_id=delivery.event_id,
            body=delivery.body,
        )
        async with posting.client(self.timeout_s) as http:
            attempt = await poster.post(http, letter)
        return Sent(
            is_accepted=attempt.status_code is not None and 200 <= attempt.status_code < 300,  # noqa: PLR2004 - HTTP's own
            is_gone=attempt.status_code == GONE,
            status_code=attempt.status_code,
            error=attempt.error,
            took_ms=attempt.took_ms,
        )

    async def _by_apprise(self, channel: Channel, delivery: Delivery) -> Sent:
        began_s = time.perf_counter()
        try:
            async with asyncio.timeout(APPRISE_TIMEOUT_S):
                await check_service(channel.url, self.targets)
                sent = await asyncio.to_thread(_notify, channel.url, delivery.body)
        except TimeoutError:
            sent = Sent(is_accepted=False, error=f"no answer within {APPRISE_TIMEOUT_S:g} s")
        except (InvalidError, NotBuiltError) as error:
            sent = Sent(is_accepted=False, error=str(error)[:LONGEST_ERROR])
        return replace(sent, took_ms=(time.perf_counter() - began_s) * 1_000)


async def check_service(url: str, targets: Targets) -> None:
    """Refuse an apprise URL that would let its maker reach, or read, what only this host can.

    Raises
    ------
    InvalidError
        With what is accepted.
    """
    scheme, _, rest = url.partition("://")
    if not rest or len(url) > LONGEST_URL or not url.isprintable() or " " in url:
        raise _not_a_service("an apprise URL has the form service://token")
    try:
        query = {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
        host = urlsplit(url).hostname or ""
    except ValueError:
        raise _not_a_service("an apprise URL has the form service://token") from None
    if query - PARAMETERS:
        raise _not_a_service(f"its query may have only {', '.join(sorted(PARAMETERS))}")
    if scheme.lower() in PUBLIC_SERVICES:
        return
    if not targets.private:
        raise _not_a_service(
            f"of apprise's services those are sent to whose public address is known:"
            f" {', '.join(sorted(PUBLIC_SERVICES))}; for others, which name a host, set"
            f" {SETTING}=true where the engine is started"
        )
    await targets.check(f"http://{host}/")


def shown(kind: Kind, url: str) -> str:
    """Return what of a channel's URL may be shown: where to, without any token.

    Examples
    --------
    >>> shown(Kind.WEBHOOK, "https://ops.example:8443/hooks?token=x")
    'https://ops.example:8443/…'
    >>> shown(Kind.APPRISE, "slack://a/b/c")
    'slack://…'
    """
    parts = urlsplit(url)
    if kind is Kind.APPRISE:
        return f"{url.partition('://')[0]}://…"
    return f"{parts.scheme}://{parts.netloc}/…"


def _notify(url: str, body: str) -> Sent:
    apprise = _apprise()
    told = json.loads(body)["payload"]
    made = apprise.Apprise(asset=_asset())
    if not made.add(url):
        return Sent(is_accepted=False, error="apprise does not know this URL")
    is_accepted = made.notify(title=title(told), body=told["message"], body_format="text")
    error = "" if is_accepted else "the service did not take it"
    return Sent(is_accepted=bool(is_accepted), error=error)


def title(told: dict[str, str]) -> str:
    """Return the first line of a notice."""
    return f"[{told['state'].upper()} {told['severity']}] {told['title']}"


def _asset() -> object:
    # A redirect would lead where nobody judged it.
    return _apprise().AppriseAsset(http_redirects=False)


def _apprise() -> ModuleType:
    try:
        found = importlib.import_module(APPRISE)
    except ImportError:
        raise NotBuiltError(
            "channels of kind apprise need the extra `alerts`: install strategy-engine[alerts];"
            " webhooks need nothing",
            field="kind",
            value=APPRISE,
            accepted=[Kind.WEBHOOK.value],
        ) from None
    logging.getLogger(APPRISE).setLevel(logging.CRITICAL + 1)  # its words may hold a token
    return found


def _not_a_service(why: str) -> InvalidError:
    return InvalidError(f"url is no URL that alerts are sent to: {why}", field="url", accepted=why)
