"""A tunnel through an HTTP proxy (RFC 9110, 9.3.6): CONNECT, its reply, and nothing else before TLS."""

import asyncio
import re
from typing import cast

from farthing.config.settings.proxy import Proxy, authority
from farthing.errors import ProviderUnavailable
from farthing.runtime.loop_batch import Waiter

REPLY_BYTES_MAX = 16_384
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: ([^\r\n]*))?\r?\n")
_END = re.compile(rb"\r?\n\r?\n")


class Handshake(asyncio.Protocol, Waiter):
    """The proxy's side of one tunnel, until it is open."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        Waiter.__init__(self, loop)
        self.transport: asyncio.Transport | None = None
        self.is_open = False
        """What follows is between us and the origin."""
        self._reply = b""
        self._over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one by shape only

    def data_received(self, data: bytes) -> None:
        self._reply += data
        other = b"\n" in self._reply and _STATUS.match(self._reply) is None  # it waits for more than a head
        if other or _END.search(self._reply) or len(self._reply) > REPLY_BYTES_MAX:
            self._over = True
            if self.transport is not None:
                self.transport.pause_reading()  # what follows is for TLS
            self.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._over = True
        self.wake()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    async def open(self, proxy: Proxy, host: str, port: int) -> asyncio.Transport:
        """Ask `proxy` for a tunnel and return its transport, which nobody reads yet.

        Raises:
            ProviderUnavailable: the proxy refused, closed the connection, or sent no valid reply.
        """
        place = authority(host, port)
        lines = [f"CONNECT {place} HTTP/1.1", f"host: {place}"]
        if proxy.authorization:
            lines.append(f"proxy-authorization: {proxy.authorization}")
        if self.transport is not None:
            self.transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        while not self._over:
            await self.wait()
        status = _STATUS.match(self._reply)
        end = _END.search(self._reply)
        if not self._reply:
            raise ProviderUnavailable(f"the proxy {proxy} ended the connection to {place} without a word")
        if status is None or end is None:
            raise ProviderUnavailable(
                f"what listens at {proxy} does not answer as an HTTP proxy does; is it one?"
            )
        code = int(status[1])
        if not 200 <= code < 300:
            raise ProviderUnavailable(refusal(proxy, place, code, (status[2] or b"").decode("latin-1")))
        if len(self._reply) > end.end() or self.transport is None:
            raise ProviderUnavailable(f"the proxy {proxy} sent bytes of its own into the tunnel to {place}")
        self.is_open = True
        return self.transport


def refusal(proxy: Proxy, place: str, status: int, phrase: str = "") -> str:
    """What a proxy's refusal means, and the fix."""
    phrase = "".join(c if c.isprintable() else "?" for c in phrase[:100]).strip()
    said = f"{status} {phrase}".strip()
    if status == 407:
        want = "other credentials" if proxy.authorization else "credentials"
        return (
            f"the proxy {proxy} wants {want} ({said}): put http://USER:PASSWORD@HOST:PORT into an "
            'environment variable and write proxy = "${NAME}"'
        )
    if status in (401, 403, 405):
        return (
            f"the proxy {proxy} does not let anybody through to {place} ({said}): allow it there, or go "
            'without by proxy = "none" or NO_PROXY'
        )
    return f"the proxy {proxy} could not reach {place}: it answered {said}"
