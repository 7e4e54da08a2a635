"""The models a provider is known to have: those it or the operator listed, else those of the price list."""

import re
from collections.abc import Sequence

from farthing.models.pricing.catalogue import SNAPSHOT, Catalogue

_WORDS = re.compile(r"[^a-z0-9]+")
_NEITHER = re.compile(
    r"(^|[^a-z0-9])(dall-e|gpt-image|imagen|lyria|moderation|realtime|sora|transcri(be|ption)|tts|veo|whisper)"
    r"([^a-z]|$)"
)
"""In the names of models that neither chat nor embed: there is no route here to ask them by."""
_NOT_CHAT = frozenset(
    """
    bge clip mmproj colbert e5 embed embedder embedding embeddings gte labse minilm mpnet sbert siglip splade
    guard llamaguard nemoguard promptguard safeguard shieldgemma wildguard moderation
    rerank reranker reranking transcribe tts whisper
    """.split()  # noqa: SIM905  (a list of words reads better as one)
)
"""Words in the names of models that embed, judge, rank or speak, and hold no conversation."""


_VENDORS_NAMED = frozenset({"openrouter"})
"""Where every model is `vendor/model`: what the price list has without a vendor is no name there."""


def named_for_chat(model: str) -> bool:
    """Whether nothing in its name says that it holds no conversation. Whole words count: `eclipse` is not
    CLIP, a `guardian` no `guard`. A name is the last resort; what a server says of the model counts first."""
    parts = {part for part in _WORDS.split(model.lower()) if part}
    words = parts | {part.rstrip("0123456789") for part in parts}  # `embed2`, `guard3`; but `e5` is one word
    if {"granite", "guardian"} <= words:
        return False  # the one of that name that judges prompts
    return _NOT_CHAT.isdisjoint(words) and not any(word.startswith("embed") for word in words)


def can_be_asked(model: str) -> bool:
    """Whether the name does not rule out that the model chats or embeds."""
    return not _NEITHER.search(model.lower())


class Listing:
    """The models of one provider. `models` are those known to exist; empty: nobody listed any, and the price
    list is used."""

    def __init__(self, provider: str, models: Sequence[str], catalogue: Catalogue) -> None:
        self.provider = provider
        self.models = tuple(models)
        self._catalogue = catalogue
        self._names = frozenset(models)
        self._folded: dict[str, list[str]] = {}
        for model in models:
            self._folded.setdefault(model.casefold(), []).append(model)
        dated = (SNAPSHOT.fullmatch(model) for model in models)
        self._undated = {found["base"].casefold(): found["base"] for found in dated if found}

    def find(self, model: str) -> str | None:
        """The name by which to ask for `model`; None when it is not known to be there.

        A listed model's own spelling is taken where only letter case differs; a dated snapshot stays dated,
        and what stands in front of the name (`models/`) stays there.
        """
        if not self._names:
            return self.priced(model)
        for name in (model, model.removeprefix("models/"), model.removeprefix(f"{self.provider}/")):
            if name in self._names:
                return name
            folded = name.casefold()
            alike = self._folded.get(folded, ())
            if alike:
                return alike[0] if len(alike) == 1 else None
            if folded in self._undated:
                return self._undated[folded]
            snapshot = SNAPSHOT.fullmatch(folded)
            if snapshot is not None and snapshot["base"] in self._folded:
                return name
        return None

    @property
    def is_called_as_listed(self) -> bool:
        """Whether the price list has its models under its own name."""
        return self._catalogue.listed_as(self.provider) == self.provider

    def priced(self, model: str) -> str | None:
        """As `find`, by the price list alone, which also has models that no longer exist and alternative
        names."""
        if self._catalogue.listed_as(self.provider) in _VENDORS_NAMED and "/" not in model:
            return None
        entry = self._catalogue.find(self.provider, model)
        if entry is None:
            return None
        return entry.model if entry.model.casefold() == model.casefold() else model

    def names(self) -> list[str]:
        """All models that are known to exist."""
        if self.models:
            return list(self.models)
        names = self._catalogue.names(self.provider)
        return [name for name in names if "/" in name] if self.provider in _VENDORS_NAMED else names
