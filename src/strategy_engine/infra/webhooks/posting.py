"""One signed request to a URL that somebody gave: to the address that was judged, no further."""

import asyncio
import logging
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import InvalidError
from strategy_engine.infra.webhooks import rules
from strategy_engine.infra.webhooks.model import Attempt
from strategy_engine.infra.webhooks.targets import Targets

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 10.0
LONGEST_ERROR = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What is sent, where, and what signs it."""

    url: str = field(repr=False)
    secret: str = field(repr=False)
    event_id: str
    body: str = field(repr=False)


def client(timeout_s: float = TIMEOUT_S) -> "httpx.AsyncClient":
    """Return a client without a proxy, which would look names up for itself."""
    # Here, because it costs a start longer than most of the engine's own modules.
    import httpx  # noqa: PLC0415

    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs URLs, which may hold a token
    return httpx.AsyncClient(trust_env=False, timeout=timeout_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Poster:
    """Sends letters, and says what came of each."""

    clock: Clock
    targets: Targets
    timeout_s: float = TIMEOUT_S

    async def post(self, http: "httpx.AsyncClient", letter: Letter) -> Attempt:
        """Send a letter once."""
        began_s = time.perf_counter()
        try:
            async with asyncio.timeout(self.timeout_s):
                attempt = await self._post(http, letter)
        except TimeoutError:
            attempt = Attempt(error=f"no answer within {self.timeout_s:g} s")
        except InvalidError as error:
            attempt = Attempt(error=str(error)[:LONGEST_ERROR])
        return replace(attempt, took_ms=(time.perf_counter() - began_s) * 1_000)

    async def _post(self, http: "httpx.AsyncClient", letter: Letter) -> Attempt:
        import httpx  # noqa: PLC0415 - as above

        address = await self.targets.address(letter.url)
        try:
            request = self._request(http, letter, address)
            answer = await http.send(request, stream=True, follow_redirects=False)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Attempt(error=f"{type(error).__name__}: {error}"[:LONGEST_ERROR])
        await answer.aclose()  # what it says is not read: it may be endless
        error_text = "" if answer.is_success else f"answered {answer.status_code}"
        return Attempt(status_code=answer.status_code, error=error_text)

    def _request(self, http: "httpx.AsyncClient", letter: Letter, address: str) -> "httpx.Request":
        import httpx  # noqa: PLC0415 - as above

        url = httpx.URL(letter.url)
        body = letter.body.encode()
        signed = rules.headers(
            letter.secret, letter.event_id, int(self.clock.now().timestamp()), body
        )
        return http.build_request(
            "POST",
            url.copy_with(host=address),
            content=body,
            headers=signed | {"host": url.netloc.decode(), "user-agent": "strategy-engine"},
            extensions={"sni_hostname": url.host},  # a certificate names no address
        )
