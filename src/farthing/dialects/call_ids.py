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
