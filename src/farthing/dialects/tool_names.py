"""Names of tools that are longer than chat completions take: Messages has up to 128 characters, and tools of
MCP servers use them.

A short name needs no table on the way back: it is made of the long one, which the request has.
"""

from hashlib import blake2b
from typing import Any

CHARS_MAX = 64  # at OpenAI, and at most others
_DIGEST_CHARS = 16


def short_name(name: str) -> str:
    """`name` as chat completions take it: itself, or one that no other name comes to, the same each time."""
    if len(name) <= CHARS_MAX:
        return name
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_CHARS // 2).hexdigest()
    return f"{name[: CHARS_MAX - 1 - _DIGEST_CHARS]}_{digest}"


def long_name(name: str, tools: Any) -> str:
    """What a client of Messages calls the tool that the model calls `name`, of the `tools` in its request."""
    if len(name) != CHARS_MAX or tools.__class__ is not list:
        return name
    told = (tool.get("name") for tool in tools if tool.__class__ is dict)
    return next(
        (one for one in told if one.__class__ is str and one != name and short_name(one) == name), name
    )
