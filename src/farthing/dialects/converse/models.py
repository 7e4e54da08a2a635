"""What the models behind Converse can be told, by whose they are.

Converse is one form, but what of it a model takes differs by its maker. Of a model whose name tells no maker
(an application's inference profile) all of the form is assumed.
Sources: "Supported models and model features" and "Call a tool with the Converse API" of Bedrock's guide.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

_NAME = re.compile(r"(?:^|[/:])([a-z][a-z0-9-]*\.[\w.-]+)")
_PLACES = frozenset({"us", "us-gov", "eu", "apac", "global", "jp", "au", "ca", "in", "sa"})
_CLAUDE = re.compile(r"(?:^|[/.:])anthropic\.claude")


class Abilities(Struct, frozen=True, kw_only=True):
    choices: frozenset[str] = frozenset({"any", "tool"})
    """How a call of a tool can be demanded."""
    tools: bool = True
    formats: bool = True
    """The answer can be held to a JSON schema."""
    caches: bool = True
    """A prefix can be marked for its cache."""
    caches_tools: bool = True
    cache_ttl: bool = True
    """And for an hour."""
    effort: Literal["field", "nova", "gpt", "none"] = "field"
    """Where the effort of thinking is said: `outputConfig.effort`, in Nova's own field or in that of
    OpenAI's models, or nowhere."""
    top_k: tuple[str, ...] = ()
    """The path of `top_k` among the model's own fields; empty: it has none."""
    failed_results: bool = False
    """A result of a tool can say that it is an error."""
    instructs: bool = True
    """It takes instructions beside the conversation."""
    streams_tools: bool = True
    """An answer that may call tools can be streamed."""
    plain_names: bool = False
    """In the names of its tools are a letter, and then letters, digits and `_` only: of others its calls fail
    as malformed."""
    plain_schemas: bool = False
    """Of the schema of arguments it takes a type, properties and what is required, and refuses all else at
    its root."""


_NOVA = Abilities(
    formats=False,
    caches_tools=False,
    cache_ttl=False,
    effort="none",
    top_k=("inferenceConfig", "topK"),
    failed_results=True,
    plain_names=True,
    plain_schemas=True,
)
_NOVA2: Abilities = replace(_NOVA, effort="nova")
_PLAIN = Abilities(choices=frozenset(), formats=False, caches=False, effort="none")
_MAKERS: Mapping[str, Abilities] = {
    "ai21": _PLAIN,
    "amazon": Abilities(
        choices=frozenset(), tools=False, formats=False, caches=False, effort="none", instructs=False
    ),
    "anthropic": Abilities(top_k=("top_k",), failed_results=True),
    "cohere": Abilities(choices=frozenset(), formats=False, caches=False, effort="none", top_k=("k",)),
    "deepseek": Abilities(choices=frozenset(), caches=False, effort="none"),
    "meta": replace(_PLAIN, streams_tools=False),
    "mistral": Abilities(choices=frozenset({"any"}), caches=False, effort="none", top_k=("top_k",)),
    "openai": Abilities(choices=frozenset(), caches=False, effort="gpt"),
    "writer": replace(_PLAIN, streams_tools=False),
}
_UNINSTRUCTED = re.compile(r"mistral\.mi[sx]tral-\d").match
"""Mistral's first models."""
_WHOLE = re.compile(r"deepseek\.r1|mistral\.(?:mistral-(?:large|small)-24|pixtral-large)").match
"""Models that call no tools in a stream, by makers whose others do."""
_MORE_MAKERS = frozenset({
    "google", "minimax", "moonshot", "moonshotai", "nvidia", "qwen", "stability", "twelvelabs", "zai",
})  # fmt: skip
_OTHER = Abilities(caches=False, effort="none")
"""Of a maker that is not in the table: most are open models."""
_ANY = Abilities(failed_results=True)


def is_claude(model: str) -> bool:
    """Whether it is a Claude, by its id, the id of an inference profile or an ARN that has one of them."""
    return _CLAUDE.search(model.lower()) is not None


def place_of(model: str) -> str:
    """The place before the name of a model, which is that of an inference profile: its calls are spread over
    the regions there. Empty: there is none. AWS adds places; one that is not known here is told by the maker
    behind it."""
    first, _, rest = model.partition(".")
    maker, _, name = rest.partition(".")
    if not rest or "/" in first:
        return ""
    makers = _MAKERS.keys() | _MORE_MAKERS
    return first if first in _PLACES or (name and maker in makers and first not in makers) else ""


def without_place(model: str) -> str:
    """The model that is asked across the regions of a place."""
    place = place_of(model)
    return model[len(place) + 1 :] if place else model


@lru_cache(maxsize=256)
def abilities(model: str) -> Abilities:
    found = _NAME.search(model.lower())
    if found is None:
        return _ANY
    model = without_place(found[1])
    maker, _, name = model.partition(".")
    if maker == "amazon" and name.startswith("nova"):
        return _NOVA2 if name.startswith("nova-2") else _NOVA
    can = _MAKERS.get(maker, _OTHER)
    if _UNINSTRUCTED(model):
        return replace(can, instructs=False)
    return replace(can, streams_tools=False) if _WHOLE(model) else can
