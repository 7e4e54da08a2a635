"""Which models count tokens alike, and what is taken for their ratio to our count before any was seen.

The priors are multiples of a count with o200k_base, for text in mostly ASCII and in other scripts: median,
5th and 95th percentile over prompts. They rest on:

- `llama`, `qwen`, `mistral` (Tekken), `deepseek`: measured with their published vocabularies over public
  prose, code, mathematics, short questions and agents' sessions (`benchmarks/token_counts.py`),
  other scripts over fewer texts.
- `claude`: no vocabulary is published. That of Claude 2 gave 1.02 to 1.14 on prose, code and chats and 1.44
  on other scripts; newer ones are said to need more, by users who compared usage. Wide for that reason.
- `gemini`, `grok`: no vocabulary was at hand; providers' rules of thumb (about four characters a token).
- all others: wide.

They are beliefs, shown as such (`samples` is 0), and gone after some tens of requests.
"""

import math
from functools import lru_cache
from typing import Final

from farthing.models.tokens.bpe import encoding_of
from farthing.stores.token_ratios import Basis, Kind

Spread = tuple[float, float, float]
"""Median, 5th and 95th percentile."""

_PRIORS: Final[tuple[tuple[str, Spread, Spread], ...]] = (
    ("claude", (1.2, 1.0, 1.7), (1.4, 1.0, 2.0)),
    ("gemini", (1.05, 0.85, 1.3), (1.0, 0.7, 1.4)),
    ("gemma", (1.05, 0.85, 1.3), (1.0, 0.7, 1.4)),
    ("llama", (1.0, 0.94, 1.08), (1.05, 0.85, 1.35)),
    ("mistral", (1.05, 1.0, 1.16), (1.0, 0.8, 1.4)),
    ("ministral", (1.05, 1.0, 1.16), (1.0, 0.8, 1.4)),
    ("mixtral", (1.1, 0.95, 1.35), (1.3, 0.9, 2.0)),
    ("codestral", (1.05, 1.0, 1.2), (1.0, 0.8, 1.4)),
    ("devstral", (1.05, 1.0, 1.2), (1.0, 0.8, 1.4)),
    ("qwen", (1.02, 0.95, 1.15), (0.95, 0.75, 1.3)),
    ("deepseek", (1.02, 0.96, 1.15), (0.87, 0.7, 1.2)),
    ("grok", (1.0, 0.85, 1.3), (1.0, 0.7, 1.5)),
)
_UNKNOWN: Final[tuple[Spread, Spread]] = ((1.05, 0.85, 1.6), (1.1, 0.65, 2.2))
_EXACT: Final[Spread] = (1.0, 0.97, 1.03)
"""Of OpenAI's own models, whose vocabularies we have."""

# The estimate that every request gets, as `estimate` tells: a count is this multiple of it.
_OF_ESTIMATE: Final[dict[Kind, Spread]] = {
    "short": (1.1, 0.95, 1.33),
    "latin": (1.07, 0.9, 1.33),
    "other": (1.0, 0.78, 1.3),
}
_SHORT_EXTRA: Final[Spread] = (1.0, 0.9, 1.5)
"""What chat formats other than OpenAI's may add to a short prompt."""


@lru_cache(maxsize=512)
def prior(family: str, basis: Basis, kind: Kind) -> Spread:
    """The ratio that is assumed before any was observed."""
    latin, other = _by_name(family)
    found = other if kind == "other" else latin
    if kind == "short" and encoding_of(family) is None:
        found = _times(found, _SHORT_EXTRA)
    return _times(found, _OF_ESTIMATE[kind]) if basis == "estimate" else found


def _by_name(family: str) -> tuple[Spread, Spread]:
    if encoding_of(family) is not None:
        return _EXACT, _EXACT
    name = family.partition("/")[2] or family
    return next(((latin, other) for part, latin, other in _PRIORS if part in name), _UNKNOWN)


def _times(a: Spread, b: Spread) -> Spread:
    """The product of two independent ratios."""
    middle = a[0] * b[0]
    below = math.hypot(math.log(a[0] / a[1]), math.log(b[0] / b[1]))
    above = math.hypot(math.log(a[2] / a[0]), math.log(b[2] / b[0]))
    return middle, middle * math.exp(-below), middle * math.exp(above)
