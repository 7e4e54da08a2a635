"""What may be wrong with a stream of a provider's."""

from farthing.types import Usage


class BadStream(Exception):
    """What came is not a stream of the dialect that it should be. The message says why."""

    before = b""
    """The good events that came with it, to be sent on."""


class ProviderSaid(BadStream):
    """An error object in the stream; `payload` is its JSON, `usage` what all of it took; None: that is not
    said."""

    def __init__(self, payload: bytes, usage: Usage | None = None) -> None:
        super().__init__("the provider reported an error")
        self.payload = payload
        self.usage = usage
        self.own: bytes | None = None
        """The event as it came, in the client's own dialect; None: that is another."""
