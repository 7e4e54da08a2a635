"""What is noted while a request of another dialect is written for a plain server of chat completions."""

from collections.abc import Mapping
from types import MappingProxyType

from farthing.dialects.written import Written
from farthing.types import Json

SAME_NAMES: Mapping[str, str] = MappingProxyType({})


class LoweringNotes:
    """Of one request."""

    __slots__ = ("_names", "marked", "reasons", "unsaid", "yielded")

    def __init__(self, names: Mapping[str, str] = SAME_NAMES) -> None:
        """`names`: what the client's dialect calls the fields that are noted here by their names in Messages;
        of a part after `messages.`, those of all that begins so."""
        self._names = names
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
        if self._names and (unsaid or yielded):
            reasons = {self._name(name): why for name, why in self.reasons.items()}
            return Written(body, self._renamed(unsaid), self._renamed(yielded), reasons)
        return Written(body, unsaid, yielded, self.reasons)

    def _renamed(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(map(self._name, names)))

    def _name(self, name: str) -> str:
        known = self._names.get(name)
        if known is not None:
            return known
        begin, dot, rest = name.partition(".")
        start = self._names.get(begin + dot) if dot else None
        return name if start is None else start + rest
