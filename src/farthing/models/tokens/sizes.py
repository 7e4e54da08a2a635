"""How many tokens a prompt has for one model: text by the learned ratio, media by the rules of the family.

Three numbers, for three uses: `expected` chooses among targets and stands in for a usage that nobody stated,
its `least` is all that may be refused by, and `bound` is what money is held for. What a provider states moves
the first and can never make a refusal: `least` is at most what the family's prior says, and `bound` is used
only where it is below the bound by bytes.

`expected` costs some microseconds, the other two count with a vocabulary: milliseconds, where a limit is
close. Such a count is kept for a moment, so that the ratio to counts is learned from it too.
"""

import math
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, Protocol

from farthing.models.tokens.bpe import EncodingName, encoding_of
from farthing.models.tokens.chat import count_text
from farthing.models.tokens.families import prior
from farthing.models.tokens.learned import TokenRatios, kind_of
from farthing.protocols import TokenCounter
from farthing.stores.token_ratios import Kind, family_of
from farthing.text.media import Measure, measure
from farthing.text.media_rules import rules_of
from farthing.types import UNKNOWN, Json, Prompt, Target, TokenCount, Usage

COUNTED_CHARS_MAX: Final = 50_000
"""Counting more would hold the loop for over 10 ms: there the estimate decides, with its error."""
KEPT_MAX: Final = 16
MESSAGE_TOKENS_MAX: Final = 16  # added by a chat template per message; public templates add 3 to 8
TOOL_TOKENS_MAX: Final = 64  # added by a provider's rendering of a tool to its JSON
TOOLS_TOKENS_MAX: Final = 600  # of a system prompt that a provider puts before tools
PROMPT_TOKENS_MAX: Final = 64  # added around all messages
SCHEMAS: Final = ("tools", "functions", "response_format")
"""Fields that a provider renders in a way of its own: with them no count is exact."""
_MEDIA_SHARE = 8
"""Without the body: no family counts media at less than this part of what the first estimate says."""
_OTHER_SCRIPTS: Final = frozenset(
    {
        "am",
        "ar",
        "bg",
        "bn",
        "el",
        "fa",
        "gu",
        "he",
        "hi",
        "hy",
        "ja",
        "ka",
        "km",
        "kn",
        "ko",
        "lo",
        "mk",
        "ml",
    }
    | {"mn", "mr", "my", "ne", "pa", "ru", "si", "sr", "ta", "te", "th", "uk", "ur", "zh"}
)


class Vocabularies(TokenCounter, Protocol):
    """Counts with a vocabulary, which may have to be loaded first."""

    def ready(self, model: str) -> bool:
        """Whether it can count for `model` now. If not, loading begins."""


