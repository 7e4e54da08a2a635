"""Connections to providers."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct


class Opened(Struct, frozen=True):
    """What it took to open a connection, in milliseconds."""

    connect_ms: float
    """All of it: names, TCP, any proxy, TLS."""
    tls_ms: float | None
    """The part of it that TLS with the origin took; None where there is no TLS."""


class Exchange(Protocol):
    """One request on one upstream connection, from its first reply byte on."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """Names as they came, in any case; the last of equal names counts."""

    def limit(self, *, idle_s: float, limit_s: float, bytes_max: int, now_s: float) -> None:
        """Bound what follows: the pause between two pieces, the monotonic time of its end, its size."""

    async def read(self, bytes_max: int, *, within_s: float | None = None) -> bytes:
        """Return the whole body, unpacked where it came compressed.

        Raises:
            ProviderError: it did not end properly, in time, or within `bytes_max`.
        """

    def relay(self, data: Callable[[bytes], None], end: Callable[[Exception | None], None]) -> None:
        """From now on call `data` with each piece, unpacked where it came compressed, and `end` once: None
        when the body is complete."""

    def pause(self) -> None:
        """Stop reading, so that the provider feels the client's pace. Its time does not run on."""

    def resume(self) -> None: ...

    def leave(self) -> None:
        """Want no more of it; the connection lives on if the reply ends properly within a second."""

    def close(self) -> None:
        """Drop the connection unless the reply was read to its end. Safe to call twice."""


class TimedExchange(Exchange, Protocol):
    """An exchange whose connection tells of the way to its origin."""

    @property
    def opened(self) -> Opened | None:
        """Of the connection that was opened for it; None: one was there, or it is not known."""

    @property
    def rtt_ms(self) -> float | None:
        """The round-trip time of connections to its origin, as the system estimated it a while ago; None: it
        does not say."""


class Transport(Protocol):  # models/transport: http1
    async def send(
        self, origin: Any, head: bytes, body: bytes, *, first_byte_s: float, whole: bool
    ) -> TimedExchange:
        """Send one request and return when its body has begun (`whole`: when it is complete).

        `origin` is what this transport's own origins are; `head` is the request line and headers
        without content-length. Nothing is sent twice.

        Raises:
            ProviderUnavailable, ProviderTimeout, ProviderBusy
        """

    async def aclose(self) -> None:
        """Close every connection. Safe to call twice."""
