"""How targets go on with an answer that is begun, as their documentation says: data, never a guess.

A target that is not known to do so is not asked: it would answer anew, or refuse. OpenAI's own models do not.
"""

from collections.abc import Callable, Mapping
from typing import Literal, assert_never

from farthing.config import (
    AnthropicProviderConfig,
    AnyProviderConfig,
    BedrockProviderConfig,
    GeminiProviderConfig,
    OpenAIProviderConfig,
    PluginProviderConfig,
    ResponsesProviderConfig,
    VertexProviderConfig,
)
from farthing.dialects.messages import models as messages_models
from farthing.types import PrefillForm, Target

PREFILL = "prefill"
"""What the catalogue calls it."""
_NOVA = "amazon.nova"
FormOf = Callable[[Target], PrefillForm | None]
"""The form in which a target is shown what is to be gone on with; None: it does not go on."""

_HOSTS: Mapping[str, tuple[str, PrefillForm]] = {
    "api.mistral.ai": ("", "prefix_repeated"),
    "api.deepseek.com": ("/beta", "prefix"),
}
"""By host: what the path of its base URL must end in, and the form."""
_NAMES: Mapping[str, PrefillForm] = {
    "vllm": "continue_final_message",
    "sglang": "continue_final_message",
    "llama-server": "last",
}
"""By the name of a local server's table, as detection calls them."""
_BY_MODEL = "openrouter.ai"
"""It passes the last message of the assistant on: whether that is gone on with is the model's matter."""


def form_at(name: str, host: str, path: str, config: AnyProviderConfig) -> FormOf:
    """For the targets of the provider called `name`, whose base URL is at `host` and `path`."""
    match config:
        case OpenAIProviderConfig(prefill=said):
            return _of_chat(name, host.lower(), path.rstrip("/"), said)
        case AnthropicProviderConfig():
            return _of_claude
        case GeminiProviderConfig():
            return _of_any
        case VertexProviderConfig(publisher=publisher):
            return _of_any if publisher == "google" else _of_claude
        case BedrockProviderConfig():
            return _of_bedrock
        case ResponsesProviderConfig() | PluginProviderConfig():
            return _of_none
        case _:
            assert_never(config)


def _of_chat(name: str, host: str, path: str, said: PrefillForm | Literal["off"] | None) -> FormOf:
    ending, known = _HOSTS.get(host, ("", None))
    listed = said is None and host == _BY_MODEL
    form = "last" if listed else said
    if form is None:
        form = (known if path.endswith(ending) else None) or _NAMES.get(name)
    if form is None or form == "off":
        return _of_none
    found = form

    def form_of(target: Target) -> PrefillForm | None:
        able = _is_able(target)
        return None if able is False or (listed and not able) else found

    return form_of


def _of_none(target: Target) -> PrefillForm | None:
    return None


def _of_any(target: Target) -> PrefillForm | None:
    return None if _is_able(target) is False else "last"


def _of_claude(target: Target) -> PrefillForm | None:
    return "last" if _is_able(target) else None


def _of_bedrock(target: Target) -> PrefillForm | None:
    able = _is_able(target)
    if able is None:  # Nova's guide has it; of other makers it is not known
        able = _NOVA in target.model.lower()
    return "last" if able else None


def _is_able(target: Target) -> bool | None:
    """Whether the model goes on, as the catalogue says, else, of a Claude, its name: from 4.6 on they refuse
    to. None: neither says."""
    features = target.features
    if PREFILL in features.can:
        return True
    if PREFILL in features.cannot:
        return False
    if "claude" not in target.model.lower():
        return None
    return messages_models.abilities(target.model).thinking != "adaptive"
