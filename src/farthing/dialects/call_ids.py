"""Ids of calls as Messages and Responses take them. Chat completions have other rules (`chat.requests`)."""

import re
from hashlib import blake2b

CHARS_MAX = 64
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")


def valid_id(call_id: str) -> str:
    """An id of a call: itself where it can be, else one that no other id comes to, and the same each time."""
    if len(call_id) <= CHARS_MAX and not _UNFIT.search(call_id):
        return call_id
    digest = blake2b(call_id.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{_UNFIT.sub('_', call_id)[:40]}_{digest}"


class CallIds:
    """What the calls of one conversation are known by."""

    __slots__ = ("_again", "_given", "_places")

    def __init__(self) -> None:
        self._given: dict[str, str] = {}
        """What the client's id of a call is written as; of an id that comes again, the latest."""
        self._places: dict[str, int] = {}
        """The place of each call among all, by the id that it is written with."""
        self._again: dict[str, int] = {}
        """How often the start of an id was given anew: where to look on for one that is free."""

    @property
    def count(self) -> int:
        """How many calls there are."""
        return len(self._places)

    def new(self, call_id: str) -> str:
        """What a call is to be known by: its own id, if that is valid and no call before had it."""
        written = valid_id(call_id)
        if written in self._places:
            start = written[:56]
            times = self._again.get(start, 2)
            while f"{start}_{times}" in self._places:
                times += 1
            self._again[start] = times + 1
            written = f"{start}_{times}"
        self._places[written] = len(self._places)
        self._given[call_id] = written
        return written

    def of(self, call_id: str) -> str:
        """What the call is known by that a result names."""
        return self._given.get(call_id) or valid_id(call_id)

    def place(self, written: str) -> int:
        """The place of a call among all, by what it is known by; behind all: there is none."""
        return self._places.get(written, len(self._places))