class LearnedSizes:
    """Implements `protocols.TokenSizes`. Outlives a reload; belongs to one event loop."""

    def __init__(self, ratios: TokenRatios, counter: Vocabularies) -> None:
        self.ratios = ratios
        self._counter = counter
        self._kept: OrderedDict[tuple[int, EncodingName], tuple[Json, Kind, int]] = OrderedDict()
        """The newest counts of prompts of text, by the identity of the body."""

    def expected(
        self,
        target: Target,
        tokens: int,
        media_tokens: int = 0,
        body: Json | None = None,
        language: str = UNKNOWN,
    ) -> TokenCount:
        """See `protocols.TokenSizes`."""
        text = tokens - media_tokens
        kind: Kind | None = "other" if language in _OTHER_SCRIPTS and text >= 128 else None
        if body is not None:
            kind = kind_of(body, text)
        found = self.ratios.expected(target.name, text, kind)
        if media_tokens <= 0:
            return found
        if body is None:
            return _sum(found, media_tokens, 0.0, media_tokens * _MEDIA_SHARE, media_tokens // _MEDIA_SHARE)
        media = measure(body, rules_of(target.model))
        return _sum(found, media.media_tokens, media.media_tokens_low, media.media_tokens_high)

    def counted(self, target: Target, body: Json, tokens: int, media_tokens: int = 0) -> TokenCount:
        """As `expected`, with the text counted by a vocabulary if it is not too long for that."""
        return self._counted(target, body, tokens, media_tokens, {})

    def _counted(
        self, target: Target, body: Json, tokens: int, media_tokens: int, measured: dict[str, Measure]
    ) -> TokenCount:
        rules = rules_of(target.model)
        media = measured.get(rules.family)
        if media is None:
            media = measured[rules.family] = measure(body, rules)
        if media.chars > COUNTED_CHARS_MAX or not self._counter.ready(target.model):
            found = self.ratios.expected(
                target.name, tokens - media_tokens, kind_of(body, tokens - media_tokens)
            )
            if media_tokens <= 0:
                return found
            return _sum(found, media.media_tokens, media.media_tokens_low, media.media_tokens_high)
        kind, text = self._count(body, target)
        found = self.ratios.expected(target.name, text, kind, "count")
        if media.media_tokens:
            return _sum(found, media.media_tokens, media.media_tokens_low, media.media_tokens_high)
        if prior(family_of(target.name), "count", kind)[2] < 1.05 and not any(map(body.get, SCHEMAS)):
            return TokenCount(tokens=text, low=text, high=text, least=text, exact=True)
        return found

    def least(self, targets: Iterable[Target], body: Json, tokens: int, media_tokens: int = 0) -> TokenCount:
        """The count with the smallest `least`, of those for several targets."""
        measured: dict[str, Measure] = {}  # by the family of its rules: the body may be large
        counts = (self._counted(target, body, tokens, media_tokens, measured) for target in targets)
        return min(counts, key=lambda one: one.least)

    def bound(self, target: Target, prompt: Prompt) -> int:
        """See `protocols.TokenSizes`."""
        body = prompt.body
        media = measure(body, rules_of(target.model))
        around = PROMPT_TOKENS_MAX + (TOOLS_TOKENS_MAX if any(map(body.get, SCHEMAS)) else 0)
        listing = ("messages", MESSAGE_TOKENS_MAX), ("tools", TOOL_TOKENS_MAX), ("functions", TOOL_TOKENS_MAX)
        for name, each in listing:
            listed = body.get(name)
            around += each * len(listed) if listed.__class__ is list else 0
        text = media.text_bytes_max
        if media.chars <= COUNTED_CHARS_MAX and self._counter.ready(target.model):
            kind, counted = self._count(body, target)
            _, low, high = self.ratios.spread(target.name, "count", kind)
            margin = 1.0 + (high / low - 1.0) / 2
            believed = max(high, prior(family_of(target.name), "count", kind)[0])
            text = min(text, math.ceil(counted * believed * margin))
        return around + text + math.ceil(media.media_tokens_bound)

    def _count(self, body: Json, target: Target) -> tuple[Kind, int]:
        """The tokens of the text, and its kind. Media count nothing here."""
        key = _key(body, target)
        kept = self._kept.get(key)
        if kept is not None and kept[0] is body:
            return kept[1], kept[2]
        found = Measure(texts=[])
        counted = count_text(self._counter, body, target.model, found)
        kind = kind_of(body, counted)
        if not found.media:  # those may be large, and nothing is learned from them
            self._kept[key] = (body, kind, counted)
            if len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        return kind, counted

    def learn(self, target: Target, prompt: Prompt, usage: Usage) -> None:
        """See `protocols.TokenSizes`."""
        self.ratios.learn(target, prompt, usage)
        if self._kept:
            kept = self._kept.get(_key(prompt.body, target))
            if kept is not None and kept[0] is prompt.body:
                self.ratios.learn_counted(target, prompt, usage, kept[1], kept[2])


def _key(body: Json, target: Target) -> tuple[int, EncodingName]:
    return id(body), encoding_of(target.model) or "o200k_base"


def _sum(
    text: TokenCount, media: int, media_low: float, media_high: float, media_least: float | None = None
) -> TokenCount:
    """The sum of text and media."""
    return TokenCount(
        tokens=text.tokens + media,
        low=text.low + int(media_low),
        high=text.high + math.ceil(media_high),
        least=text.least + int(media_low if media_least is None else media_least),
    )
