"""The seam between the journey and the client."""

from collections.abc import Callable
from typing import Protocol

from farthing.types import Answer


class Sink(Protocol):
    """Where the bytes of a stream go. Called from the event loop only; none of these blocks."""

    def send(self, events: bytes) -> None:
        """Take whole server-sent events. The first call also sends the status and the headers."""

    def when_writable(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        """Register what to call when the reader falls behind and when it has caught up."""

    def outlive(self, left: Callable[[Callable[[], None]], bool]) -> None:
        """Register what to ask when the reader goes away before the end. Where it says True, the request goes
        on for others, and what it was handed ends it when nobody is left."""

    def returned(self, lines: bytes) -> None:
        """Header lines of the provider that answers, for the head of the answer; before the first `send`."""

    def closing(self, reply: Answer) -> Answer:
        """`reply`, not sent yet, as the client reads it. Asked before the receipt is written, so that
        it says what the client gets.

        Raises:
            StreamBroken: it cannot be told in the client's form.
        """
