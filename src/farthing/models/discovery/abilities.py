"""What providers of OpenAI's form have beside chat, by their hosts, as their documentation says.

A host that is not here is a server of somebody's own, or one that we do not know: it is asked for anything,
and says itself what it does not have.
"""

from collections.abc import Collection

from msgspec import Struct

from farthing.dialects.chat.embedded import InputsMax
from farthing.dialects.passing.operations import DOORS, operations_of
from farthing.types import Operation


class Abilities(Struct, frozen=True):
    """What a host has. Empty `operations`: chat and embeddings alone."""

    operations: frozenset[Operation]
    inputs: InputsMax
    """Of one call for embeddings."""
    cache_key: bool = False
    """It takes `prompt_cache_key`."""


def _has(
    *names: str, inputs: int | None = None, tokens: int | None = None, cache_key: bool = False
) -> Abilities:
    return Abilities(operations_of(names), InputsMax(inputs, tokens), cache_key)


_ANYTHING = Abilities(frozenset(DOORS), InputsMax())
_AZURE = _has("images/generations", "images/edits", "audio", inputs=2_048, tokens=300_000)
_HOSTS = {
    "api.openai.com": _has("moderations", "images", "audio", inputs=2_048, tokens=300_000, cache_key=True),
    "openai.azure.com": _AZURE,
    "services.ai.azure.com": _AZURE,
    "cognitiveservices.azure.com": _AZURE,
    "generativelanguage.googleapis.com": _has("images/generations", inputs=100),
    "aiplatform.googleapis.com": _has(),
    "api.groq.com": _has("audio"),
    "api.mistral.ai": _has("moderations", "audio/transcriptions", "audio/speech"),
    "api.deepseek.com": _has(),
    "openrouter.ai": _has(),
    "api.together.xyz": _has("images/generations", "audio", "rerank"),
    "api.x.ai": _has("images/generations", "images/edits"),
    "api.cohere.com": _has("rerank", inputs=96),
    "api.cohere.ai": _has("rerank", inputs=96),
    "api.jina.ai": _has("rerank", inputs=2_048),
    "api.voyageai.com": _has("rerank", inputs=1_000, tokens=120_000),
}


def abilities_at(host: str) -> Abilities:
    """What the provider at `host` has."""
    host = host.lower()
    for known, has in _HOSTS.items():
        if host == known or host.endswith((f".{known}", f"-{known}")):
            return has
    return _ANYTHING


def operations_at(host: str, said: Collection[str] | None) -> frozenset[Operation]:
    """The operations of a provider: those that the configuration says, None where it says nothing."""
    return abilities_at(host).operations if said is None else operations_of(said)


def inputs_at(host: str, count: int | None, tokens: int | None) -> InputsMax:
    """How many inputs of embeddings one call of a provider takes: `count` and `tokens` of the configuration,
    None where it says nothing."""
    known = abilities_at(host).inputs
    return InputsMax(known.count if count is None else count, known.tokens if tokens is None else tokens)
