"""Names of tools as Converse takes them: `[a-zA-Z0-9_-]`, at most 64; and as Nova does, with no `-`.

No table is needed on the way back: a name is made of the client's, which its request has.
"""

import re
from hashlib import blake2b
from typing import Any

CHARS_MAX = 64
_DIGEST_CHARS = 16
_fit = re.compile(r"[a-zA-Z0-9_-]{1,64}").fullmatch
_is_plain = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,63}").fullmatch
_NOT_PLAIN = re.compile(r"[^a-zA-Z0-9_]")
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")
_made = re.compile(r"[a-zA-Z0-9_-]{0,47}_[0-9a-f]{16}").fullmatch


def tool_name(name: str, *, plain: bool = False) -> str:
    """`name` as Converse takes it: itself, or one that no other name comes to, the same each time. `plain`:
    a letter comes first, and then letters, digits and `_`."""
    if (_is_plain if plain else _fit)(name):
        return name
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_CHARS // 2).hexdigest()
    if plain:
        name = name if name[:1].isascii() and name[:1].isalpha() else f"t{name}"
    fit = (_NOT_PLAIN if plain else _UNFIT).sub("_", name[: CHARS_MAX - 1 - _DIGEST_CHARS])
    return f"{fit}_{digest}"


def own_name(name: str, body: Any) -> str:
    """What the client calls the tool that the model calls `name`, of the tools in its request `body`, a chat
    completion or the form of one."""
    if not _made(name) or body.__class__ is not dict:
        return name
    made = (
        own for own in _names(body) if own != name and name in (tool_name(own), tool_name(own, plain=True))
    )
    return next(made, name)


def _names(body: Any) -> list[str]:
    found = []
    for field in ("tools", "functions"):
        told = body.get(field)
        for tool in told if told.__class__ is list else ():
            if tool.__class__ is dict:
                function = tool.get("function")
                name = (function if function.__class__ is dict else tool).get("name")
                if name.__class__ is str:
                    found.append(name)
    return found
