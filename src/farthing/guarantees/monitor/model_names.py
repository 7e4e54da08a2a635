"""Whether two names that answers have given mean the same model, as far as names can tell."""

import re
from functools import lru_cache

ROUTERS = frozenset({"auto", "model-router", "router"})
"""Models that choose another one for each answer: OpenRouter's and Azure's."""

_AREA = re.compile(r"(?:us|us-gov|eu|apac|jp|au|ca|global)\.(?=[a-z0-9-]+\.)")
"""How the inference profiles of Bedrock begin: where a model answers, not which."""
_MOVING = re.compile(r"(?:[@:-]latest|@default)$")
"""How names end that mean whatever snapshot is the newest."""
_EXACT = re.compile(r"(?:[-@:_](?:(?:preview|exp)-)?(?:\d{3,}(?!\d*[a-z])|\d\d-\d\d(?!\d)|v\d).*)$")
"""What follows the name of a family in that of a snapshot: a date, a revision."""
_SNAPSHOT = re.compile(r"[-@:_](?:\d{3,}|\d{4}-\d\d-\d\d|v\d+(?::\d+)?)$")
"""How the name of a snapshot ends."""
_kept = lru_cache(maxsize=1_024)
"""Two names in turn ask the same each time."""


@_kept
def same(one: str, other: str) -> bool:
    """Whether both are spellings of one name: with or without the namespace, the area, capital letters, or
    the word that it is the latest."""
    a, b = _plain(one), _plain(other)
    return a == b or a.endswith(f"/{b}") or b.endswith(f"/{a}")


@_kept
def refines(family: str, snapshot: str) -> bool:
    """Whether `snapshot` names a snapshot of `family`: `gpt-4o-2024-08-06` of `gpt-4o`, and `gpt-4o-mini`
    does not."""
    a, b = _plain(family).rpartition("/")[2], _plain(snapshot).rpartition("/")[2]
    return len(b) > len(a) > 0 and b.startswith(a) and _EXACT.match(b, len(a)) is not None


@_kept
def is_exact(name: str) -> bool:
    """Whether `name` is that of a snapshot."""
    return _SNAPSHOT.search(_plain(name)) is not None


def routes(asked: str) -> bool:
    """Whether a target of this model answers with a model of its choice each time."""
    return asked.rpartition("/")[2].casefold() in ROUTERS


def _plain(name: str) -> str:
    return _MOVING.sub("", _AREA.sub("", name.casefold()))
