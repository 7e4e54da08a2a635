"""What is noted while a request of Messages is written for a plain server of chat completions."""

from farthing.dialects.written import Written
from farthing.types import Json


class LoweringNotes:
    """Of one request."""

    __slots__ = ("marked", "reasons", "unsaid", "yielded")

    def __init__(self) -> None:
        self.unsaid: list[str] = []
        """Names of the client's fields, as Messages calls them, that chat completions have no word for."""
        self.yielded: list[str] = []
        """Names of those that may go."""
        self.marked = False
        """There are marks for a prefix cache, of which chat completions know none."""
        self.reasons: dict[str, str] = {}
        """Why a name of `unsaid` is there, and what helps."""

    def lacks(self, name: str, reason: str) -> None:
        self.unsaid.append(name)
        self.reasons.setdefault(name, reason)

    def written(self, body: Json) -> Written:
        if self.marked:
            self.yielded.append("cache_control")
        unsaid = tuple(dict.fromkeys(self.unsaid)) if self.unsaid else ()
        yielded = tuple(dict.fromkeys(self.yielded)) if self.yielded else ()
        return Written(body, unsaid, yielded, self.reasons)
