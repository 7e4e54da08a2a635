"""Remembers the signatures of calls, for clients that keep nothing of a call but what OpenAI's form has.

In memory, bounded, by the id of the call and the name of its function. What is not known, as after a restart,
goes up as a call that nobody has signed.
"""

from collections import OrderedDict

BYTES_MAX = 16_777_216
_ENTRY_BYTES = 200  # that an entry takes beside its texts
Key = tuple[str, str]


class Signed:
    """The signatures that one provider has given out, the newest of them."""

    __slots__ = ("_bytes", "_held")

    def __init__(self) -> None:
        self._held: OrderedDict[Key, str] = OrderedDict()
        self._bytes = 0

    def note(self, call_id: str, name: str, signature: str) -> None:
        """Remember the signature of a call."""
        key = call_id, name
        self._drop(key, self._held.pop(key, None))
        size = _size(key, signature)
        if size > BYTES_MAX // 16:
            return
        self._held[key] = signature
        self._bytes += size
        while self._bytes > BYTES_MAX:
            self._drop(*self._held.popitem(last=False))

    def of(self, call_id: str, name: str) -> str:
        """That of a call; empty where none is known."""
        return self._held.get((call_id, name), "")

    def _drop(self, key: Key, signature: str | None) -> None:
        if signature is not None:
            self._bytes -= _size(key, signature)


def _size(key: Key, signature: str) -> int:
    return len(key[0]) + len(key[1]) + len(signature) + _ENTRY_BYTES
