"""Who made the encrypted content that clients of Responses carry.

What a provider encrypts is bound to its account: sent to another one, the whole request is refused. Nothing
in it says whose it is, so that is remembered here, by a digest, for as much as has gone out lately.
"""

from collections import OrderedDict
from hashlib import blake2b

MADE_MAX = 50_000
DIGEST_BYTES = 16


class Makers:
    """One memory for all providers; the least lately used is forgotten first."""

    __slots__ = ("_made", "_most", "account")

    def __init__(self, most: int = MADE_MAX) -> None:
        self._made: OrderedDict[bytes, str] = OrderedDict()
        self._most = most
        self.account = ""
        """What its user notes in place of the provider's name; empty: that."""

    def for_account(self, account: str) -> "Makers":
        """The same memory, for one of several accounts at a provider."""
        same = Makers(self._most)
        same._made, same.account = self._made, account
        return same

    def note(self, encrypted: str, provider: str) -> None:
        """`provider` has made it."""
        digest = _digest(encrypted)
        self._made[digest] = provider
        self._made.move_to_end(digest)
        if len(self._made) > self._most:
            self._made.popitem(last=False)

    def maker_of(self, encrypted: str) -> str:
        """The provider that made it; empty: it is not known, as after a restart."""
        digest = _digest(encrypted)
        found = self._made.get(digest)
        if found is None:
            return ""
        self._made.move_to_end(digest)
        return found


def _digest(encrypted: str) -> bytes:
    return blake2b(encrypted.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()
