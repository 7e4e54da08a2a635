"""The terms on which providers cache the beginning of a prompt, by family of models.

Prices are not here but in the price list, as those of any other token. What is written to be cached for a
stated time says so in the usage (`Usage.cache_write_1h_tokens`), which wins over what stands here.

Sources, read in November 2026: Anthropic's and OpenAI's guides to prompt caching, ai.google.dev on context
caching, api-docs.deepseek.com on context caching, docs.x.ai on cached prompts. Where a provider states none,
the field is None.
"""

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

from farthing.types import Target

ASSUMED_LIFE_S: Final = 300.0
"""Of a prefix at a provider that promises no time: the shortest that any promises."""


class CacheTerms(Struct, frozen=True, kw_only=True):
    """How a model's provider caches prefixes."""

    tokens_min: int | None = None
    """A shorter prefix is not cached, and nothing says so. None: unknown."""
    block_tokens: int = 1
    """What is read is a multiple of this."""
    life_s: float | None = None
    """How long a prefix stays after it was last used, at least. None: no time is promised."""
    life_long_s: float | None = None
    """The longer of two times, where a request can ask for it. None: there is one."""
    marked: bool = False
    """Only what stands before a mark of the request is cached (`cache_control`, `cachePoint`). False: the
    provider finds prefixes by itself."""
    tells: bool = False
    """Its usage always says how many tokens were read, a zero too. False: not known to."""


UNKNOWN_TERMS: Final = CacheTerms()


def _claude(tokens_min: int) -> CacheTerms:
    return CacheTerms(tokens_min=tokens_min, life_s=300.0, life_long_s=3_600.0, marked=True, tells=True)


CLAUDE: Final = {
    ("opus", 5): 512,
    ("fable", 5): 512,
    ("mythos", 5): 512,
    ("sonnet", 5): 1_024,
    ("haiku", 5): 4_096,
    ("opus", 4, 8): 1_024,
    ("opus", 4, 7): 2_048,
    ("opus", 4, 6): 4_096,
    ("opus", 4, 5): 4_096,
    ("haiku", 4, 5): 4_096,
    ("opus", 4): 1_024,
    ("sonnet", 4): 1_024,
    ("haiku", 3): 2_048,
}
"""Smallest prefix in tokens, by family and version; the version in full wins. That of the 5.5 models is not
published: it is taken to be that of their 5."""
CLAUDE_MIN: Final = 1_024  # of every other one
_claude_name = re.compile(
    r"claude-(?:(?P<family>opus|sonnet|haiku|fable|mythos)-)?(?P<major>\d)(?:[.-](?P<minor>\d{1,2}))?(?!\d)"
    r"(?:-(?P<older>opus|sonnet|haiku))?"
)

OPENAI_OLDER: Final = CacheTerms(tokens_min=1_024, block_tokens=128, life_s=300.0, tells=True)
"""Before GPT-5.6: kept for five to ten minutes."""
OPENAI: Final = CacheTerms(tokens_min=1_024, life_s=1_800.0, life_long_s=43_200.0, tells=True)
"""From GPT-5.6 on: for 30 minutes at least, or 12 hours."""
_gpt_name = re.compile(r"gpt-(?P<major>\d+)(?:\.(?P<minor>\d+))?")

OTHERS: Final = (
    (re.compile(r"gemini-.*pro"), CacheTerms(tokens_min=4_096, tells=True)),
    (re.compile(r"gemini-"), CacheTerms(tokens_min=1_024, tells=True)),
    (re.compile(r"deepseek"), CacheTerms(block_tokens=64, tells=True)),
    (re.compile(r"grok-"), CacheTerms(block_tokens=128, tells=True)),
    (re.compile(r"(?:chatgpt|codex|o[134])(?:-|$)"), OPENAI_OLDER),
)
"""By how the name of a model begins, after its maker's name."""


def terms_of(target: Target) -> CacheTerms:
    """The terms of a target's model; its name decides, at whatever provider."""
    return _terms_of(target.model)


@lru_cache(maxsize=2_000)  # clients may name models that nobody configured
def _terms_of(model: str) -> CacheTerms:
    name = model.lower()
    claude = _claude_name.search(name)
    if claude is not None:
        return _claude(_claude_min(claude, bedrock="anthropic." in name))
    if "claude" in name:
        return _claude(CLAUDE_MIN)
    bare = name.rpartition("/")[2]
    gpt = _gpt_name.match(bare)
    if gpt is not None and "oss" not in bare:
        newer = (int(gpt["major"]), int(gpt["minor"] or 0)) >= (5, 6)
        return OPENAI if newer else OPENAI_OLDER
    return next((terms for begins, terms in OTHERS if begins.match(bare)), UNKNOWN_TERMS)


def _claude_min(name: re.Match[str], *, bedrock: bool) -> int:
    family = name["family"] or name["older"] or ""
    major, minor = int(name["major"]), int(name["minor"] or 0)
    if bedrock and (family, major, minor) == ("opus", 4, 7):
        return 4_096
    exact = CLAUDE.get((family, major, minor))
    return CLAUDE.get((family, major), CLAUDE_MIN) if exact is None else exact
