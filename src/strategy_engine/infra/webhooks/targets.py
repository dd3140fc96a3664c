"""Where webhooks may be sent: to the public Internet, and inside if the operator says so.

A webhook's URL is a caller's, and the request is the engine's: it must not reach what only the
engine's host can reach (a metadata service, a database, the engine itself). So the name is looked
up once for each request, each of its addresses is judged, and the request goes to the address that
was judged: a name that means something else a moment later changes nothing. Redirects are not
followed and no proxy is used.
"""

import asyncio
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from strategy_engine.core.errors import InvalidError
from strategy_engine.infra.webhooks import rules

LOOKUP_S = 5.0
SETTING = "STRATEGY_WEBHOOK_PRIVATE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Looks hosts up. `private`: addresses that are not public are allowed too."""

    private: bool = False

    async def check(self, url: str) -> None:
        """Refuse a URL whose host is not public.

        Raises
        ------
        InvalidError
            If it is not, or cannot be looked up.
        """
        await self.address(url)

    async def address(self, url: str) -> str:
        """Return the address to send to.

        Raises
        ------
        InvalidError
            If the host cannot be looked up, or one of its addresses must not be sent to.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        found = await self._lookup(host, parts.port or 0)
        if any(rules.is_machines(each) for each in found):
            raise InvalidError(
                f"{host[:200]} is a link-local or a cloud's metadata address, which events are"
                " never sent to",
                field="url",
                accepted="a host of the public Internet",
            )
        if not self.private and not all(rules.is_public(each) for each in found):
            raise InvalidError(
                f"{host[:200]} is not a public address; to send events inside your own network, set"
                f" {SETTING}=true where the engine is started",
                field="url",
                accepted="a host of the public Internet",
            )
        return found[0]

    async def _lookup(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LOOKUP_S):
                infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError) as error:
            raise InvalidError(
                f"{host[:200]} cannot be looked up: {error!r}", field="url"
            ) from None
        return [str(info[4][0]) for info in infos]
